"""Readers: from a folder as its publisher lays it out to one plain description, `RawData`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from attrimorph.data.images import Crop
from attrimorph.data.readers import celeba, cub, flowers, folders, lfw, tables, utkface
from attrimorph.data.readers.raw import RawData, check_folder, list_images, need_images, unread
from attrimorph.errors import AttrimorphError, suggestion

__all__ = ["FORMATS", "Crop", "RawData", "detect", "read", "recognise"]

FORMATS: dict[str, Callable[[Path], RawData]] = {
    "celeba": celeba.read,
    "lfw": lfw.read,
    "lfw-people": lfw.read_people,
    "lfw-attributes": lfw.read_attributes,
    "utkface": utkface.read,
    "cub": cub.read,
    "flowers": flowers.read,
    "table": tables.read,
    "unpaired": folders.read_unpaired,
    "classes": folders.read_classes,
    "images": folders.read_images,
}

# From the most to the least particular: the first that says why it holds is taken.
_SIGNS: dict[str, Callable[[Path], str]] = {
    "celeba": celeba.sign,
    "cub": cub.sign,
    "flowers": flowers.sign,
    "table": tables.sign,
    "unpaired": folders.sign_of_unpaired,
    "lfw": lfw.sign,
    "utkface": utkface.sign,
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
    return "images", "there is no table of labels, no known names and no two class folders: they have no labels"


def detect(folder: str | Path) -> str:
    """Return the name of the format that a folder is in; errors as of `recognise`."""
    return recognise(folder)[0]


def read(folder: str | Path, format: str = "auto", table: str | Path | None = None) -> RawData:
    """Read a folder of images.

    Args:
        format: one of `FORMATS`, or "auto" to recognise it.
        table: a CSV or JSON-lines file of any name and place that labels the images.

    Raises:
        AttrimorphError: the format is unknown, or the folder does not hold what the format needs.
    """
    folder = Path(folder)
    check_folder(folder)
    if table is not None:
        if format not in ("auto", "table"):
            raise AttrimorphError(f"a table of labels goes with the format table; got {format}; leave one of them out")
        raw, why = tables.read(folder, Path(table)), f"the labels are in {table}"
    elif format == "auto":
        format, why = recognise(folder)
        raw = FORMATS[format](folder)
    elif format in FORMATS:
        raw, why = FORMATS[format](folder), "as was asked for"
    else:
        raise AttrimorphError(f"there is no data format {format!r}; {suggestion(format, FORMATS)}")
    return replace(raw, why=why, notes=[*raw.notes, *unread(folder, raw)])
