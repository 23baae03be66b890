"""How near samples are to images as a set, how sharp and how various they are; Frechet's distance is in `frechet`."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.frechet import check_features

SUBSET = 1000  # rows of either set in a subset of the kernel distance
ROWS = 1024  # distances between neighbours are computed for so many rows at a time
PAIRS = 28  # of a class whose diversity is measured: all pairs of eight images
BATCH = 256


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
    parts = min(-(-max(len(features), len(others)) // subset), len(features) // 2, len(others) // 2)
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        rows[torch.randperm(len(rows), generator=generator).to(rows.device)].tensor_split(parts)
        for rows in (features, others)
    )
    return sum(mmd(a, b) for a, b in zip(first, second, strict=True)) / parts


def mmd(features: Tensor, others: Tensor) -> float:
    """Return the unbiased MMD^2 of two sets, [N, F] and [M, F], over all their pairs."""
    a, b = features.double(), others.double()
    of_a, of_b, across = ((x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = [(kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1)) for kernel in (of_a, of_b)]
    return float(within[0] + within[1] - 2 * across.mean())


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
            "of binary attributes use binary_score"
        )
    return float((_entropy(p.mean(0)) - _entropy(p).mean()).exp())


def binary_score(probabilities: Tensor) -> float:
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


def pairs_within(classes: Tensor, most: int = PAIRS, *, seed: int = 0) -> list[Tensor]:
    """Return pairs of different rows of one class, for each class with at least two rows.

    Args:
        classes: integers [N].
        most: pairs of a class; all of them where there are no more, otherwise so many drawn at random.
        seed: of the draw.

    Returns:
        One tensor [n, 2] of rows for each class, ascending by class.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for value in torch.unique(classes):
        rows = (classes == value).nonzero()[:, 0]
        pairs = torch.combinations(torch.arange(len(rows)), 2)
        if len(pairs) > most:
            pairs = pairs[torch.randperm(len(pairs), generator=generator)[:most]]
        if len(pairs):
            found.append(rows[pairs])
    return found


def diversity(
    images: Tensor, classes: Tensor, distance: Callable[[Tensor, Tensor], Tensor], *, most: int = PAIRS, seed: int = 0
) -> float:
    """Return the mean distance of two images of one class; every class counts the same.

    With a perceptual distance more is more diverse; with MS-SSIM (Odena, Olah, Shlens 2017) less is.

    Args:
        images: [N, 3, S, S] in [-1, 1], or what stands for them, [N, ...].
        classes: integers [N]; classes with one image are left out.
        distance: two batches -> [B].
        most: pairs of a class.
        seed: of the draw of pairs.

    Raises:
        AttrimorphError: no class has two images.
    """
    pairs = pairs_within(classes, most, seed=seed)
    if not pairs:
        raise AttrimorphError("diversity needs a class with at least 2 images; every class has one; sample more")
    firsts, seconds = (torch.split(side, BATCH) for side in torch.cat(pairs).unbind(1))
    values = torch.cat([distance(images[a], images[b]).double() for a, b in zip(firsts, seconds, strict=True)])
    means = [part.mean() for part in torch.split(values, [len(part) for part in pairs])]
    return float(torch.stack(means).mean())
