"""What generated images are worth: a classifier trained with and without them, judged on held-out real images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.evaluator import Labelled, rows_of
from attrimorph.evaluators.training import (
    IdentityRecipe,
    JudgeRecipe,
    images_of,
    people_of,
    train_identity_encoder,
    train_judge,
)
from attrimorph.models.model import decisions

LEAST_IN_CLASS = 5  # held-out images of a class whose accuracy is told
Say = Callable[[str], None]


@dataclass(frozen=True)
class Worth:
    """One figure, measured with every seed.

    Attributes:
        name: with its protocol.
        without, with_them: the figure of the classifier trained on real images only, and with the generated ones.
    """

    name: str
    without: tuple[float, ...]
    with_them: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Mean of the differences, seed by seed."""
        return float(np.mean(np.subtract(self.with_them, self.without)))

    @property
    def error(self) -> float:
        """Standard error of the gain; NaN of a single seed."""
        differences = np.subtract(self.with_them, self.without)
        return float(np.std(differences, ddof=1) / math.sqrt(len(differences))) if len(differences) > 1 else math.nan

    def line(self) -> str:
        """Return the figure as a sentence."""
        spread = "" if math.isnan(self.error) else f" +- {self.error:.4f}"
        return f"{np.mean(self.without):.4f} -> {np.mean(self.with_them):.4f} ({self.gain:+.4f}{spread})"

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"without": list(self.without), "with": list(self.with_them), "gain": self.gain,
                "standard error": None if math.isnan(self.error) else self.error}  # fmt: skip


def joined(data: PreparedData, images: NDArray[np.uint8], attributes: Tensor, identity: Tensor) -> PreparedData:
    """Return data with generated images in its train split as well, in memory.

    Args:
        data: real images.
        images: uint8 [M, S, S, 3].
        attributes: [M, W] of the data's schema.
        identity: int64 [M]; -1 = unknown.

    Raises:
        AttrimorphError: sizes or attributes do not fit.
    """
    if images.shape[1:] != data.images.shape[1:] or attributes.shape != (len(images), data.schema.width):
        raise AttrimorphError(
            f"generated images must be as the data's, {data.image_size} px with {data.schema.width} columns of "
            f"attributes; got {list(images.shape)} and {list(attributes.shape)}; make them from this data"
        )
    return replace(
        data,
        images=np.concatenate([data.images, images]),
        attributes=torch.cat([data.attributes, attributes.float()]),
        identity=torch.cat([data.identity, identity]),
        split=np.concatenate([data.split, np.full(len(images), "train")]),
        files=[*data.files, *(f"made-{number:06d}.png" for number in range(len(images)))],
        masks=None,
        factors=None,
        factor_names=(),
        path=None,
    )


def measure_augmentation(
    data: PreparedData,
    images: NDArray[np.uint8],
    attributes: Tensor,
    names: Sequence[str],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    images_seen: int = 60_000,
    say: Say | None = None,
) -> list[Worth]:
    """Train a small classifier of some attributes with and without generated images; judge it on real held-out ones.

    Both see equally many images, repetitions counted, from the same seed. Classes are the combinations of the
    attributes: a classifier may be right on the whole and wrong wherever a class is rare.

    Args:
        data: real images, of a size that is a power of two, with some held out (test or valid).
        images: generated, uint8 [M, S, S, 3].
        attributes: [M, W] of the data's schema.
        names: binary or categorical attributes that the classifier tells.
        seeds: one pair of trainings for each.
        images_seen: images seen in each training.
        say: gets a line of text after each pair.

    Raises:
        AttrimorphError: nothing is held out, no seed is given, or sizes do not fit.
    """
    both = joined(data, images, attributes, torch.full((len(images),), -1))

    def figures_of(each: PreparedData, seed: int) -> dict[str, float]:
        recipe = JudgeRecipe(images_seen=images_seen, seed=seed)
        return _class_accuracies(train_judge(_only(each, names), recipe, name="worth"), _only(data, names))

    return _with_and_without(data, both, figures_of, seeds, images_seen, say)


