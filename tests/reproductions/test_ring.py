"""The ring: its learner is the family, a seed is independent, its verdicts follow the curves."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from attrimorph.console import Interrupted
from attrimorph.data.drawn.shapes import ring as points_of
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.step import CVAEGAN
from attrimorph.reproductions import ring
from attrimorph.reproductions.frame import QUICK, Request, decide, write_outcome
from attrimorph.reproductions.ring import Perceptrons, RingCurve, RingOptions, Step, family, flat, stepping, train_ring

SMALL = RingOptions(iterations=4, every=2, widths=(5, 6), batch_size=8, critic_steps=1)
METHODS = [
    ("gan", SMALL),
    ("gan", replace(SMALL, saturating=True)),
    ("wgan", replace(SMALL, critic_steps=2)),
    ("fm-gan", SMALL),
    ("fm-gan", replace(SMALL, feature_layer=0)),
]


def traced(step: Step) -> Step:
    """Leave a step as it was traced: tests need no compiler."""
    return step


def some(count: int, seeds: int, seed: int) -> Tensor:
    return points_of(count * seeds, torch.Generator().manual_seed(seed)).view(count, -1)


def family_step(learner: CVAEGAN, real: Tensor, seed: int) -> Tensor:
    """Take a step of the family, and return the z that it drew."""
    learner.step(Batch(real, torch.zeros(len(real), 0)), torch.Generator().manual_seed(seed))
    draw = torch.Generator().manual_seed(seed)
    torch.randn(len(real), learner.latent, generator=draw)  # the family draws the noise of the posterior first
    return torch.randn(len(real), learner.latent, generator=draw)


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_g_and_d_go_down_the_losses_of_the_paper(method: str, options: RingOptions) -> None:
    options = replace(options, critic_steps=1)
    learner, before, real = family(method, options, [3]), family(method, options, [3]), some(8, 1, 1)
    z = family_step(learner, real, 9)
    generator, discriminator = before.networks["generator"], before.networks["discriminator"]
    assert isinstance(generator, Perceptrons)
    assert isinstance(discriminator, Perceptrons)
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


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_the_traced_step_is_the_familys(method: str, options: RingOptions) -> None:
    learner, real = family(method, options, [3, 4]), some(8, 2, 1)
    weights = flat(learner)
    squares = {name: torch.zeros_like(value) for name, value in weights.items()}
    groups = (learner._critic_groups, learner._phases[0])
    steps = [stepping(family(method, options, [3, 4]), each, real, torch.zeros(8, 4)) for each in groups]
    for turn in range(6):
        real = some(8, 2, turn)
        z = family_step(learner, real, turn)
        full = learner.steps % learner.method.critic_steps == 0
        with torch.no_grad():
            weights, squares = steps[full](real, z, weights, squares)
    for name, mine in flat(learner).items():
        torch.testing.assert_close(weights[name], mine, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_seeds_side_by_side_are_seeds_alone(method: str, options: RingOptions) -> None:
    """What one seed learns beside another it learns alone, from the same points and codes."""
    both, alone = family(method, options, [3, 4]), family(method, options, [4])
    seen = [
        stepping(each, each._phases[0], some(8, n, 1), torch.zeros(8, 2 * n)) for each, n in ((both, 2), (alone, 1))
    ]
    real, z = some(8, 2, 1), torch.randn(8, 4, generator=torch.Generator().manual_seed(2))
    for learner, step, x, code in ((both, seen[0], real, z), (alone, seen[1], real[:, 2:], z[:, 2:])):
        weights = flat(learner)
        squares = {name: torch.zeros_like(value) for name, value in weights.items()}
        with torch.no_grad():
            for _ in range(3):
                weights, squares = step(x, code, weights, squares)
        for name, network in learner.networks.items():
            torch.nn.utils.vector_to_parameters(weights[name], network.parameters())
    for name in both.networks:
        for mine, theirs in zip(both.parameters(name), alone.parameters(name), strict=True):
            torch.testing.assert_close(mine[1], theirs[0], rtol=1e-4, atol=1e-6)


def test_wgan_clips_its_critic_and_steps_it_more_often() -> None:
    learner = family("wgan", replace(SMALL, critic_steps=3, widths=(16, 16)), [0])
    before = [parameter.clone() for parameter in learner.parameters("generator")]
    moved = []
    for seed in range(3):
        family_step(learner, some(8, 1, seed), seed)
        assert max(float(p.detach().abs().max()) for p in learner.parameters("discriminator")) <= 0.01
        moved.append(any(bool((a != b).any()) for a, b in zip(before, learner.parameters("generator"), strict=True)))
    assert moved == [False, False, True]


@pytest.mark.parametrize("method", ring.WORDS)
def test_seeds_decide_the_curves(method: str) -> None:
    one, again, other = (
        train_ring(method, SMALL, seeds, [4], lambda *_: None, traced) for seeds in ((5, 7), (5, 7), (6, 7))
    )
    assert one == again
    assert one[0].iterations == [2, 4]
    assert one[0].points[4] != other[0].points[4]
    assert one[0].points[4] != one[1].points[4]


def test_a_training_that_a_signal_ended_goes_on(tmp_path: Path) -> None:
    options, result = replace(SMALL, iterations=8), tmp_path / "curves.json"
    whole = train_ring("wgan", options, (5, 7), [8], lambda *_: None, traced)

    def kill(done: int, _: int) -> None:
        if done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"4 iterations are kept in .*curves\.json\.unfinished"):
        train_ring("wgan", options, (5, 7), [8], kill, traced, result)
    assert train_ring("wgan", options, (5, 7), [8], lambda *_: None, traced, result) == whole


def curve(covered: list[float]) -> RingCurve:
    return RingCurve([100 * (place + 1) for place in range(len(covered))], covered, covered, covered, {})


def test_the_end_is_a_mean_over_the_last_tenth() -> None:
    assert curve([0.0] * 18 + [0.5, 0.7]).at_the_end("on_ring") == pytest.approx(0.6)
    assert curve([0.1, 0.5]).at_the_end("even") == 0.5


def test_verdicts_follow_the_curves() -> None:
    slow, fast, never = curve([0, 0, 0.96]), curve([0, 0.97, 1]), curve([0.2, 0.3, 0.3])
    assert fast.first(0.95) == 200
    assert never.first(0.95) == math.inf
    found = ring.claims({"gan": [never], "wgan": [slow], "fm-gan": [fast]})
    assert [each.verdict for each in decide(found)] == ["seen once"] * 5
    assert found[0].margins == (100,)
    found = ring.claims({"gan": [fast], "wgan": [slow], "fm-gan": [never]})
    verdicts = [each.verdict for each in decide(found)]
    # GAN came first and covered the ring; FM-GAN is neither on it nor even at the end.
    assert [verdicts[place] for place in (0, 1, 3, 4)] == ["not reproduced"] * 4
    nobody = ring.claims({"gan": [never], "wgan": [never], "fm-gan": [never]})
    assert decide(nobody)[0].verdict == "not decided"
    # Who never arrives counts as arriving at the end, no later.
    seeds = ring.claims({"gan": [never] * 3, "wgan": [slow, never, never], "fm-gan": [fast] * 3})
    assert seeds[0].margins == (100, 100, 100)
    assert decide(seeds)[0].verdict == "reproduced"
    assert "never counts as the end, 300" in seeds[0].evidence


def test_curves_are_kept_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    units: set[str] = set()
    form = replace(QUICK, iterations=60)
    request = Request(tmp_path, seeds=(0,), form=form, say=said.append, progress=lambda *words: units.add(words[3]))
    monkeypatch.setattr(ring.shutil, "which", lambda name: None)  # no compiler is needed
    page = write_outcome(ring.run(request), tmp_path)
    assert len(said) == 3
    assert units == {"iterations"}  # the bar counts them, not images
    told = json.loads((tmp_path / "ring" / "results.json").read_text())
    assert {claim["verdict"] for claim in told["claims"]} <= {"seen once", "not reproduced", "not decided"}
    assert (tmp_path / "ring" / "pictures" / "figure-4.png").is_file()
    assert "Verdicts" in page.read_text()
    ring.run(request)
    assert len(said) == 3
    ring.run(replace(request, seeds=(0, 1)))
    assert len(said) == 6
    assert said[-1].endswith("seeds 0, 1")
    ring.run(replace(request, images=6))
    assert said[-1] == "fm-gan: 6 iterations, seeds 0"
    with pytest.raises(AttrimorphError, match="must be at least 6, the ring's iterations; got 5"):
        ring.run(replace(request, images=5))
