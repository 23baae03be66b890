"""The guard: notices that a run has gone wrong, and says in plain words what it saw."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

COLLAPSED = 0.1  # spread of samples, as a share of that of real images, under which they are all alike
DEAD_LINES = 40  # log lines in a row with a discriminator that is never wrong, or never right
RETURNS = 3


@dataclass
class Guard:
    """Reads the averaged values of each log line.

    NaN or infinity is fatal at once. A collapsed sampler (all samples nearly the same picture) or a dead
    discriminator (always right, or always wrong, for forty lines) is given time: it must last.

    Attributes:
        returns: how often the run has gone back to a checkpoint.
        rate_scale: what the learning rates are multiplied by since.
        collapsed_lines, dead_lines: lines in a row in which the samples were alike, or the discriminator sure.
        good: the clock of the newest checkpoint that was written without any doubt; what lasts is noticed late, when
            newer checkpoints have it too.
    """

    returns: int = 0
    rate_scale: float = 1.0
    collapsed_lines: int = 0
    dead_lines: int = 0
    good: int = 0

    def sees(self, values: Mapping[str, float], images_seen: int) -> str | None:
        """Return what is wrong, as a sentence, or None.

        Args:
            values: averages since the last line.
            images_seen: the clock.
        """
        for name, value in values.items():
            if not math.isfinite(value) and not (name.endswith("accuracy") and math.isnan(value)):
                return f"at {images_seen:,} images the value of {name} was {value}: the numbers have blown up"
        spread = values.get("sample_spread", 1.0)
        self.collapsed_lines = self.collapsed_lines + 1 if spread < COLLAPSED else 0
        if self.collapsed_lines >= DEAD_LINES // 2:
            return (
                f"at {images_seen:,} images the samples had been nearly the same picture for "
                f"{self.collapsed_lines} lines "
                f"of the log (their spread is {spread:.0%} of that of real images): the sampler has collapsed"
            )
        if "d_real_right" in values and "d_sample_right" in values:
            sure = min(values["d_real_right"], values["d_sample_right"])
            best = max(values["d_real_right"], values["d_sample_right"])
            stuck = values["d_real_right"] in (0.0, 1.0) and values["d_sample_right"] == 1 - values["d_real_right"]
            self.dead_lines = self.dead_lines + 1 if sure == 1.0 or best == 0.0 or stuck else 0
            if self.dead_lines >= DEAD_LINES:
                return (
                    f"at {images_seen:,} images the discriminator had told "
                    f"{values['d_real_right']:.0%} of the real images and "
                    f"{values['d_sample_right']:.0%} of the samples rightly for {self.dead_lines} lines of the log: "
                    "it teaches the generator nothing any more"
                )
        return None

    def inspects(self, state: Mapping[str, Any], images_seen: int) -> str | None:
        """Return what is wrong with a state that is about to become a checkpoint, as a sentence, or None.

        Args:
            state: tensors and plain values, nested.
            images_seen: the clock.
        """
        for name, tensor in tensors_in(state):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return f"at {images_seen:,} images {name} held NaN or infinity: the numbers have blown up"
        return None

    def saves(self, images_seen: int) -> None:
        """Take note of a checkpoint that is written now."""
        if self.collapsed_lines == self.dead_lines == 0:
            self.good = images_seen

    def go_back(self) -> bool:
        """Count a return to the last good checkpoint with halved learning rates; False when it was one too many."""
        self.returns += 1
        self.rate_scale *= 0.5
        self.collapsed_lines, self.dead_lines = 0, 0
        return self.returns <= RETURNS


def tensors_in(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield (dotted name, tensor) of everything inside mappings and lists."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, Mapping):
        for key, part in state.items():
            yield from tensors_in(part, f"{name}.{key}" if name else str(key))
    elif isinstance(state, list | tuple):
        for place, part in enumerate(state):
            yield from tensors_in(part, f"{name}.{place}")
