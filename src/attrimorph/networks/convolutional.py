"""The small set for CPUs: E, G, D, C of strided 4x4 convolutions, for any power of two from 16 pixels.

Channels double as the image halves, from `width` up to 8 x `width`. The condition y joins E at its last layer, and
scales and shifts the features of G at every resolution. No network normalises over the batch: an image's
result never depends on its neighbours, so training on several processes and serving one image are exact.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.networks.modulate import modulate

LOGVAR_RANGE = (-10.0, 4.0)


def stage_channels(image_size: int, width: int) -> list[int]:
    """Return the channels at sizes image_size / 2, image_size / 4, ..., 4.

    Raises:
        AttrimorphError: the size is no power of two of at least 16.
    """
    stages = int(math.log2(image_size)) - 2 if image_size > 0 else 0
    if stages < 2 or 4 * 2**stages != image_size:
        raise AttrimorphError(f"image_size must be a power of two of at least 16; got {image_size}; try 32, 64 or 128")
    return [width * min(2**stage, 8) for stage in range(stages)]


def initialise(module: nn.Module) -> None:
    """Kaiming weights for leaky rectifiers of slope 0.2 and zero biases: keeps the signal's size without a norm."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, a=0.2)
            if isinstance(part, nn.ConvTranspose2d):
                # At a stride of 2 an output sees a quarter of the kernel: the fan-in is the channels, times that.
                fan_in = part.in_channels * part.weight[0, 0].numel() / (part.stride[0] * part.stride[1])
                nn.init.normal_(part.weight, std=math.sqrt(2 / (1 + 0.2**2) / fan_in))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def initialise_he(module: nn.Module) -> None:
    """Kaiming weights (rectifiers, fan-in) and zero biases; batch norm starts as the identity."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def initialise_dcgan(module: nn.Module) -> None:
    """DCGAN's: every weight N(0, 0.02^2), batch norm's scales N(1, 0.02^2), zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, mean=1.0, std=0.02)


class Trunk(nn.Module):
    """[B, inputs, S, S] -> [B, C * 16]: convolutions 4x4 of stride 2 with leaky rectifiers, down to 4x4, flattened."""

    def __init__(self, image_size: int, width: int, inputs: int = 3) -> None:
        super().__init__()
        channels = [inputs, *stage_channels(image_size, width)]
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 4, 2, 1) for before, after in pairwise(channels))
        self.features = channels[-1] * 16

    def forward(self, images: Tensor) -> Tensor:
        h = images
        for convolution in self.convolutions:
            h = F.leaky_relu(convolution(h), 0.2, inplace=True)  # [B, C, S/2, S/2] ... [B, 8C, 4, 4]
        return h.flatten(1)  # [B, 8C * 16]; fewer channels where S is below 64


class Encoder(nn.Module):
    """E(x, y) -> mean, log-variance, each [B, latent]; y joins at the last fully connected layers.

    Args:
        image_size: S of the images [B, 3, S, S].
        condition: columns of y; 0 for none.
        latent: columns of z.
        width: channels of the first convolution.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, width)
        self.joined = nn.Linear(self.trunk.features + condition, 2 * latent)
        initialise(self)
        nn.init.normal_(self.joined.weight, std=1 / math.sqrt(self.joined.in_features))

    def forward(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.joined(torch.cat([self.trunk(images), y], dim=1)).chunk(2, dim=1)  # [B, Z] each
        return mean, logvar.clamp(*LOGVAR_RANGE)


class ModulatedUp(nn.Module):
    """Twice the size: transposed convolution 4x4, pixel norm, then scale and shift by the condition.

    [B, before, S, S], [B, condition] -> [B, after, 2S, 2S].
    """

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(before, after, 4, 2, 1)
        self.modulation = nn.Linear(condition, 2 * after)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)  # [B, after, 1, 1] each
        return modulate(self.convolution(h), scale, shift)  # [B, after, 2S, 2S]


class Generator(nn.Module):
    """G(z, y) -> images [B, 3, S, S] in [-1, 1].

    Args:
        image_size: S.
        condition: columns of y; 0 for none.
        latent: columns of z.
        width: channels of the last stage but one.
        outputs: channels of `maps`.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int, outputs: int = 3) -> None:
        super().__init__()
        channels = stage_channels(image_size, width)[::-1]
        self.mixing = nn.Linear(latent + condition, 256)
        self.first = nn.Linear(256 + latent + condition, channels[0] * 16)
        self.stages = nn.ModuleList(ModulatedUp(before, after, 256) for before, after in pairwise(channels))
        self.last = nn.ConvTranspose2d(channels[-1], outputs, 4, 2, 1)
        self.start = channels[0]
        initialise(self)
        for stage in self.stages:
            if isinstance(stage, ModulatedUp):
                nn.init.normal_(stage.modulation.weight, std=0.5 / math.sqrt(256))
        nn.init.normal_(self.last.weight, std=0.02)

    def maps(self, z: Tensor, y: Tensor) -> Tensor:
        """Return what the last layer gives, [B, outputs, S, S]."""
        code = torch.cat([z, y], dim=1)  # [B, Z + W]
        mixed = F.leaky_relu(self.mixing(code), 0.2)  # [B, 256]
        h = F.leaky_relu(self.first(torch.cat([mixed, code], dim=1)), 0.2)  # [B, 8C * 16]
        h = h.view(-1, self.start, 4, 4)  # [B, 8C, 4, 4]
        for stage in self.stages:
            h = stage(h, mixed)  # [B, 8C, 8, 8] ... [B, C, S/2, S/2]
        found: Tensor = self.last(h)  # [B, outputs, S, S]
        return found

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.maps(z, y))  # [B, 3, S, S]


class Discriminator(nn.Module):
    """D(x[, y]) -> logits [B, 1] and f_D, the input of the last fully connected layer, [B, F].

    Args:
        image_size: S of the images [B, 3, S, S].
        condition: columns of y for a conditional one (joined at the last layer by projection); 0 for none.
        width: channels of the first convolution.
    """

    def __init__(self, image_size: int, condition: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, width)
        self.last = nn.Linear(self.trunk.features, 1)
        self.projection = nn.Linear(condition, self.trunk.features, bias=False) if condition else None
        initialise(self)
        nn.init.normal_(self.last.weight, std=0.02)
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, std=0.02)

    def forward(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(images)  # [B, F]
        logits = self.last(features)  # [B, 1]
        if self.projection is not None:
            logits = logits + (features * self.projection(y)).sum(1, keepdim=True)
        return logits, features


class Classifier(nn.Module):
    """C(x) -> logits [B, outputs] and f_C, the input of the last fully connected layer, [B, 256].

    Args:
        image_size: S of the images [B, 3, S, S].
        outputs: columns of y.
        width: channels of the first convolution.
    """

    def __init__(self, image_size: int, outputs: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, width)
        self.hidden = nn.Linear(self.trunk.features, 256)
        self.last = nn.Linear(256, outputs)
        initialise(self)
        nn.init.normal_(self.last.weight, std=0.02)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.leaky_relu(self.hidden(self.trunk(images)), 0.2)  # [B, 256]
        return self.last(features), features  # [B, W], [B, 256]


class CodeJudge(nn.Module):
    """A judge of codes: [B, latent] -> logits [B, outputs]; two hidden layers.

    The adversarial autoencoder's discriminator has one output; the classifier that codes are hidden from has one for
    each column of y.
    """

    def __init__(self, latent: int, outputs: int = 1, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, outputs),
        )
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(z)  # [B, outputs]
        return logits
