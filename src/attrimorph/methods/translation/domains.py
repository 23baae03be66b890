"""Which attribute tells two domains apart, which images are learned from, and what pix2pix's generator is given."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods.translation.recipe import TranslationRecipe

if TYPE_CHECKING:
    from attrimorph.data.loader import Batch
    from attrimorph.data.prepared import PreparedData

Source = Literal["pairs", "mask", "grey", "edges"]
LUMA = (0.299, 0.587, 0.114)


def edited_attribute(recipe: TranslationRecipe, schema: Schema) -> str:
    """Return the attribute that tells the domains.

    Raises:
        AttrimorphError: it must be named, or is not binary.
    """
    binary = [attribute.name for attribute in schema.attributes if attribute.kind == "binary"]
    name = recipe.domains.attribute
    sources = ", or make sources of the images with --domains.source edges" if recipe.method == "pix2pix" else ""
    if not binary:
        raise AttrimorphError(
            "domains.attribute must name a binary attribute, which tells the two domains; these data have none; put "
            f"the images of the domains into folders trainA and trainB, or name a CSV of labels with --table{sources}"
        )
    if not name and len(binary) != 1:
        raise AttrimorphError(
            f"domains.attribute must name one of the {len(binary)} binary attributes of these data; it is empty; "
            f"add --domains.attribute {'Smiling' if 'Smiling' in binary else binary[0]}{sources}"
        )
    if name and schema.attribute(name).kind != "binary":
        raise AttrimorphError(f"domains.attribute must be binary; {name!r} is not; {suggestion(name, binary)}")
    return name or binary[0]


def rows_of_both(recipe: TranslationRecipe, data: "PreparedData") -> NDArray[np.int64]:
    """Return the rows of images of either domain, [N].

    Raises:
        AttrimorphError: a domain has no image.
    """
    rows = data.indices("train")
    name = edited_attribute(recipe, data.schema)
    domain = data.attributes[:, data.schema.columns(name).start].numpy()[rows]
    for value, word in ((1, "with"), (0, "without")):
        if not (domain == value).any():
            raise AttrimorphError(
                f"a CycleGAN needs training images with {name} and without it; none is {word} it; "
                "choose another with --domains.attribute"
            )
    return rows


def paired_rows(recipe: TranslationRecipe, data: "PreparedData") -> NDArray[np.int64]:
    """Return the training pairs, [N, 2]: the source, then the image that belongs to it.

    A pair shares an identity; its source lacks the attribute.

    Raises:
        AttrimorphError: there is no pair.
    """
    column = data.schema.columns(edited_attribute(recipe, data.schema)).start
    rows = data.indices("train")
    identity, domain = data.identity.numpy()[rows], data.attributes[:, column].numpy()[rows]
    sides = []
    for side in (0, 1):
        own = (domain == side) & (identity >= 0)
        numbers, first, counts = np.unique(identity[own], return_index=True, return_counts=True)
        sides.append(dict(zip(numbers[counts == 1].tolist(), rows[own][first[counts == 1]].tolist(), strict=True)))
    found = [(sides[0][number], sides[1][number]) for number in sorted(sides[0].keys() & sides[1].keys())]
    if not found:
        raise AttrimorphError(
            "domains.source pairs needs pairs of images: trainA and trainB with the same file names; these data have "
            "none; name the files alike and prepare again, or make sources of the images with --domains.source edges"
        )
    return np.array(found, dtype=np.int64)


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
