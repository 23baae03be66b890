"""Columns of a table: from what people write into cells to attributes, their values, and what is to be told.

One odd cell turns no column into words: where most cells are numbers (or yes and no), a few others are missing values.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from attrimorph.data import MISSING, Attribute
from attrimorph.errors import AttrimorphError, shown

MOST_VALUES = 1000  # of a text column that becomes a categorical attribute
MOST_NUMBER = 1e30  # beyond, squares leave float32
TRUTH = {"true": 1.0, "t": 1.0, "yes": 1.0, "y": 1.0, "false": 0.0, "f": 0.0, "no": 0.0, "n": 0.0}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s?%?", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+\s?%?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?\s?%?")
UNSEEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b\\u2028\\u2029\\u2060\\ufeff]")
INDEX = ("", "index", "id", "idx", "no", "nr", "row", "#", "level_0")
FEW = 20  # different words at most, where nearly every row has another one, that are told apart as values
Cells = Sequence[Any]


class Column(NamedTuple):
    """What a column of a table holds.

    Attributes:
        attribute: None where it was left out.
        values: N, as `Schema.encode` reads them; None = missing.
        notes: what was left out or assumed, in sentences.
    """

    attribute: Attribute | None
    values: list[Any]
    notes: list[str]


def cleaned(raw: Any) -> str:
    """Return what a cell says: one line of composed letters, without the blanks and quotes around it."""
    text = unicodedata.normalize("NFC", "" if raw is None else str(raw))
    return " ".join(UNSEEN.sub(" ", text).split()).strip(" \"'`“”‘’„«»")


def known(raw: Any) -> str | None:
    """Return what a cell says; None where it says that the label is not known."""
    text = cleaned(raw)
    return None if text.lower() in MISSING else text


def read_column(name: str, cells: Cells, train: Sequence[bool], *, classes: bool = False) -> Column:
    """Tell an attribute's kind from its cells.

    Values {0, 1}, {-1, 1}, true/false, yes/no or their first letters make it binary; numbers make it real, standardised
    over the train split; other words make it categorical.

    Args:
        name: of the column.
        cells: N raw values.
        train: which of them belong to the train split.
        classes: numbers, too, are names of classes.

    Raises:
        AttrimorphError: a number is out of range.
    """
    written = ["" if cell is None else str(cell) for cell in cells]
    said = {cell: known(cell) for cell in set(written)}
    texts = [said[cell] for cell in written]
    counts = Counter(text for text in texts if text is not None)
    gone = Counter(cell.strip() for cell in written if cell and said[cell] is None)
    gone.pop("", None)
    notes = [f"cells of the column {name!r} that count as missing: {_counted(gone)}"] if gone else []
    if classes and 2 <= len(counts) <= MOST_VALUES:
        return Column(Attribute(name, "categorical", tuple(sorted(counts))), list(texts), notes)
    if reason := _no_label(name, texts, counts):
        return Column(None, [], [f"the column {name!r} was left out: {reason}"])
    numbers = _numbers(name, counts, notes)
    answers = {text: numbers.get(text, TRUTH.get(text.lower(), math.nan)) for text in counts}
    yes_no = {text: answer for text, answer in answers.items() if answer in (-1, 0, 1)}
    found = set(yes_no.values())
    if (found <= {0, 1} or found <= {-1, 1}) and (
        len(yes_no) == len(counts) or (len(found) > 1 and _few(counts, yes_no))
    ):
        notes += _odd(name, counts, yes_no, "neither yes nor no")
        binary = [None if text not in yes_no else int(yes_no[text] > 0) for text in texts]
        return Column(Attribute(name), binary, notes)
    if len(numbers) == len(counts) or _few(counts, numbers):
        notes += _odd(name, counts, numbers, "no numbers")
        if beyond := next((text for text, number in numbers.items() if not abs(number) <= MOST_NUMBER), None):
            raise AttrimorphError(
                f"numbers in the column {name!r} must lie within {MOST_NUMBER:g}; got {shown(beyond)}; mend or empty "
                "the cell, or remove the column"
            )
        if set(numbers.values()) == {-1.0, 0.0, 1.0}:
            notes.append(
                f"the column {name!r} holds -1, 0 and 1 and was read as numbers; empty the 0s if they mean unknown"
            )
        real = [numbers.get(text) if text is not None else None for text in texts]
        return Column(real_attribute(name, real, train), real, notes)
    if reason := _no_words(counts):
        return Column(None, [], [*notes, f"the column {name!r} was left out: {reason}"])
    if 2 * sum(counts[text] for text in numbers) >= counts.total():
        notes.append(f"the column {name!r} mixes numbers and words and was read as words: {_counted(counts)}")
    folded = Counter(text.casefold() for text in counts)
    if alike := [text for text in sorted(counts) if folded[text.casefold()] > 1]:
        notes.append(f"in the column {name!r} values differ by capitals alone: {', '.join(alike[:4])}")
    return Column(Attribute(name, "categorical", tuple(sorted(counts))), list(texts), notes)


def _no_label(name: str, texts: Sequence[str | None], counts: Mapping[str, int]) -> str:
    """Say why a column holds no labels: nothing, numbers of the rows, unclear numbers; "" where it may hold some."""
    total = sum(counts.values())
    if not counts:
        return "all its values are missing"
    index = name.strip().lower() in INDEX or name.lower().startswith("unnamed:")
    in_order = any([str(place) for place in range(begin, begin + total)] == texts for begin in (0, 1))
    if (index and len(counts) == total) or (in_order and total >= 5):
        return "it numbers the rows"
    if not any(_commas(counts)) and (doubtful := next(filter(THOUSANDS.fullmatch, counts), None)):
        return f"commas as in {doubtful} may be decimal or of thousands; write numbers with a point alone"
    return ""


def _no_words(counts: Mapping[str, int]) -> str:
    """Say why words are no values: there is one, too many, or nearly another in every row; "" where they may be."""
    total = sum(counts.values())
    if len(counts) < 2:
        return f"it has the one value {min(counts)!r}"
    if len(counts) > MOST_VALUES:
        return f"it has {len(counts)} different texts, at most {MOST_VALUES} can be values"
    long = sum(count for text, count in counts.items() if text.count(" ") >= 3) > total / 2
    if 2 * len(counts) > total and (len(counts) > FEW or long):
        return "nearly every row has another text there, as names and captions have"
    return ""


def _numbers(name: str, counts: Mapping[str, int], notes: list[str]) -> dict[str, float]:
    """Return those texts that are numbers, as numbers; decimal commas are told in `notes`."""
    decimal, thousands = _commas(counts)
    # "1.234,5" makes points thousands, too.
    points = any("." in text for text in decimal)
    numbers = {}
    for text in counts:
        plainly = text.replace("\N{MINUS SIGN}", "-").replace(".", "" if points else ".")
        plainly = plainly.replace(",", "." if decimal else "" if thousands else ",")
        if NUMBER.fullmatch(plainly):
            numbers[text] = float(plainly.rstrip("% "))
    if decimal or thousands:
        example = (decimal + thousands)[0]
        notes.append(f"in the column {name!r} commas are read as in {example} = {numbers[example]:g}")
    return numbers


def _commas(counts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return numbers whose commas are surely decimal, and those whose are of thousands; never both."""
    decimal = [text for text in counts if DECIMAL_COMMA.fullmatch(text) and not THOUSANDS.fullmatch(text)]
    thousands = [text for text in counts if THOUSANDS.fullmatch(text) and not DECIMAL_COMMA.fullmatch(text)]
    return ([], []) if decimal and thousands else (decimal, thousands)


