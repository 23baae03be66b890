"""Intervals, held against scipy and against tables."""

import math

import pytest
from scipy import stats

from attrimorph.metrics.figures import of_difference, of_mean, student, wilson


def test_wilsons_interval_of_a_share() -> None:
    # Tabulated for 8 of 10: 0.490 to 0.943.
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    expected = stats.binomtest(13, 480).proportion_ci(0.99, method="wilson")
    assert wilson(13 / 480, 480, 0.005) == pytest.approx((expected.low, expected.high))
    assert wilson(1.0, 20)[1] == pytest.approx(1)
    assert wilson(1.0, 20)[0] < 0.9


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 101, 5_000])
@pytest.mark.parametrize("share", [0.9, 0.975, 0.99, 0.9995])
def test_quantiles_of_students_distribution(share: float, freedom: int) -> None:
    assert student(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=2e-3 if freedom > 1_000 else 1e-9)


def test_the_interval_of_a_mean() -> None:
    values = [0.91, 0.94, 0.95]
    low, high = stats.t.interval(0.95, 2, 0.9 + 0.1 / 3, stats.sem(values))
    assert of_mean(values) == pytest.approx((low, high))
    assert all(map(math.isnan, of_mean([1.0])))


def test_the_interval_of_a_difference_of_shares() -> None:
    # Newcombe 1998, method 10: 56 of 70 and 48 of 80: 0.2, from 0.0524 to 0.3339.
    high, low = 56 / 70, 48 / 80
    assert of_difference(high, wilson(high, 70), low, wilson(low, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert of_difference(0.5, (0.4, 0.6), 0.2, (0.2, 0.2), 2) == pytest.approx((0.0, 0.2))
