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
from attrimorph.models.finding import find, named_parts
from attrimorph.recipes.options import AnyRecipe
from attrimorph.recipes.reading import read_recipe
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

    @staticmethod
    def parse(value: Mapping[str, Any], path: Path = Path("model.safetensors")) -> "Header":
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
            "images_seen": isinstance(value["images_seen"], int),
            "card": isinstance(value.get("card", {}), dict),
            "preprocessing": _is_preprocessing(value.get("preprocessing", {})),
            "examples": isinstance(examples, list)
            and bool(examples) == bool(schema.width)
            and len(examples) % max(schema.width, 1) == 0
            and all(isinstance(number, int | float) for number in examples),
        }
        if wrong := [name for name, right in rules.items() if not right]:
            raise AttrimorphError(f"{path} has {wrong[0]!r} of a wrong form in its header; it is damaged, get it again")
        return Header(dict(value), recipe, schema, strengths)


def read_header(path: Path) -> Header:
    """Return the header of a model file.

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
    return Header.parse(header, path)


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
    """Return the groups of attributes that a model's recipe names; see `recipes.interpolation`."""
    networks = read_header(find(source)).json["recipe"].get("networks", {})
    return (*networks.get("groups", ()), "everything else") if "groups" in networks else ()


def _is_preprocessing(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    crop = value.get("crop")
    if not isinstance(crop, dict):
        return crop is None or isinstance(crop, int | str)
    sides = [crop.get(name) for name in ("left", "top", "right", "bottom")]
    of = crop.get("of")
    pair = of is None or (isinstance(of, list) and len(of) == 2 and all(isinstance(n, int) and n > 0 for n in of))
    return pair and all(isinstance(side, int | float) for side in sides)
