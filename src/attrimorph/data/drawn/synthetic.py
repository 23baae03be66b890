"""Drawn data as prepared folders: written once, read like any other data."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from attrimorph.data.drawn import faces, ring, shapes
from attrimorph.data.prepared import PreparedData, open_prepared, raw_table
from attrimorph.data.writer import PreparedWriter
from attrimorph.errors import AttrimorphError
from attrimorph.files import lock_folder, write_text

HELD_OUT = 0.05  # share of the images in the valid split, and as many in the test split
CACHE = Path("runs/data")
SIZES = (16, 512)
MOST = 10_000_000  # images
CHUNK = 512


def write_faces(
    out: Path,
    *,
    count: int = 10_000,
    size: int = 64,
    seed: int = 0,
    correlation: float = 0.5,
    identities: int | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    request = f"faces {count} {size} {seed} {correlation:g} {identities}"
    if (out / "schema.json").is_file():
        return _again(out, request)
    chunks = faces.draw(count, size, seed, correlation=correlation, identities=identities)
    return _write_faces(out, chunks, count, size, request, progress)


def write_tied_faces(
    out: Path,
    *,
    count: int = 10_000,
    size: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedData:
    """Draw faces whose beard is tied to Male and grey hair to age (see `faces.tied_factors`), as `write_faces` does."""
    _check(count, size, seed, 0.0)
    request = f"faces {count} {size} {seed} beard-Male 0.8 grey-age 0.6"
    if (out / "schema.json").is_file():
        return _again(out, request)
    factors = faces.tied_factors(count, torch.Generator().manual_seed(seed))
    return _write_faces(out, faces.draw_these(factors, size), count, size, request, progress)


def _write_faces(
    out: Path,
    chunks: Iterator[faces.Drawn],
    count: int,
    size: int,
    request: str,
    progress: Callable[[int, int], None] | None,
) -> PreparedData:
    factors, identity, done = [], [], 0
    with PreparedWriter(out, count, size, masks=True) as writer:
        for chunk in chunks:
            images, masks = chunk.images.numpy(), chunk.masks.numpy()
            for row in range(len(images)):
                writer.write(done + row, images[row], masks[row])
            done += len(images)
            factors.append(chunk.factors)
            identity.append(chunk.identity)
            if progress is not None:
                progress(done, count)
        exact = torch.cat(factors)
        writer.finish(
            faces.SCHEMA,
            raw_table(faces.SCHEMA, faces.attributes(exact)),
            files=[f"{row:06d}.png" for row in range(count)],
            split=_split(count),
            identity=torch.cat(identity).tolist(),
            factors=exact.numpy().astype(np.float32),
            factor_names=faces.FACTOR_NAMES,
            preprocessing={"drawn": "faces", "request": request},
        )
    return open_prepared(out)


def write_shapes(
    out: Path,
    *,
    count: int = 10_000,
    size: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedData:
    """Draw shapes, a domain with gaps, into a prepared folder; arguments and errors as of `write_faces`."""
    _check(count, size, seed, 0.0)
    request = f"shapes {count} {size} {seed}"
    if (out / "schema.json").is_file():
        return _again(out, request)
    factors = shapes.sample_factors(count, torch.Generator().manual_seed(seed))
    with PreparedWriter(out, count, size, masks=True) as writer:
        for start in range(0, count, CHUNK):
            layers = shapes.render_layers(factors[start : start + CHUNK], size)
            images = faces.to_bytes(layers.image).permute(0, 2, 3, 1).contiguous().numpy()
            masks = layers.mask[:, 0].mul(255).round().to(torch.uint8).numpy()
            for row in range(len(images)):
                writer.write(start + row, images[row], masks[row])
            if progress is not None:
                progress(start + len(images), count)
        writer.finish(
            shapes.SCHEMA,
            raw_table(shapes.SCHEMA, shapes.attributes(factors)),
            files=[f"{row:06d}.png" for row in range(count)],
            split=_split(count),
            identity=[-1] * count,
            factors=factors.numpy(),
            factor_names=shapes.FACTOR_NAMES,
            preprocessing={"drawn": "shapes", "request": request},
        )
    return open_prepared(out)


def write_ring(out: Path, *, count: int = 10_000, seed: int = 0) -> Path:
    """Write points of the 2-D ring as OUT/points.csv with the columns x and y; they are no images.

    Raises:
        AttrimorphError: a value is out of range, or the folder cannot be written.
    """
    _check(count, SIZES[0], seed, 0.0)
    points = ring.ring(count, torch.Generator().manual_seed(seed))
    path = out / "points.csv"
    write_text(path, "x,y\n" + "".join(f"{x:.6f},{y:.6f}\n" for x, y in points.tolist()))
    return path


def drawn_faces(
    size: int,
    count: int = 20_000,
    *,
    tied: bool = False,
    folder: Path = CACHE,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedData:
    """Open the drawn faces (or tied faces) that training takes when no data are given; draw them the first time.

    Several processes of one run may call this at once: one draws, the others wait.
    """
    out = folder / f"{'tied' if tied else 'drawn'}-faces-{size}-{count}"
    with lock_folder(out, wait=True):
        if tied:
            return write_tied_faces(out, count=count, size=size, progress=progress)
        return write_faces(out, count=count, size=size, progress=progress)


def undrawn_faces(size: int, count: int = 20_000) -> PreparedData:
    """Return what `drawn_faces` will, but for the images: all black, and made at once.

    Raises:
        AttrimorphError: the size is out of range.
    """
    _check(count, size, 0, 0.5)
    factors = faces.factors_of(count, 0)
    return PreparedData(
        np.broadcast_to(np.uint8(0), (count, size, size, 3)),
        faces.attributes(factors),
        factors[:, faces.FACTOR_NAMES.index("identity")].long(),
        np.array(_split(count)),
        [f"{row:06d}.png" for row in range(count)],
        faces.SCHEMA,
        masks=np.broadcast_to(np.uint8(0), (count, size, size)),
        factors=factors.numpy().astype(np.float32),
        factor_names=faces.FACTOR_NAMES,
    )


def _split(count: int) -> list[str]:
    # Rows are independent draws: their order says nothing, so the last ones may be held out.
    held_out = max(1, round(count * HELD_OUT))
    return ["train"] * (count - 2 * held_out) + ["valid"] * held_out + ["test"] * held_out


def _check(count: int, size: int, seed: int, correlation: float) -> None:
    if count < 10:
        raise AttrimorphError(f"count must be at least 10, so that every split has an image; got {count}")
    if count > MOST:
        raise AttrimorphError(f"count must be at most {MOST}; got {count}; draw fewer")
    if not SIZES[0] <= size <= SIZES[1]:
        raise AttrimorphError(f"size must lie in {SIZES[0]}..{SIZES[1]} pixels; got {size}; try 64")
    if not 0 <= seed < 2**63:
        raise AttrimorphError(f"seed must lie in 0..2**63 - 1; got {seed}")
    if not 0 <= correlation <= 1:
        raise AttrimorphError(f"correlation must lie in 0..1; got {correlation}; try 0.5")


def _again(out: Path, request: str) -> PreparedData:
    data = open_prepared(out)
    if data.preprocessing.get("request") != request:
        raise AttrimorphError(f"{out} already holds other prepared data; delete it or choose another folder")
    return data
