"""Figures by key with their protocol and interval, the refusal to compare what was measured otherwise, and tables.

`keys.csv` and docs/measuring.md list the keys of all figures: what each means, its unit, which way is better. A key is
short and stays what it is; the protocol (who judged, how many images of which data) stands beside a figure.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any, Literal, NamedTuple, cast

from PIL import Image

from attrimorph.data import csv_text
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_text

# --- how far a figure may lie from the truth by chance: intervals of rates, of means, and over training seeds

Interval = tuple[float, float]
TAIL = 0.025  # on either side of an interval of 95 %


def wilson(share: float, count: float, tail: float = TAIL) -> Interval:
    """Return Wilson's interval of a rate (E. B. Wilson 1927).

    Args:
        share: of `count` cases, in 0..1.
        count: at least 1.
        tail: chance that the true rate lies above the interval, and as much that it lies below.
    """
    z = NormalDist().inv_cdf(1 - tail)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def of_difference(high: float, counted: Interval, low: float, other: Interval, times: float = 1.0) -> Interval:
    """Return the interval of high - times * low from those of its parts (R. G. Newcombe 1998; MOVER).

    Args:
        high: a figure, with its interval `counted`.
        low: another, with its interval `other`.
        times: at least 0.
    """
    difference = high - times * low
    below = math.hypot(high - counted[0], times * (other[1] - low))
    above = math.hypot(counted[1] - high, times * (low - other[0]))
    return difference - below, difference + above


def of_mean(values: Sequence[float], tail: float = TAIL) -> Interval:
    """Return Student's interval of a mean; one value alone has none: NaN.

    Args:
        values: finite.
        tail: as of `wilson`.
    """
    if len(values) < 2:
        return math.nan, math.nan
    half = student(1 - tail, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


@cache
def student(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution.

    Args:
        share: in 0.5..1.
        freedom: degrees of freedom, at least 1.
    """
    if freedom > 1_000:
        return NormalDist().inv_cdf(share)
    low, high = 0.0, 1.0
    while below(high, freedom) < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def below(t: float, freedom: int) -> float:
    """Return Student's distribution function, by its finite series in the angle (Abramowitz and Stegun 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    area = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return 0.5 + area / 2


# --- figures by key

Better = Literal["higher", "lower", ""]


class Key(NamedTuple):
    """What a key stands for.

    Attributes:
        what: the figure, in words.
        unit: "share" lies in 0..1.
        better: which way; "" where neither is.
    """

    what: str
    unit: str
    better: Better


with Path(__file__).with_name("keys.csv").open(encoding="utf-8", newline="") as _table:
    _ROWS = list(csv.DictReader(_table))

KEYS = {row["key"]: Key(row["what"], row["unit"], cast(Better, row["better"])) for row in _ROWS}
"""Of attributes a key goes on with their name: `edit.target_reached.Smiling`."""

WAS = {row["was"]: row["key"] for row in _ROWS if row["was"]}
"""Names in evaluations of format version 1 and in older models' cards; {} stands for an attribute's name."""


def base_of(key: str) -> str:
    """Return the key without an attribute's name; "" of what is no key."""
    fitting = [base for base in KEYS if key == base or key.startswith(f"{base}.")]
    return max(fitting, key=len, default="")


def overall(keys: Sequence[str]) -> list[str]:
    """Return the keys without those of single attributes, as far as a figure of all attributes stands for them."""
    return [key for key in keys if base_of(key) in (key, "") or base_of(key) not in keys]


def new_key(was: str) -> str:
    """Return the key of a figure's name in `WAS`; a name that was none stays as it is."""
    if was.startswith("Inception-style score, binary attributes, of "):
        return WAS[was.replace("binary attributes", "{}")]
    for name, key in WAS.items():
        before, hole, behind = name.partition("{}")
        if was == name and not hole:
            return key
        if hole and was.startswith(before) and was.endswith(behind):
            return f"{key}.{was.removeprefix(before).removesuffix(behind)}"
    return was


