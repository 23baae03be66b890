"""How far a figure may lie from the truth by chance: intervals of rates, of means, and over training seeds."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean, stdev

Interval = tuple[float, float]
TAIL = 0.025  # on either side of an interval of 95 %


def wilson(share: float, count: float, tail: float = TAIL) -> Interval:
    """Return Wilson's interval of a rate (E. B. Wilson 1927).

    Args:
        share: of `count` cases, in 0..1.
        count: at least 1.
        tail: chance that the true rate lies above the interval, and as much that it lies below.
    """
    z = NormalDist().inv_cdf(1 - tail)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def of_difference(high: float, counted: Interval, low: float, other: Interval, times: float = 1.0) -> Interval:
    """Return the interval of high - times * low from those of its parts (R. G. Newcombe 1998; MOVER).

    Args:
        high: a figure, with its interval `counted`.
        low: another, with its interval `other`.
        times: at least 0.
    """
    difference = high - times * low
    below = math.hypot(high - counted[0], times * (other[1] - low))
    above = math.hypot(counted[1] - high, times * (low - other[0]))
    return difference - below, difference + above


def of_mean(values: Sequence[float], tail: float = TAIL) -> Interval:
    """Return Student's interval of a mean; one value alone has none: NaN.

    Args:
        values: finite.
        tail: as of `wilson`.
    """
    if len(values) < 2:
        return math.nan, math.nan
    half = student(1 - tail, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


@cache
def student(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution.

    Args:
        share: in 0.5..1.
        freedom: degrees of freedom, at least 1.
    """
    if freedom > 1_000:
        return NormalDist().inv_cdf(share)
    low, high = 0.0, 1.0
    while below(high, freedom) < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def below(t: float, freedom: int) -> float:
    """Return Student's distribution function, by its finite series in the angle (Abramowitz and Stegun 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    area = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return 0.5 + area / 2
