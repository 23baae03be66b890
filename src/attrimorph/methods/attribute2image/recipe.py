"""Recipes for Attribute2Image (Yan, Yang, Sohn, Lee, ECCV 2016): CVAE and the layered disCVAE."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attrimorph.recipe import AnyRecipe, Decay, Latent, OptimiserOptions, Options, Rate, Share, Weight, Width

CVAE, DISCVAE = "attribute2image-cvae", "attribute2image-discvae"
METHODS = (CVAE, DISCVAE)


class LayerNetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        kind: small: strided 4x4 convolutions for CPUs, which need no mask to encode; paper: as published, for 64x64.
        latent: Columns of z; in disCVAE of z_F, which goes with the attributes.
        background_latent: Columns of z_B (disCVAE).
        encoder_width: Channels of the encoder's first convolution (disCVAE: of the foreground's); published 64.
        decoder_width: Channels of the decoder's last stage but one (disCVAE: of the foreground's); published 64.
        background_width: The same of the background's encoder and decoder (disCVAE); published 64.
        gate_channels: One gate for all colours, or one for each, as published (disCVAE).
        dropout: Of the encoders' last hidden layer; published 0.5.
        classifier_width: Channels of the first convolution of the classifier that guesses a photograph's attributes
            (ours).
    """

    kind: Literal["small", "paper"] = "small"
    latent: Latent = 128
    background_latent: Latent = 64
    encoder_width: Width = 32
    decoder_width: Width = 32
    background_width: Width = 16
    gate_channels: Literal[1, 3] = 1
    dropout: Decay = 0.0
    classifier_width: Width = 16


class LayerLossOptions(Options):
    """Weights of the losses (sums over a sample, means over the batch) and what belongs to them.

    Attributes:
        kl: KL(q(z | x, y) || N(0, I)); in disCVAE of z_F and of z_B.
        image: L(x): -log p of the image, of the composition in disCVAE.
        foreground: L(x_F): -log p of the foreground on black (disCVAE).
        gate: L(g): cross-entropy of the gate (disCVAE); 0.3 in the authors' code, summed over its channels.
        roughness: Ours: squared steps of the background where the foreground hides it, over the variance (disCVAE).
        hide: Ours: cross-entropy between a classifier of codes and the labels' means, for the encoder of z or z_F;
            without it a well-trained decoder takes attributes from the code, and y changes little.
        variance: Of the Gaussian p(x | y, z): fixed, one number for all (the paper), or learned for each pixel (its
            code).
        deviation: The fixed standard deviation, on the scale of [-1, 1]; nobody says the paper's.
        composition: sum: x_F + x_B g, the paper's, which bears wrong masks; convex: x_F (1 - g) + x_B g (disCVAE).
        masks_hidden: Ours: share of the known masks that the encoders are not shown, so that they can do without
            (disCVAE).
        error: Of x_F and x in disCVAE: gaussian, -log p as the paper has it; smooth_l1, as its authors' code.
        sharpness: Each image is learned from sharpened by U(0, this) of its difference from a mean over 5x5 pixels; 1.5
            in the authors' code.
    """

    kl: Weight = 1.0
    image: Weight = 1.0
    foreground: Weight = 1.0
    gate: Weight = 1.0
    roughness: Weight = 0.0
    hide: Weight = 0.0
    variance: Literal["fixed", "learned"] = "fixed"
    deviation: Annotated[float, Field(gt=0, le=10)] = 1.0
    composition: Literal["sum", "convex"] = "sum"
    masks_hidden: Share = 0.0
    error: Literal["gaussian", "smooth_l1"] = "gaussian"
    sharpness: Annotated[float, Field(ge=0, le=10)] = 0.0


class LayerOptimiserOptions(OptimiserOptions):
    """Adam for each network, as published.

    Attributes:
        learning_rate: Of all networks.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        weight_decay: Added to the gradient, times the weight. The published 0.004 is for sums over 32 images: 1.25e-4
            for means.
    """

    learning_rate: Rate = 3e-4
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0


class LayerRecipe(AnyRecipe):
    """One whole run of Attribute2Image."""

    methods = METHODS
    method: str = DISCVAE
    networks: LayerNetworkOptions = LayerNetworkOptions()
    losses: LayerLossOptions = LayerLossOptions()
    optimiser: LayerOptimiserOptions = LayerOptimiserOptions()

    @model_validator(mode="after")
    def _errors_fit(self) -> Self:
        if self.losses.error == "smooth_l1" and (self.method != DISCVAE or self.losses.variance == "learned"):
            raise ValueError(
                "losses.error smooth_l1 is for disCVAE without a learned variance; "
                f"got {self.method} and losses.variance {self.losses.variance}; take losses.error gaussian"
            )
        return self


RECIPES = LayerRecipe.read(Path(__file__).with_name("recipes.toml"))
