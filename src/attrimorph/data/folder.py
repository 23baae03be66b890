"""A prepared folder: the names of its files, while they are written and then; how they appear, and how they go."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from attrimorph.data import Schema
from attrimorph.data.images import checksum
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, sync_folder, whole_file, writing

OF_PARTS = ("journal-*-of-*.part", "checksums-*-of-*.part", "skipped-*-of-*.part")
PARTS = ("schema.json.part", "journal.part", "images.npy.part", "masks.npy.part", *OF_PARTS)
PLACED = ("images.npy", "masks.npy", "attributes.csv", "attributes.npy", "factors.npy", "checksums.npy")
ROWS_FROM = 4096  # bytes from a file's beginning to its first row: a page
Part = tuple[int, int]
"""A share of the rows: which, from 1, of how many."""


def parse_part(text: str) -> Part:
    """Read a part as the command line writes it: "2/8".

    Raises:
        AttrimorphError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise AttrimorphError(f"a part must be one of some, from 1/8 to 8/8 of eight; got {text!r}")
    return int(found[1]), int(found[2])


def named(what: str, part: Part) -> str:
    """Return the name of a file beside the arrays that are being written."""
    return f"{what}.part" if part[1] == 1 else f"{what}-{part[0]}-of-{part[1]}.part"


def bounds(count: int, part: Part) -> range:
    """Return the rows of a part."""
    return range((part[0] - 1) * count // part[1], part[0] * count // part[1])


def missing_parts(path: Path) -> list[str] | None:
    """Return the parts of a folder, as 2/8, that are not complete; None where it is not being prepared in parts."""
    found = [re.fullmatch(r"journal-\d+-of-(\d+)\.part", each.name) for each in path.glob("journal-*.part")]
    parts = max((int(each[1]) for each in found if each), default=0)
    incomplete = (k for k in range(1, parts + 1) if not (path / named("skipped", (k, parts))).exists())
    return [f"{number}/{parts}" for number in incomplete] if parts else None


def open_at(path: Path) -> BinaryIO:
    """Open a file for reading and writing at any place; made when missing."""
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")


def write_header(file: BinaryIO, shape: Sequence[int]) -> None:
    """Write the header of a .npy file of uint8, filled up so that rows begin at a page: 64x64 pixels are three."""
    header = BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
    magic, words = header.getvalue()[:8], header.getvalue()[10:].rstrip().ljust(ROWS_FROM - 11) + b"\n"
    file.write(magic + len(words).to_bytes(2, "little") + words)


def place(path: Path) -> None:
    """Let the data appear whose schema.json.part is there: it is written last, and whoever comes goes on from there."""
    head = read_json(path / "schema.json.part")
    count, size = head["count"], head["image_size"]
    with writing(path):
        for name, shape in (("images.npy", (count, size, size, 3)), ("masks.npy", (count, size, size))):
            if (path / f"{name}.part").exists():
                with open_at(path / f"{name}.part") as file:
                    write_header(file, shape)
                    file.truncate(ROWS_FROM + int(np.prod(shape)))
                    os.fsync(file.fileno())
                (path / f"{name}.part").replace(path / name)
        (path / "schema.json.part").replace(path / "schema.json")
    clear_leftovers(path)
    sync_folder(path)


def write_checksums(path: Path) -> None:
    """Write checksums.npy over the images and masks of a folder as they are now."""
    images = np.load(path / "images.npy", mmap_mode="r")
    masks = np.load(path / "masks.npy", mmap_mode="r") if (path / "masks.npy").exists() else None
    sums = (checksum(image, None if masks is None else masks[row]) for row, image in enumerate(images))
    with whole_file(path / "checksums.npy") as file:
        npy.write_array(file, np.fromiter(sums, np.uint32, len(images)), allow_pickle=False)


def discard_prepared(path: Path) -> None:
    """Remove what is prepared in a folder of our own, to make it anew; schema.json, without which it is none, first."""
    for name in ("schema.json", *PLACED):
        (path / name).unlink(missing_ok=True)


def clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed left beside finished data; the caller has the folder to itself."""
    for leftover in [each for name in (*PARTS, ".*.part") for each in path.glob(name)]:
        leftover.unlink(missing_ok=True)


def hash_images(images: NDArray[np.uint8]) -> str:
    """Hash the shape and at most 2048 evenly spaced images: enough to tell data sets apart, quickly."""
    digest = hashlib.sha256(str(images.shape).encode())
    for row in np.unique(np.linspace(0, len(images) - 1, 2048).astype(np.int64)):
        digest.update(images[row].tobytes())
    return digest.hexdigest()[:16]


def labels_digests(path: Path, schema: Schema, images_hash: str) -> tuple[str, str]:
    """Return the SHA-256 of images, schema and attributes.csv, and of these and attributes.npy ("" where it is absent).

    Raises:
        AttrimorphError: attributes.csv cannot be read.
    """
    digest = hashlib.sha256(images_hash.encode())
    digest.update(json.dumps(schema.to_json(), sort_keys=True).encode())
    found = list[str]()
    for name in ("attributes.csv", "attributes.npy"):
        if name == "attributes.npy" and not (path / name).exists():
            return found[0], ""
        with sound(path / name), (path / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        found.append(digest.hexdigest())
    return found[0], found[1]


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Tell what is wrong with a file that is read."""
    try:
        yield
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; prepare the images again") from error
    except Exception as error:  # a damaged header fails in many ways, also while it is being told
        raise AttrimorphError(f"{path} is damaged or cut short ({error}); prepare the images again") from error
