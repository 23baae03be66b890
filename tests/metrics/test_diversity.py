"""Diversity within classes: which pairs there are and how they are averaged."""

import pytest
import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.distribution import diversity, pairs_within


def test_pairs_are_different_rows_of_one_class_and_at_most_so_many() -> None:
    classes = torch.tensor([3, 1, 3, 3, 2, 1, 3])
    found = pairs_within(classes, most=4, seed=1)
    assert [len(pairs) for pairs in found] == [1, 4]
    for pairs in found:
        assert (classes[pairs[:, 0]] == classes[pairs[:, 1]]).all()
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)


def test_every_class_counts_the_same() -> None:
    values = torch.tensor([0.0, 1.0, 0.0, 10.0, 20.0, 30.0, 50.0])
    classes = torch.tensor([0, 0, 1, 2, 2, 2, 2])
    images = values.view(-1, 1, 1, 1).expand(-1, 3, 2, 2)

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean((1, 2, 3))

    second = [10, 20, 40, 10, 30, 20]
    assert diversity(images, classes, apart) == pytest.approx((1 + sum(second) / 6) / 2)
    assert diversity(torch.zeros(4, 3, 2, 2), torch.zeros(4), apart) == 0
    with pytest.raises(AttrimorphError, match="at least 2 images"):
        diversity(images[:3], torch.arange(3), apart)
