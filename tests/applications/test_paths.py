"""Paths: exact ends, straight lines, equal steps, groups one by one."""

import pytest
import torch

from attrimorph.applications import paths
from attrimorph.errors import AttrimorphError


def two(shape: tuple[int, ...] = (3, 4, 4)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def test_lines_and_arcs_keep_shape_and_ends() -> None:
    a, b = two()
    for path in (paths.pixel, paths.linear, paths.spherical):
        found = path(a, b, 5)
        assert found.shape == (5, 3, 4, 4)
        assert torch.equal(found[0], a)
        assert torch.equal(found[-1], b)
    torch.testing.assert_close(paths.linear(a, b, 5)[1], 0.75 * a + 0.25 * b)
    unit_a, unit_b = a / a.norm(), b / b.norm()
    lengths = paths.spherical(unit_a, unit_b, 7).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(7))


def test_a_square_is_bilinear() -> None:
    corners = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1))
    found = paths.bilinear(corners, 3, 5)
    assert found.shape == (3, 5, 2, 3)
    for row in range(3):
        for column in range(5):
            u, w = row / 2, column / 4
            upper = (1 - w) * corners[0] + w * corners[1]
            lower = (1 - w) * corners[2] + w * corners[3]
            torch.testing.assert_close(found[row, column], (1 - u) * upper + u * lower)
    assert torch.equal(found[0, 0], corners[0])
    assert torch.equal(found[-1, -1], corners[3])
    with pytest.raises(AttrimorphError, match="at least 2"):
        paths.bilinear(corners, 1, 5)
    with pytest.raises(AttrimorphError, match="four"):
        paths.bilinear(corners[:3], 3, 3)


def test_groups_move_together_or_one_by_one() -> None:
    a, b = two()
    moves = torch.stack([torch.full_like(a, 1.0), torch.full_like(a, -3.0)])
    together = paths.homomorphic(a, b, moves, 5)
    torch.testing.assert_close(together, paths.linear(a, b, 5))
    single = paths.homomorphic(a, b, moves, 7, one_by_one=True)
    for step, expected in enumerate([a, a + 0.5, a + 1, a - 0.5, a - 2]):
        torch.testing.assert_close(single[step], expected)
    torch.testing.assert_close(single[5], (a - 2 + b) / 2)
    assert torch.equal(single[0], a)
    assert torch.equal(single[6], b)


def test_a_crossfade_goes_through_every_stage() -> None:
    stages = [torch.full((3, 2, 2), float(value)) for value in (0, 10, 12)]
    found = paths.crossfade(stages, 5)[:, 0, 0, 0]
    assert found.tolist() == [0, 5, 10, 11, 12]
    with pytest.raises(AttrimorphError, match="at least two"):
        paths.crossfade(stages[:1], 5)


def test_even_positions_undo_an_uneven_speed() -> None:
    """On the path t -> t^2 equal steps lie at the square roots."""
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    positions = paths.even_positions((t**2).diff(), 6)
    torch.testing.assert_close(positions, torch.linspace(0, 1, 6, dtype=torch.float64).sqrt(), atol=1e-3, rtol=0)
    assert positions[0] == 0
    assert positions[-1] == 1
    # A path that stands still at first, one that never moves.
    still = paths.even_positions(torch.tensor([0.0, 0, 1, 1]), 3)
    torch.testing.assert_close(still, torch.tensor([0.0, 0.75, 1]))
    torch.testing.assert_close(paths.even_positions(torch.zeros(4), 3), torch.tensor([0.0, 0.5, 1]))


def test_a_uniform_path_takes_equal_steps() -> None:
    def render(positions: torch.Tensor) -> torch.Tensor:
        return (positions**3)[:, None, None, None].expand(-1, 3, 2, 2)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean((1, 2, 3))

    images, positions = paths.uniform(render, distance, 5)
    steps = distance(images[:-1], images[1:])
    assert steps.max() / steps.min() < 1.2
    assert positions[0] == 0
    assert positions[-1] == 1
    even = render(torch.linspace(0, 1, 5))
    uneven = distance(even[:-1], even[1:])
    assert uneven.max() / uneven.min() > 10


def test_between_reads_a_path_anywhere() -> None:
    points = torch.tensor([[0.0], [10.0], [40.0]])
    assert paths.between(points, torch.tensor([0.0, 0.25, 0.75, 1.0])).flatten().tolist() == [0, 5, 25, 40]
