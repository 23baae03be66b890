"""What every reader returns, and the few things all of them do: list images, read text, split."""

import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attrimorph.data import Attribute, Schema
from attrimorph.data.images import Crop
from attrimorph.errors import AttrimorphError
from attrimorph.files import LARGEST_READ, check_plain, reading

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
)
UNREAD_SUFFIXES = frozenset(
    (".heic", ".heif", ".jxl", ".jp2", ".svg", ".psd", ".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw")
)
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl"))
RUN = frozenset(("log.jsonl", "checkpoints", "samples"))  # what lies beside recipe.json
OWN = ("runs and prepared folders of this program", "results of this program")
DEVICES = "pipes and devices"  # what never ends is no picture, whatever it is called
RECEIPT = re.compile(rb'\s*{\s*"format":\s*"attrimorph receipt"')
MOST_RECEIPT = 10_000_000  # bytes
HIDDEN = (".", "__MACOSX")
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
SPLIT_WORDS = {
    "train": "train", "training": "train", "train_set": "train", "training_set": "train", "trainset": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "validation_set": "valid", "val_set": "valid", "valid_set": "valid",
    "test": "test", "testing": "test", "test_set": "test", "testset": "test",
    "testing_set": "test",
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


def list_images(
    folder: Path, suffixes: Container[str] = IMAGE_SUFFIXES, *, own: bool = False, passed: Counter[str] | None = None
) -> dict[str, Path]:
    """Return every image below `folder`, sorted: relative name with forward slashes -> path; hidden ones are left out.

    Linked folders are followed, each once, unless the folder lies in them.

    Args:
        folder: to look through.
        suffixes: of the names that count as images.
        own: whether what this program made counts too: samples of its runs, and results (those of augment always do).
        passed: gets how many files of which suffix, or of which of `OWN` and `DEVICES`, were passed over.

    Raises:
        AttrimorphError: the folder is missing, is a file, cannot be read, or is a run.
    """
    check_folder(folder)

    def told(error: OSError) -> None:
        raise AttrimorphError(f"cannot read the folder {error.filename}: {error.strerror}; check its permissions")

    found, passed = {}, Counter() if passed is None else passed
    results, root = set[str](), Path(os.path.realpath(folder))
    seen = {str(root), *map(str, root.parents)}
    for place, folders, names in os.walk(folder, onerror=told, followlinks=True):
        there = {*names, *folders}
        if not own and (("schema.json" in there and "images.npy" in there) or ("recipe.json" in there and RUN & there)):
            if place == str(folder):
                raise AttrimorphError(f"{folder} must hold images; it is a run, or prepared; name the images' folder")
            passed[OWN[0]] += 1
            folders.clear()
            continue
        if not own:
            results |= _results(place, names)
        linked = {name: os.path.realpath(os.path.join(place, name)) for name in sorted(folders)}
        folders[:] = [name for name, real in linked.items() if not name.startswith(HIDDEN) and real not in seen]
        seen |= {linked[name] for name in folders}
        prefix = (os.path.relpath(place, folder).replace(os.sep, "/") + "/").removeprefix("./")
        for name in names:
            suffix, path = os.path.splitext(name)[1].lower(), os.path.join(place, name)
            if path in results:
                passed[OWN[1]] += 1
            elif suffix in suffixes and not os.path.isfile(path) and os.path.exists(path):
                passed[DEVICES] += 1
            elif not name.startswith(".") and suffix in suffixes:
                found[prefix + name] = Path(place, name)
            elif not name.startswith("."):
                passed[suffix] += 1
    return dict(sorted(found.items()))


def _results(place: str, names: Iterable[str]) -> set[str]:
    """Return which files in or below a folder are results of this program, as the metadata there tell."""
    results: set[str] = set()
    for path in (os.path.join(place, name) for name in names if name.endswith(".json")):
        if os.path.isfile(path):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                with open(path, "rb") as file:
                    begun = file.read(100)
                    if RECEIPT.match(begun) is None:
                        continue
                    told = json.loads(begun + file.read(MOST_RECEIPT))
                if told["verb"] != "augment":
                    results |= {os.path.join(place, str(output["file"])) for output in told["outputs"]}
    return results


def unread(folder: Path, raw: RawData) -> list[str]:
    """Say what lies in a folder that looks like a picture or like labels, and no reader looked at."""
    passed = Counter[str]()
    list_images(folder, passed=passed)
    kinds = {suffix: count for suffix, count in sorted(passed.items()) if suffix in UNREAD_SUFFIXES}
    notes = []
    if kinds:
        told = ", ".join(f"{count} {suffix}" for suffix, count in kinds.items())
        count = sum(kinds.values())
        notes.append(f"{count} pictures of types that are not read were left out: {told}; save them as JPEG or PNG")
    notes += [f"{passed[what]} {what} were left out" for what in (*OWN, DEVICES) if passed[what]]
    unlabelled = raw.name in ("classes", "images")
    if unlabelled and (tables := list(list_images(folder, TABLE_SUFFIXES).values())):
        named = preview([path.name for path in tables])
        notes.append(f"no labels were looked for in {named}; --table {tables[0]} reads them from there")
    told_already = {*kinds, *OWN, DEVICES, *TABLE_SUFFIXES}
    others = [
        f"{count} {suffix or 'without ending'}"
        for suffix, count in sorted(passed.items())
        if suffix not in told_already
    ]
    if others and (unlabelled or raw.name == "table"):
        notes.append(f"files that are no images were passed over: {preview(others, 6)}")
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
    check_plain(path, LARGEST_READ)
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


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file; only line feeds and carriage returns end one."""
    return re.split(r"\r\n|\r|\n", read_text(path).rstrip("\r\n"))


def read_rows(path: Path, columns: int) -> list[list[str]]:
    """Split a text file into fields at white space, or a .csv file without its header; empty lines are left out.

    Args:
        columns: how many fields every line must have.
    """
    split = (line.split() for line in read_lines(path) if line.strip())
    rows = read_csv(path)[1] if path.suffix == ".csv" else list(split)
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

    Empty rows, empty cells behind a row's last, and columns without name and cells (of spreadsheets) are left out.

    Args:
        mark: a word of the header; lines before it are passed over, and its cells "#" do not count.
    """
    lines = list(io.StringIO(read_text(path), newline=""))
    start = next((number for number, line in enumerate(lines) if mark in line.lower()), None)
    if start is None and mark:
        raise AttrimorphError(f"{path} must have a header with the column {mark}; it has none; get it again")
    # Excel writes the delimiter into a line of its own.
    told = re.fullmatch(r'"?sep=(.)"?\s*', lines[0]) if lines and not mark else None
    lines = lines[1 if told else start :]
    delimiter = told[1] if told else max((",", ";", "\t"), key=lines[0].count) if lines else ","
    try:
        rows = _csv_rows(lines, delimiter)
    except csv.Error as error:
        raise AttrimorphError(f"{path} must be a csv file; reading it failed: {error}; mend it") from error
    if not rows:
        raise AttrimorphError(f"{path} must have a header and rows; it is empty; fill it")
    header = [name.strip() for name in rows.pop(0)[1]]
    header = [name for name in header if not (mark and name == "#")]
    if not rows:
        raise AttrimorphError(f"{path} must have rows below its header; it has none; add one row for each image")
    for number, row in rows:
        while len(row) > len(header) and not row[-1].strip():
            row.pop()
        if len(row) != len(header):
            raise AttrimorphError(
                f"every row of {path} must have {len(header)} columns like its header; row {number} has {len(row)}; "
                "mend it (text with commas needs quotes)"
            )
    kept = [place for place, name in enumerate(header) if name or any(row[place].strip() for _, row in rows)]
    return [header[place] for place in kept], [[row[place] for place in kept] for _, row in rows]


def _csv_rows(lines: list[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with its number; an open quote at the end is an error."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t")
    rows = [(number, row) for number, row in enumerate(reader, 1) if any(cell.strip() for cell in row)]
    if rows and any("\n" in cell for cell in rows[-1][1]):
        try:
            list(csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True))
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise csv.Error(f"a quote of row {rows[-1][0]} is never closed") from error
    return rows


def composed(name: str) -> str:
    """Return a name whose letters are one character each with their accents: systems spell them differently."""
    return unicodedata.normalize("NFC", name)


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


def exclusive_hair(attributes: Iterable[Attribute]) -> tuple[tuple[str, ...], ...]:
    """Return CelebA's hair colours, as far as they are among the attributes, as the exclusive group that they are."""
    group = tuple(each.name for each in attributes if each.name in HAIR and each.kind == "binary")
    return (group,) if len(group) > 1 else ()


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
