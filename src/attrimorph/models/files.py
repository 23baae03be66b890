"""Model files: finding and loading them. One file holds a model: model.safetensors.

It alone loads, serves and is shared.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.models.family import family_model, family_networks
from attrimorph.models.header import read_header
from attrimorph.models.model import Model
from attrimorph.recipes.attribute2image import LayerRecipe
from attrimorph.recipes.interpolation import InterpolationRecipe
from attrimorph.recipes.options import AnyRecipe, Recipe
from attrimorph.recipes.progressive import ProgressiveRecipe
from attrimorph.recipes.reading import read_recipe
from attrimorph.recipes.translation import TranslationRecipe


@dataclass(frozen=True)
class Kind:
    """How the models of one kind of recipe come out of their files.

    Attributes:
        networks: (recipe, schema, names of the networks in the file) -> fresh networks that the file must hold.
        model: (networks, header, device, digest) -> the model.
    """

    networks: Callable[[Any, Schema, Collection[str]], dict[str, nn.Module]]
    model: Callable[[Mapping[str, nn.Module], Mapping[str, Any], str, str], Model]


def kind_of(recipe: AnyRecipe) -> Kind:
    """Return how models of such a recipe come out of their files."""
    # They build on this room's own modules: at the top, the two would wait for each other.
    from attrimorph.kinds.attribute2image import attribute2image_model, attribute2image_networks
    from attrimorph.kinds.interpolation import InterpolationModel, interpolation_networks
    from attrimorph.kinds.progressive import ProgressiveModel, progressive_networks
    from attrimorph.kinds.translation import translation_model, translation_networks

    kinds: dict[type[AnyRecipe], Kind] = {
        Recipe: Kind(family_networks, family_model),
        LayerRecipe: Kind(attribute2image_networks, attribute2image_model),
        TranslationRecipe: Kind(translation_networks, translation_model),
        InterpolationRecipe: Kind(interpolation_networks, InterpolationModel),
        ProgressiveRecipe: Kind(progressive_networks, ProgressiveModel),
    }
    return kinds[type(recipe)]


def assemble(networks: Mapping[str, nn.Module], header: Mapping[str, Any], device: str, digest: str) -> Model:
    """Return the kind of model that the header's recipe makes."""
    return kind_of(read_recipe(header["recipe"])).model(networks, header, device, digest)


def shipped() -> dict[str, Path]:
    """Return the models that come with the package: name -> file."""
    folder = Path(str(files("attrimorph") / "shipped"))
    return {
        path.stem: path
        for path in sorted(folder.glob("*.safetensors"))
        if not path.stem.startswith(("judge-", "recogniser-", "axes-"))
    }


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


def named_parts(source: str | Path) -> list[str]:
    """Return the models that a name stands for: one, or the several of a chain, which stand with commas."""
    words = str(source)
    return [words] if Path(words).exists() else [part.strip() for part in words.split(",") if part.strip()] or [words]


def load(source: str | Path = "drawn-faces-64", device: str = "cpu") -> Model:
    """Load a model.

    Args:
        source: a run folder (its newest checkpoint), a model file, a folder in the hub's layout, or the name
            of a shipped model. Several CycleGANs with commas make a chain.
        device: where it runs.

    Raises:
        AttrimorphError: nothing is there, or it is damaged or foreign.
    """
    if len(parts := named_parts(source)) > 1:
        from attrimorph.kinds.translation import Chain

        return Chain([load(part, device) for part in parts])
    path = find(source)
    header = read_header(path)
    recipe, schema = read_recipe(header["recipe"]), Schema.from_json(header["schema"])
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    found = {key.partition(".")[0] for key in tensors}
    with torch.device("meta"):
        networks = kind_of(recipe).networks(recipe, schema, found)
    if found != set(networks):
        raise AttrimorphError(
            f"{path} must hold the networks {', '.join(networks)} of the method {recipe.method}; it holds "
            f"{', '.join(sorted(found)) or 'none'}; it is damaged, get it again"
        )
    if odd := [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise AttrimorphError(f"the weights in {path} hold NaN or infinity ({odd[0]}); it is damaged, get it again")
    try:
        for name, network in networks.items():
            # Copies: the tensors as read are windows on the file, which may be overwritten while the model is in use.
            part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            network.load_state_dict(
                {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in part.items()},
                assign=True,
            )
    except RuntimeError as error:
        raise AttrimorphError(
            f"the weights in {path} do not fit its recipe ({str(error).splitlines()[-1].strip()[:120]}); "
            "it is damaged, get it again"
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return assemble(networks, header, device, digest)
