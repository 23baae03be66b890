"""What every verb needs first: a model that can, photographs at its size, and their attributes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

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
    return model.prepared(paths)


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
    y = model.guess_attributes(images).cpu()
    for key, value in (known or {}).items():
        y = _with_known(y, model.schema, key, value)
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
