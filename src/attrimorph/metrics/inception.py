"""Inception-style scores: sharp decisions on each image, variety over all of them."""

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError


def inception_style_score(probabilities: Tensor) -> float:
    """Return exp E_x KL(p(y | x) || p(y)), p(y) the mean over the images (Salimans et al. 2016), not split.

    It is the Inception score only with the standard Inception weights; with another classifier it bears that
    classifier's name.

    Args:
        probabilities: p(y | x), [N, K], rows sum to 1.

    Returns:
        1..K: 1 when every image gets the same probabilities, K when each class is certain and equally frequent.
    """
    p = _probabilities(probabilities)
    if not torch.allclose(p.sum(1), torch.ones(len(p), dtype=torch.float64, device=p.device), atol=1e-3):
        raise AttrimorphError(
            "an Inception-style score needs probabilities of classes that sum to 1; these do not; "
            "of binary attributes use attribute_score"
        )
    return float((_entropy(p.mean(0)) - _entropy(p).mean()).exp())


def attribute_score(probabilities: Tensor) -> float:
    """Return the same of binary attributes: exp of KL, mean over images and attributes.

    Args:
        probabilities: that each attribute holds, [N, A], independent of each other.

    Returns:
        1..2: 2 when every attribute is certain and holds in half of the images.
    """
    p = _probabilities(probabilities)
    both = torch.stack([p, 1 - p], dim=-1)
    return float((_entropy(both.mean(0)).mean() - _entropy(both).mean()).exp())


def _probabilities(probabilities: Tensor) -> Tensor:
    if probabilities.dim() != 2 or not len(probabilities):
        raise AttrimorphError(f"probabilities must be [N, K], N at least 1; got {tuple(probabilities.shape)}")
    p = probabilities.double()
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise AttrimorphError("probabilities must lie in 0..1; these do not; take a softmax or a sigmoid first")
    return p


def _entropy(p: Tensor) -> Tensor:
    """Return -sum p log p over the last dimension; 0 log 0 = 0."""
    return -torch.xlogy(p, p).sum(-1)
