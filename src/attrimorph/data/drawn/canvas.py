"""What the parts of a drawn face are painted with: a canvas, soft shapes, colours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from attrimorph.data.drawn.factors import COLUMN, amount, degree
from attrimorph.errors import AttrimorphError


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


@dataclass(frozen=True)
class Factors:
    """The factors of a chunk, by name, ready to broadcast over planes."""

    values: Tensor  # [N, F]

    def __getitem__(self, name: str) -> Tensor:
        """Return a factor as [N, 1, 1]."""
        return self.values[:, COLUMN[name], None, None]

    def amount(self, name: str) -> Tensor:
        """Return how much there is of a part, [N, 1, 1]."""
        return amount(self[name])

    def degree(self, name: str) -> Tensor:
        """Return how far an attribute goes, [N, 1, 1]."""
        return degree(self[name])

    def between(self, name: str, low: float | Tensor, high: float | Tensor) -> Tensor:
        """Map a factor to low..high, [N, 1, 1]."""
        return low + (high - low) * self[name]


@dataclass(frozen=True)
class Canvas:
    """Planes of coordinates and the picture under them; a window is a view of all of them.

    Lengths: the frame is 2 wide and high; u to the right and v downwards belong to the head (turned and scaled with
    it), x and y to the frame. f is u after the turn of the head: where eyes, nose and mouth go.

    Attributes:
        u, v, f: [N, h, w].
        x: [1, 1, w]; y: [1, h, 1].
        pixel: [N, 1, 1], the size of a pixel in units of the head.
        colour: [N, 3, h, w] in [0, 1], of the foreground layer.
        mask: [N, h, w] in [0, 1].
    """

    u: Tensor
    v: Tensor
    f: Tensor
    x: Tensor
    y: Tensor
    pixel: Tensor
    colour: Tensor
    mask: Tensor

    def window(self, left: float, right: float, top: float, bottom: float) -> Self:
        """Return the view of a box of the frame: parts that live in it cost less."""
        height, width = self.mask.shape[-2:]
        rows = slice(max(0, int((top + 1) / 2 * height)), int((bottom + 1) / 2 * height + 1))
        columns = slice(max(0, int((left + 1) / 2 * width)), int((right + 1) / 2 * width + 1))
        planes = {name: vars(self)[name][..., rows, columns] for name in ("u", "v", "f", "colour", "mask")}
        return replace(self, x=self.x[..., columns], y=self.y[:, rows], **planes)

    def coverage(self, distance: Tensor, softness: float = 0.0) -> Tensor:
        """Turn signed distance (negative inside) into coverage 0..1 over one pixel, or over more if softer."""
        return (0.5 - distance / (self.pixel + softness)).clamp_(0, 1)

    def paint(self, colour: Tensor, alpha: Tensor) -> None:
        """Paint [N, 3] over the person, who does not grow by it."""
        self.colour.lerp_(colour[:, :, None, None], alpha[:, None])

    def cover(self, colour: Tensor, alpha: Tensor) -> None:
        """Paint [N, 3] over person and background alike: the person grows.

        The foreground stays unpremultiplied: m' = a + (1 - a) m and c' = (a c + (1 - a) m c) / m'.
        """
        grown = alpha + self.mask - alpha * self.mask
        self.mask.copy_(grown)
        self.colour.lerp_(colour[:, :, None, None], (alpha / grown.clamp_(min=1e-6))[:, None])


def egg(
    x: Tensor, y: Tensor, width: Tensor | float, up: Tensor | float, down: Tensor | float, square: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Signed distance to a rounded shape whose upper and lower half differ.

    The curve is (1 - q) (X^2 + Y^2) + q (X^4 + Y^4) = 1 with X = x / width, Y = y / (up or down): an ellipse for q = 0,
    nearly a rounded box for q = 1. The distance is (value - 1) / |gradient|: right near the edge, where it matters.

    Returns:
        distance, and the value of the curve: 0 in the middle, 1 on the edge.
    """
    inverse_width = 1 / torch.as_tensor(width)
    inverse_up, inverse_down = 1 / torch.as_tensor(up), 1 / torch.as_tensor(down)
    yn = torch.maximum(-y * inverse_up, y * inverse_down)  # |Y|
    x2, y2 = (x * inverse_width).square_(), yn.square()
    slope_y = torch.where(y < 0, inverse_up, inverse_down)
    if isinstance(square, float) and square == 0.0:
        value = x2 + y2
        gradient = x2 * inverse_width.square() + y2 * slope_y.square_()
    else:
        x4, y4 = x2.square(), y2.square()
        value = (x2 + y2) * (1 - square) + (x4 + y4) * square
        gx = x2 * (2 * square)
        gx.add_(1 - square).square_().mul_(x2 * inverse_width.square())
        gy = y2 * (2 * square)
        gy.add_(1 - square).square_().mul_(y2 * slope_y.square_())
        gradient = gx + gy
    return (value - 1) / gradient.sqrt_().mul_(2).clamp_(min=0.5), value


