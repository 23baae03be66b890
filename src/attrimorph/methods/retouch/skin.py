"""Skin and background of aligned faces: where they are; and fields that leave the skin's mean colour as it is.

`metrics.skin`, which measures what becomes of skin, tells it by other rules: who is judged does not choose the judge.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.data.loader import LUMA
from attrimorph.photographs.fields import Fields, changed

LIGHTENING = "Pale_Skin"
FACE = ((0.50, 0.56), (0.26, 0.34))  # centre and radii in an aligned picture, in sides: x, y
CENTRE = (0.45, 0.65, 0.35, 0.65)  # nose and cheeks, whose colours are the skin's: upper, lower, left, right
CHROMA, LIGHTNESS = 0.12, 0.5  # on the scale -1..1: how far skin differs from their mean
INNER = ((0.50, 0.54), (0.30, 0.42))  # never background: centre and radii
CORNER = (1 / 4, 1 / 8)  # upper corners, whose colours are the background's: height, width
FAINT, DIM = 0.12, 0.25  # how far background differs from their mean: chroma, lightness
SOFT = 1 / 16  # of the side: over so much the skin's edge is softened where its colour is put back


@torch.no_grad()
def skin(x: Tensor) -> Tensor:
    """Return how surely a pixel is skin, [B, 1, S, S] in 0..1: as coloured as nose and cheeks, inside the face."""
    size = x.shape[-1]
    top, bottom, left, right = (round(size * each) for each in CENTRE)
    return ellipse(FACE, size, x.device) * alike(x, x[..., top:bottom, left:right], CHROMA, LIGHTNESS)


@torch.no_grad()
def background(x: Tensor) -> Tensor:
    """Return how surely a pixel is background, [B, 1, S, S] in 0..1: outside the face, and coloured like a corner."""
    size = x.shape[-1]
    high, wide = (round(size * each) for each in CORNER)
    left, right = (alike(x, x[..., :high, part], FAINT, DIM) for part in (slice(wide), slice(-wide, None)))
    return (1 - ellipse(INNER, size, x.device)) * left.maximum(right)


def alike(x: Tensor, part: Tensor, chroma: float, lightness: float) -> Tensor:
    """Return how near a pixel's colour is to the mean of a part, [B, 1, S, S] in 0..1."""
    difference = x - part.mean((2, 3), keepdim=True)
    lighter = (difference * torch.tensor(LUMA, device=x.device)[:, None, None]).sum(1, keepdim=True)
    other = (difference - lighter).square().sum(1, keepdim=True)
    return torch.exp(-other / (2 * chroma**2) - lighter.square() / (2 * lightness**2))


def with_skin_kept(x: Tensor, fields: Fields) -> Fields:
    """Return fields without what they change of the skin's mean colour, all of a face alike: shape and shade of its
    parts still change, and what is painted.

    Args:
        x: pictures [B, 3, S, S] in [-1, 1].
        fields: all five, of the same size.
    """
    assert fields.mask is not None
    assert fields.shift is not None
    sure, left = skin(x), 1 - fields.mask
    mean = ((changed(x, fields) - x) * sure * left).sum((2, 3), keepdim=True)
    window = 2 * round(SOFT * x.shape[-1] / 2) + 1
    near = F.avg_pool2d(sure, window, 1, window // 2)
    share = (near * sure * left.square()).sum((2, 3), keepdim=True).clamp(min=1e-3)
    return replace(fields, shift=fields.shift - near * mean / share)


def ellipse(place: tuple[tuple[float, float], tuple[float, float]], size: int, device: torch.device) -> Tensor:
    """Return what lies inside an ellipse, its centre and radii in sides, [1, 1, S, S] in 0..1."""
    (x, y), (wide, high) = place
    at = (torch.arange(size, device=device) + 0.5) / size
    far = (((at - x) / wide).square()[None] + ((at - y) / high).square()[:, None]).sqrt()
    return ((1.1 - far) / 0.2).clamp(0, 1)[None, None]
