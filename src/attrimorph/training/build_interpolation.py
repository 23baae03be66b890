"""From a recipe of HomoInterpGAN to an algorithm that can step."""

from collections.abc import Callable

import torch
from torch import nn

from attrimorph.algorithms.homointerp import WEIGHTS, HomoInterp
from attrimorph.data.schema import Schema
from attrimorph.kinds.interpolation import feature_side, grouping, interpolation_networks, membership
from attrimorph.networks.convolutional import CodeJudge
from attrimorph.networks.interpolation import Critic, Projection, VggEncoder
from attrimorph.networks.perceptual import AttributeMaps, VggMaps
from attrimorph.recipes.interpolation import InterpolationRecipe
from attrimorph.training.hardware import FastPath
from attrimorph.training.perceptual import perceptual_network

SLOW_TO_FORGET = ("decoder", "projection", "classifier", "prototypes", "code_classifier")


def build_interpolation(
    recipe: InterpolationRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> HomoInterp:
    """Return HomoInterpGAN with fresh weights drawn from the recipe's seed.

    Args:
        recipe: the run.
        schema: of the data.
        path: precision and memory format.
        device: where the networks live.
        reduce_gradients: averages gradients over processes.
    """
    learned = recipe.networks.prototypes == "learned"
    options, vgg = recipe.losses, perceptual_network(recipe.losses.perceptual_network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        networks = interpolation_networks(recipe, schema)
        networks["critic"] = Critic(
            recipe.networks.channels,
            feature_side(recipe),
            schema.width,
            recipe.networks.critic_width,
            normed=recipe.networks.critic_norm == "instance",
        )
        if learned:
            networks["code_classifier"] = CodeJudge(recipe.networks.code, schema.width)
        else:
            # They are found from the finished features, when a model is written.
            del networks["prototypes"]
        classifier = networks["classifier"]
        assert isinstance(classifier, AttributeMaps)
        deep = (vgg or classifier).deep_channels
        networks["projection"] = Projection(recipe.networks.channels, deep)
    if vgg is not None:
        start_from_imagenet(networks["encoder"], vgg)
        vgg.to(device, memory_format=path.layout)  # type: ignore[call-overload]
    for network in networks.values():
        network.to(device, memory_format=path.layout).train()  # type: ignore[call-overload]
        if recipe.training.compile:
            network.compile()
    return HomoInterp(
        networks,
        {name: optimiser(recipe, name, network) for name, network in networks.items()},
        {name: options.model_dump()[name] for name in WEIGHTS},
        members=membership(grouping(recipe, schema), schema).to(device),
        blocks=schema.blocks,
        blank=schema.blank.to(device),
        rivals=schema.rivals.to(device),
        vgg=vgg,
        penalty_of=options.penalty_of,
        generator_every=options.generator_every,
        reference_share=options.reference_share if learned else 1.0,
        full_share=options.full_share,
        encoder_share=options.encoder_share,
        # VGG-19 knows what it sees from the first step on.
        warmup_images=0 if vgg is not None else options.warmup_images,
        autocast=path.autocast,
        reduce_gradients=reduce_gradients,
    )


def start_from_imagenet(encoder: nn.Module, vgg: VggMaps) -> None:
    """Give a published E the weights of VGG-19 that are at hand; it trains on from there."""
    if isinstance(encoder, VggEncoder):
        wanted, there = encoder.state_dict(), vgg.vgg.state_dict()
        encoder.load_state_dict({name: there.get(name, value) for name, value in wanted.items()})


def optimiser(recipe: InterpolationRecipe, name: str, network: nn.Module) -> torch.optim.Optimizer:
    """Return a network's Adam: its rate, and which first decay."""
    options = recipe.optimiser
    rate = options.learning_rate
    if name == "critic" and options.discriminator_rate is not None:
        rate = options.discriminator_rate
    beta1 = options.decoder_beta1 if name in SLOW_TO_FORGET else options.beta1
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(beta1, options.beta2), fused=True)
