"""Calibrated strength: how far a model must be pushed so that half the strength is half the way.

A model's file carries, for each attribute and direction, where to go at evenly spaced strengths; see
`applications.calibrate`, which measures it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError

VERSION = 1
SET, TAKEN_AWAY = "set", "taken away"
MOST_KNOTS = 1000


@dataclass(frozen=True)
class Strengths:
    """Monotone, piecewise linear maps from the strength that a user asks for to the position that a model is given.

    Attributes:
        positions: attribute -> direction ("set", "taken away") -> positions in 0..1, never falling, at the strengths
            1 / (n + 1), ..., n / (n + 1); 0 stays 0 and 1 stays 1. What is not named is not calibrated.
        about: who measured, and on what.
    """

    positions: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def position(self, name: str, strength: float) -> float:
        """Return the position for a strength of one attribute.

        Args:
            name: the attribute, or "name=value".
            strength: above 0 sets, below 0 takes away; from 1 and -1 on the position is the strength itself.
        """
        knots = self.positions.get(name, {}).get(TAKEN_AWAY if strength < 0 else SET)
        # NaN is passed on: whoever moves attributes refuses it by name.
        if knots is None or not abs(strength) < 1:
            return strength
        ends = (0.0, *knots, 1.0)
        place = abs(strength) * (len(ends) - 1)
        before = min(int(place), len(ends) - 2)
        position = ends[before] + (place - before) * (ends[before + 1] - ends[before])
        return math.copysign(position, strength)

    def calibrated(self, changes: Mapping[str, float]) -> dict[str, float]:
        """Return changes with every strength replaced by its position."""
        return {name: self.position(name, strength) for name, strength in changes.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a model's header."""
        positions = {
            name: {direction: list(knots) for direction, knots in directions.items()}
            for name, directions in self.positions.items()
        }
        return {"version": VERSION, "positions": positions, "about": dict(self.about)}

    @staticmethod
    def from_json(value: Any, schema: Schema) -> "Strengths":
        """Read what `to_json` wrote.

        Args:
            value: from a model's header.
            schema: the model's; the attributes must be its own.

        Raises:
            AttrimorphError: the value is no map of strengths, or one of a newer version.
        """
        if not isinstance(value, dict) or not all(isinstance(value.get(key), dict) for key in ("positions", "about")):
            raise AttrimorphError("calibrated strengths must hold positions and about; they do not; calibrate again")
        if value.get("version") != VERSION:
            raise AttrimorphError(
                f"calibrated strengths must have version {VERSION}; got {value.get('version')!r}; update attrimorph"
            )
        positions: dict[str, dict[str, tuple[float, ...]]] = {}
        for name, directions in value["positions"].items():
            schema.find(name)
            if not isinstance(directions, dict) or not directions.keys() <= {SET, TAKEN_AWAY}:
                raise AttrimorphError(
                    f"the calibrated strengths of {name} must stand under {SET!r} and {TAKEN_AWAY!r}; calibrate again"
                )
            positions[name] = {direction: _knots(name, knots) for direction, knots in directions.items()}
        return Strengths(positions, value["about"])


def _knots(name: str, values: Any) -> tuple[float, ...]:
    """Read positions in 0..1 that never fall."""
    right = (
        isinstance(values, list)
        and 1 <= len(values) <= MOST_KNOTS
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(a <= b for a, b in zip([0, *values], [*values, 1], strict=True))
    )
    if not right:
        raise AttrimorphError(
            f"the calibrated strengths of {name} must be 1 to {MOST_KNOTS} numbers in 0..1 that never fall; "
            "they are not; calibrate again"
        )
    return tuple(float(value) for value in values)
