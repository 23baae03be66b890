"""A device for machines that have none: the meta device, off which ones are read, and counted.

What is computed there has shapes and no values. As on a GPU, tensors of two devices do not go together, and whoever
reads a value, or takes what a mask chooses, waits for all that was asked before.
"""

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
SIZED = {aten.nonzero.default, aten.masked_select.default, aten._unique2.default, aten.bincount.default}
"""How large the result is depends on values."""


class FakeGPU(TorchDispatchMode):
    """Count what is read off the meta device.

    Attributes:
        reads: the line of the program for each value read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        real = torch.autocast
        self._autocast = patch.object(
            torch,
            "autocast",
            lambda kind, *words, **options: nullcontext() if kind == "meta" else real(kind, *words, **options),
        )

    def __enter__(self) -> Self:
        self._autocast.start()
        return super().__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._autocast.stop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(each.is_meta for each in tensors):
            return func(*args, **kwargs)
        if torch.is_inference_mode_enabled():
            # Without autograd above it, what is made of other functions comes here whole.
            super().__enter__()
            try:
                parts = func.decompose(*args, **kwargs)
            finally:
                super().__exit__(None, None, None)
            if parts is not NotImplemented:
                return parts
        masked = func in INDEXED and any(each is not None and each.is_meta and not is_index(each) for each in args[1])
        leaves = func is aten._to_copy.default and torch.device(kwargs.get("device") or "meta").type == "cpu"
        if func is aten.copy_.default and args[1].is_meta != args[0].is_meta:
            if args[1].is_meta:
                self._read()
                args[0].fill_(1)
            return args[0]
        if func in (aten._local_scalar_dense.default, aten.equal.default) or leaves or masked or func in SIZED:
            self._read()
            found = func(*tree_map(ones, args), **kwargs)
            return (
                found if leaves else tree_map(lambda each: each.to("meta") if isinstance(each, Tensor) else each, found)
            )
        if func not in INDEXED and len({each.device.type for each in tensors if each.dim()}) > 1:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found cpu and meta")
        return func(*args, **kwargs)

    def _read(self) -> None:
        frame = sys._getframe()
        while frame.f_back is not None and "/src/attrimorph/" not in frame.f_code.co_filename:
            frame = frame.f_back
        self.reads.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")


def is_index(tensor: Tensor) -> bool:
    """Whether a tensor names rows, and does not choose them."""
    return tensor.dtype not in (torch.bool, torch.uint8)


def ones(each: Any) -> Any:
    """Return ones on the CPU in place of a tensor of no values."""
    return torch.ones_like(each, device="cpu") if isinstance(each, Tensor) and each.is_meta else each
