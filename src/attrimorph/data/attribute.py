"""One attribute: its kind, its values, and how raw values are read."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from attrimorph.errors import AttrimorphError, nearest

Kind = Literal["binary", "categorical", "real"]
KINDS: tuple[Kind, ...] = ("binary", "categorical", "real")
MISSING = ("", "nan", "none", "null", "?")
MOST_VALUES_LISTED = 8  # in one sentence


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes:
        name: as the data set writes it, e.g. "Smiling".
        kind: "binary" ({0, 1}), "categorical" (one-hot over `values`) or "real" (standardised).
        values: the names of a categorical attribute's values; empty otherwise.
        mean, scale: of a real attribute; y holds (value - mean) / scale.
    """

    name: str
    kind: Kind = "binary"
    values: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        told = f"the attribute {self.name!r} must"
        if self.kind not in KINDS:
            raise AttrimorphError(f"{told} be binary, categorical or real; got {self.kind!r}; mend the schema")
        if not math.isfinite(self.mean) or not 0 < self.scale < math.inf:
            scale = f"got {self.mean} and {self.scale}; mend the schema"
            raise AttrimorphError(f"{told} have a finite mean and a scale above 0; {scale}")
        if self.kind == "categorical" and len(self.values) < 2:
            raise AttrimorphError(f"{told} have at least two values; got {list(self.values)}; leave it out")

    @property
    def width(self) -> int:
        """Columns of y that the attribute takes."""
        return len(self.values) if self.kind == "categorical" else 1

    def describe_values(self) -> str:
        """Return the values in words, the first of many."""
        more = len(self.values) - MOST_VALUES_LISTED
        return ", ".join(self.values[:MOST_VALUES_LISTED]) + (f" and {more} more" if more > 0 else "")

    def describe(self) -> str:
        """Return the name, with what it takes where it is not binary."""
        if self.kind == "categorical":
            return f"{self.name} (one of {self.describe_values()})"
        return self.name if self.kind == "binary" else f"{self.name} ({self.kind})"

    def place(self, value: str) -> int:
        """Return which of a categorical attribute's values it is.

        Raises:
            AttrimorphError: none of them.
        """
        if value not in self.values:
            near = nearest(value, self.values)
            raise AttrimorphError(
                f"the attribute {self.name!r} has no value {value!r}; {f'did you mean {near!r}? ' if near else ''}"
                f"it takes one of {self.describe_values()}"
            )
        return self.values.index(value)

    def code(self, raw: Any) -> float:
        """Return y of a raw binary or real value, or the place of a categorical one."""
        if self.kind == "categorical":
            return self.place(str(raw))
        if self.kind == "binary":
            return parse_binary(self.name, raw)
        return (parse_real(self.name, raw) - self.mean) / self.scale


def parse_binary(name: str, raw: Any) -> float:
    """Read 0/1, -1/1, true/false, yes/no as 0.0 or 1.0."""
    text = str(raw).strip().lower()
    if text in ("1", "1.0", "+1", "true", "yes"):
        return 1.0
    if text in ("0", "0.0", "-1", "-1.0", "false", "no"):
        return 0.0
    raise AttrimorphError(f"the binary attribute {name!r} must be 0 or 1 (or -1/1, true/false, yes/no); got {raw!r}")


def parse_real(name: str, raw: Any) -> float:
    """Read a finite number."""
    try:
        number = float(raw)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise AttrimorphError(f"the real attribute {name!r} must be a finite number; got {raw!r}")
    return number
