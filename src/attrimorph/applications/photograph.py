"""A whole photograph, and where in it the square lies that a model is shown: what changes there is put back into it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attrimorph.data.images import open_image, placed
from attrimorph.models.model import Model
from attrimorph.models.pictures import crop_for

FEATHER = 1 / 16
"""Of the square's side: so wide is the border over which a change fades out inside a larger photograph."""
Affine = tuple[float, float, float, float, float, float]


def place_of(model: Model, image: Image.Image) -> Affine:
    """Return where the square lies that the model is shown of a photograph.

    Returns:
        (a, b, c, d, e, f): pixel (x, y) of the square is (a x + b y + c, d x + e y + f) of the photograph.

    Raises:
        AttrimorphError: the model's images were aligned, and there is no face in the photograph.
    """
    preprocessing = dict(model.header.get("preprocessing") or {})
    if preprocessing.get("align"):
        from attrimorph.data.align import check_installed, find_eyes, similarity

        check_installed()
        return similarity(find_eyes(image), model.image_size)
    left, top, right, bottom = placed(image.size, crop_for(image.size, preprocessing.get("crop")), model.image_size)
    return (right - left) / model.image_size, 0.0, left, 0.0, (bottom - top) / model.image_size, top


def put_back(model: Model, path: Path, change: Tensor) -> Image.Image:
    """Return a whole photograph with a change of the square that the model was shown: its own detail stays.

    Args:
        model: that was shown it.
        path: of the photograph.
        change: [3, S, S], edited less unedited, in [-2, 2].
    """
    image = open_image(path)
    a, b, c, d, e, f = place_of(model, image)
    size, turned = model.image_size, a * e - b * d
    # From the photograph's pixels to the square's.
    inverse = (e / turned, -b / turned, (b * f - c * e) / turned, -d / turned, a / turned, (c * d - a * f) / turned)
    whole = (a, b, c, d, e, f) == (image.width / size, 0.0, 0.0, 0.0, image.height / size, 0.0)
    levels = change.float().cpu().mul(127.5) * (1.0 if whole else _fading(size))
    pixels = np.asarray(image).astype(np.float32)
    for channel, values in enumerate(levels):
        layer = Image.fromarray(values.contiguous().numpy())
        moved = layer.transform(image.size, Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC)
        pixels[..., channel] += np.asarray(moved)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _fading(size: int) -> Tensor:
    """Return weights [S, S]: 1 inside, falling to 0 at the border."""
    inward = torch.arange(size).add(0.5).minimum(size - 0.5 - torch.arange(size)) / (FEATHER * size)
    ramp = inward.clamp(max=1)
    return ramp[:, None] * ramp[None]
