"""The table of methods: each part is imported when it is wanted, and no other."""

import subprocess
import sys

import pytest

from attrimorph.methods import METHODS
from attrimorph.methods.base import Algorithm
from attrimorph.methods.recipes import RECIPES

LOADED = 'import attrimorph; attrimorph.load("drawn-faces-64")'
BUILT = """
from attrimorph.data.drawn import faces
from attrimorph.methods.recipes import recipe_named
from attrimorph.training.trainer import build
from attrimorph.training import FastPath
build(recipe_named("cvae-gan"), faces.SCHEMA, FastPath("float32", "contiguous", {}))
"""
LISTED = "import attrimorph.methods.recipes, sys; assert 'torch' not in sys.modules"
SEEN = "\nimport sys; print(*(name for name in sys.modules if name.startswith('attrimorph.')))"


def imported_by(code: str) -> set[str]:
    """Return the modules of methods that code imports, as NAME.PART."""
    done = subprocess.run([sys.executable, "-c", code + SEEN], check=True, capture_output=True, text=True)
    start = "attrimorph.methods."
    return {name.removeprefix(start) for name in done.stdout.split() if name.startswith(start) and name.count(".") > 2}


def test_a_model_is_loaded_without_what_trains_it_and_without_other_methods() -> None:
    assert imported_by(LOADED) == {f"cvae_gan.{part}" for part in ("model", "networks", "recipe")}


def test_a_method_is_built_without_other_methods() -> None:
    others = {name for name in imported_by(BUILT) if not name.startswith("cvae_gan.")}
    assert {name.partition(".")[2] for name in others} <= {"recipe"}


def test_recipes_are_listed_without_torch() -> None:
    assert {name.partition(".")[2] for name in imported_by(LISTED)} == {"recipe"}


@pytest.mark.parametrize("name", METHODS)
def test_a_row_holds_what_belongs_together(name: str) -> None:
    entry = METHODS[name]
    assert issubclass(entry.step(), Algorithm)
    assert any(make().method == name for make in entry.recipes().named.values())
    assert all(isinstance(make(), entry.recipes().kind) for make in entry.recipes().named.values())
    assert {*entry.recipes().named} <= {*RECIPES}
