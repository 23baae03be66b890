"""What every application needs first: a model that can, and the attributes and codes of images."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attrimorph.applications import Search
from attrimorph.data import Changes
from attrimorph.models.model import AUTOENCODER, Code, Edits, Encodes, Generates, Model, Moves

if TYPE_CHECKING:
    from attrimorph.applications.inversion import Distance, Inversion, Progress

INVERT = f"add --invert to look for the code, or {AUTOENCODER}"


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
        raise model.unable(verb, "encodes", INVERT if invertible else AUTOENCODER)
    return model


def editor(model: Model, verb: str, *, invertible: bool = False) -> Edits:
    """Return the model as one that edits; arguments and errors as of `encoder`."""
    if not isinstance(model, Edits):
        raise model.unable(verb, "edits", INVERT if invertible else AUTOENCODER)
    return model


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
    return model.schema.with_facts(model.guess_attributes(images).cpu(), known or {})


def code_of(
    model: Model,
    images: Tensor,
    attributes: Tensor | None,
    verb: str,
    *,
    known: Changes | None = None,
    invert: Search | None = None,
    distance: "Distance | None" = None,
    progress: "Progress | None" = None,
) -> "tuple[Code, Inversion | None]":
    """Return the codes of images, and the inversion that found them where there was one.

    Args:
        model: one that encodes; with `invert`, one that generates. An editor along axes stands for its generator.
        images: [B, 3, S, S] in [-1, 1], what an encoder is shown.
        attributes: [B, W]; guessed by the model when None, with `invert` looked for together with z.
        verb: who asks; a refusal names it.
        known: attribute -> 0 or 1, put over what is guessed, and not looked for.
        invert: how to look for the codes; None = take the encoder's.
        distance: what an inversion compares; all pixels when None.
        progress: of the inversion, called with (steps done, steps).

    Raises:
        AttrimorphError: the model cannot, or there is no such attribute.
    """
    if isinstance(model, Moves) and (invert is not None or model.invert is None):
        attributes = None if attributes is None else attributes[:, : model.model.schema.width]
        model = model.model
        # Axes tell of codes as long as drawn ones.
        invert = invert if invert is None or invert.within is not None else replace(invert, within=1.0)
    if invert is None:
        encodes = encoder(model, verb, invertible=isinstance(model, Generates))
        return encodes.encode(images, attributes_of(model, images, known) if attributes is None else attributes), None
    # What only an inversion needs, networks that compare pictures among it, is imported for one.
    from attrimorph.applications.inversion import inversion, known_alone

    given = known_alone(model.schema, len(images), known or {}) if attributes is None else attributes
    found = inversion(model, images, given, distance=distance, search=invert, progress=progress)
    return found.code, found
