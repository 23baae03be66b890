"""The linear algebra of axes, in float64: fits, untangling, shortest moves. Closed forms but for the logistic fit."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError

Method = Literal["linear", "ridge", "logistic"]
Link = Literal["arctanh", "none"]

EDGE = 3.0  # of the arctanh link: outputs are clipped to tanh(-3)..tanh(3), as in the original
PENALTIES = tuple(10.0**power for power in range(-4, 7))
ITERATIONS = 50
SAME = 1e-6  # what is left of a unit axis when it lies in the span of others


class Fitted(NamedTuple):
    """A linear model of A values.

    Attributes:
        slopes: [A, D].
        intercepts: [A].
    """

    slopes: Tensor
    intercepts: Tensor


def linked(probabilities: Tensor, link: Link) -> Tensor:
    """Return what a linear fit aims at: arctanh(2p - 1) = 1/2 log(p / (1 - p)), clipped to -3..3, or p itself.

    Args:
        probabilities: any shape.
        link: "arctanh" as in the original, whose outputs were tanh's, or "none".
    """
    if link == "none":
        return probabilities.double()
    edge = math.tanh(EDGE)
    return torch.atanh((2 * probabilities.double() - 1).clamp(-edge, edge))


def fit(x: Tensor, y: Tensor, method: Method = "linear", *, penalty: float | None = None) -> Fitted:
    """Fit y ~ slopes x + intercept, each column of y on the rows where it is known.

    Args:
        x: [N, D].
        y: [N, A], NaN = unknown; for "logistic" probabilities or labels in 0..1.
        method: least squares; ridge regression; or logistic regression (maximum likelihood, soft labels as they are).
        penalty: of the slopes' squares, against the sum over the rows of (half) the loss; None: for ridge the one that
            generalised cross-validation finds best, for logistic 1.

    Raises:
        AttrimorphError: a column has too few known rows.
    """
    known = ~y.isnan()
    if bool(known.all()):
        return _fit(x.double(), y.double(), method, penalty)
    parts = []
    for column in range(y.shape[1]):
        rows = known[:, column]
        parts.append(_fit(x[rows].double(), y[rows, column : column + 1].double(), method, penalty))
    return Fitted(torch.cat([part.slopes for part in parts]), torch.cat([part.intercepts for part in parts]))


def _fit(x: Tensor, y: Tensor, method: Method, penalty: float | None) -> Fitted:
    if len(x) < 2:
        raise AttrimorphError(f"an axis needs at least two labelled pictures; got {len(x)}; label more")
    if method == "logistic":
        found = [_logistic(x, y[:, column], 1.0 if penalty is None else penalty) for column in range(y.shape[1])]
        return Fitted(torch.stack([slope for slope, _ in found]), torch.stack([bias for _, bias in found]))
    mean_x, mean_y = x.mean(0), y.mean(0)
    centred = x - mean_x
    # Eigenvalues of X'X: one decomposition serves every penalty.
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    values = values.clamp(min=0)
    along = vectors.T @ (centred.T @ (y - mean_y))
    if method == "linear":
        least = values.amax() * len(values) * torch.finfo(torch.float64).eps
        shrunk = torch.where(values > least, 1 / values, 0.0)[:, None].expand_as(along)
    else:
        total = (y - mean_y).square().sum(0)
        chosen = penalty if penalty is not None else best_penalties(values, along, total, len(x))
        shrunk = 1 / (values[:, None] + torch.as_tensor(chosen, dtype=torch.float64))
    slopes = (vectors @ (along * shrunk)).T
    return Fitted(slopes, mean_y - slopes @ mean_x)


def best_penalties(values: Tensor, along: Tensor, total: Tensor, count: int) -> Tensor:
    """Return for each column the penalty with the least generalised cross-validation error (Golub et al. 1979).

    GCV = (residual sum of squares / N) / (1 - degrees of freedom / N)^2, degrees = 1 + sum of v / (v + penalty).

    Args:
        values: eigenvalues of X'X, [D]; along: X'y in their basis, [D, A]; total: squares of centred y, [A].
        count: N.
    """
    scores = []
    penalties = torch.tensor(PENALTIES, dtype=torch.float64) * values.mean().clamp(min=1e-12)
    for penalty in penalties:
        inverse = (1 / (values + penalty))[:, None]
        # |y - Xb|^2 = y'y - 2 b'X'y + b'X'Xb
        residual = total - (along.square() * inverse * (2 - values[:, None] * inverse)).sum(0)
        free = (count - 1 - (values / (values + penalty)).sum()).clamp(min=1e-9)
        scores.append(residual * count / free.square())
    return penalties[torch.stack(scores).argmin(0)]


def _logistic(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Newton's method with halved steps on the sum of cross-entropies + penalty / 2 |slope|^2."""
    joined = torch.cat([x, x.new_ones(len(x), 1)], 1)
    ridge = x.new_full((joined.shape[1],), penalty)
    ridge[-1] = 0

    def loss(weights: Tensor) -> Tensor:
        logits = joined @ weights
        return (torch.nn.functional.softplus(logits) - y * logits).sum() + 0.5 * (ridge * weights.square()).sum()

    weights = joined.new_zeros(joined.shape[1])
    now = loss(weights)
    for _ in range(ITERATIONS):
        p = (joined @ weights).sigmoid()
        gradient = joined.T @ (p - y) + ridge * weights
        curvature = (joined * (p * (1 - p))[:, None]).T @ joined + torch.diag(ridge + 1e-9 * len(x))
        step = torch.linalg.solve(curvature, gradient)
        share = 1.0
        while not (then := loss(weights - share * step)) <= now and share > 1e-6:
            share /= 2
        if not then <= now:
            break
        weights = weights - share * step
        settled, now = now - then <= 1e-10 * now.abs(), then
        if settled:
            break
    return weights[:-1], weights[-1]


