"""Networks of StarGAN (Choi et al., CVPR 2018), AttGAN (He et al., TIP 2019) and STGAN (Liu et al., CVPR 2019).

At a width of 64 these are the published ones.
"""

import math
from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.methods.attribute_editing.recipe import AttGANRecipe, StarGANRecipe, STGANRecipe
from attrimorph.networks.convolutional import SLOPE, Classifier

LEAK = 0.01  # of StarGAN's rectifiers


def joined(h: Tensor, a: Tensor) -> Tensor:
    """Return features [B, C, S, S] with attributes [B, W] as W more channels, each the same everywhere."""
    return torch.cat([h, a[:, :, None, None].expand(-1, -1, *h.shape[2:]).to(h.dtype)], 1)


def halvings(image_size: int, layers: int) -> int:
    """Return how many of so many convolutions there are: norms need 2x2 at least."""
    return min(layers, int(math.log2(image_size)) - 1)


def initialise_xavier(module: nn.Module) -> None:
    """Uniform weights of variance 2 / (fan-in + fan-out), zero biases (Glorot and Bengio 2010)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class PyramidEncoder(nn.Module):
    """[B, 3, S, S] in [-1, 1] -> features [B, w, S/2, S/2], [B, 2w, S/4, S/4], ..., the finest first.

    Convolutions 4x4 that halve, batch norm, leaky rectifiers.

    Args:
        width: w.
        layers: convolutions.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        channels = [3, *(width * 2**level for level in range(layers))]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(SLOPE, inplace=True))
            for a, b in pairwise(channels)
        )
        initialise_xavier(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        found = [images]
        for layer in self.layers:
            found.append(layer(found[-1]))
        return found[1:]


class InjectedDecoder(nn.Module):
    """Features of a `PyramidEncoder` and attributes a [B, W] -> [B, 3, S, S] in [-1, 1].

    Transposed convolutions 4x4 that double, batch norm, rectifiers; the last has no norm, and tanh.

    Args:
        condition: W.
        width, layers: of the encoder.
        shortcuts: features that join after so many of the first doublings.
        injections: a joins the smallest features, and after so many of the first doublings again.
    """

    def __init__(self, condition: int, width: int, layers: int, shortcuts: int, injections: int) -> None:
        super().__init__()
        self.shortcuts, self.injections = shortcuts, injections
        self.layers = nn.ModuleList()
        before = width * 2 ** (layers - 1) + condition
        for place in range(layers - 1):
            after = width * 2 ** (layers - 1 - place)
            convolution = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)
            self.layers.append(nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)))
            before = after + (after // 2 if place < shortcuts else 0) + (condition if place < injections else 0)
        self.last = nn.ConvTranspose2d(before, 3, 4, 2, 1)
        initialise_xavier(self)

    def forward(self, features: Sequence[Tensor], a: Tensor) -> Tensor:
        h = joined(features[-1], a)
        for place, layer in enumerate(self.layers):
            h = layer(h)  # [B, 16w, S/16, S/16] ... [B, 2w, S/2, S/2]
            if place < self.shortcuts:
                h = torch.cat([h, features[-2 - place]], 1)
            if place < self.injections:
                h = joined(h, a)
        return torch.tanh(self.last(h))  # [B, 3, S, S]


class AttributeCritic(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1] -> verdicts [B, 1], raw, and the head's logits [B, W].

    Convolutions 4x4 that halve, instance norm, leaky rectifiers; verdict and head have a hidden layer each.

    Args:
        image_size: S.
        outputs: W.
        width: channels of the first convolution; they double at each. Hidden layers have 16 times as many numbers.
        layers: convolutions, see `halvings`.
    """

    def __init__(self, image_size: int, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        layers = halvings(image_size, layers)
        channels = [3, *(width * 2**level for level in range(layers))]
        self.layers = nn.Sequential()
        for a, b in pairwise(channels):
            self.layers.extend([nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.InstanceNorm2d(b, affine=True)])
            self.layers.append(nn.LeakyReLU(SLOPE))
        features, hidden = channels[-1] * (image_size >> layers) ** 2, 16 * width
        self.verdict, self.head = (
            nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, count))
            for count in (1, outputs)
        )
        initialise_xavier(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = self.layers(images).flatten(1)  # [B, 16w * 16] for S = 128
        return self.verdict(h).float(), self.head(h).float()  # [B, 1], [B, W]


class StarGenerator(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1], their attributes y and the target's y' [B, W] -> [B, 3, S, S] in [-1, 1].

    c7s1-w, d2w, d4w, residual blocks of 4w, u2w, uw, c7s1-3, tanh; instance norm. It does not see y; y' comes as W more
    channels of the picture, each the same everywhere. 8,430,528 parameters with five attributes.

    Args:
        condition: W.
        width: w.
        blocks: residual blocks.
    """

    def __init__(self, condition: int, width: int, blocks: int) -> None:
        super().__init__()
        layers = [*_normed(nn.Conv2d(3 + condition, width, 7, 1, 3, bias=False))]
        for before in (width, 2 * width):
            layers += _normed(nn.Conv2d(before, 2 * before, 4, 2, 1, bias=False))
        layers += [AffineResidualBlock(4 * width) for _ in range(blocks)]
        for before in (4 * width, 2 * width):
            layers += _normed(nn.ConvTranspose2d(before, before // 2, 4, 2, 1, bias=False))
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3, 7, 1, 3, bias=False))

    def forward(self, images: Tensor, y: Tensor, target: Tensor) -> Tensor:
        return torch.tanh(self.layers(joined(images, target)))  # [B, 3, S, S]


class AffineResidualBlock(nn.Module):
    """x + IN(conv3(ReLU(IN(conv3(x))))), [B, C, S, S]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False)),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, h: Tensor) -> Tensor:
        moved: Tensor = self.layers(h)
        return h + moved


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels, affine=True), nn.ReLU(inplace=True)]


class PatchCritic(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1] -> verdicts [B, 1, s, s], raw, and the head's logits [B, W]; no norm.

    44,762,048 parameters for 128 pixels and five attributes.

    Args:
        image_size: S.
        outputs: W.
        width: channels of the first convolution; they double at each.
        layers: convolutions; s = S / 2^layers.
    """

    def __init__(self, image_size: int, outputs: int, width: int, layers: int) -> None:
        super().__init__()
        layers = min(layers, int(math.log2(image_size)))
        channels = [3, *(width * 2**level for level in range(layers))]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(channels))
        self.verdict = nn.Conv2d(channels[-1], 1, 3, 1, 1, bias=False)
        self.head = nn.Conv2d(channels[-1], outputs, image_size >> layers, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = images
        for layer in self.layers:
            h = F.leaky_relu(layer(h), LEAK)  # [B, w, S/2, S/2] ... [B, 32w, s, s]
        return self.verdict(h).float(), self.head(h).flatten(1).float()  # [B, 1, s, s], [B, W]


class AttGenerator(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1], their attributes y and the target's y' [B, W] -> [B, 3, S, S] in [-1, 1].

    The encoder sees neither y nor y'; the decoder is given y' - 1/2, -0.5 for an attribute's absence and 0.5 for it.

    Args:
        condition: W.
        width, layers: of the encoder.
        shortcuts, injections: of the decoder.
    """

    def __init__(self, condition: int, width: int, layers: int, shortcuts: int, injections: int) -> None:
        super().__init__()
        self.encoder = PyramidEncoder(width, layers)
        self.decoder = InjectedDecoder(condition, width, layers, shortcuts, injections)

    def forward(self, images: Tensor, y: Tensor, target: Tensor) -> Tensor:
        made: Tensor = self.decoder(self.encoder(images), target - 0.5)
        return made


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


def kept_networks(
    recipe: StarGANRecipe | AttGANRecipe | STGANRecipe, schema: Schema, found: Collection[str] = ()
) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds."""
    options, size, condition, width = (
        recipe.networks,
        recipe.data.image_size,
        schema.width,
        recipe.networks.generator_width,
    )
    generator: nn.Module
    if isinstance(recipe, StarGANRecipe):
        generator = StarGenerator(condition, width, recipe.networks.blocks)
    elif isinstance(recipe, AttGANRecipe):
        joins = recipe.networks.shortcuts, recipe.networks.injections
        generator = AttGenerator(condition, width, halvings(size, options.layers), *joins)
    else:
        generator = StGenerator(condition, width, halvings(size, options.layers))
    return {"generator": generator, "classifier": Classifier(size, condition, options.classifier_width)}