def describe(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what these keys mean, for JSON: key without an attribute's name -> what, unit, better."""
    found = dict.fromkeys(base_of(key) for key in keys if base_of(key))
    return {base: KEYS[base]._asdict() for base in found}


@dataclass
class Evaluation:
    """The outcome.

    Attributes:
        figures: key of `metrics.figures` -> value; of single attributes `edit.target_reached.Smiling`.
        protocols: key -> how it was measured: extractor, judge, amounts, data.
        intervals: key -> its 95 % interval over the images, where it has one.
        leakage: edited attribute -> judged attribute -> share of edits after which it is not as it should be.
        pictures: name -> picture to look at.
        notes: sentences that a reader of the figures must know.
        about: what was evaluated, on what, by whom, and how long it took.
        parts: what else a group found, by the group's name: plain values for JSON.
    """

    figures: dict[str, float] = field(default_factory=dict)
    protocols: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    leakage: dict[str, dict[str, float]] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)

    def put(self, key: str, protocol: str, value: float, interval: Interval | None = None) -> None:
        """Add a figure; one that is not finite (nothing to measure it on) becomes a note.

        Args:
            key: one of `KEYS`, of a single attribute with its name behind a dot.
            protocol: how it was measured: extractor, judge, amounts, data.
            value: the figure.
            interval: of 95 %.
        """
        if isfinite(value):
            self.figures[key], self.protocols[key] = value, protocol
            if interval is not None and all(map(isfinite, interval)):
                self.intervals[key] = interval
        else:
            self.notes.append(f"Not measured, for want of a case: {key} ({protocol}).")

    def of_attributes(self, key: str) -> dict[str, float]:
        """Return a figure of every single attribute: name -> value."""
        return {each.removeprefix(f"{key}."): value for each, value in self.figures.items() if each != key
                and base_of(each) == key}  # fmt: skip

    def told(self) -> list[tuple[str, ...]]:
        """Return the figures but those of single attributes: key, value, interval, unit, better, what it is."""
        rows = []
        for key in overall(list(self.figures)):
            low, high = self.intervals.get(key, (None, None))
            interval = "" if low is None else f"{low:.4f} to {high:.4f}"
            rows.append((key, written(self.figures[key]), interval, *words(key)))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures."""
        plain = {name: value for name, value in vars(self).items() if name != "pictures"}
        intervals = {key: list(interval) for key, interval in self.intervals.items()}
        return {**plain, "intervals": intervals, "keys": describe(self.figures)}


def by_key(figures: Mapping[str, float]) -> tuple[dict[str, float], dict[str, str]]:
    """Return figures and protocols by today's keys.

    Args:
        figures: by key, or by "name (protocol)" as evaluations of format version 1 and older models' cards have them.
    """
    values, protocols = {}, {}
    for name, value in figures.items():
        was, bracket, protocol = name.partition(" (")
        key = new_key(was) if bracket else name
        values[key] = value
        if bracket:
            protocols[key] = protocol.removesuffix(")")
    return values, protocols


def card_figures(card: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Return figures and protocols of a model's card, by today's keys; older cards hold them among their entries."""
    loose = {name: value for name, value in card.items() if isinstance(value, int | float) and name != "seed"}
    figures, protocols = by_key(loose)
    return {**figures, **card.get("figures", {})}, {**protocols, **card.get("protocols", {})}


class Pair(NamedTuple):
    """One figure of two evaluations, measured alike.

    Attributes:
        key: of both.
        protocol: the same for both.
        ours, theirs: the values.
    """

    key: str
    protocol: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """By how much ours is the larger one."""
        return self.ours - self.theirs


@dataclass(frozen=True)
class Comparison:
    """Two evaluations side by side.

    Attributes:
        pairs: figures with equal protocols.
        refused: one sentence for each figure that both have but measured differently, single attributes left out.
    """

    pairs: list[Pair]
    refused: list[str]

    def told(self) -> list[tuple[str, ...]]:
        """Return the pairs but those of single attributes: key, here, there, difference, better, what it is."""
        shown = overall([pair.key for pair in self.pairs])
        return [
            (pair.key, written(pair.ours), written(pair.theirs), f"{pair.difference:+.4f}", *words(pair.key)[1:])
            for pair in self.pairs
            if pair.key in shown
        ]


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Comparison:
    """Put the figures of two evaluations side by side, as far as their protocols are equal.

    The protocols are equal when they say the same, and when the judges, identity encoders and extractors that they name
    have the same weights.

    Args:
        ours, theirs: as `Evaluation.to_json` returns them.

    Raises:
        AttrimorphError: not one figure can be compared.
    """
    mine, other = ours["figures"], theirs["figures"]
    weights = [side.get("about", {}).get("weights", {}) for side in (ours, theirs)]
    changed = [name for name in weights[0] if name in weights[1] and weights[0][name] != weights[1][name]]
    pairs, refused, shown = [], [], overall(list(mine))
    for key in (key for key in mine if key in other):
        first, second = (side["protocols"].get(key, "") for side in (ours, theirs))
        renewed = [each for each in changed if each in first]
        if first != second:
            reason = f"here it is ({first}), there ({second})"
        elif renewed:
            reason = f"the two have different weights under the name {renewed[0]!r}"
        else:
            pairs.append(Pair(key, first, mine[key], other[key]))
            continue
        if key in shown:
            refused.append(f"{key} is not compared: {reason}.")
    if not pairs:
        reason = refused[0] if refused else "they have no figure in common."
        raise AttrimorphError(
            f"two evaluations must share a protocol to be compared; none of these figures does: {reason[:-1]}; "
            "measure both with the same data, count, judge and extractor"
        )
    return Comparison(pairs, refused)


