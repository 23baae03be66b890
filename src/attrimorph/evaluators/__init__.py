"""Attribute classifier (judge) and identity encoder; here attributes as somebody tells them: who does, what is decided,
how often that is right, and how sure it may be.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import decisions


class HasSchema(Protocol):
    """Anything that knows attributes."""

    @property
    def schema(self) -> Schema:
        """The attributes it knows."""


class Judges(HasSchema, Protocol):
    """Anything that tells attributes, for example a `Judge`."""

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities [B, width] for images [B, 3, S, S] in [-1, 1]."""


def known_answers(answers: Tensor, truth: Tensor, schema: Schema) -> Iterator[tuple[Attribute, Tensor, Tensor]]:
    """Yield each binary or categorical attribute with its answers and truth, both [known, columns], where it is known.

    Args:
        answers: [N, width].
        truth: [N, width], NaN = missing; attributes without any known row are left out.
    """
    for attribute in schema.attributes:
        columns = schema.columns(attribute.name)
        known = ~truth[:, columns].isnan().any(1)
        if attribute.kind != "real" and bool(known.any()):
            yield attribute, answers[known][:, columns], truth[known][:, columns]


def attribute_accuracy(probabilities: Tensor, truth: Tensor, schema: Schema) -> dict[str, float]:
    """Share of right decisions per attribute, over the rows where the truth is known.

    Args:
        probabilities: [N, width].
        truth: [N, width], NaN = missing.

    Returns:
        Name -> 0..1; real attributes and those without any known row are left out.
    """
    return {
        attribute.name: float((decided == true).all(1).double().mean())
        for attribute, decided, true in known_answers(decisions(probabilities, schema), truth, schema)
    }


def binary_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the binary attributes: those that an edit can set and take away."""
    return tuple(attribute.name for attribute in schema.attributes if attribute.kind == "binary")


def editable_names(model: HasSchema) -> tuple[str, ...]:
    """Return the binary attributes that edits of a model can change; all where it does not say."""
    named: tuple[str, ...] = getattr(model, "editable", binary_names(model.schema))
    return named


# --- calibration: whether what is held for 90 % likely comes true nine times in ten, and the temperature for it


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Return ECE = sum over bins of (share of the rows in it) x |mean confidence - share of right answers|.

    Guo et al., On Calibration of Modern Neural Networks (ICML 2017), equation 3; bins of equal width, [a, b).

    Args:
        probabilities: [N, K] over K classes: the confidence is the largest one, right is when it is the label's; or
            [N] that a binary label is 1: the confidence is the probability itself, right is when the label is 1.
        labels: [N], class numbers or 0 and 1; NaN = missing, left out.
        bins: how many.

    Returns:
        0..1; 0 is perfect.

    Raises:
        AttrimorphError: the shapes differ, there are no rows, or a probability is out of range.
    """
    return weighted_gaps(*confidences(probabilities, labels), bins)


def confidences(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the confidence of every answer and whether it was right, both float64 [known rows].

    Arguments and errors as of `expected_calibration_error`.
    """
    if probabilities.dim() not in (1, 2) or labels.shape != probabilities.shape[:1]:
        raise AttrimorphError(
            "calibration takes probabilities [N] or [N, K] and labels [N]; got "
            f"{list(probabilities.shape)} and {list(labels.shape)}; mend the shapes"
        )
    known = ~labels.isnan()
    probabilities, labels = probabilities[known].double(), labels[known]
    if not len(labels):
        raise AttrimorphError("calibration must have at least one labelled row; it has none; give labelled images")
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise AttrimorphError("probabilities must lie in 0..1; some do not; apply sigmoid or softmax first")
    if probabilities.dim() == 1:
        return probabilities, labels.double()
    largest, answers = probabilities.max(1)
    return largest, (answers == labels).double()


def weighted_gaps(confidence: Tensor, right: Tensor, bins: int) -> float:
    """Return the gaps between mean confidence and share of right answers, weighted by the answers in each bin.

    Args:
        confidence: float64 [N] in 0..1.
        right: float64 [N], 0 or 1.
        bins: how many, of equal width, [a, b), the last one closed.
    """
    if bins < 1:
        raise AttrimorphError(f"bins must be at least 1; got {bins}; try 15")
    # Bin edges are kept as float64: 0.6 * 15 must fall where 9 / 15 does.
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    places = (torch.bucketize(confidence.contiguous(), edges, right=True) - 1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, places, confidence - right)
    return float(gaps.abs().sum() / len(right))


def fitted_temperature(loss: Callable[[float], Tensor]) -> float:
    """Return the temperature in 0.1..10, of 201 candidates, under which a loss is least.

    Args:
        loss: temperature -> scalar; the cross-entropy of logits / temperature is convex in 1 / temperature.
    """
    candidates: list[float] = torch.logspace(-1, 1, 201).tolist()
    return min(candidates, key=lambda candidate: float(loss(candidate)))


def isotonic(values: Tensor) -> Tensor:
    """Return the never falling sequence nearest to `values` in squares: pool adjacent violators (Ayer et al. 1955).

    Args:
        values: float64 [P].
    """
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, count = value, 1
        while blocks and blocks[-1][0] >= mean:
            other, others = blocks.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        blocks.append((mean, count))
    return torch.cat([torch.full((count,), mean, dtype=torch.float64) for mean, count in blocks])


def calibration_errors(probabilities: Tensor, truth: Tensor, schema: Schema, bins: int = 15) -> dict[str, float]:
    """Return the expected calibration error of every binary and categorical attribute that has a known row.

    Few rows make it large: perfect probabilities of 1,000 rows have errors of about 0.02.

    Args:
        probabilities: [N, width].
        truth: [N, width]; NaN = missing.
        schema: of the columns.
        bins: how many.
    """
    found = _attribute_confidences(probabilities, truth, schema)
    return {name: weighted_gaps(*answers, bins) for name, answers in found.items()}


def pooled_calibration_error(probabilities: Tensor, truth: Tensor, schema: Schema, bins: int = 15) -> float | None:
    """Return the expected calibration error of all attributes' answers thrown together; None where there are none.

    Arguments as of `calibration_errors`. It suffers less from few rows, and hides opposite errors of attributes.
    """
    found = list(_attribute_confidences(probabilities, truth, schema).values())
    if not found:
        return None
    confidence, right = (torch.cat(part) for part in zip(*found, strict=True))
    return weighted_gaps(confidence, right, bins)


def _attribute_confidences(probabilities: Tensor, truth: Tensor, schema: Schema) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        attribute.name: confidences(
            *((found, true.argmax(1)) if attribute.kind == "categorical" else (found[:, 0], true[:, 0]))
        )
        for attribute, found, true in known_answers(probabilities, truth, schema)
    }
