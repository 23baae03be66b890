"""Recipes from plain values (JSON, YAML): the method says which kind of recipe it is."""

from typing import Any

from attrimorph.errors import AttrimorphError, shown, suggestion
from attrimorph.methods import METHODS
from attrimorph.overrides import build
from attrimorph.recipe import AnyRecipe


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
    if not isinstance(method, str) or method not in METHODS:
        near = suggestion(method if isinstance(method, str) else "", METHODS)
        raise AttrimorphError(f"there is no method {shown(method)}; {near}")
    return build(METHODS[method].recipes().kind, value)
