"""AttGAN: its networks, and the published weights."""

import pytest
import torch

from attrimorph.methods.attribute_editing.networks import (
    AttGenerator,
    AttributeCritic,
    InjectedDecoder,
    PyramidEncoder,
    halvings,
)
from attrimorph.methods.attribute_editing.recipe import AttGANRecipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.models.model import Unfilled
from tests.small_models import pictures


def test_the_published_weights_and_channels() -> None:
    recipe = recipe_named("attgan-128")
    assert isinstance(recipe, AttGANRecipe)
    losses, optimiser, networks = recipe.losses, recipe.optimiser, recipe.networks
    assert (losses.gradient_penalty, losses.head_real, losses.asked_head, losses.reconstruction) == (10, 1, 10, 100)
    assert (losses.generator_every, networks.layers, networks.shortcuts, networks.injections) == (5, 5, 1, 1)
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2) == (2e-4, 0.5, 0.999)
    assert (recipe.training.batch_size, recipe.training.ema_images, networks.reach) == (32, 0, 1.5)
    with torch.device("meta"), Unfilled():
        g, d = AttGenerator(13, 64, 5, 1, 1), AttributeCritic(128, 13, 64, 5)
    assert sum(p.numel() for p in g.parameters()) == 43_459_203
    channels = [(layer[0].in_channels, layer[0].out_channels) for layer in (*g.encoder.layers, *g.decoder.layers)]
    assert channels == [
        *((3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)),
        *((1024 + 13, 1024), (1024 + 512 + 13, 512), (512, 256), (256, 128)),
    ]
    assert [(layer.in_features, layer.out_features) for layer in (d.head[0], d.head[2])] == [
        (1024 * 16, 1024),
        (1024, 13),
    ]


@pytest.mark.parametrize(("size", "layers"), [(128, 5), (64, 5), (16, 3)])
def test_shapes(size: int, layers: int) -> None:
    assert halvings(size, 5) == layers
    x, y = pictures(2, size), torch.zeros(2, 7)
    features = PyramidEncoder(2, layers)(x)
    assert [each.shape[1:] for each in features] == [(2 << n, size >> n + 1, size >> n + 1) for n in range(layers)]
    for joins in (0, 1, layers - 1):
        made = InjectedDecoder(7, 2, layers, joins, joins)(features, y)
        assert made.shape == x.shape
        assert made.abs().max() <= 1


def test_the_decoder_is_given_halves_and_the_encoder_nothing() -> None:
    g, seen = AttGenerator(2, 2, 3, 1, 1).eval(), []
    g.decoder.register_forward_pre_hook(lambda _, given: seen.append(given))
    x, y = pictures(1, 16), torch.tensor([[1.0, 0.0]])
    assert torch.equal(g(x, y, 1 - y), g(x, 1 - y, 1 - y))
    assert not torch.equal(g(x, y, y), g(x, y, 1 - y))
    assert seen[0][1].tolist() == [[-0.5, 0.5]]
    assert all(torch.equal(a, b) for a, b in zip(seen[2][0], seen[3][0], strict=True))
