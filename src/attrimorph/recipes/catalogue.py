"""All recipes by name: functions that return a frozen value which describes one whole run."""

from collections.abc import Callable

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.recipes.attribute2image import ATTRIBUTE2IMAGE
from attrimorph.recipes.faces import drawn_faces, quickstart
from attrimorph.recipes.family import FAMILY
from attrimorph.recipes.identities import IDENTITIES
from attrimorph.recipes.interpolation import INTERPOLATION
from attrimorph.recipes.options import AnyRecipe
from attrimorph.recipes.progressive import PROGRESSIVE
from attrimorph.recipes.translation import TRANSLATION

RECIPES: dict[str, Callable[[], AnyRecipe]] = {
    "quickstart": quickstart,
    "drawn-faces-64": drawn_faces,
    **FAMILY,
    **IDENTITIES,
    **ATTRIBUTE2IMAGE,
    **TRANSLATION,
    **INTERPOLATION,
    **PROGRESSIVE,
}


def recipe_named(name: str) -> AnyRecipe:
    """Return the recipe of that name.

    Raises:
        AttrimorphError: there is none; the sentence names the nearest.
    """
    if name not in RECIPES:
        raise AttrimorphError(f"there is no recipe {name!r}; {suggestion(name, RECIPES)}")
    return RECIPES[name]()
