"""Figures by key with their protocol beside them, and the refusal to compare what was measured otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from PIL import Image

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.keys import base_of, describe, new_key, overall

Interval = tuple[float, float]


@dataclass
class Evaluation:
    """The outcome.

    Attributes:
        figures: key of `metrics.keys` -> value; of single attributes `edit.target_reached.Smiling`.
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
        return {
            "figures": self.figures,
            "protocols": self.protocols,
            "intervals": {key: list(interval) for key, interval in self.intervals.items()},
            "keys": describe(self.figures),
            "leakage": self.leakage,
            "parts": self.parts,
            "notes": self.notes,
            "about": self.about,
        }


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
