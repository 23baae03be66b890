"""Recipes for StarGAN (Choi et al., CVPR 2018), AttGAN (He et al., TIP 2019) and STGAN (Liu et al., CVPR 2019)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attrimorph.recipe import AnyRecipe, Options, Weight, Width

Layers = Annotated[int, Field(ge=2, le=8)]
Some = Annotated[int, Field(ge=0, le=7)]


class EditingNetworkOptions(Options):
    """Which networks, how large: what the three have, with STGAN's values.

    Attributes:
        layers: Halvings of the encoder and of D, doublings of the decoder; fewer where 2x2 is reached before. Of STGAN
            there is a selective transfer unit for each of the encoder's features but the smallest.
        generator_width: Channels of the first convolution of G or its encoder; they double at each that halves.
        discriminator_width: Channels of D's first convolution; they double at each.
        classifier_width: Channels of the classifier's first convolution.
    """

    layers: Layers = 5
    generator_width: Width = 64
    discriminator_width: Width = 64
    classifier_width: Width = 16


class StarGANNetworkOptions(EditingNetworkOptions):
    """Which networks, how large.

    Attributes:
        layers: Convolutions of D, each of which halves the picture; fewer where 1x1 is reached before.
        blocks: Residual blocks of G.
    """

    layers: Annotated[int, Field(ge=2, le=10)] = 6
    blocks: Annotated[int, Field(ge=1, le=64)] = 6


class AttGANNetworkOptions(EditingNetworkOptions):
    """Which networks, how large.

    Attributes:
        shortcuts: The encoder's features join after so many of the first doublings.
        injections: Attributes join the smallest features, and after so many of the first doublings again.
        reach: How far an edit of strength 1 goes, in what was asked in training: at 1.5 attributes of -0.5 and 0.5
            become 1 and -1.
    """

    shortcuts: Some = 1
    injections: Some = 1
    reach: Annotated[float, Field(gt=0, le=4)] = 1.5


class EditingLossOptions(Options):
    """Weights of the losses and what belongs to them, of AttGAN and STGAN; -D(x') and D(x') - D(x) weigh 1.

    Attributes:
        gradient_penalty: (||grad D|| - 1)^2 between x and x'.
        head_real: D's head: cross-entropy of the attributes of real pictures, mean over attributes (AttGAN's lambda_3,
            STGAN's lambda_1).
        asked_head: Cross-entropy of D's head on x' against y', mean over attributes (lambda_2).
        reconstruction: |G(x, y, y) - x|, mean (AttGAN's lambda_1, STGAN's lambda_3).
        generator_every: G learns in every so manieth step.
    """

    gradient_penalty: Weight = 10.0
    head_real: Weight = 1.0
    asked_head: Weight = 10.0
    reconstruction: Weight = 100.0
    generator_every: Annotated[int, Field(ge=1, le=1000)] = 5


class StarGANLossOptions(EditingLossOptions):
    """Weights of the losses and what belongs to them; -D(x') and D(x') - D(x) weigh 1.

    Attributes:
        head_real: D's head: cross-entropy of the attributes of real pictures, sum over attributes (lambda_cls).
        asked_head: Cross-entropy of D's head on x' against y', sum over attributes (lambda_cls).
        reconstruction: |G(G(x, y'), y) - x|, mean (lambda_rec).
    """

    asked_head: Weight = 1.0
    reconstruction: Weight = 10.0


class StarGANRecipe(AnyRecipe):
    """One whole run of StarGAN."""

    method: Literal["stargan"] = "stargan"
    networks: StarGANNetworkOptions = StarGANNetworkOptions()
    losses: StarGANLossOptions = StarGANLossOptions()


class AttGANRecipe(AnyRecipe):
    """One whole run of AttGAN."""

    method: Literal["attgan"] = "attgan"
    networks: AttGANNetworkOptions = AttGANNetworkOptions()
    losses: EditingLossOptions = EditingLossOptions()


class STGANRecipe(AnyRecipe):
    """One whole run of STGAN."""

    method: Literal["stgan"] = "stgan"
    networks: EditingNetworkOptions = EditingNetworkOptions()
    losses: EditingLossOptions = EditingLossOptions()


STARGAN = StarGANRecipe.read(Path(__file__).with_name("stargan.toml"))
ATTGAN = AttGANRecipe.read(Path(__file__).with_name("attgan.toml"))
STGAN = STGANRecipe.read(Path(__file__).with_name("stgan.toml"))
