"""Recipes from plain values (JSON, YAML): the method says which kind of recipe it is."""

from typing import Any

from attrimorph.algorithms.terms import METHODS
from attrimorph.errors import AttrimorphError, shown, suggestion
from attrimorph.overrides import build
from attrimorph.recipes.options import AnyRecipe, Recipe


def read_recipe(value: Any) -> AnyRecipe:
    """Read a whole recipe from plain values.

    Raises:
        AttrimorphError: an unknown method or field or a value that does not fit, in one sentence.
    """
    if not isinstance(value, dict):
        raise AttrimorphError(
            f"a recipe must be a mapping of fields; got {type(value).__name__}; see `attrimorph recipes`"
        )
    method = value.get("method", "cvae-gan")
    if isinstance(method, str) and method in METHODS:
        return build(Recipe, value)
    # A command that uses one model of the family pays for no other kind.
    from attrimorph.recipes import attribute2image, interpolation, progressive, translation

    kinds: dict[str, type[AnyRecipe]] = {
        **dict.fromkeys(attribute2image.METHODS, attribute2image.LayerRecipe),
        **dict.fromkeys(translation.METHODS, translation.TranslationRecipe),
        **dict.fromkeys(interpolation.METHODS, interpolation.InterpolationRecipe),
        **dict.fromkeys(progressive.METHODS, progressive.ProgressiveRecipe),
    }
    if not isinstance(method, str) or method not in kinds:
        near = suggestion(method if isinstance(method, str) else "", [*METHODS, *kinds])
        raise AttrimorphError(f"there is no method {shown(method)}; {near}")
    return build(kinds[method], value)
