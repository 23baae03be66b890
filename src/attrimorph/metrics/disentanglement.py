"""Disentanglement: does each part of a code stand for one factor? MIG, DCI and SAP, codes against true factors."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError

BINS = 20
PENALTY = 0.01
SWEEPS = 1_000
TRAINED = 0.8  # of the rows; the others measure how well factors are predicted


class Dci(NamedTuple):
    """Shares in 0..1 (informativeness may fall below 0 where prediction is worse than the mean).

    Attributes:
        disentanglement: each code dimension serves one factor.
        completeness: each factor is served by one code dimension.
        informativeness: R^2 of the factors, predicted for rows that were not fitted.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def binned(values: Tensor, bins: int = BINS) -> Tensor:
    """Return each column's values as integers 0..bins - 1: equally wide bins from its least to its largest value."""
    values = values.double()
    low, high = values.amin(0), values.amax(0)
    place = (values - low) / (high - low).clamp(min=torch.finfo(torch.float64).tiny) * bins
    return place.long().clamp(0, bins - 1)


def mutual_information(codes: Tensor, factors: Tensor, bins: int = BINS) -> Tensor:
    """Return the mutual information in nats of every pair of columns, [Z, K], over the joint histogram.

    Args:
        codes: integers 0..bins - 1, [N, Z].
        factors: integers 0..bins - 1, [N, K].
        bins: of either.
    """
    ones = [torch.nn.functional.one_hot(columns, bins).float().flatten(1) for columns in (codes, factors)]
    # Counts stay exact in float32 up to 2^24 rows.
    joint = (ones[0].T @ ones[1]).double().view(codes.shape[1], bins, factors.shape[1], bins) / len(codes)
    of_codes, of_factors = _entropy(joint[:, :, 0].sum(2), 1), _entropy(joint[0].sum(0), 1)
    return of_codes[:, None] + of_factors - _entropy(joint, (1, 3))


def mig(codes: Tensor, factors: Tensor, *, bins: int = BINS) -> Tensor:
    """Return the mutual information gap of each factor (Chen, Li, Grosse, Duvenaud 2018, equation 6).

    (I(z_j; v) - I(z_j'; v)) / H(v), j and j' the two code dimensions that know most of v; codes and factors in equally
    wide bins. The published figure is the mean.

    Args:
        codes: [N, Z], Z at least 2.
        factors: [N, K].

    Returns:
        float64 [K] in 0..1; NaN for a factor that does not vary.
    """
    _check(codes, factors)
    values = binned(factors, bins)
    two = mutual_information(binned(codes, bins), values, bins).topk(2, dim=0).values
    entropy = _entropy(torch.nn.functional.one_hot(values, bins).double().mean(0), 1)
    return torch.where(entropy > 0, (two[0] - two[1]) / entropy, torch.nan)


def sap(codes: Tensor, factors: Tensor) -> Tensor:
    """Return the separated attribute predictability of each factor (Kumar, Sattigeri, Balakrishnan 2018).

    The difference between the two best scores of a linear regression of the factor on one code dimension, the score
    being R^2, the squared correlation; for binary factors too, where the authors' code fits a threshold.

    Args:
        codes: [N, Z], Z at least 2.
        factors: [N, K].

    Returns:
        float64 [K] in 0..1; NaN for a factor that does not vary.
    """
    _check(codes, factors)
    z, v = standardised(codes), standardised(factors)
    two = (z.T @ v / len(z)).square().topk(2, dim=0).values
    return torch.where((v != 0).any(0), two[0] - two[1], torch.nan)


