"""Recipes for AttGAN (He, Zuo, Kan, Shan, Chen, IEEE TIP 2019)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attrimorph.recipe import AnyRecipe, Options, Weight, Width

Layers = Annotated[int, Field(ge=2, le=8)]
Some = Annotated[int, Field(ge=0, le=7)]


class AttGANNetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        layers: Halvings of the encoder and of D, doublings of the decoder; fewer where 2x2 is reached before.
        shortcuts: The encoder's features join after so many of the first doublings.
        injections: Attributes join the smallest features, and after so many of the first doublings again.
        reach: How far an edit of strength 1 goes, in what was asked in training: at 1.5 attributes of -0.5 and 0.5
            become 1 and -1.
        generator_width: Channels of the encoder's first convolution; they double at each.
        discriminator_width: Channels of D's first convolution; they double at each.
        classifier_width: Channels of the classifier's first convolution.
    """

    layers: Layers = 5
    shortcuts: Some = 1
    injections: Some = 1
    reach: Annotated[float, Field(gt=0, le=4)] = 1.5
    generator_width: Width = 64
    discriminator_width: Width = 64
    classifier_width: Width = 16


class AttGANLossOptions(Options):
    """Weights of the losses and what belongs to them; -D(x') and D(x') - D(x) weigh 1.

    Attributes:
        gradient_penalty: (||grad D|| - 1)^2 between x and x'.
        head_real: D's head: cross-entropy of the attributes of real pictures, mean over attributes (lambda_3).
        asked_head: Cross-entropy of D's head on x' against y', mean over attributes (lambda_2).
        reconstruction: |G(x, y) - x|, mean (lambda_1).
        generator_every: G learns in every so manieth step.
    """

    gradient_penalty: Weight = 10.0
    head_real: Weight = 1.0
    asked_head: Weight = 10.0
    reconstruction: Weight = 100.0
    generator_every: Annotated[int, Field(ge=1, le=1000)] = 5


class AttGANRecipe(AnyRecipe):
    """One whole run of AttGAN."""

    method: Literal["attgan"] = "attgan"
    networks: AttGANNetworkOptions = AttGANNetworkOptions()
    losses: AttGANLossOptions = AttGANLossOptions()


RECIPES = AttGANRecipe.read(Path(__file__).with_name("recipes.toml"))
