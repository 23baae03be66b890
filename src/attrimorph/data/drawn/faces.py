"""Drawn faces: the embedded data set, with exact factors, layers and true counterfactuals.

Three ideas. A face is a row of factors (see the package). An attribute holds where its factor is above 0.5. A
counterfactual mirrors that factor at 0.5, and those of the exclusive attributes that must give way, and nothing else.

Painter's order: background | long hair, neck, clothes, ears, head | skin: shade, age, make-up, beard | nose, mouth,
eyes, brows | hair, hat, glasses | light. Each part is a signed distance turned into coverage over one pixel, so that
factors become a picture and its layers at any resolution.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from attrimorph.data.drawn import (
    COLUMN,
    IDENTITIES,
    Canvas,
    Factors,
    check_factors,
    degree,
    factor_of,
    hashed_uniforms,
    hsv,
    parts,
    rgb,
)
from attrimorph.data.drawn import FACTOR_NAMES as FACTOR_NAMES
from attrimorph.data.drawn import SCHEMA as SCHEMA
from attrimorph.data.drawn import TrueLayers as TrueLayers
from attrimorph.data.drawn import sample_factors as sample_factors
from attrimorph.data.drawn import tied_factors as tied_factors
from attrimorph.data.drawn import to_bytes as to_bytes
from attrimorph.errors import AttrimorphError, suggestion

PIXELS_AT_ONCE = 64 * 64 * 64  # the planes of a chunk stay in the cache
PAINTERS: tuple[Callable[[Canvas, Factors], None], ...] = (
    parts.draw_back_hair, parts.draw_body, parts.draw_head, parts.draw_skin_details, parts.draw_beard, parts.draw_nose,
    parts.draw_mouth, parts.draw_eyes, parts.draw_front_hair, parts.draw_brows, parts.draw_hat, parts.draw_glasses,
)  # fmt: skip


class Drawn(NamedTuple):
    """One chunk of a drawn data set.

    Attributes:
        images: uint8 [N, H, W, 3].
        factors: float32 [N, F], in the order of FACTOR_NAMES.
        attributes: float32 [N, A] in {0, 1}, in the order of SCHEMA.
        identity: int64 [N].
        masks: uint8 [N, H, W], 255 = person.
    """

    images: Tensor
    factors: Tensor
    attributes: Tensor
    identity: Tensor
    masks: Tensor


def attributes(factors: Tensor) -> Tensor:
    """Read the labels off the factors.

    Args:
        factors: [N, F].

    Returns:
        float32 [N, A] in {0, 1}, in the order of SCHEMA.
    """
    return (factors[:, : len(SCHEMA.names)] > 0.5).float()


def degrees(factors: Tensor) -> Tensor:
    """Read off the factors how far each attribute goes.

    Args:
        factors: [N, F].

    Returns:
        float32 [N, A] in 0..1, in the order of SCHEMA: what is seen of a factor, which itself may change unseen
        below 0.3 and above 0.7.
    """
    return degree(factors[:, : len(SCHEMA.names)])


def set_attribute(factors: Tensor, name: str, value: bool) -> Tensor:
    """Return the true counterfactual: the same picture, had the attribute been `value`.

    The attribute's factor f becomes 1 - f where the attribute is not yet as wished; rivals in exclusive groups that
    hold give way in the same manner. Without any hair colour left, hair is red. Without No_Beard, a short full beard
    grows; a goatee, moustache or sideburns come on top of it.

    Args:
        factors: [N, F].
        name: an attribute.
        value: whether it shall hold.

    Returns:
        New factors [N, F].

    Raises:
        AttrimorphError: there is no such attribute.
    """
    return dial(factors, name, 1.0 if value else 0.0)


def dial(factors: Tensor, name: str, position: float | Tensor) -> Tensor:
    """Turn one attribute continuously: 0 = taken away, 1 = set, the ends being those of `set_attribute`.

    The attribute's degree, what is seen of it, grows evenly with the position. On the way, the rivals that hold give
    way by the same share; the label changes at 0.5.

    Args:
        factors: [N, F].
        name: an attribute.
        position: in 0..1, one for all or [N].

    Returns:
        New factors [N, F].

    Raises:
        AttrimorphError: there is no such attribute, or the position is out of range.
    """
    column = COLUMN[SCHEMA.attribute(name).name]
    t = torch.as_tensor(position, dtype=factors.dtype).expand(len(factors))
    if t.numel() and not 0 <= float(t.min()) <= float(t.max()) <= 1:
        raise AttrimorphError(f"a dial's position must lie in 0..1; got {position}")
    result = factors.clone()
    result[:, column] = _between(factors[:, column], t)
    for other in SCHEMA.excluded_by(name):
        rival = factors[:, COLUMN[other]]
        result[:, COLUMN[other]] = torch.where(rival > 0.5, _between(rival, 1 - t), rival)
    return result


def _between(value: Tensor, t: Tensor) -> Tensor:
    """Go evenly in degree from the absent to the present one of the pair (f, 1 - f), hitting both ends exactly."""
    low, high = torch.minimum(value, 1 - value), torch.maximum(value, 1 - value)
    start, stop = degree(low), degree(high)
    way = torch.where(t < 0.5, start + t * (stop - start), stop - (1 - t) * (stop - start))
    return torch.where(t <= 0, low, torch.where(t >= 1, high, factor_of(way)))


def set_factor(factors: Tensor, name: str, value: float | Tensor) -> Tensor:
    """Return factors with one of them replaced, without regard to the exclusive groups.

    Args:
        factors: [N, F].
        name: one of FACTOR_NAMES.
        value: in 0..1, one for all or [N].

    Raises:
        AttrimorphError: there is no such factor.
    """
    if name not in COLUMN:
        raise AttrimorphError(f"there is no factor {name!r}; {suggestion(name, FACTOR_NAMES)}")
    result = factors.clone()
    result[:, COLUMN[name]] = value
    return result


def draw(
    count: int, size: int, seed: int, *, correlation: float = 0.5, identities: int | None = None, chunk: int = 512
) -> Iterator[Drawn]:
    """Draw a data set, chunk by chunk, in bounded memory.

    Args:
        count: pictures in all.
        size: height and width in pixels.
        seed: of everything.
        correlation: see `sample_factors`.
        identities: how many different people; None = as many as there are pictures, nearly.
        chunk: pictures a chunk; the result does not depend on it.

    Yields:
        Chunks of at most `chunk` pictures.
    """
    yield from draw_these(factors_of(count, seed, correlation=correlation, identities=identities), size, chunk)


def factors_of(count: int, seed: int, *, correlation: float = 0.5, identities: int | None = None) -> Tensor:
    """Return the factors of a data set, [count, F]; arguments as of `draw`."""
    if identities is not None and not 1 <= identities <= IDENTITIES:
        raise AttrimorphError(f"identities must lie in 1..{IDENTITIES}; got {identities}")
    generator = torch.Generator().manual_seed(seed)
    people = torch.randint(0, identities or IDENTITIES, (count,), generator=generator)
    return sample_factors(count, generator, correlation=correlation, identities=people)


def draw_these(factors: Tensor, size: int, chunk: int = 512) -> Iterator[Drawn]:
    """Draw the faces of factors [N, F], chunk by chunk; see `draw`."""
    for start in range(0, len(factors), chunk):
        part = factors[start : start + chunk]
        images, masks = render_layers(part, size).in_bytes()
        yield Drawn(images, part, attributes(part), part[:, COLUMN["identity"]].long(), masks)


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


def render_layers(factors: Tensor, size: int) -> TrueLayers:
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
    return TrueLayers(image, mask, foreground, background)


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
