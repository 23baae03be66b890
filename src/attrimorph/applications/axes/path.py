"""The way that follows the judge: at every step along the local gradient, the locked attributes' gradients taken out.

The straight axis is the best one way for all codes; a generator is not linear, and the judge's gradient through it says
for each code where its attribute really lies. The same untangling, done anew at every step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attrimorph.applications.axes.space import Space
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.judge import Judge
from attrimorph.models import Code, Model

STEPS = 12
GOAL = 2.2  # logit of 0.9
LONGEST = 1.0  # a step, in standard deviations of drawn codes
STIFF = 1e-4

Reads = Callable[[Tensor], Tensor]
"""Images [B, 3, S, S] -> logits [B, W], with gradients."""


@runtime_checkable
class Generates(Protocol):
    """A model whose images have gradients by their codes."""

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return images [B, 3, S, S] in [-1, 1]."""


def with_gradient(model: Model) -> Generates:
    """Return the model as one with gradients.

    Raises:
        AttrimorphError: it has none.
    """
    if isinstance(model, Generates):
        return model
    raise AttrimorphError(
        f"following the judge needs gradients through the generator; {model.recipe.name!r} ({model.recipe.method}) "
        "gives none; take the straight axis"
    )


def logits_of(judge: Judge) -> Reads:
    """Return what a judge says before any temperature, with gradients."""

    def read(images: Tensor) -> Tensor:
        logits: Tensor = judge.network(images.to(memory_format=torch.channels_last))[0]
        return logits

    return read


def follow(
    model: Model,
    reads: Reads,
    schema: Schema,
    code: Code,
    changes: Mapping[str, float],
    *,
    locks: Sequence[str] = (),
    steps: int = STEPS,
) -> list[Code]:
    """Go from codes to where the judge sees the wished attributes, the locked ones held to first order at every step.

    At step k of n every wished logit is to go 1 / (n - k) of what it still has before it. With J the gradients of
    wished and locked logits, the move is the shortest one d with J d = (those wishes, what the locked ones strayed),
    no longer than one standard deviation.

    Args:
        model: a generator with gradients.
        reads: the logits that are followed; `logits_of(judge)`.
        schema: of the logits.
        code: B rows.
        changes: attribute -> strength; above 0 it is to be seen (logit 2.2), below 0 not (-2.2); its size is the share
            of the way from where it is.
        locks: attributes that the judge shall see as before.
        steps: n.

    Returns:
        The codes of the way, n + 1 of them; the first is `code`.
    """
    generator, space = with_gradient(model), Space.of(model)
    names = [*changes, *[name for name in locks if name not in changes]]
    columns = [_column(schema, name) for name in names]
    wished = len(changes)
    here = space.coordinates(code, model.schema.blank)
    way, goals = [code], None
    for step in range(steps):
        logits, gradients = _gradients(generator, space, reads, here, code, columns, model.schema.blank)
        if goals is None:
            # Locked logits come back to where they began: what a step left of them the next one mends.
            goals = logits.clone()
            for place, strength in enumerate(changes.values()):
                signed = GOAL if strength > 0 else -GOAL
                ahead = (signed - logits[:, place]) * (1 if strength > 0 else -1)
                goals[:, place] += ahead.clamp(min=0) * strength
        share = torch.ones(len(names), dtype=torch.float64)
        share[:wished] = 1 / (steps - step)
        here = here + shortest_step(gradients, (goals - logits) * share)
        way.append(space.code(here, code, model.schema.blank))
    return way


def _column(schema: Schema, name: str) -> int:
    return schema.column_names.index(name) if name in schema.column_names else schema.columns(name).start


def _gradients(
    generator: Generates,
    space: Space,
    reads: Reads,
    here: Tensor,
    like: Code,
    columns: Sequence[int],
    blank: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the chosen logits [B, K] and their gradients by the coordinates [B, K, D]."""
    with torch.enable_grad():
        at = here.detach().requires_grad_()
        moved = space.code(at, like, blank)
        logits = reads(generator.generate(moved.z, moved.attributes))[:, columns]
        rows = [
            torch.autograd.grad(logits[:, place].sum(), at, retain_graph=place < len(columns) - 1)[0]
            for place in range(len(columns))
        ]
    return logits.detach().double().cpu(), torch.stack(rows, 1)


def shortest_step(gradients: Tensor, wanted: Tensor) -> Tensor:
    """Return the shortest moves [B, D] with gradients [B, K, D] x move = wanted [B, K], at most LONGEST long."""
    gram = gradients @ gradients.transpose(1, 2)
    # Where two gradients are nearly parallel the exact answer is a leap: a little give keeps it short.
    give = STIFF * gram.diagonal(dim1=1, dim2=2).amax(1, keepdim=True).clamp(min=1e-12)
    gram = gram + torch.diag_embed(give.expand(-1, gram.shape[1]))
    move = (gradients.transpose(1, 2) @ torch.linalg.solve(gram, wanted[..., None]))[..., 0]
    short: Tensor = move * (LONGEST / move.norm(dim=1, keepdim=True).clamp(min=LONGEST))
    return short
