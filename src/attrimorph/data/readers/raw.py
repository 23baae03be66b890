"""What every reader returns, and the few things all of them do: list images, read text, split, infer kinds."""

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attrimorph.data import MISSING, Attribute, Schema
from attrimorph.data.images import Crop
from attrimorph.errors import AttrimorphError
from attrimorph.files import reading

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
)
UNREAD_SUFFIXES = frozenset(
    (".heic", ".heif", ".jxl", ".jp2", ".svg", ".psd", ".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw")
)
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl"))
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
MOST_VALUES = 1000  # of a text column that becomes a categorical attribute
SPLIT_WORDS = {
    "train": "train", "training": "train", "train_set": "train", "training_set": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "validation_set": "valid",
    "test": "test", "testing": "test", "test_set": "test",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RawData:
    """A folder of images as a reader found it. All lists are N long and in the same order.

    Attributes:
        name: of the format, e.g. "celeba".
        folder: where it lies.
        files: existing image files.
        table: attribute name -> N raw values (None or NaN = missing).
        schema: of these attributes; real ones are standardised over the train split.
        split: "train", "valid" or "test" for each image.
        identity: a whole number for each person (or class); -1 = unknown.
        masks: a mask file or None for each image; None when the format has no masks.
        mask_background: colour of the background in the mask files; None = masks are grey, white is foreground.
        crop: the usual crop of this data set, or None for the centre square.
        rows_without_image, images_without_row: names that have only the one or the other.
        notes: what was left out or assumed, in sentences.
        why: it was read so, in a few words.
    """

    name: str
    folder: Path
    files: list[Path]
    table: dict[str, Sequence[Any]]
    schema: Schema
    split: list[str]
    identity: list[int]
    masks: list[Path | None] | None = None
    mask_background: tuple[int, int, int] | None = None
    crop: Crop | None = None
    rows_without_image: list[str] = field(default_factory=list)
    images_without_row: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    why: str = ""

    def __len__(self) -> int:
        return len(self.files)

    def encode(self) -> NDArray[np.float32]:
        """Return y of every image, float32 [N, W]."""
        return self.schema.encode(self.table, len(self))

    def describe(self) -> list[str]:
        """Return how the folder was read and what was left out or assumed, in sentences."""
        return [f"{self.folder}: {len(self)} images, read as {self.name}: {self.why}", *self.left_out()]

    def left_out(self) -> list[str]:
        """Return what was left out or assumed, in sentences."""
        rows, images = self.rows_without_image, self.images_without_row
        counted = (("label rows have no image", rows), ("images have no label", images))
        told = (f"{len(names)} {what} and were left out: {preview(names)}" for what, names in counted if names)
        return [*self.notes, *told]

    def relative(self) -> list[str]:
        """Return file names relative to the folder, with forward slashes."""
        root = str(self.folder) + os.sep
        return [str(file).removeprefix(root).replace(os.sep, "/") for file in self.files]


class FacePair(NamedTuple):
    """Two images and whether they show one person."""

    first: Path
    second: Path
    same: bool


def list_images(folder: Path, suffixes: Container[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Return every image below `folder`, sorted: relative name with forward slashes -> path; hidden ones are left out.

    Args:
        folder: to look through.
        suffixes: of the names that count as images.

    Raises:
        AttrimorphError: the folder is missing, is a file, or cannot be read.
    """
    check_folder(folder)

    def told(error: OSError) -> None:
        raise AttrimorphError(f"cannot read the folder {error.filename}: {error.strerror}; check its permissions")

    found = {}
    for place, folders, names in os.walk(folder, onerror=told):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        prefix = (os.path.relpath(place, folder).replace(os.sep, "/") + "/").removeprefix("./")
        for name in names:
            if os.path.splitext(name)[1].lower() in suffixes and not name.startswith("."):
                found[prefix + name] = Path(place, name)
    return dict(sorted(found.items()))


def unread(folder: Path, raw: RawData) -> list[str]:
    """Say what lies in a folder that looks like a picture or like labels, and no reader looked at."""
    kinds = Counter(path.suffix.lower() for path in list_images(folder, UNREAD_SUFFIXES).values())
    notes = []
    if kinds:
        told = ", ".join(f"{count} {suffix}" for suffix, count in sorted(kinds.items()))
        count = kinds.total()
        notes.append(f"{count} pictures of types that are not read were left out: {told}; save them as JPEG or PNG")
    if raw.name in ("classes", "images") and (tables := list(list_images(folder, TABLE_SUFFIXES).values())):
        named = preview([path.name for path in tables])
        notes.append(f"no labels were looked for in {named}; --table {tables[0]} reads them from there")
    return notes


def check_folder(folder: Path) -> None:
    """Refuse what is no folder."""
    with reading(folder):
        exists, is_folder = folder.exists(), folder.is_dir()
    if not exists:
        raise AttrimorphError(f"there is no folder {folder}; check the path")
    if not is_folder:
        raise AttrimorphError(f"{folder} must be a folder of images; it is a file; give the folder it lies in")


def read_bytes(path: Path) -> bytes:
    """Read a label file."""
    with reading(path):
        return path.read_bytes()


def read_text(path: Path) -> str:
    """Read a UTF-8 text file (a byte order mark is dropped)."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise AttrimorphError(f"{path} must be UTF-8 text; line {line} is not; save it as UTF-8") from error


def read_rows(path: Path, columns: int) -> list[list[str]]:
    """Split a text file into fields at white space, or a .csv file without its header; empty lines are left out.

    Args:
        columns: how many fields every line must have.
    """
    if path.suffix == ".csv":
        rows = read_csv(path)[1]
    else:
        rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if not rows:
        raise AttrimorphError(f"{path} must have at least one line; it is empty; get the file again")
    for number, row in enumerate(rows, 1):
        if len(row) != columns:
            raise AttrimorphError(
                f"every line of {path} must have {columns} fields; line {number} has {len(row)}; mend it"
            )
    return rows


def read_csv(path: Path, mark: str = "") -> tuple[list[str], list[list[str]]]:
    """Read a csv file (comma, semicolon or tab) with a header; returns header and rows, all of one length.

    Args:
        mark: a word of the header; lines before it are passed over, and its cells "#" do not count.
    """
    lines = list(io.StringIO(read_text(path), newline=""))
    start = next((number for number, line in enumerate(lines) if mark in line.lower()), None)
    if start is None and mark:
        raise AttrimorphError(f"{path} must have a header with the column {mark}; it has none; get it again")
    lines = lines[start:]
    delimiter = max((",", ";", "\t"), key=lines[0].count) if lines else ","
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error as error:
        raise AttrimorphError(f"{path} must be a csv file; reading it failed: {error}; mend it") from error
    if not rows:
        raise AttrimorphError(f"{path} must have a header and rows; it is empty; fill it")
    header = [name.strip() for name in rows.pop(0)]
    header = [name for name in header if not (mark and name == "#")]
    if not rows:
        raise AttrimorphError(f"{path} must have rows below its header; it has none; add one row for each image")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise AttrimorphError(
                f"every row of {path} must have {len(header)} columns like its header; row {number} has {len(row)}; "
                "mend it (text with commas needs quotes)"
            )
    return header, rows


def number_identities(names: Sequence[str | None]) -> list[int]:
    """Number people (or classes) in the order of their sorted names; None becomes -1."""
    numbers = {name: number for number, name in enumerate(sorted({name for name in names if name is not None}))}
    return [-1 if name is None else numbers[name] for name in names]


def assign_split(
    count: int, *, identity: Sequence[int] | None = None, within: Sequence[Any] | None = None
) -> list[str]:
    """Divide images 8 : 1 : 1 where the data set does not say how; the same every time.

    Args:
        identity: everything of one identity goes to one split (-1 = each image by itself).
        within: divide inside each of these groups, so that every class is in every split (overrules identity).
    """
    order = np.random.default_rng(0).permutation(count)
    split = ["train"] * count
    if within is not None or identity is None:
        groups: dict[Any, list[int]] = {}
        for row in order.tolist():
            groups.setdefault(None if within is None else within[row], []).append(row)
        for rows in groups.values():
            share = round(len(rows) / 10) if len(rows) >= 5 else 0
            for place, row in enumerate(rows[: 2 * share]):
                split[row] = "valid" if place < share else "test"
        return split
    people: dict[Any, list[int]] = {}
    for row in order.tolist():
        people.setdefault(identity[row] if identity[row] >= 0 else (row,), []).append(row)
    wanted, taken = count / 10, {"valid": 0, "test": 0}
    for rows in people.values():
        for name in ("valid", "test"):
            if taken[name] + len(rows) <= wanted:
                taken[name] += len(rows)
                for row in rows:
                    split[row] = name
                break
    return split


def carve_valid(split: list[str], within: Sequence[Any]) -> list[str]:
    """Take a tenth of train, class by class, as valid where the official split has none; test stays as it is."""
    if "valid" not in split:
        rows = [row for row, name in enumerate(split) if name == "train"]
        inner = assign_split(len(rows), within=[within[row] for row in rows])
        chosen = {row for row, name in zip(rows, inner, strict=True) if name == "valid"}
        split = ["valid" if row in chosen else name for row, name in enumerate(split)]
    return split


def is_missing(raw: Any) -> bool:
    """Whether a raw value says that the label is not known."""
    return raw is None or str(raw).strip().lower() in MISSING


def exclusive_hair(attributes: Iterable[Attribute]) -> tuple[tuple[str, ...], ...]:
    """Return CelebA's hair colours, as far as they are among the attributes, as the exclusive group that they are."""
    group = tuple(each.name for each in attributes if each.name in HAIR and each.kind == "binary")
    return (group,) if len(group) > 1 else ()


def infer_attribute(name: str, values: Sequence[Any], train: Sequence[bool]) -> Attribute | str:
    """Tell an attribute's kind from its raw values, or say in a sentence why it is left out.

    Values {0, 1}, {-1, 1}, true/false or yes/no make it binary; numbers make it real, standardised over the train
    split; other text makes it categorical.
    """
    present = {str(value).strip() for value in values if not is_missing(value)}
    if not present:
        return f"the column {name!r} was left out: all its values are missing"
    words = {word.lower().removesuffix(".0") for word in present}
    if any(words <= pair for pair in ({"0", "1"}, {"-1", "1"}, {"true", "false"}, {"yes", "no"})):
        return Attribute(name)
    if all(_is_number(word) for word in present):
        return real_attribute(name, values, train)
    if len(present) < 2:
        return f"the column {name!r} was left out: it has the one value {min(present)!r}"
    if len(present) > MOST_VALUES:
        told = f"it has {len(present)} different texts, at most {MOST_VALUES} can be values"
        return f"the column {name!r} was left out: {told}"
    return Attribute(name, "categorical", tuple(sorted(present)))


def real_attribute(name: str, values: Sequence[Any], train: Sequence[bool]) -> Attribute:
    """Return a real attribute with mean and standard deviation of the train split (of all, when that is empty)."""
    known = [(float(value), inside) for value, inside in zip(values, train, strict=True) if not is_missing(value)]
    numbers = np.array([number for number, inside in known if inside] or [number for number, _ in known])
    if not len(numbers):
        return Attribute(name, "real")
    scale = float(numbers.std())
    return Attribute(name, "real", mean=float(numbers.mean()), scale=scale if scale > 0 else 1.0)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def need_images(files: Sequence[Path], folder: Path, labels: Path | None = None) -> None:
    """Refuse a data set in which no image was found."""
    if not files:
        told = f" that {labels.name} names" if labels else ""
        raise AttrimorphError(f"{folder} must hold images{told}; none was found; check the path and the file names")


def preview(names: Iterable[str], most: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
