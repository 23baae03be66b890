"""Edits put back into the images that they began with."""

import torch.nn.functional as F
from torch import Tensor

UNCHANGED, REPLACED = 0.12, 0.48  # on the scale -1..1: less is mixed with the input; more is shown as decoded


def compose(images: Tensor, reconstructions: Tensor, edited: Tensor) -> Tensor:
    """Put an edit into the image, by how much it changes: c = |edited - reconstruction|, of 3 channels the largest.

    c = 0: the image as it is. c = 0.12: with the difference added, so that detail stays which the decoder cannot draw.
    From 0.48 on: as decoded, for what stood there is gone. So what a decoder gets wrong (a white background that comes
    out grey) shows only where something changes.

    Args:
        images, reconstructions, edited: [B, 3, S, S] in [-1, 1].
    """
    changed = (edited - reconstructions).abs().amax(1, keepdim=True)
    some, much = mask(changed / UNCHANGED), mask(changed / REPLACED)
    target = much * edited + (1 - much) * (images + edited - reconstructions)
    return (some * target + (1 - some) * images).clamp(-1, 1)


def mask(amount: Tensor) -> Tensor:
    """Return amounts [B, 1, S, S] cut off at 1, widened by a pixel and smoothed, so that borders do not show."""
    wide = F.max_pool2d(amount.clamp(max=1), 3, 1, 1)
    return F.avg_pool2d(wide, 3, 1, 1, count_include_pad=False)
