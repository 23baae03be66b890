"""Writing prepared folders: rows in any order, journalled, resumable, finished in one moment."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data.prepared import (
    FORMAT,
    SPLITS,
    VERSION,
    attributes_csv,
    hash_images,
    raw_table,
)
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.files import sync_folder, whole_file, write_bytes, write_json

PARTS = ("journal.part", "images.npy.part", "masks.npy.part")
SYNC_EVERY = 512  # rows between two durable marks in the journal: at most this many are decoded twice


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AttrimorphError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder with --out"
        ) from error


class _Rows:
    """A .npy file of uint8 rows, written row by row at their places."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        self.row_bytes = int(np.prod(shape[1:]))
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(os.dup(self.handle), "r+b") as file:
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            self.offset = file.tell()
        # Written with pwrite and not through a map: a full disk then is an error and not a bus signal.
        os.truncate(self.handle, self.offset + shape[0] * self.row_bytes)

    def write(self, row: int, value: NDArray[np.uint8]) -> None:
        view = memoryview(value.tobytes())
        at = self.offset + row * self.row_bytes
        while len(view):
            written = os.pwrite(self.handle, view, at)
            view, at = view[written:], at + written

    def finish(self, target: Path, rows: NDArray[np.int64]) -> None:
        """Let the file appear as `target`, with only these rows.

        A copy leaves the file itself as the journal describes it: killed here, the next run still understands it.
        """
        if len(rows) == self.shape[0]:
            self.path.replace(target)
            return
        whole = np.load(self.path, mmap_mode="r", allow_pickle=False)
        with whole_file(target) as file:
            shape = (len(rows), *self.shape[1:])
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for start in range(0, len(rows), SYNC_EVERY):
                file.write(whole[rows[start : start + SYNC_EVERY]].tobytes())

    def close(self) -> None:
        os.close(self.handle)


