"""The nearest images: exact search by Euclidean distance, retrieval by code, and whether samples are copies.

Searches go in chunks, never over a matrix of all pairs. Are samples copies of training images? Their nearest training
images are measured against those of held-out images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications.gallery import Codes, Gallery, Progress, encode_gallery, holding
from attrimorph.applications.generating import sample
from attrimorph.applications.inputs import attributes_of, encoder
from attrimorph.charts import histograms, stacked
from attrimorph.data import Schema, few
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.identity_encoder import area_under_curve
from attrimorph.evaluators.judge import Judge
from attrimorph.metrics.figures import to_csv
from attrimorph.models.model import Model
from attrimorph.pictures import sheet, to_bytes

ROWS = 4096  # vectors compared at a time
SPARE = 8  # more than asked for are taken from a rounded search and put in order exactly
FAISS_FROM = 1_000_000  # vectors from which on faiss searches, where it is installed
COARSE = 8  # pixels to which images are averaged for a first, lower bound
TRIED = 32  # images compared exactly at a time
ROUNDING = 1e-4  # share by which a float32 bound may be too high

Pixels = NDArray[np.uint8]
MOST = 1000  # images retrieved
SAME_PIXELS = 2.5 / 255  # largest difference, in [-1, 1], of two readings of one picture
SIGMAS = 3.0  # by which a share must differ from one half to be told from chance
SHOWN = 6  # samples in the picture: those nearest to a training image
BESIDE = 3  # training images beside each
FEWEST = 20  # images to be compared, of each sort
BATCH = 256  # images whose features are computed together
Rows = NDArray[np.int64]
COPIES, SMOOTH, NONE = "copies", "no copies, only smooth", "no copies"


class Nearest(NamedTuple):
    """The nearest of each query, the nearest first; of equals, the one that stands first.

    Attributes:
        distances: float64 [Q, K].
        rows: int64 [Q, K], places among those that were searched.
    """

    distances: Tensor
    rows: Tensor


def nearest(queries: Tensor, base: Tensor, count: int = 1) -> Nearest:
    """Find the nearest vectors, exactly.

    From a million vectors on faiss does the work where it is installed, with the same result.

    Args:
        queries: [Q, D].
        base: [N, D].
        count: K; all N where there are fewer.

    Raises:
        AttrimorphError: nothing to search, or the widths differ.
    """
    if queries.dim() != 2 or base.dim() != 2 or queries.shape[1] != base.shape[1]:
        raise AttrimorphError(
            f"queries and what is searched must be vectors of one width; got {list(queries.shape)} and "
            f"{list(base.shape)}; encode both with one model"
        )
    count = _checked_count(count, len(base))
    queries = queries.double().cpu()
    if len(base) >= FAISS_FROM and find_spec("faiss") is not None:
        return _ordered(queries, base.cpu(), _faiss_rows(queries, base, count + SPARE), count)
    found = Nearest(torch.empty(len(queries), 0, dtype=torch.float64), torch.empty(len(queries), 0, dtype=torch.long))
    for start in range(0, len(base), ROWS):
        part = base[start : start + ROWS].double().cpu()
        squares = part.square().sum(1) - 2 * queries @ part.T
        rows = squares.topk(min(count + SPARE, len(part)), dim=1, largest=False).indices
        here = _ordered(queries, part, rows, count)
        distances = torch.cat([found.distances, here.distances], 1)
        found = _first(distances, torch.cat([found.rows, here.rows + start], 1), count)
    return found


def _checked_count(count: int, most: int) -> int:
    if most == 0:
        raise AttrimorphError("there must be something to search; got nothing; name a folder of images")
    if count < 1:
        raise AttrimorphError(f"count must be at least 1; got {count}")
    return min(count, most)


def _ordered(queries: Tensor, base: Tensor, rows: Tensor, count: int) -> Nearest:
    """Put candidates [Q, C] in order by their differences themselves: a product of matrices rounds near zero."""
    rows = rows.sort(dim=1).values
    pairs = zip(queries, rows, strict=True)
    distances = torch.stack([(base[row].double() - query).square().sum(1).sqrt() for query, row in pairs])
    return _first(distances, rows, count)


def _first(distances: Tensor, rows: Tensor, count: int) -> Nearest:
    order = distances.sort(dim=1, stable=True).indices[:, :count]
    return Nearest(distances.gather(1, order), rows.gather(1, order))


def _faiss_rows(queries: Tensor, base: Tensor, count: int) -> Tensor:
    """Return candidates [Q, C] of a flat (exact, float32) index."""
    import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]

    index = faiss.IndexFlatL2(base.shape[1])
    index.add(np.ascontiguousarray(base.float().numpy()))
    _, rows = index.search(np.ascontiguousarray(queries.float().numpy()), min(count, len(base)))
    return torch.from_numpy(rows)


def nearest_images(
    queries: Pixels, base: Pixels, rows: NDArray[np.int64], count: int = 1, progress: Progress | None = None
) -> Nearest:
    """Find the nearest images in pixel L2, exactly.

    The distance of two averaged images, times the side of the blocks, is never more than that of the images (Jensen),
    so most images are ruled out unseen.

    Args:
        queries: uint8 [Q, S, S, 3].
        base: uint8 [N, S, S, 3], may be a memory map.
        rows: int64 [M], those of `base` to search.
        count: K.
        progress: called with (queries done, Q).

    Returns:
        Distances as root mean squared differences in levels of 0..255; rows are places in `rows`.
    """
    count = _checked_count(count, len(rows))
    side = max(1, base.shape[1] // COARSE)
    coarse = torch.cat([_averaged(base[rows[start : start + ROWS]], side) for start in range(0, len(rows), ROWS)])
    result = []
    for number, (query, mean) in enumerate(zip(queries, _averaged(queries, side), strict=True), 1):
        bounds = (coarse - mean).square().sum(1) * (side * side * (1 - ROUNDING))
        result.append(_search_bounded(query, base, rows, bounds, count))
        if progress is not None:
            progress(number, len(queries))
    squares = torch.stack([found.distances for found in result])
    return Nearest((squares / base[0].size).sqrt(), torch.stack([found.rows for found in result]))


def _averaged(pixels: Pixels, side: int) -> Tensor:
    """Average blocks: uint8 [B, S, S, 3] -> float32 [B, 3 (S / side)^2]."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    return avg_pool2d(images, side).flatten(1)


