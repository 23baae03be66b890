"""The renderer of drawn faces: factors in, picture and layers out, at any resolution.

Painter's order: background | long hair, neck, clothes, ears, head | skin: shade, age, make-up, beard | nose, mouth,
eyes, brows | hair, hat, glasses | light. Each part is a signed distance turned into coverage over one pixel.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from attrimorph.data.drawn import hair, parts
from attrimorph.data.drawn.canvas import Canvas, Factors, hsv, rgb
from attrimorph.data.drawn.factors import FACTOR_NAMES, hashed_uniforms
from attrimorph.errors import AttrimorphError

PIXELS_AT_ONCE = 64 * 64 * 64  # the planes of a chunk stay in the cache
PAINTERS: tuple[Callable[[Canvas, Factors], None], ...] = (
    hair.draw_back_hair, parts.draw_body, parts.draw_head, parts.draw_skin_details, hair.draw_beard, parts.draw_nose,
    parts.draw_mouth, parts.draw_eyes, hair.draw_front_hair, parts.draw_brows, hair.draw_hat, parts.draw_glasses,
)  # fmt: skip


class Layers(NamedTuple):
    """A picture and what it is made of: image = mask * foreground + (1 - mask) * background.

    Attributes:
        image, foreground, background: float32 [N, 3, H, W] in [-1, 1].
        mask: float32 [N, 1, H, W] in [0, 1], 1 = person.
    """

    image: Tensor
    mask: Tensor
    foreground: Tensor
    background: Tensor

    def in_bytes(self) -> tuple[Tensor, Tensor]:
        """Return the images, uint8 [N, H, W, 3], and the masks, uint8 [N, H, W], 255 = person."""
        images = to_bytes(self.image).permute(0, 2, 3, 1).contiguous()
        return images, self.mask[:, 0].mul(255).round().to(torch.uint8)


def to_bytes(images: Tensor) -> Tensor:
    """Turn [-1, 1] into uint8."""
    return images.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8)


def check_factors(factors: Tensor, names: Sequence[str], size: int, what: str) -> None:
    """Refuse factors that are not [N, F], F as many as names, and sizes below 8."""
    if factors.dim() != 2 or factors.shape[1] != len(names):
        raise AttrimorphError(f"factors must be [N, {len(names)}]; got {list(factors.shape)}; sample them anew")
    if size < 8:
        raise AttrimorphError(f"a {what} must be drawn at least 8 pixels wide; got {size}")


def render(factors: Tensor, size: int) -> Tensor:
    """Draw faces.

    Args:
        factors: float32 [N, F], columns in the order of FACTOR_NAMES.
        size: height and width in pixels, at least 8.

    Returns:
        float32 [N, 3, size, size] in [-1, 1].

    Raises:
        AttrimorphError: wrong shape or size.
    """
    return render_layers(factors, size).image


def render_layers(factors: Tensor, size: int) -> Layers:
    """Draw faces and give the layers too; arguments and errors as for `render`."""
    check_factors(factors, FACTOR_NAMES, size, "face")
    count = len(factors)
    image, foreground, background = (torch.empty(count, 3, size, size) for _ in range(3))
    mask = torch.empty(count, 1, size, size)
    chunk = max(1, PIXELS_AT_ONCE // size**2)

    def draw_chunk(start: int) -> None:
        rows = slice(start, start + chunk)
        part = Factors(factors[rows].float().cpu())
        canvas = _draw_person(part, size)
        background[rows] = _draw_background(part, size).mul_(2).sub_(1)
        foreground[rows] = canvas.colour.mul_(2).sub_(1)
        mask[rows, 0] = canvas.mask
        image[rows] = mask[rows] * foreground[rows] + (1 - mask[rows]) * background[rows]

    _spread(draw_chunk, range(0, count, chunk))
    return Layers(image, mask, foreground, background)


def _spread(work: Callable[[int], None], starts: Sequence[int]) -> None:
    """Do the chunks side by side, one thread each.

    Splitting every small operation over the cores instead (what torch does) waits at its end for the slowest core:
    a hundred times slower on a machine that is busy elsewhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # new threads take it over
    try:
        with torch.no_grad(), ThreadPoolExecutor(max(1, min(threads, len(starts)))) as pool:
            list(pool.map(torch.no_grad()(work), starts))
    finally:
        torch.set_num_threads(threads)


