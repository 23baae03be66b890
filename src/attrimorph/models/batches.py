"""Many images: each is encoded once for several edits, and the processes that torchrun started share the work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code, Edits, Encodes, Model, Moves

AT_ONCE = 128
T = TypeVar("T")
_SHARING: ContextVar[bool] = ContextVar("sharing", default=False)


@contextmanager
def sharing(wanted: bool = True) -> Iterator[None]:
    """Let all processes that have joined come here together and `shared` divide the work of this block."""
    token = _SHARING.set(wanted)
    try:
        yield
    finally:
        _SHARING.reset(token)


def shared(work: Callable[[T], Tensor], parts: Sequence[T]) -> list[Tensor]:
    """Return what is made of each part, on the CPU.

    Within `sharing` the processes take the parts in turn, and each gets what all made: the bits are those of one.
    """
    if not _SHARING.get() or not dist.is_initialized():
        return [work(part).cpu() for part in parts]
    rank, world = dist.get_rank(), dist.get_world_size()
    own: list[Tensor] | AttrimorphError
    try:
        with sharing(False):  # what a part is made with may come here again, and is one process's
            own = [work(part).cpu() for part in parts[rank::world]]
    except AttrimorphError as error:  # one process's part may be refused, and others have none
        own = error
    every: list[Any] = [own] * world
    dist.all_gather_object(every, own)
    for each in every:
        if isinstance(each, AttrimorphError):
            raise each
    return [every[place % world][place // world] for place in range(len(parts))]


class RepeatedEdits:
    """What a model's `edit` makes of images, again and again.

    Args:
        model: one that edits.
        images: [N, 3, S, S] in [-1, 1].
        attributes: [N, W] of the images; guessed by the model where None.
    """

    def __init__(self, model: Edits, images: Tensor, attributes: Tensor | None) -> None:
        self.model, self.images, self.attributes = model, images, attributes
        self.code: Code | None = None
        if isinstance(model, Model) and isinstance(model, Encodes) and len(images):
            parts = torch.split(torch.arange(len(images)), AT_ONCE)
            known = [None if attributes is None else attributes[part] for part in parts]
            self.code = Code.joined(model.encode(images[part], y) for part, y in zip(parts, known, strict=True))

    def __call__(self, changes: Mapping[str, float], rows: Tensor | slice = slice(None)) -> Tensor:
        """Return some of the images edited, [B, 3, S, S] in [-1, 1] on the model's device."""
        model = self.model
        if self.code is None or not isinstance(model, Model):
            return model.edit(self.images[rows], changes, None if self.attributes is None else self.attributes[rows])
        code = Code(self.code.z[rows], self.code.attributes[rows])
        if isinstance(model, Moves):
            return model.decode(model.move(code, changes))
        return model.decode(Code(code.z, model.moved(code.attributes, changes)))