def _with_and_without(
    data: PreparedData,
    both: PreparedData,
    figures_of: Callable[[PreparedData, int], dict[str, float]],
    seeds: Sequence[int],
    images_seen: int,
    say: Say | None,
) -> list[Worth]:
    """Measure a training on real data, and on that with generated images, with every seed.

    Raises:
        AttrimorphError: no seed is given, or nothing is held out.
    """
    if not seeds:
        raise AttrimorphError("at least one seed must be given to measure with; got none; try 0, 1, 2")
    if not len(_held_out(data)):
        raise AttrimorphError("the data must have held-out images (test or valid) to measure on; it has none")
    pairs = []
    for seed in seeds:
        without, with_them = (figures_of(each, seed) for each in (data, both))
        pairs.append((without, with_them))
        if say is not None:
            shared = [name for name in without if name in with_them]
            lines = [f"{without[name]:.4f} -> {with_them[name]:.4f} {name.partition(' (')[0]}" for name in shared]
            say(f"seed {seed}: " + "; ".join(lines))
    words = f"{len(both) - len(data):,} generated images, {images_seen:,} images seen"
    return [
        Worth(f"{name}; {words}", *(tuple(side[name] for side in sides) for sides in zip(*pairs, strict=True)))
        for name in pairs[0][0]
        if all(name in side for sides in pairs for side in sides)
    ]


def _held_out(data: PreparedData) -> Labelled:
    rows = data.indices("test") if len(data.indices("test")) else data.indices("valid")
    return rows_of(data, rows, data.attributes[torch.from_numpy(rows)])


def _only(data: PreparedData, names: Sequence[str]) -> PreparedData:
    """Return data with some of its attributes, and without images that lack one of their labels."""
    columns = [column for name in names for column in range(*data.schema.columns(name).indices(data.schema.width))]
    schema = Schema(tuple(data.schema.attribute(name) for name in names))
    y = data.attributes[:, columns]
    known = ~y.isnan().any(1).numpy()
    split = np.where(known, data.split, "none")
    return replace(data, attributes=y, schema=schema, split=split)


def _class_accuracies(judge: Callable[[Tensor], Tensor], data: PreparedData) -> dict[str, float]:
    """Return accuracies on held-out images: over all, as the mean of the classes, and of the worst class."""
    held_out = _held_out(data)
    right = decisions(held_out.through(judge), data.schema) == held_out.labels
    right = torch.stack([right[:, data.schema.columns(name)].all(1) for name in data.schema.names], 1).double()
    _, classes = torch.unique(held_out.labels, dim=0, return_inverse=True)
    counts = torch.bincount(classes)
    means = torch.stack([right[classes == number].mean(0) for number in range(len(counts))])[counts >= LEAST_IN_CLASS]
    words = f"mean over {len(data.schema.names)} attributes, {len(held_out):,} held-out real images"
    figures = {f"accuracy ({words})": float(right.mean())}
    if len(means):
        figures[f"accuracy, mean of {len(means)} classes ({words})"] = float(means.mean())
        figures[f"accuracy, worst attribute of the worst of {len(means)} classes ({words})"] = float(means.min())
    return figures


def measure_identities(
    data: PreparedData,
    images: NDArray[np.uint8],
    identity: Tensor,
    *,
    attributes: Tensor | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    images_seen: int = 60_000,
    least: int = 10,
    say: Say | None = None,
) -> list[Worth]:
    """Train an identity encoder with and without generated images; measure it on real ones (Bao et al., section 5.6).

    Both see equally many images, from the same seed. Figures: top-1 among the known people on held-out images of
    them, and verification of people whom it never saw, where the test split has such.

    Args:
        data: real images with identities.
        images: generated, uint8 [M, S, S, 3].
        identity: int64 [M]: a number of the data (more images of somebody known) or a greater one (somebody new).
        attributes: [M, W]; missing when None.
        seeds, images_seen, say: as of `measure_augmentation`.
        least: images in the train split that a person must have.
    """
    y = torch.full((len(images), data.schema.width), torch.nan) if attributes is None else attributes
    both, people = joined(data, images, y, identity), people_of(data, least)
    known = images_of(data, "test", people)

    def figures_of(each: PreparedData, seed: int) -> dict[str, float]:
        recipe = IdentityRecipe(images_seen=images_seen, seed=seed)
        found = train_identity_encoder(each, recipe, least=least, name="worth")
        figures = {key: value for key, value in found.measures.items() if key.startswith("verification")}
        if len(known):  # new people are no answer to who a known one is
            columns = np.searchsorted(people_of(each, least), people)
            right = known.through(found.cosines)[:, columns].argmax(1) == known.labels
            words = f"among {len(people)} people, {len(known):,} held-out real images"
            figures[f"top-1 accuracy ({words})"] = float(right.double().mean())
        return figures

    return _with_and_without(data, both, figures_of, seeds, images_seen, say)
