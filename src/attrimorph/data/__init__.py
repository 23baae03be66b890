"""Attributes and their schema: which attributes a data set has, and how they become a vector y.

Names are looked up without torch and numpy, which take seconds to import.
"""

import csv
import io
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrimorph.errors import AttrimorphError, nearest, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Kind = Literal["binary", "categorical", "real"]
KINDS: tuple[Kind, ...] = ("binary", "categorical", "real")
FORMAT, VERSION = "attrimorph-prepared", 1  # of prepared folders
SPLITS = ("train", "valid", "test")
FIXED_COLUMNS = ("file", "split", "identity")
MISSING = ("", "nan", "none", "null", "?", "na", "n/a", "n.a.", "<na>", "#n/a", "#na", "-", "--", "–", "—", "unknown")
MOST_VALUES_LISTED = 8  # in one sentence
Changes = Mapping[str, float | str]
"""Attribute (or "name=value") -> strength; a categorical attribute -> one of its values, which is set."""
STRONGEST = 100  # beyond, a network answers with nothing that is a picture
LONGEST_NAME = 250  # that of a file, about
ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Letters that move a terminal's cursor, end its lines or turn its direction."""
TAKEN = frozenset((
    "__proto__", "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString",
    "valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__",
))  # fmt: skip
MOST_LISTED = 40  # names in one sentence
MOST_DIFFERING = 12  # of each of two lists in one sentence


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
        told = f"the attribute {shown(self.name)} must"
        for word in (self.name, *self.values):
            check_name(word)
        if self.kind not in KINDS:
            raise AttrimorphError(f"{told} be binary, categorical or real; got {self.kind!r}; mend the schema")
        if not math.isfinite(self.mean) or not 0 < self.scale < math.inf:
            scale = f"got {self.mean} and {self.scale}; mend the schema"
            raise AttrimorphError(f"{told} have a finite mean and a scale above 0; {scale}")
        if len(set(self.values)) < len(self.values):
            raise AttrimorphError(f"{told} have values that differ; one stands twice; mend the schema")
        if self.kind == "categorical" and len(self.values) < 2:
            raise AttrimorphError(f"{told} have at least two values; got {list(self.values)}; leave it out")

    @property
    def width(self) -> int:
        """Columns of y that the attribute takes."""
        return len(self.values) if self.kind == "categorical" else 1

    @property
    def key(self) -> tuple[str, Kind, frozenset[str]]:
        """What tells the attribute from others: name, kind, and values in whatever order."""
        return self.name, self.kind, frozenset(self.values)

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


def check_name(name: str) -> None:
    """Refuse what cannot be the name of an attribute, of a value, or of an axis.

    Raises:
        AttrimorphError: it is empty or long, would move a terminal's cursor, or is what every object of a page has.
    """
    if not name or len(name) > LONGEST_NAME or ODD.search(name) or name in TAKEN:
        raise AttrimorphError(
            f"a name must be 1 to {LONGEST_NAME} plain letters, and no word of JavaScript's own; got {shown(name)}; "
            "rename it"
        )


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


def whole_number(text: str, what: str, path: Path) -> int:
    """Read a whole number that fits 64 bits out of a label file."""
    try:
        number = int(text)
    except ValueError:
        raise AttrimorphError(f"{what} in {path} must be a whole number; got {text[:40]!r}; mend it") from None
    if not -(2**63) <= number < 2**63:
        raise AttrimorphError(f"{what} in {path} must be a whole number of at most 18 digits; got {text[:40]}; mend it")
    return number


