"""Losses against hand values, loops, torch.distributions, finite differences, and missing values."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from attrimorph import losses

BLOCKS: tuple[losses.Block, ...] = (("binary", 0, 2), ("categorical", 2, 5), ("real", 5, 6))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels() -> Tensor:
    return torch.tensor(
        [[1, 0, 0, 1, 0, 0.7], [0, 0, 1, 0, 0, -1.2], [1, 1, 0, 0, 1, 0.1], [0, 1, 0, 1, 0, 2.0]],
        dtype=torch.float64,
    )


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_kl_divergence_by_hand() -> None:
    mean, logvar = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(2)], [0.0, 0.0]])
    # First row 1/2 (1 + 4 + (1 - 0 - 1) + (2 - ln 2 - 1)), second row 0.
    assert losses.kl_divergence(mean, logvar).item() == pytest.approx(0.5 * (6 - math.log(2)) / 2)


def test_kl_divergence_is_that_of_the_distributions() -> None:
    mean, logvar = draw(5, 7), draw(5, 7, seed=1)
    prior = Normal(torch.zeros(5, 7, dtype=torch.float64), 1.0)
    expected = kl_divergence(Normal(mean, torch.exp(0.5 * logvar)), prior).sum(1).mean()
    torch.testing.assert_close(losses.kl_divergence(mean, logvar), expected)


def test_half_squared_error_by_loop() -> None:
    a, b = draw(3, 2, 4, 4), draw(3, 2, 4, 4, seed=1)
    total = sum(0.5 * (p - q) ** 2 for p, q in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True))
    assert losses.half_squared_error(a, b).item() == pytest.approx(total / 3)


def test_adversarial_losses_by_loop() -> None:
    real, fake, other = draw(4, 1), draw(4, 1, seed=1), draw(4, 1, seed=2)
    r, f, o = (x.flatten().tolist() for x in (real, fake, other))

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    assert losses.real_or_fake(real, [fake]).item() == pytest.approx(
        mean([softplus(-v) for v in r]) + mean([softplus(v) for v in f])
    )
    assert losses.real_or_fake(real, [fake, other]).item() == pytest.approx(
        mean([softplus(-v) for v in r]) + mean([softplus(v) for v in f]) + mean([softplus(v) for v in o])
    )
    assert losses.real_or_fake(None, [fake]).item() == pytest.approx(mean([softplus(v) for v in f]))
    assert losses.non_saturating(fake).item() == pytest.approx(mean([softplus(-v) for v in f]))
    assert losses.least_squares_real_or_fake(real, fake).item() == pytest.approx(
        mean([0.5 * (v - 1) ** 2 for v in r]) + mean([0.5 * v**2 for v in f])
    )
    assert losses.least_squares_fool(fake).item() == pytest.approx(mean([0.5 * (v - 1) ** 2 for v in f]))
    assert losses.hinge_real_or_fake(real, fake).item() == pytest.approx(
        mean([max(0.0, 1 - v) for v in r]) + mean([max(0.0, 1 + v) for v in f])
    )
    assert losses.wasserstein(real, fake).item() == pytest.approx(mean(f) - mean(r))
    assert losses.wasserstein_fool(fake).item() == pytest.approx(-mean(f))


def test_an_undecided_discriminator_costs_log_two_a_term() -> None:
    zero = torch.zeros(3, 1)
    assert losses.real_or_fake(zero, [zero, zero]).item() == pytest.approx(3 * math.log(2))
    assert losses.non_saturating(zero).item() == pytest.approx(math.log(2))


def test_better_judgement_costs_less() -> None:
    low, high = torch.full((2, 1), -2.0), torch.full((2, 1), 2.0)
    for judge in (losses.least_squares_real_or_fake, losses.hinge_real_or_fake, losses.wasserstein):
        assert judge(high, low) < judge(low, high)
    assert losses.real_or_fake(high, [low]) < losses.real_or_fake(low, [high])
    for fool in (losses.non_saturating, losses.wasserstein_fool):
        assert fool(high) < fool(low)
    assert losses.least_squares_fool(torch.ones(2, 1)) == 0 < losses.least_squares_fool(low)


def test_a_loss_sensitive_critic_wants_a_margin_by_distance() -> None:
    # Short by 1 - (2 - 0.5) < 0, 2 - (1 - 3) = 4, and 0.5 - (0 - 0) = 0.5.
    real, fake = torch.tensor([[2.0], [1.0], [0.0]]), torch.tensor([[0.5], [3.0], [0.0]])
    margin = torch.tensor([[1.0], [2.0], [0.5]])
    assert losses.loss_sensitive(real, fake, margin).item() == pytest.approx(4.5 / 3)


def test_smooth_l1_by_hand() -> None:
    x, mean = torch.tensor([[0.5, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [-1.0, 4.0]])
    assert losses.smooth_l1_errors(x, mean).tolist() == pytest.approx([0.125 + 1.5, 0.5 + 3.5])
    assert losses.smooth_l1_error(x, mean, known=torch.tensor([True, False])).item() == pytest.approx(1.625 / 2)


def test_gradient_penalty_by_hand() -> None:
    # Norms 5, 1 and 0: ((5 - 1)^2 + 0 + 1) / 3.
    gradient = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 0.0]]).view(3, 1, 1, 2)
    assert losses.gradient_penalty(gradient).item() == pytest.approx(17 / 3)


def test_centre_distance_by_hand() -> None:
    real = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    generated = torch.tensor([[0.0, 0.0], [3.0, 0.0]], requires_grad=True)
    loss = losses.centre_distance(real, generated)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (1 + 4 + 9))
    assert real.grad is None
    assert generated.grad is not None
    assert torch.equal(generated.grad, torch.tensor([[-1.0, -2.0], [3.0, 0.0]]))


def test_attribute_loss_is_the_log_likelihood_of_the_distributions() -> None:
    outputs, y = draw(4, 6), labels()
    log_p = Bernoulli(logits=outputs[:, :2]).log_prob(y[:, :2]).sum()
    log_p = log_p + Categorical(logits=outputs[:, 2:5]).log_prob(y[:, 2:5].argmax(1)).sum()
    # A Gaussian of variance one, less its constant.
    log_p = log_p + (Normal(outputs[:, 5], 1.0).log_prob(y[:, 5]) + 0.5 * math.log(2 * math.pi)).sum()
    torch.testing.assert_close(losses.attribute_loss(outputs, y, BLOCKS), -log_p / 4)


def test_attribute_loss_by_loop_with_missing_values() -> None:
    outputs, y = draw(4, 6), labels()
    y[0, 1] = y[1, 5] = math.nan
    y[2, 2:5] = math.nan
    total = 0.0
    for out, goal in zip(outputs.tolist(), y.tolist(), strict=True):
        for column in (0, 1):
            if not math.isnan(goal[column]):
                total += softplus(-out[column]) if goal[column] == 1 else softplus(out[column])
        if not math.isnan(goal[2]):
            total += math.log(sum(math.exp(v) for v in out[2:5])) - out[2 + goal[2:5].index(1)]
        if not math.isnan(goal[5]):
            total += 0.5 * (out[5] - goal[5]) ** 2
    assert losses.attribute_loss(outputs, y, BLOCKS).item() == pytest.approx(total / 4)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block[0]))
def test_a_missing_attribute_is_as_if_it_were_not_there(block: losses.Block) -> None:
    _, start, stop = block
    with_nan, without = draw(4, 6).requires_grad_(), draw(4, 6).requires_grad_()
    y = labels()
    y[:, start:stop] = math.nan
    loss = losses.attribute_loss(with_nan, y, BLOCKS)
    expected = losses.attribute_loss(without, labels(), [other for other in BLOCKS if other != block])
    (gradient,) = torch.autograd.grad(loss, with_nan)
    (goal,) = torch.autograd.grad(expected, without)
    assert torch.equal(loss, expected)
    assert torch.equal(gradient, goal)
    assert not gradient[:, start:stop].any()
    assert gradient.any()


def test_nothing_known_costs_nothing() -> None:
    outputs = draw(4, 6).requires_grad_()
    loss = losses.attribute_loss(outputs, torch.full((4, 6), math.nan, dtype=torch.float64), BLOCKS)
    loss.backward()
    assert loss == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()


def test_attribute_accuracy_counts_known_attributes() -> None:
    y = labels()
    outputs = torch.zeros(4, 6, dtype=torch.float64)
    outputs[:, 0] = torch.tensor([1, -1, -1, 1])  # two of four right
    outputs[:, 1] = torch.tensor([-1, -1, 1, 1])  # all right
    outputs[:, 2:5] = y[:, 2:5].roll(1, dims=0)  # all wrong but where neighbours agree
    outputs[:, 2:5][0] = y[:, 2:5][0]
    y[3, 1] = math.nan
    y[1, 2:5] = math.nan
    # Binary: 2 + 3 of 4 + 3. Categorical: rows 0 (right), 2 and 3 (wrong) of 3. Real ones are not counted.
    assert losses.attribute_accuracy(outputs, y, BLOCKS).item() == pytest.approx(6 / 10)
    assert losses.attribute_accuracy(outputs, torch.full_like(y, math.nan), BLOCKS).isnan()


def test_gradients_by_finite_differences() -> None:
    def wide(*shape: int, seed: int = 0) -> Tensor:
        return draw(*shape, seed=seed).requires_grad_()

    a, b, images = wide(3, 4), wide(3, 4, seed=1), wide(2, 3, 2, 2)
    logits, fakes = wide(3, 1), wide(3, 1, seed=1)
    y = labels()[:3]
    y[0, 1] = math.nan
    y[1, 2:5] = math.nan
    check = torch.autograd.gradcheck
    assert check(losses.kl_divergence, (a, b))
    assert check(losses.half_squared_error, (a, b))
    assert check(lambda r, f: losses.real_or_fake(r, [f, 2 * f]), (logits, fakes))
    assert check(losses.non_saturating, (fakes,))
    assert check(losses.least_squares_real_or_fake, (logits, fakes))
    assert check(losses.least_squares_fool, (fakes,))
    assert check(losses.hinge_real_or_fake, (logits, fakes))
    assert check(losses.wasserstein, (logits, fakes))
    assert check(losses.wasserstein_fool, (fakes,))
    assert check(losses.gradient_penalty, (images,))
    assert check(lambda g: losses.centre_distance(a.detach(), g), (b,))
    assert check(lambda out: losses.attribute_loss(out, y, BLOCKS), (wide(3, 6),))


def test_the_batch_is_averaged_and_the_sample_summed() -> None:
    a, b, logits = draw(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1), draw(2, 1)
    y, outputs = labels()[:2], draw(2, 6)

    def twice(x: Tensor) -> Tensor:
        return torch.cat([x, x])

    for once, doubled in (
        (losses.half_squared_error(a, b), losses.half_squared_error(twice(a), twice(b))),
        (losses.kl_divergence(a, b), losses.kl_divergence(twice(a), twice(b))),
        (losses.real_or_fake(logits, [logits]), losses.real_or_fake(twice(logits), [twice(logits)])),
        (losses.attribute_loss(outputs, y, BLOCKS), losses.attribute_loss(twice(outputs), twice(y), BLOCKS)),
    ):
        torch.testing.assert_close(doubled, once)
    wider = losses.half_squared_error(torch.cat([a, a], dim=3), torch.cat([b, b], dim=3))
    torch.testing.assert_close(wider, 2 * losses.half_squared_error(a, b))
