"""Reconstruct: how a model sees an image, G(E(x, y), y), or the nearest that its generator makes."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from attrimorph.applications.inputs import code_of
from attrimorph.applications.inversion import Inversion, Progress
from attrimorph.applications.options import Search
from attrimorph.models.model import Code, Model
from attrimorph.models.pictures import Source
from attrimorph.pictures import MOST_SHOWN, png_bytes, sheet


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
    """Encode and decode; arguments and errors as of `coding.code_of`."""
    images = model.prepared(images)
    code, found = code_of(model, images, attributes, "reconstruct", known=known, invert=invert, progress=progress)
    return Reconstruction(images, model.decode(code), code, found)
