"""The 2-D toy of the CVAE-GAN paper: real samples on a ring, to watch how a generator learns to cover it."""

import math

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError

CENTRE = (100.0, 100.0)
RADIUS = 2.0
SPREAD = 0.05  # standard deviation of the distance to the ring


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Draw points on the ring: uniform in angle, normal with SPREAD around RADIUS.

    Args:
        count: points, N.
        generator: the only source of randomness.

    Returns:
        float32 [N, 2].
    """
    angle = torch.rand(count, generator=generator) * (2 * math.pi)
    radius = RADIUS + SPREAD * torch.randn(count, generator=generator)
    return torch.stack([angle.cos() * radius + CENTRE[0], angle.sin() * radius + CENTRE[1]], dim=1)


def on_ring(points: Tensor, tolerance: float = 4 * SPREAD) -> Tensor:
    """Tell which points, [N, 2], lie within `tolerance` of the ring: bool [N]."""
    distance = (points - _centre(points)).square().sum(dim=1).sqrt()
    return (distance - RADIUS).abs().le(tolerance)


def coverage(points: Tensor, sectors: int = 36, tolerance: float = 4 * SPREAD) -> float:
    """Return the share of the ring's sectors that at least one point on the ring falls into, 0..1.

    Args:
        points: [N, 2].
        sectors: equal angles that the ring is cut into.
        tolerance: as for `on_ring`.

    Raises:
        AttrimorphError: fewer than one sector.
    """
    if sectors < 1:
        raise AttrimorphError(f"the ring must be cut into at least one sector; got {sectors}")
    centred = (points - _centre(points))[on_ring(points, tolerance)]
    turn = torch.atan2(centred[:, 1], centred[:, 0]) / (2 * math.pi) + 0.5
    hits = torch.bincount((turn * sectors).long().clamp(max=sectors - 1), minlength=sectors)
    return int((hits > 0).sum()) / sectors


def _centre(points: Tensor) -> Tensor:
    return torch.tensor(CENTRE, dtype=points.dtype, device=points.device)