def _draw_person(face: Factors, size: int) -> Canvas:
    canvas = _blank_canvas(face, size)
    for draw in PAINTERS:
        draw(canvas, face)
    _light(canvas, face)
    return canvas


def _blank_canvas(face: Factors, size: int) -> Canvas:
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    x = axis[None, None, :] - face.between("shift_x", -0.06, 0.06)
    y = axis[None, :, None] - face.between("shift_y", -0.05, 0.05)
    roll = face.between("roll", -0.16, 0.16)
    scale = face.between("scale", 0.95, 1.06)
    cos, sin = (1 - roll**2 / 2) / scale, roll / scale
    u = x * cos + (y - 0.4) * sin
    v = (y - 0.4) * cos - x * sin + 0.4
    yaw = face.between("yaw", -1, 1)
    f = u - 0.075 * yaw
    f = f + f.square() * (0.3 * yaw)  # the far side is seen shortened
    return Canvas(
        u=u,
        v=v,
        f=f,
        x=x.expand(-1, 1, size),
        y=y,
        pixel=2 / size / scale,
        colour=rgb(200, 160, 140)[:, :, None, None].repeat(len(roll), 1, size, size),
        mask=torch.zeros(len(roll), size, size),
    )


def _light(canvas: Canvas, face: Factors) -> None:
    """One soft light from the left or the right, warm or cool."""
    side = face.between("light_direction", -1, 1)
    strength = face.between("light_strength", 0.02, 0.2)
    plane = (canvas.x * (side * strength) - canvas.y * (strength * 0.35)).add_(face.between("exposure", 0.88, 1.0))
    warmth = face.between("light_warmth", -0.04, 0.04)[:, :, 0]
    tint = 1 + torch.cat([warmth, 0 * warmth, -warmth], dim=1)
    canvas.colour.mul_(plane[:, None]).mul_(tint[:, :, None, None]).clamp_(0, 1)


def _draw_background(face: Factors, size: int) -> Tensor:
    """Plain (also white), a gradient, or soft clouds: [N, 3, size, size] in [0, 1]."""
    kind = face["background_kind"]
    white, gradient, clouds = kind < 0.14, (kind > 0.4) & (kind < 0.68), kind >= 0.68
    hue, saturation, value = (face[f"background_{part}"].flatten() for part in ("hue", "saturation", "value"))
    near = hsv(hue, 0.06 + 0.36 * saturation * saturation, 0.45 + 0.5 * value)
    far = hsv(
        (hue + 0.25 * face["background_shift"].flatten() - 0.125) % 1, 0.05 + 0.3 * saturation, 0.95 - 0.5 * value
    )
    near = torch.where(white[:, 0], rgb(252, 252, 252), near)
    axis = (torch.arange(size) + 0.5) / size
    turn = face.between("background_angle", -1, 1)
    ramp = 0.5 + (axis[None, None, :] - 0.5) * turn + (axis[None, :, None] - 0.5) * (1 - turn.abs())
    noise = hashed_uniforms((face["background_seed"].flatten().double() * 2**24).long(), 5 * 5).T.reshape(-1, 1, 5, 5)
    cloud = functional.interpolate(noise, (size, size), mode="bicubic", align_corners=False)[:, 0]
    weight = ramp * gradient + cloud.mul_(clouds * 0.8)
    return torch.lerp(near[:, :, None, None], far[:, :, None, None], weight.clamp_(0, 1)[:, None])
