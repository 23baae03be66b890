"""Locks: locked attributes stay as a judge sees them while others are edited; and what an edit drags along.

A generator that is given y learned from data in which attributes go together, so that an edit of one may show in
another. The judge sees it, and the lock mends it with the locked attributes' own columns of y: one damped Gauss-Newton
step whose derivatives are measured by decoding, so that any model whose codes have attributes can hold.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.evaluators.attributes import Judges
from attrimorph.models.model import Code, Model

CLIPPED = 4.0  # logits: beyond, a judge is sure and more of it cannot be seen
STRAYED = 0.15  # logits by which a locked attribute may stray without being brought back
PROBED = 0.5  # how far a column is moved to see what it does
FARTHEST = 1.5  # how far a lock may move its column
DAMPING = 0.3
SHARES = (0.0, 1 / 3, 2 / 3, 1.0)
"""Of the step; that which leaves the least is taken, so that a lock never makes it worse."""


@runtime_checkable
class TellsLogits(Protocol):
    """A judge that says what it thinks before any sigmoid."""

    def logits(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] -> [B, W]."""


def logits_of(judge: Judges, images: Tensor) -> Tensor:
    """Return a judge's logits [B, W] on the CPU, cut off at `CLIPPED`."""
    said = judge.logits(images) if isinstance(judge, TellsLogits) else judge(images).float().logit()
    return said.float().cpu().clamp(-CLIPPED, CLIPPED)


def lockable(schema: Schema, known: Schema) -> list[str]:
    """Return the binary attributes that a model has and a judge knows."""
    return [a.name for a in schema.attributes if a.kind == "binary" and a.name in known.names]


def free_of(schema: Schema, locks: Sequence[str], changes: Mapping[str, float]) -> list[str]:
    """Return the locks less what is edited, and less what must give way to what is set (the other hair colours)."""
    moved = {name for name, strength in changes.items() if strength}
    giving_way = {rival for name in moved if changes[name] > 0 for rival in schema.excluded_by(name)}
    return [name for name in dict.fromkeys(locks) if name not in moved and name not in giving_way]


def with_locks(
    model: Model,
    judge: Judges,
    before: Tensor,
    code: Code,
    locks: Sequence[str],
    changes: Mapping[str, float],
    *,
    decode: Callable[[Code], Tensor] | None = None,
) -> Code:
    """Return an edited code whose locked attributes look to the judge as they did before.

    With r how far the locked attributes' logits strayed and J the derivatives of the logits of locked and edited
    attributes by the locked columns of y, the step is d = -(J'J + 0.3)^-1 J'(r, 0).

    Args:
        model: one whose codes have attributes.
        judge: who sees.
        before: the judge's logits of the picture without the edit, [1, V]; see `logits_of`.
        code: edited, one row.
        locks: binary attributes that model and judge know; those that `free_of` leaves are held.
        changes: what is edited.
        decode: codes -> pictures; the model's own when None.
    """
    decode = decode or model.decode
    own, seen = model.schema.column_names, judge.schema.column_names
    names = [name for name in free_of(model.schema, locks, changes) if name in own and name in seen]
    if not names:
        return code
    after = logits_of(judge, decode(code))
    rows = [seen.index(name) for name in names]
    strayed = (after - before)[0, rows]
    if float(strayed.abs().max()) < STRAYED:
        return code
    wished = [seen.index(name) for name in changes if name in seen]
    columns = [own.index(name) for name in names]
    probes = torch.where(strayed > 0, -PROBED, PROBED)
    tried = _with_columns(model, code, columns, torch.diag(probes))
    answers = logits_of(judge, decode(tried))
    jacobian = ((answers - after)[:, rows + wished] / probes[:, None]).T
    aim = torch.cat([strayed, torch.zeros(len(wished))])
    step = torch.linalg.solve(jacobian.T @ jacobian + DAMPING * torch.eye(len(names)), -jacobian.T @ aim)
    shares = torch.tensor(SHARES)[:, None] * step.clamp(-FARTHEST, FARTHEST)
    ways = _with_columns(model, code, columns, shares)
    found = logits_of(judge, decode(ways))
    cost = (found - before)[:, rows].square().sum(1) + 0.5 * (found - after)[:, wished].square().sum(1)
    best = int(cost.argmin())
    return Code(ways.z[best : best + 1], ways.attributes[best : best + 1])


def _with_columns(model: Model, code: Code, columns: Sequence[int], moves: Tensor) -> Code:
    """Return a row for each row of moves [R, K], its columns of y moved by them."""
    y = code.attributes.cpu()
    y = torch.where(y.isnan(), model.schema.fill_value.to(y), y).repeat(len(moves), 1)
    y[:, list(columns)] += moves
    return Code(code.z.expand(len(moves), *code.z.shape[1:]), y)


def side_effects(
    schema: Schema, before: Tensor, after: Tensor, changes: Mapping[str, float], least: float
) -> dict[str, float]:
    """Return what an edit changes besides: attribute -> change of the judge's probability, the largest first.

    Args:
        schema: of the judge.
        before, after: its probabilities, [W] each.
        changes: what was edited; it, and what it must take away or bring back, is no side effect.
        least: smaller changes are left out.
    """
    asked = {name for name, strength in changes.items() if strength}
    asked |= {rival for name in asked for rival in schema.excluded_by(name)}
    moved = {
        name: round(float(after[place] - before[place]), 3)
        for place, name in enumerate(schema.column_names)
        if name not in asked and schema.find(name)[0].kind != "real"
    }
    strong = {name: change for name, change in moved.items() if abs(change) >= least}
    return dict(sorted(strong.items(), key=lambda item: -abs(item[1])))
