"""A new axis from a few labelled pictures, without retraining anything, and how sure it is.

Two ways. By features (the usual one): the examples teach a linear probe on a judge's features, the probe judges a few
thousand drawn pictures, and these give the axis: it needs no code of the examples. By codes: the examples are encoded
or inverted, and the axis separates their codes; with as many dimensions as codes have, that takes many examples.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attrimorph.applications.axes import Axis
from attrimorph.applications.axes.fitting import Judged, Progress, calibrated, judge_drawn
from attrimorph.applications.axes.linear import fit, unit
from attrimorph.applications.axes.space import Space, drawn_codes
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.figures import wilson
from attrimorph.models.model import Code, Model

DRAWN = 4_000
LEAST = 4
HALVINGS = 20
FOLDS = 10
PENALTIES = tuple(10.0**power for power in range(-3, 5))
COMPONENTS = 64
"""Principal components of the drawn pictures' features that a probe looks at."""


@dataclass(frozen=True)
class Pool:
    """Drawn codes and the features of their pictures.

    Attributes:
        coordinates: [N, D].
        features: principal components of the pictures' features, whitened, [N, F].
        whiten: features of any pictures -> their components.
        by: whose features.
    """

    coordinates: Tensor
    features: Tensor
    whiten: Callable[[Tensor], Tensor]
    by: str


def draw_pool(
    model: Model,
    features: Callable[[Tensor], Tensor],
    *,
    by: str,
    count: int = DRAWN,
    seed: int = 0,
    progress: Progress | None = None,
) -> Pool:
    """Draw codes and look at their pictures.

    Args:
        model: any generator.
        features: images [B, 3, S, S] -> [B, F]; a judge's `features`, or any extractor.
        by: whose they are.
        count: codes.
        seed: of the codes.
        progress: called with (codes done, codes in all).
    """
    if count < 2 * COMPONENTS:
        raise AttrimorphError(f"drawn pictures must be at least {2 * COMPONENTS}; got {count}; try {DRAWN}")
    with torch.inference_mode():
        size = features(model.decode(next(drawn_codes(model, 1, seed)))).shape[1]
    names = [str(column) for column in range(size)]
    drawn: Judged = judge_drawn(model, features, names, by=by, count=count, seed=seed, progress=progress)
    mean = drawn.probabilities.mean(0)
    # The leading right singular vectors; a few passes of a randomised decomposition find them as well as all of it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, values, vectors = torch.svd_lowrank(drawn.probabilities - mean, min(COMPONENTS, size), niter=4)
    scale = (values / math.sqrt(count)).clamp(min=1e-6)

    def whiten(found: Tensor) -> Tensor:
        return ((found.cpu().float() - mean) @ vectors / scale).double()

    return Pool(drawn.coordinates, whiten(drawn.probabilities), whiten, by)


def axis_from_examples(
    model: Model,
    name: str,
    features: Callable[[Tensor], Tensor],
    positive: Tensor,
    negative: Tensor,
    *,
    by: str,
    pool: Pool | None = None,
) -> Axis:
    """Find an axis from labelled pictures, by way of features.

    Args:
        model: any generator.
        name: of the new attribute.
        features: images [B, 3, S, S] -> [B, F].
        positive, negative: pictures with and without it, [P, 3, S, S] and [N, 3, S, S].
        by: whose features.
        pool: drawn pictures, if they are at hand.

    Raises:
        AttrimorphError: too few examples of either kind, or they cannot be told apart.
    """
    begin = time.perf_counter()
    signs = _signs(len(positive), len(negative))
    pool = pool or draw_pool(model, features, by=by)
    x = pool.whiten(torch.cat([features(positive), features(negative)]))
    found = probe(x, signs)
    seen = pool.features @ found.slope + found.intercept
    # Least squares are linear in what is aimed at: each feature's slopes make those of every score of features.
    slopes = fit(pool.coordinates, pool.features).slopes
    direction = unit(found.slope[None] @ slopes)[0]
    sure = _sureness(x, signs, found, lambda slope: unit(slope[None] @ slopes)[0])
    # The probe's score as a probability, learned from examples that it had not seen.
    curve = fit(found.left_out[:, None], (signs[:, None] + 1) / 2, "logistic", penalty=0.1)
    probabilities = (seen * float(curve.slopes) + float(curve.intercepts)).sigmoid()
    facts = {"by": f"{by}; {len(positive)} examples with it and {len(negative)} without", "way": "features", **sure}
    facts["seconds"] = time.perf_counter() - begin
    return calibrated(name, direction, pool.coordinates.double() @ direction, probabilities, facts)


def axis_from_codes(
    model: Model,
    name: str,
    encode: Callable[[Tensor], Code],
    positive: Tensor,
    negative: Tensor,
) -> Axis:
    """Find an axis from labelled pictures by their own codes.

    Args:
        model: any generator.
        name: of the new attribute.
        encode: images -> codes: an encoder, or an inversion.
        positive, negative: pictures with and without it.
    """
    signs = _signs(len(positive), len(negative))
    space = Space.of(model)
    x = space.coordinates(encode(torch.cat([positive, negative])), model.schema.fill_value)
    found = probe(x, signs)
    direction = unit(found.slope[None])[0]
    sure = _sureness(x, signs, found, lambda slope: unit(slope[None])[0])
    facts = {"by": f"codes of {len(positive)} examples with it and {len(negative)} without", "way": "codes", **sure}
    return calibrated(name, direction, x @ direction, (signs + 1) / 2, facts)


