"""Coding: the codes of images, as the encoder says, or looked for by optimisation through the generator."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from attrimorph.applications.inputs import attributes_of, encoder
from attrimorph.applications.inversion.search import Inversion, Progress
from attrimorph.applications.options import Search
from attrimorph.models.codes import Code, Generates
from attrimorph.models.model import Model, Moves

if TYPE_CHECKING:
    from attrimorph.applications.inversion.distances import Distance


def code_of(
    model: Model,
    images: Tensor,
    attributes: Tensor | None,
    verb: str,
    *,
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    distance: "Distance | None" = None,
    progress: Progress | None = None,
) -> tuple[Code, Inversion | None]:
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
    from attrimorph.applications.inversion.invert import inversion, known_alone

    given = known_alone(model.schema, len(images), known or {}) if attributes is None else attributes
    found = inversion(model, images, given, distance=distance, search=invert, progress=progress)
    return found.code, found


def told(invert: Search | None, found: Inversion | None) -> dict[str, Any]:
    """Return what a receipt says of an inversion: its argument "invert", or nothing where there was none."""
    return {} if invert is None or found is None else {"invert": invert.to_json(found.steps)}