# --- tables of figures as files: CSV for programs, LaTeX (booktabs) for papers

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]
ESCAPED = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$", "": ""}
FIGURES = ("key", "value", "low", "high", "unit", "better", "what", "protocol")
PAIRS = ("key", "here", "there", "difference", "unit", "better", "what", "protocol")


def figure_rows(evaluation: Evaluation) -> list[list[Cell]]:
    """Return one row for each figure, by the columns of `FIGURES`."""
    rows: list[list[Cell]] = []
    for key, value in evaluation.figures.items():
        low, high = evaluation.intervals.get(key, (None, None))
        rows.append([key, value, low, high, *words(key), evaluation.protocols[key]])
    return rows


def pair_rows(comparison: Comparison) -> list[list[Cell]]:
    """Return one row for each figure that two evaluations share, by the columns of `PAIRS`."""
    return [
        [pair.key, pair.ours, pair.theirs, pair.difference, *words(pair.key), pair.protocol]
        for pair in comparison.pairs
    ]


def words(key: str) -> list[str]:
    """Return unit, better and what it is, of a key."""
    entry = KEYS[base_of(key)]
    return [entry.unit, entry.better, entry.what]


def write_tables(head: Sequence[str], rows: Rows, csv_file: Path | None, latex_file: Path | None) -> list[Path]:
    """Write one table as CSV, as LaTeX, or both, as far as they are named; return what was written.

    In LaTeX a column "better" becomes an arrow behind the key, "protocol" and "what" become comments above the
    table, and figures of single attributes are left out.
    """
    done = []
    for file, form in ((csv_file, to_csv), (latex_file, to_latex)):
        if file is not None:
            write_text(file, form(head, rows))
            done.append(file)
    return done


def check_tables(*files: Path | None) -> None:
    """Refuse, before anything is measured, files that cannot be written.

    Raises:
        AttrimorphError: one is a folder, or two are the same.
    """
    named = [file for file in files if file is not None]
    for file in named:
        if file.is_dir():
            raise AttrimorphError(f"a table is written to a file; {file} is a folder; name a file in it")
    if len({file.resolve() for file in named}) < len(named):
        raise AttrimorphError(f"--csv and --latex need a file each; both are {named[0]}; name another")


def to_csv(head: Sequence[str], rows: Rows) -> str:
    """Return a table as CSV; numbers keep all their digits, what is missing is empty."""
    return csv_text([head, *rows])


def to_latex(head: Sequence[str], rows: Rows) -> str:
    r"""Return a table as a LaTeX tabular (\usepackage{booktabs}), as `write_tables` tells."""
    place = {name: column for column, name in enumerate(head)}
    comments = [place[name] for name in ("what", "protocol") if name in place]
    dropped = {*comments, *([place["better"]] if "better" in place else [])}
    shown = [column for column in range(len(head)) if column not in dropped]
    if "key" in place:
        kept = overall([str(row[place["key"]]) for row in rows])
        rows = [row for row in rows if row[place["key"]] in kept]
    lines = [
        f"% {row[0]}: " + "; ".join(" ".join(str(row[column]).split()) for column in comments if row[column])
        for row in rows if comments
    ]  # fmt: skip
    kinds = [all(row[column] is None or isinstance(row[column], int | float) for row in rows) for column in shown]
    lines += [
        r"\begin{tabular}{" + "".join("r" if number else "l" for number in kinds) + "}",
        r"\toprule",
        " & ".join(escaped(head[column]) for column in shown) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [latex_cell(row[column]) for column in shown]
        if "better" in place and (arrow := ARROWS[str(row[place["better"]])]):
            cells[0] += f" {arrow}"
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_cell(value: Cell) -> str:
    """Write one cell: numbers with four digits."""
    if value is None:
        return "--"
    if isinstance(value, float):
        number = f"{value:.4g}" if 1e-4 <= abs(value) < 1e4 or value == 0 else f"{value:.4f}"
        return f"${number}$" if value < 0 else number
    return escaped(str(value))


def written(value: float) -> str:
    """Write a figure for people: counts as they are, else four decimals."""
    return f"{value:,d}" if isinstance(value, int) else f"{value:.4f}"


def escaped(words: str) -> str:
    """Return words as LaTeX prints them."""
    return "".join(ESCAPED.get(sign, sign) for sign in words)
