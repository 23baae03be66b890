"""Models, as far as torch is not needed: where a file lies, what its header says, how far its strengths go."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.files import check_plain, file_sha256, reading, tensor_file
from attrimorph.recipe import AnyRecipe

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

STRENGTHS_VERSION = 1
SET, TAKEN_AWAY = "set", "taken away"
MOST_KNOTS = 1000
FORMAT = 1
LARGEST_FILE = 4 * 2**30
DRAWN, PHOTOGRAPHS = "drawn-faces-64", "portraits-128"
EDITORS = {
    DRAWN: "drawn faces",
    PHOTOGRAPHS: "photographs",
}  # shipped; they edit pictures that nobody named a model for
LOOKED_AT = 20  # pictures of a folder


@dataclass(frozen=True)
class Strengths:
    """Monotone, piecewise linear maps from the strength that a user asks for to the position that a model is given.

    Attributes:
        positions: attribute -> direction ("set", "taken away") -> positions in 0..1, never falling, at the strengths
            1 / (n + 1), ..., n / (n + 1); 0 stays 0 and 1 stays 1. What is not named is not calibrated.
        about: who measured, and on what.
    """

    positions: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def position(self, name: str, strength: float) -> float:
        """Return the position for a strength of one attribute.

        Args:
            name: the attribute, or "name=value".
            strength: above 0 sets, below 0 takes away; from 1 and -1 on the position is the strength itself.
        """
        knots = self.positions.get(name, {}).get(TAKEN_AWAY if strength < 0 else SET)
        # NaN is passed on: whoever moves attributes refuses it by name.
        if knots is None or not abs(strength) < 1:
            return strength
        ends = (0.0, *knots, 1.0)
        place = abs(strength) * (len(ends) - 1)
        before = min(int(place), len(ends) - 2)
        position = ends[before] + (place - before) * (ends[before + 1] - ends[before])
        return math.copysign(position, strength)

    def calibrated(self, changes: Mapping[str, float]) -> dict[str, float]:
        """Return changes with every strength replaced by its position."""
        return {name: self.position(name, strength) for name, strength in changes.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a model's header."""
        positions = {
            name: {direction: list(knots) for direction, knots in directions.items()}
            for name, directions in self.positions.items()
        }
        return {"version": STRENGTHS_VERSION, "positions": positions, "about": dict(self.about)}

    @staticmethod
    def from_json(value: Any, schema: Schema) -> "Strengths":
        """Read what `to_json` wrote.

        Args:
            value: from a model's header.
            schema: the model's; the attributes must be its own.

        Raises:
            AttrimorphError: the value is no map of strengths, or one of a newer version.
        """
        if not isinstance(value, dict) or not all(isinstance(value.get(key), dict) for key in ("positions", "about")):
            raise AttrimorphError("calibrated strengths must hold positions and about; they do not; calibrate again")
        if value.get("version") != STRENGTHS_VERSION:
            raise AttrimorphError(
                f"calibrated strengths must have version {STRENGTHS_VERSION}; got {value.get('version')!r}; "
                "update attrimorph"
            )
        positions: dict[str, dict[str, tuple[float, ...]]] = {}
        for name, directions in value["positions"].items():
            schema.find(name)
            if not isinstance(directions, dict) or not directions.keys() <= {SET, TAKEN_AWAY}:
                raise AttrimorphError(
                    f"the calibrated strengths of {name} must stand under {SET!r} and {TAKEN_AWAY!r}; calibrate again"
                )
            positions[name] = {direction: _knots(name, knots) for direction, knots in directions.items()}
        return Strengths(positions, value["about"])


def _knots(name: str, values: Any) -> tuple[float, ...]:
    """Read positions in 0..1 that never fall."""
    right = (
        isinstance(values, list)
        and 1 <= len(values) <= MOST_KNOTS
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(a <= b for a, b in zip([0, *values], [*values, 1], strict=True))
    )
    if not right:
        raise AttrimorphError(
            f"the calibrated strengths of {name} must be 1 to {MOST_KNOTS} numbers in 0..1 that never fall; "
            "they are not; calibrate again"
        )
    return tuple(float(value) for value in values)


