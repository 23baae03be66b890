"""Transfer: one image with the attributes of another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.applications.inputs import attributes_of, encoder
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code, Model
from attrimorph.models.pictures import Source
from attrimorph.pictures import MOST_SHOWN, png_bytes, sheet


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
