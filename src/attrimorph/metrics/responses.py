"""Responses: how an edit grows with its strength, attribute by attribute, and whether it grows evenly.

Linear interpolation of codes often does nothing for a long way and then jumps. A response shows it: how much the
attribute holds at every strength, beside the straight line, beside the true counterfactual's own response on drawn
faces, and how long the steps on the way are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.evaluators import binary_names
from attrimorph.evaluators.judge import AttributeScore
from attrimorph.metrics.edits import directions
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.similarity import psnr
from attrimorph.models.batches import AT_ONCE, RepeatedEdits, shared
from attrimorph.models.model import Edits

STRENGTHS = tuple(step / 10 for step in range(11))
MOST = 20  # images of each attribute and direction
LEAST_SPAN = 0.1  # of the degree: an edit that moves less has no shape to speak of
SLACK = 0.01  # of the degree: a fall by less is the judge's noise
DEVIATION, JUMP, SINGLE = "deviation", "largest jump", "deviation of single images"
DEVIATION_FROM_TRUTH = "deviation from the truth"
RISING, RANK = "rising steps", "rank correlation"
UNEVENNESS, LONGEST = "unevenness", "longest step"
PSNR_ON_THE_WAY, DISTANCE_ON_THE_WAY = "PSNR on the way", "perceptual distance on the way"
Embedding = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Truth:
    """The way of the true counterfactual, drawn at every strength, for the first m images.

    Attributes:
        measured: [m, K] degree of the attribute in the truth itself: what a perfect edit would get.
        psnr: [m, K] of the edits against it, in dB.
        distance: [m, K] perceptual distance of the edits from it; empty [0, K] without an embedding.
        steps: [m, K - 1] of the truth, as `Response.steps`.
    """

    measured: Tensor
    psnr: Tensor
    distance: Tensor
    steps: Tensor


@dataclass(frozen=True)
class Response:
    """One attribute, edited one way, over strengths.

    Attributes:
        name: of the attribute.
        goal: True where it is set, False where it is taken away.
        strengths: K of them, from 0 to 1, without sign.
        measured: [n, K] degree of the attribute.
        steps: [n, K - 1] roots of the perceptual distances between neighbouring strengths (the root makes it a
            length: it adds up along a line); empty [0, K - 1] without an embedding.
        truth: on drawn faces.
    """

    name: str
    goal: bool
    strengths: tuple[float, ...]
    measured: Tensor
    steps: Tensor
    truth: Truth | None

    @property
    def sign(self) -> float:
        """1 where the attribute is set, -1 where it is taken away."""
        return 1.0 if self.goal else -1.0


def measure_responses(
    model: Edits,
    unseen: EvaluationSet,
    score: AttributeScore,
    *,
    names: Sequence[str] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    most: int = MOST,
    embedding: Embedding | None = None,
    truths: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Response]:
    """Edit images at every strength, each attribute and direction for itself.

    Args:
        model: one that edits.
        unseen: images and their labels.
        score: how much an attribute holds.
        names: binary attributes; all when None.
        strengths: ascending from 0 to 1.
        most: images of each attribute and direction.
        embedding: images [B, 3, S, S] -> vectors [B, D] whose squared distance is the perceptual one
            (`perceptual_embedding`); None leaves the steps out.
        truths: whether the true counterfactuals of drawn faces are drawn too.
        progress: gets a line of text after each attribute.

    Returns:
        A response for each attribute and direction that has an image.
    """
    schema = score.judge.schema
    names = binary_names(schema) if names is None else names
    drawn = unseen.factors is not None
    sides = {name: list(directions(unseen.labels, schema, name, drawn=drawn)) for name in names}
    # Each image is encoded once, however many attributes and strengths it is edited to.
    shown = torch.cat([torch.zeros(0, dtype=torch.long), *(rows[:most] for each in sides.values() for _, rows in each)])
    kept = torch.unique(shown)
    edits, found = RepeatedEdits(model, unseen.images[kept], unseen.labels[kept].nan_to_num(0.0)), []

    def edited(rows: Tensor, changes: Mapping[str, float]) -> Tensor:
        places = torch.searchsorted(kept, rows)
        return torch.cat(shared(lambda part: edits(changes, part), torch.split(places, AT_ONCE)))

    for number, name in enumerate(names, start=1):
        for goal, rows in ((goal, rows[:most]) for goal, rows in sides[name] if len(rows)):
            signed = [strength if goal else -strength for strength in strengths]
            images = torch.stack([edited(rows, {name: strength}) for strength in signed], 1)
            measured = score(images.flatten(0, 1), name).view(images.shape[:2])
            places = _places(images, embedding)
            truth = None
            if truths and unseen.factors is not None:
                drawn_way = true_way(unseen.factors[rows], name, goal, strengths, images.shape[-1])
                flat, true_places = drawn_way.flatten(0, 1), _places(drawn_way, embedding)
                truth = Truth(
                    score(flat, name).view(measured.shape),
                    psnr(images.flatten(0, 1), flat).view(measured.shape),
                    (places - true_places).square().sum(2),
                    step_lengths(true_places),
                )
            found.append(Response(name, goal, tuple(strengths), measured, step_lengths(places), truth))
        if progress is not None:
            progress(f"responses of {name} ({number} of {len(names)})")
    return found


def true_way(factors: Tensor, name: str, goal: bool, strengths: Sequence[float], size: int) -> Tensor:
    """Draw the true counterfactuals on the way, [n, K, 3, S, S]: the attribute's factor goes evenly to its mirror."""
    positions = strengths if goal else [1 - strength for strength in strengths]
    ways = torch.stack([faces.dial(factors, name, position) for position in positions], 1)
    return faces.render(ways.flatten(0, 1), size).view(*ways.shape[:2], 3, size, size)


