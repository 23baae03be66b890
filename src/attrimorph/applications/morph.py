"""Morph: the way from one image to another, and the square between four."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications import paths
from attrimorph.applications.inputs import attributes_of, encoder
from attrimorph.applications.references import homomorphic
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.perceptual import perceptual_distance
from attrimorph.metrics.suitable import judge_for
from attrimorph.models import Code, Encodes, Model

AT_ONCE = 128
MOST_STEPS, MOST_ROWS = 1000, 40
PATHS = ("linear", "slerp", "uniform", "pixel", "homomorphic")
"""Paths between two images; `square` fills what lies between four, `stages` goes through in-between images."""


@dataclass(frozen=True)
class Morph:
    """A morph. Its ends are exact: the images on a path of pixels, their reconstructions on any other.

    Attributes:
        images: [steps, 3, S, S] in [-1, 1]; of a square [rows, rows, 3, S, S].
        code: of each step, rows one after another; None on a path that has no codes.
    """

    images: Tensor
    code: Code | None


def check_steps(steps: int, most: int = MOST_STEPS) -> None:
    """Refuse absurd numbers of steps.

    Raises:
        AttrimorphError: not in 2..most.
    """
    if not 2 <= steps <= most:
        raise AttrimorphError(f"a morph's steps must lie in 2..{most}; got {steps}; try {min(8, most)}")


def morph(
    model: Model,
    first: Tensor,
    second: Tensor,
    steps: int = 8,
    *,
    path: str = "linear",
    one_by_one: bool = False,
    attributes: tuple[Tensor, Tensor] | None = None,
) -> Morph:
    """Go from one image to another.

    Args:
        model: one that encodes; any on a path of pixels; one that follows references on a homomorphic path.
        first, second: [1, 3, S, S] in [-1, 1].
        steps: images on the way, both ends counted.
        path: linear: z and y go straight; slerp: z on the arc, y straight; uniform: straight, but stopping where all
            steps look equally large; pixel: a cross-fade; homomorphic: features, by groups of attributes.
        one_by_one: group after group on a homomorphic path, instead of all at once.
        attributes: of both, [1, width] each; guessed by the model when None.

    Raises:
        AttrimorphError: the model cannot, or there is no such path.
    """
    check_steps(steps)
    if path == "pixel":
        return Morph(paths.pixel(first[0], second[0], steps), None)
    if path == "homomorphic":
        return Morph(homomorphic(model, first, second, steps, one_by_one=one_by_one).cpu(), None)
    if path not in PATHS:
        raise AttrimorphError(f"there is no path {path!r} between two images; {suggestion(path, PATHS)}")
    encodes = encoder(model, "morph")
    y_first, y_second = attributes or (attributes_of(model, first), attributes_of(model, second))
    a, b = encodes.encode(first, y_first), encodes.encode(second, y_second)

    def way(at: int | Tensor) -> Code:
        z = (paths.spherical if path == "slerp" else paths.linear)(a.z[0], b.z[0], at)
        return Code(z, paths.linear(a.attributes[0], b.attributes[0], at))

    code = way(_even_positions(model, way, steps) if path == "uniform" else steps)
    between = decoded(model, code)[1:-1]
    # The ends are decoded alone, as a reconstruction is: another batch size may round the last bit differently.
    return Morph(torch.cat([model.decode(a), between, model.decode(b)]), code)


def square(model: Model, corners: Tensor, rows: int = 5, *, attributes: Tensor | None = None) -> Morph:
    """Fill the square between four images, in z and y.

    Args:
        model: one that encodes.
        corners: upper left, upper right, lower left, lower right, [4, 3, S, S] in [-1, 1].
        rows: images along each side, corners counted.
        attributes: of the four, [4, width]; guessed by the model when None.

    Raises:
        AttrimorphError: the model does not encode, or the square is too large.
    """
    encodes = encoder(model, "morph")
    check_steps(rows, MOST_ROWS)
    ends = _codes_alone(encodes, corners, attributes_of(model, corners) if attributes is None else attributes)
    z = paths.bilinear(torch.cat([end.z for end in ends]), rows, rows)
    y = paths.bilinear(torch.cat([end.attributes for end in ends]), rows, rows)
    code = Code(z.flatten(0, 1), y.flatten(0, 1))
    images = decoded(model, code).view(rows, rows, *corners.shape[1:])
    for end, (row, column) in zip(ends, ((0, 0), (0, -1), (-1, 0), (-1, -1)), strict=True):
        images[row, column] = model.decode(end)[0]
    return Morph(images, code)


def _codes_alone(encodes: Encodes, images: Tensor, y: Tensor) -> list[Code]:
    return [encodes.encode(image[None], row[None]) for image, row in zip(images, y, strict=True)]


def decoded(model: Model, code: Code) -> Tensor:
    """Return the images of many codes, a batch at a time, [B, 3, S, S]."""
    pairs = zip(torch.split(code.z, AT_ONCE), torch.split(code.attributes, AT_ONCE), strict=True)
    return torch.cat([model.decode(Code(z, y)) for z, y in pairs])


def _even_positions(model: Model, way: Callable[[Tensor], Code], steps: int) -> Tensor:
    """Return where on a way to stop so that all steps look equally large, [steps] from 0 to 1."""
    return paths.uniform(lambda at: decoded(model, way(at)).cpu(), step_length(model), steps)[1]


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
