"""Figures with their protocols, and comparisons that refuse unequal ones."""

import math
from typing import Any

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.figures import Evaluation, Pair, compare, split


def told(figures: dict[str, float], **weights: str) -> dict[str, Any]:
    return {"figures": figures, "about": {"weights": weights}}


def test_a_name_is_taken_apart_at_its_protocol() -> None:
    evaluation = Evaluation()
    evaluation.put("precision of samples", "3 neighbours, k (as published); 10 images", 0.5)
    (key,) = evaluation.figures
    assert split(key) == ("precision of samples", "3 neighbours, k (as published); 10 images")
    assert evaluation.value("precision of samples") == 0.5
    assert evaluation.value("precision") is None


def test_what_is_not_finite_is_a_note() -> None:
    evaluation = Evaluation()
    evaluation.put("edit PSNR elsewhere", "0 edits", math.nan)
    assert evaluation.figures == {}
    assert evaluation.notes == ["Not measured, for want of a case: edit PSNR elsewhere (0 edits)."]


def test_only_equal_protocols_are_compared() -> None:
    ours = told({"a (p; 10 images)": 1.0, "b (judge x; 10 images)": 2.0, "c (p)": 3.0})
    theirs = told({"a (p; 10 images)": 1.5, "b (judge y; 10 images)": 2.5, "d (p)": 4.0})
    found = compare(ours, theirs)
    assert found.pairs == [Pair("a", "p; 10 images", 1.0, 1.5)]
    assert found.refused == ["b is not compared: here it is (judge x; 10 images), there (judge y; 10 images)."]
    assert found.alone == ["c", "d"]


def test_one_name_for_different_weights_is_found_out() -> None:
    figures = {"a (p)": 1.0, "b (judge x; 10 images)": 2.0}
    found = compare(told(figures, **{"judge x": "01"}), told(figures, **{"judge x": "02"}))
    assert [pair.name for pair in found.pairs] == ["a"]
    assert found.refused == ["b is not compared: the two have different weights under the name 'judge x'."]
    assert compare(told(figures, **{"judge x": "01"}), told(figures, **{"judge x": "01"})).refused == []


def test_nothing_to_compare_is_an_error_in_one_sentence() -> None:
    with pytest.raises(AttrimorphError, match=r"none of these figures does: a is not compared: here it is \(p\)"):
        compare(told({"a (p)": 1.0}), told({"a (q)": 1.0}))
    with pytest.raises(AttrimorphError, match="no figure in common; measure both"):
        compare(told({"a (p)": 1.0}), told({"b (p)": 1.0}))
