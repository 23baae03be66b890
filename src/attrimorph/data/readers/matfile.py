"""A reader for numeric arrays in MATLAB level-5 files: what the flower labels come in."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attrimorph.data.readers.raw import read_bytes
from attrimorph.errors import AttrimorphError

MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


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
