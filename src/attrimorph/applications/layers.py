"""Layers: what an image is made of, and the image put together again with other attributes or another background."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.applications.inputs import attributes_of
from attrimorph.errors import AttrimorphError
from attrimorph.methods.attribute2image.model import LayeredModel
from attrimorph.models.model import Code, ImageLayers, Model

MOST = 64  # sampled backgrounds


@dataclass(frozen=True)
class Composition:
    """Images in layers, and put together again.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1].
        code: of the inputs.
        layers: of the inputs.
        variants: word -> the images put together otherwise, [B, 3, S, S] in [-1, 1].
    """

    images: Tensor
    code: Code
    layers: ImageLayers
    variants: dict[str, Tensor]


def layered(model: Model, verb: str) -> LayeredModel:
    """Return the model as one that paints layers.

    Raises:
        AttrimorphError: it does not; `verb` is named.
    """
    if not isinstance(model, LayeredModel):
        raise model.unable(verb, "paints in layers", "train attribute2image-discvae")
    return model


def layers(
    model: Model,
    images: Tensor,
    attributes: Tensor | None = None,
    *,
    changes: Mapping[str, float] | None = None,
    background: Tensor | None = None,
    backgrounds: int = 0,
    seed: int = 0,
) -> Composition:
    """Take images apart and put them together again.

    Args:
        model: a disCVAE.
        images: [B, 3, S, S] in [-1, 1].
        attributes: [B, W]; guessed by the model when None.
        changes: attribute -> strength: one more variant, whose background stays as it is.
        background: [1, 3, S, S], an image whose background is put behind the foregrounds; all variants after it keep
            it.
        backgrounds: how many drawn backgrounds are put behind them, one variant each.
        seed: of those.

    Raises:
        AttrimorphError: the model has no layers, or a count is out of range.
    """
    model = layered(model, "layers")
    if not 0 <= backgrounds <= MOST:
        raise AttrimorphError(f"backgrounds must lie in 0..{MOST}; got {backgrounds}; choose fewer and another seed")
    code = model.encode(images, attributes_of(model, images) if attributes is None else attributes)
    result = Composition(images, code, model.layers_of(code), {})
    variants, current = result.variants, code
    if background is not None:
        current = model.with_background(code, model.encode(background, attributes_of(model, background)))
        variants["other background"] = model.decode(current)
    if changes:
        current = Code(current.z, model.moved(current.attributes, changes))
        variants[" ".join(f"{name} {strength:+g}" for name, strength in changes.items())] = model.decode(current)
    drawn = model.sample_codes(backgrounds, torch.Generator().manual_seed(seed)) if backgrounds else None
    for number in range(backgrounds):
        assert drawn is not None
        row = Code(drawn.z[number : number + 1], drawn.attributes[number : number + 1])
        variants[f"drawn {number + 1}"] = model.decode(model.with_background(current, row))
    return result


def as_picture(gate: Tensor) -> Tensor:
    """Turn a gate [B, 1 or 3, S, S] in [0, 1] into pictures [B, 3, S, S] in [-1, 1], white where background shows."""
    return 2 * gate.expand(-1, 3, -1, -1) - 1
