"""The one training loop of judges and identity encoders: AdamW, one cycle, the best of several held-out looks."""

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from attrimorph.console import DeferredSignal, Interrupted, defer_signals
from attrimorph.data import Schema
from attrimorph.data.loader import Augment
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.files import load_unfinished, save_unfinished

BATCH = 256  # images a step where nothing is learned
LOOKS = 6  # at the held-out images, over the last half of the training
REPORT = 20  # steps between two reports of progress

Network = TypeVar("Network", bound=nn.Module)
Read = Callable[[Tensor], Tensor]
Progress = Callable[[int, int, Mapping[str, float]], None]
Keep = tuple[Path, Mapping[str, Any]]


@dataclass(frozen=True)
class Fitting:
    """How a network is trained.

    Attributes:
        images_seen: images seen in all, repetitions counted.
        batch_size: images a step.
        learning_rate: the highest; one cycle, AdamW.
        weight_decay: of AdamW.
        seed: of weights, order and augmentation.
        precision: "float32", or "bfloat16" for autocast, where the processor has it.
    """

    images_seen: int
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("images_seen", "batch_size"):
            if getattr(self, name) < 1:
                raise AttrimorphError(f"{name} must be at least 1; got {getattr(self, name)}; leave it out")


@dataclass(frozen=True)
class Labelled:
    """Images and what there is to tell of them.

    Attributes:
        read: rows [B] -> images [B, 3, S, S] in [-1, 1].
        labels: [N, ...].
        words: what they are, for the names of figures.
        half: so many first ones make up one half of every batch; None: each comes as often as any other.
    """

    read: Read
    labels: Tensor
    words: str = ""
    half: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor, words: str = "") -> "Labelled":
        """Return some of them."""
        return Labelled(lambda chosen: self.read(rows[chosen]), self.labels[rows], words)

    @torch.no_grad()
    def through(self, call: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what is made of all of them, [N, ...], called with one batch after another."""
        return torch.cat([call(self.read(rows)) for rows in torch.split(torch.arange(len(self)), BATCH)])


def of_bytes(images: Tensor, labels: Tensor, words: str = "", half: int | None = None) -> Labelled:
    """Return labelled images that are held in memory, uint8 [N, 3, S, S]."""
    return Labelled(lambda rows: from_bytes(images[rows]), labels, words, half)


def rows_of(data: PreparedData, chosen: np.ndarray[Any, Any], labels: Tensor, words: str = "") -> Labelled:
    """Return the images of `chosen` rows of prepared data, read when they are wanted."""

    def read(rows: Tensor) -> Tensor:
        # A memory map is read forwards.
        places, back = np.unique(chosen[rows.numpy()], return_inverse=True)
        return from_bytes(torch.from_numpy(data.images[places][back]).permute(0, 3, 1, 2))

    return Labelled(read, labels, words)


def fit(
    build: Callable[[], Network],
    images: Labelled,
    loss: Callable[[Network, Tensor, Tensor], Tensor],
    fitting: Fitting,
    *,
    augment: Augment | None = None,
    look: Callable[[Network], float] | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Network:
    """Build a network, train it, and return it in eval mode, with the weights that looked best.

    Args:
        build: makes it; its weights and its dropout come from the seed, and torch's own randomness stays as it was.
        images: to learn from.
        loss: (network, images, labels) of a batch -> scalar.
        fitting: amounts, rates, seed.
        augment: how every batch is varied, or None.
        look: held-out loss of the network as it stands, in eval mode; None = keep the last weights.
        progress: called with (images seen, images in all, figures).
        keep: the file that will come of it, and plain values that tell this training from another of that file: a
            signal keeps beside the file how far this came, and this goes on from there.

    Raises:
        Interrupted: a signal ended it, and `keep` was given.
    """
    generator = torch.Generator().manual_seed(fitting.seed)
    steps = math.ceil(fitting.images_seen / fitting.batch_size)
    looks = {round(steps * (0.5 + 0.5 * part / LOOKS)) for part in range(1, LOOKS + 1)} if look else set()
    half = images.half or len(images)
    edges = [0, half, len(images)] if half < len(images) else [0, half]
    orders = [Order(start, end, generator) for start, end in pairwise(edges)]
    first, least, best, total, figures = 1, math.inf, None, 0.0, dict[str, float]()
    signalled = nullcontext(DeferredSignal()) if keep is None else defer_signals()
    with torch.random.fork_rng(devices=[]), signalled as signals:
        torch.manual_seed(fitting.seed)
        network = channels_last(build()).train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, fitting.learning_rate, total_steps=max(2, steps), pct_start=0.15
        )
        learning: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": schedule}
        if keep is not None:
            result, words = keep
            amounts = {each.name: getattr(fitting, each.name) for each in fields(Fitting)}
            key = {**amounts, "augment": augment and asdict(augment), "half": images.half, **words}
            if (known := load_unfinished(result, key)) is not None:
                for name, part in learning.items():
                    part.load_state_dict(known[name])
                generator.set_state(known["generator"])
                torch.set_rng_state(known["dropout"])
                for order, rows in zip(orders, known["orders"], strict=True):
                    order.rows = rows
                least, best, total, figures = (known[name] for name in ("least", "best", "total", "figures"))
                first = known["step"]
                if progress is not None:
                    progress((first - 1) * fitting.batch_size, fitting.images_seen, figures)
        for step in range(first, steps + 1):
            rows = torch.cat([order.take(fitting.batch_size // len(orders)) for order in orders])
            if len(orders) > 1:
                rows = rows[torch.randperm(len(rows), generator=generator)]  # `worn` changes the first half of a batch
            batch = images.read(rows)
            if augment is not None:
                batch, _ = augment(batch, None, generator)
            batch = worn(batch, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=fitting.precision == "bfloat16"):
                value = loss(network, batch, images.labels[rows])
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += float(value.detach())
            if look is not None and step in looks:
                figures["held-out loss"] = found = look(network.eval())
                network.train()
                if found < least:
                    least, best = found, copy.deepcopy(network.state_dict())
            if step % REPORT == 0 or step == steps:
                figures["loss"], total = total / ((step - 1) % REPORT + 1), 0.0
                if progress is not None:
                    progress(min(step * fitting.batch_size, fitting.images_seen), fitting.images_seen, figures)
            if signals.number and keep is not None:
                state = {name: part.state_dict() for name, part in learning.items()}
                state |= {
                    "generator": generator.get_state(), "dropout": torch.get_rng_state(),
                    "orders": [order.rows for order in orders], "step": step + 1,
                    "least": least, "best": best, "total": total, "figures": figures,
                }  # fmt: skip
                done, path = step * fitting.batch_size, save_unfinished(result, key, state)
                kept = f"what was learned from {done:,} of {fitting.images_seen:,} images is kept in {path}"
                raise Interrupted(signals.number, kept)
    if best is not None:
        network.load_state_dict(best)
    return network.eval()


class Order:
    """Rows in random order, again and again: none comes again before all came."""

    def __init__(self, first: int, end: int, generator: torch.Generator) -> None:
        self.first, self.end, self.generator = first, end, generator
        self.rows = torch.empty(0, dtype=torch.long)

    def take(self, count: int) -> Tensor:
        """Return the next rows, int64 [count]."""
        while len(self.rows) < count:
            more = self.first + torch.randperm(self.end - self.first, generator=self.generator)
            self.rows = torch.cat([self.rows, more])
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken


def photographs(schema: Schema) -> Augment:
    """Return the variation for photographs; no flip where an attribute tells left from right."""
    variation = Augment(shift=0.06, flip=0.5, colour=0.15)
    try:
        variation.check(schema)
    except AttrimorphError:
        return replace(variation, flip=0.0)
    return variation


def worn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Make one half of a batch look generated: soft (shrunk and enlarged), faded, noisy; the other half stays.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        generator: the only source of randomness.
    """
    half = len(images) // 2
    part, rest = images[:half], images[half:]
    soft = interpolate(avg_pool2d(part, 2), scale_factor=2, mode="bilinear", align_corners=False)
    share = torch.rand(half, 1, 1, 1, generator=generator)
    part = torch.lerp(part, soft, share)
    gain = 0.85 + 0.3 * torch.rand(half, 1, 1, 1, generator=generator)
    shift = 0.1 * torch.randn(half, 3, 1, 1, generator=generator)
    noise = 0.04 * torch.rand(half, 1, 1, 1, generator=generator)
    part = part * gain + shift + noise * torch.randn(part.shape, generator=generator)
    return torch.cat([part.clamp(-1, 1), rest]).contiguous(memory_format=torch.channels_last)


def from_bytes(images: Tensor) -> Tensor:
    """Turn uint8 into float32 in [-1, 1], channels last."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 127.5).sub_(1)


def channels_last(network: Network) -> Network:
    """Lay a network's weights out as its images are."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
