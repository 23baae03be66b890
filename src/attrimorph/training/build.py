"""From a recipe to an algorithm that can step."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attrimorph.algorithms.algorithm import Algorithm
from attrimorph.algorithms.cvae_gan import CVAEGAN, named_method
from attrimorph.algorithms.terms import METHODS
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models import networks_of
from attrimorph.recipes.attribute2image import DISCVAE, LayerRecipe
from attrimorph.recipes.interpolation import InterpolationRecipe
from attrimorph.recipes.options import AnyRecipe, Recipe
from attrimorph.recipes.progressive import ProgressiveRecipe
from attrimorph.recipes.translation import TranslationRecipe
from attrimorph.training.build_attribute2image import build_attribute2image
from attrimorph.training.build_interpolation import build_interpolation
from attrimorph.training.build_progressive import build_progressive
from attrimorph.training.build_translation import build_translation, translation_rows
from attrimorph.training.hardware import FastPath


def build(
    recipe: AnyRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> Algorithm:
    """Return the recipe's algorithm with fresh weights drawn from its seed.

    Args:
        recipe: the run.
        schema: of the data.
        path: precision and memory format.
        device: where the networks live.
        reduce_gradients: averages gradients over processes.
    """
    check_labels(recipe, schema)
    return BUILDERS[type(recipe)](recipe, schema, path, device, reduce_gradients)


def check_labels(recipe: AnyRecipe, schema: Schema) -> None:
    """Refuse images without labels for a recipe that learns from labels.

    Raises:
        AttrimorphError: the data have no attributes, and the recipe needs some.
    """
    if schema.attributes:
        return
    if isinstance(recipe, Recipe):
        needed = METHODS[recipe.method].conditional
    else:
        needed = not isinstance(recipe, ProgressiveRecipe) or recipe.networks.conditional
    if needed:
        without = [name for name, method in METHODS.items() if not method.conditional]
        raise AttrimorphError(
            f"{recipe.name} learns from labels, and these images have none; put them into one folder for each class, "
            f"name a CSV of labels with --table, or train what needs none: {', '.join([*without, 'pggan'])}"
        )


def training_rows(recipe: AnyRecipe, data: PreparedData) -> NDArray[np.int64]:
    """Return the rows to learn from, [N]; [N, 2] where pairs stay together.

    Raises:
        AttrimorphError: the data have not what the recipe learns from.
    """
    if isinstance(recipe, TranslationRecipe):
        return translation_rows(recipe, data)
    if recipe.method == DISCVAE and data.masks is None:
        raise AttrimorphError(
            f"{recipe.name} learns from masks, at least for a part of the images; the data have none; "
            "make them with `attrimorph data mask`"
        )
    return data.indices("train")


def family(
    recipe: Recipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> CVAEGAN:
    """Return a member of the CVAE-GAN family; arguments as of `build`."""
    method, losses, options = named_method(recipe.method), recipe.losses, recipe.optimiser
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        networks = networks_of(recipe, schema, list(method.networks))
    for network in networks.values():
        network.to(device, memory_format=path.layout).train()  # type: ignore[call-overload]
        if recipe.training.compile:
            network.compile()
    optimisers: dict[str, torch.optim.Optimizer] = {}
    for name, network in networks.items():
        rate = options.learning_rate
        if name == "discriminator" and options.discriminator_rate is not None:
            rate = options.discriminator_rate
        parameters = list(network.parameters())
        if method.optimiser == "rmsprop":
            optimisers[name] = torch.optim.RMSprop(parameters, lr=rate)
        else:
            optimisers[name] = torch.optim.Adam(parameters, lr=rate, betas=(options.beta1, options.beta2), fused=True)
    return CVAEGAN(
        recipe.method,
        networks,
        optimisers,
        {
            "kl": losses.kl,
            "image": losses.image,
            "feature_d": losses.feature_d,
            "feature_c": losses.feature_c,
            "mean_d": losses.mean_d,
            "mean_c": losses.mean_c,
            "adversarial": losses.adversarial,
            "classify_sample": losses.classify_sample,
            "hide": losses.hide,
            "gradient_penalty": losses.gradient_penalty,
        },
        blocks=schema.blocks,
        blank=schema.blank.to(device),
        rivals=schema.rivals.to(device),
        latent=recipe.networks.latent,
        momentum=losses.centre_momentum,
        warmup_images=losses.warmup_images,
        edited_share=losses.edited_share if "encoder" in networks else 0.0,
        autocast=path.autocast,
        reduce_gradients=reduce_gradients,
    )


BUILDERS: dict[type[AnyRecipe], Callable[..., Algorithm]] = {
    Recipe: family,
    LayerRecipe: build_attribute2image,
    TranslationRecipe: build_translation,
    InterpolationRecipe: build_interpolation,
    ProgressiveRecipe: build_progressive,
}
