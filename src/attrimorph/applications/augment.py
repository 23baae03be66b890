"""Augment: labelled images that a data set lacks: classes made equal, more of each class, or new identities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.applications.detail import edited_with_detail
from attrimorph.applications.gallery import holding
from attrimorph.applications.inputs import encoder
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models import Code, Edits, Model
from attrimorph.pictures import to_bytes

BATCH = 64
MOST_CLASSES = 1000
MOST_IMAGES = 10_000_000
MIXED = 3  # identities that make a new one
LEAST_SHARE = 0.5  # of the largest, before the shares of a mixture are scaled to 1: nobody known stands out
VARIED = 0.3  # standard deviations by which z varies among the images of a new identity, where z is who it is
POOL = 512  # training images whose codes are mixed
TRANSIENT = (
    "Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Wearing_Hat", "Wearing_Earrings", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Heavy_Makeup", "Narrow_Eyes", "Blurry",
)  # fmt: skip
"""CelebA's attributes that change from one photograph of a person to the next."""

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
    seed: int = 0,
    way: str = "edit",
) -> Iterator[Made]:
    """Make images until all classes of the train split are as large as the largest.

    Args:
        model: one that edits, or for way "sample" one that samples.
        data: with the model's attributes.
        names: attributes whose combinations are the classes.
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
            yield from _sampled(model, words, cell, lacking, generator)
        else:
            sources = _nearest_classes(cells, found, cell, random)[:lacking]
            yield from _edited(model, data, words, cell, sources)


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


def _edited(model: Model, data: PreparedData, words: str, cell: Cell, sources: Rows) -> Iterator[Made]:
    for start in range(0, len(sources), BATCH):
        rows = sources[start : start + BATCH]
        images, y = data.batch(rows)
        people = [int(number) for number in data.identity[torch.from_numpy(rows)]]
        yield Made(
            to_bytes(edited_with_detail(model, images, cell, y)),
            model.schema.edit(y, cell),
            words,
            [str(number) if number >= 0 else "" for number in people],
            [f"{data.files[row]} edited to {words}" for row in rows],
            rows,
        )


def _sampled(model: Model, words: str, cell: Cell, count: int, generator: torch.Generator) -> Iterator[Made]:
    for start in range(0, count, BATCH):
        code = model.sample_codes(min(BATCH, count - start), generator)
        y = model.schema.edit(code.attributes, cell)
        images = to_bytes(model.decode(Code(code.z, model.moved(code.attributes, cell))))
        yield Made(images, y, words, [""] * len(images), [f"sampled as {words}"] * len(images))


def class_attribute(schema: Schema) -> str | None:
    """Return the attribute that tells the classes, the first categorical one; None where there is none."""
    return next((attribute.name for attribute in schema.attributes if attribute.kind == "categorical"), None)


def more_of_each(model: Model, each: int, *, seed: int = 0) -> Iterator[Made]:
    """Sample `each` new images of every class of a class-conditional model (Bao et al. 2017, section 5.6).

    Raises:
        AttrimorphError: the model has no classes, or the number is out of range.
    """
    name = class_attribute(model.schema)
    if name is None:
        raise AttrimorphError(
            f"only a model with a categorical attribute has classes; {model.recipe.name!r} has none; "
            "use --balance, or --identities for new ones"
        )
    _check_amount(len(model.schema.attribute(name).values), each)
    generator = torch.Generator().manual_seed(seed)
    for words, cell in classes_by(model.schema, [name]).items():
        for made in _sampled(model, words, cell, each, generator):
            yield Made(made.images, made.attributes, words, [words.partition("=")[2]] * len(made.images), made.origins)


def _check_amount(classes: int, each: int) -> None:
    if classes < 1 or each < 1 or classes * each > MOST_IMAGES:
        raise AttrimorphError(
            f"identities and each must be at least 1, and at most {MOST_IMAGES} images together; got {classes} and "
            f"{each}; try 100 each"
        )


def new_identities(model: Model, data: PreparedData, count: int, each: int = 100, *, seed: int = 0) -> Iterator[Made]:
    """Make people that do not exist, by mixing three who do (Bao et al. 2017, section 5.6).

    Of a class-conditional model the class codes are mixed, and z is drawn anew for every image. Of other models z tells
    who it is: the codes of three training images are mixed, with their spread kept, and vary a little from image to
    image, together with the attributes that change from one photograph to the next (`TRANSIENT`).

    Args:
        model: one that samples.
        data: with the model's attributes; the three are taken from its train split.
        count: new identities.
        each: images of each.
        seed: of everything drawn.

    Raises:
        AttrimorphError: the model has no codes, or a number is out of range.
    """
    _check_amount(count, each)
    generator = torch.Generator().manual_seed(seed)
    name = class_attribute(model.schema)
    mixed = _mixed_codes(model, data, count, generator) if name is None else None
    for number in range(count):
        words = f"new-{number + 1:0{max(4, len(str(count)))}d}"
        person: _ClassMixture | _CodeMixture
        person = mixed.person(number, generator) if mixed else _class_mixture(model, str(name), generator)
        for start in range(0, each, BATCH):
            amount = min(BATCH, each - start)
            code = person.draw(model, amount, generator)
            images = to_bytes(model.decode(code))
            yield Made(images, code.attributes.cpu(), words, [words] * amount, [person.origin] * amount)


@dataclass(frozen=True)
class _ClassMixture:
    """A new identity of a class-conditional model: a mixture of class codes."""

    columns: slice
    mixture: Tensor
    origin: str

    def draw(self, model: Model, count: int, generator: torch.Generator) -> Code:
        code = model.sample_codes(count, generator)
        y = code.attributes.clone()
        y[:, self.columns] = self.mixture
        return Code(code.z, y)


def _class_mixture(model: Model, name: str, generator: torch.Generator) -> _ClassMixture:
    values = model.schema.attribute(name).values
    who = torch.randperm(len(values), generator=generator)[:MIXED]
    shares = _shares(1, len(who), generator)[0]
    mixture = torch.zeros(len(values)).index_put((who,), shares)
    told = ", ".join(f"{share:.2f} {values[int(place)]}" for place, share in zip(who, shares.tolist(), strict=True))
    return _ClassMixture(model.schema.columns(name), mixture, f"mixed: {told}")


@dataclass(frozen=True)
class _CodeMixture:
    """A new identity of a model whose z tells who it is."""

    z: Tensor
    attributes: Tensor
    deviation: Tensor
    origin: str

    def draw(self, model: Model, count: int, generator: torch.Generator) -> Code:
        noise = torch.randn(count, *self.z.shape, generator=generator)
        y = self.attributes.expand(count, -1).clone()
        others = model.draw_attributes(count, generator)
        for name in TRANSIENT:
            if name in model.schema.names:
                y[:, model.schema.columns(name)] = others[:, model.schema.columns(name)]
        return Code(self.z + VARIED * self.deviation * noise, y)


@dataclass(frozen=True)
class _MixedCodes:
    """Mixtures of the codes of training images.

    Attributes:
        z: [N, ...], one for each new identity.
        deviation: standard deviation of single codes, [...].
        attributes: [P, W] of the images; rows: [N, MIXED], places among them; files: P names.
    """

    z: Tensor
    deviation: Tensor
    attributes: Tensor
    rows: Tensor
    files: list[str]

    def person(self, number: int, generator: torch.Generator) -> _CodeMixture:
        rows = self.rows[number].tolist()
        # Attributes are no mixture: half a moustache is on nobody's lip.
        chosen = rows[int(torch.randint(MIXED, (), generator=generator))]
        told = ", ".join(self.files[row] for row in rows)
        return _CodeMixture(self.z[number], self.attributes[chosen], self.deviation, f"mixed: {told}")


def _mixed_codes(model: Model, data: PreparedData, count: int, generator: torch.Generator) -> _MixedCodes:
    encodes = encoder(model, "augment")
    train = data.indices("train")
    if len(train) < MIXED:
        raise AttrimorphError(
            f"at least {MIXED} training images must be there to mix; got {len(train)}; give more data"
        )
    pool = np.sort(train[torch.randperm(len(train), generator=generator)[:POOL].numpy()])
    parts = [data.batch(pool[start : start + BATCH]) for start in range(0, len(pool), BATCH)]
    z = torch.cat([encodes.encode(*part).z.cpu() for part in parts])
    rows = torch.stack([torch.randperm(len(pool), generator=generator)[:MIXED] for _ in range(count)])
    shares = _shares(count, MIXED, generator)
    centred = (z - z.mean(0))[rows]
    shares = shares.view(count, MIXED, *[1] * (z.dim() - 1))
    # A mean of three is nearer to the middle than each of them: it is moved out again, to where codes are.
    mixture = z.mean(0) + (shares * centred).sum(1) / shares.square().sum(1).sqrt()
    y = torch.cat([labels for _, labels in parts])
    return _MixedCodes(mixture, z.std(0), y, rows, [data.files[row] for row in pool])


def _shares(count: int, among: int, generator: torch.Generator) -> Tensor:
    """Draw shares [count, among] that add up to 1, the smallest at least half of the largest."""
    drawn = LEAST_SHARE + (1 - LEAST_SHARE) * torch.rand(count, among, generator=generator)
    return drawn / drawn.sum(1, keepdim=True)


def capable(model: Model, way: str) -> str:
    """Return the way to balance: what is asked for, or for "auto" edits where the model edits, else samples."""
    return way if way != "auto" else "edit" if isinstance(model, Edits) else "sample"
