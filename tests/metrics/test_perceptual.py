"""Perceptual distance against scipy's cosine, place by place."""

import pytest
import torch
from scipy.spatial.distance import cosine
from torch import Tensor

from attrimorph.evaluators.judge import load_judge
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.similarity import (
    maps_distance,
    perceptual_distance,
    perceptual_embedding,
    squared_distance,
)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_the_mean_of_cosine_distances() -> None:
    a, b = [draw(0, 2, 5, 3, 4), draw(1, 2, 7, 2, 2)], [draw(2, 2, 5, 3, 4), draw(3, 2, 7, 2, 2)]
    for row in range(2):
        layers = []
        for one, two in zip(a, b, strict=True):
            columns = zip(one[row].flatten(1).T, two[row].flatten(1).T, strict=True)
            # |u - v|^2 = 2 (1 - cos) for unit vectors
            layers.append(sum(2 * cosine(u.numpy(), v.numpy()) for u, v in columns) / one[row, 0].numel())
        assert maps_distance(a, b)[row].item() == pytest.approx(sum(layers) / 2, abs=1e-8)


def test_the_judge_sees_blur_before_a_change_that_no_one_sees() -> None:
    distance = perceptual_distance(JudgeFeatures(load_judge("drawn-faces-32")))
    images = draw(4, 5, 3, 32, 32).float() * 2 - 1
    assert distance(images, images).abs().max() == 0
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    small = images + 0.001
    assert (distance(images, blurred) > 100 * distance(images, small)).all()
    torch.testing.assert_close(distance(images, blurred), distance(blurred, images))


def test_embeddings_are_as_far_apart_as_images() -> None:
    extractor = JudgeFeatures(load_judge("drawn-faces-32"))
    a, b = (draw(seed, 3, 3, 32, 32).float() * 2 - 1 for seed in (5, 6))
    embedding = perceptual_embedding(extractor)
    found = squared_distance(embedding(a), embedding(b))
    torch.testing.assert_close(found, perceptual_distance(extractor)(a, b), rtol=1e-5, atol=0)


def test_places_can_be_weighed() -> None:
    a, b = [draw(0, 2, 5, 4, 4)], [draw(2, 2, 5, 4, 4)]
    left = torch.zeros(2, 1, 8, 8)
    left[..., :4] = 1
    expected = maps_distance([a[0][..., :2]], [b[0][..., :2]])
    torch.testing.assert_close(maps_distance(a, b, left), expected)