@dataclass(frozen=True)
class Schema:
    """All attributes of a data set, in the order of the columns of y.

    Attributes:
        attributes: none for images without labels.
        exclusive: groups of binary attributes of which at most one holds (the hair colours); setting one in an
            edit takes the others of its group away by the same amount.
    """

    attributes: tuple[Attribute, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        # Column names too: "hair=brown" may be an attribute, or a value of hair.
        counts = (Counter(self.names), Counter(self.column_names))
        if twice := sorted(name for each in counts for name, count in each.items() if count > 1):
            raise AttrimorphError(f"attribute names must differ; {twice[0]!r} stands twice; rename one column")
        for name in (name for group in self.exclusive for name in group):
            if self.attribute(name).kind != "binary":
                raise AttrimorphError(f"exclusive groups hold binary attributes only; {name!r} is not binary")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Attribute names in order."""
        return tuple(attribute.name for attribute in self.attributes)

    @cached_property
    def width(self) -> int:
        """Columns of y."""
        return sum(attribute.width for attribute in self.attributes)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def _columns(self) -> dict[str, slice]:
        columns, start = {}, 0
        for attribute in self.attributes:
            columns[attribute.name] = slice(start, start + attribute.width)
            start += attribute.width
        return columns

    def attribute(self, name: str) -> Attribute:
        """Return the attribute of that name.

        Raises:
            AttrimorphError: there is none; the sentence names the nearest.
        """
        if name not in self._columns:
            near = nearest(name, self.names)
            raise AttrimorphError(
                f"there is no attribute {name!r}; {f'did you mean {near!r}? ' if near else ''}{self.listed()}"
            )
        return self.attributes[self._places[name]]

    def listed(self) -> str:
        """Return the tail of an error: what attributes there are, with the kinds of those that are not binary."""
        if len(self.names) > MOST_LISTED:
            return f"there are {len(self.names)}; `attrimorph attributes MODEL` lists those of a model"
        return f"there are: {', '.join(attribute.describe() for attribute in self.attributes) or 'none'}"

    def find(self, key: str) -> tuple[Attribute, str]:
        """Return the attribute that the key of an edit names, and the value of a categorical one ("" of others).

        Args:
            key: a name, of a categorical attribute "name=value"; names and values may hold "=" themselves.

        Raises:
            AttrimorphError: there is no such attribute or value, or a categorical attribute stands without a value.
        """
        if found := self._named.get(unicodedata.normalize("NFC", key)):
            return found
        for attribute in self.attributes:
            if attribute.values and key.startswith(f"{attribute.name}="):
                attribute.place(key.removeprefix(f"{attribute.name}="))
        attribute = self.attribute(key)
        if attribute.values:
            raise AttrimorphError(
                f"{key} takes one of its values, {attribute.describe_values()}; write {key}={attribute.values[0]}"
            )
        return attribute, ""

    @cached_property
    def _named(self) -> dict[str, tuple[Attribute, str]]:
        """Name of a column, its letters composed -> attribute and value."""
        pairs = [(each, value) for each in self.attributes for value in (each.values or ("",))]
        names = (unicodedata.normalize("NFC", name) for name in self.column_names)
        return dict(zip(names, pairs, strict=True))

    def changes(self, changes: Changes) -> dict[str, float]:
        """Return changes with every key a name or "name=value" and every strength a number.

        Raises:
            AttrimorphError: no such attribute or value, or a strength that is none or out of range.
        """
        return strengths_in_range(dict(self._numbered(changes, "1 sets it, -1 takes it away")))

    def facts(self, known: Changes) -> dict[str, float]:
        """Return what is known of an image: name or "name=value" -> 0 or 1, name of a real attribute -> its value.

        Raises:
            AttrimorphError: no such attribute or value, or a number that is none of these.
        """
        result = dict(self._numbered(known, "write 1 or 0"))
        for key, value in result.items():
            if self.find(key)[0].kind == "real":
                if not math.isfinite(value):
                    raise AttrimorphError(f"a known value must be a finite number; {key} got {value:g}; leave it out")
            elif value not in (0, 1):
                raise AttrimorphError(
                    f"a known attribute must be 0 or 1; {key} got {value:g}; strengths belong to --set"
                )
        return result

    def with_facts(self, y: "Tensor", known: Changes) -> "Tensor":
        """Return y [B, width] with what is known of all its images put over it; errors as of `facts`."""
        for key, value in self.facts(known).items():
            attribute, _ = self.find(key)
            if attribute.kind == "real":
                y = y.clone()
                y[:, self.columns(attribute.name)] = (value - attribute.mean) / attribute.scale
            else:
                y = self.edit(y, {key: 1.0 if value else -1.0})
        return y

    def _numbered(self, wished: Changes, remedy: str) -> Iterator[tuple[str, float]]:
        for key, number in wished.items():
            if isinstance(number, str):
                if not self.attribute(key).values:
                    raise AttrimorphError(f"{self.attribute(key).describe()} takes a number; got {number!r}; {remedy}")
                key, number = f"{key}={number}", 1.0
            attribute, value = self.find(key)
            yield f"{attribute.name}={value}" if value else attribute.name, float(number)

    def columns(self, name: str) -> slice:
        """Return the columns of y that belong to the attribute."""
        self.attribute(name)
        return self._columns[name]

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """One name for each column of y: "Smiling", or "person=Ada" for a categorical value."""
        return tuple(
            f"{attribute.name}={value}" if value else attribute.name
            for attribute in self.attributes
            for value in (attribute.values or ("",))
        )

    @cached_property
    def blocks(self) -> tuple[tuple[str, int, int], ...]:
        """(kind, start, stop) of the columns of y; neighbours that are binary, or real, share a block."""
        blocks: list[tuple[str, int, int]] = []
        for attribute in self.attributes:
            start, stop = self._columns[attribute.name].start, self._columns[attribute.name].stop
            if blocks and blocks[-1][0] == attribute.kind != "categorical":
                start = blocks.pop()[1]
            blocks.append((attribute.kind, start, stop))
        return tuple(blocks)

    @cached_property
    def mutually_exclusive(self) -> "Tensor":
        """bool [W, W]: where setting column i takes column j away (exclusive groups, values of one attribute)."""
        import torch

        matrix = torch.zeros(self.width, self.width, dtype=torch.bool)
        groups = [*self.exclusive, *((a.name,) for a in self.attributes if a.kind == "categorical")]
        for group in groups:
            columns = torch.cat([torch.arange(self.width)[self._columns[name]] for name in group])
            matrix[columns[:, None], columns] = True
        return matrix.fill_diagonal_(False)

    def excluded_by(self, column: str) -> tuple[str, ...]:
        """Return the names of the columns that setting this one takes away; none of what is no column."""
        if column not in self.column_names:
            return ()
        attribute, value = self.find(column)
        others = {f"{attribute.name}={other}" for other in attribute.values if other != value}
        others |= {name for group in self.exclusive if column in group for name in group if name != column}
        return tuple(name for name in self.column_names if name in others)

    @cached_property
    def fill_value(self) -> "Tensor":
        """float32 [W]: what a network is given for a missing value: 1/2, one in the number of values, or the mean."""
        import torch

        known = {"binary": 0.5, "real": 0.0}
        return torch.tensor([known.get(a.kind, 1 / a.width) for a in self.attributes for _ in range(a.width)])

    def check_same(self, other: "Schema", own: str, others: str, *, ordered: bool = False) -> None:
        """See that another schema has the same attributes by name, kind and values, in whatever order.

        Args:
            other: whose attributes are looked at.
            own, others: how an error calls the two.
            ordered: whether the order counts too, of attributes and of values, as columns are taken as they stand.

        Raises:
            AttrimorphError: it has others; both lists are told.
        """
        mine, theirs = (
            {(place, each.name, each.kind, each.values) if ordered else each.key: each for place, each in listed}
            for listed in (enumerate(self.attributes), enumerate(other.attributes))
        )
        if mine.keys() != theirs.keys():
            # Of long lists those that make the difference come first.
            here, there = (
                few(each[key] for key in sorted(each, key=lambda key: key in both))
                for each, both in ((mine, theirs), (theirs, mine))
            )
            raise AttrimorphError(
                f"{others} must have the attributes of {own}, by name, kind{',' if ordered else ' and'} values"
                f"{' and order' if ordered else ''}; {own} has {here}; {others} has {there}"
            )

    def columns_of(self, y: "Tensor", other: "Schema") -> "Tensor":
        """Return y [N, other.width] of another schema with the same attributes (`check_same`) in the columns of this.

        Real ones are standardised as they are here.
        """
        import torch

        parts = [y[:, :0]]
        for attribute in self.attributes:
            theirs, part = other.attribute(attribute.name), y[:, other.columns(attribute.name)]
            if attribute.kind == "categorical":
                part = part[:, [theirs.place(value) for value in attribute.values]]
            elif (attribute.mean, attribute.scale) != (theirs.mean, theirs.scale):
                part = (part * theirs.scale + theirs.mean - attribute.mean) / attribute.scale
            parts.append(part)
        return torch.cat(parts, 1)

    def encode(self, table: Mapping[str, Sequence[Any]], count: int | None = None) -> "NDArray[np.float32]":
        """Turn columns of raw values into y.

        Binary values may be 0/1, -1/1, true/false, yes/no. Missing ones (`MISSING`, None) become NaN.

        Args:
            table: attribute name -> N raw values.
            count: N, which an empty table cannot tell.

        Returns:
            float32 [N, width].
        """
        import numpy as np

        count = len(next(iter(table.values()))) if count is None else count
        y = np.full((count, self.width), np.nan, dtype=np.float32)
        for attribute in self.attributes:
            start = self._columns[attribute.name].start
            column = list(table[attribute.name])
            texts = [str(raw).strip() for raw in column]
            # Few different values in many rows: each is read once.
            codes = {
                text: attribute.code(raw)
                for text, raw in dict(zip(reversed(texts), reversed(column), strict=True)).items()
                if text.lower() not in MISSING or text in attribute.values
            }
            numbers = np.array([codes.get(text, np.nan) for text in texts], dtype=np.float64)
            if attribute.kind == "categorical":
                known = np.flatnonzero(~np.isnan(numbers))
                y[known, start : start + attribute.width] = 0
                y[known, start + numbers[known].astype(np.int64)] = 1
            else:
                y[:, start] = numbers
        return y

    def describe(self, y: "Tensor") -> dict[str, float | str | None]:
        """Turn one row of y, [width], back into raw values: name -> 0..1, value name, raw number or None."""
        result: dict[str, float | str | None] = {}
        for attribute in self.attributes:
            part = y[self._columns[attribute.name]]
            if bool(part.isnan().any()):
                result[attribute.name] = None
            elif attribute.kind == "categorical":
                result[attribute.name] = attribute.values[int(part.argmax())]
            elif attribute.kind == "real":
                result[attribute.name] = float(part[0]) * attribute.scale + attribute.mean
            else:
                result[attribute.name] = float(part[0])
        return result

    def edit(self, y: "Tensor", changes: Changes) -> "Tensor":
        """Move y by edit strengths.

        Strength s in 0..1 moves a binary attribute from what it is towards 1, -1..0 towards 0: 0 = unchanged,
        1 = set, -1 = taken away; beyond 1 it goes on. A categorical value is named "name=value", or given as
        the strength, which sets it; taken away, it gives way to the likeliest of the other values, or to those that
        are equally likely in equal parts. A real attribute moves by s standard deviations. Raising a member of an
        exclusive group lowers the others by the same share. Up to strength 1 what was a distribution stays one.
        Applied to y as given, in the order of `changes`.

        Args:
            y: float32 [B, width], no NaN in the columns that change.
            changes: attribute name (or "name=value") -> strength; see `changes`.

        Returns:
            A new tensor [B, width].
        """
        import torch

        y = y.clone()
        for key, strength in self.changes(changes).items():
            attribute, value = self.find(key)
            name, columns = attribute.name, self.columns(attribute.name)
            if attribute.kind == "real":
                y[:, columns] += strength
            elif attribute.kind == "categorical":
                part, place = y[:, columns], attribute.place(value)
                goal = torch.zeros_like(part)
                goal[:, place] = 1
                if strength < 0:
                    others = part.masked_fill(goal > 0, -math.inf)
                    goal = (others == others.amax(1, keepdim=True)).to(part.dtype)
                    goal /= goal.sum(1, keepdim=True)
                y[:, columns] += abs(strength) * (goal - part)
            else:
                goal_value = 1.0 if strength >= 0 else 0.0
                y[:, columns] += abs(strength) * (goal_value - y[:, columns])
                if strength > 0:
                    for other in self.excluded_by(name):
                        y[:, self.columns(other)] *= max(0.0, 1 - strength)
        return y

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "attributes": [asdict(attribute) for attribute in self.attributes],
            "exclusive": [list(group) for group in self.exclusive],
        }

    @staticmethod
    def from_json(value: Any) -> "Schema":
        """Read what `to_json` wrote.

        Raises:
            AttrimorphError: the value is no schema.
        """
        try:
            attributes = (
                Attribute(
                    _text(item["name"]),
                    item["kind"],
                    tuple(map(_text, item["values"])),
                    float(item["mean"]),
                    float(item["scale"]),
                )
                for item in value["attributes"]
            )
            return Schema(tuple(attributes), tuple(tuple(map(str, group)) for group in value["exclusive"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AttrimorphError(
                f"this is no attribute schema ({error!r} is missing or wrong); prepare the data again"
            ) from error


def _text(value: Any) -> str:
    """Return a text as it is."""
    if not isinstance(value, str):
        raise TypeError(shown(value))
    return value


def few(attributes: Iterable[Attribute]) -> str:
    """Return attributes in words, the first of many."""
    named = [attribute.describe() for attribute in attributes]
    more = f" and {len(named) - MOST_DIFFERING} more" if len(named) > MOST_DIFFERING else ""
    return ", ".join(named[:MOST_DIFFERING]) + more or "none"


def strengths_in_range(changes: dict[str, float]) -> dict[str, float]:
    """Return strengths by key as they are.

    Raises:
        AttrimorphError: one is out of range.
    """
    for key, strength in changes.items():
        if not abs(strength) <= STRONGEST:
            raise AttrimorphError(
                f"an edit strength must lie in -{STRONGEST}..{STRONGEST}; {key} got {strength:g}; try 1"
            )
    return changes


def attributes_csv(schema: Schema, columns: Sequence[Sequence[Any]]) -> bytes:
    """Return the content of attributes.csv, of file, split, identity and raw values; None becomes an empty cell."""
    return csv_text([[*FIXED_COLUMNS, *schema.names], *zip(*columns, strict=True)]).encode("utf-8", "surrogateescape")


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as CSV; what holds a carriage return is quoted, which Python's own writer leaves open."""
    text = io.StringIO()
    plain, quoted = (csv.writer(text, lineterminator="\n", quoting=way) for way in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        cells = list(row)
        (quoted if any("\r" in cell for cell in cells if isinstance(cell, str)) else plain).writerow(cells)
    return text.getvalue()


def raw_table(schema: Schema, attributes: "Tensor") -> dict[str, list[Any]]:
    """Turn y, [N, W], back into raw columns: the inverse of `Schema.encode`, None for NaN."""
    table: dict[str, list[Any]] = {}
    for attribute in schema.attributes:
        part = attributes[:, schema.columns(attribute.name)].double()
        missing = part.isnan().any(1).tolist()
        if attribute.kind == "categorical":
            values: list[Any] = [attribute.values[i] for i in part.nan_to_num().argmax(1).tolist()]
        elif attribute.kind == "binary":
            values = [int(value) for value in part[:, 0].nan_to_num().tolist()]
        else:
            values = (part[:, 0].nan_to_num() * attribute.scale + attribute.mean).tolist()
        table[attribute.name] = [None if gone else value for gone, value in zip(missing, values, strict=True)]
    return table
