"""What a picture lacks, made up: a hole of it filled, or a small one enlarged, with every known pixel kept.

Inpaint: x <- M G(E(x, y), y) + (1 - M) x, again and again; or by inversion (Attribute2Image, ECCV 2016): once, with the
code whose image is nearest where the pixels are known. Superresolve: detail that agrees with every known pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from attrimorph.applications import Search
from attrimorph.applications.inputs import code_of
from attrimorph.applications.inversion import Downsampled, Inversion, Pixels, Progress
from attrimorph.data.images import fit, open_image, upright_rgb
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model
from attrimorph.photographs.file import read_photograph
from attrimorph.pictures import crop_for, pixels_of, sheet

MOST_TIMES, MOST_ROUNDS = 1000, 100  # that the model looks at a filled, and at an enlarged image
MARKED = 0.1  # share of white from which on a pixel of a mask belongs to the hole
FILLS = ("border", "mean")
SHOWN = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)  # iterations worth a column
Hole = tuple[int, int, int, int]
LEVEL = 2 / 255  # of an 8-bit image, in [-1, 1]
AGREES = 0.05 * LEVEL  # difference to a known pixel at which back-projection stops
SMOOTH, MOST_PROJECTIONS = 50, 200


@dataclass(frozen=True)
class Inpainting:
    """Images with their holes filled.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1]; what they show in the hole played no part.
        masks: [B, 1, S, S], 1 = hole.
        steps: [times + 1, B, 3, S, S]: the first filling, then the image after each iteration; an inversion counts as
            one.
        inpainted: [B, 3, S, S], the last step; outside the hole the inputs, bit by bit.
        attributes: [B, W], those decoded with.
        inversion: how the codes were found; None where they are the encoder's.
    """

    images: Tensor
    masks: Tensor
    steps: Tensor
    inpainted: Tensor
    attributes: Tensor
    inversion: Inversion | None = None


def inpaint(
    model: Model,
    images: Tensor,
    masks: Tensor,
    attributes: Tensor | None = None,
    times: int = 10,
    *,
    fill: str = "border",
    feather: int = 0,
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Inpainting:
    """Fill holes (Bao et al. 2017, section 5.4).

    Args:
        model: one that encodes; with `invert`, one that generates.
        images: [B, 3, S, S] in [-1, 1].
        masks: [B or 1, 1, S, S], 1 = hole, 0 = known.
        attributes: [B, W]; guessed by the model from the filled image, anew in every iteration, when None; with
            `invert` looked for.
        times: iterations; an inversion takes none.
        fill: what the hole holds at first: "border" (what surrounds it, spread inwards) or "mean" (of what is known).
        feather: pixels inside the hole over which the difference along its border is evened out; 0 = not at all,
            as in the paper.
        known: attribute -> 0 or 1, put over what is guessed; see `attributes_of`.
        invert: how to look for codes by the known pixels alone; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).

    Raises:
        AttrimorphError: the model does not encode, or an argument is out of range.
    """
    masks = _checked_masks(images, masks)
    if not 1 <= times <= MOST_TIMES:
        raise AttrimorphError(f"times must lie in 1..{MOST_TIMES}; got {times}; try 10")
    if fill not in FILLS:
        raise AttrimorphError(f"fill must be {' or '.join(FILLS)}; got {fill!r}")
    if not 0 <= feather <= model.image_size:
        raise AttrimorphError(f"feather must lie in 0..{model.image_size} pixels; got {feather}; try 3")
    start = spread(images, masks) if fill == "border" else mean_filled(images, masks)
    steps, distance = [start], None if invert is None else Pixels(images, 1 - masks)
    for _ in range(times if invert is None else 1):
        code, found = code_of(
            model, steps[-1], attributes, "inpaint", known=known, invert=invert, distance=distance, progress=progress
        )
        proposal = model.decode(code).cpu()
        if feather:
            proposal = feathered(images, proposal, masks, feather)
        steps.append(torch.where(masks > 0, proposal, images))
    return Inpainting(images, masks, torch.stack(steps), steps[-1], code.attributes.cpu(), found)


def _checked_masks(images: Tensor, masks: Tensor) -> Tensor:
    if masks.dim() != 4 or masks.shape[1:] != (1, *images.shape[2:]) or len(masks) not in (1, len(images)):
        raise AttrimorphError(
            f"a mask must have the shape [{len(images)}, 1, {images.shape[2]}, {images.shape[3]}] of the images; "
            f"got {list(masks.shape)}; resize it"
        )
    holes = (masks > 0.5).expand(len(images), -1, -1, -1)
    share = holes.flatten(1).float().mean(1)
    if not bool(((share > 0) & (share < 1)).all()):
        what = "nothing" if float(share.min()) == 0 else "everything"
        raise AttrimorphError(
            f"a hole must be a part of the image; this one is {what}; mark it in white on a black mask, "
            "or give --hole left,top,right,bottom inside the picture"
        )
    return holes.to(images.dtype)


def mean_filled(images: Tensor, masks: Tensor) -> Tensor:
    """Fill the hole with the mean colour of what is known; arguments as of `spread`."""
    known = 1 - masks
    mean = (images * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
    return torch.where(masks > 0, mean, images)


def spread(images: Tensor, masks: Tensor) -> Tensor:
    """Fill the hole smoothly from what surrounds it: averages of known pixels, from fine to coarse and back.

    Args:
        images: [B, C, S, S]; the content of the hole plays no part.
        masks: [B, 1, S, S], 1 = hole.
    """
    known = 1 - masks
    values, weights = [images * known], [known]
    while min(values[-1].shape[-2:]) > 1:
        values.append(avg_pool2d(values[-1], 2, ceil_mode=True, count_include_pad=False))
        weights.append(avg_pool2d(weights[-1], 2, ceil_mode=True, count_include_pad=False))
    filled = values[-1] / weights[-1].clamp(min=1e-12)
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        coarse = interpolate(filled, value.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, value / weight.clamp(min=1e-12), coarse)
    # A few rounds of averaging take the blocks away; the known pixels stand fast.
    for _ in range(images.shape[-1] // 4):
        soft = avg_pool2d(filled, 3, stride=1, padding=1, count_include_pad=False)
        filled = torch.where(masks > 0, soft, images)
    return filled


def feathered(images: Tensor, proposal: Tensor, masks: Tensor, pixels: int) -> Tensor:
    """Even out the seam from inside: what the proposal misses along the border is spread into the hole and fades.

    Args:
        images: [B, 3, S, S], known outside the hole.
        proposal: [B, 3, S, S], what shall stand in the hole.
        masks: [B, 1, S, S], 1 = hole.
        pixels: depth at which nothing of the difference is left.
    """
    # Only what lies beside the hole says how the colours differ there.
    ring = max_pool2d(masks, 2 * pixels + 1, stride=1, padding=pixels) - masks
    difference = spread((images - proposal) * ring, 1 - ring)
    depth, left = torch.zeros_like(masks), masks
    for _ in range(pixels):
        depth, left = depth + left, 1 - max_pool2d(1 - left, 3, stride=1, padding=1)
    fade = ((pixels + 1 - depth) / (pixels + 1)) * (left == 0)
    return (proposal + fade * difference).clamp(-1, 1)


def hole_mask(size: tuple[int, int], hole: Hole) -> Image.Image:
    """Return a mask of the size (width, height) with a rectangle (left, top, right, bottom) as its hole.

    Raises:
        AttrimorphError: the rectangle is empty or does not lie inside.
    """
    left, top, right, bottom = hole
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise AttrimorphError(
            f"a hole must lie inside the picture of {size[0]}x{size[1]} pixels, left before right and top before "
            f"bottom; got {left},{top},{right},{bottom}; mend it"
        )
    mask = Image.new("L", size, 0)
    mask.paste(255, hole)
    return mask


def hole_of(mask: Image.Image, name: str) -> Image.Image:
    """Return the hole that a mask draws, "L", 255 = hole.

    Where a picture has transparent parts these alone are the hole, as of a photograph from which something was rubbed
    out; otherwise what is white.

    Args:
        mask: upright, of any mode.
        name: how errors call it.

    Raises:
        AttrimorphError: white strokes on a transparent ground say both.
    """
    grey = upright_rgb(mask).convert("L")
    alpha = mask.convert("RGBA").getchannel("A") if mask.has_transparency_data else None
    if alpha is None or alpha.getextrema() == (255, 255):
        return grey
    if bool((np.asarray(grey)[np.asarray(alpha) > 0] == 255).all()):
        raise AttrimorphError(
            f"of a mask the hole is what is transparent, or white where nothing is; {name} is white strokes on a "
            "transparent ground, which may be either; fill the ground with black"
        )
    return ImageOps.invert(alpha)


def mask_for(model: Model, picture: Path, mask: Path | Hole) -> Tensor:
    """Bring a mask where `photographs` brings the picture that it belongs to, [1, 1, S, S], 1 = hole.

    Args:
        model: whose size and crop are taken.
        picture: the file that has the hole.
        mask: a file of the picture's size, see `hole_of`, or a rectangle in the picture's pixels. Where the model's
            images were aligned, both refer to the aligned picture of S x S.

    Raises:
        AttrimorphError: the mask has another size than the picture.
    """
    preprocessing = dict(model.header.get("preprocessing") or {})
    side = model.image_size
    size = (side, side) if preprocessing.get("align") else open_image(picture).size
    drawn = hole_of(read_photograph(mask).picture(), mask.name) if isinstance(mask, Path) else hole_mask(size, mask)
    if drawn.size != size:
        raise AttrimorphError(
            f"the mask must have the picture's {size[0]}x{size[1]} pixels; {mask} has {drawn.width}x{drawn.height}; "
            "draw it on a copy of the picture"
        )
    scaled = fit(drawn, side, None if preprocessing.get("align") else crop_for(size, side, preprocessing))
    grey = torch.frombuffer(bytearray(scaled.tobytes()), dtype=torch.uint8).view(1, 1, side, side).float() / 255
    marked = (grey > MARKED).float()
    # Scaling smears the hole's content over its neighbours: they count as lost too.
    return marked if min(size) == side else max_pool2d(marked, 3, stride=1, padding=1)


def strip(result: Inpainting, cell: int) -> Image.Image:
    """Lay out the input, the input without its hole, the filling, some iterations, and the last."""
    last = len(result.steps) - 1
    numbers = [number for number in SHOWN if number < last] + [last]
    holed = torch.where(result.masks > 0, torch.zeros(()), result.images)
    row = torch.cat([result.images, holed, result.steps[[0, *numbers]].flatten(0, 1)])
    words: Sequence[str] = ["input", "known", "filled", *[str(number) for number in numbers]]
    if result.inversion is not None:
        words = ["input", "known", "filled", "found"]
    return sheet([row], columns=words, cell=cell)


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
            model, images, attributes, "superresolve", known=known, invert=invert, distance=distance, progress=progress
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
        low = pixels_of(open_image(path))
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
