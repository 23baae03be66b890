"""Curved axes: a small network from codes to what a judge says, learned from the judged codes, and followed.

A straight axis is one direction for all codes. A judge's own gradient through the generator differs from code to code,
but also finds what pleases that judge alone. A network that saw codes and verdicts only can do neither harm: it is as
smooth as it has to be, needs no gradient through the generator, and tells for each code where an attribute lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attrimorph.applications.axes.fitting import Judged
from attrimorph.applications.axes.path import STEPS, shortest_step
from attrimorph.applications.axes.space import Space
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.models import Code, Model

HIDDEN, DROPOUT = 256, 0.2
EPOCHS, BATCH, RATE, DECAY = 24, 256, 2e-3, 0.05
EDGE = 5.0  # logits are clipped to -5..5: beyond, a judge is merely sure
GOAL = 2.5  # a logit a little beyond that of 0.9: a network predicts something nearer to the mean than what is seen
HELD_OUT = 0.05  # of the codes, to tell how well it predicts


@dataclass(frozen=True)
class Curved:
    """A network from coordinates [B, D] to logits [B, A].

    Attributes:
        network: in float64, in eval mode.
        names: A attributes.
        told: share of the variance of held-out logits that it tells, mean over the attributes.
    """

    network: nn.Module
    names: tuple[str, ...]
    told: float

    def column(self, name: str) -> int:
        """Return the place of an attribute.

        Raises:
            AttrimorphError: it was never judged.
        """
        if name not in self.names:
            raise AttrimorphError(f"there is no curved axis {name!r}; {suggestion(name, self.names)}")
        return self.names.index(name)


def fit_curved(judged: Judged, *, seed: int = 0) -> Curved:
    """Teach a network what was said of drawn codes.

    Args:
        judged: codes and verdicts; columns without an answer everywhere are refused.
        seed: of its weights and of the order of the codes.
    """
    x = judged.coordinates.float()
    said = judged.said.float()
    if bool(said.isnan().any()):
        raise AttrimorphError("a curved axis needs a verdict on every code; some are missing; fit with a judge")
    y = said.clamp(1e-6, 1 - 1e-6).logit().clamp(-EDGE, EDGE)
    held = max(2, round(HELD_OUT * len(x)))
    count = len(x) - held
    if count < BATCH:
        raise AttrimorphError(f"a curved axis needs at least {BATCH + held} judged codes; got {len(x)}; draw more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, y.shape[1]),
        )  # fmt: skip
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        steps = count // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * steps)
        for _ in range(EPOCHS):
            for rows in torch.randperm(count)[: steps * BATCH].view(steps, BATCH):
                optimiser.zero_grad()
                (network(x[rows]) - y[rows]).square().mean().backward()
                optimiser.step()
                schedule.step()
    network.eval().requires_grad_(False)
    off, spread = (network(x[count:]) - y[count:]).square().mean(0), y[count:].var(0).clamp(min=1e-9)
    return Curved(network.double(), judged.names, float((1 - off / spread).mean()))


def follow_curved(
    model: Model,
    curved: Curved,
    code: Code,
    changes: Mapping[str, float],
    *,
    locks: Sequence[str] = (),
    steps: int = STEPS,
) -> list[Code]:
    """Go where the network says that the wished attributes lie, the locked ones held to first order at every step.

    Arguments and result as of `path.follow`; no gradient passes through the generator.
    """
    space, blank = Space.of(model), model.schema.blank
    names = [*changes, *[name for name in locks if name not in changes]]
    columns = [curved.column(name) for name in names]
    here = space.coordinates(code, blank)
    way, goals = [code], None
    for step in range(steps):
        logits, gradients = _gradients(curved.network, here, columns)
        if goals is None:
            goals = logits.clone()
            for place, strength in enumerate(changes.values()):
                sign = 1.0 if strength > 0 else -1.0
                goals[:, place] += ((sign * GOAL - logits[:, place]) * sign).clamp(min=0) * strength
        share = torch.ones(len(names), dtype=torch.float64)
        share[: len(changes)] = 1 / (steps - step)
        here = here + shortest_step(gradients, (goals - logits) * share)
        way.append(space.code(here, code, blank))
    return way


def _gradients(network: nn.Module, here: Tensor, columns: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the chosen logits [B, K] and their gradients by the coordinates [B, K, D]."""
    with torch.enable_grad():
        at = here.detach().requires_grad_()
        logits = network(at)[:, columns]
        rows = [torch.autograd.grad(logits[:, place].sum(), at, retain_graph=True)[0] for place in range(len(columns))]
    return logits.detach(), torch.stack(rows, 1)
