"""Models out of their files, and where they run. One file holds a model: model.safetensors. It alone loads and serves.

What a command asks of a model is checked against its header before torch is imported.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.files import tensors_changed
from attrimorph.methods import METHODS, read_recipe
from attrimorph.models import Header, Strengths, find, named_parts, read_json

if TYPE_CHECKING:
    from torch import nn

    from attrimorph.models.model import Model


def load(source: str | Path = "drawn-faces-64", device: str = "cpu") -> "Model":
    """Load a model.

    Args:
        source: a run folder (its newest checkpoint), a model file, a folder in the hub's layout, or the name
            of a shipped model. Several CycleGANs with commas make a chain.
        device: where it runs; loading to a GPU makes float32 exact there, see `exact_on`.

    Raises:
        AttrimorphError: nothing is there, or it is damaged or foreign.
    """
    import torch

    from attrimorph.models.model import Unfilled, fill, weights_in

    if len(parts := named_parts(source)) > 1:
        from attrimorph.methods.translation.model import Chain

        return Chain([load(part, device) for part in parts])
    exact_on(device)
    path = find(source)
    header, content = read_header(path), path.read_bytes()
    tensors = weights_in(content, path)
    found = {key.partition(".")[0] for key in tensors}
    trained = METHODS[header.recipe.method].trained()
    with torch.device("meta"), Unfilled():
        networks = trained.networks(header.recipe, header.schema, found)
    if found != set(networks):
        raise AttrimorphError(
            f"{path} must hold the networks {', '.join(networks)} of the method {header.recipe.method}; it holds "
            f"{', '.join(sorted(found)) or 'none'}; it is damaged, get it again"
        )
    fill(networks, tensors, path)
    if tensors_changed(content, header.json):
        raise AttrimorphError(
            f"{path} does not hold the weights that were written; it is damaged, get it again (or, where they were "
            "changed on purpose, take crc32 out of its header)"
        )
    return trained.model(networks, header, device, hashlib.sha256(content).hexdigest())


def assemble(networks: "Mapping[str, nn.Module]", header: Header, device: str, digest: str) -> "Model":
    """Return the model that the networks make, by the method of the header's recipe."""
    return METHODS[header.recipe.method].trained().model(networks, header, device, digest)


def read_header(path: Path) -> Header:
    """Return the header of a model file.

    Raises:
        AttrimorphError: the file is damaged, too large, or none of ours.
    """
    return parse_header(read_json(path), path)


def parse_header(value: Mapping[str, Any], path: Path = Path("model.safetensors")) -> Header:
    """Read a header from plain values.

    Args:
        value: as it stands in the file.
        path: whose; for the sentence that refuses it.

    Raises:
        AttrimorphError: a part is missing, or not what the rest of the program takes it for.
    """
    if missing := [key for key in ("recipe", "schema", "images_seen", "examples") if key not in value]:
        raise AttrimorphError(f"{path} has no {missing[0]!r} in its header; it is damaged, get it again")
    try:
        schema, examples = Schema.from_json(value["schema"]), value["examples"]
        recipe = read_recipe(value["recipe"])
        strengths = Strengths.from_json(value["strength"], schema) if "strength" in value else Strengths()
    except AttrimorphError as error:
        raise AttrimorphError(f"the header of {path} does not fit: {error}") from error
    rules = {
        "images_seen": type(value["images_seen"]) is int and 0 <= value["images_seen"] < 2**63,
        "card": _is_card(value.get("card", {})),
        "preprocessing": _is_preprocessing(value.get("preprocessing", {})),
        "reconstruction": _are_figures(value.get("reconstruction", {"psnr": 0.0, "deviation": 0.0})),
        "examples": isinstance(examples, list)
        and bool(examples) == bool(schema.width)
        and len(examples) % max(schema.width, 1) == 0
        and all(isinstance(number, int | float) and abs(number) <= FARTHEST for number in examples),
    }
    if wrong := [name for name, right in rules.items() if not right]:
        raise AttrimorphError(f"{path} has {wrong[0]!r} of a wrong form in its header; it is damaged, get it again")
    return Header(dict(value), recipe, schema, strengths)


def schema_of(source: str | Path) -> Schema:
    """Return the attributes of a model, or of a chain of models, from what their files' headers say.

    Args:
        source: as of `load`.

    Raises:
        AttrimorphError: as of `load`, as far as headers go.
    """
    schemas = [read_header(find(part)).schema for part in named_parts(source)]
    if all(schema == schemas[0] for schema in schemas):
        return schemas[0]
    return Schema(tuple({attribute.name: attribute for each in schemas for attribute in each.attributes}.values()))


def groups_of(source: str | Path) -> tuple[str, ...]:
    """Return the groups of attributes that a model's recipe names; see `methods.homointerp.recipe`."""
    networks = read_header(find(source)).json["recipe"].get("networks", {})
    return (*networks.get("groups", ()), "everything else") if "groups" in networks else ()


def checked_device(device: str) -> str:
    """Return a device that the user named.

    Raises:
        AttrimorphError: torch finds no such thing here.
    """
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise AttrimorphError(
            "torch finds no GPU for the device cuda here; use --device cpu, or see `attrimorph doctor`"
        )
    return device


def default_device() -> str:
    """The accelerator where there is one, or the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def allow_tf32(allowed: bool) -> None:
    """Say whether float32 products and convolutions of this process run on a GPU as TF32, with 10 bits of 23.

    A training does; what is loaded to be measured or to edit does not, while torch's own convolutions would.
    """
    import torch

    # torch.compile reads these, and refuses a mixture with the newer fp32_precision.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def exact_on(device: str) -> None:
    """Make float32 exact where a network that edits or measures is about to run, or to learn to measure."""
    if device.startswith("cuda"):
        allow_tf32(False)


FARTHEST = 1e6  # standardised values of what was trained on


def _are_figures(value: Any) -> bool:
    names = ("psnr", "deviation")
    return isinstance(value, dict) and all(_is_number(value.get(name)) for name in names)


def _is_card(value: Any) -> bool:
    """Whether what was measured is numbers, and what is said of it words."""
    if not isinstance(value, dict):
        return False
    figures, protocols, words = (value.get(name, {}) for name in ("figures", "protocols", "words"))
    return (
        all(isinstance(each, dict) for each in (figures, protocols, words))
        and all(_is_number(each) for each in figures.values())
        and all(isinstance(each, str) for each in (*protocols.values(), *words.values()))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**63  # NaN is none


def _is_preprocessing(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    crop, of = value.get("crop"), value.get("of")
    if not isinstance(crop, dict):
        right = crop is None or crop == "centre" or (isinstance(crop, int) and not isinstance(crop, bool) and crop > 0)
        return right and (of is None or _is_size(of))
    match crop:
        case {"left": int() | float() as left, "top": int() | float() as top,
              "right": int() | float() as right, "bottom": int() | float() as bottom}:  # fmt: skip
            inside = 0 <= left < right < LONGEST_SIDE and 0 <= top < bottom < LONGEST_SIDE
            return inside and all(each is None or _is_size(each) for each in (of, crop.get("of")))
    return False


LONGEST_SIDE = 2**16  # pixels


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) and 0 < n < LONGEST_SIDE for n in value)
    )
