"""Model files that are damaged, foreign or hostile."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .case import Case, Kit
from .labels import DEEP

Maker = Callable[[Kit, Path], object]


class Hostile:
    """Would leave a mark when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch OWNED",)


def raw(make: Callable[[bytes], bytes]) -> Maker:
    """Write other bytes, made from the good ones."""
    return lambda kit, path: path.write_bytes(make(kit.model.read_bytes()))


def header_of(kit: Kit) -> dict[str, Any]:
    with safe_open(kit.model, framework="pt") as file:
        return dict(json.loads(file.metadata()["attrimorph"]))


def header(edit: Callable[[dict[str, Any]], object]) -> Maker:
    """Change our part of the header."""

    def make(kit: Kit, path: Path) -> None:
        value = header_of(kit)
        edit(value)
        save_file(load_file(kit.model), path, {"attrimorph": json.dumps(value)})

    return make


def header_is(text: str) -> Maker:
    """Put another text in the place of our part of the header."""
    return lambda kit, path: save_file(load_file(kit.model), path, {"attrimorph": text})


def puts(*place: str, value: Any) -> Maker:
    """Put a value at a place in the header; `...` removes it."""

    def edit(whole: dict[str, Any]) -> None:
        inner = whole
        for key in place[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value

    return header(edit)


def weights(edit: Callable[[dict[str, torch.Tensor]], object]) -> Maker:
    """Change the tensors."""

    def make(kit: Kit, path: Path) -> None:
        tensors = load_file(kit.model)
        edit(tensors)
        save_file(tensors, path, {"attrimorph": json.dumps(header_of(kit))})

    return make


def without(prefix: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith(prefix)]:
            del tensors[name]

    return edit


def only_header(length: int, text: bytes) -> Maker:
    return lambda kit, path: path.write_bytes(struct.pack("<Q", length) + text)


def torch_file(value: Any) -> Maker:
    return lambda kit, path: torch.save(value, path)


BIAS = "generator.last.bias"

WRONG: dict[str, tuple[Maker, str]] = {
    "an empty file": (raw(lambda whole: b""), "no readable model file"),
    "four bytes": (raw(lambda whole: whole[:4]), "no readable model file"),
    "half a file": (raw(lambda whole: whole[: len(whole) // 2]), "no readable model file"),
    "a byte too few": (raw(lambda whole: whole[:-1]), "no readable model file"),
    "bytes too many": (raw(lambda whole: whole + b"more"), "no readable model file"),
    "a header of 2**60 bytes": (only_header(2**60, b"{}"), "no readable model file"),
    "a header of 200 megabytes": (only_header(2 * 10**8, b"{}"), "no readable model file"),
    "a header that is no JSON": (only_header(8, b"{bad js}"), "no readable model file"),
    "a header that is a list": (only_header(2, b"[]"), "no readable model file"),
    "a header nested too deeply": (only_header(len(DEEP), DEEP.encode()), "no readable model file"),
    "a tensor beyond the file": (
        only_header(66, b'{"w":{"dtype":"F32","shape":[9999999],"data_offsets":[0,39999996]}}'),
        "no readable model file",
    ),
    "a hostile pickle": (raw(lambda whole: pickle.dumps(Hostile())), "no readable model file"),
    "a hostile torch file": (torch_file({"w": Hostile()}), "no readable model file"),
    "a good torch file": (torch_file({"w": torch.ones(2)}), "no readable model file"),
    "a picture": (lambda kit, path: path.write_bytes(kit.face.read_bytes()), "no readable model file"),
    "text": (raw(lambda whole: b"weights\n" * 9), "no readable model file"),
    "weights of another program": (
        lambda kit, path: save_file({"w": torch.ones(2)}, path, {"format": "pt"}),
        "not written by attrimorph",
    ),
    "weights without header": (lambda kit, path: save_file({"w": torch.ones(2)}, path), "not written by attrimorph"),
    "our part as a list": (header_is("[1]"), "not written by attrimorph"),
    "our part as a number": (header_is("3"), "not written by attrimorph"),
    "our part nested too deeply": (header_is(DEEP), "not written by attrimorph"),
    "a format to come": (puts("format", value=99), "has format 99"),
    "no recipe": (puts("recipe", value=...), "no 'recipe' in its header"),
    "no schema": (puts("schema", value=...), "no 'schema' in its header"),
    "no examples": (puts("examples", value=...), "no 'examples' in its header"),
    "examples in words": (puts("examples", value="many"), "examples"),
    "examples of another width": (puts("examples", value=[1.0, 0.0, 1.0]), "examples"),
    "no single example": (puts("examples", value=[]), "examples"),
    "images seen in words": (puts("images_seen", value="many"), "images_seen"),
    "a card that is a list": (puts("card", value=[1]), "card"),
    "preprocessing that is a list": (puts("preprocessing", value=[1]), "preprocessing"),
    "a crop without sides": (puts("preprocessing", value={"crop": {"left": 1}}), "crop|preprocessing"),
    "a recipe that is a list": (puts("recipe", value=[]), "recipe must be a mapping"),
    "an unknown method": (puts("recipe", "method", value="magic"), "magic"),
    "an image size of 17": (puts("recipe", "data", "image_size", value=17), "power of two"),
    "a latent of another size": (puts("recipe", "networks", "latent", value=5), "do not fit its recipe"),
    "a latent of ten to the twelve": (puts("recipe", "networks", "latent", value=10**12), "latent"),
    "an unknown field": (puts("recipe", "networks", "depth", value=5), "no field 'networks.depth'"),
    "attributes that are a number": (puts("schema", "attributes", value=3), "no attribute schema"),
    "no attributes": (puts("schema", "attributes", value=[]), "attribute"),
    "an attribute of an odd kind": (
        header(lambda value: value["schema"]["attributes"][0].update(kind="odd")),
        "odd",
    ),
    "an attribute too few": (header(lambda value: value["schema"]["attributes"].pop(0)), "do not fit|examples"),
    "an attribute without name": (
        header(lambda value: value["schema"]["attributes"][0].pop("name")),
        "no attribute schema",
    ),
    "no tensors": (weights(lambda tensors: tensors.clear()), "generator"),
    "no generator": (weights(without("generator.")), "generator"),
    "no encoder": (weights(without("encoder.")), "encoder"),
    "no classifier": (weights(without("classifier.")), "classifier"),
    "a tensor missing": (weights(without(BIAS)), "do not fit its recipe"),
    "a tensor too many": (weights(lambda tensors: tensors.update({"generator.more": torch.ones(1)})), "do not fit"),
    "a tensor of a network that is none": (
        weights(lambda tensors: tensors.update({"virus.w": torch.ones(1)})),
        "virus",
    ),
    "a tensor of another shape": (weights(lambda tensors: tensors.update({BIAS: torch.ones(7)})), "do not fit"),
    "a tensor of whole numbers": (
        weights(lambda tensors: tensors.update({BIAS: torch.ones(3, dtype=torch.int64)})),
        "whole numbers|do not fit|int64",
    ),
    "weights that are NaN": (weights(lambda tensors: tensors[BIAS].fill_(float("nan"))), "NaN"),
    "weights that are infinite": (weights(lambda tensors: tensors[BIAS].fill_(float("inf"))), "infinity"),
}

VERBS: tuple[tuple[str, Callable[[Kit, str], list[str]]], ...] = (
    ("sample", lambda kit, model: ["sample", "--count", "2", "--model", model]),
    ("edit", lambda kit, model: ["edit", str(kit.face), "--set", "Smiling=1", "--model", model]),
    ("reconstruct", lambda kit, model: ["reconstruct", str(kit.face), "--model", model]),
    ("evaluate", lambda kit, model: ["evaluate", model, "--count", "2"]),
    ("morph", lambda kit, model: ["morph", str(kit.face), str(kit.face), "--model", model]),
    ("transfer", lambda kit, model: ["transfer", str(kit.face), "--from", str(kit.face), "--model", model]),
)


def use(place: int, make: Maker) -> Callable[[Kit, Path], list[str]]:
    """Return the words of a verb, another each time, with the broken model."""

    def words(kit: Kit, folder: Path) -> list[str]:
        path = folder / "broken.safetensors"
        make(kit, path)
        return [*VERBS[place % 6][1](kit, str(path)), "--out", str(folder / "out"), "--device", "cpu"]

    return words


def from_folder(build: Callable[[Kit, Path], object]) -> Callable[[Kit, Path], list[str]]:
    """Return `sample` of a folder."""

    def words(kit: Kit, folder: Path) -> list[str]:
        build(kit, folder)
        return ["sample", "--count", "2", "--model", str(folder), "--out", str(folder / "out"), "--device", "cpu"]

    return words


def half_a_checkpoint(kit: Kit, folder: Path) -> None:
    shutil.copytree(kit.run, folder, dirs_exist_ok=True)
    path = sorted(folder.glob("checkpoints/*/model.safetensors"))[-1]
    path.write_bytes(path.read_bytes()[:999])


MODELS: tuple[Case, ...] = (
    *(
        Case(f"{VERBS[place % 6][0]} with a model: {name}", use(place, make), says)
        for place, (name, (make, says)) in enumerate(WRONG.items())
    ),
    Case("sample: an empty run folder", from_folder(lambda kit, folder: None), "holds no model yet"),
    Case("sample: a run whose newest model is cut short", from_folder(half_a_checkpoint), "no readable model file"),
    Case(
        "sample: a folder with a pickle as model",
        from_folder(lambda kit, folder: (folder / "model.safetensors").write_bytes(pickle.dumps(Hostile()))),
        "no readable model file",
    ),
)
