"""What every verb needs first: a model that can, photographs at its size, and their attributes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.data.images import CropLike, fit, open_image
from attrimorph.data.readers.raw import Crop
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models import Edits, Encodes, Model


def encoder(model: Model, verb: str, *, invertible: bool = False) -> Encodes:
    """Return the model as one that encodes.

    Args:
        model: any.
        verb: is named where the model does not encode.
        invertible: whether the verb could look for the code of this model's images instead.

    Raises:
        AttrimorphError: it does not; `verb` is named.
    """
    if not isinstance(model, Encodes):
        raise _incapable(model, verb, "encodes", "add --invert to look for the code, or " if invertible else "")
    return model


def editor(model: Model, verb: str, *, invertible: bool = False) -> Edits:
    """Return the model as one that edits; arguments and errors as of `encoder`."""
    if not isinstance(model, Edits):
        raise _incapable(model, verb, "edits", "add --invert to look for the code, or " if invertible else "")
    return model


def _incapable(model: Model, verb: str, capability: str, remedy: str = "") -> AttrimorphError:
    return AttrimorphError(
        f"{verb} needs a model that {capability}; {model.recipe.name!r} ({model.recipe.method}) does not; "
        f"{remedy}use a conditional autoencoder, for example drawn-faces-64"
    )


def photographs(model: Model, paths: Sequence[Path]) -> Tensor:
    """Read photographs as the model's training images were made, [B, 3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: no picture, or one that cannot be read.
    """
    if not paths:
        raise AttrimorphError("at least one picture must be given; got none; name a file")
    return torch.cat([_photograph(model, Path(path)) for path in paths])


def _photograph(model: Model, path: Path) -> Tensor:
    return prepared(model, open_image(path))


def prepared(model: Model, image: Image.Image) -> Tensor:
    """Bring a picture to what the model's training images were, [1, 3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: the model's images were aligned, and there is no face in the picture.
    """
    preprocessing = dict(model.header.get("preprocessing") or {})
    if preprocessing.get("align"):
        from attrimorph.data.align import align, check_installed

        check_installed()
        image = align(image, model.image_size)
    else:
        image = fit(image, model.image_size, crop_for(image.size, preprocessing.get("crop")))
    return pixels_of(image)


def pixels_of(image: Image.Image) -> Tensor:
    """Turn an RGB picture of any size into [1, 3, H, W] in [-1, 1]."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    return pixels.permute(2, 0, 1)[None].float().div(127.5).sub(1).contiguous()


def crop_for(size: tuple[int, int], crop: Any) -> CropLike:
    """Return the crop for a picture of `size`, given the crop of the training images as the model's header holds it.

    A rectangle measured on images of a certain shape suits pictures of that shape; a crop in absolute pixels suits
    pictures of about that size. Other pictures get the largest centred square, None.
    """
    if isinstance(crop, Mapping):
        of = crop.get("of")
        rectangle = Crop(crop["left"], crop["top"], crop["right"], crop["bottom"], tuple(of) if of else None)
        if of:
            return rectangle if abs(size[0] * of[1] / (size[1] * of[0]) - 1) < 0.02 else None
        return rectangle if rectangle.right <= min(size[0], 1e9) < 2 * rectangle.right else None
    if isinstance(crop, int):
        return crop if min(size) < 2 * crop else None
    return None


def attributes_of(model: Model, images: Tensor, known: Mapping[str, float] | None = None) -> Tensor:
    """Return the attributes of images: guessed and decided by the model, then what is known put over them.

    Args:
        model: whose `classify` guesses.
        images: [B, 3, S, S] in [-1, 1].
        known: attribute name (or "name=value") -> 0 or 1 (a real attribute: its raw value); holds for all images.

    Returns:
        [B, width] on the CPU; binary columns 0 or 1.

    Raises:
        AttrimorphError: the model has no classifier, or there is no such attribute.
    """
    if not model.conditional and not known:
        return torch.full((len(images), model.schema.width), torch.nan)
    y = decided(model.classify(images).cpu(), model.schema)
    for key, value in (known or {}).items():
        y = _with_known(y, model.schema, key, value)
    return y


def decided(probabilities: Tensor, schema: Schema) -> Tensor:
    """Decide every attribute as a training label would: binary at one half, categorical one-hot.

    Where several members of an exclusive group come out, only the likeliest stays.

    Args:
        probabilities: [B, width].

    Returns:
        [B, width].
    """
    y = probabilities.clone()
    for kind, start, stop in schema.blocks:
        part = probabilities[:, start:stop]
        if kind == "binary":
            y[:, start:stop] = (part > 0.5).to(y.dtype)
        elif kind == "categorical":
            y[:, start:stop] = torch.zeros_like(part).scatter_(1, part.argmax(1, keepdim=True), 1)
    for group in schema.exclusive:
        members = [schema.columns(name).start for name in group]
        part = torch.where(y[:, members] > 0, probabilities[:, members], -1.0)
        y[:, members] *= torch.zeros_like(part).scatter_(1, part.argmax(1, keepdim=True), 1)
    return y


def _with_known(y: Tensor, schema: Schema, key: str, value: float) -> Tensor:
    attribute = schema.attribute(key.partition("=")[0])
    if attribute.kind == "real":
        if not math.isfinite(value):
            raise AttrimorphError(f"a known value must be a finite number; {key} got {value:g}; leave it out")
        y = y.clone()
        y[:, schema.columns(attribute.name)] = (value - attribute.mean) / attribute.scale
        return y
    if value not in (0, 1):
        raise AttrimorphError(f"a known attribute must be 0 or 1; {key} got {value:g}; strengths belong to --set")
    return schema.edit(y, {key: 1.0 if value else -1.0})
