"""Several processes, as torchrun starts them: who am I, and one flat all-reduce of the gradients.

Every process reads its own share of the joint batch and takes the same step. The losses are means over a batch, so
the mean of the processes' gradients is the gradient of the joint batch, whichever loss reached whichever network.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")


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
