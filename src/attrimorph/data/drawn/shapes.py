"""Drawn shapes: a domain with gaps, where no path leads from a circle to a star through other real pictures.

Against it one sees whether a method jumps or blurs between kinds, and categorical and real attributes get exercised.
And the 2-D toy of the CVAE-GAN paper: real samples on a ring, to watch how a generator learns to cover it.
"""

import math

import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import TrueLayers, check_factors
from attrimorph.errors import AttrimorphError, suggestion

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (214, 58, 52),
    "yellow": (240, 192, 52),
    "green": (62, 160, 84),
    "blue": (56, 104, 206),
    "white": (244, 244, 240),
}
SMALLEST, LARGEST = 0.3, 0.65  # radius, in half frames
# Of the ring.
CENTRE = (100.0, 100.0)
RADIUS = 2.0
SPREAD = 0.05  # standard deviation of the distance to it

SCHEMA = Schema(
    (
        Attribute("Shape", "categorical", SHAPES),
        Attribute("Colour", "categorical", tuple(COLOURS)),
        Attribute("Size", "real", mean=(SMALLEST + LARGEST) / 2, scale=(LARGEST - SMALLEST) / math.sqrt(12)),
        Attribute("Striped_Background"),
    )
)
FACTOR_NAMES: tuple[str, ...] = (
    "shape", "colour", "size", "striped", "rotation", "x", "y", "background_red", "background_green", "background_blue",
)  # fmt: skip


def sample_factors(count: int, generator: torch.Generator) -> Tensor:
    """Draw the factors of `count` pictures, independent of each other.

    Returns:
        float32 [N, 10] in the order of FACTOR_NAMES: indices of shape and colour, size (a radius in half frames), 0 or
        1, and numbers in [0, 1].
    """
    factors = torch.rand(count, len(FACTOR_NAMES), generator=generator)
    factors[:, 0] = (factors[:, 0] * len(SHAPES)).floor()
    factors[:, 1] = (factors[:, 1] * len(COLOURS)).floor()
    factors[:, 2] = SMALLEST + (LARGEST - SMALLEST) * factors[:, 2]
    factors[:, 3] = (factors[:, 3] < 0.5).float()
    return factors


def attributes(factors: Tensor) -> Tensor:
    """Read the labels off the factors [N, 10].

    Returns:
        float32 [N, width of SCHEMA]: one-hot shape, one-hot colour, standardised size, 0 or 1.
    """
    size = SCHEMA.attribute("Size")
    return torch.cat(
        [
            torch.nn.functional.one_hot(factors[:, 0].long(), len(SHAPES)).float(),
            torch.nn.functional.one_hot(factors[:, 1].long(), len(COLOURS)).float(),
            (factors[:, 2:3] - size.mean) / size.scale,
            factors[:, 3:4],
        ],
        dim=1,
    )


def set_attribute(factors: Tensor, name: str, value: str | float | bool) -> Tensor:
    """Return the true counterfactual: the same picture with one attribute changed.

    Args:
        factors: [N, 10].
        name: an attribute of SCHEMA.
        value: a shape, a colour, a radius in half frames, or whether there are stripes.

    Raises:
        AttrimorphError: there is no such attribute or value.
    """
    attribute = SCHEMA.attribute(name)
    if attribute.kind == "categorical":
        if value not in attribute.values:
            raise AttrimorphError(f"{name} has no value {value!r}; {suggestion(str(value), attribute.values)}")
        value = attribute.values.index(str(value))
    result = factors.clone()
    result[:, SCHEMA.names.index(name)] = float(value)
    return result


def render(factors: Tensor, size: int) -> Tensor:
    """Draw shapes; see `render_layers`. Returns float32 [N, 3, size, size] in [-1, 1]."""
    return render_layers(factors, size).image


