"""Paths from one image to another: pure functions of tensors.

A path is a list of points, images or features; its ends are the ends that were given, to the bit.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError

DENSE = 8  # points looked at for each one kept, where speed is to be even


def pixel(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Cross-fade pixel by pixel: what every other path has to beat; faces that are not aligned show their ghosts.

    Args:
        first, second: images [3, S, S] in [-1, 1].
        steps: points, both ends counted.

    Returns:
        [steps, 3, S, S].
    """
    return linear(first, second, steps)


def linear(first: Tensor, second: Tensor, steps: int | Tensor) -> Tensor:
    """Return points on the straight line between tensors of any shape, [...] -> [steps, ...]; the ends are exact.

    Args:
        first, second: of one shape.
        steps: how many points, evenly spaced, or their positions, rising from 0 to 1.
    """
    t = _positions(steps, first)
    line = (1 - t) * first + t * second
    # A product with 0 is no copy when the other factor is infinite, nor always to the last bit: the ends are put in.
    line[0], line[-1] = first, second
    return line


def _positions(steps: int | Tensor, like: Tensor) -> Tensor:
    t = torch.linspace(0, 1, steps) if isinstance(steps, int) else steps
    return t.to(like).view(-1, *[1] * like.dim())


def spherical(first: Tensor, second: Tensor, steps: int | Tensor) -> Tensor:
    """Return points on the arc between tensors of any shape (Shoemake 1985), [...] -> [steps, ...]; the ends are exact.

    The angle is between the directions, the length goes linearly; nearly parallel vectors go the straight line.
    Arguments as of `linear`.
    """
    cosine = torch.dot(first.flatten(), second.flatten()) / (first.norm() * second.norm()).clamp(min=1e-12)
    angle = cosine.clamp(-1, 1).acos()
    if angle.sin() < 1e-4:
        return linear(first, second, steps)
    t = _positions(steps, first)
    a, b = first / first.norm(), second / second.norm()
    arc: Tensor = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    arc = arc * ((1 - t) * first.norm() + t * second.norm())
    arc[0], arc[-1] = first, second
    return arc


def bilinear(corners: Tensor, rows: int, columns: int) -> Tensor:
    """Fill the square between four points.

    Args:
        corners: upper left, upper right, lower left, lower right, [4, ...].
        rows, columns: points along the sides, corners counted; at least 2.

    Returns:
        [rows, columns, ...].
    """
    if rows < 2 or columns < 2:
        raise AttrimorphError(f"a square must have at least 2 rows and columns; got {rows} x {columns}; try 5 x 5")
    if len(corners) != 4:
        raise AttrimorphError(f"a square lies between four images; got {len(corners)}; name four")
    left, right = linear(corners[0], corners[2], rows), linear(corners[1], corners[3], rows)
    return torch.stack([linear(a, b, columns) for a, b in zip(left, right, strict=True)])


def homomorphic(first: Tensor, second: Tensor, moves: Tensor, steps: int, *, one_by_one: bool = False) -> Tensor:
    """Go from features to features by groups of attributes: F_a + sum over groups of v_i T_i + v_rest (what is left).

    What is left, F_b - F_a - sum of T_i, takes the place of the residual branch, so that the path ends in F_b exactly.

    Args:
        first, second: F_a and F_b, [C, h, w].
        moves: T_i(F_b - F_a) of the groups, in the order in which they are to come, [groups, C, h, w].
        steps: points, both ends counted.
        one_by_one: group after group and then the rest, instead of all at once.

    Returns:
        [steps, C, h, w].
    """
    rest = second - first - moves.sum(0)
    every = torch.cat([moves, rest[None]])
    t = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device)[:, None]
    place = torch.arange(len(every), dtype=first.dtype, device=first.device)
    v = (t * len(every) - place).clamp(0, 1) if one_by_one else t.expand(-1, len(every))
    path = first + torch.einsum("sg,gchw->schw", v, every)
    path[0], path[-1] = first, second
    return path


def crossfade(stages: Sequence[Tensor], steps: int) -> Tensor:
    """Go through in-between images, from each to the next by pixels: what a chain of CycleGANs allows.

    Args:
        stages: images [3, S, S], at least two.
        steps: points in all, spread evenly over the stages.

    Returns:
        [steps, 3, S, S].
    """
    if len(stages) < 2:
        raise AttrimorphError(f"a path through images needs at least two; got {len(stages)}; change something")
    t = torch.linspace(0, len(stages) - 1, steps, dtype=torch.float64)
    points = []
    for place in t.tolist():
        before = min(int(place), len(stages) - 2)
        share = place - before
        points.append(torch.lerp(stages[before], stages[before + 1], share))
    points[0], points[-1] = stages[0], stages[-1]
    return torch.stack(points)


def even_positions(distances: Tensor, steps: int) -> Tensor:
    """Return where on a path to stop so that all steps look equally large.

    Args:
        distances: perceptual distances between neighbours of a dense path of evenly spaced points, [N - 1].
        steps: stops, both ends counted.

    Returns:
        Positions in 0..1, rising, [steps]; a path without any length gives even ones.
    """
    walked = torch.cat([distances.new_zeros(1), distances.cumsum(0)]).double()
    even = torch.linspace(0, 1, steps, dtype=torch.float64)
    if not float(walked[-1]) > 0:
        return even.to(distances.dtype)
    goals = even * walked[-1]
    after = torch.searchsorted(walked, goals).clamp(1, len(walked) - 1)
    begin, end = walked[after - 1], walked[after]
    share = ((goals - begin) / (end - begin).clamp_min(1e-12)).clamp(0, 1)
    positions = (after - 1 + share) / (len(walked) - 1)
    positions[0], positions[-1] = 0, 1
    return positions.to(distances.dtype)


def uniform(
    render: Callable[[Tensor], Tensor], distance: Callable[[Tensor, Tensor], Tensor], steps: int
) -> tuple[Tensor, Tensor]:
    """Walk a path at an even perceptual speed.

    Args:
        render: positions [N] in 0..1 -> images [N, 3, S, S].
        distance: images, images -> [N], how differently they look.
        steps: images, both ends counted.

    Returns:
        Images [steps, 3, S, S] and their positions [steps].
    """
    dense = render(torch.linspace(0, 1, DENSE * (steps - 1) + 1))
    positions = even_positions(distance(dense[:-1], dense[1:]).cpu(), steps)
    return render(positions), positions


def between(points: Tensor, positions: Tensor) -> Tensor:
    """Return what lies at positions in 0..1 on a path of evenly spaced points, [N, ...], [n] -> [n, ...]."""
    place = positions.to(points) * (len(points) - 1)
    before = place.long().clamp(0, len(points) - 2)
    share = (place - before).view(-1, *[1] * (points.dim() - 1))
    return points[before] * (1 - share) + points[before + 1] * share
