"""Verdicts come from margins, seed by seed."""

import math

import pytest

from attrimorph.experiments.claims import Claim, at_least, listed, more, spread


@pytest.mark.parametrize(
    ("margins", "verdict"),
    [
        ((0.1, 0.2, 0.01), "reproduced"),
        ((-0.1, -0.2, 0.0), "not reproduced"),
        ((0.1, -0.2, 0.1), "not decided"),
        ((0.1, math.nan), "not decided"),
        ((math.inf,), "reproduced"),
        ((), "not decided"),
    ],
)
def test_a_verdict_needs_every_seed(margins: tuple[float, ...], verdict: str) -> None:
    assert Claim("it holds", "paper", margins, "").verdict == verdict


def test_comparisons_are_made_seed_by_seed() -> None:
    # The means would say yes.
    claim = more("a beats b", [0.9, 0.4], [0.1, 0.5], source="paper", names=("a", "b"))
    assert claim.margins == pytest.approx((0.8, -0.1))
    assert claim.verdict == "not decided"
    assert claim.evidence == "a 0.9, 0.4, b 0.1, 0.5"


def test_a_difference_within_chance_decides_nothing() -> None:
    names = ("a", "b")
    # 0.3 points of 6,000 images at 99 %: two standard errors are 0.36 points.
    assert more("x", [0.990], [0.987], source="paper", names=names, counted=6_000).verdict == "not decided"
    assert more("x", [0.990], [0.980], source="paper", names=names, counted=6_000).verdict == "reproduced"
    # Three seeds that all say yes, and lie far apart.
    assert more("x", [0.9, 0.9, 0.9], [0.89, 0.89, 0.6], source="paper", names=names).verdict == "not decided"
    assert more("x", [0.9, 0.9, 0.9], [0.7, 0.71, 0.69], source="paper", names=names).verdict == "reproduced"


def test_a_bound_that_is_met_exactly_is_met() -> None:
    assert at_least("x", [0.98], 0.98, source="ours", name="x").verdict == "reproduced"
    assert at_least("x", [0.97], 0.98, source="ours", name="x").verdict == "not reproduced"


def test_claims_become_plain_values() -> None:
    value = Claim("it holds", "paper", (1.0, math.inf), "e").to_json()
    assert value["margins"] == [1.0, None]
    assert value["verdict"] == "reproduced"
    assert value["seeds"] == 2


def test_figures_of_several_seeds_in_words() -> None:
    assert listed([1.0, math.inf], ".0f") == "1, never"
    assert listed([]) == "not measured"
    assert spread([0.5]) == "0.500"
    assert spread([0.5, 0.7]) == "0.600 (0.500 to 0.700)"
    assert spread([math.nan]) == "–"
