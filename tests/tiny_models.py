"""Tiny models with fresh weights, as files: everything about them is real but their training."""

from pathlib import Path

import torch

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.methods.attribute2image.networks import kept_networks
from attrimorph.methods.attribute2image.recipe import LayerRecipe
from attrimorph.methods.cvae_gan.networks import NETWORKS, networks_of
from attrimorph.methods.cvae_gan.recipe import METHODS, NetworkOptions, Recipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.models import model_bytes
from attrimorph.models.model import Model
from attrimorph.recipe import DataOptions


def tiny_model(
    folder: Path, *, method: str = "cvae-gan-edit", size: int = 16, seed: int = 0, schema: Schema = faces.SCHEMA
) -> Model:
    """Write and load a model; the file is folder/model.safetensors."""
    recipe = Recipe(
        name="tiny",
        method=method,
        data=DataOptions(image_size=size),
        networks=NetworkOptions(
            latent=8, encoder_width=4, generator_width=4, discriminator_width=4, classifier_width=4
        ),
    )
    names = [name for name in NETWORKS if name in METHODS[method].networks]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = networks_of(recipe, schema, names)
        # Fresh generators are nearly grey: a livelier last layer shows more.
        torch.nn.init.normal_(networks["generator"].get_parameter("last.weight"), std=0.3)
    header = {
        "recipe": recipe.model_dump(),
        "schema": schema.to_json(),
        "preprocessing": {},
        "images_seen": 0,
        "examples": (torch.rand(5 * schema.width, generator=torch.Generator().manual_seed(1)) > 0.5).float().tolist(),
        "card": {},
    }
    write_bytes(folder / "model.safetensors", model_bytes(networks, header))
    return load(folder / "model.safetensors")


def tiny_layers(
    folder: Path, *, method: str = "attribute2image-discvae", size: int = 16, seed: int = 0, **changes: object
) -> Model:
    """Write and load a CVAE or disCVAE; changes are dotted fields with two underscores for a dot."""
    fields = {
        "data.image_size": size,
        "networks.latent": 6,
        "networks.background_latent": 4,
        "networks.encoder_width": 4,
        "networks.decoder_width": 4,
        "networks.background_width": 4,
        "networks.classifier_width": 4,
    }
    recipe = recipe_named(method).with_changes(fields | {key.replace("__", "."): new for key, new in changes.items()})
    assert isinstance(recipe, LayerRecipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = kept_networks(recipe, faces.SCHEMA, ())
        for name, network in networks.items():
            if name in ("generator", "foreground_decoder", "background_decoder"):
                torch.nn.init.normal_(network.get_parameter("last.weight"), std=0.3)
    header = {
        "recipe": recipe.model_dump(),
        "schema": faces.SCHEMA.to_json(),
        "preprocessing": {},
        "images_seen": 0,
        "examples": (torch.rand(5 * faces.SCHEMA.width, generator=torch.Generator().manual_seed(1)) > 0.5)
        .float()
        .tolist(),
        "card": {},
    }
    write_bytes(folder / "model.safetensors", model_bytes(networks, header))
    return load(folder / "model.safetensors")
