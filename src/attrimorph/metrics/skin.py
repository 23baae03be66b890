"""Skin in aligned faces: where it is, how light it is, and how much lighter or darker an edit makes it."""

import torch
from torch import Tensor

CHEEKS = (0.48, 0.68, 0.32, 0.68)  # nose and cheeks of an aligned face, in sides: upper, lower, left, right
FACE = ((0.50, 0.55), (0.30, 0.38))  # centre and radii of the face: x, y
CHROMA, LIGHTNESS = 0.035, 22.0  # how far skin differs from nose and cheeks: shares of red and green; L*
LUMINANCE = (0.2126, 0.7152, 0.0722)


def lightness(images: Tensor) -> Tensor:
    """Return CIE L* of sRGB pictures [B, 3, S, S] in [-1, 1]: [B, S, S] in 0..100."""
    rgb = (images + 1) / 2
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = (linear * linear.new_tensor(LUMINANCE)[:, None, None]).sum(1)
    return 116 * torch.where(y > 216 / 24389, y.clamp(min=1e-8) ** (1 / 3), y * 841 / 108 + 4 / 29) - 16


def skin(images: Tensor) -> Tensor:
    """Return which pixels of aligned faces are skin, bool [B, S, S]: inside the face, coloured like nose and cheeks,
    nearly as light.

    Args:
        images: [B, 3, S, S] in [-1, 1].
    """
    size, light = images.shape[-1], lightness(images)
    share = (images + 1)[:, :2] / ((images + 1).sum(1, keepdim=True) + 0.05)  # red and green, whatever the light
    upper, lower, left, right = (round(size * each) for each in CHEEKS)
    own = share[..., upper:lower, left:right].flatten(2).median(2).values[..., None, None]
    bright = light[..., upper:lower, left:right].flatten(1).median(1).values[:, None, None]
    (x, y), (wide, high) = FACE
    at = (torch.arange(size, device=images.device) + 0.5) / size
    face = ((at - x) / wide).square()[None] + ((at - y) / high).square()[:, None] < 1
    return face & ((share - own).abs().amax(1) < CHROMA) & ((light - bright).abs() < LIGHTNESS)


def skin_lightness(images: Tensor, where: Tensor | None = None) -> Tensor:
    """Return the mean L* of the skin, [B]; NaN where there is none.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        where: which pixels are skin, bool [B, S, S], where it is not looked for.
    """
    where = skin(images) if where is None else where
    return (lightness(images) * where).sum((1, 2)) / where.sum((1, 2))
