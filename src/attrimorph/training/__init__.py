"""What a training runs on: the fast path (precision and memory format, chosen by measuring), and processes.

Every process that torchrun started reads its own share of the joint batch and takes the same step. The losses are means
over a batch, so the mean of the processes' gradients is the gradient of the joint batch, whichever loss reached
whichever network: one flat all-reduce.
"""

import copy
import ctypes
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

import pydantic.dataclasses
import torch
import torch.distributed as dist
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json

WORTH = 0.92  # another path must take at most this share of the plain one's time
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
T = TypeVar("T")
KEPT, AHEAD, LARGEST = 1 << 30, 1 << 26, 1 << 25  # bytes; glibc takes no larger threshold than 32 MiB


def keep_memory() -> bool:
    """Let this process keep up to 1 GiB of memory that it has freed, where the allocator is glibc's.

    Every training step takes and frees the same tensors; giving their pages back to the system and fetching them anew
    takes up to a tenth of a step.

    Returns:
        Whether it does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt; Windows has not even CDLL(None)
        return False
    wanted = ((M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, AHEAD), (M_MMAP_THRESHOLD, LARGEST))
    return all([mallopt(name, value) == 1 for name, value in wanted])


@pydantic.dataclasses.dataclass(frozen=True)
class FastPath:
    """How the networks' arithmetic runs.

    Attributes:
        precision: "float32" or "bfloat16" (autocast; weights and optimisers stay float32).
        memory_format: "contiguous" (NCHW) or "channels_last" (NHWC).
        milliseconds: what each path took in the measurement; empty when nothing was measured.
    """

    precision: Literal["float32", "bfloat16"]
    memory_format: Literal["contiguous", "channels_last"]
    milliseconds: dict[str, float]

    @property
    def autocast(self) -> torch.dtype | None:
        """The dtype for torch.autocast, or None."""
        return torch.bfloat16 if self.precision == "bfloat16" else None

    @property
    def layout(self) -> torch.memory_format:
        """The memory format as torch names it."""
        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format

    @staticmethod
    def read(path: Path) -> "FastPath":
        """Read a file that holds one as JSON.

        Raises:
            AttrimorphError: it holds something else.
        """
        try:
            return FastPath(**read_json(path))
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:100]
            raise AttrimorphError(f"{path} is damaged ({reason}); remove it to measure this machine anew") from error


def choose_fast_path(precision: str = "auto", memory_format: str = "auto", device: str = "cpu") -> FastPath:
    """Return the path to run on; what the user named stays, "auto" is measured, once in a process.

    Args:
        precision: "auto", "float32" or "bfloat16".
        memory_format: "auto", "channels_last" or "contiguous".
        device: where the networks run.
    """
    if "auto" not in (precision, memory_format):
        return FastPath(precision, memory_format, {})  # type: ignore[arg-type]
    times = dict(measure(device))
    best = ""
    for name, value in times.items():
        fits = precision in ("auto", name.split()[0]) and memory_format in ("auto", name.split()[1])
        if fits and (not best or value < WORTH * times[best]):
            best = name
    precision, memory_format = best.split()
    return FastPath(precision, memory_format, times)  # type: ignore[arg-type]


@cache
def measure(device: str) -> tuple[tuple[str, float], ...]:
    """Time forward and backward of a few of our layers on each path, interleaved; medians in milliseconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randn(8, 3, 64, 64, device=device)
        network: nn.Module = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 32, 3, 1, 1),
        ).to(device)
    paths: dict[str, tuple[nn.Module, Tensor, bool]] = {}
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        for half in (False, True):
            moved = copy.deepcopy(network)
            moved.to(memory_format=layout)  # type: ignore[call-overload]
            precision = "bfloat16" if half else "float32"
            paths[f"{precision} {name}"] = moved, images.contiguous(memory_format=layout), half
    times: dict[str, list[float]] = {name: [] for name in paths}
    for round_ in range(4):
        for name, (moved, batch, half) in paths.items():
            # A path that was hopeless in its first round is not worth the user's waiting.
            if round_ and times[name][0] > 4 * times["float32 contiguous"][0]:
                continue
            start = time.perf_counter()
            with torch.autocast(device, torch.bfloat16, enabled=half):
                out = moved(batch)
            out.float().square().mean().backward()
            if device != "cpu":
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) * 1e3)
    order = ("float32 contiguous", "float32 channels_last", "bfloat16 contiguous", "bfloat16 channels_last")
    # The first round warms up, and counts only for a path that got no other.
    return tuple((name, round(median(times[name][1:] or times[name]), 3)) for name in order)


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, and leave them at the end; alone, or already joined, do nothing.

    On a machine with GPUs each process takes the one of its local rank as the current "cuda".
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes take part, 1 for a process by itself."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait_for_all() -> None:
    """Wait until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def from_first(value: T) -> T:
    """Return the first process's value in every process, when all of them have come here.

    So what the first process does next, say to files, is not seen by one that has yet to decide.
    """
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    dist.barrier()
    return box[0]


def gathered(value: T) -> list[T]:
    """Return every process's value in the first process, by rank; in the others only their own."""
    if not dist.is_initialized():
        return [value]
    box = [value] * world() if rank() == 0 else None
    dist.gather_object(value, box)
    return box or [value]


def largest(value: int) -> int:
    """Return the largest of the processes' values, when all of them have come here."""
    if world() == 1:
        return value
    joint = torch.tensor(value)
    dist.all_reduce(joint, dist.ReduceOp.MAX)
    return int(joint)


def mean_values(values: Mapping[str, float]) -> dict[str, float]:
    """Return the mean of each value over the processes; all of them must pass the same names in the same order."""
    if world() == 1 or not values:
        return dict(values)
    joint = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(joint)
    return dict(zip(values, (joint / world()).tolist(), strict=True))


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, by one all-reduce of them all, laid end to end.

    Every process must pass the same parameters in the same order. Those without a gradient are left out: the
    processes take the same step, so a parameter has a gradient in all of them or in none.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world()
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))
