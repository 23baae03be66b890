"""Reconstruct: how a model sees an image, G(E(x, y), y), or the nearest that its generator makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from attrimorph.applications.coding import code_of, told
from attrimorph.applications.inputs import photographs
from attrimorph.applications.inversion.search import Inversion, Progress
from attrimorph.applications.options import Search
from attrimorph.applications.receipt import Written, write_result
from attrimorph.applications.references import numbered
from attrimorph.models.codes import Code
from attrimorph.models.model import Model
from attrimorph.models.pictures import Source
from attrimorph.pictures import MOST_SHOWN, png_bytes, sheet, sheet_of, to_pil


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


def write_reconstruct(
    model: Model,
    paths: Sequence[Path],
    out: Path,
    *,
    named: str | Path,
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Written:
    """Reconstruct photographs; write a sheet, inputs over reconstructions, or of many each alone, and the receipt."""
    images = photographs(model, paths)
    result = reconstruct(model, images, known=known, invert=invert, progress=progress)
    squared = (result.images - result.reconstructions.cpu()).div(2).square().mean((1, 2, 3))
    pictures = sheet_of(
        len(images),
        [result.images, result.reconstructions],
        labels=["input", "reconstruction"],
        cell=max(128, model.image_size),
    ) or dict(zip(numbered("reconstruction", len(images)), to_pil(result.reconstructions), strict=True))
    return write_result(
        out,
        "reconstruct",
        model,
        pictures,
        named=named,
        arguments={"known": dict(known or {}), **told(invert, result.inversion)},
        inputs=paths,
        facts={
            "psnr (dB, at the model's size)": [round(value, 3) for value in (-10 * squared.log10()).tolist()],
            "attributes": [model.schema.describe(row) for row in result.code.attributes.cpu()],
        },
    )
