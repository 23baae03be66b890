"""Claims, and whether numbers bear them out: nobody types a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

Verdict = Literal["reproduced", "not reproduced", "not decided"]
RULE = (
    "A claim is reproduced when it holds for every seed and, where two figures are compared, by more in the mean than "
    "chance gives (two standard errors, over the seeds or over the images counted, whichever are larger). It is not "
    "reproduced when it fails for every seed, and not decided otherwise."
)


@dataclass(frozen=True)
class Claim:
    """What somebody says, and by how much it holds.

    Attributes:
        words: the claim, in one sentence.
        source: who says it, e.g. "paper, Table 1".
        margins: one for each seed: how far the measured figure lies beyond what the claim needs; above 0 it holds.
        evidence: the measured figures in words.
        chance: a mean margin up to this one tells nothing.
    """

    words: str
    source: str
    margins: tuple[float, ...]
    evidence: str
    chance: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """What the margins say, by `RULE`."""
        if not self.margins or any(math.isnan(margin) for margin in self.margins):
            return "not decided"
        holds = [margin > 0 for margin in self.margins]
        if not any(holds):
            return "not reproduced"
        told = fmean(self.margins) > self.chance
        return "reproduced" if all(holds) and told else "not decided"

    def to_json(self) -> dict[str, Any]:
        """Plain values; margins that are not finite become None."""
        margins = [round(margin, 6) if math.isfinite(margin) else None for margin in self.margins]
        return {
            "claim": self.words,
            "source": self.source,
            "verdict": self.verdict,
            "seeds": len(margins),
            "margins": margins,
            "chance": round(self.chance, 6),
            "evidence": self.evidence,
        }


def more(
    words: str,
    high: Sequence[float],
    low: Sequence[float],
    *,
    source: str,
    names: tuple[str, str],
    form: str = ".3g",
    counted: int | None = None,
) -> Claim:
    """Claim that the first of two figures is the larger one, seed by seed.

    Args:
        words: the claim.
        high, low: the figures of each seed.
        source: who says so.
        names: of the two figures.
        form: how a figure is written.
        counted: of how many images both figures are shares; None where they are no shares.
    """
    margins = tuple(a - b for a, b in zip(high, low, strict=True))
    evidence = f"{names[0]} {listed(high, form)}, {names[1]} {listed(low, form)}"
    errors = [error_of_mean(margins)] + ([] if counted is None else [error_of_shares(high, low, counted)])
    return Claim(words, source, margins, evidence, 2 * max(errors))


def error_of_mean(values: Sequence[float]) -> float:
    """Return the standard error of a mean over seeds; 0 of a single seed, which tells nothing of it."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return 0.0
    return stdev(values) / math.sqrt(len(values))


def error_of_shares(high: Sequence[float], low: Sequence[float], counted: int) -> float:
    """Return the standard error of the mean difference of shares of `counted` images, as counting alone gives it."""
    return math.sqrt(sum(share * (1 - share) for share in (*high, *low)) / counted) / max(1, len(high))


def at_least(words: str, values: Sequence[float], bound: float, *, source: str, name: str, form: str = ".3g") -> Claim:
    """Claim that a figure is at least `bound`, in every seed."""
    # A figure that meets the bound exactly meets it: the margin must then lie above 0.
    margins = tuple(math.nextafter(value - bound, math.inf) for value in values)
    return Claim(words, source, margins, f"{name} {listed(values, form)}, at least {bound:{form}} needed")


def at_most(words: str, values: Sequence[float], bound: float, *, source: str, name: str, form: str = ".3g") -> Claim:
    """Claim that a figure is at most `bound`, in every seed."""
    margins = tuple(math.nextafter(bound - value, math.inf) for value in values)
    return Claim(words, source, margins, f"{name} {listed(values, form)}, at most {bound:{form}} allowed")


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
