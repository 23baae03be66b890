"""Drawn faces: the embedded data set, with exact factors, layers and true counterfactuals.

Three ideas. A face is a row of factors (see `face_factors`). An attribute holds where its factor is above 0.5. A
counterfactual mirrors that factor at 0.5, and those of the exclusive attributes that must give way, and nothing else.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from attrimorph.data.drawn.drawing import Layers as Layers
from attrimorph.data.drawn.drawing import render as render
from attrimorph.data.drawn.drawing import render_layers as render_layers
from attrimorph.data.drawn.drawing import to_bytes as to_bytes
from attrimorph.data.drawn.factors import COLUMN, IDENTITIES, degree, factor_of
from attrimorph.data.drawn.factors import FACTOR_NAMES as FACTOR_NAMES
from attrimorph.data.drawn.factors import SCHEMA as SCHEMA
from attrimorph.data.drawn.factors import sample_factors as sample_factors
from attrimorph.data.drawn.factors import tied_factors as tied_factors
from attrimorph.errors import AttrimorphError, suggestion


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
    count: int,
    size: int,
    seed: int,
    *,
    correlation: float = 0.5,
    identities: int | None = None,
    chunk: int = 512,
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