def dci(codes: Tensor, factors: Tensor, *, penalty: float = PENALTY) -> Dci:
    """Return disentanglement, completeness and informativeness (Eastwood and Williams 2018).

    Importances are the absolute weights of a lasso on standardised codes and factors. Disentanglement of a code
    dimension is 1 - the entropy (base K) of its importances over the factors, averaged by its share of all importance;
    completeness of a factor 1 - the entropy (base Z) of its importances over the code, averaged over the factors.
    The lasso is fitted to the first 80 % of the rows and predicts the others.

    Args:
        codes: [N, Z], Z at least 2.
        factors: [N, K], K at least 2; those that do not vary are left out.
        penalty: of the lasso, in standard deviations of a factor.
    """
    _check(codes, factors)
    trained = int(TRAINED * len(codes))
    varies = factors[:trained].amax(0) > factors[:trained].amin(0)
    if int(varies.sum()) < 2:
        raise AttrimorphError(f"DCI needs at least 2 factors that vary; got {int(varies.sum())}; measure more images")
    z, v = standardised(codes, trained), standardised(factors[:, varies], trained)
    weights = lasso(z[:trained], v[:trained], penalty, tolerance=1e-7)
    importance = weights.abs()
    rest = (v[trained:] - z[trained:] @ weights).square().sum(0)
    around = (v[trained:] - v[trained:].mean(0)).square().sum(0)
    shares = importance.sum(1) / importance.sum().clamp(min=1e-12)
    return Dci(
        float((shares * (1 - _relative_entropy(importance, 1))).sum()),
        float((1 - _relative_entropy(importance, 0)).mean()),
        float((1 - rest / around)[around > 0].mean()),
    )


def lasso(x: Tensor, y: Tensor, penalty: float, *, tolerance: float = 1e-8) -> Tensor:
    """Return the w that minimises |y - x w|^2 / (2 N) + penalty |w|_1, for each column of y, float64 [Z, K].

    Coordinate descent (Friedman, Hastie, Tibshirani 2010) on x'x and x'y, all columns of y at once.

    Args:
        x: [N, Z].
        y: [N, K].
        penalty: the weight of the absolute values.
        tolerance: of the largest change of a weight in a sweep.
    """
    x, y = x.double(), y.double()
    gram, rest = (x.T @ x / len(x)).numpy(), (x.T @ y / len(x)).numpy()
    weights = np.zeros_like(rest)
    moving = np.flatnonzero(gram.diagonal() > 0)
    for _ in range(SWEEPS):
        before = weights.copy()
        for row in moving:
            goal = rest[row] + gram[row, row] * weights[row]
            new = np.sign(goal) * np.maximum(np.abs(goal) - penalty, 0) / gram[row, row]
            if (change := new - weights[row]).any():
                weights[row] = new
                rest -= gram[:, row, None] * change
        if np.abs(weights - before).max(initial=0) < tolerance:
            break
    return torch.from_numpy(weights)


def standardised(values: Tensor, rows: int | None = None) -> Tensor:
    """Return columns with mean 0 and variance 1 over the first `rows` rows, in float64; constant ones become 0."""
    values = values.double()
    some = values[:rows]
    mean, deviation = some.mean(0), some.std(0, correction=0)
    constant = some.amax(0) == some.amin(0)
    return torch.where(constant, 0.0, (values - mean) / torch.where(constant, 1.0, deviation))


def _entropy(shares: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    return -torch.xlogy(shares, shares).sum(dim)


def _relative_entropy(importance: Tensor, dim: int) -> Tensor:
    """Return the entropy along `dim` over its largest possible value; 1 where nothing has any importance."""
    total = importance.sum(dim, keepdim=True)
    even = 1 / importance.shape[dim]
    shares = torch.where(total > 0, importance / total.clamp(min=1e-300), even)
    return _entropy(shares, dim) / torch.tensor(importance.shape[dim], dtype=torch.float64).log()


def _check(codes: Tensor, factors: Tensor) -> None:
    if codes.dim() != 2 or factors.dim() != 2 or len(codes) != len(factors) or codes.shape[1] < 2 or len(codes) < 10:
        raise AttrimorphError(
            "codes and factors must be [N, Z] and [N, K] with at least 2 code dimensions and 10 rows; "
            f"got {tuple(codes.shape)} and {tuple(factors.shape)}"
        )
