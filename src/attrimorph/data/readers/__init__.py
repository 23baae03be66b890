"""Readers: from a folder as its publisher lays it out to one plain description, `RawData`."""

from collections.abc import Callable
from pathlib import Path

from attrimorph.data.readers import celeba, cub, flowers, folders, lfw, tables, utkface
from attrimorph.data.readers.raw import Crop, RawData, check_folder, list_images, need_images
from attrimorph.errors import AttrimorphError, suggestion

__all__ = ["FORMATS", "Crop", "RawData", "detect", "read"]

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
}

# From the most to the least particular: the first that holds is taken.
_SIGNS: tuple[tuple[str, Callable[[Path], bool], str], ...] = (
    ("celeba", lambda folder: celeba.find(folder) is not None, "list_attr_celeba.txt (CelebA)"),
    ("cub", lambda folder: cub.find(folder) is not None, "images.txt with image_class_labels.txt (CUB)"),
    ("flowers", flowers.matches, "imagelabels.mat with jpg/ (Flowers-102)"),
    ("table", lambda folder: bool(tables.find(folder)), "attributes.csv, metadata.csv or metadata.jsonl"),
    ("unpaired", folders.is_unpaired, "trainA with trainB"),
    ("lfw", lambda folder: lfw.find(folder) is not None, "NAME/NAME_0001.jpg (LFW)"),
    ("utkface", utkface.matches, "age_gender_race_date names (UTKFace)"),
    ("classes", folders.is_classes, "at least two folders of images, one for each class"),
)


def detect(folder: str | Path) -> str:
    """Return the name of the format that a folder is in.

    Raises:
        AttrimorphError: the folder is missing, is a file, holds no images, or fits no format.
    """
    folder = Path(folder)
    check_folder(folder)
    for name, holds, _ in _SIGNS:
        if holds(folder):
            return name
    need_images(list(list_images(folder).values()), folder)
    raise AttrimorphError(
        f"{folder} fits no known layout; looked for {'; '.join(sign for _, _, sign in _SIGNS)}; "
        "write an attributes.csv with the columns file_name and one for each attribute"
    )


def read(folder: str | Path, format: str = "auto") -> RawData:
    """Read a labelled folder.

    Args:
        format: one of `FORMATS`, or "auto" to detect it.

    Raises:
        AttrimorphError: the format is unknown, or the folder does not hold what the format needs.
    """
    folder = Path(folder)
    check_folder(folder)
    if format == "auto":
        format = detect(folder)
    if format not in FORMATS:
        raise AttrimorphError(f"there is no data format {format!r}; {suggestion(format, FORMATS)}")
    return FORMATS[format](folder)
