"""Models of the kinds with tiny, fresh networks, as files: everything about them is real but their training."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.methods.recipes import recipe_named
from attrimorph.models import model_bytes
from attrimorph.models.model import Model
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath
from attrimorph.training.trainer import build

PLAIN = FastPath("float32", "contiguous", {})
EDITING: dict[str, Any] = {
    "data.image_size": 16,
    "networks.generator_width": 4,
    "networks.discriminator_width": 4,
    "networks.classifier_width": 4,
    "losses.generator_every": 2,
}
NARROW: dict[str, dict[str, Any]] = {
    "homointerp-drawn-64": {
        "data.image_size": 32,
        "networks.channels": 8,
        "networks.code": 6,
        "networks.encoder_width": 4,
        "networks.interpolator_width": 4,
        "networks.decoder_width": 4,
        "networks.critic_width": 8,
        "networks.classifier_width": 4,
        "losses.warmup_images": 0,
    },
    "cyclegan-64": {
        "data.image_size": 32,
        "networks.blocks": 1,
        "networks.generator_width": 4,
        "networks.discriminator_width": 4,
        "domains.attribute": "Smiling",
    },
    "pix2pix-64": {
        "data.image_size": 32,
        "networks.generator_width": 4,
        "networks.discriminator_width": 4,
    },
    "retouch-64": {
        "data.image_size": 32,
        "networks.editor_width": 4,
        "networks.blocks": 1,
        "networks.discriminator_width": 4,
        "networks.detail_width": 4,
        "losses.warmup_images": 0,
        "networks.classifier_width": 4,
    },
    "stargan-64": EDITING | {"networks.blocks": 1},
    "attgan-64": EDITING,
    "stgan-64": EDITING,
    "pggan-drawn-64": {
        "data.image_size": 16,
        "networks.latent": 6,
        "networks.width": 4,
        "networks.most": 8,
        "growth.start": 16,
        "growth.fixed_images": [16],
        "growth.fading_images": [32],
        "growth.batch_sizes": [8],
        "training.batch_size": 8,
    },
}


def narrow(name: str, changes: dict[str, Any] | None = None) -> AnyRecipe:
    return recipe_named(name).with_changes(NARROW[name] | (changes or {}))


def small_model(
    folder: Path, name: str, changes: dict[str, Any] | None = None, schema: Schema = faces.SCHEMA, lively: float = 0.0
) -> Model:
    """Write and load a model; `lively` widens the interpolator's fresh weights so that edits show."""
    recipe = narrow(name, changes)
    algorithm = build(recipe, schema, PLAIN)
    if lively:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            torch.nn.init.normal_(algorithm.networks["interpolator"].get_parameter("third.weight"), std=lively)
            torch.nn.init.normal_(algorithm.networks["decoder"].get_parameter("last.weight"), std=0.3)
            if "prototypes" in algorithm.networks:
                torch.nn.init.normal_(algorithm.networks["prototypes"].get_parameter("last.weight"), std=0.3)
    networks = {name: algorithm.networks[name] for name in algorithm.kept}
    size = recipe.data.image_size
    labels = (torch.rand(6, schema.width, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    networks |= algorithm.extras(networks, [Batch(pictures(6, size), labels)])
    header = {
        "recipe": recipe.model_dump(),
        "schema": schema.to_json(),
        "preprocessing": {},
        "images_seen": 0,
        "examples": torch.ones(2 * schema.width).tolist(),
        "card": {},
    }
    write_bytes(folder / "model.safetensors", model_bytes(networks, header))
    return load(folder / "model.safetensors")


def pictures(count: int = 3, size: int = 32, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def seeing(model: Model, *names: str) -> Callable[[Model, Tensor], Tensor]:
    """Return a `guess_attributes` that sees these attributes in turns, each alone: a fresh one sees the same always."""
    seen = itertools.cycle([model.schema.edit(torch.zeros(1, model.schema.width), {name: 1.0}) for name in names])
    return lambda _, images: next(seen).expand(len(images), -1)
