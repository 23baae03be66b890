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
    assert (cvae.losses.variance, lfw.losses.variance, cub.losses.variance) == ("learned", "fixed", "fixed")
    assert (cvae.losses.error, lfw.losses.error, cub.losses.error) == ("gaussian", "smooth_l1", "smooth_l1")
    assert cvae.losses.sharpness == lfw.losses.sharpness == cub.losses.sharpness == 1.5
    assert (lfw.optimiser.learning_rate, lfw.optimiser.beta1, lfw.training.batch_size) == (3e-4, 0.9, 32)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("attribute2image-cvae", {}), ("attribute2image-discvae", {"losses.variance": "learned"})],
)
def test_smooth_l1_has_no_variance(name: str, changes: dict[str, str]) -> None:
    with pytest.raises(AttrimorphError, match="smooth_l1 is for disCVAE without a learned variance; got"):
        recipe_named(name).with_changes(changes | {"losses.error": "smooth_l1"})


def test_an_unknown_method_is_told() -> None:
    with pytest.raises(AttrimorphError, match="attribute2image"):
        recipe_named("attribute2image-discvae").with_changes({"method": "attribute2image"})
