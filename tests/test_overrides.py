"""Dotted words, YAML and JSON on a model of every kind of field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from attrimorph.errors import AttrimorphError
from attrimorph.methods import read_recipe
from attrimorph.methods.recipes import RECIPES
from attrimorph.recipe import find_recipe, override, parse_words, to_yaml


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    batch_size: int = Field(32, gt=0, description="images of a step")
    rate: float = 1e-3
    average: float | None = 0.99
    flip: bool = True
    betas: tuple[float, float] = (0.5, 0.9)
    note: str = ""


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = "x"
    training: Inner = Inner()
    weights: dict[str, float] = {"a": 1.0}


def changed(*words: str) -> Outer:
    return override(Outer(), parse_words(words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--training.batch-size", "64"], {"batch_size": 64}),
        (["--training.batch_size=64"], {"batch_size": 64}),
        (["--training.rate", "1e-4"], {"rate": 1e-4}),
        (["--training.rate", "-2"], {"rate": -2.0}),
        (["--training.average", "none"], {"average": None}),
        (["--training.no-flip"], {"flip": False}),
        (["--training.flip", "false"], {"flip": False}),
        (["--training.flip"], {"flip": True}),
        (["--training.betas", "[0.1, 0.2]"], {"betas": (0.1, 0.2)}),
        (["--training.note", "42"], {"note": "42"}),
        (["--training.note", "none"], {"note": "none"}),
        (["--training.note="], {"note": ""}),
    ],
)
def test_words_become_values(words: list[str], expected: dict[str, Any]) -> None:
    assert changed(*words) == Outer(training=Inner(**expected))


def test_entries_of_a_mapping_can_be_set_and_the_recipe_stays() -> None:
    before = Outer()
    after = override(before, {"weights.b": "3", "training": {"batch-size": 8, "rate": 0.5}})
    assert after.weights == {"a": 1.0, "b": 3.0}
    assert (after.training.batch_size, after.training.rate) == (8, 0.5)
    assert before == Outer()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch-size", "3"], "did you mean 'training.batch_size'?"),
        (["--trainin.rate", "3"], "did you mean 'training'?"),
        (["--training.batch-size", "many"], "training.batch_size must be a valid integer; got 'many'"),
        (["--training.batch-size", "1.5"], "training.batch_size must be a valid integer; got '1.5'"),
        (["--training.batch-size", "0"], "training.batch_size must be greater than 0; got '0'"),
        (["--training.batch-size"], "training.batch_size must be a valid integer"),
        (["--training.rate.x", "1"], "no fields of its own"),
        (["--training", "1"], "is a group of fields"),
        (["--weights.b", "x"], "weights.b must be a valid number"),
        (["--training.rate", "1", "--training.rate", "2"], "stands twice"),
        (["training.rate", "1"], "--field.name value"),
    ],
)
def test_wrong_words_are_told(words: list[str], sentence: str) -> None:
    with pytest.raises(AttrimorphError) as caught:
        changed(*words)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yes_is_no_number() -> None:
    with pytest.raises(AttrimorphError, match=r"training\.batch_size must not be true or false"):
        override(Outer(), {"training": {"batch_size": True}})


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_its_yaml(name: str) -> None:
    recipe = RECIPES[name]()
    assert read_recipe(yaml.safe_load(to_yaml(recipe))) == recipe


def test_every_field_of_a_recipe_says_what_it_means() -> None:
    lines = to_yaml(RECIPES["quickstart"]()).splitlines()
    assert len(lines) > 30
    assert [line for line in lines if " # " not in line and not line.endswith(":")] == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("- 1\n", "must hold `field: value` lines; it holds a list"),
        ("", "it holds nothing"),
        ("a: [1", "must be a YAML or JSON file"),
        ("recipe: cvae-gann\n", "did you mean 'cvae-gan'?"),
        ("recipe: cvae-gan\nlosses: {kll: 2}\n", "did you mean 'losses.kl'?"),
        ("nam: x\n", "lacks the field 'name'|has no field 'nam'"),
        ("name: x\ntraining: {images: many}\n", "training.images must be a valid integer"),
        ("name: !!python/object/apply:os.getcwd []\n", "must be a YAML or JSON file"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(content)
    with pytest.raises(AttrimorphError) as caught:
        override(find_recipe(str(file), RECIPES, read_recipe), {})
    assert any(part in str(caught.value) for part in sentence.split("|")), caught.value
    assert "\n" not in str(caught.value)
