"""Ways that are not straight: somebody is followed, at every step along the local gradient, the locked ones' taken out.

The straight axis is the best one way for all codes, and a generator is not linear. A judge's gradient through it, or
that of a small network which learned what a judge says of codes (see `curved`), tells for each code where an attribute
lies. The same untangling, done anew at every step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from attrimorph.applications.axes.space import Space
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge
from attrimorph.models.codes import Code
from attrimorph.models.model import Model

STEPS = 12
GOAL = 2.2  # logit of 0.9
LONGEST = 1.0  # a step, in standard deviations of drawn codes
STIFF = 1e-4

Reads = Callable[[Tensor], Tensor]
"""Images [B, 3, S, S] -> logits [B, W], with gradients."""


class Guide(Protocol):
    """Who is followed."""

    @property
    def goal(self) -> float:
        """The logit at which an attribute is there; minus that, at which it is not."""

    def logits(self, at: Tensor, like: Code, names: Sequence[str]) -> Tensor:
        """Return logits [B, K] of attributes, with gradients by the coordinates.

        Args:
            at: coordinates, [B, D] float64.
            like: codes, for what is no coordinate; see `Space.code`.
            names: K attributes.
        """


@dataclass(frozen=True)
class JudgeGuide:
    """A judge, followed through a generator: its gradient also finds what pleases that judge alone.

    Attributes:
        model: a generator with gradients.
        reads: the judge's logits; `logits_of(judge)`.
        schema: of the logits.
        goal: see `Guide`.
    """

    model: Model
    reads: Reads
    schema: Schema
    goal: float = GOAL

    def logits(self, at: Tensor, like: Code, names: Sequence[str]) -> Tensor:
        """Return what the judge says of the pictures at coordinates; see `Guide`."""
        moved = Space.of(self.model).code(at, like, self.model.schema.fill_value)
        images = with_gradient(self.model).generate(moved.z, moved.attributes)
        return self.reads(images)[:, [self._column(name) for name in names]]

    def _column(self, name: str) -> int:
        columns = self.schema.column_names
        return columns.index(name) if name in columns else self.schema.columns(name).start


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
        "gives none; follow the curved axes, or take the straight ones"
    )


def logits_of(judge: Judge) -> Reads:
    """Return what a judge says before any temperature, with gradients."""

    def read(images: Tensor) -> Tensor:
        logits: Tensor = judge.network(images.to(memory_format=torch.channels_last))[0]
        return logits

    return read


def follow(
    model: Model,
    guide: Guide,
    code: Code,
    changes: Mapping[str, float],
    *,
    locks: Sequence[str] = (),
    steps: int = STEPS,
) -> list[Code]:
    """Go from codes to where the wished attributes lie, the locked ones held to first order at every step.

    At step k of n every wished logit is to go 1 / (n - k) of what it still has before it. With J the gradients of
    wished and locked logits, the move is the shortest one d with J d = (those wishes, what the locked ones strayed),
    no longer than one standard deviation.

    Args:
        model: the generator.
        guide: who is followed.
        code: B rows.
        changes: attribute -> strength; above 0 it is to be there (the guide's goal), below 0 not; its size is the share
            of the way from where it is.
        locks: attributes that are to stay.
        steps: n.

    Returns:
        The codes of the way, n + 1 of them; the first is `code`.
    """
    space, blank = Space.of(model), model.schema.fill_value
    names = [*changes, *[name for name in locks if name not in changes]]
    here = space.coordinates(code, blank)
    way, goals = [code], None
    for step in range(steps):
        logits, gradients = _slopes(guide, here, code, names)
        if goals is None:
            # Locked logits come back to where they began: what a step left of them the next one mends.
            goals = logits.clone()
            for place, strength in enumerate(changes.values()):
                sign = 1 if strength > 0 else -1
                ahead = (sign * guide.goal - logits[:, place]) * sign
                goals[:, place] += ahead.clamp(min=0) * strength
        share = torch.ones(len(names), dtype=torch.float64)
        share[: len(changes)] = 1 / (steps - step)
        here = here + shortest_step(gradients, (goals - logits) * share)
        way.append(space.code(here, code, blank))
    return way


def _slopes(guide: Guide, here: Tensor, like: Code, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the logits [B, K] and their gradients by the coordinates [B, K, D]."""
    with torch.enable_grad():
        at = here.detach().requires_grad_()
        logits = guide.logits(at, like, names)
        rows = [
            torch.autograd.grad(logits[:, place].sum(), at, retain_graph=place < len(names) - 1)[0]
            for place in range(len(names))
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
