"""What a training runs on: the fast path (precision and memory format, chosen by measuring), and processes.

Every process that torchrun started reads its own share of the joint batch and takes the same step. The losses are means
over a batch, so the mean of the processes' gradients is the gradient of the joint batch, whichever loss reached
whichever network: one flat all-reduce.
"""

import ctypes
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeVar

import pydantic.dataclasses
import torch
import torch.distributed as dist
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.files import cache_folder, lock_folder, read_json, write_json
from attrimorph.loading import allow_tf32

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
        tf32: whether float32 products run as TF32, as they do on a GPU that has it.
    """

    precision: Literal["float32", "bfloat16"]
    memory_format: Literal["contiguous", "channels_last"]
    milliseconds: dict[str, float]
    tf32: bool = False

    @property
    def name(self) -> str:
        """Precision and memory format, as `milliseconds` names them."""
        return f"{self.precision} {self.memory_format}"

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


def small_step(path: FastPath, device: str) -> Callable[[], object]:
    """Return what takes a step forward and back through a few of our layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randn(8, 3, 64, 64).to(device, memory_format=path.layout)
        network = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 32, 3, 1, 1),
        ).to(device, memory_format=path.layout)  # type: ignore[call-overload]

    def step() -> float:
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=path.autocast is not None):
            out = network(images)
        loss = out.float().square().mean()
        loss.backward()
        return float(loss.detach())  # waits for an accelerator

    return step


PATHS = [
    FastPath("float32", "contiguous", {}),
    FastPath("float32", "channels_last", {}),
    FastPath("bfloat16", "contiguous", {}),
    FastPath("bfloat16", "channels_last", {}),
]
MEASURED = 5_000  # milliseconds that measuring a recipe's own steps may take beyond the first round
Steps = Callable[[FastPath, str], Callable[[], object]]


def choose_fast_path(
    precision: str = "auto",
    memory_format: str = "auto",
    device: str = "cpu",
    *,
    steps: Steps = small_step,
    of: Any = None,
) -> FastPath:
    """Return the path to run on: what the user named stays, "auto" is measured once on a machine.

    Two paths may be nearly as fast, and another measurement would choose otherwise: what was chosen is kept in the
    user's cache, so that the same seed gives the same bits in every process. All processes must come here together.

    Args:
        precision: "auto", "float32" or "bfloat16".
        memory_format: "auto", "channels_last" or "contiguous".
        device: where the networks run.
        steps: a path and a device -> what takes one step there.
        of: plain values that tell these steps from others.
    """
    tf32 = device.startswith("cuda") and torch.cuda.is_tf32_supported()
    if "auto" not in (precision, memory_format):
        return FastPath(precision, memory_format, {}, tf32)  # type: ignore[arg-type]
    about = [precision, memory_format, machine(device), torch.get_num_threads(), torch.__version__, world(), of]
    about += ["TF32"] if tf32 else []
    file = cache_folder() / "machine" / f"{sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]}.json"
    if known := from_first(FastPath.read(file) if rank() == 0 and file.exists() else None):
        return known
    paths = {
        path.name: path
        for path in PATHS
        if precision in ("auto", path.precision) and memory_format in ("auto", path.memory_format)
    }
    with tensor_cores(tf32):
        times = measure({name: small_step(path, device) for name, path in paths.items()})
        if steps is not small_step:
            # A path that is hopeless in small is not worth the user's waiting for a large step.
            most = 2 * min(times.values())
            times = measure({name: steps(paths[name], device) for name, value in times.items() if value <= most})
    best = next(iter(times))
    for name, value in times.items():
        best = name if value < WORTH * times[best] else best
    path = replace(paths[best], milliseconds=times, tf32=tf32)
    if rank() == 0:
        with suppress(AttrimorphError, OSError), lock_folder(file.parent, wait=True):
            if file.exists():
                path = FastPath.read(file)
            else:
                write_json(file, asdict(path))
    return from_first(path)


@contextmanager
def tensor_cores(tf32: bool) -> Iterator[None]:
    """Let float32 products run as TF32 in this block, where there is TF32; after it they are exact."""
    if tf32:
        allow_tf32(True)
    try:
        yield
    finally:
        if tf32:
            allow_tf32(False)


def machine(device: str) -> str:
    """Return the name of what computes: of the GPU, or of the processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def measure(steps: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return what each step takes in milliseconds: medians of up to three rounds, the steps in turns.

    A round before warms up; it counts where there is no time for others. The first process's times are all processes',
    as steps of several may wait for one another.
    """

    def timed(step: Callable[[], object]) -> float:
        start = time.perf_counter()
        step()
        return (time.perf_counter() - start) * 1e3

    first = from_first({name: timed(step) for name, step in steps.items()})
    hopeful = [name for name, value in first.items() if value <= 4 * min(first.values())]
    rounds = min(3, round(MEASURED / sum(first[name] for name in hopeful)))
    found = [{name: timed(steps[name]) for name in hopeful} for _ in range(rounds)]
    return from_first(
        {
            name: round(median([each[name] for each in found if name in each] or [value]), 3)
            for name, value in first.items()
        }
    )


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, and leave them at the end; alone, or already joined, do nothing.

    On a machine with GPUs each process takes the one of its local rank as the current "cuda".

    Raises:
        AttrimorphError: another process ended, or never came.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
            dist.init_process_group("cpu:gloo,cuda:nccl")
        else:
            dist.init_process_group("gloo")
        yield
    except RuntimeError as error:
        # gloo tells of a peer that has gone by a RuntimeError that names its own file.
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise AttrimorphError(
            f"all {os.environ['WORLD_SIZE']} processes of a training must stay until its end; this one "
            f"({os.environ.get('RANK')}) has lost another, whose own last line says why; mend that, then give the same "
            "torchrun command again: it goes on"
        ) from error
    finally:
        if dist.is_initialized():
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


def share(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values; all must pass the same tensors in the same order."""
    if world() == 1:
        return
    for tensor in tensors:
        whole = tensor.detach().contiguous()
        dist.broadcast(whole, src=0)
        with torch.no_grad():
            tensor.copy_(whole)


def agree(tensors: Iterable[Tensor]) -> bool:
    """Tell whether these tensors have the same bits in every process."""
    if world() == 1:
        return True
    digest = sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    number = int.from_bytes(digest.digest()[:7], "big")
    return largest(number) == -largest(-number)


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