def _few(counts: Mapping[str, int], fitting: Iterable[str]) -> bool:
    """Whether so many cells fit a kind that the others are oddities: all but one, or nine in ten."""
    total, fit = sum(counts.values()), sum(counts[text] for text in fitting)
    return total - fit <= max(total // 10, int(fit > 1))


def _odd(name: str, counts: Mapping[str, int], fitting: Iterable[str], what: str) -> list[str]:
    odd = Counter({text: count for text, count in counts.items() if text not in {*fitting}})
    return [f"cells of the column {name!r} that are {what} and count as missing: {_counted(odd)}"] if odd else []


def _counted(cells: Counter[str]) -> str:
    """Return how many cells there are, and the commonest of them."""
    few = ", ".join(shown(text).strip("'\"") for text, _ in cells.most_common(3)) + (", ..." if len(cells) > 3 else "")
    return f"{cells.total()} ({few})"


def real_attribute(name: str, values: Sequence[float | None], train: Sequence[bool]) -> Attribute:
    """Return a real attribute with mean and standard deviation of the train split (of all, when that is empty)."""
    told = [(float(value), inside) for value, inside in zip(values, train, strict=True) if value is not None]
    numbers = np.array([number for number, inside in told if inside] or [number for number, _ in told])
    if not len(numbers):
        return Attribute(name, "real")
    scale = float(numbers.std())
    return Attribute(name, "real", mean=float(numbers.mean()), scale=scale if scale > 0 else 1.0)
