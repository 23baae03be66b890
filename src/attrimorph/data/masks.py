"""Masks of the foreground for prepared data that have none, by GrabCut; and masks spoiled on purpose.

GrabCut (Rother, Kolmogorov, Blake 2004) splits an image by the colours of foreground and background and the edges
between them, starting from a guess of where the foreground is. It is OpenCV's, the extra `masks`.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.data.folder import write_checksums, write_header
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.readers.raw import preview
from attrimorph.errors import AttrimorphError, extra
from attrimorph.files import lock_folder, read_json, whole_file, write_json

Where = Literal["face", "centre"]
Mask = NDArray[np.uint8]

WORKING_SIZE = 64  # pixels at least at which images are split; on drawn faces larger ones were no better
ROUNDS = 5
LEAST, MOST = 0.02, 0.98  # shares of an image; a foreground outside them was not found
KNOWN = 255  # a mask that is foreground everywhere stands for none

Way = Literal["eroded", "dilated", "shifted"]
WAYS: tuple[Way, ...] = ("eroded", "dilated", "shifted")
SHARE = 0.1
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # down and right, in pixels
CHUNK = 512


@dataclass(frozen=True)
class MaskSummary:
    """What `make_masks` did.

    Attributes:
        path: the prepared folder.
        made: masks made now.
        kept: masks that were there.
        failed: files whose foreground was not found; they count as having no mask.
    """

    path: Path
    made: int
    kept: int
    failed: list[str]

    def lines(self) -> list[str]:
        """Return the summary in sentences."""
        lines = [f"{self.made} masks made, {self.kept} were there, in {self.path / 'masks.npy'}"]
        if self.failed:
            lines.append(
                f"no foreground found in {len(self.failed)} images: {preview(self.failed)}; "
                "they train without a mask; another --where may suit them"
            )
        return lines


def make_masks(
    path: str | Path,
    *,
    where: Where = "face",
    again: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MaskSummary:
    """Give every image of a prepared folder a mask, where it has none.

    Args:
        path: a prepared folder; its masks.npy and schema.json are replaced, whole or not at all.
        where: the foreground is likely: "face" an upright head on shoulders, "centre" in the middle.
        again: make those anew that are there.
        workers: threads; one for each core by default.
        progress: called with (done, total).

    Raises:
        AttrimorphError: OpenCV is missing, or the folder cannot be read or written.
    """
    library, path = opencv(), Path(path)
    with lock_folder(path, wait=True):
        data = open_prepared(path)
        if data.masks is None or again:
            masks, todo = np.full(data.images.shape[:3], KNOWN, np.uint8), list(range(len(data)))
        else:
            masks = np.array(data.masks)
            todo = np.flatnonzero(masks.reshape(len(masks), -1).min(1) == KNOWN).tolist()
        guess = likely(where, WORKING_SIZE)
        failed = []

        def work(row: int) -> tuple[int, Mask | None]:
            return row, grab(library, data.images[row], guess)

        with ThreadPoolExecutor(workers, thread_name_prefix="mask") as pool:
            for done, (row, mask) in enumerate(pool.map(work, todo), 1):
                masks[row] = KNOWN if mask is None else mask
                if mask is None:
                    failed.append(data.files[row])
                if progress is not None:
                    progress(done, len(todo))
        with whole_file(path / "masks.npy") as file:
            write_header(file, masks.shape)
            file.write(masks.tobytes())
        write_checksums(path)
        # schema.json, which says that they are there, comes last.
        head = read_json(path / "schema.json")
        made = {"by": "GrabCut", "where": where, "made": len(todo) - len(failed)}
        new = {
            **head,
            "masks": True,
            "checksums": True,
            "preprocessing": {**head["preprocessing"], "masks": True, "masks_made": made},
        }
        if json.dumps(new) != json.dumps(head):
            write_json(path / "schema.json", new)
    return MaskSummary(path, len(todo) - len(failed), len(masks) - len(todo), failed)


def opencv() -> ModuleType:
    """Return OpenCV.

    Raises:
        AttrimorphError: it is not installed; with the command that installs it.
    """
    with extra("masks", "making masks"):
        return import_module("cv2")


def likely(where: Where, size: int) -> NDArray[np.uint8]:
    """Return GrabCut's first guess [size, size]: 0 background, 1 foreground, 2 perhaps the one, 3 perhaps the other."""
    axis = (np.arange(size) + 0.5) / size
    x, y = axis[None, :] - 0.5, axis[:, None]
    guess = np.full((size, size), 2, np.uint8)
    if where == "face":
        head = (x / 0.36) ** 2 + ((y - 0.52) / 0.44) ** 2 < 1
        shoulders = (y > 0.86) & (np.abs(x) < 0.4)
        guess[head | shoulders] = 3
        guess[(x / 0.17) ** 2 + ((y - 0.56) / 0.26) ** 2 < 1] = 1
        guess[(y < 0.03) & (np.abs(x) > 0.25) | (y < 0.7) & (np.abs(x) > 0.47)] = 0
    else:
        guess[(x / 0.42) ** 2 + ((y - 0.5) / 0.42) ** 2 < 1] = 3
        guess[(x / 0.12) ** 2 + ((y - 0.5) / 0.12) ** 2 < 1] = 1
        edge = 0.03
        guess[(np.abs(x) > 0.5 - edge) | (y < edge) | (y > 1 - edge)] = 0
    return guess


