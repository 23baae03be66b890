"""Readers: from a folder as its publisher lays it out, a `Source`, to one plain description, `RawData`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attrimorph.data.images import Crop
from attrimorph.data.readers import archives, folders, people, species, tables
from attrimorph.data.readers.raw import RawData, check_folder, list_images, need_images, unread
from attrimorph.errors import AttrimorphError, suggestion

__all__ = ["FORMATS", "Crop", "RawData", "Source", "detect", "read", "recognise"]

FORMATS: dict[str, Callable[[Path], RawData]] = {
    "celeba": people.read_celeba,
    "lfw": people.read_lfw,
    "lfw-people": people.read_people,
    "lfw-attributes": people.read_attributes,
    "utkface": people.read_utkface,
    "cub": species.read_cub,
    "flowers": species.read_flowers,
    "table": tables.read_table,
    "shards": archives.read_shards,
    "parquet": archives.read_parquet,
    "zip": archives.read_zip,
    "unpaired": folders.read_unpaired,
    "classes": folders.read_classes,
    "images": folders.read_images,
}

# From the most to the least particular: the first that says why it holds is taken.
_SIGNS: dict[str, Callable[[Path], str]] = {
    "celeba": people.sign_of_celeba,
    "cub": species.sign_of_cub,
    "flowers": species.sign_of_flowers,
    "table": tables.sign_of_table,
    "shards": archives.sign_of_shards,
    "parquet": archives.sign_of_parquet,
    "zip": archives.sign_of_zip,
    "unpaired": folders.sign_of_unpaired,
    "lfw": people.sign_of_lfw,
    "utkface": people.sign_of_utkface,
    "classes": folders.sign_of_classes,
}


def recognise(folder: str | Path) -> tuple[str, str]:
    """Return the name of the format that a folder is in, and why.

    Images that fit no layout with labels are "images", without labels.

    Raises:
        AttrimorphError: the folder is missing, is a file, or holds no images.
    """
    folder = Path(folder)
    check_folder(folder)
    for name, sign in _SIGNS.items():
        if why := sign(folder):
            return name, why
    need_images(list(list_images(folder).values()), folder)
    if why := tables.sign_of_only_table(folder):
        return "table", why
    return "images", "there is no table of labels, no known names and no two class folders: they have no labels"


def detect(folder: str | Path) -> str:
    """Return the name of the format that a folder is in; errors as of `recognise`."""
    return recognise(folder)[0]


def read(folder: str | Path, format: str = "auto", table: str | Path | None = None) -> RawData:
    """Read a folder of images.

    Args:
        format: one of `FORMATS`, or "auto" to recognise it.
        table: a CSV, JSON or JSON-lines file of any name and place that labels the images.

    Raises:
        AttrimorphError: the format is unknown, or the folder does not hold what the format needs.
    """
    folder = Path(folder)
    check_folder(folder)
    if table is not None:
        if format not in ("auto", "table"):
            raise AttrimorphError(f"a table of labels goes with the format table; got {format}; leave one of them out")
        raw, why = tables.read_table(folder, Path(table)), f"the labels are in {table}"
    elif format == "auto":
        format, why = recognise(folder)
        raw = FORMATS[format](folder)
    elif format in FORMATS:
        raw, why = FORMATS[format](folder), "as was asked for"
    else:
        raise AttrimorphError(f"there is no data format {format!r}; {suggestion(format, FORMATS)}")
    return replace(raw, why=why, notes=[*raw.notes, *unread(folder, raw)])


@dataclass(frozen=True)
class Source:
    """A prepared folder, or a folder of images and how it is read.

    Attributes:
        path: the folder.
        format: one of `readers.FORMATS`, or "auto" to recognise it.
        table: a CSV or JSON-lines file of any name that labels the images.
    """

    path: Path
    format: str = "auto"
    table: Path | None = None

    @staticmethod
    def of(value: "str | Path | Source") -> "Source":
        """Return what a path alone stands for, or the source itself."""
        return value if isinstance(value, Source) else Source(Path(value))

    @property
    def recognised(self) -> bool:
        """Whether nobody said how it is read."""
        return self.format == "auto" and self.table is None

    @property
    def prepared(self) -> bool:
        """Whether it is a prepared folder.

        Raises:
            AttrimorphError: it is, and something is said about how images are read.
        """
        if not (self.path / "schema.json").is_file():
            return False
        if not self.recognised:
            raise AttrimorphError(
                f"{self.path} is prepared already; --format and --table tell how images are read; leave them out"
            )
        return True

    def read(self) -> RawData:
        """Read the folder of images; errors as of `readers.read`."""
        return read(self.path, self.format, self.table)

    def to_json(self) -> dict[str, str]:
        """Return plain values for JSON, the paths absolute."""
        words = {"data": str(self.path.resolve())}
        if self.format != "auto":
            words["format"] = self.format
        if self.table is not None:
            words["table"] = str(self.table.resolve())
        return words

    @staticmethod
    def from_json(words: Mapping[str, Any]) -> "Source":
        """Read what `to_json` wrote."""
        table = Path(words["table"]) if "table" in words else None
        return Source(Path(words["data"]), words.get("format", "auto"), table)
