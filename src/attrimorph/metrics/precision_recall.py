"""Improved precision and recall: how many samples look real, and how much of what is real is sampled."""

from typing import NamedTuple

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.frechet import check_features

ROWS = 1024  # distances are computed for so many rows at a time


class PrecisionRecall(NamedTuple):
    """Shares in 0..1.

    Attributes:
        precision: samples inside the manifold of real images.
        recall: real images inside the manifold of samples.
    """

    precision: float
    recall: float


def precision_recall(real: Tensor, samples: Tensor, *, neighbours: int = 3) -> PrecisionRecall:
    """Estimate each manifold by balls that reach from each point to its k-th nearest neighbour.

    Kynkäänniemi, Karras, Laine, Lehtinen, Aila 2019, equation 2; distances are Euclidean, in float64. The authors use
    k = 3 and equally many images on both sides; both shares depend on how many there are.

    Args:
        real: features [N, F].
        samples: features [M, F].
        neighbours: k, smaller than either number.
    """
    check_features(real, samples)
    if not 1 <= neighbours < min(len(real), len(samples)):
        raise AttrimorphError(
            f"neighbours must lie in 1..{min(len(real), len(samples)) - 1}, below the number of images; "
            f"got {neighbours}; measure more images"
        )
    real, samples = real.double(), samples.double()
    return PrecisionRecall(_inside(samples, real, neighbours), _inside(real, samples, neighbours))


def radii(points: Tensor, neighbours: int) -> Tensor:
    """Return the squared distance from each point [N, F] to its k-th nearest other point, [N]."""
    found = []
    for start in range(0, len(points), ROWS):
        squares = _squares(points[start : start + ROWS], points)
        rows = torch.arange(len(squares), device=points.device)
        squares[rows, rows + start] = torch.inf
        found.append(squares.topk(neighbours, dim=1, largest=False).values[:, -1])
    return torch.cat(found)


def _inside(points: Tensor, centres: Tensor, neighbours: int) -> float:
    """Return the share of the points that lie in a ball around at least one of the centres."""
    reach = radii(centres, neighbours)
    inside = [(_squares(part, centres) <= reach).any(1) for part in torch.split(points, ROWS)]
    return float(torch.cat(inside).double().mean())


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances [N, M] through one matrix product."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_(min=0)
