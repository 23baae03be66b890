"""Prepared data: a folder of plain arrays that a loader reads by index, and how it is made of image files.

    images.npy       uint8 [N, S, S, 3], a real .npy file, opened as a memory map
    masks.npy        uint8 [N, S, S], 0 background .. 255 foreground; optional
    checksums.npy    uint32 [N], CRC-32 of each image and its mask; absent in older folders
    factors.npy      float32 [N, F], the exact factors of drawn images; optional
    attributes.csv   file, split, identity, then one column of raw values for each attribute
    attributes.npy   float32 [N, W], what its values mean; absent in older folders, passed over where it is of others
    schema.json      the attribute schema, how the arrays were made, what was skipped; written last

A folder without schema.json is not prepared: it is being written, or the writing was interrupted. Images are
decoded once, several at a time, by several machines where each takes a part; the same call goes on where it was.
Where an image cannot be used, one from the end takes its row.
"""

import csv
import hashlib
import json
import mmap
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self, TextIO

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data import FIXED_COLUMNS, FORMAT, SPLITS, VERSION, Schema, whole_number
from attrimorph.data.decoding import ImageDecoder, Pixels
from attrimorph.data.folder import (
    Part,
    clear_leftovers,
    discard_prepared,
    labels_digests,
    missing_parts,
    place,
    sound,
)
from attrimorph.data.images import CropLike, checksum, size_of
from attrimorph.data.readers import Crop, RawData, Source
from attrimorph.data.readers.raw import preview
from attrimorph.data.writer import PreparedWriter
from attrimorph.errors import AttrimorphError
from attrimorph.files import cache_folder, lock_folder, read_json, writing

STRETCH = 1 << 17  # bytes asked for at once: of more, Linux reads no more than a device's read-ahead


