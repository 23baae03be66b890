"""StarGAN's networks (Choi et al., CVPR 2018). At a width of 64 these are the published ones."""

import math
from collections.abc import Collection
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.methods.stargan.recipe import StarGANRecipe
from attrimorph.networks.attribute_editing import joined
from attrimorph.networks.convolutional import Classifier

LEAK = 0.01


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


def kept_networks(recipe: StarGANRecipe, schema: Schema, found: Collection[str] = ()) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds."""
    options = recipe.networks
    return {
        "generator": StarGenerator(schema.width, options.generator_width, options.blocks),
        "classifier": Classifier(recipe.data.image_size, schema.width, options.classifier_width),
    }
