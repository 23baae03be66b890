"""The Frechet distance against closed forms, scipy's matrix root and torchmetrics."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from attrimorph.errors import AttrimorphError
from attrimorph.metrics import frechet
from attrimorph.metrics.frechet import frechet_distance, moments


def features(count: int, width: int, seed: int, *, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=generator, dtype=torch.float64) / width**0.5
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixed * scale + shift


def by_scipy(a: Tensor, b: Tensor) -> float:
    """The route of the published implementations."""
    one, two = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = scipy.linalg.sqrtm(one @ two)
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return float(apart) + float(np.trace(one) + np.trace(two) - 2 * np.trace(root).real)


@pytest.mark.parametrize(("first", "second", "width"), [(300, 200, 12), (64, 90, 40)])
def test_it_is_scipys(first: int, second: int, width: int) -> None:
    a, b = features(first, width, 0), features(second, width, 1, scale=1.3, shift=0.2)
    assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(30, 200), (200, 30), (20, 25)])
def test_fewer_images_than_features(first: int, second: int) -> None:
    a, b = features(first, 50, 2), features(second, 50, 3, shift=0.1)
    # scipy's root of a singular product is only good to the root of the precision.
    assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-5)


def test_constant_and_repeated_features_take_the_other_way_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = features(300, 10, 4), features(300, 10, 5, scale=0.7)
    wide = [torch.cat([rows, torch.ones(300, 3), rows[:, :2]], 1) for rows in (a, b)]
    calls = []
    real = frechet._by_singular_values
    monkeypatch.setattr(frechet, "_by_singular_values", lambda one, two: calls.append(1) or real(one, two))
    weighted = [torch.cat([rows[:, :2] * 2**0.5, rows[:, 2:]], 1) for rows in (a, b)]
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(*weighted), rel=1e-10)
    assert len(calls) == 1


def test_of_gaussians_with_diagonal_covariance_by_hand() -> None:
    # Columns whose sample moments are exact: +-s around m in every combination are uncorrelated.
    signs = torch.tensor([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)], dtype=torch.float64)
    a = signs * torch.tensor([1.0, 2.0], dtype=torch.float64)
    b = signs * torch.tensor([3.0, 0.5], dtype=torch.float64) + torch.tensor([1.0, -1.0], dtype=torch.float64)
    spread = 4 / 3 * ((3 - 1) ** 2 + (2 - 0.5) ** 2)  # variances divide by N - 1 = 3
    assert frechet_distance(a, b) == pytest.approx(2 + spread, rel=1e-12)


def test_it_is_symmetric_zero_for_equal_sets_and_blind_to_rotation() -> None:
    a, b = features(120, 8, 6), features(150, 8, 7, shift=0.3)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_it_is_torchmetrics() -> None:
    class Pixels(torch.nn.Module):
        num_features = 12

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).double()

    a, b = features(80, 12, 8), features(90, 12, 9, shift=0.4)
    metric = FrechetInceptionDistance(Pixels(), input_img_size=(3, 2, 2)).set_dtype(torch.float64)
    metric.update(a.view(-1, 3, 2, 2), real=True)
    metric.update(b.view(-1, 3, 2, 2), real=False)
    assert frechet_distance(a, b) == pytest.approx(metric.compute().item(), rel=1e-6)


def test_moments_do_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = features(101, 6, 10).float() + 100
    monkeypatch.setattr(frechet, "ROWS", 7)
    mean, covariance = moments(rows)
    torch.testing.assert_close(mean, rows.double().mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(covariance, torch.cov(rows.double().T), rtol=1e-9, atol=1e-12)


def test_what_cannot_be_compared_is_refused() -> None:
    a = features(10, 4, 0)
    with pytest.raises(AttrimorphError, match="use one extractor for both"):
        frechet_distance(a, features(10, 5, 0))
    with pytest.raises(AttrimorphError, match="at least 2 rows"):
        frechet_distance(a, a[:1])
    with pytest.raises(AttrimorphError, match="must be finite"):
        frechet_distance(a, torch.full_like(a, math.nan))
