"""What the trainer knows of a method: its networks, their optimisers, one step, and its state."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from attrimorph.data.loader import Batch


class Algorithm(Protocol):
    """A method that the trainer can run.

    Attributes:
        networks: name -> network.
        optimisers: name -> optimiser; the trainer sets their learning rates.
        kept: the networks whose averages make up the model.
    """

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    @property
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model."""

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; chance comes from the CPU generator alone; return values for the log, without gradient."""

    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """Return what a model carries beside its averaged networks, found from a few training batches."""

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
