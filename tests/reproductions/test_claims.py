"""One rule decides all claims: intervals over seeds and counts, shared out among the claims of a page."""

import math
import random
from collections.abc import Callable

import pytest

from attrimorph.reproductions import EXPERIMENTS
from attrimorph.reproductions.frame import (
    WRONG,
    Claim,
    at_least,
    at_most,
    claim,
    decide,
    decide_one,
    listed,
    more,
    spread,
)


def verdict(*margins: float, bar: bool = False) -> str:
    return decide([Claim("it holds", "paper", margins, "", bar=bar)])[0].verdict


@pytest.mark.parametrize(
    ("margins", "expected"),
    [
        ((0.1, 0.11, 0.1), "reproduced"),
        ((-0.1, -0.11, -0.1), "not reproduced"),
        # Every seed says yes, and they lie too far apart to tell.
        ((0.1, 0.2, 0.01), "not decided"),
        ((0.1, -0.2, 0.1), "not decided"),
        ((0.0, 0.0, 0.0), "not decided"),
        ((0.1, math.nan), "not decided"),
        ((math.inf,), "not decided"),
        ((), "not decided"),
        # Fewer than three seeds.
        ((0.1,), "seen once"),
        ((0.1, 0.2), "seen once"),
        ((0.1, -0.2), "not decided"),
        ((-0.1,), "not reproduced"),
        ((0.0,), "not decided"),
    ],
)
def test_a_verdict_needs_seeds_that_agree(margins: tuple[float, ...], expected: str) -> None:
    assert verdict(*margins) == expected


def test_students_interval_decides() -> None:
    # Mean 0.1, standard error 0.0289: of three seeds the 96 % quantile is 3.32.
    decision = decide_one(Claim("x", "paper", (0.05, 0.1, 0.15), "", form=".4f"), WRONG)
    half = 3.3198 * 0.05 / 3**0.5
    assert (decision.low, decision.high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-5)
    assert decision.why == "margin +0.1000, +0.0042 to +0.1958 (3 seeds)"
    assert decision.verdict == "reproduced"
    # The same seeds among eight claims of a page: the level is shared out.
    page = [Claim("x", "paper", (0.05, 0.1, 0.15), "")] * 8
    assert {each.verdict for each in decide(page)} == {"not decided"}
    # Seven that are sure leave the whole of it to the eighth.
    sure = [Claim("x", "paper", (1.0, 1.01, 1.0), "")] * 7
    assert {each.verdict for each in decide([*page[:1], *sure])} == {"reproduced"}


def test_comparisons_are_made_seed_by_seed() -> None:
    # The means would say yes.
    claim = more("a beats b", [0.9, 0.4, 0.9], [0.1, 0.5, 0.1], source="paper", names=("a", "b"))
    assert claim.margins == pytest.approx((0.8, -0.1, 0.8))
    assert decide([claim])[0].verdict == "not decided"
    assert claim.evidence == "a 0.9, 0.4, 0.9, b 0.1, 0.5, 0.1"


def test_shares_are_held_against_their_counts() -> None:
    def once(high: float, low: float, counted: int | tuple[int, None]) -> str:
        return decide([more("x", [high], [low], source="paper", names=("a", "b"), counted=counted)])[0].verdict

    assert once(0.7001, 0.7000, 6_000) == "not decided"
    assert once(57 / 480, 44 / 480, 480) == "not decided"
    assert once(0.2, 0.1, 480) == "seen once"
    assert once(0.1, 0.2, 480) == "not reproduced"
    assert once(0.1, 0.0, 10) == "not decided"
    # Seeds that agree to the last image do not help where there are few images.
    claim = more("x", [0.6] * 3, [0.5] * 3, source="paper", names=("a", "b"), counted=40)
    assert decide([claim])[0].verdict == "not decided"
    assert decide([claim])[0].why.endswith("(3 seeds, shares of 40)")


def test_a_bar_is_met_when_the_worse_end_of_the_interval_meets_it() -> None:
    def three(*values: float, counted: int | None = None) -> str:
        return decide([at_least("x", values, 0.8, source="ours", name="x", counted=counted)])[0].verdict

    assert three(0.8, 0.8, 0.8) == "reproduced"
    assert three(0.81, 0.82, 0.9) == "not decided"
    assert three(0.89, 0.9, 0.91, counted=1_000) == "reproduced"
    assert three(0.89, 0.9, 0.91, counted=20) == "not decided"
    assert three(0.7, 0.69, 0.71, counted=1_000) == "not reproduced"
    assert decide([at_most("x", [0.05], 0.05, source="ours", name="x")])[0].verdict == "seen once"
    assert decide([at_most("x", [0.04], 0.05, source="ours", name="x", counted=100)])[0].verdict == "not decided"
    assert decide([at_most("x", [0.01], 0.05, source="ours", name="x", counted=1_000)])[0].verdict == "seen once"


