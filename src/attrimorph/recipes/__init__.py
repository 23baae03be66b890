"""Recipes: functions that return a frozen value which describes one whole run.

Each name is loaded when it is first used: who loads one model needs no recipes but its own.
"""

from typing import TYPE_CHECKING

from attrimorph.lazy import loading

if TYPE_CHECKING:
    from attrimorph.recipes.catalogue import RECIPES as RECIPES
    from attrimorph.recipes.catalogue import recipe_named as recipe_named
    from attrimorph.recipes.options import AnyRecipe as AnyRecipe
    from attrimorph.recipes.options import DataOptions as DataOptions
    from attrimorph.recipes.options import LossOptions as LossOptions
    from attrimorph.recipes.options import NetworkOptions as NetworkOptions
    from attrimorph.recipes.options import OptimiserOptions as OptimiserOptions
    from attrimorph.recipes.options import Recipe as Recipe
    from attrimorph.recipes.options import TrainingOptions as TrainingOptions
    from attrimorph.recipes.reading import read_recipe as read_recipe

_HOMES = {
    name: f"attrimorph.recipes.{home}"
    for home, names in {
        "catalogue": ("RECIPES", "recipe_named"),
        "options": (
            "AnyRecipe",
            "DataOptions",
            "LossOptions",
            "NetworkOptions",
            "OptimiserOptions",
            "Recipe",
            "TrainingOptions",
        ),
        "reading": ("read_recipe",),
    }.items()
    for name in names
}

__all__ = [*_HOMES]
__getattr__ = loading(__name__, _HOMES)
