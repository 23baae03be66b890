"""Morph: the way from one image to another, in z and y."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications.coding import code_of, told
from attrimorph.applications.hunt import Inversion, Progress, Search
from attrimorph.applications.inputs import photographs
from attrimorph.applications.receipt import Written, write_result
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.perceptual import perceptual_distance
from attrimorph.metrics.suitable import judge_for
from attrimorph.models import Code, Model
from attrimorph.pictures import enlarge, sheet, to_pil

AT_ONCE = 128


@dataclass(frozen=True)
class Morph:
    """A morph; its ends are the reconstructions of both images, exactly.

    Attributes:
        images: [steps, 3, S, S] in [-1, 1].
        code: of each step.
        inversion: how the codes of the ends were found; None where they are the encoder's.
    """

    images: Tensor
    code: Code
    inversion: Inversion | None = None


def linear(first: Tensor, second: Tensor, steps: int | Tensor) -> Tensor:
    """Return points on the straight line from `first` to `second`, [D] -> [steps, D]; the ends are exact.

    Args:
        first, second: [D].
        steps: how many points, evenly spaced, or their positions, from 0 to 1.
    """
    t = _positions(steps, first)
    line = (1 - t) * first + t * second
    # A product with 0 is no copy when the other factor is infinite, nor always to the last bit: the ends are put in.
    line[0], line[-1] = first, second
    return line


def _positions(steps: int | Tensor, like: Tensor) -> Tensor:
    t = torch.linspace(0, 1, steps) if isinstance(steps, int) else steps
    return t.to(like)[:, None]


def spherical(first: Tensor, second: Tensor, steps: int | Tensor) -> Tensor:
    """Return points on the arc from `first` to `second` (Shoemake 1985), [D] -> [steps, D]; the ends are exact.

    The angle is between the directions, the length goes linearly; nearly parallel vectors go the straight line.
    Arguments as of `linear`.
    """
    cosine = torch.dot(first, second) / (first.norm() * second.norm()).clamp(min=1e-12)
    angle = cosine.clamp(-1, 1).acos()
    if angle.sin() < 1e-4:
        return linear(first, second, steps)
    t = _positions(steps, first)
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
    uniform: bool = False,
    attributes: tuple[Tensor, Tensor] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Morph:
    """Go from one image to another.

    Args:
        model: one that encodes; with `invert`, one that generates.
        first, second: [1, 3, S, S] in [-1, 1].
        steps: images on the way, both ends counted.
        slerp: z on the arc instead of the straight line; y always goes straight.
        uniform: stop where all steps look equally large, instead of at equal distances in z and y.
        attributes: of both, [1, width] each; guessed by the model when None, with `invert` looked for.
        invert: how to look for the codes; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).
    """
    _check_steps(steps)
    a, b, found = ends(model, first, second, attributes, invert=invert, progress=progress)
    return replace(between(model, a, b, steps, slerp=slerp, uniform=uniform), inversion=found)


def _check_steps(steps: int) -> None:
    if not 2 <= steps <= 1000:
        raise AttrimorphError(f"a morph's steps must lie in 2..1000; got {steps}; try 8")


def ends(
    model: Model,
    first: Tensor,
    second: Tensor,
    attributes: tuple[Tensor, Tensor] | None = None,
    *,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> tuple[Code, Code, Inversion | None]:
    """Return the codes of both images, and how they were found; arguments as of `morph`."""
    if invert is None:
        y_first, y_second = attributes or (None, None)
        return code_of(model, first, y_first, "morph")[0], code_of(model, second, y_second, "morph")[0], None
    y = None if attributes is None else torch.cat(attributes)
    code, found = code_of(model, torch.cat([first, second]), y, "morph", invert=invert, progress=progress)
    a, b = (Code(code.z[row : row + 1], code.attributes[row : row + 1]) for row in (0, 1))
    return a, b, found


def between(model: Model, a: Code, b: Code, steps: int, *, slerp: bool = False, uniform: bool = False) -> Morph:
    """Go from one code to another, of one row each; arguments as of `morph`."""

    def way(at: int | Tensor) -> Code:
        z = (spherical if slerp else linear)(a.z[0], b.z[0], at)
        return Code(z, linear(a.attributes[0], b.attributes[0], at))

    code = way(_even_positions(model, way, steps) if uniform else steps)
    inner = model.decode(code)[1:-1]
    # The ends are decoded alone, as a reconstruction is: another batch size may round the last bit differently.
    return Morph(torch.cat([model.decode(a), inner, model.decode(b)]), code)


def _even_positions(model: Model, way: Callable[[Tensor], Code], steps: int) -> Tensor:
    """Return where on a way to stop so that all steps look equally large, [steps] from 0 to 1."""
    # Imported here: paths are made of the lines and arcs above.
    from attrimorph.applications.paths import uniform

    def images(at: Tensor) -> Tensor:
        code = way(at)
        pairs = zip(torch.split(code.z, AT_ONCE), torch.split(code.attributes, AT_ONCE), strict=True)
        return torch.cat([model.decode(Code(z, y)).cpu() for z, y in pairs])

    look = step_length(model)
    return uniform(images, look, steps)[1]


def step_length(model: Model) -> Callable[[Tensor, Tensor], Tensor]:
    """Return how far two batches of the model's images look apart, [B], as a length that adds up along a line.

    The root of the perceptual distance by the shipped judge of the model's attributes; of the squared difference of
    pixels at three sizes where there is none.
    """
    judge = judge_for(model.schema, model.image_size)
    distance = pixel_distance if judge is None else perceptual_distance(JudgeFeatures(judge))
    return lambda images, others: distance(images, others).clamp(min=0).sqrt()


def pixel_distance(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean squared difference of two batches, mean over the full, half and quarter size, [B]."""
    difference = images - others
    return torch.stack([avg_pool2d(difference, size).square().mean((1, 2, 3)) for size in (1, 2, 4)]).mean(0)


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
    uniform: bool = False,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Written:
    """Morph two photographs; write the strip, an animation there and back, and the receipt."""
    _check_steps(steps)
    images = photographs(model, [first, second])
    a, b, found = ends(model, images[:1], images[1:], invert=invert, progress=progress)
    result = between(model, a, b, steps, slerp=slerp, uniform=uniform)
    smooth = between(model, a, b, max(steps, 24), slerp=slerp, uniform=uniform)
    row = torch.cat([images[:1], result.images.cpu(), images[1:]])
    words: Sequence[str] = ["from", *[f"{100 * i / (steps - 1):.0f} %" for i in range(steps)], "to"]
    return write_result(
        out,
        "morph",
        model,
        {"": sheet([row], columns=words, cell=max(96, model.image_size))},
        named=named,
        arguments={"steps": steps, "slerp": slerp, "uniform": uniform, **told(invert, found)},
        inputs=[first, second],
        animation=frames(smooth.images),
    )
