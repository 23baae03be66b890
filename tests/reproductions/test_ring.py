"""The ring: its copies are independent, its step is the family's, its verdicts follow the curves."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph.data.loader import Batch
from attrimorph.data.schema import Schema
from attrimorph.methods.cvae_gan.centres import Centres
from attrimorph.methods.cvae_gan.recipe import LossOptions, NetworkOptions, Recipe
from attrimorph.methods.cvae_gan.step import CVAEGAN
from attrimorph.reproductions import ring
from attrimorph.reproductions.claims import decide
from attrimorph.reproductions.frame import QUICK, Request, write_outcome
from attrimorph.reproductions.ring_training import METHODS, Method, RingCurve, RingGame, RingOptions

Array = NDArray[np.float32]
SMALL = RingOptions(iterations=4, every=2, widths=(5, 6), batch_size=8)


class Single(nn.Module):
    """One copy of a game's perceptron, by torch's own layers, as the family calls a network."""

    def __init__(self, weights: list[Array], biases: list[Array], judges: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for weight, bias in zip(weights, biases, strict=True):
            layer = nn.Linear(*weight.shape)
            layer.weight.data, layer.bias.data = torch.tensor(weight).T.clone(), torch.tensor(bias)[0].clone()
            self.layers.append(layer)
        self.judges, self.features_at = judges, -1

    def forward(self, h: Tensor, y: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        hidden = []
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
            hidden.append(h)
        return (self.layers[-1](h), hidden[self.features_at]) if self.judges else self.layers[-1](h)


def single(game: RingGame, copy: int) -> dict[str, Single]:
    return {
        name: Single([w[copy] for w in net.weights], [b[copy] for b in net.biases], name == "discriminator")
        for name, net in (("generator", game.generator), ("discriminator", game.discriminator))
    }


@pytest.mark.parametrize(("method", "layer"), [*((method, -1) for method in METHODS), ("fm-gan", 0)])
def test_a_step_is_the_familys(method: Method, layer: int) -> None:
    game = RingGame(method, replace(SMALL, feature_layer=layer), (3, 4))
    networks = single(game, 1)
    networks["discriminator"].features_at = layer
    recipe = Recipe(
        name="ring",
        method=method,
        networks=NetworkOptions(latent=2),
        losses=LossOptions(adversarial=1.0, mean_d=1.0, centre_momentum=0.0),
    )
    optimisers = {name: torch.optim.RMSprop(network.parameters(), lr=5e-5) for name, network in networks.items()}
    family = CVAEGAN(recipe, Schema(()), networks, optimisers)
    family.steps = family.method.critic_steps - 1  # now it is G's turn as well
    draw = torch.Generator().manual_seed(9)
    torch.randn(8, 2, generator=draw)  # the family draws the noise of the posterior first
    z = torch.randn(8, 2, generator=draw).numpy()[None].repeat(2, axis=0)
    real, _ = game.draw()
    game.teach_generator(real, z)
    game.teach_discriminator(real, game.generator.forward(z)[-1])
    family.step(Batch(torch.tensor(real[1]), torch.zeros(8, 0)), torch.Generator().manual_seed(9))
    for network, name in ((game.generator, "generator"), (game.discriminator, "discriminator")):
        network.step(5e-5)
        if method == "wgan" and name == "discriminator":
            np.clip(network.values, -0.01, 0.01, out=network.values)
        for place, theirs in enumerate(networks[name].layers):
            gradient = theirs.weight.grad
            mine = torch.tensor(network.weight_gradients[place][1]).T
            torch.testing.assert_close(mine, gradient, rtol=1e-3, atol=1e-5)
            for values, parameter in ((network.weights, theirs.weight), (network.biases, theirs.bias)):
                mine = torch.tensor(values[place][1]).T.reshape(parameter.shape)
                torch.testing.assert_close(mine, parameter.data, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_does_not_depend_on_the_others(method: Method) -> None:
    alone, pair = RingGame(method, SMALL, (5,)), RingGame(method, SMALL, (4, 5))
    for _ in range(3):
        alone.iterate()
        pair.iterate()
    np.testing.assert_allclose(alone.generator.weights[0][0], pair.generator.weights[0][1], rtol=1e-5)
    np.testing.assert_allclose(alone.discriminator.biases[1][0], pair.discriminator.biases[1][1], rtol=1e-5)


def test_moving_means_are_those_of_the_family() -> None:
    game, centres = RingGame("fm-gan", replace(SMALL, momentum=0.9), (0,)), Centres(0.9)
    random = np.random.default_rng(0)
    ones = torch.ones(8, 1)
    for _ in range(3):
        real, made = (random.standard_normal((8, 6)).astype(np.float32) for _ in range(2))
        mine = game.moved(*(each.mean(0)[None, None] for each in (real, made)))
        theirs = centres.update(torch.tensor(real), ones, torch.tensor(made), ones)
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a[0], b.numpy(), atol=1e-6)


def test_wgan_clips_its_critic() -> None:
    game = RingGame("wgan", SMALL, (0,))
    waiting = []
    for _ in range(2):
        game.iterate()
        waiting.append(len(game._waiting))
    assert np.abs(game.discriminator.values).max() <= np.float32(0.01)
    assert waiting[0] - waiting[1] == SMALL.critic_steps + 1


def curve(covered: list[float]) -> RingCurve:
    return RingCurve([100 * (place + 1) for place in range(len(covered))], covered, covered, {})


def test_verdicts_follow_the_curves() -> None:
    slow, fast, never = curve([0, 0, 0.96]), curve([0, 0.97, 1]), curve([0.2, 0.3, 0.3])
    assert fast.first(0.95) == 200
    assert never.first(0.95) == math.inf
    found = {claim.words.split()[0]: claim for claim in ring.claims({"gan": [never], "wgan": [slow], "fm-gan": [fast]})}
    assert [each.verdict for each in decide(list(found.values()))] == ["seen once"] * 3
    assert found["FM-GAN"].margins == (100,)
    found = {claim.words.split()[0]: claim for claim in ring.claims({"gan": [fast], "wgan": [slow], "fm-gan": [never]})}
    assert [each.verdict for each in decide([found["FM-GAN"], found["GAN"]])] == ["not reproduced"] * 2
    nobody = ring.claims({"gan": [never], "wgan": [never], "fm-gan": [never]})
    assert decide(nobody)[0].verdict == "not decided"
    # Who never arrives counts as arriving at the end, no later.
    seeds = ring.claims({"gan": [never] * 3, "wgan": [slow, never, never], "fm-gan": [fast] * 3})
    assert seeds[0].margins == (100, 100, 100)
    assert decide(seeds)[0].verdict == "reproduced"
    assert "never counts as the end, 300" in seeds[0].evidence


def test_curves_are_kept_and_used_again(tmp_path: Path) -> None:
    said: list[str] = []
    request = Request(out=tmp_path, seeds=(0,), form=replace(QUICK, iterations=60), say=said.append)
    page = write_outcome(ring.run(request), tmp_path)
    assert len(said) == 3
    told = json.loads((tmp_path / "ring" / "results.json").read_text())
    assert {claim["verdict"] for claim in told["claims"]} <= {"seen once", "not reproduced", "not decided"}
    assert (tmp_path / "ring" / "pictures" / "figure-4.png").is_file()
    assert "Verdicts" in page.read_text()
    ring.run(replace(request, seeds=(0, 1)))
    assert len(said) == 6
    assert said[-1].endswith("seeds 1")
