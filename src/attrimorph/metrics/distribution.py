"""Sets of features and of codes: how near samples are to images, how sharp and various they are; what codes stand for.

Frechet's distance is in `frechet`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
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


def _entropy(p: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """Return -sum p log p over dimensions, by default the last; 0 log 0 = 0."""
    return -torch.xlogy(p, p).sum(dim)


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


def diversity(images: Tensor, classes: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Return the mean distance of two images of one class; every class counts the same.

    With a perceptual distance more is more diverse; with MS-SSIM (Odena, Olah, Shlens 2017) less is.

    Args:
        images: [N, 3, S, S] in [-1, 1], or what stands for them, [N, ...].
        classes: integers [N]; classes with one image are left out.
        distance: two batches -> [B].

    Raises:
        AttrimorphError: no class has two images.
    """
    pairs = pairs_within(classes)
    if not pairs:
        raise AttrimorphError("diversity needs a class with at least 2 images; every class has one; sample more")
    firsts, seconds = (torch.split(side, BATCH) for side in torch.cat(pairs).unbind(1))
    values = torch.cat([distance(images[a], images[b]).double() for a, b in zip(firsts, seconds, strict=True)])
    means = [part.mean() for part in torch.split(values, [len(part) for part in pairs])]
    return float(torch.stack(means).mean())


# --- disentanglement: does each part of a code stand for one factor? MIG, DCI and SAP, codes against true factors

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