def render_layers(factors: Tensor, size: int) -> TrueLayers:
    """Draw shapes and give the layers too.

    Args:
        factors: [N, 10].
        size: height and width in pixels, at least 8.

    Raises:
        AttrimorphError: wrong shape or size.
    """
    check_factors(factors, FACTOR_NAMES, size, "shape")
    shape, colour, radius, striped, rotation, x0, y0 = (part[:, None, None] for part in factors[:, :7].T)
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    room = (0.95 - radius).clamp(min=0)
    x = axis[None, None] - room * (2 * x0 - 1)
    y = axis[None, :, None] - room * (2 * y0 - 1)
    turn = rotation * 2 * math.pi
    u, v = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    circle = torch.hypot(u, v) - radius * 0.85
    square = torch.maximum(u.abs(), v.abs()) - radius * 0.75
    triangle = torch.maximum(u.abs() * (math.sqrt(3) / 2) - v * 0.5, v) - radius * 0.5
    kinds = torch.stack([circle, square, triangle, _star(u, v, radius)])
    distance = kinds[shape[:, 0, 0].long(), torch.arange(len(factors))]
    mask = (0.5 - distance * (size / 2)).clamp(0, 1)[:, None]
    palette = torch.tensor(list(COLOURS.values())) / 127.5 - 1
    foreground = palette[colour[:, 0, 0].long()][:, :, None, None].expand(-1, -1, size, size).contiguous()
    hue = factors[:, 7:10]
    ground = (0.12 + 0.3 * hue.mean(dim=1, keepdim=True) + 0.22 * hue)[:, :, None, None]
    stripe = ((axis[None, None] + axis[None, :, None]) * 2.5 % 1 - 0.5).abs().mul(4).sub(1).mul(size / 20).clamp(-1, 1)
    background = ((ground + stripe[:, None] * striped[:, None] * 0.12) * 2 - 1).expand(-1, -1, size, size).contiguous()
    return TrueLayers(mask * foreground + (1 - mask) * background, mask, foreground, background)


def _star(u: Tensor, v: Tensor, radius: Tensor) -> Tensor:
    """Five points: the plane is folded onto one half point, whose edge is a straight line."""
    cos, sin = math.cos(math.pi / 5), math.sin(math.pi / 5)
    x, y = u.abs(), -v
    fold = (cos * x - sin * y).clamp(min=0)
    x, y = x - 2 * fold * cos, y + 2 * fold * sin
    fold = (-cos * x - sin * y).clamp(min=0)
    x, y = x + 2 * fold * cos, y + 2 * fold * sin
    x, y = x.abs(), y - radius
    # from the point of the star, (0, radius), to the notch beside it
    ex, ey = 0.45 * sin, 0.45 * cos - 1
    length = math.hypot(ex, ey)
    return (x * -ey + y * ex) / length


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


def on_ring(points: Tensor) -> Tensor:
    """Tell which points, [N, 2], lie within four standard deviations of the ring: bool [N]."""
    distance = (points - _centre(points)).square().sum(dim=1).sqrt()
    return (distance - RADIUS).abs().le(4 * SPREAD)


def coverage(points: Tensor, sectors: int = 36) -> float:
    """Return the share of the ring's sectors that at least one point on the ring falls into, 0..1.

    Args:
        points: [N, 2].
        sectors: equal angles that the ring is cut into.

    Raises:
        AttrimorphError: fewer than one sector.
    """
    return int((_counts(points, sectors) > 0).sum()) / sectors


def evenness(points: Tensor, sectors: int = 36) -> float:
    """Return how evenly the points on the ring lie around it: 1 less the share that would have to change its sector.

    1 = as many in each sector, 1 / sectors = all in one; 2,000 real points have 0.95. 0 where no point is on the ring.

    Args:
        points: [N, 2].
        sectors: equal angles that the ring is cut into.

    Raises:
        AttrimorphError: fewer than one sector.
    """
    counts = _counts(points, sectors).double()
    total = float(counts.sum())
    return float((counts / total).clamp(max=1 / sectors).sum()) if total else 0.0


def _counts(points: Tensor, sectors: int) -> Tensor:
    if sectors < 1:
        raise AttrimorphError(f"the ring must be cut into at least one sector; got {sectors}")
    centred = (points - _centre(points))[on_ring(points)]
    turn = torch.atan2(centred[:, 1], centred[:, 0]) / (2 * math.pi) + 0.5
    return torch.bincount((turn * sectors).long().clamp(max=sectors - 1), minlength=sectors)


def _centre(points: Tensor) -> Tensor:
    return torch.tensor(CENTRE, dtype=points.dtype, device=points.device)
