"""Recipes of the progressively grown GAN: they build, survive JSON, and refuse what does not fit together."""

import json
from typing import Any

import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.methods import read_recipe
from attrimorph.methods.pggan.recipe import RECIPES
from attrimorph.recipe import to_yaml
from attrimorph.training import FastPath
from attrimorph.training.trainer import build

TINY: dict[str, Any] = {
    "data.image_size": 16,
    "networks.latent": 8,
    "networks.width": 4,
    "networks.most": 8,
    "growth.start": 4,
    "growth.fixed_images": [16],
    "growth.fading_images": [16],
    "growth.batch_sizes": [8, 4],
    "training.batch_size": 8,
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("conditional", [False, True])
def test_every_recipe_builds_and_takes_steps_through_its_growth(name: str, conditional: bool) -> None:
    recipe = RECIPES[name]().with_changes(TINY | {"networks.conditional": conditional})
    algorithm = build(recipe, faces.SCHEMA, FastPath("bfloat16", "channels_last", {}))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 3, 16, 16, generator=generator) * 2 - 1
    labels = (torch.rand(8, faces.SCHEMA.width, generator=generator) > 0.5).float()
    levels = []
    for seen in (0, 24, 40, 56, 80):
        values = algorithm.step(Batch(images, labels, images_seen=seen), generator)
        assert all(bool(torch.isfinite(value)) for value in values.values())
        levels.append(float(values["level"]))
        assert ("classify_real" in values) == conditional
    assert levels == sorted(levels)
    assert levels[-1] == 2


def test_the_published_recipe_has_the_published_numbers() -> None:
    recipe = RECIPES["pggan"]()
    assert (recipe.networks.latent, recipe.networks.width, recipe.networks.most) == (512, 16, 512)
    assert (recipe.losses.gradient_penalty, recipe.losses.drift) == (10, 1e-3)
    assert (recipe.growth.start, recipe.growth.fixed_images, recipe.growth.fading_images) == (4, (600_000,), (600_000,))
    assert (recipe.optimiser.learning_rate, recipe.optimiser.beta1, recipe.optimiser.beta2) == (1e-3, 0.0, 0.99)


def test_the_small_recipe_grows_up_before_its_end_and_fits_into_a_package() -> None:
    recipe = RECIPES["pggan-drawn-64"]()
    algorithm = build(recipe, faces.SCHEMA, FastPath("float32", "contiguous", {}))
    assert algorithm.growth.level(recipe.training.images * 3 // 4) == 4
    size = sum(p.numel() * 4 for p in algorithm.networks["generator"].parameters())
    assert size < 15e6


def test_a_recipe_survives_json_and_yaml() -> None:
    for name, make in RECIPES.items():
        recipe = make()
        assert recipe.name == name
        assert read_recipe(json.loads(recipe.model_dump_json())) == recipe
        assert "fixed_images" in to_yaml(recipe)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"growth.start": 12}, "growth.start must be a power of two; got 12"),
        ({"growth.start": 128}, "growth.start must be at most data.image_size, 64; got 128"),
        ({"growth.batch_sizes": "[16, 5]"}, "growth.batch_sizes must divide training.batch_size, 16; got 5"),
        ({"growth.fixed_images": "[]"}, "at least 1 item"),
        ({"growth.fixed_images": "[0]"}, "greater than 0"),
        ({"training.compile": True}, "training.compile must be false for networks that grow"),
        ({"networks.convolutions": 3}, "less than or equal to 2"),
        ({"networks.wdith": 3}, "did you mean 'networks.width'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence.replace("[", r"\[")) as told:
        RECIPES["pggan-drawn-64"]().with_changes(changes)
    assert "\n" not in str(told.value)