def _places(images: Tensor, embedding: Embedding | None) -> Tensor:
    """Return where the images of ways [n, K, 3, S, S] lie, [n, K, D]; [0, K, 0] without an embedding."""
    if embedding is None:
        return torch.zeros(0, images.shape[1], 0)
    return embedding(images.flatten(0, 1)).cpu().view(*images.shape[:2], -1)


def step_lengths(places: Tensor) -> Tensor:
    """Return the roots of the perceptual distances between neighbours, [n, K - 1], of places [n, K, D]."""
    return places.diff(dim=1).square().sum(2).double().sqrt()


def normalised(measured: Tensor) -> Tensor:
    """Return the mean response scaled to go from 0 to 1, [n, K] -> [K]; NaN where it hardly moves."""
    mean = measured.double().mean(0)
    span = mean[-1] - mean[0]
    return (mean - mean[0]) / span if abs(float(span)) >= LEAST_SPAN else torch.full_like(mean, torch.nan)


def deviation(curve: Tensor, strengths: Sequence[float]) -> float:
    """Return the mean distance of a normalised response from the straight line, between its ends; 0 is uniform.

    Args:
        curve: [K], from 0 to 1.
        strengths: K, from 0 to 1.
    """
    return float((curve - torch.tensor(strengths, dtype=torch.float64)).abs()[1:-1].mean())


def largest_jump(curve: Tensor, strengths: Sequence[float]) -> float:
    """Return the steepest rise of a normalised response, in slopes of the straight line; 1 is uniform."""
    slopes = curve.diff() / torch.tensor(strengths, dtype=torch.float64).diff()
    # max() of a curve that is not there is NaN, as it should be.
    return float(slopes.max())


def single_deviation(measured: Tensor, strengths: Sequence[float]) -> float:
    """Return the same deviation image by image: each from its own straight line, over the mean span.

    A mean response is straight also when every image jumps, each at another strength; this one is not.

    Args:
        measured: [n, K].
        strengths: K, from 0 to 1.
    """
    values = measured.double()
    first, last = values[:, :1], values[:, -1:]
    span = abs(float((last - first).mean()))
    line = first + torch.tensor(strengths, dtype=torch.float64) * (last - first)
    return float((values - line).abs()[:, 1:-1].mean() / span) if span >= LEAST_SPAN else float("nan")


