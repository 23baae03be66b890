"""Perceptual networks: Phi3, a middle map that images are compared in, and Phi5, a deep one that features are held to.

VGG-19 (its usual ImageNet weights) where it is at hand; else a small network that learns the data's own attributes.
"""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.networks.convolutional import Classifier
from attrimorph.networks.pretrained import Vgg19, cached, filled, read_weights

RELU3_1, RELU5_1 = 11, 29


class VggMaps(nn.Module):
    """Phi3 = relu3_1 [B, 256, S/4, S/4], Phi5 = relu5_1 [B, 512, S/16, S/16] of images [B, 3, S, S] in [-1, 1].

    Args:
        vgg: with its weights; frozen here.
    """

    deep_channels = 512

    def __init__(self, vgg: Vgg19) -> None:
        super().__init__()
        self.vgg = vgg.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = ((images + 1) / 2 - self.vgg.mean) / self.vgg.deviation
        # The rectifiers write into their input, but what follows relu3_1 is a convolution.
        middle: Tensor = self.vgg.features[: RELU3_1 + 1](h)  # [B, 256, S/4, S/4]
        deep: Tensor = self.vgg.features[RELU3_1 + 1 : RELU5_1 + 1](middle)  # [B, 512, S/16, S/16]
        return middle, deep


class AttributeMaps(Classifier):
    """A small network that tells attributes, and the maps it sees: what VGG-19 is replaced by, and a classifier.

    Args:
        image_size: S, a power of two of at least 16.
        outputs: columns of y.
        width: channels of the first convolution.
    """

    def __init__(self, image_size: int, outputs: int, width: int) -> None:
        super().__init__(image_size, outputs, width)
        channels = [c.out_channels for c in self.trunk.convolutions if isinstance(c, nn.Conv2d)]
        self.middle, self.deep = min(1, len(channels) - 1), min(2, len(channels) - 1)
        self.deep_channels = channels[self.deep]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Images [B, 3, S, S] in [-1, 1] -> logits [B, outputs], Phi3 at S/4, Phi5 at S/8."""
        h, maps = images, []
        for convolution in self.trunk.convolutions:
            h = F.leaky_relu(convolution(h), 0.2)  # [B, C, S/2, S/2] ... [B, 8C, 4, 4]
            maps.append(h)
        hidden = F.leaky_relu(self.hidden(h.flatten(1)), 0.2)  # [B, 256]
        return self.last(hidden), maps[self.middle], maps[self.deep]


def perceptual_network(word: str) -> VggMaps | None:
    """Return VGG-19's maps, or None for a network trained on the data's own attributes.

    Args:
        word: "auto" (VGG-19 from the cache of torch's hub where it lies there), "vgg19", "attributes", or the path of
            VGG-19's weights. Nothing is fetched.

    Raises:
        AttrimorphError: VGG-19 was asked for and is not there, or the file holds something else.
    """
    if not takes_vgg(word):
        return None
    path = cached("vgg19") if word in ("auto", "vgg19") else Path(word)
    state, _ = read_weights(path)
    if "features.34.weight" not in state:
        raise AttrimorphError(
            f"losses.perceptual_network must be VGG-19; {path} holds {', '.join(list(state)[:3]) or 'no weights'}; "
            "name another file"
        )
    return VggMaps(filled(Vgg19(), state, path))


def takes_vgg(word: str) -> bool:
    """Whether VGG-19 is what a word of `perceptual_network` stands for."""
    if word != "auto":
        return word != "attributes"
    try:
        cached("vgg19")
    except AttrimorphError:
        return False
    return True
