"""Masks spoiled on purpose, always in the same way: to see what a method makes of wrong ones."""

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError

Way = Literal["eroded", "dilated", "shifted"]
WAYS: tuple[Way, ...] = ("eroded", "dilated", "shifted")
SHARE = 0.1
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # down and right, in pixels
CHUNK = 512


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
    return replace(data, masks=masks.numpy(), fingerprint=hashlib.sha256(told.encode()).hexdigest()[:16], path=None)


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
