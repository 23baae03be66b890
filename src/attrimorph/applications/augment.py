"""Augment: labelled images that a data set lacks: classes made equal, or more of each class.

They are written into a folder of real and generated images, with a record of where each came from, and what it is
worth.
"""

import csv
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attrimorph.applications import Composition
from attrimorph.applications.confirm import LEAST_SHARE, Confirmation
from attrimorph.applications.edit import edited_images
from attrimorph.applications.gallery import holding
from attrimorph.data import SPLITS, Schema, raw_table
from attrimorph.data.images import read_pixels
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.files import refuse_foreign, sync_folder, write_bytes, write_json, writing
from attrimorph.metrics.augmentation import Say, Worth, measure_augmentation, measure_identities
from attrimorph.metrics.figures import to_csv
from attrimorph.models.model import Code, Model
from attrimorph.pictures import sheet, to_bytes

BATCH = 64
TRIES = round(1 / LEAST_SHARE)  # images tried for each that is wanted, at most: where it takes more, too few are right
MOST_CLASSES = 1000
MOST_IMAGES = 10_000_000
Rows = NDArray[np.int64]
Cell = Mapping[str, float]
SHOWN = 8  # columns of the sheet
MOST_ROWS = 8  # classes shown
READ = 256  # images that are read together
GENERATED = "generated"
Row = dict[str, str]


