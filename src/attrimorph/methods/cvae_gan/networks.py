"""Sets of networks that fit one another, by name: "small" for CPUs, "paper" as published."""

from collections.abc import Callable, Collection, Iterable

from torch import nn

from attrimorph.data import Schema
from attrimorph.methods.cvae_gan import paper
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.cvae_gan.terms import METHODS
from attrimorph.networks import convolutional

Build = Callable[..., nn.Module]

SMALL: dict[str, Build] = {
    "encoder": convolutional.Encoder,
    "generator": convolutional.Generator,
    "discriminator": convolutional.Discriminator,
    "classifier": convolutional.Classifier,
    "code_discriminator": convolutional.CodeJudge,
    "code_classifier": convolutional.CodeJudge,
    "prior": convolutional.FittedPrior,
}

PAPER: dict[str, Build] = SMALL | {
    "encoder": paper.GoogLeNetEncoder,
    "generator": paper.DeconvolutionalGenerator,
    "discriminator": paper.DcganDiscriminator,
    "classifier": paper.AlexNetClassifier,
}

KINDS: dict[str, dict[str, Build]] = {"small": SMALL, "paper": PAPER}

NETWORKS = ("encoder", "generator", "classifier", "prior")
"""What a model of the family may hold; D and the judges of codes only serve training."""


def networks_of(recipe: Recipe, schema: Schema, names: Iterable[str]) -> dict[str, nn.Module]:
    """Build the named networks of a recipe, in the order of the names, with fresh weights from torch's own generator.

    Args:
        recipe: says which set and how large; the published networks have `PAPER_WIDTHS`.
        schema: of the data.
        names: of "encoder", "generator", "discriminator", "classifier", "code_discriminator", "code_classifier",
            "prior".

    Raises:
        AttrimorphError: the set has no networks for images of that size, or sizes do not go together.
    """
    method, options = METHODS[recipe.method], recipe.networks
    size, attributes, latent = recipe.data.image_size, schema.width, options.latent
    condition = attributes if method.conditional else 0
    arguments: dict[str, tuple[int, ...]] = {
        "encoder": (size, condition, latent, options.encoder_width),
        "generator": (size, condition, latent, options.generator_width),
        "discriminator": (size, attributes if method.judged_with_condition else 0, options.discriminator_width),
        "classifier": (size, attributes, options.classifier_width),
        "code_discriminator": (latent,),
        "code_classifier": (latent, attributes),
        "prior": (latent,),
    }
    heads = {
        "outputs": attributes if method.class_head else 0,
        "kernels": options.minibatch_kernels,
        "components": method.components,
        "layers": options.feature_layers,
    }
    named = {"discriminator": heads}
    return {name: KINDS[options.kind][name](*arguments[name], **named.get(name, {})) for name in names}


def kept_networks(recipe: Recipe, schema: Schema, found: Collection[str]) -> dict[str, nn.Module]:
    """Build the networks that a model file of the family must hold; `found` are those that it holds."""
    # A model that was saved before its codes were looked at has no prior.
    held = {*METHODS[recipe.method].networks, *(set(found) & {"prior"})}
    return networks_of(recipe, schema, [name for name in NETWORKS if name in held])
