"""What every verb needs first: a model that can, photographs at its size, and their attributes."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from attrimorph.data.schema import Changes
from attrimorph.errors import AttrimorphError
from attrimorph.models.codes import Edits, Encodes
from attrimorph.models.model import Model


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


def attributes_of(model: Model, images: Tensor, known: Changes | None = None) -> Tensor:
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
    for key, value in model.schema.facts(known or {}).items():
        attribute, _ = model.schema.find(key)
        if attribute.kind == "real":
            y = y.clone()
            y[:, model.schema.columns(attribute.name)] = (value - attribute.mean) / attribute.scale
        else:
            y = model.schema.edit(y, {key: 1.0 if value else -1.0})
    return y
