"""MIG, DCI and SAP against scikit-learn, scipy and codes whose answer is plain."""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.metrics import mutual_info_score
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.distribution import binned, dci, lasso, mig, mutual_information, sap, standardised


def draw(count: int = 500, dims: int = 6, factors: int = 4) -> tuple[Tensor, Tensor]:
    """Codes that mix the factors, with noise; the last factor is binary."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(count, factors, generator=generator)
    values[:, -1] = (values[:, -1] > 0.6).float()
    mixed = torch.randn(factors, dims, generator=generator)
    return values @ mixed + 0.3 * torch.randn(count, dims, generator=generator), values


def nearly_doubled() -> tuple[Tensor, Tensor]:
    """Codes two of which nearly repeat others."""
    codes, factors = draw()
    noise = torch.randn(len(codes), 2, generator=torch.Generator().manual_seed(7))
    return standardised(torch.cat([codes, codes[:, :2] + 0.2 * noise], 1)), standardised(factors)


def by_histogram(column: Tensor) -> np.ndarray:
    """Bins as the published implementation makes them."""
    values = column.double().numpy()
    return np.digitize(values, np.histogram(values, 20)[1][:-1])


def test_mutual_information_and_its_gap_are_scikit_learns() -> None:
    codes, factors = draw()
    expected = [
        [mutual_info_score(by_histogram(factors[:, k]), by_histogram(codes[:, j])) for k in range(4)] for j in range(6)
    ]
    found = mutual_information(binned(codes), binned(factors))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)
    gaps = []
    for k, column in enumerate(np.sort(np.array(expected), axis=0)[::-1].T):
        gaps.append((column[0] - column[1]) / mutual_info_score(*[by_histogram(factors[:, k])] * 2))
    np.testing.assert_allclose(mig(codes, factors).numpy(), gaps, rtol=0, atol=1e-6)


def test_sap_is_the_gap_of_scikit_learns_regressions() -> None:
    codes, factors = draw()
    scores = np.array(
        [
            [LinearRegression().fit(codes[:, [j]], factors[:, k]).score(codes[:, [j]], factors[:, k]) for k in range(4)]
            for j in range(6)
        ]
    )
    ordered = np.sort(scores, axis=0)[::-1]
    np.testing.assert_allclose(sap(codes, factors).numpy(), ordered[0] - ordered[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("penalty", [0.01, 0.2])
def test_the_lasso_is_scikit_learns(penalty: float) -> None:
    x, y = nearly_doubled()
    expected = Lasso(penalty, fit_intercept=False, tol=1e-14, max_iter=200_000).fit(x.numpy(), y.numpy()).coef_.T
    np.testing.assert_allclose(lasso(x, y, penalty).numpy(), expected, rtol=0, atol=1e-6)


def test_the_lasso_is_at_its_least() -> None:
    x, y = nearly_doubled()
    weights = lasso(x, y, 0.001)
    slope = x.T @ (y - x @ weights) / len(x)
    assert slope.abs().max() < 0.001 + 1e-8
    torch.testing.assert_close(slope[weights != 0], 0.001 * weights[weights != 0].sign(), rtol=0, atol=1e-8)


def test_dci_is_made_of_entropies_of_importances() -> None:
    codes, factors = draw()
    found = dci(codes, factors)
    x, y = (standardised(values, 400).numpy() for values in (codes, factors))
    model = Lasso(0.01, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x[:400], y[:400])
    importance = np.abs(model.coef_.T)
    each = 1 - scipy.stats.entropy(importance, base=4, axis=1)
    assert found.disentanglement == pytest.approx(float(np.average(each, weights=importance.sum(1))), abs=1e-6)
    assert found.completeness == pytest.approx(float((1 - scipy.stats.entropy(importance, base=6)).mean()), abs=1e-6)
    assert found.informativeness == pytest.approx(model.score(x[400:], y[400:]), abs=1e-6)


def test_codes_that_are_the_factors_get_full_marks_and_noise_gets_none() -> None:
    factors = draw()[1]
    noise = torch.randn(500, 4, generator=torch.Generator().manual_seed(3))
    own = torch.cat([2 - 3 * factors, 0 * noise[:, :1]], 1)
    assert dci(own, factors, penalty=0.1)[:2] == pytest.approx((1, 1), abs=0.02)
    assert mig(own, factors).min() > 0.85
    assert sap(own, factors).min() > 0.9
    assert mig(noise, factors).max() < 0.1
    assert sap(noise, factors).max() < 0.05
    # Every factor twice: nothing tells one place from the other.
    twice = torch.cat([factors, factors], 1)
    assert mig(twice, factors).max() == pytest.approx(0, abs=1e-9)
    assert sap(twice, factors).max() == pytest.approx(0, abs=1e-9)


def test_a_factor_that_does_not_vary_is_no_factor() -> None:
    codes, factors = draw()
    more = torch.cat([factors, torch.full((500, 1), 3.0)], 1)
    assert mig(codes, more)[-1].isnan()
    assert sap(codes, more)[-1].isnan()
    assert dci(codes, more) == dci(codes, factors)
    with pytest.raises(AttrimorphError, match="at least 2 factors that vary"):
        dci(codes, more[:, -2:])
    with pytest.raises(AttrimorphError, match="at least 2 code dimensions"):
        mig(codes[:, :1], factors)