def _search_bounded(query: Pixels, base: Pixels, rows: NDArray[np.int64], bounds: Tensor, count: int) -> Nearest:
    """Compare with images in the order of their lower bounds [M], until none can be nearer; squared distances."""
    ascending, order = bounds.sort()
    squares, places = torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.long)
    for start in range(0, len(order), TRIED):
        if len(squares) == count and float(ascending[start]) > float(squares[-1]):
            break
        # A memory map is read forwards.
        tried = order[start : start + TRIED].sort().values
        found = base[rows[tried.numpy()]].astype(np.int64) - query
        fresh = torch.from_numpy((found * found).sum((1, 2, 3)).astype(np.float64))
        squares, places = torch.cat([squares, fresh]), torch.cat([places, tried])
        # By distance, and by place among equals.
        best = np.lexsort((places.numpy(), squares.numpy()))[:count]
        squares, places = squares[best], places[best]
    return Nearest(squares, places)


@dataclass(frozen=True)
class Retrieval:
    """What was found, the nearest first.

    Attributes:
        rows: int64 [K], places in the gallery.
        distances: float64 [K], Euclidean, between codes z.
        searched: how many images had what was asked for.
    """

    rows: Tensor
    distances: Tensor
    searched: int


def retrieve(
    model: Model,
    image: Tensor,
    gallery: Gallery,
    *,
    count: int = 5,
    wanted: Mapping[str, float] | None = None,
    same: Sequence[str] = (),
    other_identity: bool = False,
    attributes: Tensor | None = None,
    codes: Codes | None = None,
) -> Retrieval:
    """Find the nearest images by L2 in z (Bao et al. 2017, section 5.5): exact, in chunks.

    z holds what the attributes leave open, so "this face, with glasses" is the same z among images with glasses.

    Args:
        model: one that encodes.
        image: [1, 3, S, S] in [-1, 1].
        gallery: what to search.
        count: K; fewer where fewer images have what is asked for.
        wanted: attribute (or "name=value") -> 1 must hold, 0 or -1 must not.
        same: attributes that must be as those of the image.
        other_identity: leave out everybody who is as the image; it must be in the gallery.
        attributes: [1, W] of the image; guessed by the model when None.
        codes: of the gallery; computed when None.

    Raises:
        AttrimorphError: no image has what is asked for, or an argument is out of range.
    """
    encodes = encoder(model, "retrieve")
    check_wishes(gallery.schema or model.schema, count, wanted or {}, same)
    codes = encode_gallery(model, gallery) if codes is None else codes
    y = attributes_of(model, image) if attributes is None else attributes
    z = encodes.encode(image, y).z.flatten(1).cpu()
    schema, labels = _labels(model, gallery, codes)
    allowed = holding(schema, labels, wanted or {}) & _alike(schema, labels, _in_schema(model, y, schema, same), same)
    if other_identity:
        allowed &= gallery.identity != _identity_of(image, gallery, nearest(z, codes.z).rows[0])
    rows = allowed.nonzero()[:, 0]
    if not len(rows):
        asked = ", ".join([*(f"{name}={value:g}" for name, value in (wanted or {}).items()), *same]) or "another person"
        raise AttrimorphError(f"some image must have what is asked for ({asked}); none of {len(gallery)} has; ask less")
    found = nearest(z, codes.z[rows], count)
    return Retrieval(rows[found.rows[0]], found.distances[0], len(rows))


