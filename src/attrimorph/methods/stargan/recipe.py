"""Recipes for StarGAN (Choi, Choi, Kim, Ha, Kim, Choo, CVPR 2018)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attrimorph.recipe import AnyRecipe, Options, Weight, Width


class StarGANNetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        blocks: Residual blocks of G.
        layers: Convolutions of D, each of which halves the picture; fewer where 1x1 is reached before.
        generator_width: Channels of G's first convolution.
        discriminator_width: Channels of D's first convolution; they double at each.
        classifier_width: Channels of the classifier's first convolution.
    """

    blocks: Annotated[int, Field(ge=1, le=64)] = 6
    layers: Annotated[int, Field(ge=2, le=10)] = 6
    generator_width: Width = 64
    discriminator_width: Width = 64
    classifier_width: Width = 16


class StarGANLossOptions(Options):
    """Weights of the losses and what belongs to them; -D(x') and D(x') - D(x) weigh 1.

    Attributes:
        gradient_penalty: (||grad D|| - 1)^2 between x and x'.
        head_real: D's head: cross-entropy of the attributes of real pictures, sum over attributes (lambda_cls).
        asked_head: Cross-entropy of D's head on x' against y', sum over attributes (lambda_cls).
        reconstruction: |G(G(x, y'), y) - x|, mean (lambda_rec).
        generator_every: G learns in every so manieth step.
    """

    gradient_penalty: Weight = 10.0
    head_real: Weight = 1.0
    asked_head: Weight = 1.0
    reconstruction: Weight = 10.0
    generator_every: Annotated[int, Field(ge=1, le=1000)] = 5


class StarGANRecipe(AnyRecipe):
    """One whole run of StarGAN."""

    method: Literal["stargan"] = "stargan"
    networks: StarGANNetworkOptions = StarGANNetworkOptions()
    losses: StarGANLossOptions = StarGANLossOptions()


RECIPES = StarGANRecipe.read(Path(__file__).with_name("recipes.toml"))
