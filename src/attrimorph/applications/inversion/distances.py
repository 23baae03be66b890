"""Distances for inversion: how far pictures are from images that are wholly, partly or only coarsely known.

A distance holds its images; it is called with pictures [N, 3, S, S] in [-1, 1] and the row of the image that each is
compared with, and returns [N], with gradients towards the pictures. All but the perceptual part are -log p of a
Gaussian with deviation 1, as L_img: half the squared error, summed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.extractors import VggFeatures, load_extractor
from attrimorph.metrics.similarity import maps_distance
from attrimorph.models.model import Model

Maps = Callable[[Tensor], list[Tensor]]


class Distance(Protocol):
    """How far pictures are from the images."""

    @property
    def whole(self) -> bool:
        """Whether an encoder can be shown the images as they are."""

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Pictures [N, 3, S, S], rows of the images [N] -> [N]."""


@dataclass(frozen=True)
class Pixels:
    """1/2 ||G(z, y) - x||^2, over all pixels or over those that are known: the paper's completion.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        known: [B or 1, 1, S, S] in [0, 1], 0 where a pixel is to be completed; all known when None.
    """

    images: Tensor
    known: Tensor | None = None

    @property
    def whole(self) -> bool:
        """Whether an encoder can be shown the images as they are."""
        return self.known is None

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [N]."""
        errors = (pictures - self.images.to(pictures)[rows]).square()
        if self.known is not None:
            errors = errors * self.known.to(pictures).expand(len(self.images), -1, -1, -1)[rows]
        return 0.5 * errors.flatten(1).sum(1)


@dataclass(frozen=True)
class Downsampled:
    """f^2/2 ||D(G(z, y)) - x||^2, D the mean over f x f pixels: the images are f times smaller.

    Attributes:
        images: [B, 3, s, s] in [-1, 1], s = S / f.
    """

    images: Tensor
    whole = False

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [N].

        Raises:
            AttrimorphError: the pictures' size is no multiple of the images'.
        """
        factor, rest = divmod(pictures.shape[-1], self.images.shape[-1])
        if rest or not factor:
            raise AttrimorphError(
                f"the model's pictures ({pictures.shape[-1]} pixels) must be a whole number of times larger than the "
                f"images; they have {self.images.shape[-1]}; resize them"
            )
        errors = (F.avg_pool2d(pictures, factor) - self.images.to(pictures)[rows]).square()
        return 0.5 * factor**2 * errors.flatten(1).sum(1)


@dataclass(frozen=True)
class Perceptual:
    """A mixture of how a network sees pictures and of their pixels: weight d(maps) + share 1/2 ||G(z, y) - x||^2.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        maps: images -> feature maps, differentiable.
        weight: of the perceptual distance, see `metrics.similarity`, which is at most 2.
        share: of the pixels' distance.
    """

    images: Tensor
    maps: Maps
    weight: float = 1000.0
    share: float = 0.25
    whole = True

    @cached_property
    def _seen(self) -> list[Tensor]:
        with torch.no_grad():
            return [layer.detach() for layer in self.maps(self.images)]

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [N]."""
        seen = [layer.to(pictures)[rows] for layer in self._seen]
        return self.weight * maps_distance(self.maps(pictures), seen) + self.share * Pixels(self.images)(pictures, rows)


def convolution_maps(network: nn.Module) -> Maps:
    """Return what all convolutions of a network put out, as a function of images."""
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]

    def maps(images: Tensor) -> list[Tensor]:
        found: list[Tensor] = []

        def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            # A rectifier that works in place may follow.
            found.append(output.clone())

        hooks = [part.register_forward_hook(keep) for part in convolutions]
        try:
            network(images)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    return maps


def perceptual_maps(model: Model, weights: str | None = None) -> tuple[str, Maps]:
    """Return the name and the maps of a perceptual network: VGG-19 where its weights are named, else the model's C.

    Args:
        model: whose classifier knows the data.
        weights: "vgg19" (torch's cache) or a path.

    Raises:
        AttrimorphError: there are no such weights, or the model has no classifier.
    """
    if weights is not None:
        extractor = load_extractor(weights)
        if not isinstance(extractor, VggFeatures):
            raise AttrimorphError(f"a perceptual distance needs VGG-19; {weights} holds {extractor.name}; name another")
        return extractor.name, extractor.network.to(model.device)
    if "classifier" not in model.networks:
        raise AttrimorphError(
            f"a perceptual distance needs a network that sees; {model.recipe.name!r} has no classifier; "
            "use --distance pixel, or name VGG-19's weights"
        )
    return f"the classifier of {model.recipe.name}", convolution_maps(model.networks["classifier"])
