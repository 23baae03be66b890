"""Morph: the way from one image to another, and the square between four."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications import Search, paths
from attrimorph.applications.generating import homomorphic
from attrimorph.applications.inputs import code_of
from attrimorph.applications.inversion import Inversion, Progress
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.evaluators.judge import judge_for
from attrimorph.methods.translation.model import Chain
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.similarity import perceptual_distance
from attrimorph.models.model import Chains, Code, Model, decided
from attrimorph.pictures import Pictures, Source, png_bytes, sheet

AT_ONCE = 128
MOST_STEPS, MOST_ROWS = 1000, 40
THROUGH_CODES = ("linear", "slerp", "uniform")
PATHS = (*THROUGH_CODES, "pixel", "homomorphic")
"""Paths between two images; `square` fills what lies between four, `stages` goes through in-between images."""


@dataclass(frozen=True)
class Morph:
    """A morph. Its ends are exact: the images on a path of pixels, their reconstructions on any other.

    Attributes:
        images: [steps, 3, S, S] in [-1, 1]; of a square [rows, rows, 3, S, S].
        code: of each step, rows one after another; None on a path that has no codes.
        inversion: how the codes of the ends were found; None where they are the encoder's.
    """

    images: Tensor
    code: Code | None
    inversion: Inversion | None = None

    def _repr_png_(self) -> bytes:
        return png_bytes(sheet(list(self.images) if self.images.ndim == 5 else [self.images]))


def check_steps(steps: int, most: int = MOST_STEPS) -> None:
    """Refuse absurd numbers of steps.

    Raises:
        AttrimorphError: not in 2..most.
    """
    if not 2 <= steps <= most:
        raise AttrimorphError(f"a morph's steps must lie in 2..{most}; got {steps}; try {min(8, most)}")


def check_codes(path: str, invert: Search | None) -> None:
    """Refuse to look for codes on a path that has none.

    Raises:
        AttrimorphError: an inversion is wished for there.
    """
    if invert is not None and path not in (*THROUGH_CODES, "bilinear"):
        raise AttrimorphError(
            f"--invert looks for codes, and the path {path} goes through none; leave it out, or take --path linear"
        )


def morph(
    model: Model,
    first: Source,
    second: Source,
    steps: int = 8,
    *,
    path: str = "linear",
    one_by_one: bool = False,
    attributes: tuple[Tensor, Tensor] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Morph:
    """Go from one image to another.

    Args:
        model: one that encodes, with `invert` one that generates; any on a path of pixels; one that follows references
            on a homomorphic path.
        first, second: a file, a PIL picture, pixels, or [1, 3, S, S] in [-1, 1] each; see `Model.prepared`.
        steps: images on the way, both ends counted.
        path: linear: z and y go straight; slerp: z on the arc, y straight; uniform: straight, but stopping where all
            steps look equally large; pixel: a cross-fade; homomorphic: features, by groups of attributes.
        one_by_one: group after group on a homomorphic path, instead of all at once.
        attributes: of both, [1, width] each; guessed by the model when None, with `invert` looked for.
        invert: how to look for the codes of the ends; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).

    Raises:
        AttrimorphError: the model cannot, there is no such path, or it has no codes to look for.
    """
    check_steps(steps)
    if path not in PATHS:
        raise AttrimorphError(f"there is no path {path!r} between two images; {suggestion(path, PATHS)}")
    check_codes(path, invert)
    first, second = model.prepared(first), model.prepared(second)
    if path == "pixel":
        return Morph(paths.pixel(first[0], second[0], steps).as_subclass(Pictures), None)
    if path == "homomorphic":
        way = homomorphic(model, first, second, steps, one_by_one=one_by_one)
        return Morph(way.cpu().as_subclass(Pictures), None)
    (a, b), found = ends(model, (first, second), attributes, invert=invert, progress=progress)
    return replace(between(model, a, b, steps, path=path), inversion=found)


def ends(
    model: Model,
    images: Sequence[Tensor],
    attributes: Sequence[Tensor] | None = None,
    *,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> tuple[list[Code], Inversion | None]:
    """Return the code of each image, one row each, and how they were found.

    Args:
        model: one that encodes; with `invert`, one that generates.
        images: [1, 3, S, S] in [-1, 1] each.
        attributes: [1, width] each; guessed by the model when None, with `invert` looked for.
        invert, progress: as of `morph`.
    """
    if invert is None:
        # Each alone, as a reconstruction is: another batch size may round the last bit differently.
        known: Sequence[Tensor | None] = attributes or [None] * len(images)
        return [code_of(model, image, y, "morph")[0] for image, y in zip(images, known, strict=True)], None
    y = None if attributes is None else torch.cat(list(attributes))
    code, found = code_of(model, torch.cat(list(images)), y, "morph", invert=invert, progress=progress)
    return [Code(*row) for row in zip(torch.split(code.z, 1), torch.split(code.attributes, 1), strict=True)], found


def between(model: Model, a: Code, b: Code, steps: int, *, path: str = "linear") -> Morph:
    """Go from one code to another, of one row each, on a path linear, slerp or uniform; see `morph`."""

    def way(at: int | Tensor) -> Code:
        z = paths.linear(a.z[0], b.z[0], at)
        if path == "slerp":
            arc = a.z.shape[1] - model.straight
            z[:, :arc] = paths.spherical(a.z[0, :arc], b.z[0, :arc], at)
        return Code(z, paths.linear(a.attributes[0], b.attributes[0], at))

    at: int | Tensor = steps
    if path == "uniform":  # where all steps look equally large, [steps] from 0 to 1
        at = paths.uniform(lambda at: decoded(model, way(at)).cpu(), step_length(model), steps)[1]
    code = way(at)
    inner = decoded(model, code)[1:-1]
    # The ends are decoded alone, as a reconstruction is: another batch size may round the last bit differently.
    return Morph(torch.cat([model.decode(a), inner, model.decode(b)]).as_subclass(Pictures), code)


def square(
    model: Model,
    corners: Source,
    rows: int = 5,
    *,
    attributes: Tensor | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Morph:
    """Fill the square between four images, in z and y.

    Args:
        model: one that encodes; with `invert`, one that generates.
        corners: upper left, upper right, lower left, lower right: four files, PIL pictures or images as of `morph`.
        rows: images along each side, corners counted.
        attributes: of the four, [4, width]; guessed by the model when None, with `invert` looked for.
        invert, progress: as of `morph`.

    Raises:
        AttrimorphError: the model cannot, or the square is too large.
    """
    check_steps(rows, MOST_ROWS)
    known = None if attributes is None else torch.split(attributes, 1)
    codes, found = ends(model, torch.split(model.prepared(corners), 1), known, invert=invert, progress=progress)
    return replace(among(model, codes, rows), inversion=found)


def among(model: Model, corners: Sequence[Code], rows: int) -> Morph:
    """Fill the square between four codes, of one row each; see `square`."""
    z = paths.bilinear(torch.cat([corner.z for corner in corners]), rows, rows)
    y = paths.bilinear(torch.cat([corner.attributes for corner in corners]), rows, rows)
    code = Code(z.flatten(0, 1), y.flatten(0, 1))
    images = decoded(model, code)
    for corner, place in zip(corners, (0, rows - 1, -rows, -1), strict=True):
        images[place] = model.decode(corner)[0]
    return Morph(images.view(rows, rows, *images.shape[1:]), code)


def decoded(model: Model, code: Code) -> Tensor:
    """Return the images of many codes, a batch at a time, [B, 3, S, S]."""
    pairs = zip(torch.split(code.z, AT_ONCE), torch.split(code.attributes, AT_ONCE), strict=True)
    return torch.cat([model.decode(Code(z, y)) for z, y in pairs])


def step_length(model: Model) -> Callable[[Tensor, Tensor], Tensor]:
    """Return how far two batches of the model's images look apart, [B], as a length that adds up along a line.

    The root of the perceptual distance by the shipped judge of the model's attributes; of the squared difference of
    pixels at three sizes where there is none.
    """
    judge = judge_for(model.schema, model.image_size, model.device)
    distance = pixel_distance if judge is None else perceptual_distance(JudgeFeatures(judge))
    return lambda images, others: distance(images, others).clamp(min=0).sqrt()


def pixel_distance(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean squared difference of two batches, mean over the full, half and quarter size, [B]."""
    difference = images - others
    return torch.stack([avg_pool2d(difference, size).square().mean((1, 2, 3)) for size in (1, 2, 4)]).mean(0)


