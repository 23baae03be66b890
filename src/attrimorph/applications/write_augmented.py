"""Writing what augment makes: the folder, a sheet, a table of origins, and the receipt."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attrimorph.applications.augment import (
    Cell,
    Made,
    balanced,
    capable,
    class_attribute,
    classes_by,
    members,
    more_of_each,
)
from attrimorph.applications.confirm import Confirmation, confirmation
from attrimorph.applications.gallery import Progress, labelled_data, unchanged
from attrimorph.applications.identities import new_identities
from attrimorph.applications.labelled_folder import LabelledFolder
from attrimorph.applications.receipt import Written, model_reference, write_result
from attrimorph.data.prepared import SPLITS, PreparedData, raw_table
from attrimorph.data.schema import Schema
from attrimorph.data.source import Source
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model
from attrimorph.pictures import sheet

SHOWN = 8  # columns of the sheet
MOST_ROWS = 8  # classes shown
EACH = 100  # images of a new identity
BATCH = 256
GENERATED = "generated"
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Wish:
    """What shall be made: one of three.

    Attributes:
        balance: attributes whose classes shall be equal; or
        identities: so many new ones, `each` images of each; or neither: `each` more images of every class.
        each: images.
        way: to balance: "edit", "sample", or "auto".
        seed: of everything drawn.
        judge: who confirms what is made, besides the model's own classifier; None = the shipped one that suits.
    """

    balance: tuple[str, ...] = ()
    identities: int | None = None
    each: int | None = None
    way: str = "auto"
    seed: int = 0
    judge: str | None = None

    def made(self, model: Model, data: PreparedData) -> tuple[Confirmation, Iterator[Made]]:
        """Return who confirms what is made, and what is made, piece by piece.

        Raises:
            AttrimorphError: the wish is none, or more than one, the model cannot, or nobody can confirm it.
        """
        if self.balance and (self.identities is not None or self.each is not None):
            raise AttrimorphError("augment takes balance, or identities with each, or each alone; leave the others out")
        if not (self.balance or self.identities is not None or self.each is not None):
            raise AttrimorphError(
                "augment must be told what to make; got nothing; add --balance Smiling, --identities 10 or --each 200"
            )
        if not 0 <= self.seed < 2**63:
            raise AttrimorphError(f"seed must lie in 0..2**63 - 1; got {self.seed}; choose a smaller one")
        name = class_attribute(data.schema)
        claimed, people = (
            self.balance or (() if name is None else (name,)),
            self.identities is not None and name is None,
        )
        confirm = confirmation(model, data.schema, claimed, self.judge, people=people)
        if self.balance:
            way = capable(model, self.way)
            return confirm, balanced(model, data, self.balance, confirm=confirm, seed=self.seed, way=way)
        if self.identities is not None:
            each = EACH if self.each is None else self.each
            return confirm, new_identities(model, data, self.identities, each, confirm=confirm, seed=self.seed)
        return confirm, more_of_each(model, self.each or 0, confirm=confirm, seed=self.seed)

    def classes(self, schema: Schema) -> dict[str, Cell] | None:
        """Return the classes that real images are put into; None = each person is one."""
        name = class_attribute(schema)
        names = self.balance or (() if name is None else (name,))
        return classes_by(schema, names) if names else None

    def columns(self, schema: Schema) -> list[str]:
        """Return the columns of the table; new identities are told from real ones by one more."""
        return [*schema.names, GENERATED] if self.identities is not None else list(schema.names)


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
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "pixels_sha256", "origin"])
        writer.writerows(self.lines)
        return text.getvalue()


def write_augment(
    model: Model,
    source: str | Path | Source,
    out: Path,
    *,
    named: str | Path,
    wish: Wish,
    real: bool = True,
    fingerprint: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Written:
    """Make images and write them, with the real ones, as a labelled folder.

    Only images that are confirmed are written, and only labels that are.

    Args:
        source: the real images: prepared data or a labelled folder, with the model's attributes.
        out: the sheet, NAME.png; the folder is NAME, beside it.
        wish: what shall be made.
        real: write the real images into the folder as well, so that it is the whole data set.
        fingerprint: refuse data that is not this.
        progress: called with (images done, in all), of a folder that is prepared first, then of those that are made.
        say: gets a sentence about what was confirmed.

    Raises:
        AttrimorphError: the model, the data and the wish do not go together, nothing is left to make, or fewer than
            half of the images are confirmed; nothing is written then.
    """
    data = labelled_data(model, source, progress)
    unchanged(data.fingerprint, fingerprint, source)
    (confirm, pieces), record = wish.made(model, data), Record()
    with LabelledFolder(Path(out).with_suffix(""), wish.columns(data.schema)) as folder:
        before = _write_real(folder, data, wish, real)
        if wish.balance:
            wanted = max(before.values()) * len(before) - sum(before.values())
        else:
            wanted = (wish.each or EACH) * (wish.identities or len(before))
        for made in pieces:
            names = folder.add(
                made.images, _made_table(made, data.schema, wish), split="train", label=made.label,
                identities=made.identities, stem="made",
            )  # fmt: skip
            record.add(names, made, data)
            if progress is not None:
                progress(len(record.lines), wanted)
        if not confirm.tried:
            raise AttrimorphError(
                "the classes must differ in size to be balanced; they are equal already; nothing to do"
            )
        confirm.refuse_doubtful()
    if say is not None:
        say(confirm.line())
    arguments = {
        **Source.of(source).to_json(),
        "fingerprint": data.fingerprint,
        "balance": list(wish.balance),
        "identities": wish.identities,
        "each": wish.each,
        "way": wish.way,
        "seed": wish.seed,
        "judge": None if wish.judge is None else model_reference(wish.judge),
        "real": real,
    }
    facts = {
        "real images in the train split, by class": before,
        "generated images": len(record.lines),
        "confirmation": confirm.to_json(),
        "written images": {f"{split}/{label}": count for (split, label), count in folder.counts.items()},
    }
    return write_result(
        out, "augment", model, {"": record.picture()}, named=named, arguments=arguments, facts=facts,
        inputs=[Path(wish.judge)] if wish.judge is not None and Path(wish.judge).exists() else [],
        tables={"": record.table()},
    )  # fmt: skip


def _write_real(folder: LabelledFolder, data: PreparedData, wish: Wish, real: bool) -> dict[str, int]:
    """Write the real images of every class where wished; return how many the train split has of each."""
    cells, counts = wish.classes(data.schema), {}
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


def _made_table(made: Made, schema: Schema, wish: Wish) -> Mapping[str, Sequence[Any]]:
    """Return the raw values of generated images; a new identity is a class of its own."""
    table: dict[str, Sequence[Any]] = {**raw_table(schema, made.attributes), GENERATED: [1] * len(made.images)}
    name = class_attribute(schema)
    if wish.identities is not None and name is not None:
        table[name] = made.identities
    return table
