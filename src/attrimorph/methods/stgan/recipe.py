"""Recipes for STGAN (Liu, Ding, Xia, Liu, Ding, Zuo, Wen, CVPR 2019)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attrimorph.recipe import AnyRecipe, Options, Weight, Width


class STGANNetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        layers: Halvings of the encoder and of D, doublings of the decoder; fewer where 2x2 is reached before. Between
            encoder and decoder there is a selective transfer unit for each of the encoder's features but the smallest.
        generator_width: Channels of the encoder's first convolution; they double at each.
        discriminator_width: Channels of D's first convolution; they double at each.
        classifier_width: Channels of the classifier's first convolution.
    """

    layers: Annotated[int, Field(ge=2, le=8)] = 5
    generator_width: Width = 64
    discriminator_width: Width = 64
    classifier_width: Width = 16


class STGANLossOptions(Options):
    """Weights of the losses and what belongs to them; -D(x') and D(x') - D(x) weigh 1.

    Attributes:
        gradient_penalty: (||grad D|| - 1)^2 between x and x'.
        head_real: D's head: cross-entropy of the attributes of real pictures, mean over attributes (lambda_1).
        asked_head: Cross-entropy of D's head on x' against y', mean over attributes (lambda_2).
        reconstruction: |G(x, 0) - x|, mean (lambda_3).
        generator_every: G learns in every so manieth step.
    """

    gradient_penalty: Weight = 10.0
    head_real: Weight = 1.0
    asked_head: Weight = 10.0
    reconstruction: Weight = 100.0
    generator_every: Annotated[int, Field(ge=1, le=1000)] = 5


class STGANRecipe(AnyRecipe):
    """One whole run of STGAN."""

    method: Literal["stgan"] = "stgan"
    networks: STGANNetworkOptions = STGANNetworkOptions()
    losses: STGANLossOptions = STGANLossOptions()


RECIPES = STGANRecipe.read(Path(__file__).with_name("recipes.toml"))
