"""A whole photograph, and where in it the square lies that a model is shown: what changes there is put back into it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications.inputs import editor
from attrimorph.data.images import open_image, placed
from attrimorph.models.model import Encodes, Model
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


FAINT, PLAIN = 0.06, 0.3  # of the scale of [-1, 1]


def with_detail(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Put what changed between two pictures of a model onto the images that they stand for: x + after - before.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        before, after: what the model makes of them, unedited and edited.

    Returns:
        [B, 3, S, S] in [-1, 1] on the CPU.
    """
    return (images.cpu() + after.cpu() - before.cpu()).clamp(-1, 1)


def blended(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """As `with_detail`, but where much changes the edited picture itself: (1 - w) (x + after - before) + w after.

    What is taken away (glasses, a beard) lies elsewhere by a pixel in a picture that an inversion found; its difference
    alone would leave a ghost. w rises from 0 to 1 with the mean change of the neighbourhood, from FAINT to PLAIN.

    Arguments and result as of `with_detail`.
    """
    images, before, after = images.cpu(), before.cpu(), after.cpu()
    size = (after - before).abs().mean(1, keepdim=True)
    for _ in range(2):
        size = avg_pool2d(size, 5, 1, 2, count_include_pad=False)
    w = ((size - FAINT) / (PLAIN - FAINT)).clamp(0, 1)
    return ((1 - w) * (images + after - before) + w * after).clamp(-1, 1)


def edited_with_detail(model: Model, images: Tensor, changes: Mapping[str, float], attributes: Tensor) -> Tensor:
    """Put what an edit changes onto the image itself: x + G(z, y') - G(z, y).

    What the model cannot reconstruct (grain, background, fine detail) stays. A model that does not encode gives its
    edits as they are.

    Args:
        model: one that edits.
        images: [B, 3, S, S] in [-1, 1].
        changes: see `Schema.edit`.
        attributes: [B, W] of the images.

    Returns:
        [B, 3, S, S] in [-1, 1].
    """
    edits = editor(model, "edit")
    if not isinstance(model, Encodes):
        return edits.edit(images, changes, attributes).cpu()
    after, before = edits.edit(images, changes, attributes), edits.edit(images, dict.fromkeys(changes, 0.0), attributes)
    return with_detail(images, before, after)
