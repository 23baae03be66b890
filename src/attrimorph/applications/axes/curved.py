"""Curved axes: a small network from codes to what a judge says, learned from the judged codes, to be followed.

A straight axis is one direction for all codes. A judge's own gradient through the generator differs from code to code,
but also finds what pleases that judge alone. A network that saw codes and verdicts only can do neither harm: it is as
smooth as it has to be, needs no gradient through the generator, and tells for each code where an attribute lies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.models.model import Code

HIDDEN, DROPOUT = 256, 0.2
EPOCHS, BATCH, RATE, DECAY = 24, 256, 2e-3, 0.05
EDGE = 5.0  # logits are clipped to -5..5: beyond, a judge is merely sure
GOAL = 2.5  # a logit a little beyond that of 0.9: a network predicts something nearer to the mean than what is seen
HELD_OUT = 0.05  # of the codes, to tell how well it predicts
LEAST = 270  # codes: a batch is left to learn from


@dataclass(frozen=True)
class Curved:
    """A network from coordinates to logits, a guide that `trajectory.follow` takes.

    Attributes:
        names: A attributes.
        layers: weight [O, I] and bias [O] of each, float64; SiLU between them.
        explained: share of the variance of held-out logits that it tells, mean over the attributes.
        goal: see `trajectory.Guide`.
    """

    names: tuple[str, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]
    explained: float
    goal: float = GOAL

    def __call__(self, at: Tensor) -> Tensor:
        """Return the logits [B, A] at coordinates [B, D]."""
        for weight, bias in self.layers[:-1]:
            at = silu(at @ weight.T + bias)
        weight, bias = self.layers[-1]
        return at @ weight.T + bias

    def logits(self, at: Tensor, like: Code, names: Sequence[str]) -> Tensor:
        """Return the logits of some attributes; see `trajectory.Guide`.

        Raises:
            AttrimorphError: one of them was never judged.
        """
        for name in names:
            if name not in self.names:
                raise AttrimorphError(
                    f"there is no curved axis {name!r}; {suggestion(name, self.names)} (`attrimorph axes fit` makes "
                    "curved axes, `axes add` straight ones alone)"
                )
        return self(at)[:, [self.names.index(name) for name in names]]

    def without(self, name: str) -> "Curved":
        """Return it without one attribute, or as it is where it does not know that."""
        kept = [place for place, each in enumerate(self.names) if each != name]
        weight, bias = self.layers[-1]
        last = (weight[kept], bias[kept])
        return replace(self, names=tuple(self.names[place] for place in kept), layers=(*self.layers[:-1], last))


def fit_curved(
    coordinates: Tensor,
    probabilities: Tensor,
    names: Sequence[str],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Curved:
    """Teach a network what was said of drawn codes.

    Args:
        coordinates: of the codes, [N, D].
        probabilities: [N, A].
        names: A attributes.
        seed: of its weights and of the order of the codes.
        progress: called with (epochs done, epochs).

    Raises:
        AttrimorphError: a verdict is missing (NaN), or there are too few codes.
    """
    if bool(probabilities.isnan().any()):
        raise AttrimorphError("a curved axis needs a verdict on every code; some are missing; fit with a judge")
    if len(coordinates) < LEAST:
        raise AttrimorphError(f"a curved axis needs at least {LEAST} judged codes; got {len(coordinates)}; draw more")
    x, y = coordinates.float(), probabilities.float().clamp(1e-6, 1 - 1e-6).logit().clamp(-EDGE, EDGE)
    count = len(x) - round(HELD_OUT * len(x))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, y.shape[1]),
        )  # fmt: skip
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        steps = count // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * steps)
        for epoch in range(EPOCHS):
            for rows in torch.randperm(count)[: steps * BATCH].view(steps, BATCH):
                optimiser.zero_grad()
                (network(x[rows]) - y[rows]).square().mean().backward()
                optimiser.step()
                schedule.step()
            if progress is not None:
                progress(epoch + 1, EPOCHS)
    layers = tuple(
        (each.weight.detach().double(), each.bias.detach().double()) for each in network if isinstance(each, nn.Linear)
    )
    curved = Curved(tuple(names), layers, 0.0)
    off = (curved(x[count:].double()) - y[count:]).square().mean(0)
    return replace(curved, explained=float((1 - off / y[count:].var(0).clamp(min=1e-9)).mean()))
