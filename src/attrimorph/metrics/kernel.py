"""The kernel distance between two sets of features: the squared maximum mean discrepancy, unbiased."""

import torch
from torch import Tensor

from attrimorph.metrics.frechet import check_features

SUBSET = 1000  # rows of either set in a subset


def kernel_distance(features: Tensor, others: Tensor, *, subset: int = SUBSET, seed: int = 0) -> float:
    """Return MMD^2 under the kernel k(x, y) = (x.y / F + 1)^3 (Binkowski et al. 2018); with Inception features, KID.

    The unbiased estimate: sums over pairs of different rows. It is the mean over disjoint random subsets that use
    every row once, so that the cost grows with the number of rows and not with its square.

    Args:
        features: [N, F].
        others: [M, F].
        subset: the most rows of either set in a subset.
        seed: of the subsets.

    Returns:
        About 0 for equal distributions, and a little below it about as often as above.
    """
    check_features(features, others)
    parts = -(-max(len(features), len(others)) // subset)
    parts = min(parts, len(features) // 2, len(others) // 2)
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        rows[torch.randperm(len(rows), generator=generator).to(rows.device)].tensor_split(parts)
        for rows in (features, others)
    )
    distances = [mmd(a, b) for a, b in zip(first, second, strict=True)]
    return sum(distances) / parts


def mmd(features: Tensor, others: Tensor) -> float:
    """Return the unbiased MMD^2 of two sets, [N, F] and [M, F], over all their pairs."""
    a, b = features.double(), others.double()
    return _within(a) + _within(b) - 2 * float(_kernel(a, b).mean())


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(rows: Tensor) -> float:
    kernel = _kernel(rows, rows)
    return float((kernel.sum() - kernel.diagonal().sum()) / (len(rows) * (len(rows) - 1)))
