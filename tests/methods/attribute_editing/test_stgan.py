"""STGAN: its units by hand, what they pass on, and the published weights."""

import math

import torch

from attrimorph.methods.attribute_editing.networks import SelectiveTransferUnit, StGenerator
from attrimorph.methods.attribute_editing.recipe import STGANRecipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.models.model import Unfilled
from tests.small_models import pictures


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_a_unit_by_hand() -> None:
    unit = SelectiveTransferUnit(1, 1)
    f, up = [[1.0, -1.0], [0.5, 2.0]], [[1.0, 2.0], [3.0, -4.0]]
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.zero_()
        # Of a state of one place the middle of the kernel is seen; of the others' kernels the centre is not 0.
        unit.up.weight[0, 0, 1:3, 1:3] = torch.tensor(up)
        unit.up.bias.fill_(0.5)
        for part, weights, bias in ((unit.reset, (0.3, -0.2), 0.1), (unit.update, (-0.6, 0.9), -0.4),
                                    (unit.fresh, (0.7, 0.8), -0.3)):  # fmt: skip
            part.weight[0, :, 1, 1] = torch.tensor(weights)
            part.bias.fill_(bias)
    with torch.no_grad():
        moved, state = unit(torch.tensor(f)[None, None], torch.tensor([[[[0.25]]]]))
    for row in (0, 1):
        for column in (0, 1):
            x, above = f[row][column], 0.25 * up[row][column] + 0.5
            r, z = sigmoid(0.3 * x - 0.2 * above + 0.1), sigmoid(-0.6 * x + 0.9 * above - 0.4)
            kept = r * above
            new = math.tanh(0.7 * x + 0.8 * kept - 0.3)
            assert math.isclose(float(state[0, 0, row, column]), kept, rel_tol=1e-5)
            assert math.isclose(float(moved[0, 0, row, column]), (1 - z) * above + z * new, rel_tol=1e-5)


def test_the_generator_sees_the_difference_alone() -> None:
    g, x = StGenerator(3, 2, 3).eval(), pictures(2, 16)
    y, d = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]]), torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.5, 1.0]])
    made = g(x, y, y + d)
    assert made.shape == x.shape
    assert made.abs().max() <= 1
    torch.testing.assert_close(made, g(x, torch.zeros_like(y), d))
    assert not torch.allclose(made, g(x, y, y), atol=1e-3)


def test_units_pass_on_what_the_decoder_joins_the_smallest_first() -> None:
    g, states, given = StGenerator(3, 2, 3).eval(), [], []
    for unit in g.units:
        unit.register_forward_hook(lambda _, seen, made: states.append((seen, made)))
    g.decoder.register_forward_pre_hook(lambda _, seen: given.append(seen))
    x, y = pictures(1, 16), torch.tensor([[0.0, 1.0, 0.0]])
    g(x, y, 1 - y)
    features = g.encoder(x)
    (passed, d) = given[0]
    assert torch.equal(d, 1 - 2 * y)
    assert torch.equal(passed[2], features[2])
    for place, ((f, below), (moved, _)) in zip((1, 0), states, strict=True):
        assert torch.equal(f, features[place])
        assert torch.equal(passed[place], moved)
        assert torch.equal(below[:, -3:], d[:, :, None, None].expand(-1, -1, *below.shape[2:]))
    assert torch.equal(states[0][0][1][:, :-3], features[2])
    assert torch.equal(states[1][0][1][:, :-3], states[0][1][1]), "the state, not what is passed on"


def test_the_published_weights_and_channels() -> None:
    recipe = recipe_named("stgan-128")
    assert isinstance(recipe, STGANRecipe)
    losses, optimiser = recipe.losses, recipe.optimiser
    assert (losses.gradient_penalty, losses.head_real, losses.asked_head, losses.reconstruction) == (10, 1, 10, 100)
    assert (losses.generator_every, recipe.networks.layers, recipe.training.batch_size) == (5, 5, 32)
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2) == (2e-4, 0.5, 0.999)
    with torch.device("meta"), Unfilled():
        g = StGenerator(13, 64, 5)
    assert sum(p.numel() for p in g.parameters()) == 74_998_771
    assert [(unit.up.in_channels, unit.up.out_channels) for unit in g.units] == [
        (1024 + 13, 512),
        (512 + 13, 256),
        (256 + 13, 128),
        (128 + 13, 64),
    ]
    ups = [layer[0].in_channels for layer in g.decoder.layers]
    assert ups == [1024 + 13, 1024 + 512 + 13, 512 + 256 + 13, 256 + 128 + 13]
