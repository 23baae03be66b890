"""Recipes: functions that return a frozen value which describes one whole run."""

from collections.abc import Callable

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.recipes.faces import drawn_faces, quickstart
from attrimorph.recipes.family import FAMILY
from attrimorph.recipes.options import (
    AnyRecipe,
    DataOptions,
    LossOptions,
    NetworkOptions,
    OptimiserOptions,
    Recipe,
    TrainingOptions,
)
from attrimorph.recipes.reading import read_recipe

__all__ = [
    "RECIPES",
    "AnyRecipe",
    "DataOptions",
    "LossOptions",
    "NetworkOptions",
    "OptimiserOptions",
    "Recipe",
    "TrainingOptions",
    "read_recipe",
    "recipe_named",
]

RECIPES: dict[str, Callable[[], AnyRecipe]] = {"quickstart": quickstart, "drawn-faces-64": drawn_faces, **FAMILY}


def recipe_named(name: str) -> AnyRecipe:
    """Return the recipe of that name.

    Raises:
        AttrimorphError: there is none; the sentence names the nearest.
    """
    if name not in RECIPES:
        raise AttrimorphError(f"there is no recipe {name!r}; {suggestion(name, RECIPES)}")
    return RECIPES[name]()
