"""The table of methods: each part is imported when it is wanted, and no other."""

import subprocess
import sys

import pytest

from attrimorph.methods import METHODS
from attrimorph.methods.base import Algorithm
from attrimorph.methods.recipes import RECIPES

SEEN = """
import sys
def tell():
    print(*(name for name in sys.modules if name.startswith("attrimorph.methods.") and name.count(".") > 2))
"""
LISTED = """
import attrimorph.methods.recipes
assert "torch" not in sys.modules
tell()
"""
USED = """
import attrimorph
attrimorph.load("drawn-faces-64")
tell()
from attrimorph.data.drawn import faces
from attrimorph.methods.recipes import recipe_named
from attrimorph.training.trainer import build
from attrimorph.training import FastPath
build(recipe_named("cvae-gan"), faces.SCHEMA, FastPath("float32", "contiguous", {}))
tell()
"""


def told(code: str) -> list[set[str]]:
    """Return the modules of methods that code has imported whenever it tells, as NAME.PART."""
    done = subprocess.run([sys.executable, "-c", SEEN + code], check=True, capture_output=True, text=True)
    return [{name.removeprefix("attrimorph.methods.") for name in line.split()} for line in done.stdout.splitlines()]


def test_a_model_is_loaded_without_what_trains_it_and_a_method_built_without_others() -> None:
    loaded, built = told(USED)
    assert loaded == {f"cvae_gan.{part}" for part in ("model", "networks", "recipe")}
    others = {name for name in built if not name.startswith("cvae_gan.")}
    assert {name.partition(".")[2] for name in others} <= {"recipe"}


def test_recipes_are_listed_without_torch() -> None:
    (listed,) = told(LISTED)
    assert {name.partition(".")[2] for name in listed} == {"recipe"}


@pytest.mark.parametrize("name", METHODS)
def test_a_row_holds_what_belongs_together(name: str) -> None:
    entry = METHODS[name]
    assert issubclass(entry.step(), Algorithm)
    assert any(make().method == name for make in entry.recipes().named.values())
    assert all(isinstance(make(), entry.recipes().kind) for make in entry.recipes().named.values())
    assert {*entry.recipes().named} <= {*RECIPES}
