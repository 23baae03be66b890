"""Weights of a file, put into networks that were built without any."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attrimorph.errors import AttrimorphError


class Unfilled(TorchFunctionMode):
    """New weights stay as they come: to fill them on the meta device would import all of torch._dynamo and sympy."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Leave out what every initialiser is made of."""
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def weights_in(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a model file by name, floats in float32.

    Args:
        content: of the file; path: its own.

    Raises:
        AttrimorphError: there is NaN or infinity among them.
    """
    tensors = {
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype)
        for name, value in safetensors.torch.load(content).items()
    }
    # 0 times NaN or infinity is NaN: ten times as fast as isfinite.
    if odd := [key for key, value in tensors.items() if (value * 0).sum() != 0]:
        raise AttrimorphError(f"the weights in {path} hold NaN or infinity ({odd[0]}); it is damaged, get it again")
    return tensors


def fill(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors, named NETWORK.PARAMETER, into networks built on the meta device.

    Raises:
        AttrimorphError: some are missing, left over, or of another shape.
    """
    try:
        for name, network in networks.items():
            part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            network.load_state_dict(part, assign=True)
    except RuntimeError as error:
        raise AttrimorphError(
            f"the weights in {path} do not fit its recipe ({str(error).splitlines()[-1].strip()[:120]}); "
            "it is damaged, get it again"
        ) from error
