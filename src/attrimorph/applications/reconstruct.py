"""Reconstruct: how a model sees an image, G(E(x, y), y)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from attrimorph.applications.inputs import attributes_of, encoder, photographs
from attrimorph.applications.receipt import Written, write_result
from attrimorph.models import Code, Model
from attrimorph.pictures import sheet


@dataclass(frozen=True)
class Reconstruction:
    """Images and their reconstructions.

    Attributes:
        images, reconstructions: [B, 3, S, S] in [-1, 1].
        code: what the reconstructions were decoded from.
    """

    images: Tensor
    reconstructions: Tensor
    code: Code


def reconstruct(model: Model, images: Tensor, attributes: Tensor | None = None) -> Reconstruction:
    """Encode and decode.

    Args:
        model: one that encodes.
        images: [B, 3, S, S] in [-1, 1].
        attributes: [B, width]; guessed by the model when None.
    """
    encodes = encoder(model, "reconstruct")
    code = encodes.encode(images, attributes_of(model, images) if attributes is None else attributes)
    return Reconstruction(images, model.decode(code), code)


def write_reconstruct(
    model: Model,
    paths: Sequence[Path],
    out: Path,
    *,
    named: str | Path,
    known: Mapping[str, float] | None = None,
) -> Written:
    """Reconstruct photographs and write a sheet, inputs over reconstructions, and its receipt."""
    images = photographs(model, paths)
    result = reconstruct(model, images, attributes_of(model, images, known))
    squared = (result.images - result.reconstructions.cpu()).div(2).square().mean((1, 2, 3))
    picture = sheet(
        [result.images, result.reconstructions],
        labels=["input", "reconstruction"],
        cell=max(128, model.image_size),
    )
    return write_result(
        out,
        "reconstruct",
        model,
        {"": picture},
        named=named,
        arguments={"known": dict(known or {})},
        inputs=paths,
        facts={
            "psnr (dB, at the model's size)": [round(value, 3) for value in (-10 * squared.log10()).tolist()],
            "attributes": [model.schema.describe(row) for row in result.code.attributes.cpu()],
        },
    )
