"""Writing prepared folders: rows in any order, journalled, resumable, finished in one moment.

Several processes, of several machines that share the folder, may write parts of the rows at the same time: into the
same arrays, each between its own bounds and with a journal of its own.
"""

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data import FORMAT, SPLITS, VERSION, Schema, attributes_csv, csv_text, raw_table
from attrimorph.data.folder import (
    PLACED,
    ROWS_FROM,
    Part,
    bounds,
    clear_leftovers,
    hash_images,
    labels_digests,
    named,
    open_at,
    place,
    sound,
    write_header,
)
from attrimorph.data.images import checksum
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, whole_file, write_json, writing

SYNC_EVERY = 512  # rows between two durable marks in the journal: at most this many are decoded twice
ROWS_AT_ONCE = 16_384  # of attributes.csv that are in memory as text
Pixels = NDArray[np.uint8]
Factors = tuple[Sequence[str], NDArray[np.float32]]
"""The names of exact factors, F, and their values, [N, F]."""


class _Rows:
    """A .npy file of uint8 rows, written row by row at their places."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.file = path, shape, open_at(path)
        write_header(self.file, shape)
        self.offset, self.size = self.file.tell(), int(np.prod(shape[1:]))
        # Written as a file and not through a map: a full disk then is an error and not a bus signal.
        self.file.truncate(self.offset + shape[0] * self.size)

    def lock(self, rows: range) -> None:
        """Keep rows for this process; NFS then writes no bytes around them, either.

        Raises:
            AttrimorphError: another process has them.
        """
        first, end = (self.offset + row * self.size for row in (rows.start, rows.stop))
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, end - first, first)
        except (BlockingIOError, PermissionError) as error:  # POSIX leaves open which
            raise AttrimorphError(
                f"another process is at work on this part of {self.path.parent}; wait for it, or prepare another part"
            ) from error

    def read(self, row: int) -> Pixels:
        self.file.seek(self.offset + row * self.size)
        return np.frombuffer(self.file.read(self.size), np.uint8)

    def write(self, row: int, value: Pixels) -> None:
        self.file.seek(self.offset + row * self.size)
        self.file.write(value.tobytes())

    def arrange(self, rows: NDArray[np.int64]) -> None:
        """Write the rows that take other places there too; where they were they stay."""
        self.file.close()
        self.file = open_at(self.path)  # NFS shows what other machines wrote when a file is opened
        for row in np.flatnonzero(rows != np.arange(len(rows))).tolist():
            self.write(row, self.read(rows[row]))
        self.file.flush()
        os.fsync(self.file.fileno())


class PreparedWriter:
    """Writes a prepared folder; use it as a context manager.

    Rows come in any order. Killed at any moment, a new writer with the same `request` knows the rows that are
    there (`done`). The folder is prepared from the moment `finish` returns.

    Args:
        path: the folder; made when missing.
        count: N, how many rows there are at most.
        image_size: S.
        masks: whether rows have masks.
        request: describes what is being written; another request starts anew, but nothing that others write.
        part: the rows that are written here; the caller has the folder to itself while a writer is made, and while it
            finishes.

    Attributes:
        done: bool [N], the rows that are there, as far as is known here: of other parts, once all are finished.
        own: the rows of the part.
        complete: whether nothing of the part is left to do.

    Raises:
        AttrimorphError: the folder cannot be written, already holds prepared data, other parts or files of such names,
            or another process writes the part.
    """

    def __init__(
        self,
        path: str | Path,
        count: int,
        image_size: int,
        *,
        masks: bool = False,
        request: str = "",
        part: Part = (1, 1),
    ):
        self.path, self.part = Path(path), part
        if count < part[1]:
            fewest = "one image" if part[1] == 1 else f"one image for each of {part[1]} parts"
            raise AttrimorphError(f"prepared data must have at least {fewest}; got {count or 'none'}")
        if self.path.exists() and not self.path.is_dir():
            raise AttrimorphError(f"{self.path} must be a folder; it is a file; choose another --out")
        if (self.path / "schema.json").exists():
            raise AttrimorphError(
                f"{self.path} already holds prepared data; delete it or choose another folder with --out"
            )
        # Only a journal tells that an interrupted writer placed them.
        journals = [*self.path.glob("journal*.part")]
        there = [] if journals else [name for name in PLACED if (self.path / name).exists()]
        if there:
            raise AttrimorphError(f"{self.path / there[0]} would be written over; choose an empty folder with --out")
        self.image_size, self._resumable = image_size, bool(request)
        words = f"{VERSION} {count} {image_size} {masks} {ROWS_FROM} {request} {part[1]}"
        self._stamp = hashlib.sha256(words.encode()).hexdigest().encode()
        with writing(self.path):
            others = [each for each in journals if part[1] > 1 or each.name != "journal.part"]
            stamps = [each.read_bytes()[: len(self._stamp)] for each in others]
        # A shorter one is of a writer that was killed at once.
        if any(len(each) == len(self._stamp) and each != self._stamp for each in stamps):
            raise AttrimorphError(
                f"{self.path} is being prepared from another source, with other settings, or in another number of "
                f"parts ({others[0].name} lies there); give what its other parts were given, delete it or choose "
                "another folder with --out"
            )
        self._unmarked: list[int] = []
        self._placed: list[Path] = []
        self._arrays: dict[str, _Rows] = {}
        self.own = bounds(count, part)
        self.done = np.zeros(count, dtype=bool)
        shapes = {"images.npy": (count, image_size, image_size, 3), "masks.npy": (count, image_size, image_size)}
        names = ["images.npy", "masks.npy"] if masks else ["images.npy"]
        try:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                files = [self.path / f"{name}.part" for name in names]
                sizes = [file.stat().st_size if file.is_file() else 0 for file in files]
                full = sizes == [ROWS_FROM + int(np.prod(shapes[name])) for name in names]
                if part[1] == 1:
                    if not (request and full and self._read_journal(part)):
                        clear_leftovers(self.path)
                elif journals and not full:
                    raise AttrimorphError(f"{self.path} holds parts, but not their images; delete it")
                elif not self._read_journal(part):
                    (self.path / named("skipped", part)).unlink(missing_ok=True)
                self._arrays = {name: _Rows(file, shapes[name]) for name, file in zip(names, files, strict=True)}
                for rows in self._arrays.values() if part[1] > 1 else ():
                    rows.lock(self.own)
                self._journal = open_at(self.path / named("journal", part))
                self._journal.write(self._stamp)
                self._write_journal((self.own[0], self.own[-1]))
        except AttrimorphError:
            self._discard()
            raise

    def __enter__(self) -> "PreparedWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        with suppress(OSError):
            self.mark()
        for file in (*(rows.file for rows in self._arrays.values()), self._journal):
            with suppress(OSError):
                file.close()
        if kind is not None:
            self._discard()

    def _discard(self) -> None:
        """Leave nothing behind but what a later run goes on from, or finished data."""
        if (self.path / "schema.json").exists():
            return
        goes_on = self.part[1] > 1 or (self._resumable and self.done.any())
        with suppress(OSError):
            if not (goes_on and (self.path / "schema.json.part").exists()):
                for path in self._placed:
                    path.unlink(missing_ok=True)
            if not goes_on:
                for name in self._arrays:
                    (self.path / name).unlink(missing_ok=True)
                clear_leftovers(self.path)

    def _read_journal(self, part: Part) -> bool:
        """Learn what is there of a part; return whether its journal is one."""
        rows, journal = bounds(len(self.done), part), self.path / named("journal", part)
        content = journal.read_bytes() if journal.is_file() else b""
        if len(content) != len(self._stamp) + len(rows) or not content.startswith(self._stamp):
            return False
        self.done[rows.start : rows.stop] = np.frombuffer(content[len(self._stamp) :], dtype=np.uint8) == 1
        return True

    def _write_journal(self, rows: Sequence[int]) -> None:
        """Note rows that are done, or are known: only their part of the journal is written."""
        first, end = min(rows), max(rows) + 1
        self._journal.seek(len(self._stamp) + first - self.own.start)
        self._journal.write(self.done[first:end].tobytes())
        self._journal.flush()

    def write(self, row: int, image: Pixels, mask: Pixels | None = None) -> None:
        """Write one row: image uint8 [S, S, 3], mask uint8 [S, S]."""
        size = self.image_size
        if image.shape != (size, size, 3) or image.dtype != np.uint8:
            raise AttrimorphError(f"an image must be uint8 [{size}, {size}, 3]; got {image.dtype} {list(image.shape)}")
        with writing(self.path):
            self._arrays["images.npy"].write(row, image)
            if "masks.npy" in self._arrays:
                self._arrays["masks.npy"].write(row, np.full((size, size), 255, np.uint8) if mask is None else mask)
            self._unmarked.append(row)
            if len(self._unmarked) >= SYNC_EVERY:
                self.mark()

    def mark(self) -> None:
        """Make the rows written so far durable, then say so in the journal."""
        if self._unmarked:
            for rows in self._arrays.values():
                rows.file.flush()
                os.fsync(rows.file.fileno())
            self.done[self._unmarked] = True
            self._write_journal(self._unmarked)
            self._unmarked.clear()

    @property
    def complete(self) -> bool:
        """Whether nothing of the part is left to do."""
        return (self.path / named("skipped", self.part)).exists()

    def write_part(self) -> None:
        """Make the part durable, with the checksums of its rows; others may do so with theirs meanwhile."""
        with writing(self.path):
            self.mark()
            os.fsync(self._journal.fileno())
        with whole_file(self.path / named("checksums", self.part)) as file:
            npy.write_array(file, self._checksums(), allow_pickle=False)

    def finish_part(self, skipped: Sequence[Mapping[str, str]]) -> None:
        """Note that nothing of the part is left to do, and why rows of it were never written."""
        write_json(self.path / named("skipped", self.part), list(skipped))

    def _checksums(self) -> NDArray[np.uint32]:
        """Return the checksums of the rows of the part, 0 of those never written."""
        values = (checksum(*(each.read(row) for each in self._arrays.values())) for row in self.own)
        sums = np.fromiter(values, np.uint32, len(self.own))
        return np.where(self.done[self.own.start : self.own.stop], sums, np.uint32(0))

    def _joined(self) -> tuple[list[Mapping[str, str]], NDArray[np.uint32]]:
        """Learn what is there of all parts; return what was skipped, and the checksums."""
        skipped, sums = list[Mapping[str, str]](), []
        for part in ((number, self.part[1]) for number in range(1, self.part[1] + 1)):
            with sound(self.path / named("journal", part)):
                if not self._read_journal(part):
                    raise ValueError("it is of other rows")
            with sound(self.path / named("checksums", part)):
                sums.append(np.load(self.path / named("checksums", part), allow_pickle=False))
            skipped += read_json(self.path / named("skipped", part))
        return skipped, np.concatenate(sums)

    def finish(
        self,
        schema: Schema,
        table: Mapping[str, Sequence[Any]],
        *,
        files: Sequence[str],
        split: Sequence[str],
        identity: Sequence[int],
        factors: Factors | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        skipped: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Put the last rows where rows were never written, write the labels and, last, schema.json.

        All parts are to be complete.

        Args:
            table: attribute name -> N raw values (None = missing); like `files`, `split`, `identity` and `factors`
                for all N rows, also those never written.
            skipped: of one who writes all rows; parts know theirs.
        """
        with writing(self.path):
            self.mark()
        skipped, sums = (skipped, self._checksums()) if self.part[1] == 1 else self._joined()
        count = int(self.done.sum())
        rows = np.arange(count)
        rows[~self.done[:count]] = count + np.flatnonzero(self.done[count:])
        if not count:
            first = f"{skipped[0]['file']} {skipped[0]['reason']}" if skipped else "there were none"
            raise AttrimorphError(f"no image could be read for {self.path}; the first reason: {first}")
        with writing(self.path):
            for array in self._arrays.values():
                array.arrange(rows)
        self._placed += [self.path / name for name in PLACED[2:]]
        with whole_file(self.path / "checksums.npy") as file:
            npy.write_array(file, sums[rows], allow_pickle=False)
        if factors is not None:
            with whole_file(self.path / "factors.npy") as file:
                npy.write_array(file, np.asarray(factors[1], np.float32)[rows], allow_pickle=False)
        columns = (files, split, identity, *(table[name] for name in schema.names))
        with whole_file(self.path / "attributes.csv") as text, whole_file(self.path / "attributes.npy") as numbers:
            text.write(attributes_csv(schema, []))
            about = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), schema.width)}
            npy.write_array_header_1_0(numbers, about)
            for start in range(0, len(rows), ROWS_AT_ONCE):
                part = rows[start : start + ROWS_AT_ONCE].tolist()
                values = [[column[row] for row in part] for column in columns]
                text.write(csv_text(zip(*values, strict=True)).encode("utf-8", "surrogateescape"))
                # As they will be read: an empty cell is missing.
                cells = [["" if value is None else value for value in column] for column in values[3:]]
                y = schema.encode(dict(zip(schema.names, cells, strict=True)), len(part))
                numbers.write(y.astype("<f4").tobytes())
        images_hash = hash_images(np.load(self.path / "images.npy.part", mmap_mode="r")[:count])
        counts = Counter(split[row] for row in rows.tolist())
        head = {
            "format": FORMAT,
            "version": VERSION,
            "image_size": self.image_size,
            "count": count,
            "splits": {name: counts[name] for name in SPLITS},
            "masks": "masks.npy" in self._arrays,
            "checksums": True,
            "factor_names": [] if factors is None else list(factors[0]),
            "images_fingerprint": images_hash,
            "labels": labels_digests(self.path, schema, images_hash)[1],
            "preprocessing": dict(preprocessing or {}),
            "skipped": [dict(entry) for entry in skipped],
            "schema": schema.to_json(),
        }
        write_json(self.path / "schema.json.part", head)
        place(self.path)


