"""The networks of Attribute2Image (Yan, Yang, Sohn, Lee, ECCV 2016): encoders, and decoders that paint layers.

The published set is that of the authors' code, for 64x64 images: batch norm, pooling, y joined by a fully connected
layer, a gate of three channels. Every `width` scales all channels of a network; 64 is the published size. The small set
for CPUs is built of the same parts as the family's small networks and normalises over no batch.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.methods.attribute2image.recipe import CVAE, LayerRecipe
from attrimorph.networks.convolutional import LOGVAR_RANGE, Classifier, FittedPrior, Generator, Trunk, initialise

PAPER_SIZE = 64
PIXEL_LOGVAR = (-7.0, 2.0)  # a deviation of 0.03 at least: eight bits hold no less


class Paint(NamedTuple):
    """What a decoder paints.

    Attributes:
        colour: [B, 3, S, S] in [0, 1].
        gate: logits [B, 1 or 3, S, S]; the gate, their sigmoid, is 1 where the background shows. None without one.
        logvar: log-variance [B, 3, S, S] of the colour on the scale of [-1, 1]; None where the variance is fixed.
    """

    colour: Tensor
    gate: Tensor | None = None
    logvar: Tensor | None = None


def painted(maps: Tensor, gate_channels: int, learned_variance: bool) -> Paint:
    """Take a decoder's maps [B, 3 + gate + variance, S, S] apart."""
    colour, gate = maps[:, :3].float().tanh().add(1).div(2), None
    if gate_channels:
        gate = maps[:, 3 : 3 + gate_channels].float()
    logvar = maps[:, 3 + gate_channels :].float().clamp(*PIXEL_LOGVAR) if learned_variance else None
    return Paint(colour, gate, logvar)


def head_channels(gate_channels: int, learned_variance: bool) -> int:
    """Channels of a decoder's last layer."""
    return 3 + gate_channels + 3 * learned_variance


