"""Caltech-UCSD Birds 200-2011: species, 312 attributes with certainties, segmentations."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from attrimorph.data import Attribute, Schema
from attrimorph.data.readers.raw import (
    RawData,
    carve_valid,
    check_folder,
    need_images,
    number_identities,
    read_rows,
    read_text,
    whole_number,
)
from attrimorph.errors import AttrimorphError

MOST = 10_000_000  # the largest number of an image, a class or an attribute
NOT_VISIBLE = 1  # the certainty at which a label says nothing


def find(folder: Path) -> Path | None:
    """Return the folder that holds images.txt and image_class_labels.txt, or None."""
    for candidate in (folder, folder / "CUB_200_2011"):
        if (candidate / "images.txt").is_file() and (candidate / "image_class_labels.txt").is_file():
            return candidate
    return None


def sign(folder: Path) -> str:
    """Say why a folder is CUB; "" where it is not."""
    return "images.txt lies beside image_class_labels.txt" if find(folder) else ""


def read(folder: Path) -> RawData:
    """Read the species as one categorical attribute and, where there, the binary attributes and segmentations.

    Attributes marked "not visible" are missing. The official test images stay test; a tenth of the training images
    becomes valid.
    """
    base = find(folder)
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
    if strange := [number for number in table if not 1 <= number <= MOST]:
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
    if not 1 <= rows[:, 0].min() <= rows[:, 0].max() <= MOST:
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
