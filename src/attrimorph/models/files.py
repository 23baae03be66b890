"""Model files, loaded. One file holds a model: model.safetensors.

It alone loads, serves and is shared.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.finding import find, named_parts
from attrimorph.models.header import Header, read_header
from attrimorph.models.model import Model
from attrimorph.recipes.options import AnyRecipe, Recipe


@dataclass(frozen=True)
class Kind:
    """How the models of one kind of recipe come out of their files.

    Attributes:
        networks: (recipe, schema, names of the networks in the file) -> fresh networks that the file must hold.
        model: (networks, header, device, digest) -> the model.
    """

    networks: Callable[[Any, Schema, Collection[str]], dict[str, nn.Module]]
    model: Callable[[Mapping[str, nn.Module], Header, str, str], Model]


class Unfilled(TorchFunctionMode):
    """New weights stay as they come: to fill them on the meta device would import all of torch._dynamo and sympy."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Leave out what every initialiser is made of."""
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def kind_of(recipe: AnyRecipe) -> Kind:
    """Return how models of such a recipe come out of their files."""
    # Imported where they are wanted: a command that edits one picture pays for no kind but its model's.
    if isinstance(recipe, Recipe):
        from attrimorph.models.family import family_model, family_networks

        return Kind(family_networks, family_model)
    from attrimorph.kinds.attribute2image import attribute2image_model, attribute2image_networks
    from attrimorph.kinds.interpolation import InterpolationModel, interpolation_networks
    from attrimorph.kinds.progressive import ProgressiveModel, progressive_networks
    from attrimorph.kinds.translation import translation_model, translation_networks
    from attrimorph.recipes.attribute2image import LayerRecipe
    from attrimorph.recipes.interpolation import InterpolationRecipe
    from attrimorph.recipes.progressive import ProgressiveRecipe
    from attrimorph.recipes.translation import TranslationRecipe

    kinds: dict[type[AnyRecipe], Kind] = {
        LayerRecipe: Kind(attribute2image_networks, attribute2image_model),
        TranslationRecipe: Kind(translation_networks, translation_model),
        InterpolationRecipe: Kind(interpolation_networks, InterpolationModel),
        ProgressiveRecipe: Kind(progressive_networks, ProgressiveModel),
    }
    return kinds[type(recipe)]


def assemble(networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> Model:
    """Return the kind of model that the header's recipe makes."""
    return kind_of(header.recipe).model(networks, header, device, digest)


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
    header, content = read_header(path), path.read_bytes()
    tensors = {
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype)
        for name, value in safetensors.torch.load(content).items()
    }
    found = {key.partition(".")[0] for key in tensors}
    with torch.device("meta"), Unfilled():
        networks = kind_of(header.recipe).networks(header.recipe, header.schema, found)
    if found != set(networks):
        raise AttrimorphError(
            f"{path} must hold the networks {', '.join(networks)} of the method {header.recipe.method}; it holds "
            f"{', '.join(sorted(found)) or 'none'}; it is damaged, get it again"
        )
    # 0 times NaN or infinity is NaN: ten times as fast as isfinite.
    if odd := [key for key, value in tensors.items() if (value * 0).sum() != 0]:
        raise AttrimorphError(f"the weights in {path} hold NaN or infinity ({odd[0]}); it is damaged, get it again")
    try:
        for name, network in networks.items():
            part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            network.load_state_dict(part, assign=True)
    except RuntimeError as error:
        raise AttrimorphError(
            f"the weights in {path} do not fit its recipe ({str(error).splitlines()[-1].strip()[:120]}); "
            "it is damaged, get it again"
        ) from error
    return assemble(networks, header, device, hashlib.sha256(content).hexdigest())
