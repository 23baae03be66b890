"""Calibration: by hand, by brute force, by torchmetrics, and on probabilities that are right by construction."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from attrimorph.data import Attribute, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import (
    calibration_errors,
    expected_calibration_error,
    fitted_temperature,
    pooled_calibration_error,
)


def by_hand(confidences: list[float], right: list[float], bins: int) -> float:
    """The sum over bins, row by row."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        rows = [i for i, c in enumerate(confidences) if low <= c < high or (number == bins - 1 and c == 1)]
        if rows:
            gap = sum(confidences[i] for i in rows) / len(rows) - sum(right[i] for i in rows) / len(rows)
            total += len(rows) / len(confidences) * abs(gap)
    return total


def drawn(count: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities and labels that are drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(count, classes, generator=generator, dtype=torch.float64)).softmax(1)
    return probabilities, torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def test_two_bins_by_hand() -> None:
    # Lower bin: mean confidence 0.3, half of them 1. Upper bin: 0.9, all 1. (2/3) 0.2 + (1/3) 0.1.
    found = expected_calibration_error(torch.tensor([0.2, 0.4, 0.9]), torch.tensor([0.0, 1.0, 1.0]), bins=2)
    assert found == pytest.approx(2 / 3 * 0.2 + 1 / 3 * 0.1, abs=1e-7)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_it_is_the_sum_over_bins(bins: int) -> None:
    probabilities, labels = drawn(300, 2)
    ones = probabilities[:, 1].tolist()
    found = expected_calibration_error(probabilities[:, 1], labels.double(), bins)
    assert found == pytest.approx(by_hand(ones, labels.tolist(), bins), abs=1e-12)
    confidences, answers = probabilities.max(1)
    right = (answers == labels).double().tolist()
    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(
        by_hand(confidences.tolist(), right, bins), abs=1e-12
    )


def test_it_agrees_with_torchmetrics() -> None:
    probabilities, labels = drawn(2_000, 5)
    theirs = float(multiclass_calibration_error(probabilities, labels, num_classes=5, n_bins=15))
    assert expected_calibration_error(probabilities, labels) == pytest.approx(theirs, abs=1e-6)
    ones, two = probabilities[:, 0].contiguous(), (labels == 0).long()
    assert expected_calibration_error(ones, two) == pytest.approx(
        float(binary_calibration_error(ones, two, n_bins=15)), abs=1e-6
    )


def test_true_probabilities_are_calibrated_and_sharpened_ones_are_not() -> None:
    probabilities, labels = drawn(40_000, 4)
    assert expected_calibration_error(probabilities, labels) < 0.01
    assert expected_calibration_error((3 * probabilities.log()).softmax(1), labels) > 0.1


def test_certain_answers_have_the_share_of_wrong_ones_as_error() -> None:
    found = expected_calibration_error(torch.ones(8), torch.tensor([1.0] * 6 + [0.0] * 2))
    assert found == pytest.approx(0.25)


def test_missing_labels_are_left_out() -> None:
    values, labels = torch.tensor([0.2, 0.4, 0.9, 0.7]), torch.tensor([0.0, 1.0, 1.0, math.nan])
    assert expected_calibration_error(values, labels) == expected_calibration_error(values[:3], labels[:3])


@pytest.mark.parametrize(
    ("probabilities", "labels", "words"),
    [
        (torch.ones(3), torch.ones(2), "mend the shapes"),
        (torch.ones(3), torch.full((3,), math.nan), "at least one labelled row"),
        (torch.tensor([1.5, 0.2]), torch.ones(2), r"must lie in 0\.\.1"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities: Tensor, labels: Tensor, words: str) -> None:
    with pytest.raises(AttrimorphError, match=words):
        expected_calibration_error(probabilities, labels)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(factor: float) -> None:
    probabilities, labels = drawn(8_000, 6)
    logits = factor * probabilities.log()
    assert fitted_temperature(lambda one: cross_entropy(logits / one, labels)) == pytest.approx(factor, rel=0.06)


def test_every_attribute_has_its_error() -> None:
    schema = Schema((Attribute("A"), Attribute("kind", "categorical", ("x", "y", "z")), Attribute("age", "real")))
    probabilities, labels = drawn(200, 3)
    truth = torch.cat([(labels[:, None] == 1).double(), torch.eye(3).double()[labels], torch.zeros(200, 1)], 1)
    truth[:50, 0] = math.nan
    said = torch.cat([probabilities[:, 1:2], probabilities, torch.zeros(200, 1)], 1)
    assert calibration_errors(said, truth, schema) == {
        "A": expected_calibration_error(probabilities[50:, 1], (labels[50:] == 1).double()),
        "kind": expected_calibration_error(probabilities, labels),
    }
    together = [*said[50:, 0].tolist(), *probabilities.max(1).values.tolist()]
    right = [*truth[50:, 0].tolist(), *(probabilities.argmax(1) == labels).double().tolist()]
    assert pooled_calibration_error(said, truth, schema) == pytest.approx(by_hand(together, right, 15), abs=1e-12)
    only_real = Schema((Attribute("age", "real"),))
    assert pooled_calibration_error(said[:, 4:], truth[:, 4:], only_real) is None
