"""Augment: labelled images that a data set lacks: classes made equal, or more of each class."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.applications.confirm import LEAST_SHARE, Confirmation
from attrimorph.applications.gallery import holding
from attrimorph.applications.photograph import edited_with_detail
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code, Edits, Model
from attrimorph.pictures import to_bytes

BATCH = 64
TRIES = round(1 / LEAST_SHARE)  # images tried for each that is wanted, at most: where it takes more, too few are right
MOST_CLASSES = 1000
MOST_IMAGES = 10_000_000
Rows = NDArray[np.int64]
Cell = Mapping[str, float]


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
            draw = partial(_edited, model, data, words, cell, sources)
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


def _edited(model: Model, data: PreparedData, words: str, cell: Cell, sources: Rows, start: int, count: int) -> Made:
    rows = sources[start : start + count]
    images, y = data.batch(rows)
    people = [int(number) for number in data.identity[torch.from_numpy(rows)]]
    return Made(
        to_bytes(edited_with_detail(model, images, cell, y)),
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
            yield Made(made.images, made.attributes, words, [words.partition("=")[2]] * len(made.images), made.origins)


def check_amount(classes: int, each: int) -> None:
    if classes < 1 or each < 1 or classes * each > MOST_IMAGES:
        raise AttrimorphError(
            f"identities and each must be at least 1, and at most {MOST_IMAGES} images together; got {classes} and "
            f"{each}; try 100 each"
        )


def capable(model: Model, way: str) -> str:
    """Return the way to balance: what is asked for, or for "auto" edits where the model edits, else samples."""
    return way if way != "auto" else "edit" if isinstance(model, Edits) else "sample"
