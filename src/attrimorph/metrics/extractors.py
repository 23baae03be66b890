"""Extractors: what turns images into features. Their names stand in the names of all figures measured with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.evaluator import batched, channels_last
from attrimorph.evaluators.judge import Judge
from attrimorph.models.model import answers
from attrimorph.networks.pretrained import CACHED, Inception, Vgg19, cached, filled, read_weights

BATCH = 64
STANDARD_INCEPTION = "6726825d"  # how the sha256 of the weights begins that everybody's FID is measured with
STANDARD_VGG = "dcbb9e9d"


@runtime_checkable
class SeesMaps(Protocol):
    """Feature maps of images."""

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return feature maps, each [B, C, H, W], of images [B, 3, S, S] in [-1, 1]."""


@dataclass(frozen=True)
class JudgeFeatures:
    """What a judge sees: the input of its last layer, and its trunk's feature maps.

    Attributes:
        judge: whose.
    """

    judge: Judge

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        return f"features of {self.judge.name}"

    def __call__(self, images: Tensor) -> Tensor:
        """Return features [B, F]."""
        return self.judge.features(images)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of all stages, the finest first."""
        return self.judge.maps(images)

    @torch.no_grad()
    def judged(self, features: Tensor) -> Tensor:
        """Return what the judge says of images with these features, [B, width]: its last layer alone."""
        found = self.judge.network.last(features.to(self.judge.device)).cpu()
        logits = found.chunk(2, dim=1)[0] if self.judge.network.degrees else found
        return answers(logits, self.judge.schema, self.judge.temperature)


@dataclass(frozen=True)
class InceptionFeatures:
    """The 2048 features that FID is measured with; images are scaled to 299 pixels.

    Attributes:
        network: in eval mode.
        name: says whether the weights are the standard ones.
    """

    network: Inception
    name: str

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return features [B, 2048] on the CPU."""
        return batched(lambda part: self.network(shown(part, self.network)), images, size=BATCH)


@dataclass(frozen=True)
class VggFeatures:
    """VGG-19: its feature maps, and the means of the deepest as features.

    Attributes:
        network: in eval mode.
        name: says whether the weights are the usual ImageNet ones.
    """

    network: Vgg19
    name: str

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the mean of relu5_4 over all places, [B, 512] on the CPU."""
        return batched(lambda part: self.network(shown(part, self.network))[-1].mean((2, 3)), images, size=BATCH)

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return relu1_2, relu2_2, relu3_4, relu4_4, relu5_4, on the CPU."""
        found = [[m.cpu() for m in self.network(shown(part, self.network))] for part in torch.split(images, BATCH)]
        return [torch.cat(layer) for layer in zip(*found, strict=True)]


Extractor = JudgeFeatures | InceptionFeatures | VggFeatures


def shown(images: Tensor, network: nn.Module) -> Tensor:
    """Return images where a network is, laid out as its weights are."""
    return images.to(next(network.parameters()).device, torch.float32, memory_format=torch.channels_last)


def load_extractor(source: str | Path, device: str = "cpu") -> InceptionFeatures | VggFeatures:
    """Load Inception or VGG-19 from weights that the user has.

    Args:
        source: "inception" or "vgg19", whose weights are looked for where torch's hub keeps them, or the path of a
            state dict (.pth, .pt) or a safetensors file of either.
        device: where it runs.

    Raises:
        AttrimorphError: there are no such weights, or they are of another network.
    """
    path = cached(str(source)) if str(source) in CACHED else Path(source)
    state, digest = read_weights(path)
    if "Mixed_5b.branch1x1.conv.weight" in state:
        rows = len(state["fc.weight"]) if "fc.weight" in state else 0
        if rows != 1008:
            raise AttrimorphError(
                f"Inception weights must be of the graph of 2015 with 1008 classes, which FID is measured with; {path} "
                f"has {rows}; get pt_inception-2015-12-05-{STANDARD_INCEPTION}.pth"
            )
        name = "Inception" if digest.startswith(STANDARD_INCEPTION) else f"Inception with weights {digest[:8]}"
        return InceptionFeatures(channels_last(filled(Inception(), state, path).to(device)), name)
    if "features.34.weight" in state:
        name = "VGG-19" if digest.startswith(STANDARD_VGG) else f"VGG-19 with weights {digest[:8]}"
        return VggFeatures(channels_last(filled(Vgg19(), state, path).to(device)), name)
    raise AttrimorphError(
        f"{path} must hold the weights of Inception v3 or VGG-19 under their usual names; it holds "
        f"{', '.join(list(state)[:3]) or 'none'}; name another file"
    )
