"""All recipes by name: functions that return a frozen value which describes one whole run."""

from collections.abc import Callable, Iterator, Mapping

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods import METHODS
from attrimorph.recipe import AnyRecipe

Makers = Mapping[str, Callable[[], AnyRecipe]]


class NamedRecipes(Makers):
    """The recipes of all methods, in their order; those of one are imported when no method before it has the name."""

    def _tables(self) -> Iterator[Makers]:
        for recipes in dict.fromkeys(entry.recipes for entry in METHODS.values()):
            yield recipes().named

    def __getitem__(self, name: str) -> Callable[[], AnyRecipe]:
        for table in self._tables():
            if name in table:
                return table[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for table in self._tables() for name in table)

    def __len__(self) -> int:
        return sum(map(len, self._tables()))


RECIPES = NamedRecipes()


def recipe_named(name: str) -> AnyRecipe:
    """Return the recipe of that name.

    Raises:
        AttrimorphError: there is none; the sentence names the nearest.
    """
    if name not in RECIPES:
        raise AttrimorphError(f"there is no recipe {name!r}; {suggestion(name, RECIPES)}")
    return RECIPES[name]()
