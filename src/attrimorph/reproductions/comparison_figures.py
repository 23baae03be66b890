"""The figures of a comparison: which recipe is best, and which are behind it by more than chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

from attrimorph.metrics.chance import TAIL, student
from attrimorph.metrics.figures import KEYS, base_of
from attrimorph.metrics.tables import Cell, words
from attrimorph.reproductions.comparison import Entry

RULE = (
    "A recipe is marked ▼ where it is behind the best one by more than chance: where the t-interval of the difference "
    "of their means over the seeds (Welch's, which does not take their spreads for equal) leaves out 0. Its level of "
    "95 % is shared out among all pairs of recipes: of twenty figures in which nothing differs, one bears a mark at "
    "most. Nothing is marked with one seed, nor where recipes were not measured alike."
)


@dataclass(frozen=True)
class Figure:
    """One figure of all recipes.

    Attributes:
        key: of `metrics.figures`.
        protocols: recipe -> how it was measured.
        values: recipe -> one value for each seed.
    """

    key: str
    protocols: dict[str, str]
    values: dict[str, list[float]]

    @property
    def better(self) -> str:
        """Which way is better, "" where neither is."""
        return KEYS[base_of(self.key)].better

    @property
    def alike(self) -> bool:
        """Whether all were measured in the same way."""
        return len(set(self.protocols.values())) < 2

    @property
    def best(self) -> str | None:
        """The recipe with the best mean; None where that is nobody's merit, or measured unlike, or of one seed."""
        known = {recipe: fmean(values) for recipe, values in self.values.items() if len(values) > 1}
        if len(known) < 2 or not self.better or not self.alike:
            return None
        return (min if self.better == "lower" else max)(known, key=lambda recipe: known[recipe])

    @property
    def behind(self) -> list[str]:
        """The recipes that are behind the best by more than chance; see `RULE`."""
        best = self.best
        if best is None:
            return []
        # Who is best is seen in the same figures: it might have been any pair.
        pairs = math.comb(len(self.values), 2)
        return [name for name, values in self.values.items() if differ(self.values[best], values, pairs)]


def differ(first: Sequence[float], second: Sequence[float], pairs: int = 1) -> bool:
    """Tell whether the t-interval of the difference of two means leaves out 0; never with fewer than two values.

    Args:
        first, second: one value for each seed.
        pairs: that the level of 95 % is shared out among.
    """
    if min(len(first), len(second)) < 2:
        return False
    errors = [variance(values) / len(values) for values in (first, second)]
    difference = abs(fmean(first) - fmean(second))
    if sum(errors) == 0:
        return difference > 0
    # Welch and Satterthwaite's degrees of freedom.
    freedom = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (first, second), strict=True))
    return difference > student(1 - TAIL / pairs, int(freedom + 1e-6)) * math.sqrt(sum(errors))


def figures_of(entries: Sequence[Entry]) -> list[Figure]:
    """Return the figures of all entries, those of one key together."""
    keys = dict.fromkeys(key for each in entries for key in each.figures)
    found = [Figure(key, {}, {}) for key in keys]
    for figure in found:
        for each in (each for each in entries if figure.key in each.figures):
            figure.values.setdefault(each.name, []).append(each.figures[figure.key])
            figure.protocols[each.name] = each.protocols[figure.key]
    return found


def table_of(recipes: Sequence[str], figures: Sequence[Figure]) -> tuple[list[str], list[list[Cell]]]:
    """Return head and rows of a table of all figures: each recipe's mean and its standard deviation over the seeds."""
    head = ["key", *(cell for name in recipes for cell in (name, f"{name} sd")), "unit", "better", "best"]
    rows: list[list[Cell]] = []
    for figure in figures:
        cells: list[Cell] = [figure.key]
        for name in recipes:
            values = figure.values.get(name, [])
            cells += [fmean(values) if values else None, stdev(values) if len(values) > 1 else None]
        unit, better, what = words(figure.key)
        protocol = " | ".join(dict.fromkeys(figure.protocols.values()))
        rows.append([*cells, unit, better, figure.best, what, protocol])
    return [*head, "what", "protocol"], rows
