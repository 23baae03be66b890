"""Neighbours: are samples copies of training images? Nearest images, measured against those of held-out images."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attrimorph.applications.gallery import Progress
from attrimorph.applications.nearest import Nearest, nearest, nearest_images
from attrimorph.applications.sample import sample
from attrimorph.charts import histograms, stacked
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge
from attrimorph.metrics.tables import to_csv
from attrimorph.models.model import Model
from attrimorph.pictures import sheet, to_bytes

SIGMAS = 3.0  # by which a share must differ from one half to be told from chance
SHOWN = 6  # samples in the picture: those nearest to a training image
BESIDE = 3  # training images beside each
FEWEST = 20
BATCH = 256
Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
COPIES, SMOOTH, NONE = "copies", "no copies, only smooth", "no copies"


@dataclass(frozen=True)
class FeatureSpace:
    """Nearest training images in one space.

    Attributes:
        name: of the space, for the names of figures.
        samples: of every sample, its nearest training images, [M, K].
        held_out: of every held-out image, its nearest training image, [H, 1].
        nearer: probability that a sample is nearer to the training images than a held-out image is, 0..1; ties count
            half. One half or less: no sign of copies.
        nearer_error: its standard error by chance alone.
        trained_side: share of samples that are nearer to training images than to equally many held-out ones. One
            half: the model does not tell what it was trained on from what it never saw. Smooth samples are near to
            every image; this figure does not mind.
        trained_side_error: its standard error by chance alone.
        each: equally many, so many of each.
    """

    name: str
    samples: Nearest
    held_out: Nearest
    nearer: float
    nearer_error: float
    trained_side: float
    trained_side_error: float
    each: int

    @property
    def figures(self) -> dict[str, object]:
        """What is told of it."""
        own, other = (round(float(found.distances[:, 0].median()), 4) for found in (self.samples, self.held_out))
        return {
            "verdict": self.verdict,
            "median distance of samples to their nearest training image": own,
            f"the same of {len(self.held_out.rows)} held-out images": other,
            "a sample is nearer than a held-out image (probability)": round(self.nearer, 4),
            "standard error of it": round(self.nearer_error, 4),
            f"samples nearer to training than to held-out images, {self.each} of each (share)": round(
                self.trained_side, 4
            ),
            "standard error of that": round(self.trained_side_error, 4),
        }

    @property
    def verdict(self) -> str:
        """Copies; nearer only because they are smooth; or no copies."""
        if self.nearer <= 0.5 + SIGMAS * self.nearer_error:
            return NONE
        return COPIES if self.trained_side > 0.5 + SIGMAS * self.trained_side_error else SMOOTH


@dataclass(frozen=True)
class NearestImages:
    """Samples and their nearest training images.

    Attributes:
        images: the samples, [M, 3, S, S] in [-1, 1].
        train: rows of the data that were searched; `FeatureSpace.samples.rows` are places in it.
        spaces: one for pixels, one for the features of a judge where one is given.
    """

    images: Tensor
    train: Rows
    spaces: tuple[FeatureSpace, ...]

    @property
    def verdict(self) -> str:
        """The worst of the spaces."""
        found = {space.verdict for space in self.spaces}
        return next(verdict for verdict in (COPIES, SMOOTH, NONE) if verdict in found)


def neighbours(
    model: Model,
    data: PreparedData,
    count: int = 200,
    *,
    seed: int = 0,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> NearestImages:
    """Compare samples with the training images, and see whether held-out images are as near.

    Args:
        model: one that samples.
        data: what it was trained on, with images held out (valid or test).
        count: samples, and at most so many held-out images, 20 at least.
        seed: of the samples and of what is taken from the data.
        judge: in whose features it is looked as well.
        progress: called with (images compared, in all).

    Raises:
        AttrimorphError: there are too few images, or sizes differ.
    """
    if data.image_size != model.image_size:
        raise AttrimorphError(
            f"the data must have the model's {model.image_size} px; it has {data.image_size}; prepare it again"
        )
    images = sample(model, count, seed=seed).images.cpu()
    return compared(images, data, seed=seed, judge=judge, progress=progress)


def compared(
    images: Tensor,
    data: PreparedData,
    *,
    seed: int = 0,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> NearestImages:
    """Compare images with the training images; arguments and errors as of `neighbours`.

    Args:
        images: samples of any generator, [M, 3, S, S] in [-1, 1].
    """
    train, held_out = data.indices("train"), np.concatenate([data.indices("test"), data.indices("valid")])
    if min(len(held_out), len(train), len(images)) < FEWEST:
        raise AttrimorphError(
            f"at least {FEWEST} samples, training and held-out (valid, test) images must be compared; got "
            f"{len(images)}, {len(train)} and {len(held_out)}; give more"
        )
    if judge is not None and judge.image_size != data.image_size:
        raise AttrimorphError(
            f"the judge must look at {data.image_size} px; {judge.name} looks at {judge.image_size}; take another"
        )
    held_out = np.random.default_rng(seed).permutation(held_out)
    samples, others = to_bytes(images), np.ascontiguousarray(data.images[held_out[: len(images)]])
    each = min(len(train), len(held_out))
    few = np.sort(np.random.default_rng(seed + 1).choice(train, each, replace=False))

    def in_pixels(queries: Images, rows: Rows, count: int) -> Nearest:
        return nearest_images(queries, data.images, rows, count, progress)

    searches: dict[str, Callable[[Images, Rows, int], Nearest]] = {"pixels, levels of 255": in_pixels}
    if judge is not None:
        known = np.sort(np.concatenate([train, held_out]))
        searches[f"features of the {judge.name}"] = _in_features(data, judge, known)
    spaces = []
    for name, search in searches.items():
        near, reference = search(samples, train, BESIDE), search(others, train, 1)
        nearer, error = rank_probability(near.distances[:, 0], reference.distances[:, 0])
        to_train = search(samples, few, 1).distances[:, 0]
        to_held_out = search(samples, np.sort(held_out[:each]), 1).distances[:, 0]
        side = float(((to_train < to_held_out).double() + 0.5 * (to_train == to_held_out).double()).mean())
        side_error = 0.5 / math.sqrt(len(samples))
        spaces.append(FeatureSpace(name, near, reference, nearer, error, side, side_error, each))
    return NearestImages(images, train, tuple(spaces))


def _in_features(data: PreparedData, judge: Judge, known: Rows) -> Callable[[Images, Rows, int], Nearest]:
    """Return a search among rows of the data in a judge's features, which are computed once, of `known` ones."""
    parts = np.array_split(known, math.ceil(len(known) / BATCH))
    features = torch.cat([judge.features(data.batch(part)[0]) for part in parts])

    def search(images: Images, rows: Rows, count: int) -> Nearest:
        queries = judge.features(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)
        return nearest(queries, features[np.searchsorted(known, rows)], count)

    return search