def stroke(offset: Tensor, half_width: Tensor | float) -> Tensor:
    """Signed distance to a line, from the offset to its middle."""
    return offset.abs() - half_width


def rgb(red: int, green: int, blue: int) -> Tensor:
    """A colour [1, 3] in [0, 1]."""
    return torch.tensor([[red, green, blue]]) / 255


def hsv(hue: Tensor, saturation: Tensor | float, value: Tensor | float) -> Tensor:
    """Turn hue, saturation, value (each [N] in [0, 1]) into colours [N, 3]."""
    offsets = torch.tensor([0.0, 4.0, 2.0])
    wheel = ((hue[:, None] * 6 + offsets) % 6 - 3).abs().sub(1).clamp(0, 1)
    saturation, value = (torch.as_tensor(part).reshape(-1, 1) for part in (saturation, value))
    return value * (1 + saturation * (wheel - 1))


def mix(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Go from colour a to colour b, [N, 3], by t ([N], [N, 1, 1] or a number)."""
    t = torch.as_tensor(t)
    return a + (b - a) * (t.reshape(-1, 1) if t.dim() else t)


def skin_colours(face: Factors) -> tuple[Tensor, Tensor]:
    """Return skin and its shadow, [N, 3] each: porcelain when pale, else from sand to deep brown."""
    tone, warm = face["skin_tone"], face["skin_hue"]
    light, deep = rgb(236, 182, 140), rgb(136, 86, 60)
    skin = mix(light, deep, tone) + mix(rgb(6, -4, -6), rgb(-4, 2, 6), warm)
    skin = mix(skin, rgb(255, 234, 224), face.amount("Pale_Skin") * 0.96)
    return skin, skin * mix(rgb(205, 170, 165), rgb(215, 185, 190), face.amount("Pale_Skin"))


def hair_colour(face: Factors) -> Tensor:
    """Return the colour of the hair, [N, 3]; red where no hair colour of the schema holds."""
    tone = face["hair_tone"]
    red = mix(rgb(150, 48, 22), rgb(206, 92, 40), tone)
    shades = {
        "Black_Hair": mix(rgb(22, 20, 26), rgb(44, 36, 38), tone),
        "Blond_Hair": mix(rgb(214, 168, 84), rgb(242, 208, 132), tone),
        "Brown_Hair": mix(rgb(66, 40, 26), rgb(98, 62, 38), tone),
        "Gray_Hair": mix(rgb(146, 148, 156), rgb(206, 206, 212), tone),
    }
    total, colour = torch.zeros_like(tone), torch.zeros_like(red)
    for name, shade in shades.items():
        amount = face.amount(name)
        total, colour = total + amount, colour + shade * amount[:, :, 0]
    return mix(red, colour / total.clamp(min=1e-6)[:, :, 0], total.clamp(max=1))


def hair_shade(face: Factors, strength: float | Tensor) -> Tensor:
    """Return the hair in shade, [N, 3]: warmer too unless grey, since dark yellow would look green."""
    warm = mix(torch.tensor([[1.06, 0.97, 0.86]]), torch.ones(1, 3), face.amount("Gray_Hair"))
    return (hair_colour(face) * warm * strength).clamp(0, 1)


def facial_hair(face: Factors) -> Tensor:
    """Return the colour of beard and brows, [N, 3]: kept apart from the skin, darker than it or clearly lighter."""
    weights = torch.tensor([0.3, 0.59, 0.11])
    lighter = (hair_colour(face) - skin_colours(face)[0]) @ weights
    strength = 0.88 + 0.2 * ((lighter - 0.15) * 8).clamp(-1, 1)
    return hair_shade(face, strength[:, None])
