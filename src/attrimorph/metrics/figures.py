"""Figures that carry their protocol in their names, and the refusal to compare unequal ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from PIL import Image

from attrimorph.errors import AttrimorphError


@dataclass
class Evaluation:
    """The outcome.

    Attributes:
        figures: "name (protocol)" -> value.
        attributes: one row of figures for each edited attribute.
        leakage: edited attribute -> judged attribute -> share of edits after which it is not as it should be.
        pictures: name -> picture to look at.
        notes: sentences that a reader of the figures must know.
        about: what was evaluated, on what, by whom, and how long it took.
        parts: what else a group found, by the group's name: plain values for JSON.
    """

    figures: dict[str, float] = field(default_factory=dict)
    attributes: list[dict[str, Any]] = field(default_factory=list)
    leakage: dict[str, dict[str, float]] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, protocol: str, value: float) -> None:
        """Add a figure; one that is not finite (nothing to measure it on) becomes a note.

        Args:
            name: what it is, without " (".
            protocol: how it was measured: extractor, judge, amounts, data.
            value: the figure.
        """
        if isfinite(value):
            self.figures[f"{name} ({protocol})"] = float(value)
        else:
            self.notes.append(f"Not measured, for want of a case: {name} ({protocol}).")

    def value(self, name: str) -> float | None:
        """Return the figure whose name, without its protocol, is `name`; None if it was not measured."""
        return next((value for key, value in self.figures.items() if split(key)[0] == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures."""
        return {
            "figures": self.figures,
            "attributes": self.attributes,
            "leakage": self.leakage,
            "parts": self.parts,
            "notes": self.notes,
            "about": self.about,
        }


def split(key: str) -> tuple[str, str]:
    """Return name and protocol of a figure's full name."""
    name, _, protocol = key.partition(" (")
    return name, protocol.removesuffix(")")


class Pair(NamedTuple):
    """One figure of two evaluations, measured alike.

    Attributes:
        name: without the protocol.
        protocol: the same for both.
        ours, theirs: the values.
    """

    name: str
    protocol: str
    ours: float
    theirs: float


@dataclass(frozen=True)
class Comparison:
    """Two evaluations side by side.

    Attributes:
        pairs: figures with equal protocols.
        refused: one sentence for each figure that both have but measured differently.
        alone: names of figures that only one of them has.
    """

    pairs: list[Pair]
    refused: list[str]
    alone: list[str]


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Comparison:
    """Put the figures of two evaluations side by side, as far as their protocols are equal.

    The protocols are equal when they say the same, and when the judges, recognisers and extractors that they name have
    the same weights.

    Args:
        ours, theirs: as `Evaluation.to_json` returns them.

    Raises:
        AttrimorphError: not one figure can be compared.
    """
    mine, other = ({split(key)[0]: key for key in side["figures"]} for side in (ours, theirs))
    weights = [side.get("about", {}).get("weights", {}) for side in (ours, theirs)]
    changed = [name for name in weights[0] if name in weights[1] and weights[0][name] != weights[1][name]]
    pairs, refused = [], []
    for name in (name for name in mine if name in other):
        first, second = split(mine[name])[1], split(other[name])[1]
        renewed = [each for each in changed if each in first]
        if first != second:
            refused.append(f"{name} is not compared: here it is ({first}), there ({second}).")
        elif renewed:
            refused.append(f"{name} is not compared: the two have different weights under the name {renewed[0]!r}.")
        else:
            pairs.append(Pair(name, first, ours["figures"][mine[name]], theirs["figures"][other[name]]))
    if not pairs:
        reason = refused[0] if refused else "they have no figure in common."
        raise AttrimorphError(
            f"two evaluations must share a protocol to be compared; none of these figures does: {reason[:-1]}; "
            "measure both with the same data, count, judge and extractor"
        )
    return Comparison(pairs, refused, sorted(set(mine) ^ set(other)))