@dataclass(frozen=True)
class Probe:
    """A linear score of features: above 0 for the examples with the attribute.

    Attributes:
        slope: [F]; intercept.
        penalty: of the ridge regression.
        left_out: each example's score by a probe that learned from the other folds, [E].
    """

    slope: Tensor
    intercept: float
    penalty: float
    left_out: Tensor


def probe(x: Tensor, signs: Tensor, penalty: float | None = None) -> Probe:
    """Fit ridge regression to signs, both kinds of example weighing the same.

    Args:
        x: features of the examples, [E, F] float64.
        signs: 1 with the attribute, -1 without, [E].
        penalty: of the slopes' squares; None: the one whose scores of left-out examples are nearest to their signs.
    """
    if penalty is None:
        weights, tried = _weights(signs), [probe(x, signs, each) for each in PENALTIES]
        return min(tried, key=lambda one: float((weights * (one.left_out - signs).square()).sum()))
    left_out = torch.zeros_like(signs)
    folds = dealt(signs)
    for fold in range(int(folds.max()) + 1):
        here = folds == fold
        slope, intercept = ridge(x[~here], signs[~here], penalty)
        left_out[here] = x[here] @ slope + intercept
    return Probe(*ridge(x, signs, penalty), penalty, left_out)


def ridge(x: Tensor, signs: Tensor, penalty: float) -> tuple[Tensor, float]:
    """Return slopes [F] and intercept of the ridge regression of signs, by Woodbury: E x E instead of F x F."""
    joined = torch.cat([x, x.new_ones(len(x), 1)], 1)
    penalties = joined.new_full((joined.shape[1],), penalty)
    penalties[-1] = 1e-6
    scaled = joined / penalties
    slope = scaled.T @ torch.linalg.solve(scaled @ joined.T + torch.diag(1 / _weights(signs)), signs)
    return slope[:-1], float(slope[-1])


def dealt(signs: Tensor) -> Tensor:
    """Return the fold of each example, [E]: ten, or as many as there are of the rarer kind, with both kinds in each.

    Of a single example left out the other kind would be more numerous among the rest: chance would tell it wrongly.
    """
    folds = torch.zeros(len(signs), dtype=torch.long)
    kinds = [(signs > 0).nonzero()[:, 0], (signs < 0).nonzero()[:, 0]]
    number = min(FOLDS, *map(len, kinds))
    for rows in kinds:
        folds[rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]] = (
            torch.arange(len(rows)) % number
        )
    return folds


def _weights(signs: Tensor) -> Tensor:
    """Weights of the examples, their sum E, either kind one half of it."""
    positive = signs > 0
    return torch.where(positive, 1 / positive.sum(), 1 / (~positive).sum()).double() * len(signs) / 2


def _sureness(x: Tensor, signs: Tensor, found: Probe, axis: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Return how well unseen examples are told, and how near the axis is to that of endless examples.

    The examples are halved at random again and again. Two axes of independent halves have a cosine of about r = c^2 if
    each has the cosine c to the true one; for all examples together that becomes sqrt(2 r / (1 + r)), by the formula of
    Spearman and Brown (1910).
    """
    generator = torch.Generator().manual_seed(0)
    kinds = [(signs > 0).nonzero()[:, 0], (signs < 0).nonzero()[:, 0]]
    agreements = []
    for _ in range(HALVINGS):
        orders = [kind[torch.randperm(len(kind), generator=generator)] for kind in kinds]
        halves = [torch.cat([order[place::2] for order in orders]) for place in (0, 1)]
        first, second = (axis(ridge(x[rows], signs[rows], found.penalty)[0]) for rows in halves)
        agreements.append(float(first @ second))
    agreement = max(0.0, sum(agreements) / HALVINGS)
    right = int((found.left_out * signs > 0).sum())
    return {
        "told when left out": right / len(signs),
        "told when left out, 95 % interval": list(wilson(right / len(signs), len(signs))),
        "expected cosine to the axis of endless examples": math.sqrt(2 * agreement / (1 + agreement)),
    }


def sentence(axis: Axis) -> str:
    """Say for anybody how sure an axis from examples is."""
    facts: Mapping[str, Any] = axis.facts
    told, (low, high) = facts["told when left out"], facts["told when left out, 95 % interval"]
    cosine = facts["expected cosine to the axis of endless examples"]
    if low > 0.7 and cosine > 0.8:
        word, other, advice = "sure", "nearly the same", ""
    elif low > 0.5 and cosine > 0.5:
        word, other, advice = "fairly sure", "a similar", "; more examples would help"
    else:
        word, other, advice = "unsure", "perhaps quite another", "; more examples would help"
    return (
        f"{axis.name}: {word}. Shown examples that it had not learned from, it was right about {told:.0%} of them "
        f"(guessing: 50%; with so few, {low:.0%} to {high:.0%} are possible). Other examples of the same thing would "
        f"give {other} slider (likeness about {cosine:.2f} of 1){advice}."
    )


def _signs(positive: int, negative: int) -> Tensor:
    for word, count in (("with", positive), ("without", negative)):
        if count < LEAST:
            raise AttrimorphError(
                f"a new attribute needs at least {LEAST} pictures {word} it; got {count}; ten of each do well"
            )
    return torch.cat([torch.ones(positive), -torch.ones(negative)]).double()
