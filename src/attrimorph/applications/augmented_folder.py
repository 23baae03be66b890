"""An augmented folder: real and generated images, a record of where each came from, and what it is worth."""

import csv
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attrimorph.applications.augment import Cell, Made, class_attribute, members
from attrimorph.data.images import read_pixels
from attrimorph.data.prepared import SPLITS, PreparedData, raw_table
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.files import sync_folder, write_bytes, write_json, writing
from attrimorph.metrics.augmentation import Say, Worth, measure_augmentation, measure_identities
from attrimorph.metrics.tables import to_csv
from attrimorph.pictures import sheet

SHOWN = 8  # columns of the sheet
MOST_ROWS = 8  # classes shown
BATCH = 256
GENERATED = "generated"
Row = dict[str, str]
Rows = NDArray[np.int64]


class LabelledFolder:
    """Writes a folder, whole or not at all: it appears when the block ends well.

    Args:
        path: the folder; must not exist, or be empty.
        columns: names of the attributes.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = Path(path), list(columns)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._lines: list[list[Any]] = []
        self._work = self.path

    def __enter__(self) -> Self:
        with writing(self.path):
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise AttrimorphError(
                    f"{self.path} must be a new or empty folder; it is not; choose another with --out"
                )
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".part"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def add(
        self,
        images: NDArray[np.uint8],
        table: Mapping[str, Sequence[Any]],
        *,
        split: str,
        label: str,
        identities: Sequence[str],
        stem: str,
    ) -> list[str]:
        """Write images of one class.

        Args:
            images: uint8 [B, S, S, 3].
            table: column -> B raw values; None = missing.
            split: train, valid or test.
            label: the class.
            identities: B words; "" = unknown.
            stem: files are named STEM-000001.png, counted within the split and class.

        Returns:
            B names, relative to the folder.
        """
        names = []
        for row, pixels in enumerate(images):
            self.counts[split, label] += 1
            name = f"{split}/{folder_name(label)}/{stem}-{self.counts[split, label]:06d}.png"
            with writing(self.path):
                (self._work / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(self._work / name, "PNG")
            values = [table[column][row] for column in self.columns]
            self._lines.append([name, split, identities[row], *["" if value is None else value for value in values]])
            names.append(name)
        return names

    def _finish(self) -> None:
        text = to_csv(["file_name", "split", "identity", *self.columns], self._lines)
        write_bytes(self._work / "attributes.csv", text.encode("utf-8", "surrogateescape"))
        with writing(self.path):
            # mkdtemp makes folders private; a data set is as readable as any other folder of the user's.
            self._work.chmod(0o755)
            if self.path.exists():
                self.path.rmdir()
            self._work.rename(self.path)
        sync_folder(self.path.parent)


def folder_name(label: str) -> str:
    """Return a class as the name of a folder."""
    plain = "".join("_" if letter in '/\\:*?"<>|\0' else letter for letter in label).strip()
    return plain.lstrip(".") or "_"


@dataclass
class Record:
    """What was generated: where it came from, and some of it to look at."""

    lines: list[list[str]] = field(default_factory=list)
    rows: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)

    def add(self, names: Sequence[str], made: Made, data: PreparedData) -> None:
        """Note where images came from, and keep a few."""
        for name, origin, pixels in zip(names, made.origins, made.images, strict=True):
            self.lines.append([name, hashlib.sha256(pixels.tobytes()).hexdigest(), origin])
        if made.label not in [label for label, _, _ in self.rows] and len(self.rows) < MOST_ROWS:
            images = torch.from_numpy(made.images[:SHOWN]).permute(0, 3, 1, 2).float() / 127.5 - 1
            sources = images[:0] if made.sources is None else data.batch(made.sources[:SHOWN])[0]
            self.rows.append((made.label, sources, images))

    def picture(self) -> Image.Image:
        """Lay out a few images of each class, below those that they were made from."""
        rows, labels = [], []
        for label, sources, images in self.rows:
            for word, batch in (("real", sources), (label, images)):
                if len(batch):
                    rows.append(batch)
                    labels.append(word)
        return sheet(rows, labels=labels, cell=max(64, rows[0].shape[-1]))

    def table(self) -> str:
        """Write file, hash of the pixels, origin as CSV."""
        return to_csv(["file", "pixels_sha256", "origin"], self.lines)


def write_real(
    folder: LabelledFolder, data: PreparedData, cells: Mapping[str, Cell] | None, real: bool
) -> dict[str, int]:
    """Write the real images of every class where `real`; return how many the train split has of each.

    Args:
        folder: where to.
        data: the real images.
        cells: the classes, see `augment.classes_by`; None = each person is one.
        real: whether.
    """
    counts = {}
    for split in SPLITS:
        found = _people(data, split) if cells is None else members(data, cells, split)
        if split == "train":
            counts = {label: len(rows) for label, rows in found.items()}
        for label, rows in found.items() if real else ():
            for start in range(0, len(rows), BATCH):
                part = rows[start : start + BATCH]
                table = raw_table(data.schema, data.attributes[torch.from_numpy(part)])
                people = data.identity[torch.from_numpy(part)].tolist()
                folder.add(
                    np.asarray(data.images[part]), {**table, GENERATED: [0] * len(part)}, split=split, label=label,
                    identities=[str(number) if number >= 0 else "" for number in people], stem="real",
                )  # fmt: skip
    return counts


def _people(data: PreparedData, split: str) -> dict[str, Rows]:
    rows = data.indices(split)
    identity = data.identity[torch.from_numpy(rows)].numpy()
    return {f"person-{number}": rows[identity == number] for number in np.unique(identity[identity >= 0])}


def made_table(made: Made, schema: Schema, *, people: bool) -> Mapping[str, Sequence[Any]]:
    """Return the raw values of generated images; of new `people` each is a class of its own."""
    table: dict[str, Sequence[Any]] = {**raw_table(schema, made.attributes), GENERATED: [1] * len(made.images)}
    name = class_attribute(schema)
    if people and name is not None:
        table[name] = made.identities
    return table


def write_worth(
    data: PreparedData,
    folder: Path,
    balance: Sequence[str],
    *,
    people: bool,
    seeds: Sequence[int] = (0, 1, 2),
    images_seen: int = 60_000,
    say: Say | None = None,
) -> tuple[Path, list[Worth]]:
    """Measure what the generated images of a folder are worth, and write the figures as FOLDER.worth.json.

    Args:
        data: the real images that the folder was made from.
        folder: what `augment` wrote.
        balance: attributes whose classes were made equal; the classes' own where none.
        people: whether new people were made.
        seeds, images_seen, say: see `measure_augmentation`.

    Returns:
        The file, and the figures.
    """
    rows = generated_rows(folder)
    images = np.stack([read_pixels(folder / row["file_name"], data.image_size) for row in rows])
    if people:
        worths = measure_identities(
            data, images, _new_numbers(rows, data), seeds=seeds, images_seen=images_seen, say=say
        )
    else:
        name = class_attribute(data.schema)
        names = tuple(balance) or (() if name is None else (name,))
        worths = measure_augmentation(
            data, images, _attributes(rows, data), names, seeds=seeds, images_seen=images_seen, say=say
        )
    path = folder.with_name(f"{folder.name}.worth.json")
    write_json(path, {"generated": len(rows), "seeds": list(seeds), **{each.name: each.to_json() for each in worths}})
    return path, worths


def generated_rows(folder: Path) -> list[Row]:
    """Return the rows of a folder's table that are generated images.

    Raises:
        AttrimorphError: there is no such table, or it names none.
    """
    try:
        with (folder / "attributes.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if Path(row["file_name"]).name.startswith("made-")]
    except (OSError, KeyError, csv.Error) as error:
        raise AttrimorphError(f"{folder} must be a folder that augment wrote; it is none ({error}); make it") from error
    if not rows:
        raise AttrimorphError(f"{folder} must hold generated images; it has none; make some with augment")
    return rows


def _attributes(rows: Sequence[Row], data: PreparedData) -> Tensor:
    return torch.from_numpy(data.schema.encode({name: [row[name] for row in rows] for name in data.schema.names}))


def _new_numbers(rows: Sequence[Row], data: PreparedData) -> Tensor:
    """Number new people after those of the data."""
    first = max(0, int(data.identity.max()) + 1)
    places: NDArray[np.int64] = np.unique([row["identity"] for row in rows], return_inverse=True)[1]
    return torch.from_numpy(places + first)