def rising_steps(measured: Tensor, sign: float) -> float:
    """Return the share of steps that do not go the wrong way by more than the judge's noise.

    Args:
        measured: [n, K].
        sign: 1 where the attribute is to rise, -1 where it is to fall.
    """
    return float((measured.double().diff(dim=1) * sign >= -SLACK).double().mean())


def rank_correlation(measured: Tensor, sign: float) -> float:
    """Return Spearman's correlation of degree and strength, mean over images; 0 for a response that does not move.

    Args:
        measured: [n, K], columns by ascending strength.
        sign: 1 where the attribute is to rise, -1 where it is to fall.
    """
    ranks = _ranks(measured * sign)
    order = _ranks(torch.arange(measured.shape[1], dtype=torch.float64)[None])
    a, b = ranks - ranks.mean(1, keepdim=True), order - order.mean()
    return float(((a * b).sum(1) / (a.norm(dim=1) * b.norm()).clamp(min=1e-12)).mean())


def _ranks(values: Tensor) -> Tensor:
    """Return ranks along rows, equal values sharing the mean of theirs."""
    below = (values[:, None, :] < values[:, :, None]).sum(2)
    equal = (values[:, None, :] == values[:, :, None]).sum(2)
    return below + (equal + 1).double() / 2


def unevenness(steps: Tensor) -> float:
    """Return the coefficient of variation of the lengths of the steps, mean over images; 0 is even.

    Args:
        steps: [n, K - 1].
    """
    mean = steps.mean(1).clamp(min=1e-12)
    return float((steps.std(1, correction=0) / mean).mean()) if len(steps) else float("nan")


def longest_step(steps: Tensor) -> float:
    """Return the longest step over the mean one, mean over images; 1 is even."""
    return float((steps.amax(1) / steps.mean(1).clamp(min=1e-12)).mean()) if len(steps) else float("nan")


def rows_of(responses: Sequence[Response]) -> list[dict[str, Any]]:
    """Return one row for each response, for tables and JSON: figures (None where there is none) and curves."""
    rows = []
    for response in responses:
        curve = normalised(response.measured)
        figures = shape_figures(response.measured, response.steps, response.strengths, response.sign)
        curves = {"strengths": list(response.strengths), "curve": _plain(curve)}
        if (truth := response.truth) is not None:
            true = shape_figures(truth.measured, truth.steps, response.strengths, response.sign)
            figures |= {f"{name} of the truth": value for name, value in true.items()}
            figures[PSNR_ON_THE_WAY] = float(truth.psnr[:, 1:-1].mean())
            figures[DISTANCE_ON_THE_WAY] = float(truth.distance[:, 1:-1].mean())
            true_curve = normalised(truth.measured)
            figures[DEVIATION_FROM_TRUTH] = float((curve - true_curve).abs()[1:-1].mean())
            curves["true curve"] = _plain(true_curve)
        about = {"attribute": response.name, "direction": "set" if response.goal else "taken away"}
        plain = {name: value if value == value else None for name, value in figures.items()}
        rows.append({**about, "images": len(response.measured), **plain, **curves})
    return rows


def _plain(curve: Tensor) -> list[float] | None:
    return None if bool(curve.isnan().any()) else [round(value, 4) for value in curve.tolist()]


def shape_figures(measured: Tensor, steps: Tensor, strengths: Sequence[float], sign: float) -> dict[str, float]:
    """Return all figures about the shape of one response, by name."""
    curve = normalised(measured)
    return {
        DEVIATION: deviation(curve, strengths),
        JUMP: largest_jump(curve, strengths),
        SINGLE: single_deviation(measured, strengths),
        RISING: rising_steps(measured, sign),
        RANK: rank_correlation(measured, sign),
        UNEVENNESS: unevenness(steps),
        LONGEST: longest_step(steps),
    }
