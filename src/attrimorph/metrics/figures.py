"""Figures by key with their protocol beside them, and the refusal to compare what was measured otherwise.

`keys.csv` and docs/measuring.md list the keys of all figures: what each means, its unit, which way is better. A key is
short and stays what it is; the protocol (who judged, how many images of which data) stands beside a figure.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from PIL import Image

from attrimorph.errors import AttrimorphError

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


Interval = tuple[float, float]


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


@dataclass(frozen=True)
class Comparison:
    """Two evaluations side by side.

    Attributes:
        pairs: figures with equal protocols.
        refused: one sentence for each figure that both have but measured differently, single attributes left out.
        alone: keys of figures that only one of them has.
    """

    pairs: list[Pair]
    refused: list[str]
    alone: list[str]


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
    return Comparison(pairs, refused, sorted(set(mine) ^ set(other)))
