"""Fits against scikit-learn and hand values; untangling to machine precision, without order, against brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeCV
from torch import Tensor

from attrimorph.applications.axes.linear import (
    basis,
    cosines,
    fit,
    linked,
    on_sphere,
    shortest_move,
    unit,
    untangle,
)
from attrimorph.errors import AttrimorphError

EPS = 2.3e-16


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(count: int = 4, size: int = 20) -> Tensor:
    """Unit axes with a common part: cosines of about one half."""
    return unit(draw(1, size, seed=9) + draw(count, size))


# ---- the link


def test_the_link_is_half_the_clipped_logit() -> None:
    p = torch.tensor([0.5, 0.9, 0.1, 1.0, 0.0])
    half = [0.0, 0.5 * math.log(9), -0.5 * math.log(9), 3.0, -3.0]
    assert linked(p, "arctanh").tolist() == pytest.approx(half, abs=1e-6)
    assert torch.equal(linked(p, "none"), p.double())


# ---- fits


def data(count: int = 300, size: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = draw(count, size, seed=seed) + 0.7
    y = x @ draw(size, 3, seed=seed + 1) + 0.5 * draw(count, 3, seed=seed + 2) + 2
    return x, y


def test_least_squares_is_that_of_scikit_learn() -> None:
    x, y = data()
    found, other = fit(x, y), LinearRegression().fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(found.slopes.numpy(), other.coef_, rtol=1e-9)
    np.testing.assert_allclose(found.intercepts.numpy(), other.intercept_, rtol=1e-9)


def test_a_dead_column_gets_no_slope() -> None:
    x, y = data()
    x[:, 4] = 0.0
    found = fit(x, y)
    assert found.slopes[:, 4].abs().max() < 1e-9
    rest = [column for column in range(12) if column != 4]
    torch.testing.assert_close(found.slopes[:, rest], fit(x[:, rest], y).slopes)


def test_ridge_regression_is_that_of_scikit_learn() -> None:
    x, y = data()
    for penalty in (0.1, 50.0):
        found, other = fit(x, y, "ridge", penalty=penalty), Ridge(penalty).fit(x.numpy(), y.numpy())
        np.testing.assert_allclose(found.slopes.numpy(), other.coef_, rtol=1e-9)
        np.testing.assert_allclose(found.intercepts.numpy(), other.intercept_, rtol=1e-9)


def test_the_penalty_is_what_leaving_one_out_would_choose_or_its_neighbour() -> None:
    """Generalised cross-validation approximates leaving one out: few rows, many columns, only a few of them at work."""
    x = draw(60, 40)
    y = (x[:, :3].sum(1) + 2 * draw(60, seed=5))[:, None]
    centred = x - x.mean(0)
    scale = torch.linalg.eigvalsh(centred.T @ centred).mean()
    grid = [float(10.0**power * scale) for power in range(-4, 7)]
    chosen = RidgeCV(alphas=grid).fit(x.numpy(), y[:, 0].numpy()).alpha_
    candidates = [fit(x, y, "ridge", penalty=penalty).slopes for penalty in grid]
    found = fit(x, y, "ridge").slopes
    place = min(range(len(grid)), key=lambda index: float((candidates[index] - found).norm()))
    assert float((candidates[place] - found).norm()) < 1e-9
    assert abs(place - grid.index(chosen)) <= 1
    assert 0 < place < len(grid) - 1


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    x, y = data()
    labels = (y > y.mean(0)).double()
    for penalty in (1.0, 20.0):
        found = fit(x, labels, "logistic", penalty=penalty)
        for column in range(3):
            other = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000).fit(
                x.numpy(), labels[:, column].numpy()
            )
            np.testing.assert_allclose(found.slopes[column].numpy(), other.coef_[0], rtol=1e-4, atol=1e-5)
            assert float(found.intercepts[column]) == pytest.approx(other.intercept_[0], rel=1e-4, abs=1e-4)


def test_logistic_regression_of_probabilities_is_that_of_as_many_labels() -> None:
    """A soft label of 0.75 is three labels 1 and one 0."""
    x = draw(50, 3)
    share = torch.tensor([0.0, 0.25, 0.75, 1.0]).double()[torch.arange(50) % 4]
    many = x.repeat_interleave(4, 0)
    labels = (torch.arange(4).repeat(50) < (4 * share).repeat_interleave(4)).double()
    soft = fit(x, share[:, None], "logistic", penalty=0.5)
    hard = fit(many, labels[:, None], "logistic", penalty=2.0)
    torch.testing.assert_close(soft.slopes, hard.slopes, rtol=1e-5, atol=1e-7)


def test_separable_labels_end_well() -> None:
    x = draw(40, 2)
    found = fit(x, (x[:, :1] > 0).double(), "logistic", penalty=1e-6)
    assert bool(found.slopes.isfinite().all())
    assert ((x @ found.slopes[0] + found.intercepts[0] > 0) == (x[:, 0] > 0)).all()


@pytest.mark.parametrize("method", ["linear", "ridge", "logistic"])
def test_every_method_finds_the_direction_of_a_linear_truth(method: str) -> None:
    x, truth = draw(5000, 16), unit(draw(2, 16, seed=3))
    p = (3 * x @ truth.T).sigmoid()
    aim = p if method == "logistic" else linked(p, "arctanh")
    found = fit(x, aim, method)  # type: ignore[arg-type]
    assert cosines(found.slopes, truth).diagonal().min() > 0.998


@pytest.mark.parametrize("method", ["linear", "ridge", "logistic"])
def test_unknown_labels_are_left_out_column_by_column(method: str) -> None:
    x, y = data()
    y = y.sigmoid()
    y[::3, 0], y[1::4, 2] = torch.nan, torch.nan
    found = fit(x, y, method, penalty=1.0)  # type: ignore[arg-type]
    rows = ~y[:, 0].isnan()
    alone = fit(x[rows], y[rows, :1], method, penalty=1.0)  # type: ignore[arg-type]
    torch.testing.assert_close(found.slopes[:1], alone.slopes)


def test_an_axis_needs_two_rows() -> None:
    with pytest.raises(AttrimorphError, match="at least two labelled pictures; got 1"):
        fit(draw(1, 3), draw(1, 1))


# ---- untangling


def test_locked_scores_stay_to_machine_precision() -> None:
    axes, codes = correlated(10, 64), draw(100, 64, seed=4)
    for count in (1, 2, 5, 9):
        free = untangle(axes[count:], axes[:count])
        assert (free @ axes[:count].T).abs().max() < 4 * EPS
        torch.testing.assert_close(free.norm(dim=1), torch.ones(len(free)).double(), rtol=1e-14, atol=0)
        moved = codes + 3 * free[0]
        drift = (moved - codes) @ axes[:count].T
        assert drift.abs().max() < 64 * EPS


def test_nearly_parallel_locks_stay_to_machine_precision_too() -> None:
    """Locked axes at a cosine of 1 - 1e-6: the usual normal equations would lose half the digits."""
    base = unit(draw(1, 32))
    locked = unit(torch.cat([base, base + 1e-3 * draw(1, 32, seed=1)]))
    axis = unit(base + 0.3 * draw(1, 32, seed=2))
    free = untangle(axis, locked)
    assert (free @ locked.T).abs().max() < 8 * EPS


def test_the_order_of_the_locks_is_nothing() -> None:
    axes = correlated(5, 30)
    first = untangle(axes[4:], axes[:4])
    for order in itertools.permutations(range(4)):
        torch.testing.assert_close(untangle(axes[4:], axes[list(order)]), first, rtol=0, atol=1e-14)


def test_untangling_is_the_nearest_axis_of_all_that_leave_the_locks_alone() -> None:
    """Brute force: no other direction perpendicular to the locks has a larger cosine with the axis."""
    axes = correlated(3, 4)
    free = untangle(axes[:1], axes[1:])
    best = float((free @ axes[0]).item())
    null = torch.linalg.svd(axes[1:])[2][2:]
    for angle in torch.linspace(0, 2 * math.pi, 721):
        other = math.cos(angle) * null[0] + math.sin(angle) * null[1]
        assert float(other @ axes[0]) <= best + 1e-12
    assert best > 0.1


def test_a_lock_that_depends_on_others_or_stands_twice_changes_nothing() -> None:
    axes = correlated(4, 20)
    more = torch.cat([axes[1:], axes[1:2], unit(axes[1:2] - 2 * axes[2:3])])
    assert basis(more).shape[1] == 3
    torch.testing.assert_close(untangle(axes[:1], more), untangle(axes[:1], axes[1:]), rtol=0, atol=1e-13)


def test_an_axis_within_the_locks_is_gone_and_without_locks_nothing_changes() -> None:
    axes = correlated(3, 20)
    assert not untangle(unit(axes[:1] + axes[1:2]), axes[:2]).any()
    torch.testing.assert_close(untangle(axes, axes[:0]), axes)


def test_locking_all_at_once_is_the_projection_off_all_conditions() -> None:
    """InterFaceGAN's code solves for all conditions jointly: n - C' (C C')^-1 C n."""
    axes = correlated(4, 20)
    c = axes[1:]
    joint = axes[0] - c.T @ torch.linalg.solve(c @ c.T, c @ axes[0])
    torch.testing.assert_close(untangle(axes[:1], c)[0], joint / joint.norm())


def test_points_come_to_the_sphere_with_their_scores() -> None:
    axes, points = correlated(2, 20), 3 * draw(7, 20, seed=8)
    found = on_sphere(points, axes, 12.0)
    torch.testing.assert_close(found @ axes.T, points @ axes.T)
    torch.testing.assert_close(found.norm(dim=1), torch.full((7,), 12.0).double())
    # Where the scores lead beyond, the nearest point with them.
    near = on_sphere(points, axes, 1e-3)
    torch.testing.assert_close(near @ axes.T, points @ axes.T)
    torch.testing.assert_close(near, (points @ basis(axes)) @ basis(axes).T)


# ---- moves


def test_the_shortest_move_reaches_all_goals_and_leaves_the_locks() -> None:
    axes = correlated(6, 40)
    targets, locked = axes[:2], axes[2:]
    wanted = draw(7, 2, seed=8) * 3
    move = shortest_move(targets, locked, wanted)
    torch.testing.assert_close(move @ targets.T, wanted, rtol=1e-12, atol=1e-12)
    assert (move @ locked.T).abs().max() < 1e-14 * move.norm(dim=1).max() * 10
    # The least-norm solution of all constraints at once.
    rows = torch.cat([targets, locked])
    goals = torch.cat([wanted, torch.zeros(7, 4).double()], 1)
    torch.testing.assert_close(move, (torch.linalg.pinv(rows) @ goals.T).T, rtol=1e-9, atol=1e-10)


def test_one_goal_is_a_move_along_the_untangled_axis() -> None:
    axes = correlated(4, 20)
    move = shortest_move(axes[:1], axes[1:], torch.tensor([[2.0]]).double())
    torch.testing.assert_close(unit(move), untangle(axes[:1], axes[1:]), rtol=1e-10, atol=1e-12)


def test_a_measure_of_length_is_kept_to() -> None:
    targets, locked, wanted = unit(draw(2, 9)), draw(3, 9, seed=1), draw(4, 2, seed=2)
    half = draw(9, 9, seed=3)
    gram = half @ half.T + torch.eye(9)
    move = shortest_move(targets, locked, wanted, gram)
    assert (move @ targets.T - wanted).abs().max() < 1e-12
    assert (move @ unit(locked).T).abs().max() < 1e-12
    # Brute force: a Lagrangian in one linear system, and no move beside it is shorter.
    axes = torch.cat([targets, locked])
    goals = torch.cat([wanted, torch.zeros(4, 3)], 1)
    inverse = torch.linalg.inv(gram)
    assert torch.allclose(move, goals @ torch.linalg.inv(axes @ inverse @ axes.T) @ axes @ inverse)
    free = draw(50, 9, seed=4)
    free = free - free @ torch.linalg.pinv(axes) @ axes
    longer = ((move[0] + free) @ gram * (move[0] + free)).sum(1)
    assert (longer > move[0] @ gram @ move[0]).all()
    assert torch.allclose(shortest_move(targets, locked, wanted, torch.eye(9)), shortest_move(targets, locked, wanted))


def test_targets_that_depend_on_one_another_are_refused() -> None:
    axes = correlated(3, 20)
    with pytest.raises(AttrimorphError, match="free of the locked ones and of one another"):
        shortest_move(axes[[0, 0]], axes[1:], torch.ones(1, 2))
    with pytest.raises(AttrimorphError, match="free of the locked"):
        shortest_move(axes[:1], axes, torch.ones(1, 1))
