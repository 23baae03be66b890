"""From a recipe of the progressively grown GAN to its algorithm."""

from collections.abc import Callable

import torch
from torch import nn

from attrimorph.algorithms.pggan import PGGAN, Growth
from attrimorph.data.schema import Schema
from attrimorph.kinds.progressive import generator_of
from attrimorph.networks.progressive import Discriminator
from attrimorph.recipes.progressive import ProgressiveRecipe
from attrimorph.training.hardware import FastPath


def growth_of(recipe: ProgressiveRecipe) -> Growth:
    """Return when a recipe's networks grow."""
    growth = recipe.growth
    return Growth(growth.start, recipe.data.image_size, growth.fixed_images, growth.fading_images, growth.batch_sizes)


def build_progressive(
    recipe: ProgressiveRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> PGGAN:
    """Return the algorithm with fresh weights drawn from the recipe's seed; arguments as of `build.build`."""
    options, rates = recipe.networks, recipe.optimiser
    size, outputs = recipe.data.image_size, schema.width if recipe.networks.conditional else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        networks: dict[str, nn.Module] = {
            "generator": generator_of(recipe, schema),
            "discriminator": Discriminator(size, outputs, options.width, options.most, options.convolutions),
        }
    optimisers: dict[str, torch.optim.Optimizer] = {}
    for name, network in networks.items():
        network.to(device, memory_format=path.layout).train()  # type: ignore[call-overload]
        rate = rates.learning_rate
        if name == "discriminator" and rates.discriminator_rate is not None:
            rate = rates.discriminator_rate
        optimisers[name] = torch.optim.Adam(network.parameters(), lr=rate, betas=(rates.beta1, rates.beta2), fused=True)
    return PGGAN(
        networks,
        optimisers,
        growth_of(recipe),
        gradient_penalty=recipe.losses.gradient_penalty,
        drift=recipe.losses.drift,
        penalty_every=recipe.losses.penalty_every,
        classify=recipe.losses.classify,
        conditional=options.conditional,
        blocks=schema.blocks,
        blank=schema.blank.to(device),
        latent=options.latent,
        autocast=path.autocast,
        reduce_gradients=reduce_gradients,
    )
