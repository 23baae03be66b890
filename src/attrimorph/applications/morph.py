"""Morph: the way from one image to another, in z and y."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.inputs import attributes_of, encoder, photographs
from attrimorph.applications.receipt import Written, write_result
from attrimorph.errors import AttrimorphError
from attrimorph.models import Code, Model
from attrimorph.pictures import enlarge, sheet, to_pil


@dataclass(frozen=True)
class Morph:
    """A morph; its ends are the reconstructions of both images, exactly.

    Attributes:
        images: [steps, 3, S, S] in [-1, 1].
        code: of each step.
    """

    images: Tensor
    code: Code


def linear(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Return `steps` points on the straight line from `first` to `second`, [D] -> [steps, D]; the ends are exact."""
    t = torch.linspace(0, 1, steps, device=first.device, dtype=first.dtype)[:, None]
    line = (1 - t) * first + t * second
    # A product with 0 is no copy when the other factor is infinite, nor always to the last bit: the ends are put in.
    line[0], line[-1] = first, second
    return line


def spherical(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Return `steps` points on the arc from `first` to `second` (Shoemake 1985), [D] -> [steps, D]; the ends are exact.

    The angle is between the directions, the length goes linearly; nearly parallel vectors go the straight line.
    """
    cosine = torch.dot(first, second) / (first.norm() * second.norm()).clamp(min=1e-12)
    angle = cosine.clamp(-1, 1).acos()
    if angle.sin() < 1e-4:
        return linear(first, second, steps)
    t = torch.linspace(0, 1, steps, device=first.device, dtype=first.dtype)[:, None]
    a, b = first / first.norm(), second / second.norm()
    arc: Tensor = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    arc = arc * ((1 - t) * first.norm() + t * second.norm())
    arc[0], arc[-1] = first, second
    return arc


def morph(
    model: Model,
    first: Tensor,
    second: Tensor,
    steps: int = 8,
    *,
    slerp: bool = False,
    attributes: tuple[Tensor, Tensor] | None = None,
) -> Morph:
    """Go from one image to another.

    Args:
        model: one that encodes.
        first, second: [1, 3, S, S] in [-1, 1].
        steps: images on the way, both ends counted.
        slerp: z on the arc instead of the straight line; y always goes straight.
        attributes: of both, [1, width] each; guessed by the model when None.
    """
    encodes = encoder(model, "morph")
    if not 2 <= steps <= 1000:
        raise AttrimorphError(f"a morph's steps must lie in 2..1000; got {steps}; try 8")
    y_first, y_second = attributes or (attributes_of(model, first), attributes_of(model, second))
    a, b = encodes.encode(first, y_first), encodes.encode(second, y_second)
    code = Code(
        (spherical if slerp else linear)(a.z[0], b.z[0], steps),
        linear(a.attributes[0], b.attributes[0], steps),
    )
    between = model.decode(code)[1:-1]
    # The ends are decoded alone, as a reconstruction is: another batch size may round the last bit differently.
    return Morph(torch.cat([model.decode(a), between, model.decode(b)]), code)


def frames(images: Tensor, *, width: int = 192) -> list[Image.Image]:
    """Return the frames of an animation that goes there and back, waiting a little at both ends."""
    there = [enlarge(image, width) for image in to_pil(images)]
    return [*[there[0]] * 4, *there, *[there[-1]] * 4, *there[-2:0:-1]]


def write_morph(
    model: Model,
    first: Path,
    second: Path,
    out: Path,
    *,
    named: str | Path,
    steps: int = 8,
    slerp: bool = False,
) -> Written:
    """Morph two photographs; write the strip, an animation there and back, and the receipt."""
    images = photographs(model, [first, second])
    result = morph(model, images[:1], images[1:], steps, slerp=slerp)
    smooth = morph(model, images[:1], images[1:], max(steps, 24), slerp=slerp)
    row = torch.cat([images[:1], result.images, images[1:]])
    words: Sequence[str] = ["from", *[f"{100 * i / (steps - 1):.0f} %" for i in range(steps)], "to"]
    return write_result(
        out,
        "morph",
        model,
        {"": sheet([row], columns=words, cell=max(96, model.image_size))},
        named=named,
        arguments={"steps": steps, "slerp": slerp},
        inputs=[first, second],
        animation=frames(smooth.images),
    )
