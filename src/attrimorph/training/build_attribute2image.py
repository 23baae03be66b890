"""From a recipe of Attribute2Image to an algorithm that can step."""

from collections.abc import Callable

import torch
from torch import nn

from attrimorph.algorithms.attribute2image import CVAE, CVAE_WEIGHTS, DISCVAE_WEIGHTS, Attribute2Image, DisCVAE
from attrimorph.data.schema import Schema
from attrimorph.kinds.attribute2image import networks_of
from attrimorph.networks.convolutional import CodeJudge
from attrimorph.recipes import attribute2image as recipes
from attrimorph.recipes.attribute2image import LayerRecipe
from attrimorph.training.hardware import FastPath


def build_attribute2image(
    recipe: LayerRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> Attribute2Image:
    """Return CVAE or disCVAE with fresh weights drawn from the recipe's seed.

    Args:
        recipe: the run.
        schema: of the data.
        path: precision and memory format.
        device: where the networks live.
        reduce_gradients: averages gradients over processes.
    """
    options, values = recipe.networks, recipe.losses
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        networks = networks_of(recipe, schema)
        if values.hide:
            networks["code_classifier"] = CodeJudge(options.latent, schema.width)
    for network in networks.values():
        network.to(device, memory_format=path.layout).train()  # type: ignore[call-overload]
        if recipe.training.compile:
            network.compile()
    common = {
        "blocks": schema.blocks,
        "blank": schema.blank.to(device),
        "deviation": values.deviation,
        "dropout": options.dropout,
        "autocast": path.autocast,
        "reduce_gradients": reduce_gradients,
    }
    weights = values.model_dump()
    optimisers = {name: optimiser(recipe, network) for name, network in networks.items()}
    if recipe.method == recipes.CVAE:
        chosen = {name: weights[name] for name in CVAE_WEIGHTS}
        return CVAE(networks, optimisers, chosen, latent=options.latent, **common)
    return DisCVAE(
        networks,
        optimisers,
        {name: weights[name] for name in DISCVAE_WEIGHTS},
        latent=(options.latent, options.background_latent),
        published=options.kind == "paper",
        composition=values.composition,
        masks_hidden=values.masks_hidden,
        **common,
    )


def optimiser(recipe: LayerRecipe, network: nn.Module) -> torch.optim.Optimizer:
    """Return a network's Adam; its weight decay is added to the gradient, as published."""
    options = recipe.optimiser
    return torch.optim.Adam(
        network.parameters(),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        weight_decay=options.weight_decay,
        fused=True,
    )