@dataclass(frozen=True)
class Made:
    """Some generated images, all of one class.

    Attributes:
        images: uint8 [B, S, S, 3].
        attributes: [B, W], their labels.
        label: the class.
        identities: B words, "" = unknown.
        origins: B sentences: of what each was made.
        sources: rows of the data that were edited, [B], or None.
    """

    images: NDArray[np.uint8]
    attributes: Tensor
    label: str
    identities: list[str]
    origins: list[str]
    sources: Rows | None = None

    def confirmed(self, confirm: Confirmation | None, claimed: Sequence[str]) -> "Made":
        """Return those that are what `claimed` attributes say, with the labels that hold; all where nobody looks."""
        if confirm is None:
            return self
        pixels = torch.from_numpy(self.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        kept, y = confirm(self.label, pixels, self.attributes, claimed)
        rows = kept.nonzero()[:, 0].tolist()
        return replace(
            self,
            images=self.images[rows],
            attributes=y[rows],
            identities=[self.identities[row] for row in rows],
            origins=[self.origins[row] for row in rows],
            sources=None if self.sources is None else self.sources[rows],
        )


def until_confirmed(
    draw: Callable[[int, int], Made], wanted: int, most: int, confirm: Confirmation | None, claimed: Sequence[str]
) -> Iterator[Made]:
    """Draw images of one class until as many as wanted are confirmed, or `most` are tried.

    Args:
        draw: (how many were tried, how many more) -> images.
    """
    tried = 0
    while wanted and tried < most:
        count = min(BATCH, wanted, most - tried)
        made = draw(tried, count).confirmed(confirm, claimed)
        tried, wanted = tried + count, wanted - len(made.images)
        if len(made.images):
            yield made
    if confirm is not None and wanted:
        confirm.lacking[made.label] = wanted


def classes_by(schema: Schema, names: Sequence[str]) -> dict[str, Cell]:
    """Return the classes that attributes make together: every combination of their values that can be.

    Args:
        schema: of the data.
        names: binary or categorical attributes.

    Returns:
        Words for the class, "Eyeglasses=1,Male=0" -> changes that bring an image into it.

    Raises:
        AttrimorphError: no name, a real attribute, or too many classes.
    """
    if not names or len(set(names)) < len(names):
        raise AttrimorphError(
            f"at least one attribute must be balanced, and none twice; got {', '.join(names) or 'none'}; "
            "name one, such as Eyeglasses"
        )
    values: list[list[tuple[str, str, float]]] = []
    for name in names:
        attribute = schema.attribute(name)
        if attribute.kind == "real":
            raise AttrimorphError(f"a balanced attribute must be binary or categorical; {name} is real; leave it out")
        pairs = [(name, f"{name}=0", -1.0), (name, f"{name}=1", 1.0)]
        values.append(pairs if attribute.kind == "binary" else [(k := f"{name}={v}", k, 1.0) for v in attribute.values])
    if (count := int(np.prod([len(each) for each in values]))) > MOST_CLASSES:
        raise AttrimorphError(
            f"at most {MOST_CLASSES} classes can be balanced; {count} would be; name fewer attributes"
        )
    cells = {",".join(word for _, word, _ in combination): combination for combination in product(*values)}
    every = {words: {key: strength for key, _, strength in combination} for words, combination in cells.items()}
    return {words: cell for words, cell in every.items() if _possible(schema, cell)}


def _possible(schema: Schema, cell: Cell) -> bool:
    return all(sum(cell.get(name, -1) > 0 for name in group) <= 1 for group in schema.exclusive)


def members(data: PreparedData, cells: Mapping[str, Cell], split: str) -> dict[str, Rows]:
    """Return the rows of a split in each class; images that lack a label are in none."""
    rows = data.indices(split)
    labels = data.attributes[torch.from_numpy(rows)]
    return {words: rows[holding(data.schema, labels, cell).numpy()] for words, cell in cells.items()}


def balanced(
    model: Model,
    data: PreparedData,
    names: Sequence[str],
    *,
    confirm: Confirmation | None,
    seed: int = 0,
    way: str = "edit",
    composition: Composition = "fields",
) -> Iterator[Made]:
    """Make images until all classes of the train split are as large as the largest.

    A class stays smaller where twice the images that it lacks were tried, and too few of them were confirmed.

    Args:
        model: one that edits, or for way "sample" one that samples.
        data: with the model's attributes.
        names: attributes whose combinations are the classes.
        confirm: who must see in every image what it is made to be; None = nobody looks.
        seed: of everything drawn.
        way: "edit": real images of other classes edited into this one, those with the fewest changes first; "sample":
            new images from codes drawn at random.
        composition: of edits, as of `edit`.

    Raises:
        AttrimorphError: the model cannot, or the classes cannot be made equal.
    """
    if way not in ("edit", "sample"):
        raise AttrimorphError(f"way must be edit or sample; got {way!r}")
    cells = classes_by(data.schema, names)
    found = members(data, cells, "train")
    most = max(len(rows) for rows in found.values())
    if most == 0:
        raise AttrimorphError(f"the data must have labels of {', '.join(names)} in its train split; it has none")
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    for words, cell in cells.items():
        lacking = most - len(found[words])
        if way == "sample":
            draw = partial(_sampled, model, words, cell, generator)
            yield from until_confirmed(draw, lacking, TRIES * lacking, confirm, names)
        else:
            sources = _nearest_classes(cells, found, cell, random)
            draw = partial(_edited, model, data, words, cell, sources, composition)
            yield from until_confirmed(draw, lacking, min(TRIES * lacking, len(sources)), confirm, names)


def _nearest_classes(
    cells: Mapping[str, Cell], found: Mapping[str, Rows], cell: Cell, random: np.random.Generator
) -> Rows:
    """Return the images of all other classes: those that differ in one attribute first, each sort in random order."""
    by_changes: dict[int, list[Rows]] = {}
    for words, other in cells.items():
        changes = sum(other.get(key) != strength for key, strength in cell.items())
        if changes:
            by_changes.setdefault(changes, []).append(found[words])
    parts = [random.permutation(np.concatenate(by_changes[changes])) for changes in sorted(by_changes)]
    return np.concatenate(parts).astype(np.int64)


def _edited(
    model: Model,
    data: PreparedData,
    words: str,
    cell: Cell,
    sources: Rows,
    composition: Composition,
    start: int,
    count: int,
) -> Made:
    rows = sources[start : start + count]
    images, y = data.batch(rows)
    people = [int(number) for number in data.identity[torch.from_numpy(rows)]]
    return Made(
        to_bytes(edited_images(model, images, cell, y, composition)),
        model.schema.edit(y, cell),
        words,
        [str(number) if number >= 0 else "" for number in people],
        [f"{data.files[row]} edited to {words}" for row in rows],
        rows,
    )


def _sampled(model: Model, words: str, cell: Cell, generator: torch.Generator, _: int, count: int) -> Made:
    code = model.sample_codes(count, generator)
    y = model.schema.edit(code.attributes, cell)
    images = to_bytes(model.decode(Code(code.z, model.moved(code.attributes, cell))))
    return Made(images, y, words, [""] * len(images), [f"sampled as {words}"] * len(images))


def class_attribute(schema: Schema) -> str | None:
    """Return the attribute that tells the classes, the first categorical one; None where there is none."""
    return next((attribute.name for attribute in schema.attributes if attribute.kind == "categorical"), None)


def more_of_each(model: Model, each: int, *, confirm: Confirmation | None, seed: int = 0) -> Iterator[Made]:
    """Sample `each` new images of every class of a class-conditional model (Bao et al. 2017, section 5.6).

    Args:
        model: of classes.
        each: images.
        confirm, seed: as of `balanced`.

    Raises:
        AttrimorphError: the model has no classes, or the number is out of range.
    """
    name = class_attribute(model.schema)
    if name is None:
        raise AttrimorphError(
            f"only a model with a categorical attribute has classes; {model.recipe.name!r} has none; "
            "use --balance, or --identities for new ones"
        )
    check_amount(len(model.schema.attribute(name).values), each)
    generator = torch.Generator().manual_seed(seed)
    for words, cell in classes_by(model.schema, [name]).items():
        draw = partial(_sampled, model, words, cell, generator)
        for made in until_confirmed(draw, each, TRIES * each, confirm, [name]):
            yield Made(
                made.images, made.attributes, words, [words.removeprefix(f"{name}=")] * len(made.images), made.origins
            )


def check_amount(classes: int, each: int) -> None:
    if classes < 1 or each < 1 or classes * each > MOST_IMAGES:
        raise AttrimorphError(
            f"identities and each must be at least 1, and at most {MOST_IMAGES} images together; got {classes} and "
            f"{each}; try 100 each"
        )


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
        cells: the classes, see `classes_by`; None = each person is one.
        real: whether.
    """
    counts = {}
    for split in SPLITS:
        found = _people(data, split) if cells is None else members(data, cells, split)
        if split == "train":
            counts = {label: len(rows) for label, rows in found.items()}
        for label, rows in found.items() if real else ():
            for start in range(0, len(rows), READ):
                part = rows[start : start + READ]
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
    refuse_foreign([path])
    figures = {each.name: each.to_json() for each in worths}
    write_json(path, {"by": "attrimorph augment", "generated": len(rows), "seeds": list(seeds), **figures})
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
