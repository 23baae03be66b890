"""Edit with references: "like these faces' hair colour". Several references give several answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications import paths
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model
from attrimorph.models.pictures import Source
from attrimorph.pictures import MOST_SHOWN, png_bytes, sheet


@runtime_checkable
class Follows(Protocol):
    """Changes groups of attributes towards those of another image."""

    groups: dict[str, tuple[str, ...]]

    def features(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] -> F [B, C, h, w]."""

    def render(self, features: Tensor) -> Tensor:
        """F -> images."""

    def moves(self, face: Tensor, difference: Tensor, v: Tensor) -> Tensor:
        """F_a, F_b - F_a, v [B, groups + 1] -> how far F_a moves, [B, C, h, w]."""

    def group_of(self, name: str) -> str:
        """A group's or an attribute's name -> the group's."""

    def follow(self, images: Tensor, references: Tensor, strengths: Mapping[str, float]) -> Tensor:
        """Images [B, 3, S, S], references of that shape or [1, 3, S, S], group -> strength 0..2 -> images."""


@dataclass(frozen=True)
class ReferenceEdit:
    """Images that took something over from references.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        references: [R, 3, S, S].
        edited: [R, B, 3, S, S]: one answer for each reference.
    """

    images: Tensor
    references: Tensor
    edited: Tensor

    def _repr_png_(self) -> bytes:
        return png_bytes(reference_sheet(self))


def follower(model: Model, verb: str) -> Follows:
    """Return the model as one that follows references.

    Raises:
        AttrimorphError: it does not; `verb` is named.
    """
    if not isinstance(model, Follows):
        raise AttrimorphError(
            f"{verb} needs a model that follows references; {model.recipe.name!r} ({model.recipe.method}) does not; "
            "use a HomoInterpGAN, for example homointerp-drawn-64"
        )
    return model


def edit_like(model: Model, images: Source, references: Source, strengths: Mapping[str, float]) -> ReferenceEdit:
    """Give images what references have.

    Args:
        model: one that follows references.
        images: files, PIL pictures, pixels, or [B, 3, S, S] in [-1, 1]; see `Model.prepared`.
        references: R alike; each gives an answer of its own.
        strengths: group (or an attribute of it) -> 0 unchanged .. 1 as the reference .. 2.

    Raises:
        AttrimorphError: the model does not follow references, there is no such group, or nothing to do.
    """
    follows = follower(model, "an edit with references")
    if not strengths:
        known = ", ".join(follows.groups)
        raise AttrimorphError(f"an edit with references must name what to take over; known are: {known}")
    images, references = model.prepared(images), model.prepared(references)
    if not len(references):
        raise AttrimorphError("an edit with references needs at least one reference; got none; name a picture")
    edited = [follows.follow(images, reference[None], strengths).cpu() for reference in references]
    return ReferenceEdit(images, references, torch.stack(edited))


def reference_sheet(result: ReferenceEdit, cell: int = 128) -> Image.Image:
    """Draw one row for each image, of the first ones: itself, then its answers; the references are the first row."""
    blank, few = torch.ones_like(result.images[:1]), slice(MOST_SHOWN)
    rows = [torch.cat([blank, result.references.cpu()[few]])]
    for number, image in enumerate(result.images.cpu()[few]):
        rows.append(torch.cat([image[None], result.edited[few, number]]))
    return sheet(rows, labels=["like", *[""] * (len(rows) - 1)], cell=cell)


def homomorphic(
    model: Model,
    first: Tensor,
    second: Tensor,
    steps: int,
    *,
    one_by_one: bool = False,
    groups: Sequence[str] | None = None,
) -> Tensor:
    """Go from one image to another by groups of attributes.

    Args:
        model: one that follows references.
        first, second: [1, 3, S, S] in [-1, 1].
        steps: images, both ends (the reconstructions) counted.
        one_by_one: group after group and then the rest, instead of all at once.
        groups: their order; all, in the model's order, when None. Those left out go with the rest.

    Returns:
        [steps, 3, S, S] in [-1, 1].
    """
    follows = follower(model, "a homomorphic path")
    if not 2 <= steps <= 1000:
        raise AttrimorphError(f"a morph's steps must lie in 2..1000; got {steps}; try 8")
    names = list(follows.groups)
    order = [names.index(follows.group_of(name)) for name in (names if groups is None else groups)]
    a, b = follows.features(first), follows.features(second)
    one_each = torch.eye(len(names) + 1, device=a.device)[order]
    count = len(order)
    moves = follows.moves(a.expand(count, -1, -1, -1), (b - a).expand(count, -1, -1, -1), one_each)
    # A group in which the faces do not differ would hold the path up.
    moves = moves[moves.flatten(1).any(1)] if one_by_one else moves
    points = paths.homomorphic(a[0], b[0], moves, steps, one_by_one=one_by_one)
    # The ends are decoded alone, as a reconstruction is.
    middle = [follows.render(points[1:-1])] if steps > 2 else []
    return torch.cat([follows.render(a), *middle, follows.render(b)])
