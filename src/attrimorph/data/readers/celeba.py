"""CelebA: 40 binary attributes, identities, the official partition; the official text files or their csv variants."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attrimorph.data import Attribute, Schema
from attrimorph.data.images import Crop
from attrimorph.data.readers.raw import (
    RawData,
    assign_split,
    list_images,
    need_images,
    preview,
    read_csv,
    read_rows,
    read_text,
    whole_number,
)
from attrimorph.errors import AttrimorphError

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
CROP = Crop(15, 35, 163, 183, of=(178, 218))  # the centred square of 148 pixels
FOLDERS = ("img_align_celeba", "img_align_celeba_png", "img_celeba")
PLACES = ("", "Anno", "Eval", "Img")  # the official archive has them; most copies put everything side by side


def sign(folder: Path) -> str:
    """Say why a folder is CelebA; "" where it is not."""
    path = _label_file(folder, "list_attr_celeba")
    return f"{path.name} lies there" if path else ""


def read(folder: Path) -> RawData:
    """Read `img_align_celeba/`, `list_attr_celeba`, and when there `identity_CelebA`, `list_eval_partition`.

    The hair colours become an exclusive group. Without a partition the images are divided by identity.
    """
    path = _label_file(folder, "list_attr_celeba")
    if path is None:
        raise AttrimorphError(f"{folder} must hold list_attr_celeba.txt or .csv; it has neither; get the annotations")
    names, files, values = _read_attributes(path)
    places = (folder / place / name for place in PLACES for name in FOLDERS)
    base = next((place for place in places if place.is_dir()), None)
    if base is None:
        raise AttrimorphError(
            f"{folder} must hold the images in img_align_celeba; there is no such folder; unpack them"
        )
    # Copies differ in file type (the PNG edition) and in one more folder level (the csv edition).
    by_stem = {_stem(name.rpartition("/")[2]): image for name, image in list_images(base).items()}
    stems = [_stem(file) for file in files]
    rows = [row for row, stem in enumerate(stems) if stem in by_stem]
    need_images([by_stem[stems[row]] for row in rows], folder, path)
    identity = _labels(folder, "identity_CelebA")
    people = [identity.get(stems[row], -1) for row in rows]
    partition = _labels(folder, "list_eval_partition")
    notes = []
    if partition:
        if strange := {number for number in partition.values()} - {0, 1, 2}:
            raise AttrimorphError(
                f"list_eval_partition of {folder} must hold 0, 1 or 2; got {min(strange)}; get the file again"
            )
        if unknown := [files[row] for row in rows if stems[row] not in partition]:
            notes.append(f"{len(unknown)} images are not in the partition and count as train: {preview(unknown)}")
        split = [("train", "valid", "test")[partition.get(stems[row], 0)] for row in rows]
    else:
        split = assign_split(len(rows), identity=people)
        notes.append("there is no list_eval_partition; the images were divided 8 : 1 : 1 by identity")
    known = set(stems)
    group = tuple(name for name in HAIR if name in names)
    return RawData(
        name="celeba",
        folder=folder,
        files=[by_stem[stems[row]] for row in rows],
        table={name: values[rows, column].tolist() for column, name in enumerate(names)},
        schema=Schema(tuple(Attribute(name) for name in names), (group,) if len(group) > 1 else ()),
        split=split,
        identity=people,
        crop=CROP,
        rows_without_image=[file for file, stem in zip(files, stems, strict=True) if stem not in by_stem],
        images_without_row=[image.name for stem, image in by_stem.items() if stem not in known],
        notes=notes,
    )


def _label_file(folder: Path, stem: str) -> Path | None:
    candidates = (folder / place / (stem + suffix) for place in PLACES for suffix in (".txt", ".csv"))
    return next((path for path in candidates if path.is_file()), None)


def _read_attributes(path: Path) -> tuple[list[str], list[str], NDArray[np.int8]]:
    """Return attribute names, file names, and the values {-1, 1} (or {0, 1}) as int8 [N, A]."""
    lines: Iterable[list[str]]
    if path.suffix == ".csv":
        header, lines = read_csv(path)
        names, first = header[1:], 2
    else:
        text = read_text(path).splitlines()
        if len(text) < 3:
            raise AttrimorphError(f"{path} must have a count, names and rows; it has {len(text)} lines; get it again")
        names, first = text[1].split(), 3
        lines = (line.split() for line in text[2:] if line.strip())
    codes = {"-1": 255, "1": 1, "0": 0}
    files, values = [], bytearray()
    for number, line in enumerate(lines, first):
        if len(line) != len(names) + 1:
            raise AttrimorphError(
                f"every row of {path} must have {len(names)} values; row {number} has {len(line) - 1}; get it again"
            )
        files.append(line[0])
        try:
            values.extend(map(codes.__getitem__, line[1:]))
        except KeyError as error:
            raise AttrimorphError(
                f"every value in {path} must be -1, 0 or 1; row {number} has {error}; get it again"
            ) from None
    return names, files, np.frombuffer(bytes(values), dtype=np.int8).reshape(len(files), len(names))


def _labels(folder: Path, stem: str) -> dict[str, int]:
    """Read `name number` lines: file stem -> number; {} when there is no such file."""
    path = _label_file(folder, stem)
    if path is None:
        return {}
    return {_stem(name): whole_number(number, "a label", path) for name, number in read_rows(path, 2)}


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
