"""Drawn data as prepared folders: written once, read like any other data."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data.drawn import faces, shapes
from attrimorph.data.folder import discard_prepared
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.files import lock_folder, reading, write_text

HELD_OUT = 0.05  # share of the images in the valid split, and as many in the test split
CACHE = Path("runs/data")
SIZES = (16, 512)
MOST = 10_000_000  # images
CHUNK = 512
Progress = Callable[[int, int], None]


def write_faces(
    out: Path,
    *,
    count: int = 10_000,
    size: int = 64,
    seed: int = 0,
    correlation: float = 0.5,
    identities: int | None = None,
    progress: Progress | None = None,
) -> PreparedData:
    """Draw faces into a prepared folder, with masks and exact factors.

    Args:
        out: the folder; must not hold other prepared data.
        count: images.
        size: height and width in pixels.
        seed: of everything.
        correlation: 0..1, see `faces.sample_factors`.
        identities: how many different people; None = nearly as many as images.
        progress: called with (done, count).

    Raises:
        AttrimorphError: a value is out of range, or the folder cannot be written.
    """
    _check(count, size, seed, correlation)
    return _write(
        out,
        f"faces {count} {size} {seed} {correlation:g} {identities}",
        lambda: faces.factors_of(count, seed, correlation=correlation, identities=identities),
        size,
        progress,
    )


def write_tied_faces(
    out: Path, *, count: int = 10_000, size: int = 64, seed: int = 0, progress: Progress | None = None
) -> PreparedData:
    """Draw faces whose beard is tied to Male and grey hair to age (see `faces.tied_factors`), as `write_faces` does."""
    _check(count, size, seed)
    request = f"faces {count} {size} {seed} beard-Male 0.8 grey-age 0.6"
    return _write(out, request, lambda: faces.tied_factors(count, _seeded(seed)), size, progress)


def write_shapes(
    out: Path, *, count: int = 10_000, size: int = 64, seed: int = 0, progress: Progress | None = None
) -> PreparedData:
    """Draw shapes, a domain with gaps, into a prepared folder; arguments and errors as of `write_faces`."""
    _check(count, size, seed)
    request = f"shapes {count} {size} {seed}"
    return _write(out, request, lambda: shapes.sample_factors(count, _seeded(seed)), size, progress)


def _write(out: Path, request: str, sample: Callable[[], Tensor], size: int, progress: Progress | None) -> PreparedData:
    """Draw what the first word of the request names, unless the same request is already there."""
    if (out / "schema.json").is_file():
        data = open_prepared(out)
        if data.preprocessing.get("request") != request:
            raise AttrimorphError(f"{out} already holds other prepared data; delete it or choose another folder")
        return data
    name = request.partition(" ")[0]
    kind = {"faces": faces, "shapes": shapes}[name]
    factors = sample()

    def chunks() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        for start in range(0, len(factors), CHUNK):
            images, masks = kind.render_layers(factors[start : start + CHUNK], size).in_bytes()
            yield images.numpy(), masks.numpy()
            if progress is not None:
                progress(start + len(images), len(factors))

    write_prepared(
        out,
        chunks(),
        kind.SCHEMA,
        kind.attributes(factors),
        split=_split(len(factors)),
        identity=factors[:, faces.FACTOR_NAMES.index("identity")].long() if kind is faces else None,
        factors=(kind.FACTOR_NAMES, factors.numpy()),
        preprocessing={"drawn": name, "request": request},
    )
    return open_prepared(out)


def write_ring(out: Path, *, count: int = 10_000, seed: int = 0) -> Path:
    """Write points of the 2-D ring as OUT/points.csv with the columns x and y; they are no images.

    Raises:
        AttrimorphError: a value is out of range, or the folder cannot be written.
    """
    _check(count, SIZES[0], seed)
    path = out / "points.csv"
    content = "x,y\n" + "".join(f"{x:.6f},{y:.6f}\n" for x, y in shapes.ring(count, _seeded(seed)).tolist())
    with reading(path):
        if path.exists() and path.read_bytes() != content.encode():
            raise AttrimorphError(
                f"{path} holds other points, or none, and would be written over; choose another --out"
            )
    write_text(path, content)
    return path


def drawn_faces(
    size: int, count: int = 20_000, *, tied: bool = False, folder: Path = CACHE, progress: Progress | None = None
) -> PreparedData:
    """Open the drawn faces (or tied faces) that training takes when no data are given; draw them the first time.

    Several processes of one run may call this at once: one draws, the others wait.
    """
    out = folder / f"{'tied' if tied else 'drawn'}-faces-{size}-{count}"
    with lock_folder(out, wait=True):
        # A broken cache is drawn anew.
        with suppress(AttrimorphError):
            return open_prepared(out)
        discard_prepared(out)
        return (write_tied_faces if tied else write_faces)(out, count=count, size=size, progress=progress)


def undrawn_faces(size: int, count: int = 20_000) -> PreparedData:
    """Return what `drawn_faces` will, but for the images: all black, and made at once.

    Raises:
        AttrimorphError: the size is out of range.
    """
    _check(count, size, 0)
    factors = faces.factors_of(count, 0)
    return PreparedData(
        np.broadcast_to(np.uint8(0), (count, size, size, 3)),
        faces.attributes(factors),
        factors[:, faces.FACTOR_NAMES.index("identity")].long(),
        np.array(_split(count)),
        [f"{row:06d}.png" for row in range(count)],
        faces.SCHEMA,
        masks=np.broadcast_to(np.uint8(0), (count, size, size)),
        factors=factors.numpy(),
        factor_names=faces.FACTOR_NAMES,
    )


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _split(count: int) -> list[str]:
    # Rows are independent draws: their order says nothing, so the last ones may be held out.
    held_out = max(1, round(count * HELD_OUT))
    return ["train"] * (count - 2 * held_out) + ["valid"] * held_out + ["test"] * held_out


def _check(count: int, size: int, seed: int, correlation: float = 0.0) -> None:
    for wrong, rule in (
        (count < 3, f"count must be at least 3, so that every split has an image; got {count}"),
        (count > MOST, f"count must be at most {MOST}; got {count}; draw fewer"),
        (not SIZES[0] <= size <= SIZES[1], f"size must lie in {SIZES[0]}..{SIZES[1]} pixels; got {size}; try 64"),
        (not 0 <= seed < 2**63, f"seed must lie in 0..2**63 - 1; got {seed}"),
        (not 0 <= correlation <= 1, f"correlation must lie in 0..1; got {correlation}; try 0.5"),
    ):
        if wrong:
            raise AttrimorphError(rule)
