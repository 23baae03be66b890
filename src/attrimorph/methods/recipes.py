"""All recipes by name: functions that return a frozen value which describes one whole run."""

from collections.abc import Callable

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods import METHODS
from attrimorph.recipe import AnyRecipe

RECIPES: dict[str, Callable[[], AnyRecipe]] = {
    name: make for entry in METHODS.values() for name, make in entry.recipes().named.items()
}


def recipe_named(name: str) -> AnyRecipe:
    """Return the recipe of that name.

    Raises:
        AttrimorphError: there is none; the sentence names the nearest.
    """
    if name not in RECIPES:
        raise AttrimorphError(f"there is no recipe {name!r}; {suggestion(name, RECIPES)}")
    return RECIPES[name]()
