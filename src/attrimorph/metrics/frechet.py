"""The Frechet distance between two sets of features, without the square root of a matrix.

    d = |m_a - m_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2)        (Dowson and Landau 1982; Heusel et al. 2017)

With C = R'R for each set, tr (C_a C_b)^(1/2) is the sum of the singular values of R_a R_b', so that only values, never
vectors, are needed: symmetric eigenvalues of L_a' C_b L_a with Cholesky's L_a where that is exact enough, otherwise the
singular values themselves, of R from the centred features.
"""

import numpy as np
import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError

ROWS = 4096  # converted to float64 at a time
TOLERANCE = 1e-10  # relative error of the trace under which the quick way is taken


def frechet_distance(features: Tensor, others: Tensor) -> float:
    """Return the Frechet distance between the Gaussians fitted to two sets of features.

    With the standard Inception weights it is called FID. Everything is computed in float64; covariances divide by
    N - 1.

    Args:
        features: [N, F], any floating type.
        others: [M, F].

    Returns:
        At least 0; 0 for equal sets.

    Raises:
        AttrimorphError: unequal widths, fewer than two rows, or values that are not finite.
    """
    check_features(features, others)
    features, others = features.detach(), others.detach()
    if min(len(features), len(others)) > features.shape[1]:
        (mean_a, first), (mean_b, second) = moments(features), moments(others)
        spread = float(first.trace() + second.trace())
        root = trace_of_root(first, second)
        if root is None:
            root = _by_singular_values(_factor(features, mean_a), _factor(others, mean_b))
    else:  # fewer images than features: the covariances are large and singular, the factors are neither
        mean_a, mean_b = features.double().mean(0), others.double().mean(0)
        one, two = _factor(features, mean_a), _factor(others, mean_b)
        spread = float(one.square().sum() + two.square().sum())
        root = _by_singular_values(one, two)
    apart = float((mean_a - mean_b).square().sum())
    return max(0.0, apart + spread - 2 * root)


def check_features(features: Tensor, others: Tensor) -> None:
    """Refuse two sets of features that cannot be compared."""
    if features.dim() != 2 or others.dim() != 2 or features.shape[1] != others.shape[1]:
        raise AttrimorphError(
            "two sets of features must be [N, F] and [M, F]; "
            f"got {tuple(features.shape)} and {tuple(others.shape)}; use one extractor for both"
        )
    if min(len(features), len(others)) < 2:
        raise AttrimorphError(
            f"a set of features must have at least 2 rows; got {len(features)} and {len(others)}; measure more images"
        )
    # One pass, no copies: a sum is finite where all its terms are.
    if not all(bool(rows.sum(dtype=torch.float64).isfinite()) for rows in (features, others)):
        raise AttrimorphError("features must be finite; got NaN or infinity; look at the images they were taken from")


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean [F] and covariance [F, F] (divided by N - 1) in float64, reading the features once, piece by piece.

    With d the mean of what remains after a first guess of the mean is taken off: C = (X'X - N d d') / (N - 1), which
    loses nothing because d is small.
    """
    count, width = features.shape
    guess = features[:ROWS].double().mean(0).cpu().numpy()
    buffer = np.empty((min(ROWS, count), width))
    total, products = np.zeros(width), np.zeros((width, width))
    for part in torch.split(features, ROWS):
        centred = np.subtract(part.cpu().numpy(), guess, out=buffer[: len(part)])
        total += centred.sum(0)
        # A matrix times its own transpose: NumPy hands it to BLAS's syrk, half the work of a general product.
        products += centred.T @ centred
    rest = total / count
    products -= count * np.outer(rest, rest)
    return torch.from_numpy(guess + rest), torch.from_numpy(products) / (count - 1)


def trace_of_root(first: Tensor, second: Tensor) -> float | None:
    """Return tr (C_a C_b)^(1/2) from the eigenvalues of L_a' C_b L_a, or None where they would be too inexact."""
    factor, failed = torch.linalg.cholesky_ex(first)
    if failed.item():
        return None
    values = torch.linalg.eigvalsh(factor.T @ second @ factor)
    if values[0] <= 0:
        return None
    roots = values.sqrt()
    # An eigenvalue is off by up to eps times the largest one, its root by that over twice the root.
    error = torch.finfo(torch.float64).eps * values[-1] * (0.5 / roots).sum()
    return None if error > TOLERANCE * roots.sum() else float(roots.sum())


def _factor(features: Tensor, mean: Tensor) -> Tensor:
    """Return R with R'R = covariance, at most [F, F]."""
    centred = (features.cpu().double() - mean.cpu()) / (len(features) - 1) ** 0.5
    tall = len(centred) > centred.shape[1]
    factor: Tensor = torch.linalg.qr(centred, mode="r").R if tall else centred
    return factor


def _by_singular_values(one: Tensor, two: Tensor) -> float:
    return float(torch.linalg.svdvals(one @ two.T).sum())
