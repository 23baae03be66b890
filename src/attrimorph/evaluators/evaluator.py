"""What judges and identity encoders share: their networks' trunk, how images go through, their files, the training."""

import copy
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from attrimorph.console import DeferredSignal, Interrupted, defer_signals
from attrimorph.data import Schema
from attrimorph.data.loader import Augment
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.files import (
    beside,
    load_unfinished,
    save_unfinished,
    tensor_file,
    tensors_changed,
    words_of,
    write_bytes,
)
from attrimorph.loading import exact_on
from attrimorph.models.batches import shared
from attrimorph.networks.convolutional import LARGEST, Stages, StridedTrunk

SHIPPED = Path(__file__).parents[1] / "shipped"

# (channels, kernel, stride) before the trunk proper, which goes down to 4x4; few channels where the image is large.
FIRST = {16: (), 32: ((24, 3, 1),), 64: ((24, 4, 2),), 128: ((16, 4, 2), (24, 4, 2))}
SIZES = (16, 32, 64, 128, 256, 512, 1024)


class TrunkNetwork(nn.Module):
    """A network over a trunk.

    Args:
        image_size: S, a power of two in 16..1024.
        stages: of the trunk; by default the first ones of that size, then `down` to 4x4.
        dropout: of the trunk's features, in training.
    """

    kind: ClassVar[str]
    down: ClassVar[Stages]
    shape: dict[str, Any]

    def __init__(self, image_size: int, stages: Stages, dropout: float) -> None:
        super().__init__()
        if image_size not in SIZES:
            raise AttrimorphError(
                f"a {self.kind}'s image_size must be a power of two in {SIZES[0]}..{SIZES[-1]}; got {image_size}; "
                "prepare the images at such a size"
            )
        self.stages = stages or (*FIRST[min(image_size, LARGEST)], *self.down)
        self.trunk = StridedTrunk(image_size, self.stages)
        self.dropout = nn.Dropout(dropout)