def rank_probability(values: Tensor, others: Tensor) -> tuple[float, float]:
    """Return the probability that one of `values` is below one of `others`, ties half, and its standard error.

    U / (m n) of Mann and Whitney (1947); the error is that under one common distribution.

    Args:
        values: [M].
        others: [N].
    """
    ordered = others.double().sort().values
    sought = values.double().contiguous()
    below = torch.searchsorted(ordered, sought, right=True)
    equal = below - torch.searchsorted(ordered, sought)
    m, n = len(values), len(others)
    share = float((n - below).double().mean() + 0.5 * equal.double().mean()) / n
    return share, math.sqrt((m + n + 1) / (12 * m * n))


def neighbours_picture(result: NearestImages, data: PreparedData) -> Image.Image:
    """Lay out the samples that are nearest to a training image, those images beside them, and the distributions."""
    parts = []
    for space in result.spaces:
        closest = space.samples.distances[:, 0].argsort()[:SHOWN].tolist()
        rows = [
            torch.cat([result.images[row, None], data.batch(result.train[space.samples.rows[row].numpy()])[0]])
            for row in closest
        ]
        beside = space.samples.rows.shape[1]
        columns = ["sample", "nearest", *[f"{number}." for number in range(2, beside + 1)]]
        parts.append(sheet(rows, columns=columns, cell=max(96, result.images.shape[-1])))
        series = {"samples": space.samples.distances[:, 0], "held-out images": space.held_out.distances[:, 0]}
        parts.append(histograms(series, f"distance to the nearest training image ({space.name})"))
    return stacked(parts)


def neighbours_table(result: NearestImages, data: PreparedData) -> str:
    """Write every sample's and held-out image's nearest training image as CSV."""
    rows: list[list[str | int]] = []
    for space in result.spaces:
        for word, found in (("sample", space.samples), ("held-out", space.held_out)):
            pairs = zip(found.distances[:, 0].tolist(), found.rows[:, 0].tolist(), strict=True)
            for number, (distance, row) in enumerate(pairs):
                rows.append([space.name, word, number, f"{distance:.6f}", data.files[result.train[row]]])
    return to_csv(["space", "set", "number", "distance", "nearest"], rows)