class PreparedWriter:
    """Writes a prepared folder; use it as a context manager.

    Rows come in any order. Killed at any moment, a new writer with the same `request` knows the rows that are
    there (`done`). The folder is prepared from the moment `finish` returns.

    Args:
        path: the folder; made when missing.
        count: N, how many rows there are at most.
        image_size: S.
        masks: whether rows have masks.
        request: describes what is being written; another request starts anew.

    Raises:
        AttrimorphError: the folder cannot be written, or already holds prepared data.
    """

    def __init__(self, path: str | Path, count: int, image_size: int, *, masks: bool = False, request: str = ""):
        self.path = Path(path)
        if count < 1:
            raise AttrimorphError("prepared data must have at least one image; got none")
        if self.path.exists() and not self.path.is_dir():
            raise AttrimorphError(f"{self.path} must be a folder; it is a file; choose another --out")
        if (self.path / "schema.json").exists():
            raise AttrimorphError(
                f"{self.path} already holds prepared data; delete it or choose another folder with --out"
            )
        self.image_size, self.count, self._resumable = image_size, count, bool(request)
        stamp = hashlib.sha256(f"{VERSION} {count} {image_size} {masks} {request}".encode()).hexdigest().encode()
        self._journal_path = self.path / "journal.part"
        self._stamp_bytes = len(stamp)
        self._unmarked: list[int] = []
        self._placed: list[Path] = []
        self.done = np.zeros(count, dtype=bool)
        try:
            self._open(stamp, masks)
        except AttrimorphError:
            self._discard()
            raise

    def _open(self, stamp: bytes, masks: bool) -> None:
        count, image_size = self.count, self.image_size
        with _told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            found = self._resume(stamp, masks) if self._resumable else None
            if found is None:
                for name in PARTS:
                    (self.path / name).unlink(missing_ok=True)
            else:
                self.done = found
            self._images = _Rows(self.path / "images.npy.part", (count, image_size, image_size, 3))
            self._masks = _Rows(self.path / "masks.npy.part", (count, image_size, image_size)) if masks else None
            self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o666)
            os.pwrite(self._journal, stamp + self.done.tobytes(), 0)

    def _resume(self, stamp: bytes, masks: bool) -> NDArray[np.bool_] | None:
        names = ("images.npy.part", "masks.npy.part") if masks else ("images.npy.part",)
        if not all((self.path / name).is_file() for name in (*names, "journal.part")):
            return None
        content = self._journal_path.read_bytes()
        if len(content) != len(stamp) + self.count or not content.startswith(stamp):
            return None
        return np.array(np.frombuffer(content[len(stamp) :], dtype=np.uint8) == 1)

    def __enter__(self) -> "PreparedWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        with suppress(OSError):
            self.mark()
        self.close()
        if kind is not None:
            self._discard()

    def _discard(self) -> None:
        """Leave nothing behind but what a later run goes on from."""
        for path in self._placed:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if not (self._resumable and self.done.any()):
            for name in PARTS:
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)

    def write(self, row: int, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> None:
        """Write one row: image uint8 [S, S, 3], mask uint8 [S, S]."""
        size = self.image_size
        if image.shape != (size, size, 3) or image.dtype != np.uint8:
            raise AttrimorphError(f"an image must be uint8 [{size}, {size}, 3]; got {image.dtype} {list(image.shape)}")
        with _told(self.path):
            self._images.write(row, image)
            if self._masks is not None:
                self._masks.write(row, np.full((size, size), 255, np.uint8) if mask is None else mask)
            self._unmarked.append(row)
            if len(self._unmarked) >= SYNC_EVERY:
                self.mark()

    def mark(self) -> None:
        """Make the rows written so far durable, then say so in the journal."""
        if not self._unmarked:
            return
        os.fsync(self._images.handle)
        if self._masks is not None:
            os.fsync(self._masks.handle)
        self.done[self._unmarked] = True
        self._unmarked.clear()
        os.pwrite(self._journal, self.done.tobytes(), self._stamp_bytes)

    def close(self) -> None:
        """Close the files; what is written stays for the next time."""
        for handle in (self._images, self._masks):
            if handle is not None:
                with suppress(OSError):
                    handle.close()
        with suppress(OSError):
            os.close(self._journal)

    def finish(
        self,
        schema: Schema,
        table: Mapping[str, Sequence[Any]],
        *,
        files: Sequence[str],
        split: Sequence[str],
        identity: Sequence[int],
        factors: NDArray[np.float32] | None = None,
        factor_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        skipped: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Leave out the rows never written, write the labels and, last, schema.json.

        Args:
            table: attribute name -> N raw values (None = missing); like `files`, `split`, `identity` and `factors`
                for all N rows, also those never written.
        """
        with _told(self.path):
            self.mark()
        rows = np.flatnonzero(self.done).astype(np.int64)
        places: list[int] = rows.tolist()
        if not len(rows):
            raise AttrimorphError(f"no image could be read for {self.path}; the first reason: {_first(skipped)}")
        with _told(self.path):
            for part, name in ((self._images, "images.npy"), (self._masks, "masks.npy")):
                if part is not None:
                    self._placed.append(self.path / name)
                    part.finish(self.path / name, rows)
        self._placed += [self.path / "attributes.csv", self.path / "factors.npy"]
        if factors is not None:
            with whole_file(self.path / "factors.npy") as file:
                npy.write_array(file, np.asarray(factors, np.float32)[rows], allow_pickle=False)
        kept = {name: [table[name][row] for row in places] for name in schema.names}
        kept_split = [str(split[row]) for row in places]
        content = attributes_csv(
            [str(files[row]) for row in places], kept_split, [int(identity[row]) for row in places], schema, kept
        )
        write_bytes(self.path / "attributes.csv", content)
        images = np.load(self.path / "images.npy", mmap_mode="r", allow_pickle=False)
        write_json(
            self.path / "schema.json",
            {
                "format": FORMAT,
                "version": VERSION,
                "image_size": self.image_size,
                "count": len(rows),
                "splits": {name: kept_split.count(name) for name in SPLITS},
                "masks": self._masks is not None,
                "factor_names": list(factor_names) if factors is not None else [],
                "images_fingerprint": hash_images(images),
                "preprocessing": dict(preprocessing or {}),
                "skipped": [dict(entry) for entry in skipped],
                "schema": schema.to_json(),
            },
        )
        self._placed.clear()
        clear_leftovers(self.path)
        sync_folder(self.path)


def clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed left beside finished data; the caller has the folder to itself."""
    for leftover in [*(path / name for name in PARTS), *path.glob(".*.part")]:
        leftover.unlink(missing_ok=True)


def _first(skipped: Sequence[Mapping[str, str]]) -> str:
    return f"{skipped[0]['file']} {skipped[0]['reason']}" if skipped else "there were none"


def write_prepared(
    path: str | Path,
    images: NDArray[np.uint8] | Iterable[NDArray[np.uint8]],
    schema: Schema,
    attributes: Tensor,
    *,
    files: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    identity: Sequence[int] | Tensor | None = None,
    masks: NDArray[np.uint8] | Iterable[NDArray[np.uint8]] | None = None,
    factors: NDArray[np.float32] | None = None,
    factor_names: Sequence[str] = (),
    preprocessing: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write images that are already arrays as a prepared folder.

    Args:
        images: uint8 [N, S, S, 3], or an iterator of chunks uint8 [n, S, S, 3] that add up to N.
        attributes: y, float32 [N, W]; NaN = missing.
        files: N names; default 000000.png, ...
        split: N words; default all "train".
        identity: N whole numbers; default -1 (unknown).
        masks: uint8 [N, S, S] or chunks of it, as `images` come.
        factors: float32 [N, F].
        progress: called with (rows written, N) after every chunk.

    Raises:
        AttrimorphError: shapes do not fit, or the folder cannot be written.
    """
    count = len(attributes)
    if attributes.shape != (count, schema.width):
        raise AttrimorphError(f"attributes must be [N, {schema.width}] for this schema; got {list(attributes.shape)}")
    chunks = iter([images]) if isinstance(images, np.ndarray) else iter(images)
    mask_chunks = iter([masks]) if isinstance(masks, np.ndarray) else iter(masks) if masks is not None else None
    first = next(chunks, None)
    if first is None or first.ndim != 4:
        raise AttrimorphError("images must be uint8 [N, S, S, 3] or chunks of it; got none")
    row = 0
    with PreparedWriter(path, count, int(first.shape[1]), masks=masks is not None) as writer:
        chunk: NDArray[np.uint8] | None = first
        while chunk is not None:
            mask_chunk = next(mask_chunks, None) if mask_chunks is not None else None
            if row + len(chunk) > count or (
                mask_chunks is not None and (mask_chunk is None or len(mask_chunk) != len(chunk))
            ):
                raise AttrimorphError(
                    f"images, masks and attributes must be equally many; there are {count} attributes"
                )
            for offset in range(len(chunk)):
                writer.write(row + offset, chunk[offset], None if mask_chunk is None else mask_chunk[offset])
            row += len(chunk)
            if progress is not None:
                progress(row, count)
            chunk = next(chunks, None)
        if row != count:
            raise AttrimorphError(f"images and attributes must be equally many; got {row} and {count}")
        writer.finish(
            schema,
            raw_table(schema, attributes),
            files=files or [f"{number:06d}.png" for number in range(count)],
            split=split if split is not None else ["train"] * count,
            identity=[-1] * count if identity is None else [int(value) for value in identity],
            factors=factors,
            factor_names=factor_names,
            preprocessing=preprocessing,
        )
