"""Every recipe builds and takes two steps; every field is read by somebody; bad values are told."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods import read_recipe
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.recipes import RECIPES, recipe_named
from attrimorph.recipe import Options, field_names
from attrimorph.training import FastPath
from attrimorph.training.trainer import build, train
from tests.methods.test_golden import RUNS

PLAIN = FastPath("float32", "contiguous", {})
TINY = {
    "data.image_size": 16,
    "networks.latent": 8,
    "networks.encoder_width": 4,
    "networks.generator_width": 4,
    "networks.discriminator_width": 4,
    "networks.classifier_width": 4,
    # Without the warm-up: two steps must reach every network.
    "losses.warmup_images": 0,
}


FAMILY_NAMES = [name for name in RECIPES if isinstance(recipe_named(name), Recipe)]


@pytest.mark.parametrize("name", [name for name in FAMILY_NAMES if name != "cvae-gan-paper"])
def test_every_recipe_builds_and_takes_two_steps(name: str) -> None:
    recipe = recipe_named(name)
    assert recipe.name == name
    assert recipe.about
    two_steps(recipe.with_changes(TINY))


def test_the_paper_recipe_builds_and_takes_two_steps() -> None:
    # The published widths take seconds a step; an eighth of them is the same code.
    widths = {f"networks.{net}_width": 8 for net in ("encoder", "generator", "discriminator", "classifier")}
    two_steps(recipe_named("cvae-gan-paper").with_changes(widths))


def two_steps(recipe: Recipe) -> None:
    algorithm = build(recipe, faces.SCHEMA, PLAIN)
    size = recipe.data.image_size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, size, size, generator=generator) * 2 - 1
    labels = (torch.rand(4, faces.SCHEMA.width, generator=generator) > 0.5).float()
    before = {name: [p.clone() for p in net.parameters()] for name, net in algorithm.networks.items()}
    for _ in range(max(2, algorithm.method.critic_steps)):
        values = algorithm.step(Batch(images, labels), generator)
    assert all(torch.isfinite(value) for value in values.values())
    for name, network in algorithm.networks.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)]
        assert any(moved), name


def test_a_recipe_survives_json() -> None:
    for name in RECIPES:
        recipe = recipe_named(name)
        assert read_recipe(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize(
    "names",
    [
        ("cvae-gan-edit",),
        ("attribute2image-discvae",),
        ("cyclegan-64", "pix2pix-64"),
        ("homointerp-drawn-64",),
        ("pggan-drawn-64",),
        ("retouch-64",),
        ("stargan-64",),
        ("attgan-64",),
        ("stgan-64",),
    ],
)
def test_every_field_is_read_by_a_run(names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the losses and the optimiser do something, too: tests/methods/test_fields.py."""
    read, plain = set[str](), Options.__getattribute__
    for name in names:
        changes = RUNS[name] | {"training.images": 16, "training.batch_size": 8}
        recipe = recipe_named(name).with_changes(changes)
        data = write_faces(tmp_path / name, count=12, size=recipe.data.image_size)
        parts = {type(group): part for part, group in recipe if isinstance(group, Options)}

        def listening(self: Options, field: str) -> Any:
            read.add(f"{parts[type(self)]}.{field}" if type(self) in parts else field)  # noqa: B023
            return plain(self, field)

        monkeypatch.setattr(Options, "__getattribute__", listening)
        model = load(train(recipe, data, tmp_path / f"run-{name}", device="cpu"))
        with suppress(AttrimorphError):
            model.sample(1)
        monkeypatch.undo()
    left_out: Any = {
        "losses": True,
        "optimiser": True,
        "name": True,
        "about": True,
        "networks": {"groups"},
    }
    assert {*field_names(recipe.model_dump(exclude=left_out))} - read == set()


def test_dotted_changes_take_text_and_hyphens() -> None:
    recipe = recipe_named("cvae-gan").with_changes({"training.batch-size": "48", "optimiser.learning_rate": "1e-4"})
    assert recipe.training.batch_size == 48
    assert recipe.optimiser.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training.bacth_size": 3}, "no field 'training.bacth_size'; did you mean 'training.batch_size'"),
        ({"training": 3}, "training is a group of fields; got 3"),
        ({"training.batch_size": "many"}, "training.batch_size must be a valid integer"),
        ({"training.batch_size": 1}, "greater than or equal to 2"),
        ({"losses.kl": "nan"}, "losses.kl must be a finite number"),
        ({"networks.kind": "large"}, "networks.kind must be 'small' or 'paper'"),
    ],
)
def test_a_bad_change_is_one_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=re.escape(sentence)) as told:
        recipe_named("cvae-gan").with_changes(changes)
    assert "\n" not in str(told.value)


def test_an_unknown_key_in_a_file_is_told() -> None:
    with pytest.raises(AttrimorphError, match=r"no field 'training.imagse'; did you mean 'training.images'"):
        read_recipe({"name": "x", "training": {"imagse": 3}})
    with pytest.raises(AttrimorphError, match="must be a mapping"):
        read_recipe([1, 2])


def test_an_unknown_recipe_is_told() -> None:
    with pytest.raises(AttrimorphError, match="did you mean 'cvae-gan'"):
        recipe_named("cvaegan")


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        recipe_named("cvae-gan").name = "other"


def test_a_recipe_begins_with_another_one() -> None:
    made = Recipe.table(
        {
            "_small": {"method": "gan", "training": {"batch_size": 4, "images": 8}},
            "short": {"recipe": "_small"},
            "long": {"recipe": "short", "method": "vae", "training": {"images": 16}},
        }
    )
    assert list(made) == ["short", "long"]
    recipe = made["long"]()
    assert (recipe.name, recipe.method, recipe.training.batch_size, recipe.training.images) == ("long", "vae", 4, 16)
