"""Counting by hand."""

import pytest
import torch

from attrimorph.data import Attribute, Schema
from attrimorph.evaluators import attribute_accuracy, binary_names
from attrimorph.metrics.edits import AttributeEdits, EditMeasures, judged_otherwise
from attrimorph.models.model import decisions

SCHEMA = Schema(
    (Attribute("A"), Attribute("hair", "categorical", ("x", "y")), Attribute("age", "real"), Attribute("B"))
)
NAN = float("nan")


def test_decisions() -> None:
    found = decisions(torch.tensor([[0.6, 0.3, 0.4, 1.7, 0.5]]), SCHEMA)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0, 1.0, 1.7, 0.0]]))


def test_accuracy_counts_only_what_is_known() -> None:
    guesses = torch.tensor([[0.9, 0.8, 0.2, 0, 0.1], [0.9, 0.8, 0.2, 0, 0.1], [0.1, 0.1, 0.9, 0, 0.9]])
    truth = torch.tensor([[1, 1, 0, 3.0, NAN], [0, 0, 1, NAN, NAN], [NAN, 0, 1, NAN, NAN]])
    assert attribute_accuracy(guesses, truth, SCHEMA) == {"A": 0.5, "hair": pytest.approx(2 / 3)}


def test_edits_are_counted_by_hand() -> None:
    schema = Schema((Attribute("A"), Attribute("B"), Attribute("C"), Attribute("age", "real")))
    # Editing A four times: it misses once, B is wrong twice, C never; editing C twice: A is wrong both times.
    judged_a = torch.tensor([[1, 0, 0, 9.0], [1, 1, 0, 9], [0, 1, 0, 9], [1, 0, 0, 9]])
    expected_a = torch.tensor([[1, 0, 0, 0.0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    judged_c, expected_c = torch.tensor([[1, 0, 1, 0.0], [1, 1, 0, 0]]), torch.tensor([[0, 0, 1, 0.0], [0, 1, 0, 0]])
    rows = [
        AttributeEdits(name, True, torch.arange(len(judged)), judged_otherwise(judged, expected, schema),
                       judged_otherwise(judged, judged, schema), own, {}, torch.empty(0))
        for name, own, judged, expected in (("A", 0, judged_a, expected_a), ("C", 2, judged_c, expected_c))
    ]  # fmt: skip
    counts = EditMeasures(binary_names(schema), rows, 1.0)
    assert counts.judged == ("A", "B", "C")
    assert [len(each.rows) for each in counts.edits] == [4, 2]
    assert counts.count == 6
    wrong = [counts.joined(lambda each: each.wrong, name).double().mean(0).tolist() for name in counts.names]
    assert wrong == [[0.25, 0.5, 0], [1, 0, 0]]
    assert [counts.mean(lambda each: each.reached, name) for name in ("A", "C")] == [0.75, 1]
    assert [counts.mean(lambda each: each.leaked, name) for name in ("A", "C")] == [0.25, 0.5]
    assert counts.mean(lambda each: each.leaked) == 0.375
    assert counts.mean(lambda each: each.drifted) == 0
