"""Weights of published networks, where torch's hub keeps them or the user says; no code of theirs is run."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError

CACHED = {"inception": "pt_inception-2015-12-05-*.pth", "vgg19": "vgg19-*.pth"}
Network = TypeVar("Network", bound=nn.Module)


def cached(name: str) -> Path:
    """Return the newest file of these weights in the cache of torch's hub.

    Raises:
        AttrimorphError: there is none.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(folder.glob(CACHED[name]))
    if not found:
        raise AttrimorphError(
            f"the weights of {name} must lie in {folder} as {CACHED[name]}; they do not; put them there or name a file"
        )
    return found[-1]


def read_weights(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Read a state dict without running any code of the file, and the sha256 of the file.

    Raises:
        AttrimorphError: the file is missing, damaged, or no state dict.
    """
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        # What torch says of such a file advises to run its code.
        raise AttrimorphError(
            f"{path} must hold weights, as a state dict or safetensors; it is damaged or something else; get it again"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AttrimorphError(f"{path} must hold a state dict, names and tensors; it holds something else")
    return state, digest


def filled(network: Network, state: Mapping[str, Tensor], path: Path) -> Network:
    """Put weights into a network, in eval mode; parts that the network lacks (other heads) are left aside."""
    own = network.state_dict()
    wanted = {key: value.float() for key, value in state.items() if key in own and value.is_floating_point()}
    missing = [key for key in own if key not in wanted and not key.endswith("num_batches_tracked")]
    if missing:
        raise AttrimorphError(f"{path} must hold all weights of the network; {missing[0]} is missing; get it again")
    try:
        network.load_state_dict(wanted, strict=False)
    except RuntimeError as error:
        raise AttrimorphError(f"the weights in {path} have other shapes; get the usual file again") from error
    return network.eval().requires_grad_(False)