class Names(Sequence[str]):
    """Names in one block of bytes: of millions, each as a string takes sixty bytes beside its letters."""

    def __init__(self) -> None:
        self._letters, self._ends = bytearray(), array("Q", [0])

    def extend(self, names: Iterable[str]) -> None:
        """Add some."""
        for name in names:
            self._letters += name.encode("utf-8", "surrogateescape")
            self._ends.append(len(self._letters))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        place = range(len(self))[row]
        return self._letters[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogateescape")


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Images, attributes and splits, ready to be read by index.

    Attributes:
        images: uint8 [N, S, S, 3], usually a memory map.
        attributes: float32 [N, W], the vector y of each image, usually a memory map; NaN = missing.
        identity: int64 [N]; -1 = unknown.
        split: N words, each "train", "valid" or "test".
        files: N names, relative to the source.
        schema: what the columns of `attributes` mean.
        masks: uint8 [N, S, S], 0 background .. 255 foreground, or None.
        factors: float32 [N, F], the exact factors of drawn images, or None.
        factor_names: F names, empty without factors.
        checksums: uint32 [N], see `checksum`; None where nobody took them.
        preprocessing: how the images were made (crop, alignment, ...).
        skipped: what could not be read: {"file": ..., "reason": ...}.
        fingerprint: changes whenever images, labels or splits change.
        path: the folder, or None when the data only lives in memory.
        source: what the user named; None when data were drawn, or opened by their folder.
        maps: the memory maps among the arrays, and where in its file each ends, in bytes.
    """

    images: NDArray[np.uint8]
    attributes: Tensor
    identity: Tensor
    split: NDArray[Any]
    files: Sequence[str]
    schema: Schema
    masks: NDArray[np.uint8] | None = None
    factors: NDArray[np.float32] | None = None
    factor_names: tuple[str, ...] = ()
    checksums: NDArray[np.uint32] | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)
    fingerprint: str = ""
    path: Path | None = None
    source: Source | None = None
    maps: tuple[tuple[mmap.mmap, int], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> int:
        """Height and width of every image, in pixels."""
        return int(self.images.shape[1])

    @cached_property
    def _by_split(self) -> dict[str, NDArray[np.int64]]:
        return {name: np.flatnonzero(self.split == name).astype(np.int64) for name in SPLITS}

    def indices(self, split: str) -> NDArray[np.int64]:
        """Return the rows of a split, ascending; "all" gives every row.

        Raises:
            AttrimorphError: there is no such split.
        """
        if split == "all":
            return np.arange(len(self), dtype=np.int64)
        if split not in SPLITS:
            raise AttrimorphError(f"a split must be one of {', '.join(SPLITS)} or all; got {split!r}")
        return self._by_split[split]

    def with_schema(self, schema: Schema, own: str) -> Self:
        """Return the data with their attributes in the columns of another schema.

        Args:
            schema: with the same attributes, by name, kind and values.
            own: whose it is.

        Raises:
            AttrimorphError: the data have others.
        """
        if schema.attributes == self.schema.attributes:
            return self
        schema.check_same(self.schema, own, "the data" if self.path is None else f"the data in {self.path}")
        return replace(self, schema=schema, attributes=schema.columns_of(self.attributes, self.schema))

    @cached_property
    def varies(self) -> Tensor:
        """Which columns of `attributes` have more than one value in the train split, bool [W]."""
        train, found = torch.from_numpy(self.indices("train")), []
        for column in self.attributes.T:  # one at a time: all of millions of rows take gigabytes
            known = column[train]
            known = known[~known.isnan()]
            found.append(bool(len(known)) and bool(known.max() > known.min()))
        return torch.tensor(found, dtype=torch.bool)

    def read(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return copies of the images and masks of some rows; the first of them is compared with its checksum.

        Raises:
            AttrimorphError: the files were cut short, or changed, since they were prepared.
        """
        # Reading a map beyond the end of its file ends the process.
        if any(each.size() < end for each, end in self.maps):
            raise AttrimorphError(f"{self.path} was cut short while it was read; prepare the images again")
        self.fetch(rows)
        found = [np.ascontiguousarray(each[rows]) for each in (self.images, self.masks) if each is not None]
        if (
            len(rows)
            and self.checksums is not None
            and checksum(*(each[0] for each in found)) != self.checksums[rows[0]]
        ):
            raise AttrimorphError(
                f"{self.path} has changed since it was prepared: {self.files[rows[0]]} is not what it was; prepare the "
                "images again"
            )
        return found[0], found[1] if len(found) > 1 else None

    def fetch(self, rows: NDArray[np.int64]) -> None:
        """Ask the system for the images and masks of some rows, without waiting for them."""
        for each in (self.images, self.masks):
            if isinstance(each, np.memmap) and isinstance(each.base, mmap.mmap):
                _fetch(each.base, each.offset % mmap.ALLOCATIONGRANULARITY, each.strides[0], rows)

    def check(self) -> None:
        """Compare every image with its checksum; errors as of `read`."""
        for row in range(len(self) if self.checksums is not None else 0):
            self.read(np.array([row]))

    def release(self) -> None:
        """Give back the memory of what was read of memory maps; the system keeps it only where it has room."""
        for each, _ in self.maps:
            each.madvise(mmap.MADV_DONTNEED)

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the images, float32 [B, 3, S, S] in [-1, 1], and attributes [B, W] of some rows."""
        pixels = torch.from_numpy(self.read(rows)[0])
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1, self.attributes[torch.from_numpy(rows)]


def _fetch(base: mmap.mmap, offset: int, size: int, rows: NDArray[np.int64]) -> None:
    """Ask the system for rows of a memory map, all at once.

    From a disk they come together then, and no neighbours with them; missed one after the other each waits for the one
    before, and comes with thirty to sixty times as many bytes. Neighbours that follow each other are asked for as one.

    Args:
        base: the map.
        offset: of the first row in it, in bytes.
        size: of a row, in bytes.
        rows: which.
    """
    firsts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    lasts = np.append(firsts, len(rows))[1:] - 1
    begins, ends = offset + rows[firsts] * size, offset + (rows[lasts] + 1) * size
    for begin, end in zip((begins // mmap.PAGESIZE * mmap.PAGESIZE).tolist(), ends.tolist(), strict=True):
        for start in range(begin, end, STRETCH):
            base.madvise(mmap.MADV_WILLNEED, start, min(STRETCH, end - start))


def open_prepared(path: str | Path) -> PreparedData:
    """Open a prepared folder; the images stay on disk until they are read.

    Raises:
        AttrimorphError: the folder is missing, not prepared, foreign, newer than this program, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise AttrimorphError(f"there is no folder {path}; check the path")
    if not (path / "schema.json").is_file():
        if (missing := missing_parts(path)) is not None:
            what = f"missing or unfinished: {preview(missing, 8)}" if missing else "all are there, and not joined yet"
            with_part = f"--part {missing[0]}" if missing else "one of its parts again"
            raise AttrimorphError(
                f"{path} is prepared in parts; {what}; run the same `attrimorph data prepare` with {with_part}"
            )
        raise AttrimorphError(
            f"{path} must be a prepared folder with a schema.json; it has none; "
            "run `attrimorph data prepare` on the images first"
        )
    head = read_json(path / "schema.json")
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise AttrimorphError(
            f"{path / 'schema.json'} was not written by attrimorph; prepare the images into another folder"
        )
    if head.get("version") != VERSION:
        raise AttrimorphError(
            f"{path} has format version {head.get('version')!r}, this program reads {VERSION}; "
            "prepare the images again or update attrimorph"
        )
    try:
        schema = Schema.from_json(head["schema"])
        size, count = int(head["image_size"]), int(head["count"])
        factor_names = tuple(str(name) for name in head["factor_names"])
        has_masks, images_hash = bool(head["masks"]), str(head["images_fingerprint"])
        preprocessing = dict(head["preprocessing"])
        skipped = [{"file": str(entry["file"]), "reason": str(entry["reason"])} for entry in head["skipped"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AttrimorphError(
            f"{path / 'schema.json'} is damaged ({error} is missing or wrong); prepare the images again"
        ) from error
    images = _open_array(path / "images.npy", np.uint8, (count, size, size, 3))
    masks = _open_array(path / "masks.npy", np.uint8, (count, size, size)) if has_masks else None
    factors = _open_array(path / "factors.npy", np.float32, (count, len(factor_names))) if factor_names else None
    checksums = _open_array(path / "checksums.npy", np.uint32, (count,)) if head.get("checksums") else None
    fingerprint, labels = labels_digests(path, schema, images_hash)
    known = bool(labels) and labels == head.get("labels")
    files, split, identity, parsed = _labels(path / "attributes.csv", schema, count, parse=not known)
    attributes = _open_array(path / "attributes.npy", np.float32, (count, schema.width), "c") if known else parsed
    check_range(schema, attributes, files)
    arrays: list[Any] = [each for each in (images, masks, attributes) if each is not None]
    return PreparedData(
        images,
        torch.from_numpy(attributes),
        torch.from_numpy(identity),
        split,
        files,
        schema,
        masks=masks,
        factors=factors,
        factor_names=factor_names,
        checksums=None if checksums is None else np.array(checksums),
        preprocessing=preprocessing,
        skipped=skipped,
        fingerprint=fingerprint[:16],
        path=path,
        maps=tuple((each.base, each.offset + each.nbytes) for each in arrays if isinstance(each.base, mmap.mmap)),
    )


def check_range(schema: Schema, y: NDArray[np.float32], files: Sequence[str]) -> None:
    """Refuse real values so far out that training on them ends in infinities.

    Args:
        schema: of y, float32 [N, W].
        files: N names.

    Raises:
        AttrimorphError: a value lies further than `FURTHEST` from the mean.
    """
    for attribute in schema.attributes:
        if attribute.kind != "real":
            continue
        column = y[:, schema.columns(attribute.name).start]
        if (beyond := np.flatnonzero(np.abs(column) > FURTHEST)).size:
            value = float(column[beyond[0]]) * attribute.scale + attribute.mean
            raise AttrimorphError(
                f"the real attribute {attribute.name!r} must lie within {FURTHEST:,} standard deviations of its mean in"
                f" the train split, {attribute.mean:g}; {files[beyond[0]]} has {value:g}; mend it or empty its cell"
            )


def _open_array(path: Path, dtype: type, shape: tuple[int, ...], mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """Open an array of a file; "c": what is changed in memory stays there, which torch wants of its tensors."""
    with sound(path):
        array: NDArray[Any] = open_memmap(path, mode=mode)
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise AttrimorphError(
            f"{path} must hold {np.dtype(dtype)} {list(shape)}; it holds {found}; prepare the images again"
        )
    if (size := path.stat().st_size) != (own := array.offset + array.nbytes):  # type: ignore[attr-defined]
        raise AttrimorphError(f"{path} must have {own:,} bytes; it has {size:,}; prepare the images again")
    return array


Labels = tuple[Names, NDArray[Any], NDArray[np.int64], NDArray[np.float32]]


def _labels(path: Path, schema: Schema, count: int, *, parse: bool) -> Labels:
    """Return files, split [N], identity [N] and attributes [N, W] of attributes.csv; without `parse` these are empty.

    A part of the rows is in memory as text at a time: millions of them would take ten times as much as their numbers.
    """
    rows, header = _csv_rows(path), [*FIXED_COLUMNS, *schema.names]
    first = next(rows, [])
    if first != header:
        raise AttrimorphError(
            f"{path} must begin with the columns {', '.join(header[:5])}, ... of schema.json; "
            f"it begins with {first[:5] or 'nothing'}; prepare the images again"
        )
    files, words = Names(), {name: name for name in SPLITS}
    split, identity = np.empty(count, object), np.empty(count, np.int64)
    attributes = np.empty((count if parse else 0, schema.width), np.float32)
    where = ""
    while part := list(islice(rows, ROWS_AT_ONCE)):
        wrong = next((number for number, row in enumerate(part, len(files) + 2) if len(row) != len(header)), None)
        place = slice(len(files), len(files) + len(part))
        if wrong or place.stop > count:
            where = (
                f"line {wrong} has another number of columns"
                if wrong
                else f"it has {place.stop + sum(1 for _ in rows)}"
            )
            break
        names, splits, people = ([row[column] for row in part] for column in range(3))
        if strange := set(splits) - set(SPLITS):
            raise AttrimorphError(f"a split in {path} must be one of {', '.join(SPLITS)}; got {min(strange)!r}")
        files.extend(names)
        split[place] = [words[word] for word in splits]  # three strings, and not as many as rows
        identity[place] = [whole_number(word, "an identity", path) for word in people]
        if parse:
            columns = [*zip(*part, strict=True)][3:]
            attributes[place] = schema.encode(dict(zip(schema.names, columns, strict=True)), len(part))
    if where or len(files) != count:
        where = where or f"it has {len(files)}"
        raise AttrimorphError(
            f"{path} must have {count} rows of {len(header)} columns; {where}; prepare the images again"
        )
    return files, split, identity, attributes


def _csv_rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file."""
    with sound(path), path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield from csv.reader(file)


# --- made of a folder of image files

Progress = Callable[[int, int], None]
LARGEST = 1024
ROWS_AT_ONCE = 16_384  # of attributes.csv that are in memory as text
FURTHEST = 10_000  # standard deviations
LOOKED_AT = 200  # files whose size is read before all are decoded


@dataclass(frozen=True)
class Summary:
    """What `prepare` did.

    Attributes:
        out: the prepared folder.
        format: what the source was read as.
        written: images in the folder.
        resumed: how many of them an earlier, interrupted run had written.
        skipped: {"file": ..., "reason": ...} for each image that could not be used.
        splits: split -> images.
        seconds: the whole call took.
        images_per_second: decoded in this run.
        notes: what the reader left out or assumed, in sentences.
        missing: parts that are not complete, as 2/8; all of the above is of one part then.
    """

    out: Path
    format: str
    written: int
    resumed: int
    skipped: list[dict[str, str]]
    splits: dict[str, int]
    seconds: float
    images_per_second: float
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "out": str(self.out)}

    def lines(self) -> list[str]:
        """Return the summary in sentences."""
        splits = ", ".join(f"{count} {name}" for name, count in self.splits.items())
        resumed = f" ({self.resumed} were there already)" if self.resumed else ""
        more = len(self.skipped) - 20
        return [
            f"{self.written} images ({splits}) of the format {self.format} are in {self.out}{resumed}; "
            f"{self.seconds:.1f} s, {self.images_per_second:.0f} images/s",
            *(
                [f"missing yet: part {preview(self.missing, 8)}; whichever is ready last joins all"]
                if self.missing
                else []
            ),
            *self.notes,
            *(f"skipped {entry['file']}: {entry['reason']}" for entry in self.skipped[:20]),
            *([f"skipped {more} more; schema.json names them all"] if more > 0 else []),
        ]


@dataclass(frozen=True)
class _Preparation:
    """How every image is made."""

    raw: RawData
    image_size: int
    crop: CropLike
    align: bool
    masks: bool

    def one_size(self) -> tuple[int, int] | None:
        """The width and height that all files have, as far as some of them tell; None where they differ."""
        found = set()
        for path in self.raw.files[:: max(1, len(self.raw.files) // LOOKED_AT)]:
            with suppress(AttrimorphError):  # it will be left out
                found.add(size_of(path))
        return found.pop() if len(found) == 1 else None

    def describe(self) -> dict[str, Any]:
        crop = asdict(self.crop) if isinstance(self.crop, Crop) else self.crop
        return {"crop": crop, "align": self.align, "resample": "lanczos", "masks": self.masks}

    @cached_property
    def request(self) -> str:
        """A fingerprint of the source files, their labels and how they are made into images."""
        raw = self.raw
        digest = hashlib.sha256(json.dumps([raw.name, self.image_size, self.describe()]).encode())
        masks = raw.masks if self.masks and raw.masks else []
        names = [*raw.relative(), *("" if path is None else path.name for path in masks)]
        for name, path in zip(names, (*raw.files, *masks), strict=True):
            size, changed = -1, 0
            with suppress(OSError):  # a link that leads nowhere is told when it is read
                if path is not None:
                    status = path.stat()
                    size, changed = status.st_size, status.st_mtime_ns
            digest.update(f"{name}\0{size}\0{changed}\n".encode("utf-8", "surrogateescape"))
        digest.update(json.dumps(raw.schema.to_json()).encode())
        digest.update(" ".join(raw.split).encode() + np.asarray(raw.identity, np.int64).tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """y of every image, float32 [N, W]."""
        return self.raw.encode()

    def images(self, rows: Sequence[int], workers: int) -> Generator[Pixels | AttrimorphError]:
        """Yield images and masks, or why there are none, in order."""
        raw, masks = self.raw, self.raw.masks if self.masks and self.raw.masks else None
        files = [(raw.files[row], None if masks is None else masks[row]) for row in rows]
        return ImageDecoder(self.image_size, self.crop, self.align, raw.mask_background).all(files, workers)

    def write(
        self, out: Path, workers: int, progress: Progress | None, part: Part = (1, 1), lock: TextIO | None = None
    ) -> Summary:
        """Decode every row of a part that is not there yet; where no part is missing then, they are the data.

        Args:
            lock: of `out`, which the caller has; given back while one of several parts is decoded.
        """
        raw, names = self.raw, self.raw.relative()
        skipped: list[dict[str, str]] = []
        size, request = self.image_size, self.request
        with PreparedWriter(out, len(raw), size, masks=self.masks, request=request, part=part) as writer:
            own = np.array(writer.own)
            todo = [] if writer.complete else own[~writer.done[own]].tolist()
            resumed = len(own) - len(todo)
            if several := lock is not None and part[1] > 1 and not writer.complete:
                lock.close()
            begin = time.perf_counter()
            with closing(self.images(todo, workers)) as images:
                for number, (row, result) in enumerate(zip(todo, images, strict=True), 1):
                    if isinstance(result, AttrimorphError):
                        skipped.append({"file": names[row], "reason": str(result)})
                    else:
                        writer.write(row, *result)
                    if progress is not None and (number % 16 == 0 or number == len(todo)):
                        progress(resumed + number, len(own))
            seconds = time.perf_counter() - begin
            if several:
                writer.write_part()
            with lock_folder(out, wait=True) if several else nullcontext():
                if several:
                    writer.finish_part(skipped)
                missing = missing_parts(out) or []
                if not missing:
                    writer.finish(
                        raw.schema,
                        raw.table,
                        files=names,
                        split=raw.split,
                        identity=raw.identity,
                        preprocessing={
                            **self.describe(), "of": self.one_size(), "format": raw.name, "request": request
                        },
                        skipped=skipped,
                    )  # fmt: skip
        counts = Counter(raw.split[row] for row in own[writer.done[own]].tolist())
        splits = {name: counts[name] for name in SPLITS}
        rate = len(todo) / max(seconds, 1e-9)
        return Summary(out, raw.name, counts.total(), resumed, skipped, splits, seconds, rate, missing=missing)


def prepare(
    source: str | Path | Source | RawData,
    out: str | Path,
    image_size: int,
    *,
    crop: CropLike = None,
    align: bool = False,
    masks: bool | None = None,
    attributes: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    part: Part = (1, 1),
) -> Summary:
    """Make a prepared folder out of a folder of images.

    Interrupted, the same call goes on where it was. Images that cannot be used are skipped and named in the summary.

    Args:
        source: a folder in any layout that a reader knows, or what a reader returned.
        out: the folder to write; must not hold other prepared data.
        image_size: height and width in pixels, 8 .. 1024.
        crop: None = what is usual for the data set, otherwise the centre square; "centre"; a size; a rectangle.
        align: put the eyes of every face at fixed places; images without a face are skipped.
        masks: write masks; None = where the data set has them.
        attributes: keep only these; None = all.
        workers: how many images are decoded at once, of many by processes; None = one for each core.
        progress: called with (done, total).
        part: (k, n): decode the k-th of n shares only, others may be decoded meanwhile, on machines that share the
            folder. Whichever is ready last joins them to what one call would have made.

    Raises:
        AttrimorphError: the source cannot be read, the sizes are out of range, or `out` cannot be written.
    """
    begin = time.perf_counter()
    if not isinstance(source, RawData):
        source = Source.of(source).read()
    job = _job(source, image_size, crop, align, masks, attributes)
    out, request = Path(out), job.request
    if workers is not None and workers < 1:
        raise AttrimorphError(f"workers must be at least 1; got {workers}")
    if out.exists() and not out.is_dir():
        raise AttrimorphError(f"{out} must be a folder; it is a file; choose another folder with --out")
    with lock_folder(out, wait=True) as lock:
        if (out / "schema.json.part").is_file():
            place(out)
        if (out / "schema.json").is_file():
            data = open_prepared(out)
            if data.preprocessing.get("request") != request:
                raise AttrimorphError(
                    f"{out} already holds prepared data of another source or other settings; "
                    "delete it or choose another folder with --out"
                )
            clear_leftovers(out)
            resumed, rate = len(data), 0.0
        else:
            made = job.write(out, workers or _cores(), progress, part, lock)
            if made.missing:
                return replace(made, seconds=time.perf_counter() - begin, notes=source.left_out())
            resumed, rate, data = made.resumed, made.images_per_second, open_prepared(out)
    splits = {name: len(data.indices(name)) for name in SPLITS}
    seconds = time.perf_counter() - begin
    return Summary(out, source.name, len(data), resumed, data.skipped, splits, seconds, rate, source.left_out())


def _job(
    raw: RawData, image_size: int, crop: CropLike, align: bool, masks: bool | None, attributes: Sequence[str] | None
) -> _Preparation:
    if not 8 <= image_size <= LARGEST:
        raise AttrimorphError(f"image_size must be between 8 and {LARGEST}; got {image_size}")
    if attributes is not None:
        if not attributes:
            raise AttrimorphError("at least one attribute must be kept; name one or leave --attributes out")
        kept = {name: raw.schema.attribute(name) for name in attributes}
        groups = (tuple(name for name in group if name in kept) for group in raw.schema.exclusive)
        schema = Schema(tuple(kept.values()), tuple(group for group in groups if len(group) > 1))
        raw = replace(raw, schema=schema, table={name: raw.table[name] for name in kept})
    if masks and raw.masks is None:
        raise AttrimorphError(f"the format {raw.name} has no masks; leave --masks out")
    if align and (masks or crop is not None):
        raise AttrimorphError("align cuts out the face by itself; leave --crop and --masks out with it")
    with_masks = raw.masks is not None and not align if masks is None else masks
    job = _Preparation(raw, image_size, raw.crop if crop is None else crop, align, with_masks)
    check_range(raw.schema, job.labels, raw.relative())
    return job


def open_or_prepare(
    source: str | Path | Source,
    image_size: int,
    *,
    crop: CropLike = None,
    align: bool = False,
    progress: Progress | None = None,
    found: Callable[[RawData], None] | None = None,
    kept: bool = True,
) -> PreparedData:
    """Open a prepared folder, or prepare a folder of images into a cache and open that.

    The cache lies in PATH/.attrimorph/SIZE (with crop, align, format or table in its name), or in the user's cache
    where PATH cannot be written. It is made anew when the source has changed (images, masks, labels), or it is broken.

    Args:
        source: the folder, and how it is read where it is not recognised.
        image_size: height and width in pixels.
        crop: as of `prepare`.
        align: as of `prepare`.
        progress: called with (done, total).
        found: called with what a folder of images holds before any of them is decoded; may refuse it.
        kept: whether what has to be prepared may be kept in the cache; else nothing is written there.

    Raises:
        AttrimorphError: the prepared folder has another size, the images cannot be read, or the cache not written.
    """
    source = Source.of(source)
    if source.prepared:
        data = open_prepared(source.path)
        if data.image_size != image_size:
            raise AttrimorphError(
                f"{source.path} was prepared at {data.image_size} pixels; {image_size} are wanted; "
                "prepare the images again at that size, or set image_size in the recipe"
            )
        return replace(data, source=source)
    raw = source.read()
    if found is not None:
        found(raw)
    if crop == raw.crop or (crop == "centre" and raw.crop is None):
        crop = None  # what is usual: the same cache
    job = _job(raw, image_size, crop, align, None, None)
    out = _cache(source, image_size, crop, align)
    if not kept:
        with suppress(AttrimorphError):
            if (data := open_prepared(out)).preprocessing.get("request") == job.request:
                return replace(data, source=source)
        with TemporaryDirectory(prefix="attrimorph-") as folder:
            job.write(Path(folder), _cores(), progress)
            return replace(open_prepared(folder), source=source, path=None)  # a memory map outlives its file's name
    elsewhere = f"it keeps the prepared images of {source.path}; set XDG_CACHE_HOME to a folder with space"
    with lock_folder(out, wait=True, remedy=elsewhere):
        # What is broken, or of other images, is made anew.
        with suppress(AttrimorphError):
            data = open_prepared(out)
            if data.preprocessing.get("request") == job.request:
                return replace(data, source=source)
        with writing(out, elsewhere):
            discard_prepared(out)
        job.write(out, _cores(), progress)
    return replace(open_prepared(out), source=source)


def _cache(source: Source, image_size: int, crop: CropLike, align: bool) -> Path:
    cut = ""
    if isinstance(crop, Crop):
        reference = f"of{crop.of[0]}x{crop.of[1]}" if crop.of else ""
        cut = f"-crop{crop.left:g},{crop.top:g},{crop.right:g},{crop.bottom:g}{reference}"
    elif crop is not None:
        cut = f"-crop{crop}"
    layout = "" if source.format == "auto" else f"-{source.format}"
    if source.table is not None:
        layout = f"-{source.table.stem}-{_digest(source.table)[:8]}"
    name = f"{image_size}{cut}{'-aligned' if align else ''}{layout}"
    beside = source.path / ".attrimorph"
    if os.access(beside if beside.exists() else source.path, os.W_OK):
        return beside / name
    return cache_folder() / "data" / _digest(source.path)[:16] / name


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
