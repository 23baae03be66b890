"""Who takes part in a comparison: recipes by name, and what is changed of one of them or of all.

No torch here: a wrong word is refused without it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any, NamedTuple

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods import read_recipe
from attrimorph.methods.recipes import RECIPES
from attrimorph.recipe import AnyRecipe, find_recipe, override, parse_words

UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
SET_FOR_ALL = {
    "training.images": "--images or --budget",
    "training.seed": "--seeds",
    "data.image_size": "--size",
    "name": "a YAML file of its own",
}
"""Fields in which recipes are compared as equals, and what sets them."""


class Entrant(NamedTuple):
    """One recipe of a comparison.

    Attributes:
        recipe: with its changes.
        changes: of it: dotted name -> value. Numbers of images among them stand as given, however long it trains.
    """

    recipe: AnyRecipe
    changes: Mapping[str, Any]


def parse_budget(words: str) -> float:
    """Read 90s, 10min or 2h as seconds.

    Raises:
        AttrimorphError: it is no such time.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", words)
    if found is None or found[2] not in UNITS or float(found[1]) <= 0:
        raise AttrimorphError(f"a budget must be a time such as 90s, 10min or 2h; got {words!r}")
    return float(found[1]) * UNITS[found[2]]


def entrants(words: Sequence[str], size: int | None = None, options: Sequence[str] = ()) -> dict[str, Entrant]:
    """Return who takes part, by name.

    Args:
        words: recipes (names, YAML or JSON files, run folders), then overrides: --RECIPE.field value changes one
            recipe, --field value all of them.
        size: of all images, in place of the recipes' own.
        options: what the command line knows besides.

    Raises:
        AttrimorphError: fewer than two recipes, two of one name, different image sizes, a field that is none.
    """
    listed = list(takewhile(lambda word: not word.startswith("--"), words))
    recipes = [find_recipe(word, RECIPES, read_recipe) for word in listed]
    if len(recipes) < 2 or len({recipe.name for recipe in recipes}) < len(recipes):
        raise AttrimorphError(
            "a comparison needs at least two recipes, all of different names; got "
            f"{', '.join(recipe.name for recipe in recipes) or 'none'}; a YAML file can give a recipe another name"
        )
    given = parse_words(words[len(listed) :], options)
    changes = {recipe.name: changes_of(recipe.name, given, recipes) for recipe in recipes}
    found = {}
    for recipe in recipes:
        own = {} if size is None else {"data.image_size": size}
        with naming(recipe.name):
            found[recipe.name] = Entrant(override(recipe, own | changes[recipe.name]), changes[recipe.name])
    sizes = {name: entrant.recipe.data.image_size for name, entrant in found.items()}
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{name} {pixels}" for name, pixels in sizes.items())
        raise AttrimorphError(
            f"all recipes must have one image size; they have {each}; set it for all, such as --size "
            f"{min(sizes.values())}"
        )
    return found


def changes_of(name: str, given: Mapping[str, str], recipes: Sequence[AnyRecipe]) -> dict[str, str]:
    """Return what is changed of one recipe, dotted name -> text; what is said of it alone overrules.

    Raises:
        AttrimorphError: an option names neither a recipe nor a field, or a field that is set for all.
    """
    for_all, own = {}, {}
    fields = {field for recipe in recipes for field in type(recipe).model_fields}
    # A name may hold dots, and one be the beginning of another.
    owners = sorted((recipe.name for recipe in recipes), key=len, reverse=True)
    for option, text in given.items():
        owner = next((each for each in owners if option.startswith(f"{each}.")), None)
        field = option if owner is None else option.removeprefix(f"{owner}.")
        head = field.partition(".")[0].replace("-", "_")
        if "." not in option:
            raise AttrimorphError(f"there is no option --{option}; see `attrimorph compare --help`")
        if owner is None and head not in fields:
            raise AttrimorphError(
                f"--{option} must begin with a recipe of this comparison or a field of all; "
                f"{suggestion(option.partition('.')[0], [*owners, *sorted(fields)])}"
            )
        if (setter := SET_FOR_ALL.get(field.replace("-", "_"))) is not None:
            raise AttrimorphError(f"--{option} would make the comparison unequal; set it for all with {setter}")
        if owner is None:
            for_all[field] = text
        elif owner == name:
            own[field] = text
    return for_all | own


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put a recipe's name before an error in this block, and tell the options in it as a comparison takes them."""
    try:
        yield
    except AttrimorphError as error:
        said = re.sub(r"--(?=[a-z_-]+\.[a-z])", f"--{name}.", str(error))
        raise AttrimorphError(said if said.startswith(name) else f"{name}: {said}") from error