def unit(rows: Tensor) -> Tensor:
    """Return rows [A, D] of length one; rows of zeros stay."""
    rows = rows.double()
    length = rows.norm(dim=1, keepdim=True)
    return torch.where(length > 0, rows / length, 0.0)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines between the rows of a [A, D] and b [B, D], [A, B].

    In coordinates where codes are N(0, I) the cosine of two axes is the correlation of the scores along them.
    """
    return unit(a) @ unit(b).T


def basis(rows: Tensor) -> Tensor:
    """Return an orthonormal basis [D, r] of what rows [K, D] span, by QR; rows that depend on others add nothing."""
    q, r = torch.linalg.qr(unit(rows).T)
    independent = r.diagonal().abs() > SAME
    found: Tensor = q[:, independent]
    return found


def untangle(axes: Tensor, locked: Tensor) -> Tensor:
    """Take everything out of axes that moves along locked ones: projection off their span, all at once.

    The span has no order, so nor has the result. A score along a locked axis stays as it is, to machine precision.

    Args:
        axes: [A, D].
        locked: [K, D].

    Returns:
        [A, D] of unit length; zeros for an axis that lies in the span of the locked ones.
    """
    left = unit(axes)
    if not len(locked):
        return left
    q = basis(locked)
    # Twice: what rounding left after the first projection was relative to the whole axis, not to the rest.
    for _ in range(2):
        left = left - (left @ q) @ q.T
    return unit(torch.where(left.norm(dim=1, keepdim=True) > SAME, left, 0.0))


def on_sphere(points: Tensor, kept: Tensor, radius: float) -> Tensor:
    """Return points brought to a distance from the origin, their scores along some axes as they are.

    What is perpendicular to these axes grows or shrinks. Where the scores alone lead farther out,
    the point stays there.

    Args:
        points: [B, D].
        kept: axes [K, D].
        radius: the distance.

    Returns:
        [B, D].
    """
    q = basis(kept)
    held = (points @ q) @ q.T
    rest = points - held
    left = (radius**2 - held.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
    found: Tensor = held + rest * (left / rest.norm(dim=1, keepdim=True).clamp(min=SAME))
    return found


def shortest_move(targets: Tensor, locked: Tensor, wanted: Tensor, gram: Tensor | None = None) -> Tensor:
    """Return the shortest moves that change the scores along the targets by `wanted`, and none along the locked axes.

    Args:
        targets: axes [T, D]; of unit length, where `wanted` are scores.
        locked: axes [K, D].
        wanted: [B, T].
        gram: [D, D], positive definite: the length of a move d is sqrt(d' gram d); |d| when None.

    Returns:
        [B, D].

    Raises:
        AttrimorphError: the targets depend on one another or on the locked axes.
    """
    if gram is not None:
        # With gram = c c' the length of d is |c' d|: the plain shortest move of c' d, whose axes are c^-1 a.
        c = torch.linalg.cholesky(gram.double())
        seen, held = (torch.linalg.solve_triangular(c, rows.double().T, upper=False).T for rows in (targets, locked))
        moved = shortest_move(seen, held, wanted)
        back: Tensor = torch.linalg.solve_triangular(c.T, moved.T, upper=True).T
        return back
    free = targets.double()
    if len(locked):
        q = basis(locked)
        for _ in range(2):
            free = free - (free @ q) @ q.T
    q, r = torch.linalg.qr(free.T)
    if bool((r.diagonal().abs() < SAME).any()):
        raise AttrimorphError(
            "the edited axes must be free of the locked ones and of one another; they are not; lock or edit fewer"
        )
    # The move is q m with free q m = wanted: r' m = wanted.
    moves = torch.linalg.solve_triangular(r.T, wanted.double().T, upper=False)
    found: Tensor = (q @ moves).T
    return found