def chain_of(model: Model) -> Chains:
    """Return the model as a chain of CycleGANs.

    Raises:
        AttrimorphError: it is none.
    """
    if isinstance(model, Chains):
        return model
    try:
        return Chain([model])
    except AttrimorphError as error:
        raise AttrimorphError(
            f"a path through in-between images needs CycleGANs; {model.recipe.name!r} ({model.recipe.method}) is none; "
            "name trained ones with commas, --model runs/young,runs/blond"
        ) from error


def stages(model: Model, image: Tensor, changes: Mapping[str, float], other: Tensor | None = None) -> dict[str, Tensor]:
    """Change one attribute after another, and go on to another image if there is one.

    Args:
        model: a chain, or one CycleGAN.
        image: [1, 3, S, S] in [-1, 1].
        changes: attribute -> 1 (set) or -1 (taken away), in their order; see `differences`.
        other: [1, 3, S, S], the end of the path.

    Returns:
        Where the path stops: "input", "Young +1", ..., "to" -> [3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: the model is no chain, nothing changes, or one of the changes is beyond it.
    """
    chain = chain_of(model)
    if not changes:
        raise AttrimorphError(
            "a path through in-between images must change an attribute; got none; "
            f"add --set {next(iter(chain.links))}=1"
        )
    names = ["input", *(f"{name} {strength:+g}" for name, strength in changes.items())]
    found = {name: stage[0].cpu() for name, stage in zip(names, chain.stages(image, changes), strict=True)}
    return found if other is None else {**found, "to": other[0]}


def differences(model: Model, image: Tensor, other: Tensor) -> dict[str, float]:
    """Return what a chain has to change so that an image gets another's attributes, in the order of its models.

    CycleGANs do not tell attributes: the shipped judge of the model's attributes does.

    Args:
        model: a chain, or one CycleGAN.
        image, other: [1, 3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: no judge ships for these attributes, or the two agree in all of them.
    """
    chain = chain_of(model)
    judge = judge_for(model.schema, model.image_size, model.device)
    if judge is None:
        raise AttrimorphError(
            "the changes on the way must be given where no shipped judge can tell them; "
            f"add --set {next(iter(chain.links))}=1"
        )
    before, after = (decided(judge(each), model.schema)[0] for each in (image, other))
    changes = {}
    for name in chain.links:
        column = model.schema.columns(name).start
        if before[column] != after[column]:
            changes[name] = 1.0 if after[column] > 0.5 else -1.0
    if not changes:
        raise AttrimorphError(
            f"the two pictures must differ in {', '.join(chain.links)}; the judge sees them alike; say with --set "
            "what is to change"
        )
    return changes
