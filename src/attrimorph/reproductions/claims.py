"""Claims, and whether numbers bear them out: one rule for all, and nobody types a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, NamedTuple

from attrimorph.metrics.chance import Interval, of_difference, of_mean, wilson

Verdict = Literal["reproduced", "seen once", "not decided", "not reproduced"]
COLUMNS = ("verdict", "claim", "margin", "low", "high", "seeds", "measured", "who says so")
LEAST_SEEDS = 3
WRONG = 0.04  # chance that any claim of a page is called reproduced where nothing is to be found; the bar is 0.05
RULE = (
    "The margin of a claim is how far the measured figure lies beyond what the claim needs. Its interval is Student's "
    "t over the training seeds, for shares together with that of counting (Wilson's). Its level is shared out among "
    "the claims of the page by Holm's procedure: where nothing is to be found, one is called reproduced on "
    f"{WRONG:.0%} of pages at most. Reproduced: the whole interval lies beyond what is needed. Not reproduced: the "
    f"whole interval falls short of it. Not decided: neither. With fewer than {LEAST_SEEDS} seeds nothing is known of "
    "other trainings: the most that can be said is seen once."
)


class Counted(NamedTuple):
    """Two shares and how many cases each is a share of; None for a figure that no chance touches.

    Attributes:
        high, low: means over the seeds. All seeds are measured on the same images, which count once.
        of_high, of_low: cases.
        times, grace: as of `more`.
    """

    high: float
    of_high: int | None
    low: float
    of_low: int | None
    times: float = 1.0
    grace: float = 0.0

    def interval(self, tail: float) -> Interval:
        """Return the interval of the margin."""
        parts = [
            (share, share) if of is None else wilson(share, of, tail)
            for share, of in ((self.high, self.of_high), (self.low, self.of_low))
        ]
        low, high = of_difference(self.high, parts[0], self.low, parts[1], self.times)
        return low + self.grace, high + self.grace


@dataclass(frozen=True)
class Claim:
    """What somebody says, and by how much it holds.

    Attributes:
        words: the claim, in one sentence.
        source: who says it, e.g. "paper, Table 1".
        margins: one for each training seed: how far the measured figure lies beyond what the claim needs.
        evidence: the measured figures in words.
        counted: the shares behind the margins, where they are shares.
        bar: whether a margin of 0 is enough.
        form: how a margin is written.
    """

    words: str
    source: str
    margins: tuple[float, ...]
    evidence: str
    counted: Counted | None = None
    bar: bool = False
    form: str = ".3g"


@dataclass(frozen=True)
class Decision:
    """A claim and its verdict.

    Attributes:
        claim: what was said.
        verdict: by `RULE`.
        margin: mean over the seeds; NaN where nothing was measured.
        low, high: its interval; both the margin itself where nothing is known of chance.
        why: in words what decided.
    """

    claim: Claim
    verdict: Verdict
    margin: float
    low: float
    high: float
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not finite becomes None."""
        return {
            "claim": self.claim.words,
            "source": self.claim.source,
            "verdict": self.verdict,
            "seeds": len(self.claim.margins),
            "margins": [_plain(margin) for margin in self.claim.margins],
            "margin": _plain(self.margin),
            "interval": [_plain(self.low), _plain(self.high)],
            "why": self.why,
            "evidence": self.claim.evidence,
        }

    def row(self) -> list[str | int | float | None]:
        """Return the cells of a table, by `COLUMNS`."""
        margin = [_plain(value) for value in (self.margin, self.low, self.high)]
        claim = self.claim
        return [self.verdict, claim.words, *margin, len(claim.margins), claim.evidence, claim.source]


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def decide(claims: Sequence[Claim]) -> list[Decision]:
    """Return the verdicts of all claims of a page, by `RULE`.

    The level is shared out evenly, and shared out again among those that are left once some are reproduced (S. Holm
    1979): no page is wrong more often for that, and less is left undecided.
    """
    decisions: dict[int, Decision] = {}
    left = list(range(len(claims)))
    while left:
        decisions |= {place: decide_one(claims[place], WRONG / len(left)) for place in left}
        still = [place for place in left if decisions[place].verdict != "reproduced"]
        if len(still) == len(left):
            break
        left = still
    return [decisions[place] for place in range(len(claims))]


