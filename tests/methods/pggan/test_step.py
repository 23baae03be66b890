"""The progressively grown GAN: its schedule, who learns what against a plain evaluation, resuming inside a fade."""

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from attrimorph import losses
from attrimorph.data.loader import Batch
from attrimorph.methods.pggan.networks import faded
from attrimorph.methods.pggan.recipe import (
    GrowthOptions,
    ProgressiveLossOptions,
    ProgressiveNetworkOptions,
    ProgressiveRecipe,
)
from attrimorph.methods.pggan.step import PGGAN, Growth
from attrimorph.recipe import DataOptions, OptimiserOptions, TrainingOptions
from tests.methods.cvae_gan.small_family import MIXED, batch, chance

LATENT = 6
PUBLISHED = Growth(4, 1024, (600_000,), (600_000,), (16, 16, 16, 16, 16, 16, 16, 8, 4))
SHORT = Growth(4, 16, (16, 24), (32, 16), (8, 8, 4))


def make(
    growth: Growth = SHORT, *, conditional: bool = False, seed: int = 0, rate: float = 1e-3, **losses: float
) -> PGGAN:
    recipe = ProgressiveRecipe(
        name="small",
        # Eight pixels are too few for a recipe, and enough here.
        data=DataOptions().model_copy(update={"image_size": growth.image_size}),
        networks=ProgressiveNetworkOptions(latent=LATENT, width=4, most=8, conditional=conditional),
        losses=ProgressiveLossOptions(**losses),  # type: ignore[arg-type]
        growth=GrowthOptions(
            start=growth.start,
            fixed_images=growth.fixed,
            fading_images=growth.fading,
            batch_sizes=growth.batch_sizes,
        ),
        optimiser=OptimiserOptions(learning_rate=rate, beta1=0.0, beta2=0.99),
        training=TrainingOptions(seed=seed, batch_size=math.lcm(2, *growth.batch_sizes)),
    )
    return PGGAN.build(recipe, MIXED)


def equal_states(a: Any, b: Any) -> bool:
    """Whether two nested states hold the same values, tensors to the bit."""
    if isinstance(a, Tensor):
        return bool(torch.equal(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal_states(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal_states, a, b))
    return bool(a == b)


# ---- the schedule


def test_the_published_schedule() -> None:
    level = PUBLISHED.level
    assert [level(n) for n in (0, 599_999, 600_000)] == [0, 0, 0]
    assert level(900_000) == pytest.approx(0.5)  # 4 -> 8, half-way
    assert [level(n) for n in (1_200_000, 1_799_999)] == [1, 1]
    assert level(1_200_000 * 7 + 600_000 + 150_000) == pytest.approx(7.25)
    assert [level(n) for n in (1_200_000 * 8, 10**9)] == [8, 8]
    assert [PUBLISHED.batch_size(n) for n in (0, 1_200_000 * 6, 1_200_000 * 7 + 1, 10**9)] == [16, 16, 8, 4]


def test_the_level_never_falls_nor_leaps_and_a_fade_has_the_next_sizes_batches() -> None:
    levels = [SHORT.level(n) for n in range(200)]
    assert levels == sorted(levels)
    assert max(b - a for a, b in pairwise(levels)) <= 1 / 16 + 1e-9
    assert [SHORT.level(n) for n in (15, 16, 32, 48, 71, 72, 80, 88, 500)] == [0, 0, 0.5, 1, 1, 1, 1.5, 2, 2]
    assert [SHORT.batch_size(n) for n in (0, 16, 17, 72, 73, 500)] == [8, 8, 8, 8, 4, 4]


def test_a_run_may_start_at_a_larger_size() -> None:
    growth = Growth(16, 64, (10, 20, 30), (5, 5), (8, 4))
    assert [growth.level(n) for n in (0, 9, 15, 34, 40, 99)] == [2, 2, 3, 3, 4, 4]
    assert [growth.batch_size(n) for n in (0, 14, 99)] == [8, 4, 4]


# ---- who learns what


def plain_gradients(
    algorithm: PGGAN, images: Tensor, y: Tensor, level: float, seed: int
) -> tuple[dict[str, list[Tensor]], dict[str, float]]:
    """Each network's own loss, evaluated apart from the other's with separate passes: the method as it is written."""
    g, d = algorithm.networks["generator"], algorithm.networks["discriminator"]
    generator = chance(seed)
    count = len(images)
    z = torch.randn(count, LATENT, generator=generator)
    goal = y[torch.randperm(count, generator=generator)]
    share = torch.rand(count, 1, 1, 1, generator=generator)
    shown = goal if algorithm.conditional else goal[:, :0]
    real = faded(images, level)

    samples = g(z, shown, level)
    score, logits = d(samples, level)
    fool = -score.mean()
    if algorithm.conditional:
        fool = fool + algorithm.weights["classify"] * losses.attribute_loss(logits, goal, algorithm.blocks)
    of_g = torch.autograd.grad(fool, [p for p in g.parameters()], allow_unused=True)

    samples = samples.detach()
    (s_r, l_r), (s_f, l_f) = d(real, level), d(samples, level)
    between = (real + share * (samples - real)).requires_grad_()
    (slope,) = torch.autograd.grad(d(between, level)[0].sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    total = s_f.mean() - s_r.mean() + 1e-3 * (s_r**2).mean() + 10 * penalty
    if algorithm.conditional:
        total = total + algorithm.weights["classify"] * (
            losses.attribute_loss(l_r, y, algorithm.blocks) + losses.attribute_loss(l_f, goal, algorithm.blocks)
        )
    of_d = torch.autograd.grad(total, [p for p in d.parameters()], allow_unused=True)

    def filled(gradients: tuple[Tensor | None, ...], like: torch.nn.Module) -> list[Tensor]:
        return [torch.zeros_like(p) if x is None else x for x, p in zip(gradients, like.parameters(), strict=True)]

    values = {"wasserstein": (s_f.mean() - s_r.mean()).item(), "gradient_penalty": penalty.item()}
    return {"generator": filled(of_g, g), "discriminator": filled(of_d, d)}, values


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0, 1.75, 2.0])
@pytest.mark.parametrize("conditional", [False, True])
def test_both_gradients_are_those_of_separate_passes(level: float, conditional: bool) -> None:
    algorithm = make(conditional=conditional, classify=0.7)
    images, y = batch(8)
    expected, expected_values = plain_gradients(algorithm, images, y, level, seed=3)
    values = algorithm.backward(images, y, level, chance(3))
    for name, value in expected_values.items():
        assert float(values[name]) == pytest.approx(value, rel=1e-5)
    for name, network in algorithm.networks.items():
        for found, wanted in zip(network.parameters(), expected[name], strict=True):
            mine = torch.zeros_like(found) if found.grad is None else found.grad
            torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-5)