def check_wishes(schema: Schema, count: int, wanted: Mapping[str, float], same: Sequence[str]) -> None:
    """Refuse what no gallery with these attributes could answer; arguments and errors as of `retrieve`."""
    if not 1 <= count <= MOST:
        raise AttrimorphError(f"count must lie in 1..{MOST}; got {count}; try 5")
    nobody = torch.zeros(0, schema.width)
    holding(schema, nobody, wanted)
    _alike(schema, nobody, torch.zeros(1, schema.width), same)


def _labels(model: Model, gallery: Gallery, codes: Codes) -> tuple[Schema, Tensor]:
    """Return the labels that the images came with, or else what the model sees."""
    if gallery.schema is None or gallery.labels is None:
        return model.schema, codes.attributes
    return gallery.schema, gallery.labels


def _in_schema(model: Model, y: Tensor, schema: Schema, same: Sequence[str]) -> Tensor:
    """Return the attributes of the image [1, W] in the columns of a gallery's schema; NaN where the model has none.

    Raises:
        AttrimorphError: the model does not tell an attribute that must be the same.
    """
    found = torch.full((1, schema.width), torch.nan)
    for attribute in schema.attributes:
        if attribute.key in [each.key for each in model.schema.attributes]:
            alone = Schema((attribute,))
            found[:, schema.columns(attribute.name)] = alone.columns_of(y, model.schema).cpu()
        elif attribute.name in same:
            raise AttrimorphError(
                f"the same {attribute.name} must be an attribute of the model, by name, kind and values; the model has "
                f"{few(model.schema.attributes)}; the images have {attribute.describe()}; leave it out"
            )
    return found


def _alike(schema: Schema, labels: Tensor, y: Tensor, same: Sequence[str]) -> Tensor:
    """Return which rows [N] have the named attributes as y [1, W] has them."""
    allowed = torch.ones(len(labels), dtype=torch.bool)
    for name in same:
        if schema.attribute(name).kind == "real":
            raise AttrimorphError(
                f"the same {name} must be a binary or categorical attribute; it is real; leave it out"
            )
        columns = schema.columns(name)
        allowed &= ((labels[:, columns] > 0.5) == (y[:, columns] > 0.5)).all(1) & ~labels[:, columns].isnan().any(1)
    return allowed


def _identity_of(image: Tensor, gallery: Gallery, rows: Tensor) -> Tensor:
    """Return who is in the image, which must be the one nearest image of the gallery itself."""
    row = rows.numpy()
    same = (gallery.read(row) - image.cpu()).abs().max() <= SAME_PIXELS
    if not bool(same) or int(gallery.identity[rows[0]]) < 0:
        what = "it has no identities" if same else "the image is not in it"
        raise AttrimorphError(
            f"other_identity needs the image among images whose people are known; {what}; leave it out"
        )
    return gallery.identity[rows[0]]


def retrieval_table(gallery: Gallery, result: Retrieval) -> str:
    """Write rank, distance, identity, file as CSV."""
    found = enumerate(zip(result.rows.tolist(), result.distances.tolist(), strict=True), 1)
    rows = [[rank, f"{far:.6f}", int(gallery.identity[row]), gallery.names[row]] for rank, (row, far) in found]
    return to_csv(["rank", "distance", "identity", "file"], rows)


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
    images: Tensor, data: PreparedData, *, seed: int = 0, judge: Judge | None = None, progress: Progress | None = None
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

    def in_pixels(queries: Pixels, rows: Rows, count: int) -> Nearest:
        return nearest_images(queries, data.images, rows, count, progress)

    searches: dict[str, Callable[[Pixels, Rows, int], Nearest]] = {"pixels, levels of 255": in_pixels}
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


def _in_features(data: PreparedData, judge: Judge, known: Rows) -> Callable[[Pixels, Rows, int], Nearest]:
    """Return a search among rows of the data in a judge's features, which are computed once, of `known` ones."""
    parts = np.array_split(known, math.ceil(len(known) / BATCH))
    features = torch.cat([judge.features(data.batch(part)[0]) for part in parts])

    def search(images: Pixels, rows: Rows, count: int) -> Nearest:
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
    m, n = len(values), len(others)
    below = area_under_curve(torch.cat([others, values]).double(), torch.arange(n + m) < n)
    return below, math.sqrt((m + n + 1) / (12 * m * n))


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