class Block(nn.Sequential):
    """Convolution, batch norm (where `norm`), ReLU: [B, before, S, S] -> [B, after, S / stride, S / stride]."""

    def __init__(
        self, before: int, after: int, kernel: int, *, stride: int = 1, padding: int | None = None, norm: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(before, after, kernel, stride, kernel // 2 if padding is None else padding)
        ]
        super().__init__(*layers, *([nn.BatchNorm2d(after)] if norm else []), nn.ReLU(inplace=True))


class PaperTrunk(nn.Module):
    """[B, inputs, 64, 64] -> [B, channels[4]]: five convolutions, pooled between, and a fully connected layer.

    Args:
        inputs: channels of the pictures.
        channels: of the five convolutions; the fully connected layer is as wide as the last.
    """

    def __init__(self, inputs: int, channels: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        one, two, three, four, five = channels
        self.convolutions = nn.Sequential(
            Block(inputs, one, 5, norm=False),
            nn.MaxPool2d(2),
            Block(one, two, 5),
            nn.MaxPool2d(2),
            Block(two, three, 3),
            nn.MaxPool2d(2),
            Block(three, four, 3, stride=2),
            Block(four, five, 4, padding=0, norm=False),
        )
        self.hidden = nn.Linear(five, five)

    def forward(self, pictures: Tensor) -> Tensor:
        return F.relu(self.hidden(self.convolutions(pictures).flatten(1)))  # [B, channels[4]]


class PaperEncoder(nn.Module):
    """q(z | x, y) -> mean, log-variance, each [B, latent], as published; the log-variance does not see y.

    Args:
        image_size: 64.
        condition: columns of y.
        latent: columns of z.
        width: channels of the first convolution; 64 as published.
        inputs: channels of the pictures.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int, inputs: int = 3) -> None:
        super().__init__()
        self.features = 16 * width
        self.trunk = PaperTrunk(inputs, (width, 2 * width, 4 * width, 4 * width, 16 * width))
        self.label = nn.Linear(condition, latent)
        self.mean = nn.Linear(16 * width + latent, latent)
        self.logvar = nn.Linear(16 * width, latent)
        start_certain(self.logvar)

    def forward(self, pictures: Tensor, y: Tensor, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.trunk(pictures)  # [B, 1024]
        h = h if dropped is None else h * dropped
        mean = self.mean(torch.cat([h, F.relu(self.label(y))], dim=1))  # [B, Z]
        return mean, self.logvar(h).clamp(*LOGVAR_RANGE)


class PaperBackgroundEncoder(nn.Module):
    """q(z_B | x, y, z_F) -> mean, log-variance, each [B, latent], as published; y and z_F come as one vector.

    Args:
        image_size: 64.
        condition: columns of y and z_F together.
        latent: columns of z_B.
        width: channels of the convolutions; 64 as published.
        inputs: channels of the pictures.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int, inputs: int = 3) -> None:
        super().__init__()
        self.features = 4 * width
        self.trunk = PaperTrunk(inputs, (width, width, width, width, 4 * width))
        self.joined = nn.Linear(4 * width + condition, 4 * width)
        self.mean = nn.Linear(4 * width, latent)
        self.logvar = nn.Linear(4 * width, latent)
        start_certain(self.logvar)

    def forward(self, pictures: Tensor, y: Tensor, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.trunk(pictures)  # [B, 256]
        h = h if dropped is None else h * dropped
        h = F.relu(self.joined(torch.cat([h, y], dim=1)))  # [B, 256]
        return self.mean(h), self.logvar(h).clamp(*LOGVAR_RANGE)


def start_certain(layer: nn.Linear) -> None:
    """Begin with a variance of one, as published."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class PaperDecoder(nn.Module):
    """(z, y) -> the image, or the foreground and its gate, as published.

    Args:
        image_size: 64.
        condition: columns of y.
        latent: columns of z.
        width: channels of the last stage but one; 64 as published.
        gate_channels: 3 as published; 0 for none.
        learned_variance: whether it tells the variance of each pixel too.
    """

    def __init__(
        self, image_size: int, condition: int, latent: int, width: int, gate_channels: int, learned_variance: bool
    ) -> None:
        super().__init__()
        self.gate_channels, self.learned_variance, self.start = gate_channels, learned_variance, 4 * width
        self.label = nn.Linear(condition, 2 * latent)
        self.mixing = nn.Linear(latent + 2 * latent, 4 * width)
        self.first = nn.Linear(4 * width, 4 * width * 8 * 8)
        self.stages = nn.Sequential(
            Block(4 * width, 4 * width, 3),
            nn.Upsample(scale_factor=2),
            Block(4 * width, 4 * width, 5),
            nn.Upsample(scale_factor=2),
            Block(4 * width, 2 * width, 5),
            nn.Upsample(scale_factor=2),
            Block(2 * width, width, 5),
        )
        # The authors' heads, 5x5 each, side by side as one convolution.
        self.last = nn.Conv2d(width, head_channels(gate_channels, learned_variance), 5, 1, 2)

    def forward(self, z: Tensor, y: Tensor) -> Paint:
        h = F.relu(self.mixing(torch.cat([z, F.relu(self.label(y))], dim=1)))  # [B, 256]
        h = F.relu(self.first(h)).view(-1, self.start, 8, 8)  # [B, 256, 8, 8]
        return painted(self.last(self.stages(h)), self.gate_channels, self.learned_variance)  # [B, ..., 64, 64]


class PaperBackgroundDecoder(nn.Module):
    """z_B -> the background, as published; it sees no attributes.

    Args:
        image_size: 64.
        condition: 0.
        latent: columns of z_B.
        width: channels of its middle; 64 as published.
        gate_channels: 0.
        learned_variance: whether it tells the variance of each pixel too.
    """

    def __init__(
        self, image_size: int, condition: int, latent: int, width: int, gate_channels: int, learned_variance: bool
    ) -> None:
        super().__init__()
        self.learned_variance, self.start = learned_variance, 4 * width
        self.first = nn.Linear(latent, 4 * width * 2 * 2)
        self.stages = nn.Sequential(
            nn.Upsample(scale_factor=2),
            Block(4 * width, 2 * width, 3),
            nn.Upsample(scale_factor=2),
            Block(2 * width, 2 * width, 3),
            nn.Upsample(scale_factor=2),
            Block(2 * width, width, 3),
            Block(width, width, 3),
            nn.Upsample(scale_factor=2),
            Block(width, width, 3),
            Block(width, width, 3),
            nn.Upsample(scale_factor=2),
            Block(width, max(1, width // 2), 5),
        )
        self.last = nn.Conv2d(max(1, width // 2), head_channels(0, learned_variance), 5, 1, 2)

    def forward(self, z: Tensor, y: Tensor) -> Paint:
        h = F.relu(self.first(z)).view(-1, self.start, 2, 2)  # [B, 256, 2, 2]
        return painted(self.last(self.stages(h)), 0, self.learned_variance)  # [B, ..., 64, 64]


class SmallEncoder(Trunk):
    """q(z | pictures, y) -> mean, log-variance, each [B, latent]; y joins at the last layer.

    Args:
        image_size: S, a power of two of at least 16.
        condition: columns of y, or of y and z_F.
        latent: columns of z.
        width: channels of the first convolution.
        inputs: channels of the pictures [B, inputs, S, S].
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int, inputs: int = 3) -> None:
        super().__init__(image_size, width, inputs)
        self.joined = nn.Linear(self.features + condition, 2 * latent)
        initialise(self)
        nn.init.normal_(self.joined.weight, std=1 / math.sqrt(self.joined.in_features))

    def forward(  # type: ignore[override]
        self, pictures: Tensor, y: Tensor, dropped: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        h = super().forward(pictures)  # [B, features]
        h = h if dropped is None else h * dropped
        mean, logvar = self.joined(torch.cat([h, y], dim=1)).chunk(2, dim=1)  # [B, Z] each
        return mean, logvar.clamp(*LOGVAR_RANGE)


class SmallDecoder(Generator):
    """(z, y) -> the image, the foreground and its gate, or (condition 0) the background.

    Args:
        image_size: S, a power of two of at least 16.
        condition: columns of y; 0 for none.
        latent: columns of z.
        width: channels of the last stage but one.
        gate_channels: 1 or 3; 0 for none.
        learned_variance: whether it tells the variance of each pixel too.
    """

    def __init__(
        self, image_size: int, condition: int, latent: int, width: int, gate_channels: int, learned_variance: bool
    ) -> None:
        super().__init__(image_size, condition, latent, width, head_channels(gate_channels, learned_variance))
        self.gate_channels, self.learned_variance = gate_channels, learned_variance

    def forward(self, z: Tensor, y: Tensor) -> Paint:  # type: ignore[override]
        return painted(self.maps(z, y), self.gate_channels, self.learned_variance)  # [B, ..., S, S]


def networks_of(recipe: LayerRecipe, schema: Schema) -> dict[str, nn.Module]:
    """Build the networks of a recipe, with fresh weights.

    Raises:
        AttrimorphError: the sizes do not go together.
    """
    options, size, width = recipe.networks, recipe.data.image_size, schema.width
    learned, paper = recipe.losses.variance == "learned", options.kind == "paper"
    if paper and size != PAPER_SIZE:
        raise AttrimorphError(
            f"image_size must be {PAPER_SIZE} for the published networks of Attribute2Image; got {size}; "
            f"prepare the data at {PAPER_SIZE} or take networks.kind small"
        )
    encoder = PaperEncoder if paper else SmallEncoder
    decoder = PaperDecoder if paper else SmallDecoder
    networks: dict[str, nn.Module]
    if recipe.method == CVAE:
        networks = {
            "encoder": encoder(size, width, options.latent, options.encoder_width),
            "generator": decoder(size, width, options.latent, options.decoder_width, 0, learned),
        }
    else:
        # The small encoders see the gate too, as a fourth channel.
        inputs, joined = 3 if paper else 4, width + options.latent
        behind_encoder = PaperBackgroundEncoder if paper else SmallEncoder
        behind_decoder = PaperBackgroundDecoder if paper else SmallDecoder
        behind = options.background_latent, options.background_width
        gate = options.gate_channels
        networks = {
            "foreground_encoder": encoder(size, width, options.latent, options.encoder_width, inputs),
            "background_encoder": behind_encoder(size, joined, *behind, inputs),
            "foreground_decoder": decoder(size, width, options.latent, options.decoder_width, gate, learned),
            "background_decoder": behind_decoder(size, 0, *behind, 0, learned),
        }
    networks["classifier"] = Classifier(size, width, options.classifier_width)
    return networks


def kept_networks(recipe: LayerRecipe, schema: Schema, found: Collection[str]) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold; `found` are those that it holds."""
    options = recipe.networks
    latent = options.latent + (0 if recipe.method == CVAE else options.background_latent)
    return networks_of(recipe, schema) | {"prior": FittedPrior(latent)}
