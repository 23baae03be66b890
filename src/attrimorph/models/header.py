"""The header of a model file: format version, recipe, schema, preprocessing, images seen. None of it is code.

No torch here: what a command asks of a model is checked against its header before anything is loaded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.recipe import AnyRecipe
from attrimorph.strength import Strengths

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
LARGEST_FILE = 4 * 2**30


def model_bytes(networks: "Mapping[str, nn.Module]", header: Mapping[str, Any]) -> bytes:
    """Return the content of a model file: the networks that a model needs, and the header."""
    from safetensors.torch import save

    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous().clone()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    # Tensors are sorted by safetensors, the header keeps its order: equal weights give equal files, and the groups of a
    # recipe, whose order tells which branch is whose, come back as they were.
    return save(tensors, {"attrimorph": json.dumps({"format": FORMAT, **header})})


def with_header(path: Path, header: Mapping[str, Any]) -> bytes:
    """Return the content of a model file with its tensors as they are and another header."""
    from safetensors.torch import save

    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return save(tensors, {"attrimorph": json.dumps({"format": FORMAT, **header})})


@dataclass(frozen=True)
class Header:
    """What a model file says of itself, parsed once.

    Attributes:
        json: all of it, as it stands in the file.
        recipe: how the model was trained.
        schema: its attributes.
        strengths: how far it goes for a strength; nothing where it is not calibrated.
    """

    json: dict[str, Any]
    recipe: AnyRecipe
    schema: Schema
    strengths: Strengths


def read_json(path: Path) -> dict[str, Any]:
    """Return the header of a model file, as it stands there.

    Raises:
        AttrimorphError: the file is damaged, too large, or none of ours.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise AttrimorphError(f"a model file must be under {LARGEST_FILE >> 30} GiB; {path} is larger")
        # Opened here first: safetensors says of a file that may not be read that there is none.
        with path.open("rb"), safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except SafetensorError as error:
        raise AttrimorphError(
            f"{path} is no readable model file ({error}); give a model.safetensors of attrimorph"
        ) from error
    try:
        header = json.loads(metadata["attrimorph"])
        version = header["format"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise AttrimorphError(
            f"{path} was not written by attrimorph: its header lacks our part; train or export it here"
        ) from error
    if version != FORMAT:
        raise AttrimorphError(f"{path} has format {version}, this program reads {FORMAT}; update attrimorph")
    return dict(header)
