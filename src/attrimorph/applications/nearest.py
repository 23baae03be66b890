"""The nearest of many: exact search by Euclidean distance, in chunks, never a matrix of all pairs."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.errors import AttrimorphError

ROWS = 4096  # vectors compared at a time
SPARE = 8  # more than asked for are taken from a rounded search and put in order exactly
FAISS_FROM = 1_000_000  # vectors from which on faiss searches, where it is installed
COARSE = 8  # pixels to which images are averaged for a first, lower bound
TRIED = 32  # images compared exactly at a time
ROUNDING = 1e-4  # share by which a float32 bound may be too high

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]


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
        found = _merged(found, Nearest(here.distances, here.rows + start), count)
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


def _merged(one: Nearest, other: Nearest, count: int) -> Nearest:
    return _first(torch.cat([one.distances, other.distances], 1), torch.cat([one.rows, other.rows], 1), count)


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