def write_prepared(
    path: str | Path,
    images: Pixels | Iterable[Pixels | tuple[Pixels, Pixels]],
    schema: Schema,
    attributes: Tensor,
    *,
    files: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    identity: Sequence[int] | Tensor | None = None,
    factors: Factors | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> None:
    """Write images that are already arrays as a prepared folder.

    Args:
        images: uint8 [N, S, S, 3], or an iterator of chunks uint8 [n, S, S, 3] that add up to N; with masks, chunks
            are pairs of images and masks, uint8 [n, S, S].
        attributes: y, float32 [N, W]; NaN = missing.
        files: N names; default 000000.png, ...
        split: N words; default all "train".
        identity: N whole numbers; default -1 (unknown).
        factors: their names, and float32 [N, F].

    Raises:
        AttrimorphError: shapes do not fit, or the folder cannot be written.
    """
    count = len(attributes)
    if attributes.shape != (count, schema.width):
        raise AttrimorphError(f"attributes must be [N, {schema.width}] for this schema; got {list(attributes.shape)}")
    whole = [images] if isinstance(images, np.ndarray) else images
    chunks = (chunk if isinstance(chunk, tuple) else (chunk,) for chunk in whole)
    first = next(chunks, None)
    if first is None or first[0].ndim != 4:
        raise AttrimorphError("images must be uint8 [N, S, S, 3] or chunks of it; got none")
    row = 0
    with PreparedWriter(path, count, int(first[0].shape[1]), masks=len(first) == 2) as writer:
        for chunk in chain([first], chunks):
            if row + len(chunk[0]) > count or len(chunk[0]) != len(chunk[-1]):
                raise AttrimorphError(
                    f"images, masks and attributes must be equally many; there are {count} attributes"
                )
            for values in zip(*chunk, strict=True):
                writer.write(row, *values)
                row += 1
        if row != count:
            raise AttrimorphError(f"images and attributes must be equally many; got {row} and {count}")
        writer.finish(
            schema,
            raw_table(schema, attributes),
            files=files or [f"{number:06d}.png" for number in range(count)],
            split=split if split is not None else ["train"] * count,
            identity=[-1] * count if identity is None else [int(value) for value in identity],
            factors=factors,
            preprocessing=preprocessing,
        )
