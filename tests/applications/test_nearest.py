"""Exact search agrees with all pairs, whatever the chunks."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor

from attrimorph.applications import neighbours as module
from attrimorph.applications.neighbours import nearest, nearest_images
from attrimorph.errors import AttrimorphError


def all_pairs(queries: Tensor, base: Tensor) -> Tensor:
    return (queries[:, None].double() - base[None].double()).square().sum(-1).sqrt()


@pytest.mark.parametrize("rows", [7, 64, 4096])
def test_it_agrees_with_all_pairs(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    queries, base = torch.randn(5, 11, generator=generator), torch.randn(300, 11, generator=generator)
    found = nearest(queries, base, 9)
    distances, order = all_pairs(queries, base).sort(dim=1, stable=True)
    assert torch.equal(found.rows, order[:, :9])
    torch.testing.assert_close(found.distances, distances[:, :9], rtol=1e-12, atol=0)


def test_far_from_the_origin_a_vector_is_still_its_own_nearest_and_equals_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ROWS", 16)
    base = 1e4 + torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    base = torch.cat([base, base])
    found = nearest(base[:50], base, 2)
    assert found.distances.eq(0).all()
    assert torch.equal(found.rows, torch.stack([torch.arange(50), torch.arange(50, 100)], 1))


def test_fewer_than_asked_for_are_all() -> None:
    assert nearest(torch.zeros(1, 2), torch.ones(3, 2), 10).rows.shape == (1, 3)


@pytest.mark.parametrize(
    ("queries", "base", "count", "sentence"),
    [
        (torch.zeros(1, 2), torch.zeros(4, 3), 1, "one width"),
        (torch.zeros(1, 2), torch.zeros(0, 2), 1, "something to search"),
        (torch.zeros(1, 2), torch.zeros(4, 2), 0, "count must be at least 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(queries: Tensor, base: Tensor, count: int, sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        nearest(queries, base, count)


@pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is optional")
def test_faiss_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    queries, base = torch.randn(20, 16, generator=generator), torch.randn(3000, 16, generator=generator)
    plain = nearest(queries, base, 5)
    monkeypatch.setattr(module, "FAISS_FROM", 1000)
    found = nearest(queries, base, 5)
    assert torch.equal(found.rows, plain.rows)
    assert torch.equal(found.distances, plain.distances)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("smooth", [False, True])
def test_bounds_rule_out_no_nearest_image(size: int, smooth: bool) -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (400, size, size, 3)).astype(np.uint8)
    if smooth:  # like photographs: the bounds are tight and rule most of them out
        images = np.repeat(np.repeat(random.integers(0, 256, (400, 4, 4, 3)), size // 4, 1), size // 4, 2).astype(
            np.uint8
        )
    images[200] = images[7]
    rows = np.arange(5, 400)
    queries = images[[7, 30, 399, 2]]
    found = nearest_images(queries, images, rows, 4)
    flat = torch.from_numpy(images.reshape(400, -1).astype(np.float64))
    distances, order = all_pairs(flat[[7, 30, 399, 2]], flat[5:]).sort(dim=1, stable=True)
    assert torch.equal(found.rows, order[:, :4])
    torch.testing.assert_close(found.distances, distances[:, :4] / (size * size * 3) ** 0.5)
    assert found.rows[0, :2].tolist() == [2, 195]