def test_a_part_of_a_figure_and_what_is_still_as_good() -> None:
    part = more("x", [0.9], [0.95], source="ours", names=("a", "b"), counted=(500, 400), times=0.9)
    assert part.margins == pytest.approx((0.045,))
    assert part.evidence == "a 0.9, b 0.95; 0.9 times the second needed"
    found = decide([part])[0]
    assert found.low < 0.045 < found.high
    as_good = more("x", [0.5], [0.55], source="ours", names=("a", "b"), form=".2f", grace=0.1)
    assert as_good.margins == pytest.approx((0.05,))
    assert as_good.evidence == "a 0.50, b 0.55; 0.10 less is as good"


def test_what_decided_is_told() -> None:
    once = decide([at_least("x", [3.0], 2.0, source="ours", name="x", form=".1f")])[0]
    assert once.why == "margin +1.0 (one seed: chance unknown)"
    nothing = decide([at_least("x", [], 2.0, source="ours", name="x")])[0]
    assert (nothing.verdict, nothing.why) == ("not decided", "not measured")
    value = decide([Claim("it holds", "paper", (1.0, 1.5, 1.0), "e")])[0].to_json()
    assert value["margins"] == [1.0, 1.5, 1.0]
    assert value["seeds"] == 3
    assert value["interval"][0] == pytest.approx(value["margin"] - (value["interval"][1] - value["margin"]), abs=1e-5)
    assert decide([Claim("it holds", "paper", (math.inf,), "e")])[0].to_json()["margins"] == [None]


def continuous(draw: random.Random) -> Claim:
    """Two methods that do not differ, three seeds each."""
    a, b = ([draw.gauss(20, 1) for _ in range(3)] for _ in range(2))
    return more("x", a, b, source="nobody", names=("a", "b"))


def share(draw: random.Random) -> Claim:
    """A share of 200 images that meets its bar exactly in truth; the seeds share the chance of the images."""
    found = sum(draw.random() < 0.9 for _ in range(200)) / 200
    return at_least("x", [min(1.0, found + draw.gauss(0, 0.005)) for _ in range(3)], 0.9, source="nobody", name="a",
                    counted=200)  # fmt: skip


@pytest.mark.parametrize("make", [continuous, share])
def test_pages_of_no_difference_are_seldom_called_reproduced(make: Callable[[random.Random], Claim]) -> None:
    draw, pages = random.Random(0), 1_500
    wrong = 0
    for _ in range(pages):
        wrong += any(each.verdict == "reproduced" for each in decide([make(draw) for _ in range(4)]))
    assert wrong / pages <= 0.05


def test_figures_of_several_seeds_in_words() -> None:
    assert listed([1.0, math.inf], ".0f") == "1, never"
    assert listed([]) == "not measured"
    assert spread([0.5]) == "0.500"
    assert spread([0.5, 0.7]) == "0.600 (0.500 to 0.700)"
    assert spread([math.nan]) == "–"


def test_the_words_of_every_experiment_are_whole() -> None:
    for name, page in EXPERIMENTS.items():
        assert page.paper
        assert page.about
        for key, said in page.claims.items():
            kind = next(iter(said))
            assert len(said["names"]) == {"more": 2, "least": 1, "most": 1}[kind], (name, key)
            assert said.get("source", page.source), (name, key)
            assert not said.keys() - {kind, "names", "source", "form"}, (name, key)
        assert bool(page.title) == bool(page.lead) == bool(page.protocol), name


def test_a_claim_in_words_is_that_of_its_figures() -> None:
    kept = claim("morphing", "kept", [0.9], [1.0], counted=(50, 100), times=0.95)
    names = ("the least top-1 on the way", "of the ends")
    words, source = "On the way the class is kept", "paper, attribute morphing"
    assert kept == more(words, [0.9], [1.0], names, source, ".1%", counted=(50, 100), times=0.95)
    gradual = claim("morphing", "gradual", 1.5, 2.0)
    words, name = "The change is gradual: no step is much longer than the others", "the longest step in mean steps"
    assert gradual == at_most(words, 1.5, 2.0, name, source, ".2f")
    found = claim("transferring", "kept", 0.5, 0.1, counted=40)
    assert (found.margins, found.bar, found.counted) == ((0.4,), True, (0.5, 40, 0.1, None, 1.0, 0.0))
    assert "after 10 iterations" in claim("inpainting", "improved", 2.0, 1.0, steps=10).evidence
    # A name in braces that is not filled in is a fault of ours, told at once.
    with pytest.raises(KeyError):
        claim("inpainting", "improved", 2.0, 1.0)
