"""Oxford Flowers-102: classes, the official split, segmentations on blue; and the MATLAB files that they come in."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attrimorph.data import Attribute, Schema
from attrimorph.data.readers.raw import RawData, list_images, need_images, read_bytes
from attrimorph.errors import AttrimorphError

MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MOST = 100_000  # images, and classes, must be fewer
SPLITS = {"train": "trnid", "valid": "valid", "test": "tstid"}
BLUE = (0, 0, 254)  # what the segmented images have for background


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


def sign(folder: Path) -> str:
    """Say why a folder is Flowers-102; "" where it is not."""
    found = (folder / "imagelabels.mat").is_file() and (folder / "jpg").is_dir()
    return "imagelabels.mat lies beside jpg/" if found else ""


def read(folder: Path) -> RawData:
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
    for split, key in SPLITS.items():
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
    if not len(values) or not np.isin(values, np.arange(MOST)).all():
        raise AttrimorphError(f"{key} in {path} must be whole numbers from 1 to {MOST - 1}; got others; get it again")
    return values.astype(np.int64)
