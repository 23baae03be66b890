"""What every method shares: networks, optimisers, one step, state; and how all of it is made of a recipe."""

import os
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.recipe import AnyRecipe


class Algorithm(ABC):
    """A method that the trainer can run.

    Args:
        recipe: the run; a method's own weights and sizes stand in it.
        schema: of the data.
        networks: by name.
        optimisers: by name; the trainer sets their learning rates.
        varies: bool [W], the columns of y that have more than one value in the data: what never varies cannot be
            learned, and no edit in training asks for it. None for all.
        autocast: dtype of the networks' arithmetic; None for float32.
        reduce_gradients: averages gradients over processes; called after the backward passes.

    Attributes:
        critics: the networks whose optimisers have a learning rate of their own, the recipe's `discriminator_rate`.
        remembers: attributes that a resumed run needs beside weights and optimisers; see `saved`.
        own: the parts of its state that each of several processes has by itself.
        joint: whether the draws of a step are for the joint batch of all processes, by `drawn`: then how many there
            are changes no picture's chance. Else every process draws from a stream of its own.
        device: where the networks live.
        blocks, fill_value: of the schema.
    """

    critics: ClassVar[tuple[str, ...]] = ("discriminator",)
    remembers: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[tuple[str, ...]] = ()
    joint: ClassVar[bool] = False

    def __init__(
        self,
        recipe: Any,
        schema: Schema,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        *,
        varies: Tensor | None = None,
        autocast: torch.dtype | None = None,
        reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
    ) -> None:
        self.networks, self.optimisers = dict(networks), dict(optimisers)
        self.autocast, self.reduce_gradients = autocast, reduce_gradients
        self.device = next(next(iter(self.networks.values())).parameters()).device
        self.blocks, self.fill_value = schema.blocks, schema.fill_value.to(self.device)
        varies = torch.ones(schema.width, dtype=torch.bool) if varies is None else varies
        self.varies = varies.to(self.device)
        self.weights: dict[str, Any] = recipe.losses.model_dump()

    @classmethod
    def build(
        cls,
        recipe: Any,
        schema: Schema,
        *,
        device: str = "cpu",
        layout: torch.memory_format = torch.contiguous_format,
        **options: Any,
    ) -> Self:
        """Return the method with fresh weights drawn from the recipe's seed.

        Args:
            recipe: the run.
            schema: of the data.
            device: where the networks live.
            layout: their memory format.
            options: `varies`, `autocast` and `reduce_gradients`.

        Raises:
            AttrimorphError: the recipe does not fit the data, or its sizes do not go together.
        """
        compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if recipe.training.compile and shutil.which(shlex.split(compiler)[0]) is None:
            raise AttrimorphError(
                f"training.compile needs a C++ compiler; {compiler} was not found; install it, name another with "
                "CXX, or leave training.compile false"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            networks = cls.fresh(recipe, schema)
        for network in networks.values():
            network.to(device, memory_format=layout).train()  # type: ignore[call-overload]
            if recipe.training.compile:
                network.compile()
        return cls(recipe, schema, networks, cls.optimisers_of(recipe, networks), **options)

    @staticmethod
    @abstractmethod
    def fresh(recipe: Any, schema: Schema) -> dict[str, nn.Module]:
        """Return the networks that learn, with fresh weights from torch's own generator."""

    @classmethod
    def optimisers_of(cls, recipe: Any, networks: Mapping[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
        """Return an Adam for each network."""
        return {name: cls.adam(recipe, networks, name) for name in networks}

    @classmethod
    def adam(
        cls, recipe: AnyRecipe, networks: Mapping[str, nn.Module], *names: str, **options: Any
    ) -> torch.optim.Optimizer:
        """Return one Adam for the named networks.

        Args:
            recipe: whose rates and decays it has.
            networks: by name.
            names: of those that learn by it.
            options: of torch's Adam, in place of the recipe's.
        """
        decays = recipe.optimiser.beta1, recipe.optimiser.beta2
        return torch.optim.Adam(
            [parameter for name in names for parameter in networks[name].parameters()],
            lr=cls.rate(recipe, *names),
            **{"betas": decays, "fused": True, **options},
        )

    @classmethod
    def rate(cls, recipe: AnyRecipe, *names: str) -> float:
        """Return the learning rate of networks: that of critics, where they are nothing else and have their own."""
        own = recipe.optimiser.discriminator_rate if {*names} <= {*cls.critics} else None
        return recipe.optimiser.learning_rate if own is None else own

    @staticmethod
    def rows(recipe: Any, data: PreparedData) -> NDArray[np.int64]:
        """Return the rows of the data to learn from, [N]; [N, 2] where pairs stay together.

        Raises:
            AttrimorphError: the data have not what the recipe learns from.
        """
        return data.indices("train")

    @property
    @abstractmethod
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model."""

    @abstractmethod
    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step.

        Args:
            batch: its images [B, 3, S, S] in [-1, 1] and attributes [B, W], NaN where unknown.
            generator: a CPU generator, the only source of chance.

        Returns:
            Values of the losses, unweighted, and a few gauges, as tensors without gradient: reading one waits for the
            device.
        """

    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """Return what a model carries beside its averaged networks, found from a few training batches."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            **{name: saved(getattr(self, name)) for name in self.remembers},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name in self.remembers:
            setattr(self, name, restored(getattr(self, name), state[name]))

    def arithmetic(self) -> torch.autocast:
        """The networks' arithmetic, as a context."""
        enabled = self.autocast is not None
        return torch.autocast(self.device.type, self.autocast or torch.bfloat16, enabled=enabled)

    def parameters(self, *names: str) -> list[nn.Parameter]:
        """Return the parameters of the named networks."""
        return [parameter for name in names for parameter in self.networks[name].parameters()]

    def blanked(self, y: Tensor) -> Tensor:
        """Return attributes with the missing ones (NaN) blanked."""
        return torch.where(torch.isnan(y), self.fill_value, y)

    def forget_gradients(self) -> None:
        """Zero the gradients of all that learns."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()

    def update(self, *names: str, by: Callable[[str], str] = str) -> None:
        """Average the gradients over processes, and let optimisers step: those of the named networks, or all.

        Args:
            names: of networks that have an optimiser each.
            by: a network's name -> that of its optimiser.
        """
        if self.reduce_gradients:
            self.reduce_gradients(self.parameters(*(names or self.networks)))
        for name in map(by, names) if names else self.optimisers:
            self.optimisers[name].step()


def saved(part: Any) -> Any:
    """Return what an algorithm remembers as plain values: its `state` where it has one, one by one in a dictionary."""
    if isinstance(part, dict):
        return {key: saved(each) for key, each in part.items()}
    return part.state() if hasattr(part, "state") else part


def restored(part: Any, state: Any) -> Any:
    """Return a part as it was when `saved` gave this."""
    if isinstance(part, dict):
        return {key: restored(each, state[key]) for key, each in part.items()}
    if not hasattr(part, "load_state"):
        return state
    part.load_state(state)
    return part


def world() -> int:
    """How many processes take the step together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def drawn(draw: Callable[..., Tensor], count: int, *size: int, generator: torch.Generator) -> Tensor:
    """Return what is drawn for this process's rows of the joint batch, which the processes take in turn.

    Args:
        draw: torch.rand, torch.randn.
        count: rows of each process.
        size: of a row.
        generator: the same in every process.
    """
    if not dist.is_initialized():
        return draw(count, *size, generator=generator)
    return draw(world() * count, *size, generator=generator)[dist.get_rank() :: world()]


def shuffled(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return labels [B, W] in a random order of the joint batch of all processes; the generator is the same in all."""
    if not dist.is_initialized():
        return labels[torch.randperm(len(labels), generator=generator).to(labels.device)]
    every = [torch.empty_like(labels) for _ in range(world())]
    dist.all_gather(every, labels.contiguous())
    order = torch.randperm(world() * len(labels), generator=generator).to(labels.device)
    return torch.stack(every, 1).flatten(0, 1)[order][dist.get_rank() :: world()]


@contextmanager
def seeded(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let dropout draw from a stream that the CPU generator alone decides, and leave torch's own as it was."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def keeping_averages(network: nn.Module) -> Iterator[None]:
    """Let batch norm use a batch's own statistics and leave its running averages alone: for made images.

    The averages, which stand in for a batch at test time, are those of real images.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def marginals(labels: Tensor) -> Tensor:
    """Return the known labels' means over the joint batch of all processes, for every row, [B, W]: a blind guess.

    NaN where no image of the batch has the label: such a column is masked like any missing one.
    """
    known = ~torch.isnan(labels)
    sums = torch.stack([torch.where(known, labels, 0).sum(0), known.sum(0).to(labels.dtype)])
    if dist.is_initialized():
        dist.all_reduce(sums)
    return (sums[0] / sums[1]).expand_as(labels)


def flip_some(y: Tensor, chance: Tensor, mutually_exclusive: Tensor, binary: Tensor) -> Tensor:
    """Return y with one to three binary columns flipped a row; a raised one lowers its rivals.

    Args:
        y: [B, W] without NaN; chance: uniform [B, W], the source of the choice.
        mutually_exclusive: bool [W, W]; binary: bool [W], the columns that may flip.
    """
    if not y.shape[1]:
        return y
    score = torch.where(binary, chance, -1.0)
    # The count of flips comes from the same numbers: the largest score's third decimal is as good as a new draw.
    count = (score.amax(1) * 1000).long() % 3
    chosen = score.topk(min(3, y.shape[1]), dim=1).indices
    before, y = y, y.clone()
    rows = torch.arange(len(y), device=y.device)
    for place in range(chosen.shape[1]):
        column = chosen[:, place]
        active = (count >= place) & binary[column]
        value = torch.where(active, (before[rows, column] < 0.5).to(y.dtype), y[rows, column])
        raised = active & (value > 0.5)
        y = torch.where(mutually_exclusive[column] & raised[:, None], 0.0, y)
        y[rows, column] = value
    return y


def spread(images: Tensor) -> Tensor:
    """The mean over pixels of the standard deviation over the batch (`std` over the first dimension is slow)."""
    return ((images - images.mean(0)).square().sum(0) / max(len(images) - 1, 1)).sqrt().mean()


@torch.no_grad()
def mean_psnr(images: Tensor, pictures: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB, averaged over images in [-1, 1]."""
    error = (images - pictures).square().mean((1, 2, 3)) / 4
    return -10 * torch.log10(error.clamp_min(1e-10)).mean()
