"""Masks spoiled on purpose: by as much as was said, always alike, and nothing else of the data."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.masks import spoiled, wrong_masks
from attrimorph.errors import AttrimorphError


def masks(count: int = 5, size: int = 32) -> Tensor:
    return faces.render_layers(faces.sample_factors(count, torch.Generator().manual_seed(2)), size).mask[:, 0]


@pytest.mark.parametrize("size", [16, 32, 64])
def test_area_is_taken_away_outside_and_put_round(size: int) -> None:
    true = masks(size=size)
    inside = true > 0.5
    area = inside.flatten(1).sum(1)
    eroded, dilated = (spoiled(true, way) > 0.5 for way in ("eroded", "dilated"))
    assert not bool((eroded & ~inside).any())
    assert not bool((inside & ~dilated).any())
    assert (eroded.flatten(1).sum(1) / area).tolist() == pytest.approx([0.9] * 5, abs=0.01)
    assert (dilated.flatten(1).sum(1) / area).tolist() == pytest.approx([1.1] * 5, abs=0.01)
    # What changes lies at the border: deep inside and far outside all stays.
    soft = torch.nn.functional.avg_pool2d(true[:, None], 2 * (size // 8) + 1, 1, size // 8)[:, 0]
    assert bool(eroded[soft > 0.99].all())
    assert not bool(dilated[soft < 0.01].any())


def test_a_shift_goes_by_the_size_and_the_turn() -> None:
    square = torch.zeros(4, 40, 40)
    square[:, 10:30, 12:32] = 1
    moved = spoiled(square, "shifted", 0.1, torch.arange(4))
    for mask, (top, left) in zip(moved, ((10, 14), (10, 10), (12, 12), (8, 12)), strict=True):
        assert mask.nonzero().amin(0).tolist() == [top, left]
        assert mask.sum() == 400
    edge = spoiled(torch.ones(1, 8, 8), "shifted", 0.25)
    assert edge[0, :, :2].sum() == 0
    assert edge.sum() == 48


def test_data_with_wrong_masks(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=30, size=16)
    assert data.masks is not None
    wrong, again = wrong_masks(data), wrong_masks(data)
    assert wrong.masks is not None
    assert again.masks is not None
    assert np.array_equal(wrong.masks, again.masks)
    assert wrong.fingerprint == again.fingerprint != data.fingerprint
    assert wrong.images is data.images
    true = torch.from_numpy(np.array(data.masks)).float() / 255
    found = torch.from_numpy(wrong.masks).float() / 255
    area = (true > 0.5).flatten(1).sum(1)
    share = (found > 0.5).flatten(1).sum(1) / area
    assert bool((share[0::3] < 0.95).all())
    assert bool((share[1::3] > 1.05).all())
    torch.testing.assert_close(found[2], spoiled(true[2:3], "shifted", turns=torch.tensor([0]))[0])
    torch.testing.assert_close(found[5], spoiled(true[5:6], "shifted", turns=torch.tensor([1]))[0])


def test_a_mask_that_stands_for_none_stays_and_data_without_masks_are_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    data = write_faces(tmp_path / "faces", count=12, size=16)
    full = replace(data, masks=np.full((12, 16, 16), 255, np.uint8))
    kept = wrong_masks(full).masks
    assert kept is not None
    assert bool((kept == 255).all())
    with pytest.raises(AttrimorphError, match="only data with masks"):
        wrong_masks(replace(data, masks=None))
