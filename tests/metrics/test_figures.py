"""Figures by key, those of older evaluations, and comparisons that refuse unequal protocols."""

import math
from pathlib import Path
from typing import Any

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.figures import KEYS, WAS, Evaluation, Pair, base_of, by_key, compare, new_key, overall


def told(figures: dict[str, float], protocol: str, **weights: str) -> dict[str, Any]:
    return {"figures": figures, "protocols": dict.fromkeys(figures, protocol), "about": {"weights": weights}}


def test_what_is_not_finite_is_a_note() -> None:
    evaluation = Evaluation()
    evaluation.put("edit.psnr_outside", "0 edits", math.nan)
    assert evaluation.figures == {}
    assert evaluation.notes == ["Not measured, for want of a case: edit.psnr_outside (0 edits)."]


def test_an_attributes_name_may_hold_anything() -> None:
    evaluation = Evaluation()
    for name in ("Smiling", "5_o_Clock_Shadow", "with. dots", "a (b)"):
        evaluation.put(f"edit.target_reached.{name}", "p", 0.5)
    evaluation.put("edit.target_reached", "p", 0.5)
    assert list(evaluation.of_attributes("edit.target_reached")) == [
        "Smiling", "5_o_Clock_Shadow", "with. dots", "a (b)",
    ]  # fmt: skip
    assert overall([*evaluation.figures, "samples.top1.person"]) == ["edit.target_reached", "samples.top1.person"]
    assert base_of("response.deviation_single") == "response.deviation_single"
    assert base_of("response.deviationless") == ""


def test_every_older_name_has_its_key() -> None:
    assert set(WAS.values()) <= KEYS.keys()
    assert new_key("edit target reached") == "edit.target_reached"
    assert new_key("top-1 accuracy of samples, person") == "samples.top1.person"
    assert new_key("Inception-style score, person, of samples") == "samples.score.person"
    assert new_key("Inception-style score, binary attributes, of the images themselves") == "images.score"
    assert new_key("MIG of z and guessed y") == "code_and_y.mig"
    assert new_key("nobody's") == "nobody's"
    figures, protocols = by_key({"precision of samples (3 neighbours, k (as published); 10 images)": 0.5, "mine": 1.0})
    assert figures == {"samples.precision": 0.5, "mine": 1.0}
    assert protocols == {"samples.precision": "3 neighbours, k (as published); 10 images"}


def test_only_equal_protocols_are_compared() -> None:
    ours = told({"edit.psnr": 1.0, "edit.drift": 2.0, "edit.count": 3}, "10 images")
    theirs = told({"edit.psnr": 1.5, "edit.drift": 2.5, "edit.leakage": 4.0}, "10 images")
    theirs["protocols"]["edit.drift"] = "20 images"
    found = compare(ours, theirs)
    assert found.pairs == [Pair("edit.psnr", "10 images", 1.0, 1.5)]
    assert found.refused == ["edit.drift is not compared: here it is (10 images), there (20 images)."]
    for side, protocol in ((ours, "a"), (theirs, "b")):
        side["figures"]["edit.drift.Smiling"], side["protocols"]["edit.drift.Smiling"] = 2.0, protocol
    assert compare(ours, theirs) == found  # the figure of all attributes tells why


def test_one_name_for_different_weights_is_found_out() -> None:
    ours, theirs = (told({"edit.psnr": 1.0, "edit.drift": 2.0}, "p", **{"judge x": each}) for each in ("01", "02"))
    for side in (ours, theirs):
        side["protocols"]["edit.drift"] = "judge x; 10 images"
    found = compare(ours, theirs)
    assert [pair.key for pair in found.pairs] == ["edit.psnr"]
    assert found.refused == ["edit.drift is not compared: the two have different weights under the name 'judge x'."]
    assert compare(ours, ours).refused == []


def test_nothing_to_compare_is_an_error_in_one_sentence() -> None:
    with pytest.raises(AttrimorphError, match=r"does: edit.psnr is not compared: here it is \(p\)"):
        compare(told({"edit.psnr": 1.0}, "p"), told({"edit.psnr": 1.0}, "q"))
    with pytest.raises(AttrimorphError, match="no figure in common; measure both"):
        compare(told({"edit.psnr": 1.0}, "p"), told({"edit.ssim": 1.0}, "p"))


def test_the_documents_tell_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measuring.md").read_text()
    rows = [f"| `{key}` | {each.what} | {each.unit} | {each.better} |" for key, each in KEYS.items()]
    table = "\n".join(["| key | what it is | unit | better |", "|---|---|---|---|", *rows, ""])
    assert table in page, "docs/measuring.md must hold this table:\n" + table
