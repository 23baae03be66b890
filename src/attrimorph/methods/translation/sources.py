"""What pix2pix's generator is given: the other image of a pair, or what is made of the image itself."""

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from attrimorph.data.loader import Batch

Source = Literal["pairs", "mask", "grey", "edges"]
LUMA = (0.299, 0.587, 0.114)


def pairs(batch: "Batch", column: int) -> tuple[Tensor, Tensor]:
    """Return sources and images of a batch whose rows 2k and 2k + 1 are pairs, [B/2, 3, S, S] each."""
    count = len(batch.images) // 2 * 2
    first, second = batch.images[0:count:2], batch.images[1:count:2]
    ordered = (batch.attributes[0:count:2, column] < 0.5)[:, None, None, None]
    return torch.where(ordered, first, second), torch.where(ordered, second, first)


def source_of(batch: "Batch", source: Source) -> Tensor:
    """Return what the generator is given, made of the images themselves, [B, 3, S, S] in [-1, 1].

    Args:
        batch: images, and masks for the source "mask".
        source: "mask": white where the person is; "grey": brightness; "edges": white where it changes (Sobel).

    Raises:
        ValueError: masks are wanted and there are none.
    """
    if source == "mask":
        if batch.masks is None:
            raise ValueError("the source mask needs data with masks; these have none; take grey or edges")
        return (2 * batch.masks - 1).expand_as(batch.images)
    luma = torch.tensor(LUMA, device=batch.images.device)[None, :, None, None]
    grey = (batch.images * luma).sum(1, keepdim=True)
    if source == "edges":
        sobel = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]], device=grey.device) / 4
        slopes = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None])
        grey = (2 * slopes.square().sum(1, keepdim=True).sqrt() - 1).clamp(-1, 1)
    return grey.expand_as(batch.images)