def test_layers_that_are_not_at_work_do_not_learn() -> None:
    algorithm = make()
    algorithm.step(Batch(*batch(8)), chance())
    for network in algorithm.networks.values():
        moved = {name for name, p in network.named_parameters() if p.grad is not None}
        colours = {name for name in moved if "rgb" in name}
        assert {name.rpartition(".")[0] for name in colours} <= {"to_rgb.0", "from_rgb.0"}
        assert colours
        assert not any(name.startswith("stages") for name in moved)


def test_the_penalty_may_be_evaluated_less_often_with_its_weight_grown() -> None:
    algorithm = make(penalty_every=2)
    values = [algorithm.step(Batch(*batch(8)), chance(n)) for n in range(4)]
    assert ["gradient_penalty" in value for value in values] == [True, False, True, False]


# ---- steps


def test_a_batch_is_taken_in_as_many_steps_as_its_size_asks_for() -> None:
    algorithm = make()
    values = algorithm.step(Batch(*batch(8), images_seen=500), chance())
    assert algorithm.steps == 2  # 8 images in batches of 4
    assert all(value.ndim == 0 and not value.requires_grad for value in values.values())
    # The clock runs inside a batch: at 12 the level is 0, at 16 the fade begins.
    other = make(Growth(4, 16, (12, 24), (32, 16), (4,)))
    other.step(Batch(*batch(8), images_seen=8), chance())
    assert other.phase == [0, 0]
    other.step(Batch(*batch(8), images_seen=16), chance())
    assert other.phase == [0, 1]


def test_the_optimisers_forget_where_a_fade_begins_and_ends() -> None:
    algorithm = make()
    seen = []
    for n in range(0, 96, 8):
        algorithm.step(Batch(*batch(8, seed=n), images_seen=n), chance(n))
        state = algorithm.optimisers["generator"].state
        seen.append(int(next(iter(state.values()))["step"]))
    # Fixed 0-16 (and 16 itself: share 0), fade 17-48, fixed 48-72, fade 73-88, whole.
    assert seen == [1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 2, 2]


def test_a_run_restored_inside_a_fade_ends_with_the_same_bits() -> None:
    def run(algorithm: PGGAN, start: int, stop: int) -> None:
        for n in range(start, stop, 8):
            algorithm.step(Batch(*batch(8, seed=n), images_seen=n), chance(n))

    whole, first, second = make(), make(), make(seed=1)
    run(whole, 0, 96)
    run(first, 0, 40)
    assert 0 < SHORT.level(40) % 1 < 1
    second.load_state(copy.deepcopy(first.state()))
    run(second, 40, 96)
    assert equal_states(whole.state(), second.state())


def test_a_step_is_a_function_of_batch_state_and_generator() -> None:
    a, b = make(conditional=True), make(conditional=True)
    images, y = batch(8)
    y[0, 0] = torch.nan
    for algorithm in (a, b):
        torch.rand(3)
        algorithm.step(Batch(images, y, images_seen=40), chance(5))
    assert equal_states(a.state(), b.state())


def test_a_generator_learns_the_colours_of_a_few_images() -> None:
    """Two flat colours: samples come to lie at them and nowhere else."""
    growth = Growth(4, 8, (10**9,), (1,), (16,))
    algorithm = make(growth, rate=2e-2)
    colours = torch.tensor([[0.8, -0.6, -0.6], [-0.6, -0.6, 0.8]])
    images = colours[torch.arange(16) % 2][:, :, None, None].expand(-1, -1, 8, 8).contiguous()
    y = torch.zeros(16, MIXED.width)
    for n in range(300):
        algorithm.step(Batch(images, y), chance(n))
    with torch.no_grad():
        z = torch.randn(200, LATENT, generator=chance(7))
        made = algorithm.networks["generator"](z, y[:1, :0].expand(200, 0), 0.0).mean((2, 3))
    distance = torch.cdist(made, colours)
    near = distance.amin(1)
    assert near.median() < 0.3  # the two lie 2 apart; what 300 steps come to differs from processor to processor
    shares = (distance.argmin(1) == 0).float().mean()
    assert 0.2 < shares < 0.8


def test_drift_by_hand() -> None:
    assert float(losses.drift(torch.tensor([[1.0], [-3.0]]))) == 5.0
