"""Images that are drawn, so that the truth about each is known: faces, shapes, the points of a ring.

Here what a drawn face is made of, its schema, its factors and how they are sampled; and what it is painted with. Every
factor lies in [0, 1], except `identity`, an integer. Each attribute has a factor of the same name: the attribute holds
where the factor is above 0.5. Sampled values stay within [0, 0.3] or [0.7, 1], so labels are unmistakable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.errors import AttrimorphError

HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")

SCHEMA = Schema(
    tuple(
        Attribute(name)
        for name in (
            "Arched_Eyebrows", "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair",
            "Bushy_Eyebrows", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "Male", "Mouth_Slightly_Open",
            "Mustache", "Narrow_Eyes", "No_Beard", "Pale_Skin", "Receding_Hairline", "Sideburns", "Smiling",
            "Wavy_Hair", "Wearing_Hat", "Young",
        )
    ),
    exclusive=(
        HAIR_COLOURS,
        ("Bald", "Bangs", "Receding_Hairline", "Wearing_Hat"),
        ("Bald", "Wavy_Hair"),
        ("Wavy_Hair", "Wearing_Hat"),
        ("Goatee", "No_Beard"),
        ("Mustache", "No_Beard"),
        ("No_Beard", "Sideburns"),
    ),
)  # fmt: skip

# They stay for an identity, beside its attributes in IDENTITY_ATTRIBUTES.
GEOMETRY = (
    "face_width", "face_length", "jaw", "cheeks", "eye_spacing", "eye_size", "eye_tilt", "eye_hue", "eye_height",
    "nose_length", "nose_width", "mouth_width", "mouth_height", "brow_height", "brow_slope", "skin_tone", "skin_hue",
    "hair_length", "hair_volume", "hair_tone", "hair_part", "ears", "blush",
)  # fmt: skip

# They belong to one picture.
PICTURE = (
    "yaw", "roll", "shift_x", "shift_y", "scale", "gaze", "light_direction", "light_strength", "light_warmth",
    "exposure", "background_kind", "background_hue", "background_saturation", "background_value", "background_shift",
    "background_angle", "background_seed", "clothes_hue", "clothes_value", "clothes_style", "glasses_style",
    "glasses_hue", "hat_style", "hat_hue", "makeup_hue",
)  # fmt: skip

FACTOR_NAMES: tuple[str, ...] = (*SCHEMA.names, *GEOMETRY, *PICTURE, "identity")
IDENTITY_ATTRIBUTES = (
    "Arched_Eyebrows", "Bald", "Bangs", "Big_Lips", "Big_Nose", *HAIR_COLOURS, "Bushy_Eyebrows", "Male", "Narrow_Eyes",
    "Pale_Skin", "Receding_Hairline", "Wavy_Hair", "Young",
)  # fmt: skip
IDENTITIES = 2**24  # float32 holds integers exactly up to here
COLUMN = {name: column for column, name in enumerate(FACTOR_NAMES)}

# Found by counting: so beards go with Male to a correlation of 0.8, and grey hair with age to one of 0.6.
TIED = 0.985
KEPT_OLD = 0.79  # of those who are neither young nor grey


def sample_factors(
    count: int, generator: torch.Generator, *, correlation: float = 0.5, identities: Tensor | None = None
) -> Tensor:
    """Draw the factors of `count` faces.

    Args:
        count: faces, N.
        generator: on the CPU; the only source of randomness beside the identities.
        correlation: 0..1, how strongly facial hair and make-up go with Male, and grey, bald and receding hair with
            age. 0 = every attribute independent of the others but for the exclusive groups. Base rates stay.
        identities: integers [N], 0 <= identity < 2**24; drawn at random if None.

    Returns:
        float32 [N, F], columns in the order of FACTOR_NAMES.

    Raises:
        AttrimorphError: a number out of range, or as many identities as faces are not given.
    """
    if count < 0:
        raise AttrimorphError(f"count must not be negative; got {count}")
    if identities is None:
        identities = torch.randint(0, IDENTITIES, (count,), generator=generator)
    if identities.shape != (count,):
        raise AttrimorphError(
            f"identities must hold one integer for each of the {count} faces; got {tuple(identities.shape)}"
        )
    columns = identity_factors(identities, correlation=correlation)
    male = columns["Male"] > 0.5
    sign = male.float() * 2 - 1
    names = ("hat", "beard", "mustache", "goatee", "sideburns", "makeup", "glasses", "smile", "open")
    chance = dict(zip(names, torch.rand(len(names), count, generator=generator), strict=True))
    degree = torch.rand(len(SCHEMA.names), count, generator=generator)

    hat = chance["hat"] < 0.18
    beard = chance["beard"] < 0.42 + 0.4 * correlation * sign
    present = {
        "Wearing_Hat": hat,
        "No_Beard": ~beard,
        "Mustache": beard & (chance["mustache"] < 0.48),
        "Goatee": beard & (chance["goatee"] < 0.45),
        "Sideburns": beard & (chance["sideburns"] < 0.45),
        "Heavy_Makeup": chance["makeup"] < 0.36 - 0.34 * correlation * sign,
        "Eyeglasses": chance["glasses"] < 0.3,
        "Smiling": chance["smile"] < 0.5,
        "Mouth_Slightly_Open": chance["open"] < 0.42,
    }
    for name in ("Bald", "Bangs", "Receding_Hairline", "Wavy_Hair"):  # a hat would hide them
        columns[name] = torch.where(hat, columns[name].clamp(max=0.3), columns[name])
    for name, holds in present.items():
        columns[name] = _value(holds, degree[SCHEMA.names.index(name)])
    picture = torch.rand(len(PICTURE), count, generator=generator)
    middle = torch.rand(5, count, generator=generator)
    picture[:5] = (picture[:5] + middle) / 2  # pose: mostly near the middle
    columns.update(zip(PICTURE, picture, strict=True))
    return torch.stack([columns[name] for name in FACTOR_NAMES], dim=1)


def tied_factors(count: int, generator: torch.Generator) -> Tensor:
    """Draw the factors of faces whose beard and Male correlate by 0.8, grey hair and age by 0.6, [count, F].

    `sample_factors` alone ties grey hair to age by at most 0.55: of the old who are not grey some are left out.
    """
    found = sample_factors(round(1.2 * count) + 64, generator, correlation=TIED)
    grey, young = (found[:, COLUMN[name]] > 0.5 for name in ("Gray_Hair", "Young"))
    kept = grey | young | (torch.rand(len(found), generator=generator) < KEPT_OLD)
    return found[kept][:count]


def identity_factors(identities: Tensor, *, correlation: float = 0.5) -> dict[str, Tensor]:
    """Return what belongs to a person: a pure function of the integer (and of `correlation`).

    Args:
        identities: integers [N], 0 <= identity < 2**24.
        correlation: as in `sample_factors`.

    Returns:
        Factor name -> float32 [N]: the geometry, the attributes in IDENTITY_ATTRIBUTES, and `identity`.

    Raises:
        AttrimorphError: a number out of range.
    """
    if not 0 <= correlation <= 1:
        raise AttrimorphError(f"correlation must lie in 0..1; got {correlation}")
    if identities.numel() and not 0 <= int(identities.min()) <= int(identities.max()) < IDENTITIES:
        wrong = identities[(identities < 0) | (identities >= IDENTITIES)][0]
        raise AttrimorphError(f"an identity must be an integer in 0..{IDENTITIES - 1}; got {int(wrong)}")
    names = ("male", "young", "colour", "line", "wave", "pale", "narrow", "nose", "lips", "bushy", "arched")
    uniform = hashed_uniforms(identities, len(names) + len(IDENTITY_ATTRIBUTES) + len(GEOMETRY))
    chance = dict(zip(names, uniform, strict=False))
    degree = uniform[len(names) :]
    male, young = chance["male"] < 0.5, chance["young"] < 0.6
    old = torch.where(young, -2 / 3, 1.0) * correlation  # its mean is 0: base rates stay

    gray = 0.17 + 0.25 * old
    rest = chance["colour"].sub(gray) / (1 - gray)
    bald = 0.16 + 0.16 * old
    receding = 0.18 + 0.18 * old
    line = chance["line"]
    rest_of_line = (line - bald - receding) / (1 - bald - receding)
    present = {
        "Male": male,
        "Young": young,
        "Gray_Hair": chance["colour"] < gray,
        "Black_Hair": (rest >= 0) & (rest < 0.31),
        "Brown_Hair": (rest >= 0.31) & (rest < 0.6),
        "Blond_Hair": (rest >= 0.6) & (rest < 0.84),
        "Bald": line < bald,
        "Receding_Hairline": (line >= bald) & (line < bald + receding),
        "Bangs": (rest_of_line >= 0) & (rest_of_line < 0.4),
        "Wavy_Hair": (line >= bald) & (chance["wave"] < 0.5),
        "Pale_Skin": chance["pale"] < 0.28,
        "Narrow_Eyes": chance["narrow"] < 0.35,
        "Big_Nose": chance["nose"] < 0.38,
        "Big_Lips": chance["lips"] < 0.4,
        "Bushy_Eyebrows": chance["bushy"] < 0.4,
        "Arched_Eyebrows": chance["arched"] < 0.42,
    }
    columns = {name: _value(present[name], part) for name, part in zip(IDENTITY_ATTRIBUTES, degree, strict=False)}
    columns.update(zip(GEOMETRY, degree[len(IDENTITY_ATTRIBUTES) :], strict=True))
    columns["identity"] = identities.float()
    return columns


def amount(factor: Tensor) -> Tensor:
    """Return how much of a part is drawn: 0 for a factor up to 0.3, 1 from 0.7 on, straight between."""
    return ((factor - 0.3) * 2.5).clamp(0, 1)


def degree(factor: Tensor) -> Tensor:
    """Return how far an attribute goes, 0..1: at most 0.105 for an absent one, at least 0.895 for a present one."""
    return 0.35 * factor + 0.65 * amount(factor)


def factor_of(degree: Tensor) -> Tensor:
    """Return the factor whose `degree` this is."""
    low, between, high = degree / 0.35, (degree + 0.4875) / 1.975, (degree - 0.65) / 0.35
    return torch.where(degree < 0.105, low, torch.where(degree > 0.895, high, between))


def hashed_uniforms(keys: Tensor, count: int) -> Tensor:
    """Turn integers into independent uniform numbers, the same for ever: splitmix64 of (key, row).

    Args:
        keys: integers [N].
        count: numbers for each key, K.

    Returns:
        float32 [K, N] in [0, 1).
    """
    rows = np.arange(1, count + 1, dtype=np.uint64)[:, None]
    with np.errstate(over="ignore"):
        x = (keys.numpy().astype(np.uint64)[None] << np.uint64(16)) + rows
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return torch.from_numpy((x >> np.uint64(40)).astype(np.float32) / np.float32(2**24))


def _value(present: Tensor, degree: Tensor) -> Tensor:
    return degree * 0.3 + present.float() * 0.7


class TrueLayers(NamedTuple):
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
