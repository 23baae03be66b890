"""The recipes of Attribute2Image: they build, survive JSON, and every field is read."""

import json

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.methods import read_recipe
from attrimorph.methods.attribute2image.recipe import RECIPES
from attrimorph.methods.recipes import recipe_named


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_bears_its_name_and_survives_json(name: str) -> None:
    recipe = recipe_named(name)
    assert recipe.name == name
    assert recipe.about
    assert read_recipe(json.loads(recipe.model_dump_json())) == recipe


def test_the_published_sizes() -> None:
    cvae, lfw, cub = (RECIPES[f"attribute2image-{name}"]() for name in ("cvae-paper", "discvae-paper", "discvae-cub"))
    assert cvae.networks.latent == 256
    assert (lfw.networks.latent, lfw.networks.background_latent) == (192, 64)
    assert (cub.networks.latent, cub.networks.background_latent) == (128, 128)
    assert lfw.losses.gate == 0.3
    assert cvae.losses.variance == "learned"
    assert (lfw.optimiser.learning_rate, lfw.optimiser.beta1, lfw.training.batch_size) == (3e-4, 0.9, 32)


def test_an_unknown_method_is_told() -> None:
    with pytest.raises(AttrimorphError, match="attribute2image"):
        recipe_named("attribute2image-discvae").with_changes({"method": "attribute2image"})
