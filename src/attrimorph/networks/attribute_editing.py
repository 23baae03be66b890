"""What StarGAN, AttGAN and STGAN share: attributes as channels; of the latter two encoder, decoder and critic."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from attrimorph.networks.convolutional import SLOPE


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
