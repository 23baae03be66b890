"""Perceptual distance: how differently a network sees two images."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from attrimorph.metrics.extractors import SeesMaps

BATCH = 128
EPSILON = 1e-10


def perceptual_distance(extractor: SeesMaps) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the distance d(a, b) of two batches as an extractor sees them.

    Like LPIPS (Zhang et al. 2018, equation 1) with all its weights one, mean over layers instead of their sum: feature
    maps are scaled to unit length along the channels, and d = mean over layers and places of |f(a) - f(b)|^2. It is 0
    for equal images and at most 2 for maps without negative values. It bears the extractor's name.

    Args:
        extractor: whose feature maps.

    Returns:
        A function of images [B, 3, S, S] and [B, 3, S, S] in [-1, 1] -> [B].
    """

    @torch.no_grad()
    def distance(images: Tensor, others: Tensor) -> Tensor:
        parts = zip(torch.split(images, BATCH), torch.split(others, BATCH), strict=True)
        return torch.cat([maps_distance(extractor.maps(a), extractor.maps(b)) for a, b in parts])

    return distance


def perceptual_embedding(extractor: SeesMaps) -> Callable[[Tensor], Tensor]:
    """Return what turns images into vectors whose squared Euclidean distance is the perceptual distance.

    Where few images are compared in many pairs, the network then looks at each image once.

    Args:
        extractor: whose feature maps.

    Returns:
        A function of images [B, 3, S, S] in [-1, 1] -> [B, D]; D is the number of all values in all maps.
    """

    @torch.no_grad()
    def embedding(images: Tensor) -> Tensor:
        return torch.cat([_joined(extractor.maps(part)) for part in torch.split(images, BATCH)])

    return embedding


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|^2 of vectors [B, D], [B]."""
    return (a - b).square().sum(1)


def _joined(maps: list[Tensor]) -> Tensor:
    scaled = [_unit_length(each) / (len(maps) * each.shape[2] * each.shape[3]) ** 0.5 for each in maps]
    return torch.cat([each.flatten(1) for each in scaled], 1)


def maps_distance(maps: list[Tensor], others: list[Tensor], weights: Tensor | None = None) -> Tensor:
    """Return the distance between two lists of feature maps [B, C, H, W], [B].

    Args:
        maps, others: of two batches.
        weights: [B, 1, S, S] of the places, averaged down to each layer; default all equal. NaN where all are 0.
    """
    layers = []
    for a, b in zip(maps, others, strict=True):
        squares = (_unit_length(a) - _unit_length(b)).square().sum(1, keepdim=True)
        if weights is None:
            layers.append(squares.mean((1, 2, 3)))
        else:
            here = adaptive_avg_pool2d(weights.to(squares), (squares.shape[-2], squares.shape[-1]))
            layers.append((squares * here).sum((1, 2, 3)) / here.sum((1, 2, 3)))
    return torch.stack(layers).mean(0)


def _unit_length(maps: Tensor) -> Tensor:
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + EPSILON)
