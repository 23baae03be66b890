"""Networks of CycleGAN and pix2pix (Zhu et al., ICCV 2017; Isola et al., CVPR 2017).

Instance norm has no weights of its own and sees one image at a time: a batch gives what its images give alone. Weights
are N(0, 0.02), biases 0. At a width of 64 these are the published networks; a smaller one makes a form for CPUs.
"""

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.methods.translation.recipe import TranslationRecipe
from attrimorph.networks.convolutional import initialise_dcgan

GENERATORS = ("generator_with", "generator_without")


class ResnetGenerator(nn.Module):
    """c7s1-w, d2w, d4w, residual blocks of 4w, u2w, uw, c7s1-3, tanh. [B, 3, S, S] -> [B, 3, S, S] in [-1, 1].

    11,378,179 parameters with 9 blocks, as published for 256 pixels; 7,837,699 with 6, for 128.

    Args:
        blocks: residual blocks.
        width: w.
    """

    def __init__(self, blocks: int = 9, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), *_normed(width)]
        for before in (width, 2 * width):
            layers += [nn.Conv2d(before, 2 * before, 3, 2, 1), *_normed(2 * before)]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for before in (4 * width, 2 * width):
            layers += [nn.ConvTranspose2d(before, before // 2, 3, 2, 1, 1), *_normed(before // 2)]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7))
        initialise_dcgan(self)

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.layers(images))  # [B, 3, S, S]


class ResidualBlock(nn.Module):
    """x + IN(conv3(ReLU(IN(conv3(x))))), borders mirrored."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            *_normed(channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, h: Tensor) -> Tensor:
        moved: Tensor = self.layers(h)  # [B, C, S, S]
        return h + moved


def _normed(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


class UnetGenerator(nn.Module):
    """U-Net: halved down to 1x1 and doubled back, with a skip at every size. [B, 3, S, S] -> [B, 3, S, S] in [-1, 1].

    Args:
        image_size: S, a power of two.
        width: channels at S/2; they double up to eight times this.
        dropout: at the three smallest sizes between the ends, in training (pix2pix: 0.5).
        noisy: whether it stays on at test time (pix2pix: its only noise).
    """

    def __init__(self, image_size: int, width: int = 64, dropout: float = 0.0, *, noisy: bool = False) -> None:
        super().__init__()
        levels = int(math.log2(image_size))
        channels = [width * min(2**level, 8) for level in range(levels)]
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 4, 2, 1) for before, after in zip([3, *channels], channels, strict=False)
        )
        # Every doubling but the first is given what was seen on the way down as well.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(channels[level] * (1 if level == levels - 1 else 2), after, 4, 2, 1)
            for level, after in reversed(list(enumerate([3, *channels[:-1]])))
        )
        self.dropout, self.noisy = dropout, noisy
        initialise_dcgan(self)

    def forward(self, images: Tensor) -> Tensor:
        h, seen = images, []
        for number, convolution in enumerate(self.down):
            h = convolution(h if number == 0 else F.leaky_relu(h, 0.2))  # [B, C, S/2, S/2] ... [B, 8C, 1, 1]
            if 0 < number < len(self.down) - 1:
                h = F.instance_norm(h)
            seen.append(h)
        for number, convolution in enumerate(self.up):
            skip = seen[len(seen) - 1 - number]
            h = convolution(F.relu(h if number == 0 else torch.cat([skip, h], dim=1)))  # [B, 8C, 2, 2] ... [B, 3, S, S]
            if number < len(self.up) - 1:
                h = F.instance_norm(h)
            if self.dropout and 1 <= number <= 3 and number < len(self.up) - 1:
                h = F.dropout(h, self.dropout, self.training or self.noisy)
        return torch.tanh(h)


class PatchDiscriminator(nn.Module):
    """70x70 PatchGAN, Cw-C2w-C4w-C8w-1: each output sees 70 pixels. [B, C, S, S] -> [B, 1, S/8 - 2, S/8 - 2], raw.

    2,764,737 parameters at a width of 64.

    Args:
        inputs: C; 3, or 6 where it is shown the source as well (pix2pix).
        width: w.
    """

    def __init__(self, inputs: int = 3, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for before, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [
                nn.Conv2d(before, 2 * before, 4, stride, 1),
                nn.InstanceNorm2d(2 * before),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
        initialise_dcgan(self)

    def forward(self, images: Tensor) -> Tensor:
        verdict: Tensor = self.layers(images)  # [B, 1, S/8 - 2, S/8 - 2]
        return verdict


def kept_networks(recipe: TranslationRecipe, schema: Schema, found: Collection[str] = ()) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds."""
    return {name: generator(recipe) for name in (("generator",) if recipe.method == "pix2pix" else GENERATORS)}


def generator(recipe: TranslationRecipe) -> nn.Module:
    """Build one generator."""
    options, size = recipe.networks, recipe.data.image_size
    if options.generator == "unet":
        return UnetGenerator(size, options.generator_width, options.dropout, noisy=recipe.method == "pix2pix")
    return ResnetGenerator(options.blocks, options.generator_width)