def decide_one(claim: Claim, tail: float) -> Decision:
    """Decide one claim.

    Args:
        claim: any.
        tail: chance that a margin which is 0 in truth is taken for more, and as much that it is taken for less.
    """
    margins, seeds = claim.margins, len(claim.margins)
    if not margins or not all(map(math.isfinite, margins)):
        return Decision(claim, "not decided", math.nan, math.nan, math.nan, "not measured")
    mean = fmean(margins)
    low, high = of_mean(margins, tail) if seeds >= LEAST_SEEDS else (min(margins), max(margins))
    basis = f"{seeds} seeds" if seeds > 1 else "one seed"
    if claim.counted is not None:
        # The seeds differ by their trainings, all of them share the chance of the images.
        below, above = claim.counted.interval(tail)
        low, high = mean - math.hypot(mean - low, mean - below), mean + math.hypot(high - mean, above - mean)
        counts = [f"{of:,}" for of in (claim.counted.of_high, claim.counted.of_low) if of is not None]
        basis += f", shares of {' and '.join(dict.fromkeys(counts))}"
    elif seeds < LEAST_SEEDS:
        basis += ": chance unknown"
    verdict: Verdict = "not decided"
    if low > 0 or (claim.bar and low == 0):
        verdict = "reproduced" if seeds >= LEAST_SEEDS else "seen once"
    elif high < 0:
        verdict = "not reproduced"
    margin, a, b = (format(value, f"+{claim.form}") for value in (mean, low, high))
    around = f", {a} to {b}" if low < high else ""
    return Decision(claim, verdict, mean, low, high, f"margin {margin}{around} ({basis})")


Values = float | Sequence[float]


def seeds_of(values: Values) -> tuple[float, ...]:
    """Return one value for each seed; a single one is that of the only model."""
    return (float(values),) if isinstance(values, int | float) else tuple(values)


def more(
    words: str,
    high: Values,
    low: Values,
    names: tuple[str, str],
    source: str,
    form: str = ".3g",
    *,
    counted: int | tuple[int | None, int | None] | None = None,
    times: float = 1.0,
    grace: float = 0.0,
) -> Claim:
    """Claim that the first of two figures is the larger one: more than `times` the second, less `grace`.

    Args:
        words: the claim.
        high, low: the figures, a value for each seed; none where they were not measured.
        names: of the two figures.
        source: who says so.
        form: how a figure is written.
        counted: of how many cases the figures, or each of them, are shares; None where they are no shares.
        times: how often the second one goes into the first.
        grace: how much less is still as good.
    """
    high, low = seeds_of(high), seeds_of(low)
    margins = tuple(a - times * b + grace for a, b in zip(high, low, strict=True))
    evidence = f"{names[0]} {listed(high, form)}, {names[1]} {listed(low, form)}"
    if times != 1:
        evidence += f"; {times:.3g} times the second needed"
    if grace:
        evidence += f"; {grace:{form}} less is as good"
    shares = None
    if counted is not None and high:
        counts = counted if isinstance(counted, tuple) else (counted, counted)
        shares = Counted(fmean(high), counts[0], fmean(low), counts[1], times, grace)
    return Claim(words, source, margins, evidence, shares, form=form)


def at_least(
    words: str, values: Values, bound: float, name: str, source: str, form: str = ".3g", counted: int | None = None
) -> Claim:
    """Claim that a figure, a share where it is `counted`, is at least `bound`."""
    values = seeds_of(values)
    shares = Counted(fmean(values), counted, bound, None) if counted is not None and values else None
    evidence = f"{name} {listed(values, form)}, at least {bound:{form}} needed"
    return Claim(words, source, tuple(value - bound for value in values), evidence, shares, bar=True, form=form)


def at_most(
    words: str, values: Values, bound: float, name: str, source: str, form: str = ".3g", counted: int | None = None
) -> Claim:
    """Claim that a figure, a share where it is `counted`, is at most `bound`."""
    values = seeds_of(values)
    shares = Counted(bound, None, fmean(values), counted) if counted is not None and values else None
    evidence = f"{name} {listed(values, form)}, at most {bound:{form}} allowed"
    return Claim(words, source, tuple(bound - value for value in values), evidence, shares, bar=True, form=form)


def listed(values: Sequence[float], form: str = ".3g") -> str:
    """Write a figure of several seeds: 0.91, 0.92, 0.9."""
    return ", ".join(format(value, form) if math.isfinite(value) else "never" for value in values) or "not measured"


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """Write the mean of several seeds and how far they lie apart: 0.91 (0.90 to 0.92)."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "–"
    mean = sum(known) / len(known)
    if len(known) == 1:
        return format(mean, form)
    return f"{mean:{form}} ({min(known):{form}} to {max(known):{form}})"
