"""Pictures out of codes, and with what other pictures have.

Sample: new images from codes drawn at random. Reconstruct: how a model sees an image, G(E(x, y), y), or the nearest
that its generator makes. Transfer: one image with the attributes of another. Edit with references: "like these faces'
hair colour"; several references give several answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications import Composition, Search, paths
from attrimorph.applications.edit import put_together
from attrimorph.applications.inputs import attributes_of, code_of, encoder
from attrimorph.applications.inversion import Inversion, Progress
from attrimorph.data import Changes
from attrimorph.errors import AttrimorphError
from attrimorph.models import Strengths
from attrimorph.models.model import Code, Model, Sample
from attrimorph.photographs.fields import Fields
from attrimorph.pictures import MOST_SHOWN, Source, png_bytes, sheet


def sample(model: Model, count: int = 16, *, seed: int = 0, changes: Changes | None = None) -> Sample:
    """Draw codes and decode them.

    Args:
        model: any.
        count: how many images.
        seed: the same seed gives the same images.
        changes: attribute -> strength, put on every drawn code; 1 sets it, -1 takes it away.
    """
    code = model.draw(count, changes, seed=seed)
    return Sample(model.decode(code), code)


@dataclass(frozen=True)
class Reconstruction:
    """Images and their reconstructions.

    Attributes:
        images, reconstructions: [B, 3, S, S] in [-1, 1].
        code: what the reconstructions were decoded from.
        inversion: how the code was found; None where it is the encoder's.
    """

    images: Tensor
    reconstructions: Tensor
    code: Code
    inversion: Inversion | None = None

    def _repr_png_(self) -> bytes:
        rows = [self.images[:MOST_SHOWN], self.reconstructions[:MOST_SHOWN]]
        return png_bytes(sheet(rows, labels=["input", "reconstruction"]))


def reconstruct(
    model: Model,
    images: Source,
    attributes: Tensor | None = None,
    *,
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Encode and decode; arguments and errors as of `inputs.code_of`."""
    images = model.prepared(images)
    code, found = code_of(model, images, attributes, "reconstruct", known=known, invert=invert, progress=progress)
    return Reconstruction(images, model.decode(code), code, found)


@dataclass(frozen=True)
class Transfer:
    """Images that took over attributes.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1].
        reconstructions: with their own attributes.
        transferred: with those of the source.
        code: of `transferred`.
    """

    images: Tensor
    reconstructions: Tensor
    transferred: Tensor
    code: Code

    def _repr_png_(self) -> bytes:
        rows = [self.images[:MOST_SHOWN], self.transferred[:MOST_SHOWN]]
        return png_bytes(sheet(rows, labels=["input", "transferred"]))


def transfer(
    model: Model,
    images: Source,
    source: Source,
    *,
    only: Sequence[str] | None = None,
    attributes: Tensor | None = None,
    source_attributes: Tensor | None = None,
) -> Transfer:
    """Decode the z of images under the attributes of a source.

    Args:
        model: one that encodes.
        images: files, PIL pictures, pixels, or [B, 3, S, S] in [-1, 1]; see `Model.prepared`.
        source: one or B alike, the image whose attributes are taken.
        only: the attributes to take; all when None.
        attributes: [B, width] of the inputs; guessed by the model when None.
        source_attributes: [1 or B, width]; guessed by the model when None.
    """
    encodes = encoder(model, "transfer")
    if not (model.schema.names if only is None else only):
        raise AttrimorphError(
            "a transfer must take at least one attribute; got none; name one, or leave them out for all that the "
            "model has"
        )
    images, source = model.prepared(images), model.prepared(source)
    own = attributes_of(model, images) if attributes is None else attributes
    taken = attributes_of(model, source) if source_attributes is None else source_attributes
    taken = taken.expand_as(own)
    y = own.clone()
    for name in model.schema.names if only is None else only:
        columns = model.schema.columns(name)
        y[:, columns] = taken[:, columns]
    if only is not None:
        y = _without_rivals(model, y, only)
    code = encodes.encode(images, own)
    moved = Code(code.z, y)
    return Transfer(images, model.decode(code), model.decode(moved), moved)


def _without_rivals(model: Model, y: Tensor, only: Sequence[str]) -> Tensor:
    """Let what was taken over win against its rivals in exclusive groups that were not."""
    y = y.clone()
    for group in model.schema.exclusive:
        fresh = [model.schema.columns(name).start for name in group if name in only]
        stale = [model.schema.columns(name).start for name in group if name not in only]
        if fresh and stale:
            y[:, stale] = torch.minimum(y[:, stale], 1 - y[:, fresh].amax(1, keepdim=True))
    return y


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
        reconstructions: without any change, [B, 3, S, S].
        edited: [R, B, 3, S, S]: one answer for each reference.
        fields: of each answer; None where the model's own picture is shown.
    """

    images: Tensor
    references: Tensor
    reconstructions: Tensor
    edited: Tensor
    fields: tuple[Fields | None, ...] = ()

    def _repr_png_(self) -> bytes:
        return png_bytes(reference_sheet(self))


def follower(model: Model, verb: str) -> Follows:
    """Return the model as one that follows references.

    Raises:
        AttrimorphError: it does not; `verb` is named.
    """
    if not isinstance(model, Follows):
        raise model.unable(verb, "follows references", "use a HomoInterpGAN, for example homointerp-drawn-64")
    return model


def edit_like(
    model: Model,
    images: Source,
    references: Source,
    strengths: Mapping[str, float],
    composition: Composition = "fields",
    *,
    calibrated: bool = True,
) -> ReferenceEdit:
    """Give images what references have.

    Args:
        model: one that follows references.
        images: files, PIL pictures, pixels, or [B, 3, S, S] in [-1, 1]; see `Model.prepared`.
        references: R alike; each gives an answer of its own.
        strengths: group (or an attribute of it) -> 0 unchanged .. 1 as the reference .. 2.
        composition, calibrated: as of `edit`.

    Raises:
        AttrimorphError: the model does not follow references, there is no such group, or nothing to do.
    """
    model = model if calibrated else model.with_strengths(Strengths())
    follows = follower(model, "an edit with references")
    if not strengths:
        known = ", ".join(follows.groups)
        raise AttrimorphError(f"an edit with references must name what to take over; known are: {known}")
    images, references = model.prepared(images), model.prepared(references)
    if not len(references):
        raise AttrimorphError("an edit with references needs at least one reference; got none; name a picture")
    before = follows.render(follows.features(images))
    answers = [follows.follow(images, reference[None], strengths) for reference in references]
    edited, fields = zip(*(put_together(images, before, each, composition) for each in answers), strict=True)
    return ReferenceEdit(images, references, before, torch.stack(edited), fields)


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
