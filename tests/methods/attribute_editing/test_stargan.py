"""StarGAN: the published sizes and weights."""

import pytest
import torch

from attrimorph.methods.attribute_editing.networks import PatchCritic, StarGenerator
from attrimorph.methods.attribute_editing.recipe import StarGANRecipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.models.model import Unfilled
from tests.small_models import pictures


def test_the_published_sizes_and_weights() -> None:
    with torch.device("meta"), Unfilled():
        networks = StarGenerator(5, 64, 6), PatchCritic(128, 5, 64, 6)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [8_430_528, 44_762_048]
    recipe = recipe_named("stargan-128")
    assert isinstance(recipe, StarGANRecipe)
    losses, optimiser = recipe.losses, recipe.optimiser
    assert (losses.gradient_penalty, losses.head_real, losses.asked_head, losses.reconstruction) == (10, 1, 1, 10)
    assert losses.generator_every == 5
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2) == (1e-4, 0.5, 0.999)
    assert (recipe.training.batch_size, recipe.data.flip, recipe.training.ema_images) == (16, 0.5, 0)


@pytest.mark.parametrize(("size", "places"), [(128, 2), (64, 1), (16, 1)])
def test_shapes(size: int, places: int) -> None:
    x = pictures(2, size)
    verdict, told = PatchCritic(size, 7, 2, 6)(x)
    assert (verdict.shape, told.shape) == ((2, 1, places, places), (2, 7))
    made = StarGenerator(7, 2, 1)(x, torch.zeros(2, 7), torch.ones(2, 7))
    assert made.shape == x.shape
    assert made.abs().max() <= 1
