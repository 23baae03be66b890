"""the attribute score: how much an attribute holds in a picture, on a scale from 0 to 1."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.evaluators.attributes import Judges
from attrimorph.evaluators.judge import Judge

CLIPPED = 4.0  # logits


@dataclass(frozen=True)
class AttributeScore:
    """How much each attribute holds, 0..1, as a judge sees it.

    A judge of drawn faces tells the degree itself. Of any other the logits are taken, cut off and scaled: its
    probabilities jump where the evidence grows evenly.

    Attributes:
        judge: whose.
    """

    judge: Judges

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        if isinstance(self.judge, Judge) and self.judge.network.degrees:
            return f"degrees of {self.judge.name}"
        return f"logits of {self.judge.name}, cut at {CLIPPED:g}"

    def __call__(self, images: Tensor, name: str) -> Tensor:
        """Return how much the attribute holds in images [B, 3, S, S] in [-1, 1], float64 [B] in 0..1."""
        column = self.judge.schema.columns(name).start
        if isinstance(self.judge, Judge) and self.judge.network.degrees:
            return self.judge.degrees(images)[:, column].double().cpu()
        logits = self.judge(images)[:, column].double().cpu().logit()
        return logits.clamp(-CLIPPED, CLIPPED) / (2 * CLIPPED) + 0.5


def isotonic(values: Tensor) -> Tensor:
    """Return the never falling sequence nearest to `values` in squares: pool adjacent violators (Ayer et al. 1955).

    Args:
        values: float64 [P].
    """
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, count = value, 1
        while blocks and blocks[-1][0] >= mean:
            other, others = blocks.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        blocks.append((mean, count))
    return torch.cat([torch.full((count,), mean, dtype=torch.float64) for mean, count in blocks])


Gauge = AttributeScore  # its name before
