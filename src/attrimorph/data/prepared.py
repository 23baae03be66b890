"""Prepared data: a folder of plain arrays that a loader reads by index.

    images.npy       uint8 [N, S, S, 3], a real .npy file, opened as a memory map
    masks.npy        uint8 [N, S, S], 0 background .. 255 foreground; optional
    factors.npy      float32 [N, F], the exact factors of drawn images; optional
    attributes.csv   file, split, identity, then one column of raw values for each attribute
    schema.json      the attribute schema, how the arrays were made, what was skipped; written last

A folder without schema.json is not prepared: it is being written, or the writing was interrupted.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.readers import Source
from attrimorph.data.readers.raw import whole_number
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json

FORMAT, VERSION = "attrimorph-prepared", 1
SPLITS = ("train", "valid", "test")
FIXED_COLUMNS = ("file", "split", "identity")


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Images, attributes and splits, ready to be read by index.

    Attributes:
        images: uint8 [N, S, S, 3], usually a memory map.
        attributes: float32 [N, W], the vector y of each image; NaN = missing.
        identity: int64 [N]; -1 = unknown.
        split: N words, each "train", "valid" or "test".
        files: N names, relative to the source.
        schema: what the columns of `attributes` mean.
        masks: uint8 [N, S, S], 0 background .. 255 foreground, or None.
        factors: float32 [N, F], the exact factors of drawn images, or None.
        factor_names: F names, empty without factors.
        preprocessing: how the images were made (crop, alignment, ...).
        skipped: what could not be read: {"file": ..., "reason": ...}.
        fingerprint: changes whenever images, labels or splits change.
        path: the folder, or None when the data only lives in memory.
        source: what the user named; None when data were drawn, or opened by their folder.
    """

    images: NDArray[np.uint8]
    attributes: Tensor
    identity: Tensor
    split: NDArray[np.str_]
    files: list[str]
    schema: Schema
    masks: NDArray[np.uint8] | None = None
    factors: NDArray[np.float32] | None = None
    factor_names: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)
    fingerprint: str = ""
    path: Path | None = None
    source: Source | None = None

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

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the images, float32 [B, 3, S, S] in [-1, 1], and attributes [B, W] of some rows."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[rows]))
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1, self.attributes[torch.from_numpy(rows)]


def open_prepared(path: str | Path) -> PreparedData:
    """Open a prepared folder; the images stay on disk until they are read.

    Raises:
        AttrimorphError: the folder is missing, not prepared, foreign, newer than this program, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise AttrimorphError(f"there is no folder {path}; check the path")
    if not (path / "schema.json").is_file():
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
    with _sound(path / "attributes.csv"):
        content = (path / "attributes.csv").read_bytes()
        rows = list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))
    files, split, identity, *columns = _columns(path / "attributes.csv", rows, [*FIXED_COLUMNS, *schema.names], count)
    digest = hashlib.sha256(images_hash.encode())
    digest.update(json.dumps(schema.to_json(), sort_keys=True).encode())
    digest.update(content)
    return PreparedData(
        images,
        torch.from_numpy(schema.encode(dict(zip(schema.names, columns, strict=True)), count)),
        torch.from_numpy(np.array(identity, dtype=np.int64)),
        np.array(split),
        list(files),
        schema,
        masks=masks,
        factors=factors,
        factor_names=factor_names,
        preprocessing=preprocessing,
        skipped=skipped,
        fingerprint=digest.hexdigest()[:16],
        path=path,
    )


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Tell what is wrong with a file that is read."""
    try:
        yield
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; prepare the images again") from error
    except Exception as error:  # a damaged header fails in many ways, also while it is being told
        raise AttrimorphError(f"{path} is damaged or cut short ({error}); prepare the images again") from error


def _open_array(path: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    with _sound(path):
        array: NDArray[Any] = open_memmap(path, mode="r")
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise AttrimorphError(
            f"{path} must hold {np.dtype(dtype)} {list(shape)}; it holds {found}; prepare the images again"
        )
    return array


def _columns(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str], count: int) -> list[Sequence[Any]]:
    """Return the columns of attributes.csv, identities as numbers."""
    if not rows or rows[0] != header:
        raise AttrimorphError(
            f"{path} must begin with the columns {', '.join(header[:5])}, ... of schema.json; "
            f"it begins with {rows[0][:5] if rows else 'nothing'}; prepare the images again"
        )
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if len(rows) != count + 1 or wrong:
        where = f"line {wrong} has another number of columns" if wrong else f"it has {len(rows) - 1}"
        raise AttrimorphError(
            f"{path} must have {count} rows of {len(header)} columns; {where}; prepare the images again"
        )
    columns: list[Sequence[Any]] = list(zip(*rows[1:], strict=True))
    if strange := set(columns[1]) - set(SPLITS):
        raise AttrimorphError(f"a split in {path} must be one of {', '.join(SPLITS)}; got {min(strange)!r}")
    columns[2] = [whole_number(word, "an identity", path) for word in columns[2]]
    return columns


def hash_images(images: NDArray[np.uint8]) -> str:
    """Hash the shape and at most 2048 evenly spaced images: enough to tell data sets apart, quickly."""
    digest = hashlib.sha256(str(images.shape).encode())
    for row in np.unique(np.linspace(0, len(images) - 1, 2048).astype(np.int64)):
        digest.update(images[row].tobytes())
    return digest.hexdigest()[:16]


def attributes_csv(schema: Schema, columns: Sequence[Sequence[Any]]) -> bytes:
    """Return the content of attributes.csv, of file, split, identity and raw values; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED_COLUMNS, *schema.names])
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode("utf-8", "surrogateescape")


def raw_table(schema: Schema, attributes: Tensor) -> dict[str, list[Any]]:
    """Turn y, [N, W], back into raw columns: the inverse of `Schema.encode`, None for NaN."""
    table: dict[str, list[Any]] = {}
    for attribute in schema.attributes:
        part = attributes[:, schema.columns(attribute.name)].double()
        missing = part.isnan().any(1).tolist()
        if attribute.kind == "categorical":
            values: list[Any] = [attribute.values[i] for i in part.nan_to_num().argmax(1).tolist()]
        elif attribute.kind == "binary":
            values = [int(value) for value in part[:, 0].nan_to_num().tolist()]
        else:
            values = (part[:, 0].nan_to_num() * attribute.scale + attribute.mean).tolist()
        table[attribute.name] = [None if gone else value for gone, value in zip(missing, values, strict=True)]
    return table
