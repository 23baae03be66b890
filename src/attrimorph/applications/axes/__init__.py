"""Axes: directions in a trained generator's codes along which one attribute changes (TL-GAN; Guan 2018).

Here the axis pack: the axes of one generator in one small file, bound to the generator by its hash.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attrimorph.applications.axes.curved import Curved
from attrimorph.applications.axes.linear import unit
from attrimorph.data import check_name
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.files import check_plain, tensor_file, tensors_changed, write_bytes
from attrimorph.models.model import Model

FORMAT, VERSION = "attrimorph axes", 1
LARGEST_FILE = 256 * 2**20
NUMBERS = ("slope", "intercept", "low", "high")


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        name: of the attribute.
        direction: unit, [D] float64, in the coordinates of `space.Space`; the score of a code is its dot product.
        slope, intercept: P(the attribute is seen | score u) = sigmoid(slope u + intercept).
        low, high: the scores to go to for taking the attribute away and for setting it.
        facts: how it was found and how sure it is; plain values.
    """

    name: str
    direction: Tensor
    slope: float
    intercept: float
    low: float
    high: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True)
class AxisPack:
    """The axes of one generator.

    Attributes:
        model_sha256: of the generator's file.
        model: its name, for people.
        axes: name -> axis, in order.
        about: how they were found: judge, samples, fit, link, seed.
        curved: curved axes, where they were fitted too.
    """

    model_sha256: str
    model: str
    axes: Mapping[str, Axis]
    about: Mapping[str, Any] = field(default_factory=dict)
    curved: Curved | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes, in order."""
        return tuple(self.axes)

    def axis(self, name: str) -> Axis:
        """Return the axis of an attribute.

        Raises:
            AttrimorphError: there is none; the sentence names the nearest.
        """
        if name not in self.axes:
            raise AttrimorphError(
                f"there is no axis {name!r} of {self.model}; {suggestion(name, self.axes)} "
                "(`attrimorph axes fit` and `axes add` make more)"
            )
        return self.axes[name]

    def rows(self, names: Sequence[str]) -> Tensor:
        """Return the directions of attributes, [K, D]."""
        size = len(next(iter(self.axes.values())).direction) if self.axes else 0
        return torch.stack([self.axis(name).direction for name in names]) if names else torch.zeros(0, size).double()

    def check(self, model: Model) -> None:
        """See that the pack belongs to a generator.

        Raises:
            AttrimorphError: it belongs to another.
        """
        if model.hash != self.model_sha256:
            raise AttrimorphError(
                f"the axes must be those of this generator, {model.recipe.name} {model.hash[:12]}; they are of "
                f"{self.model} {self.model_sha256[:12]}; fit them anew with `attrimorph axes fit`"
            )

    def with_axis(self, axis: Axis) -> "AxisPack":
        """Return the pack with one more axis, or with that attribute's axis replaced; it is a straight one alone."""
        curved = None if self.curved is None else self.curved.without(axis.name)
        return replace(self, axes={**self.axes, axis.name: axis}, curved=curved)


def save_pack(pack: AxisPack, path: str | Path) -> None:
    """Write a pack as safetensors: directions in float32, curved axes in float16, everything else in the header."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model_sha256": pack.model_sha256,
        "model": pack.model,
        "about": dict(pack.about),
        "axes": [
            {name: value for name, value in vars(axis).items() if name != "direction"} for axis in pack.axes.values()
        ],
    }
    tensors = {"directions": pack.rows(pack.names).float().contiguous()}
    if pack.curved is not None:
        header["curved"] = {"names": list(pack.curved.names), "told": pack.curved.explained}
        for place, (weight, bias) in enumerate(pack.curved.layers):
            tensors |= {f"curved.{place}.weight": weight.half().contiguous(), f"curved.{place}.bias": bias.half()}
    write_bytes(Path(path), tensor_file(tensors, header))


def load_pack(path: str | Path) -> AxisPack:
    """Read a pack.

    Raises:
        AttrimorphError: it is missing, damaged, or none of ours.
    """
    path = Path(path)
    try:
        check_plain(path, LARGEST_FILE)
        with path.open("rb"), safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("attrimorph", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if isinstance(header, dict) and tensors_changed(path.read_bytes(), header):
            raise ValueError("its axes are not those that were written")
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise AttrimorphError(f"{path} is no readable axis pack ({error}); fit the axes again") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or "directions" not in tensors:
        raise AttrimorphError(f"{path} must be an axis pack; it is none; make one with `attrimorph axes fit`")
    if header.get("version") != VERSION:
        raise AttrimorphError(
            f"{path} has version {header.get('version')!r}, this program reads {VERSION}; update attrimorph"
        )
    return _read(path, header, tensors)


def _read(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> AxisPack:
    directions = tensors["directions"]
    try:
        entries = list(header["axes"])
        if directions.shape[:-1] != (len(entries),) or not bool(directions.isfinite().all()):
            raise ValueError("the directions do not fit the names")
        # Float32 on file: their length is one again in float64.
        rows = unit(directions)
        axes = {}
        for entry, row in zip(entries, rows, strict=True):
            numbers = {name: float(entry[name]) for name in NUMBERS}
            if not all(math.isfinite(number) for number in numbers.values()):
                raise ValueError("a number is not finite")
            axes[str(entry["name"])] = Axis(str(entry["name"]), row, **numbers, facts=dict(entry["facts"]))
        if len(axes) != len(entries):
            raise ValueError("a name stands twice")
        curved = _read_curved(header["curved"], tensors, directions.shape[1]) if "curved" in header else None
        return AxisPack(str(header["model_sha256"]), str(header["model"]), axes, dict(header["about"]), curved)
    except (KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise AttrimorphError(f"the axis pack {path} is damaged ({error}); fit the axes again") from error


def _read_curved(words: Mapping[str, Any], tensors: Mapping[str, Tensor], width: int) -> Curved:
    names, layers = tuple(map(str, words["names"])), list[tuple[Tensor, Tensor]]()
    while (name := f"curved.{len(layers)}") + ".weight" in tensors:
        weight, bias = tensors[f"{name}.weight"].double(), tensors[f"{name}.bias"].double()
        finite = bool(weight.isfinite().all()) and bool(bias.isfinite().all())
        if weight.shape[1:] != (width,) or bias.shape != weight.shape[:1] or not finite:
            raise ValueError("the curved axes do not fit the straight ones")
        width = len(weight)
        layers.append((weight, bias))
    if not layers or width != len(names):
        raise ValueError("the curved axes do not fit their names")
    return Curved(names, tuple(layers), float(words["told"]))
