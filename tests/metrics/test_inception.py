"""Inception-style scores against closed forms, scipy and torchmetrics."""

import math

import pytest
import scipy.stats
import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.distribution import binary_score, inception_style_score


def draw(count: int = 60, classes: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, classes, generator=generator, dtype=torch.float64)


def test_certain_and_even_classes_give_their_number_and_no_variety_gives_one() -> None:
    assert inception_style_score(torch.eye(9)) == pytest.approx(9)
    assert inception_style_score(torch.full((5, 4), 0.25)) == pytest.approx(1)
    assert inception_style_score(torch.eye(4)[[0, 0, 1, 1]]) == pytest.approx(2)


def test_it_is_the_mean_divergence() -> None:
    p = draw().softmax(1)
    divergences = [scipy.stats.entropy(row, p.mean(0).numpy()) for row in p.numpy()]
    assert inception_style_score(p) == pytest.approx(math.exp(sum(divergences) / len(p)), rel=1e-9)


def test_it_is_torchmetrics() -> None:
    class Logits(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    logits = draw(64, 12)
    metric = InceptionScore(Logits(), splits=1)
    metric.update(logits.view(-1, 3, 2, 2))
    assert inception_style_score(logits.softmax(1)) == pytest.approx(metric.compute()[0].item(), rel=1e-6)


def test_of_binary_attributes_it_is_that_of_two_classes() -> None:
    p = draw(50, 1).sigmoid()
    assert binary_score(p) == pytest.approx(inception_style_score(torch.cat([p, 1 - p], 1)), rel=1e-12)
    assert binary_score(torch.tensor([[0.0, 1.0], [1.0, 0.0]])) == pytest.approx(2)


def test_what_are_no_probabilities_is_refused() -> None:
    with pytest.raises(AttrimorphError, match=r"lie in 0\.\.1"):
        inception_style_score(draw())
    with pytest.raises(AttrimorphError, match="sum to 1"):
        inception_style_score(draw().sigmoid())
