"""The ring: its learner is the family, a seed is independent, its verdicts follow the curves."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from attrimorph.data.drawn.shapes import ring as points_of
from attrimorph.data.loader import Batch
from attrimorph.methods.cvae_gan.step import CVAEGAN
from attrimorph.reproductions import ring
from attrimorph.reproductions.frame import QUICK, Request, decide, write_outcome
from attrimorph.reproductions.ring import Perceptron, RingCurve, RingOptions, family, train_ring

SMALL = RingOptions(iterations=4, every=2, widths=(5, 6), batch_size=8, critic_steps=1)


def a_step(method: str, options: RingOptions) -> tuple[CVAEGAN, Perceptron, Perceptron, Tensor, Tensor]:
    """Return the family after one step, its networks as they were, and the points and z of the step."""
    learner, before = family(method, options, 3), family(method, options, 3)
    real = points_of(options.batch_size, torch.Generator().manual_seed(1))
    learner.step(Batch(real, torch.zeros(len(real), 0)), torch.Generator().manual_seed(9))
    draw = torch.Generator().manual_seed(9)
    torch.randn(len(real), options.latent, generator=draw)  # the family draws the noise of the posterior first
    z = torch.randn(len(real), options.latent, generator=draw)
    generator, discriminator = before.networks["generator"], before.networks["discriminator"]
    assert isinstance(generator, Perceptron)
    assert isinstance(discriminator, Perceptron)
    return learner, generator, discriminator, real, z


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gan", SMALL),
        ("gan", replace(SMALL, saturating=True)),
        ("wgan", SMALL),
        ("fm-gan", SMALL),
        ("fm-gan", replace(SMALL, feature_layer=0)),
    ],
)
def test_g_and_d_go_down_the_losses_of_the_paper(method: str, options: RingOptions) -> None:
    learner, generator, discriminator, real, z = a_step(method, options)
    nothing = torch.zeros(len(real), 0)
    made = generator(z, nothing)
    (d_r, f_r), (d_p, f_p) = discriminator(real, nothing), discriminator(made, nothing)
    of_d = -logsigmoid(d_r).mean() - logsigmoid(-d_p).mean()
    of_g = -logsigmoid(d_p).mean()
    if method == "wgan":
        of_d, of_g = d_p.mean() - d_r.mean(), -d_p.mean()
    elif method == "fm-gan":
        of_g = 0.5 * (f_r.detach().mean(0) - f_p.mean(0)).square().sum()
    elif options.saturating:
        of_g = logsigmoid(-d_p).mean()
    for name, network, loss in (("generator", generator, of_g), ("discriminator", discriminator, of_d)):
        wished = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        for mine, parameter in zip(wished, learner.parameters(name), strict=True):
            torch.testing.assert_close(parameter.grad, mine, rtol=1e-3, atol=1e-5)


def test_wgan_clips_its_critic_and_steps_it_more_often() -> None:
    learner = family("wgan", replace(SMALL, critic_steps=3), 0)
    before = [parameter.clone() for parameter in learner.parameters("generator")]
    moved = []
    for seed in range(3):
        learner.step(Batch(points_of(8, torch.Generator().manual_seed(seed)), torch.zeros(8, 0)), torch.Generator())
        assert max(float(p.detach().abs().max()) for p in learner.parameters("discriminator")) <= 0.01
        moved.append(any(bool((a != b).any()) for a, b in zip(before, learner.parameters("generator"), strict=True)))
    assert moved == [False, False, True]


def test_fm_gans_means_move() -> None:
    assert family("fm-gan", replace(SMALL, momentum=0.9), 0).centres_d.momentum == 0.9
    assert family("fm-gan", SMALL, 0).centres_d.momentum == 0


@pytest.mark.parametrize("method", ring.WORDS)
def test_a_seed_decides_the_curve(method: str) -> None:
    one, again, other = (train_ring(method, SMALL, seed, [4], lambda *_: None) for seed in (5, 5, 6))
    assert one == again
    assert one.iterations == [2, 4]
    assert one.points[4] != other.points[4]


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
    units: set[str] = set()
    form = replace(QUICK, iterations=60)
    request = Request(tmp_path, seeds=(0,), form=form, say=said.append, progress=lambda *words: units.add(words[3]))
    page = write_outcome(ring.run(request), tmp_path)
    assert len(said) == 3
    assert units == {"iterations"}  # the bar counts them, not images
    told = json.loads((tmp_path / "ring" / "results.json").read_text())
    assert {claim["verdict"] for claim in told["claims"]} <= {"seen once", "not reproduced", "not decided"}
    assert (tmp_path / "ring" / "pictures" / "figure-4.png").is_file()
    assert "Verdicts" in page.read_text()
    ring.run(replace(request, seeds=(0, 1)))
    assert len(said) == 6
    assert said[-1].endswith("seeds 1")
