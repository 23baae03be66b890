import math

import pytest
import torch

from attrimorph.data.drawn.shapes import CENTRE, RADIUS, SPREAD, coverage, evenness, on_ring, ring
from attrimorph.errors import AttrimorphError


def test_points_lie_on_the_ring_evenly():
    points = ring(20_000, torch.Generator().manual_seed(0))
    assert points.shape == (20_000, 2)
    assert points.dtype == torch.float32
    offset = points.double() - torch.tensor(CENTRE)
    assert offset.mean(dim=0).abs().max() < 0.05
    distance = offset.norm(dim=1)
    assert abs(float(distance.mean()) - RADIUS) < 0.005
    assert abs(float(distance.std()) - SPREAD) < 0.005
    quarters = torch.histc(torch.atan2(offset[:, 1], offset[:, 0]), 4, -math.pi, math.pi)
    assert (quarters / 20_000 - 0.25).abs().max() < 0.02
    assert on_ring(points).float().mean() > 0.999
    assert torch.equal(points, ring(20_000, torch.Generator().manual_seed(0)))


def test_coverage_counts_sectors():
    angle = torch.linspace(0, math.pi, 500)[:-1] + 0.001
    half = torch.stack([angle.cos() * RADIUS + CENTRE[0], angle.sin() * RADIUS + CENTRE[1]], dim=1)
    assert coverage(half, sectors=10) == pytest.approx(0.5, abs=0.11)
    assert coverage(half[:1], sectors=10) == pytest.approx(0.1)
    assert coverage(torch.tensor([CENTRE]), sectors=10) == 0
    assert not on_ring(torch.tensor([CENTRE])).any()
    assert coverage(ring(5_000, torch.Generator().manual_seed(1))) == 1
    with pytest.raises(AttrimorphError, match="at least one sector"):
        coverage(half, sectors=0)


def test_evenness_is_what_need_not_move() -> None:
    corners = torch.tensor([[RADIUS, 0.5], [-RADIUS, 0.5], [RADIUS, -0.5], [-RADIUS, -0.5]]) + torch.tensor(CENTRE)
    assert evenness(corners, sectors=4) == pytest.approx(1)
    # Three of four points in one quarter: two of them would have to move.
    assert evenness(corners[[0, 0, 0, 1]], sectors=4) == pytest.approx(0.5)
    assert evenness(corners[:1], sectors=4) == pytest.approx(0.25)
    assert evenness(torch.tensor([CENTRE])) == 0
    assert 0.93 < evenness(ring(2_000, torch.Generator().manual_seed(1))) < 0.97