def grab(library: ModuleType, image: NDArray[np.uint8], guess: NDArray[np.uint8]) -> Mask | None:
    """Split one image.

    Args:
        library: OpenCV.
        image: uint8 [S, S, 3].
        guess: as `likely` gives it.

    Returns:
        uint8 [S, S], 0 background .. 255 foreground, soft at the edges where the image was enlarged for it; None where
        no foreground of a sensible size was found.
    """
    size, working = image.shape[0], max(image.shape[0], guess.shape[0])
    large = np.ascontiguousarray(image[:, :, ::-1])
    if working != size:
        large = library.resize(large, (working, working), interpolation=library.INTER_CUBIC)
    mask = library.resize(guess, (working, working), interpolation=library.INTER_NEAREST)
    library.setRNGSeed(0)  # its colour models start from random means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        library.grabCut(large, mask, None, *models, ROUNDS, library.GC_INIT_WITH_MASK)
    except library.error:
        return None  # one colour everywhere
    found = largest(library, np.where(mask % 2 == 1, 255, 0).astype(np.uint8))
    if not LEAST < float(found.mean()) / 255 < MOST:
        return None
    soft: Mask = library.resize(found, (size, size), interpolation=library.INTER_AREA)
    return soft


def largest(library: ModuleType, found: Mask) -> Mask:
    """Keep the largest connected part of a mask and fill the holes in it."""
    kept = _largest_part(library, found)
    outside = _largest_part(library, 255 - kept)
    holes = (kept == 0) & (outside == 0)
    # Large gaps, as between hair and shoulder, are background.
    return np.where(holes & (holes.mean() < 0.02), 255, kept).astype(np.uint8)


def _largest_part(library: ModuleType, mask: Mask) -> Mask:
    count, labels, statistics, _ = library.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return mask
    chosen = 1 + int(np.argmax(statistics[1:, library.CC_STAT_AREA]))
    return np.where(labels == chosen, 255, 0).astype(np.uint8)


def wrong_masks(data: PreparedData, share: float = SHARE) -> PreparedData:
    """Return the data with the masks of a third of the images eroded, of a third dilated, of a third shifted.

    Which third, and whither, goes by the row. A mask that is foreground everywhere stands for none, and stays.

    Args:
        data: with masks.
        share: see `spoiled`.

    Raises:
        AttrimorphError: there are no masks.
    """
    if data.masks is None:
        raise AttrimorphError("only data with masks can have wrong ones; these have none; make them with data mask")
    masks = torch.from_numpy(np.array(data.masks))
    for first in range(0, len(masks), CHUNK):
        rows = torch.arange(first, min(first + CHUNK, len(masks)))
        rows = rows[masks[rows].flatten(1).amin(1) < 255]
        for number, way in enumerate(WAYS):
            part = rows[rows % len(WAYS) == number]
            if len(part):
                wrong = spoiled(masks[part].float() / 255, way, share, part // len(WAYS))
                masks[part] = (wrong * 255).round().to(torch.uint8)
    told = f"{data.fingerprint} wrong masks {share:g}"
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
    return replace(data, masks=masks.numpy(), checksums=None, fingerprint=fingerprint, path=None)


def spoiled(masks: Tensor, way: Way, share: float = SHARE, turns: Tensor | None = None) -> Tensor:
    """Return masks that are wrong.

    Args:
        masks: [B, S, S] in [0, 1], 1 = foreground.
        way: eroded: a share of the foreground's area, its outermost pixels, is taken away; dilated: as much is put
            round it; shifted: by a share of its size, the root of its area, at least a pixel.
        share: how wrong.
        turns: int64 [B], which way each is shifted: right, left, down, up, and round again.

    Returns:
        [B, S, S] in [0, 1].
    """
    area = (masks > 0.5).flatten(1).sum(1)
    if way == "shifted":
        steps = (share * area.float().sqrt()).round().long().clamp_min(1)
        turns = torch.zeros(len(masks), dtype=torch.int64) if turns is None else turns
        pairs = zip(masks, steps.tolist(), (turns % len(DIRECTIONS)).tolist(), strict=True)
        return torch.stack([_shifted(mask, step, *DIRECTIONS[turn]) for mask, step, turn in pairs])
    # Inside, a blurred mask falls towards the border; outside, away from it: so pixels stand in order of their depth.
    radius = max(1, masks.shape[-1] // 8)
    depth = masks[:, None]
    for _ in range(2):
        depth = F.avg_pool2d(F.pad(depth, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)
    order = (depth[:, 0] + 2 * (masks > 0.5).float()).flatten(1)
    kept = (area * (1 - share if way == "eroded" else 1 + share)).round()
    rank = order.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    inside: Tensor = (rank < kept[:, None]).to(masks.dtype).view_as(masks)
    return inside


def _shifted(mask: Tensor, pixels: int, down: int, right: int) -> Tensor:
    """Shift a mask [S, S]; background comes in."""
    side = mask.shape[-1]
    padded = F.pad(mask, (pixels,) * 4)
    top, left = pixels * (1 - down), pixels * (1 - right)
    return padded[top : top + side, left : left + side]
