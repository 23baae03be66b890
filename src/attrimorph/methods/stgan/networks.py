"""STGAN's networks (Liu et al., CVPR 2019). At a width of 64 these are the published ones."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.methods.stgan.recipe import STGANRecipe
from attrimorph.networks.attribute_editing import (
    InjectedDecoder,
    PyramidEncoder,
    halvings,
    initialise_xavier,
    joined,
)
from attrimorph.networks.convolutional import Classifier


class SelectiveTransferUnit(nn.Module):
    """Features f [B, C, S, S] of the encoder, and the state s of the unit below [B, C', S/2, S/2] -> f', s', as f.

    With s^ = up(s), r = sigmoid(W_r [f, s^]), z = sigmoid(W_z [f, s^]):
        s' = r s^
        f' = (1 - z) s^ + z tanh(W_h [f, s'])

    Args:
        state: C'.
        channels: C.
    """

    def __init__(self, state: int, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(state, channels, 4, 2, 1)
        self.reset, self.update, self.fresh = (nn.Conv2d(2 * channels, channels, 3, 1, 1) for _ in range(3))

    def forward(self, f: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        above = self.up(state)
        both = torch.cat([f, above], 1)
        r, z = torch.sigmoid(self.reset(both)), torch.sigmoid(self.update(both))
        kept = r * above
        return (1 - z) * above + z * torch.tanh(self.fresh(torch.cat([f, kept], 1))), kept


class StGenerator(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1], their attributes y and the target's y' [B, W] -> [B, 3, S, S] in [-1, 1].

    Only d = y' - y is seen: by the units, from the smallest features up, with their state, and by the decoder, at every
    size but the largest.

    Args:
        condition: W.
        width, layers: of the encoder.
    """

    def __init__(self, condition: int, width: int, layers: int) -> None:
        super().__init__()
        self.encoder = PyramidEncoder(width, layers)
        self.units = nn.ModuleList(
            SelectiveTransferUnit(width * 2 ** (place + 1) + condition, width * 2**place)
            for place in reversed(range(layers - 1))
        )
        self.decoder = InjectedDecoder(condition, width, layers, layers - 1, layers - 1)
        initialise_xavier(self.units)

    def forward(self, images: Tensor, y: Tensor, target: Tensor) -> Tensor:
        d = target - y
        *features, state = self.encoder(images)
        passed = [state]
        for unit, f in zip(self.units, reversed(features), strict=True):
            moved, state = unit(f, joined(state, d))  # [B, 8w, S/16, S/16] ... [B, w, S/2, S/2]
            passed.insert(0, moved)
        made: Tensor = self.decoder(passed, d)
        return made


def kept_networks(recipe: STGANRecipe, schema: Schema, found: Collection[str] = ()) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds."""
    options, size = recipe.networks, recipe.data.image_size
    return {
        "generator": StGenerator(schema.width, options.generator_width, halvings(size, options.layers)),
        "classifier": Classifier(size, schema.width, options.classifier_width),
    }
