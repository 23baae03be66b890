"""The kernel distance against loops and torchmetrics."""

import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from attrimorph.metrics.distribution import kernel_distance, mmd


def draw(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_it_is_the_definition() -> None:
    a, b = draw(7, 0), draw(5, 1, 0.5)

    def kernel(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / 12 + 1) ** 3

    within = [
        sum(kernel(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j)
        / (len(rows) * (len(rows) - 1))
        for rows in (a, b)
    ]
    between = sum(kernel(x, y) for x in a for y in b) / 35
    assert mmd(a, b) == pytest.approx(sum(within) - 2 * between, rel=1e-12)


def test_one_subset_is_torchmetrics() -> None:
    a, b = draw(60, 2), draw(60, 3, 0.2)
    assert kernel_distance(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-9)

    class Pixels(torch.nn.Module):
        num_features = 12

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    metric = KernelInceptionDistance(Pixels(), subsets=1, subset_size=60).set_dtype(torch.float64)
    metric.update(a.view(-1, 3, 2, 2), real=True)
    metric.update(b.view(-1, 3, 2, 2), real=False)
    assert kernel_distance(a, b) == pytest.approx(metric.compute()[0].item(), rel=1e-6)


def test_subsets_are_disjoint_and_use_every_row() -> None:
    a, b = draw(90, 4), draw(70, 5, 0.3)
    generator = torch.Generator().manual_seed(3)
    orders = [torch.randperm(len(rows), generator=generator) for rows in (a, b)]
    parts = zip(a[orders[0]].tensor_split(3), b[orders[1]].tensor_split(3), strict=True)
    expected = sum(mmd(*part) for part in parts) / 3
    assert kernel_distance(a, b, subset=30, seed=3) == pytest.approx(expected, rel=1e-12)


def test_it_is_unbiased() -> None:
    values = torch.tensor([kernel_distance(draw(20, seed), draw(20, 1000 + seed)) for seed in range(200)])
    assert abs(values.mean()) < 3 * values.std() / 200**0.5
    assert (values < 0).float().mean() > 0.3
    assert kernel_distance(draw(50, 1), draw(50, 2, 1.0)) > 10 * values.std()
