"""Improved precision and recall against scikit-learn's neighbours and cases that are plain."""

import pytest
import torch
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.metrics import distribution as module
from attrimorph.metrics.distribution import precision_recall, radii


def draw(count: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64) * scale + shift


def by_sklearn(points: Tensor, centres: Tensor, neighbours: int) -> float:
    model = NearestNeighbors(n_neighbors=neighbours + 1).fit(centres.numpy())
    reach = model.kneighbors(centres.numpy())[0][:, -1]
    return float((pairwise_distances(points.numpy(), centres.numpy()) <= reach).any(1).mean())


@pytest.mark.parametrize("neighbours", [1, 3, 7])
def test_it_is_scikit_learns(neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 37)
    real, samples = draw(150, 0), draw(130, 1, 0.7, 0.8)
    found = precision_recall(real, samples, neighbours=neighbours)
    assert found.precision == by_sklearn(samples, real, neighbours)
    assert found.recall == by_sklearn(real, samples, neighbours)
    assert 0 < found.recall < found.precision < 1


def test_radii_are_distances_to_others() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]], dtype=torch.float64)
    assert radii(points, 1).tolist() == [1, 1, 4, 16]
    assert radii(points, 2).tolist() == [9, 4, 9, 36]


def test_one_mode_of_two_is_precise_and_recalls_half() -> None:
    near, far = draw(100, 2, 0), draw(100, 3, 100)
    found = precision_recall(torch.cat([near, far]), near, neighbours=3)
    assert found == (1.0, 0.5)
    assert precision_recall(near, far) == (0.0, 0.0)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(AttrimorphError, match=r"neighbours must lie in 1\.\.2"):
        precision_recall(draw(3, 0), draw(5, 1))
