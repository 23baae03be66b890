"""The recipes of Attribute2Image: they build, survive JSON, and every field is read."""

import json
import re
from pathlib import Path

import pytest

import attrimorph
from attrimorph.errors import AttrimorphError
from attrimorph.recipes import read_recipe, recipe_named
from attrimorph.recipes.attribute2image import ATTRIBUTE2IMAGE
from attrimorph.recipes.options import field_names


@pytest.mark.parametrize("name", ATTRIBUTE2IMAGE)
def test_a_recipe_bears_its_name_and_survives_json(name: str) -> None:
    recipe = recipe_named(name)
    assert recipe.name == name
    assert recipe.about
    assert read_recipe(json.loads(recipe.model_dump_json())) == recipe


def test_the_published_sizes() -> None:
    cvae, lfw, cub = (
        ATTRIBUTE2IMAGE[f"attribute2image-{name}"]() for name in ("cvae-paper", "discvae-paper", "discvae-cub")
    )
    assert cvae.networks.latent == 256
    assert (lfw.networks.latent, lfw.networks.background_latent) == (192, 64)
    assert (cub.networks.latent, cub.networks.background_latent) == (128, 128)
    assert lfw.losses.gate == 0.3
    assert cvae.losses.variance == "learned"
    assert (lfw.optimiser.learning_rate, lfw.optimiser.beta1, lfw.training.batch_size) == (3e-4, 0.9, 32)


def test_every_field_is_read_somewhere() -> None:
    root = Path(attrimorph.__file__).parent
    code = "".join(p.read_text() for p in root.rglob("*.py") if "recipes" not in p.parts)
    weights = (root / "algorithms" / "attribute2image.py").read_text()
    recipe = recipe_named("attribute2image-discvae").model_dump()
    for dotted in field_names({part: recipe[part] for part in ("networks", "losses", "optimiser")}):
        last = dotted.split(".")[-1]
        assert re.search(rf"\.{last}\b", code) or f'"{last}"' in weights, f"nobody reads the field {dotted}"


def test_an_unknown_method_is_told() -> None:
    with pytest.raises(AttrimorphError, match="attribute2image"):
        recipe_named("attribute2image-discvae").with_changes({"method": "attribute2image"})
