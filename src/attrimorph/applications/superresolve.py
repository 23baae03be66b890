"""Superresolve: a small image enlarged, with detail that the model makes up and that agrees with every known pixel."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from attrimorph.applications.inputs import code_of
from attrimorph.applications.inversion import Inversion, Progress
from attrimorph.applications.inversion.distances import Downsampled
from attrimorph.applications.options import Search
from attrimorph.data.images import open_image
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model

MOST_ROUNDS = 100
LEVEL = 2 / 255  # of an 8-bit image, in [-1, 1]
AGREES = 0.05 * LEVEL  # difference to a known pixel at which back-projection stops
SMOOTH, MOST_PROJECTIONS = 50, 200


@dataclass(frozen=True)
class SuperResolution:
    """Small images and large ones.

    Attributes:
        low: the inputs, [B, 3, s, s] in [-1, 1].
        bicubic: enlarged without a model, [B, 3, S, S].
        images: enlarged by the model, [B, 3, S, S]; averaged down they are the inputs again.
        disagreement: [B], the largest difference between an input and the average of its result, in levels of 0..255.
        attributes: [B, W], those decoded with.
        inversion: how the codes were found; None where they are the encoder's.
    """

    low: Tensor
    bicubic: Tensor
    images: Tensor
    disagreement: Tensor
    attributes: Tensor
    inversion: Inversion | None = None


def superresolve(
    model: Model,
    low: Tensor,
    attributes: Tensor | None = None,
    rounds: int = 5,
    *,
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> SuperResolution:
    """Enlarge images to the model's size.

    x <- P(G(E(x, y), y)) from the bicubic enlargement on; P is back-projection (Irani and Peleg 1991):
    x <- x + up(low - down(x)) until down(x) = low, where down averages blocks and up is bicubic.

    Args:
        model: one that encodes images of S x S; with `invert`, one that generates them.
        low: [B, 3, s, s] in [-1, 1]; s divides S.
        attributes: [B, W]; guessed by the model, anew in every round, when None; with `invert` looked for.
        rounds: how often the model sees the image; an inversion takes none.
        known: attribute -> 0 or 1, put over what is guessed.
        invert: how to look for codes whose images average down to the small ones; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).

    Raises:
        AttrimorphError: the model does not encode, or sizes do not fit.
    """
    _factor(model, low)
    if not 1 <= rounds <= MOST_ROUNDS:
        raise AttrimorphError(f"rounds must lie in 1..{MOST_ROUNDS}; got {rounds}; try 5")
    bicubic = enlarged(low, model.image_size)
    images, distance = bicubic, None if invert is None else Downsampled(low)
    for _ in range(rounds if invert is None else 1):
        code, found = code_of(
            model,
            images,
            attributes,
            "superresolve",
            known=known,
            invert=invert,
            distance=distance,
            progress=progress,
        )
        images = back_projected(model.decode(code).cpu(), low)
    disagreement = (averaged(images, low.shape[-1]) - low).abs().flatten(1).amax(1) / LEVEL
    return SuperResolution(low, bicubic, images, disagreement, code.attributes.cpu(), found)


def _factor(model: Model, low: Tensor) -> int:
    side = low.shape[-1]
    if low.shape[-2] != side or not 0 < side < model.image_size or model.image_size % side:
        raise AttrimorphError(
            f"a small image must be square, and smaller than the model's {model.image_size} pixels by a whole factor; "
            f"got {side}x{low.shape[-2]}; add --times-larger 4 to shrink it first"
        )
    return model.image_size // side


def averaged(images: Tensor, side: int) -> Tensor:
    """Average blocks, [B, 3, S, S] -> [B, 3, side, side]."""
    return avg_pool2d(images, images.shape[-1] // side)


def enlarged(low: Tensor, size: int) -> Tensor:
    """Enlarge by bicubic interpolation, [B, 3, s, s] -> [B, 3, size, size] in [-1, 1]."""
    return interpolate(low, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)


def back_projected(images: Tensor, low: Tensor) -> Tensor:
    """Change images as smoothly as can be until they average down to `low`.

    Args:
        images: [B, 3, S, S].
        low: [B, 3, s, s] in [-1, 1].

    Returns:
        [B, 3, S, S] in [-1, 1].
    """
    images = images.clamp(-1, 1)
    for number in range(MOST_PROJECTIONS):
        missing = low - averaged(images, low.shape[-1])
        if float(missing.abs().max()) <= AGREES:
            break
        # Near black and white the smooth way takes long; what little is left then goes in block by block.
        mode = "bicubic" if number < SMOOTH else "nearest"
        images = (images + interpolate(missing, size=images.shape[-2:], mode=mode)).clamp(-1, 1)
    return images


def small_image(model: Model, path: Path, times_larger: int | None) -> tuple[Tensor, Tensor | None]:
    """Read a small image, or shrink a photograph.

    Args:
        model: whose size is S.
        path: the picture.
        times_larger: the photograph is brought to S / times_larger; None = the picture is small already.

    Returns:
        [1, 3, s, s] in [-1, 1], and the photograph at S where there was one.

    Raises:
        AttrimorphError: the sizes do not fit.
    """
    if times_larger is None:
        picture = open_image(path)
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(1, picture.height, picture.width, 3).permute(0, 3, 1, 2)
        low = pixels.float().div(127.5).sub(1).contiguous()
        _factor(model, low)
        return low, None
    if times_larger < 2 or model.image_size % times_larger:
        raise AttrimorphError(
            f"times_larger must be at least 2 and divide the model's {model.image_size} pixels; got {times_larger}; "
            "try 4"
        )
    large = model.prepared(path)
    # A small image has whole levels.
    low = averaged(large, model.image_size // times_larger).add(1).mul(127.5).round().div(127.5).sub(1)
    return low, large