class Evaluator(ABC):
    """A trained network that looks at images: a dataclass of plain values, which its file has too, and the network.

    Attributes:
        kind: "judge" or "recogniser", as formats and files call them.
        versions: of the format that are read, the newest last.
    """

    kind: ClassVar[str]
    versions: ClassVar[tuple[str, ...]]
    name: str
    image_size: int
    network: Any

    @property
    def device(self) -> torch.device:
        """Where its network is: images go there, and what is made of them comes back to the CPU."""
        return next(self.network.parameters()).device  # type: ignore[no-any-return]

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """Yield batches of images on its device, laid out channels last.

        Raises:
            AttrimorphError: the images are not [B, 3, S, S].
        """
        size = self.image_size
        if images.dim() != 4 or images.shape[1:] != (3, size, size):
            raise AttrimorphError(
                f"{self.name} takes images [B, 3, {size}, {size}]; got {tuple(images.shape)}; resize them first"
            )
        for part in torch.split(images, BATCH):
            yield part.to(self.device, memory_format=torch.channels_last)

    @torch.no_grad()
    def through(self, call: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return what is made of images [B, 3, S, S], [B, ...] on the CPU, called with one batch after another."""
        return torch.cat(shared(lambda part: call(next(self.batches(part))), torch.split(images, BATCH)))

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the trunk's stages on the CPU, each [B, C, H, W], the finest first."""
        found = [[stage.cpu() for stage in self.network.trunk.maps(part)] for part in self.batches(images)]
        return [torch.cat(stage) for stage in zip(*found, strict=True)]

    def save(self, path: Path) -> None:
        """Write it as safetensors: weights in float16, everything else in the header."""
        words = {"format": f"attrimorph {self.kind}", "format_version": self.versions[-1], **self.network.shape}
        words |= {name: value for name, value in vars(self).items() if name != "network"}
        words = {name: value.to_json() if isinstance(value, Schema) else value for name, value in words.items()}
        write_bytes(path, tensor_file(halves(self.network), words))
        beside(path).unlink(missing_ok=True)

    @classmethod
    @abstractmethod
    def rebuilt(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Return those of the fields that are no plain values, with a fresh network, from the values of a header."""

    @classmethod
    def load(cls, source: str | Path, device: str = "cpu") -> Self:
        """Read one from a file, or the shipped one by the name of its data ("drawn-faces-64").

        Args:
            source: which.
            device: where it runs.

        Raises:
            AttrimorphError: there is none, or the file is damaged or something else.
        """
        exact_on(device)
        shipped = SHIPPED / f"{cls.kind}-{source}.safetensors"
        path = shipped if shipped.is_file() else Path(source)
        if not path.is_file():
            known = sorted(file.stem.removeprefix(f"{cls.kind}-") for file in SHIPPED.glob(f"{cls.kind}-*.safetensors"))
            raise AttrimorphError(
                f"there is no {cls.kind} {str(source)!r}; shipped are: {', '.join(known) or 'none'}; name one or a file"
            )
        try:
            with safe_open(path, framework="pt") as file:
                words = words_of(file.metadata() or {})
                # Format 1 of judges had the layers of the trunk without their name.
                tensors = {
                    re.sub(r"^trunk\.(?=\d)", "trunk.layers.", name): file.get_tensor(name).float()
                    for name in file.keys()  # noqa: SIM118
                }
            if words.get("format") == f"attrimorph {cls.kind}" and words.get("format_version") in cls.versions:
                if tensors_changed(path.read_bytes(), words):
                    raise ValueError("its weights are not those that were written")
                values = {each.name: words[each.name] for each in fields(cls) if each.name in words}  # type: ignore[arg-type]
                found = cls(**{**values, **cls.rebuilt(words)})
                fill(found.network, tensors)
                channels_last(found.network.eval().to(device))
                return found
        except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError, AttrimorphError) as error:
            raise AttrimorphError(f"the {cls.kind} {path} is damaged ({error}); train or fetch it again") from error
        raise AttrimorphError(f"{path} must be a {cls.kind} of format {cls.versions[-1]}; it is none; train one")


def halves(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state in float16, without the counters of batch norm."""
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put a state that `halves` returned back.

    Raises:
        KeyError, RuntimeError, ValueError: it does not fit, or holds what is no number.
    """
    network.load_state_dict(tensors, strict=False)
    if missing := [key for key in network.state_dict() if key not in tensors and "batches" not in key]:
        raise KeyError(missing[0])
    if odd := [key for key, value in tensors.items() if not value.isfinite().all()]:
        raise ValueError(f"{odd[0]} holds NaN or infinity")


# --- the one training loop: AdamW, one cycle, the best of several held-out looks

BATCH = 256  # images a step where nothing is learned
LOOKS = 6  # at the held-out images, over the last half of the training
REPORT = 20  # steps between two reports of progress

Network = TypeVar("Network", bound=nn.Module)
Read = Callable[[Tensor], Tensor]
Progress = Callable[[int, int, Mapping[str, float]], None]
Keep = tuple[Path, Mapping[str, Any]]


@dataclass(frozen=True)
class EvaluatorRecipe:
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
        device: where what looks at them runs.
    """

    read: Read
    labels: Tensor
    words: str = ""
    half: int | None = None
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor, words: str = "") -> "Labelled":
        """Return some of them."""
        return Labelled(lambda chosen: self.read(rows[chosen]), self.labels[rows], words, device=self.device)

    @torch.no_grad()
    def through(self, call: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what is made of all of them, [N, ...] on the CPU, called with one batch after another."""
        parts = torch.split(torch.arange(len(self)), BATCH)
        return torch.cat(shared(lambda rows: call(self.read(rows).to(self.device)), parts))


def batched(call: Callable[..., Tensor], *tensors: Tensor, size: int = BATCH) -> Tensor:
    """Call with `size` rows of equally long tensors at a time, and join what it returns on the CPU; see `shared`."""
    parts = [*zip(*(torch.split(each, size) for each in tensors), strict=True)]
    return torch.cat(shared(lambda part: call(*part), parts))


def of_bytes(images: Tensor, labels: Tensor, words: str = "", half: int | None = None) -> Labelled:
    """Return labelled images that are held in memory, uint8 [N, 3, S, S]."""
    return Labelled(lambda rows: from_bytes(images[rows]), labels, words, half)


def rows_of(
    data: PreparedData, chosen: np.ndarray[Any, Any], labels: Tensor, words: str = "", device: str = "cpu"
) -> Labelled:
    """Return the images of `chosen` rows of prepared data, read when they are wanted."""

    def read(rows: Tensor) -> Tensor:
        # A memory map is read forwards.
        places, back = np.unique(chosen[rows.numpy()], return_inverse=True)
        return from_bytes(torch.from_numpy(data.images[places][back]).permute(0, 3, 1, 2))

    return Labelled(read, labels, words, device=device)


def fit(
    build: Callable[[], Network],
    images: Labelled,
    loss: Callable[[Network, Tensor, Tensor], Tensor],
    fitting: EvaluatorRecipe,
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
    amounts = {each.name: getattr(fitting, each.name) for each in fields(EvaluatorRecipe)}
    key = {**amounts, "augment": augment and asdict(augment), "half": images.half, **(keep[1] if keep else {})}
    signalled = nullcontext(DeferredSignal()) if keep is None else defer_signals()
    with torch.random.fork_rng(devices=[]), signalled as signals:
        torch.manual_seed(fitting.seed)
        network = channels_last(build().to(images.device)).train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, fitting.learning_rate, total_steps=max(2, steps), pct_start=0.15
        )
        course = Course({"network": network, "optimiser": optimiser, "schedule": schedule}, generator, orders)

        def seen() -> int:
            return min(course.step * fitting.batch_size, fitting.images_seen)

        if keep is not None and (known := load_unfinished(keep[0], key)) is not None:
            course.restore(known)
            if progress is not None:
                progress(seen(), fitting.images_seen, course.figures)
        while course.step < steps:
            course.step += 1
            rows = torch.cat([order.take(fitting.batch_size // len(orders)) for order in orders])
            if len(orders) > 1:
                rows = rows[torch.randperm(len(rows), generator=generator)]  # `worn` changes the first half of a batch
            batch = images.read(rows).to(images.device)
            if augment is not None:
                batch, _ = augment(batch, None, generator)
            batch = worn(batch, generator)
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=fitting.precision == "bfloat16"):
                value = loss(network, batch, images.labels[rows].to(images.device))
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            course.total += float(value.detach())
            if look is not None and course.step in looks:
                course.looked(network, look(network.eval()))
                network.train()
            if course.step % REPORT == 0 or course.step == steps:
                course.figures["loss"], course.total = course.total / ((course.step - 1) % REPORT + 1), 0.0
                if progress is not None:
                    progress(seen(), fitting.images_seen, course.figures)
            if signals.number and keep is not None:
                path = save_unfinished(keep[0], key, course.state())
                done = f"{course.step * fitting.batch_size:,} of {fitting.images_seen:,} images"
                raise Interrupted(signals.number, f"what was learned from {done} is kept in {path}")
    if course.best is not None:
        network.load_state_dict(course.best)
    return network.eval()


@dataclass
class Course:
    """How far a training came: what learns, where its randomness stands, and what looked best.

    Attributes:
        learning: network, optimiser and schedule.
        generator: of order and augmentation; that of dropout is torch's own.
        orders: of the images.
        step: steps taken.
        least, best: the least held-out loss, and the weights that had it.
        total: of the losses since the last report.
        figures: of the last report.
    """

    learning: Mapping[str, Any]
    generator: torch.Generator
    orders: Sequence["Order"]
    step: int = 0
    least: float = math.inf
    best: dict[str, Tensor] | None = None
    total: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    def looked(self, network: nn.Module, loss: float) -> None:
        """Note a held-out loss, and keep the weights where it is the least."""
        self.figures["held-out loss"] = loss
        if loss < self.least:
            self.least, self.best = loss, copy.deepcopy(network.state_dict())

    def state(self) -> dict[str, Any]:
        """Return everything that going on needs."""
        return {name: part.state_dict() for name, part in self.learning.items()} | {
            "generator": self.generator.get_state(), "dropout": torch.get_rng_state(),
            "orders": [order.rows for order in self.orders], "step": self.step + 1,
            "least": self.least, "best": self.best, "total": self.total, "figures": self.figures,
        }  # fmt: skip

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, part in self.learning.items():
            part.load_state_dict(known[name])
        self.generator.set_state(known["generator"])
        torch.set_rng_state(known["dropout"])
        for order, rows in zip(self.orders, known["orders"], strict=True):
            order.rows = rows
        self.least, self.best, self.total, self.figures = (known[key] for key in ("least", "best", "total", "figures"))
        self.step = known["step"] - 1


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
        generator: on the CPU, the only source of randomness.
    """
    half = len(images) // 2
    part, rest = images[:half], images[half:]
    soft = interpolate(avg_pool2d(part, 2), scale_factor=2, mode="bilinear", align_corners=False)
    share = torch.rand(half, 1, 1, 1, generator=generator)
    part = torch.lerp(part, soft, share.to(part.device))
    gain = 0.85 + 0.3 * torch.rand(half, 1, 1, 1, generator=generator)
    shift = 0.1 * torch.randn(half, 3, 1, 1, generator=generator)
    noise = 0.04 * torch.rand(half, 1, 1, 1, generator=generator)
    noise = noise * torch.randn(part.shape, generator=generator)
    part = part * gain.to(part.device) + shift.to(part.device) + noise.to(part.device)
    return torch.cat([part.clamp(-1, 1), rest]).contiguous(memory_format=torch.channels_last)


def from_bytes(images: Tensor) -> Tensor:
    """Turn uint8 into float32 in [-1, 1], channels last."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 127.5).sub_(1)


def channels_last(network: Network) -> Network:
    """Lay a network's weights out as its images are."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