def model_bytes(networks: "Mapping[str, nn.Module]", header: Mapping[str, Any]) -> bytes:
    """Return the content of a model file: the networks that a model needs, and the header."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous().clone()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    return tensor_file(tensors, {"format": FORMAT, **header})


def with_header(path: Path, header: Mapping[str, Any]) -> bytes:
    """Return the content of a model file with its tensors as they are and another header."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return tensor_file(tensors, {"format": FORMAT, **header})


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
        check_plain(path, LARGEST_FILE)
        # Opened here first: safetensors says of a file that may not be read that there is none.
        with reading(path), path.open("rb"), safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
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


def shipped() -> dict[str, Path]:
    """Return the models that come with the package: name -> file."""
    folder = Path(str(files("attrimorph") / "shipped"))
    return {
        path.stem: path
        for path in sorted(folder.glob("*.safetensors"))
        if not path.stem.startswith(("judge-", "recogniser-", "axes-"))
    }


def model_for(pictures: "str | Path | Image.Image | Sequence[str | Path | Image.Image]") -> str:
    """Return the name of the shipped model that fits pictures: `DRAWN` drawn faces, `PHOTOGRAPHS` all others, where it
    ships.

    Args:
        pictures: files, folders, of which some files are looked at, or RGB pictures; most of those that can be read
            decide.
    """
    from PIL import Image

    from attrimorph.data.images import looks_drawn, open_image

    if PHOTOGRAPHS not in shipped():
        return DRAWN
    found: list[bool] = []
    for each in [pictures] if isinstance(pictures, str | Path | Image.Image) else pictures:
        if isinstance(each, Image.Image):
            found.append(looks_drawn(each))
            continue
        paths = [Path(each)]
        if paths[0].is_dir():
            from attrimorph.data.readers.raw import list_images  # with all readers, which a file does without

            paths = list(list_images(paths[0], own=True).values())
        for path in paths[:: -(-len(paths) // LOOKED_AT) or 1]:
            with suppress(AttrimorphError):  # whoever opens it says why it cannot be read
                found.append(looks_drawn(open_image(path, 64)))
    return PHOTOGRAPHS if found and 2 * sum(found) <= len(found) else DRAWN


def find(source: str | Path) -> Path:
    """Return the model file that a run folder, a hub folder, a file or the name of a shipped model stands for."""
    path = Path(source)
    if path.is_dir():
        checkpoints = sorted(path.glob("checkpoints/[0-9]*/model.safetensors"))
        for candidate in (path / "model.safetensors", *checkpoints[::-1]):
            if candidate.exists():
                return candidate
        raise AttrimorphError(f"{path} holds no model yet; train one into it, or name a run that has a checkpoint")
    if path.is_file():
        return path
    known = shipped()
    if str(source) in known:
        return known[str(source)]
    raise AttrimorphError(
        f"there is no run folder, model file or shipped model {str(source)!r}; {suggestion(str(source), known)}"
    )


def hash_of_chain(hashes: Iterable[str]) -> str:
    """Return the hash of several models as one."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def model_sha256(source: str | Path) -> str:
    """Return the hash that a model would have, without loading it.

    Args:
        source: as of `load`, or a generator from outside.

    Raises:
        AttrimorphError: nothing is there, or it cannot be read.
    """
    hashes = [file_sha256(find(part)) for part in named_parts(source)]
    return hashes[0] if len(hashes) == 1 else hash_of_chain(hashes)


def named_parts(source: str | Path) -> list[str]:
    """Return the models that a name stands for: one, or the several of a chain, which stand with commas."""
    words = str(source)
    return [words] if Path(words).exists() else [part.strip() for part in words.split(",") if part.strip()] or [words]
