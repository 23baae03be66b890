"""Species, with segmentations: Caltech-UCSD Birds 200-2011, Oxford Flowers-102.

Of the birds: 312 attributes with certainties. Of the flowers: the official split, segmentations on blue, and the MATLAB
files that they come in.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attrimorph.data import Attribute, Schema, whole_number
from attrimorph.data.readers.raw import (
    RawData,
    carve_valid,
    check_folder,
    list_images,
    need_images,
    number_identities,
    read_bytes,
    read_rows,
    read_text,
)
from attrimorph.errors import AttrimorphError

MOST_IN_CUB = 10_000_000  # the largest number of an image, a class or an attribute
NOT_VISIBLE = 1  # the certainty at which a label says nothing
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MOST_FLOWERS = 100_000  # images, and classes, must be fewer
FLOWER_SPLITS = {"train": "trnid", "valid": "valid", "test": "tstid"}
BLUE = (0, 0, 254)  # what the segmented images have for background


def find_cub(folder: Path) -> Path | None:
    """Return the folder that holds images.txt and image_class_labels.txt, or None."""
    for candidate in (folder, folder / "CUB_200_2011"):
        if (candidate / "images.txt").is_file() and (candidate / "image_class_labels.txt").is_file():
            return candidate
    return None


def sign_of_cub(folder: Path) -> str:
    """Say why a folder is CUB; "" where it is not."""
    return "images.txt lies beside image_class_labels.txt" if find_cub(folder) else ""


def read_cub(folder: Path) -> RawData:
    """Read the species as one categorical attribute and, where there, the binary attributes and segmentations.

    Attributes marked "not visible" are missing. The official test images stay test; a tenth of the training images
    becomes valid.
    """
    base = find_cub(folder)
    if base is None:
        raise AttrimorphError(f"{folder} must hold images.txt and image_class_labels.txt; unpack CUB_200_2011 there")
    paths = _numbered(base / "images.txt")
    classes = _numbered(base / "image_class_labels.txt")
    names = _numbered(base / "classes.txt")
    official = _numbered(base / "train_test_split.txt")
    for path, table in (("image_class_labels.txt", classes), ("train_test_split.txt", official)):
        if lost := sorted(set(paths) - set(table)):
            raise AttrimorphError(f"{base / path} must label every image; image {lost[0]} has no line; get it again")
    for number, label in classes.items():
        if whole_number(label, "a class", base / "image_class_labels.txt") not in names:
            raise AttrimorphError(
                f"{base / 'image_class_labels.txt'} gives image {number} the class {label}; "
                "classes.txt has no such class; get it again"
            )
    kept = [number for number in paths if (base / "images" / paths[number]).is_file()]
    need_images([base / "images" / paths[number] for number in kept], base / "images", base / "images.txt")
    species = [names[int(classes[number])] for number in kept]
    split = carve_valid(["train" if official[number] == "1" else "test" for number in kept], species)
    columns: dict[str, Any] = {"species": species}
    columns.update(_attributes(base, kept))
    attributes = (
        Attribute("species", "categorical", tuple(names[key] for key in sorted(names))),
        *(Attribute(name) for name in columns if name != "species"),
    )
    return RawData(
        name="cub",
        folder=base,
        files=[base / "images" / paths[number] for number in kept],
        table=columns,
        schema=Schema(attributes),
        split=split,
        identity=number_identities(species),
        masks=_masks(base, [paths[number] for number in kept]),
        rows_without_image=[path for number, path in paths.items() if number not in set(kept)],
    )


def _numbered(path: Path) -> dict[int, str]:
    """Read lines `number text`; numbers count from 1."""
    table = {whole_number(number, "the first field", path): text for number, text in read_rows(path, 2)}
    if strange := [number for number in table if not 1 <= number <= MOST_IN_CUB]:
        raise AttrimorphError(f"the first field in {path} must be a number from 1; got {strange[0]}; get it again")
    return table


def _attributes(base: Path, kept: list[int]) -> dict[str, list[int | None]]:
    """Return name -> N values 0, 1 or None; {} without the attribute files."""
    labels = base / "attributes" / "image_attribute_labels.txt"
    places = (base / "attributes" / "attributes.txt", base / "attributes.txt", base.parent / "attributes.txt")
    listing = next((path for path in places if path.is_file()), None)
    if listing is None or not labels.is_file():
        return {}
    names = _numbered(listing)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The official file has stray extra fields in a few lines; the first four are right.
            rows = np.loadtxt(labels, dtype=np.int64, usecols=(0, 1, 2, 3), ndmin=2)
    except (ValueError, OSError) as error:
        read_text(labels)
        raise AttrimorphError(
            f"{labels} must hold lines of image, attribute, 0/1, certainty: {error}; get it again"
        ) from error
    if not set(np.unique(rows[:, 2]).tolist()) <= {0, 1}:
        raise AttrimorphError(f"the third field in {labels} must be 0 or 1; got another number; get it again")
    if not 1 <= rows[:, 0].min() <= rows[:, 0].max() <= MOST_IN_CUB:
        raise AttrimorphError(f"the first field in {labels} must be the number of an image; got another; get it again")
    if unknown := set(np.unique(rows[:, 1]).tolist()) - set(names):
        raise AttrimorphError(
            f"{labels} names the attribute {min(unknown)}; {listing.name} has no such attribute; get it again"
        )
    places_of = np.full(max([*kept, int(rows[:, 0].max())]) + 1, -1)
    places_of[kept] = np.arange(len(kept))
    table = np.full((len(kept), max(names) + 1), -1, dtype=np.int8)
    rows = rows[(places_of[rows[:, 0]] >= 0) & (rows[:, 3] != NOT_VISIBLE)]
    table[places_of[rows[:, 0]], rows[:, 1]] = rows[:, 2]
    return {names[key]: [None if value < 0 else value for value in table[:, key].tolist()] for key in sorted(names)}


def _masks(base: Path, paths: list[str]) -> list[Path | None] | None:
    for folder in (base / "segmentations", base.parent / "segmentations"):
        if folder.is_dir():
            check_folder(folder)
            masks = [(folder / path).with_suffix(".png") for path in paths]
            return [mask if mask.is_file() else None for mask in masks]
    return None


def read_mat(path: Path) -> dict[str, NDArray[Any]]:
    """Return the numeric arrays of a .mat file by name; other things in it are passed over.

    Raises:
        AttrimorphError: the file is missing, damaged, or of the HDF5 edition (7.3).
    """
    content = read_bytes(path)
    if not content.startswith(b"MATLAB 5.0 MAT-file") or content[126:128] not in (b"IM", b"MI"):
        raise AttrimorphError(f"{path} must be a MATLAB 5 file; it begins otherwise; get it again or save it with -v7")
    order = "<" if content[126:128] == b"IM" else ">"
    try:
        return dict(_arrays(content[128:], order))
    except (struct.error, zlib.error, ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise AttrimorphError(f"{path} is damaged ({error}); get it again") from error


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (type, content); content of at most 4 bytes lies inside the tag."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:
            kind, size, start, at = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            at = start + (size if kind == COMPRESSED else (size + 7) // 8 * 8)
        if start + size > len(data):
            raise ValueError("it is cut short")
        yield kind, data[start : start + size]


def _arrays(data: bytes, order: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for kind, content in _elements(data, order):
        if kind == COMPRESSED:
            yield from _arrays(zlib.decompress(content), order)
        elif kind == MATRIX:
            parts = list(_elements(content, order))
            if len(parts) < 4 or parts[3][0] not in TYPES:
                continue
            shape = np.frombuffer(parts[1][1], order + "i4")
            values = np.frombuffer(parts[3][1], order + TYPES[parts[3][0]])
            yield parts[2][1].decode("ascii"), values.reshape(shape, order="F")


def sign_of_flowers(folder: Path) -> str:
    """Say why a folder is Flowers-102; "" where it is not."""
    found = (folder / "imagelabels.mat").is_file() and (folder / "jpg").is_dir()
    return "imagelabels.mat lies beside jpg/" if found else ""


def read_flowers(folder: Path) -> RawData:
    """Read `jpg/image_00001.jpg`, `imagelabels.mat`, and when there `setid.mat` and `segmim/`."""
    labels = _numbers(folder / "imagelabels.mat", "labels")
    images = list_images(folder / "jpg")
    numbers = {
        int(path.stem.removeprefix("image_")): path
        for path in images.values()
        if path.stem.removeprefix("image_").isdigit()
    }
    kept = [number for number in sorted(numbers) if 1 <= number <= len(labels)]
    need_images([numbers[number] for number in kept], folder / "jpg", folder / "imagelabels.mat")
    if labels.min() < 1:
        raise AttrimorphError(
            f"{folder / 'imagelabels.mat'} must hold classes from 1; got {labels.min()}; get it again"
        )
    classes = [f"class_{labels[number - 1]:03d}" for number in kept]
    split_of = {}
    for split, key in FLOWER_SPLITS.items():
        for number in _numbers(folder / "setid.mat", key).tolist():
            split_of[number] = split
    segmented = folder / "segmim"
    masks: list[Path | None] | None = None
    if segmented.is_dir():
        paths = [segmented / f"segmim_{number:05d}.jpg" for number in kept]
        masks = [path if path.is_file() else None for path in paths]
    values = tuple(f"class_{number:03d}" for number in range(1, int(labels.max()) + 1))
    return RawData(
        name="flowers",
        folder=folder,
        files=[numbers[number] for number in kept],
        table={"flower": classes},
        schema=Schema((Attribute("flower", "categorical", values),)),
        split=[split_of.get(number, "train") for number in kept],
        identity=[int(labels[number - 1]) for number in kept],
        masks=masks,
        mask_background=BLUE,
        rows_without_image=[f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1) if number not in numbers],
        images_without_row=[path.name for number, path in numbers.items() if number > len(labels)],
    )


def _numbers(path: Path, key: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    arrays = read_mat(path)
    if key not in arrays:
        raise AttrimorphError(f"{path} must hold {key}; it holds {', '.join(arrays) or 'nothing'}; get it again")
    values = arrays[key].ravel(order="F")
    if not len(values) or not np.isin(values, np.arange(MOST_FLOWERS)).all():
        raise AttrimorphError(
            f"{key} in {path} must be whole numbers from 1 to {MOST_FLOWERS - 1}; got others; get it again"
        )
    return values.astype(np.int64)
