"""The keys of all figures: what each means, its unit, which way is better. `keys.csv` and docs/measuring.md list them.

A key is short and stays what it is; the protocol (who judged, how many images of which data) stands beside a figure.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

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


with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as _table:
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
    return {base: {"what": KEYS[base].what, "unit": KEYS[base].unit, "better": KEYS[base].better} for base in found}
