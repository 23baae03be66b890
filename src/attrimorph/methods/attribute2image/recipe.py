"""Recipes for Attribute2Image (Yan, Yang, Sohn, Lee, ECCV 2016): CVAE and the layered disCVAE."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, field_validator

from attrimorph.errors import suggestion
from attrimorph.recipe import AnyRecipe, DataOptions, OptimiserOptions, Options, Share, TrainingOptions, Weight, Width

CVAE, DISCVAE = "attribute2image-cvae", "attribute2image-discvae"
METHODS = (CVAE, DISCVAE)

Latent = Annotated[int, Field(gt=0, le=65_536)]


class LayerNetworkOptions(Options):
    """Which networks, how large."""

    kind: Literal["small", "paper"] = "small"
    """small: strided 4x4 convolutions for CPUs, which need no mask to encode; paper: as published, for 64x64."""
    latent: Latent = 128
    """Columns of z; in disCVAE of z_F, which goes with the attributes."""
    background_latent: Latent = 64
    """Columns of z_B (disCVAE)."""
    encoder_width: Width = 32
    """Channels of the encoder's first convolution (disCVAE: of the foreground's); published 64."""
    decoder_width: Width = 32
    """Channels of the decoder's last stage but one (disCVAE: of the foreground's); published 64."""
    background_width: Width = 16
    """The same of the background's encoder and decoder (disCVAE); published 64."""
    gate_channels: Literal[1, 3] = 1
    """One gate for all colours, or one for each, as published (disCVAE)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the encoders' last hidden layer; published 0.5."""
    classifier_width: Width = 16
    """Channels of the first convolution of the classifier that guesses a photograph's attributes (ours)."""


class LayerLossOptions(Options):
    """Weights of the losses (sums over a sample, means over the batch) and what belongs to them."""

    kl: Weight = 1.0
    """KL(q(z | x, y) || N(0, I)); in disCVAE of z_F and of z_B."""
    image: Weight = 1.0
    """L(x): -log p of the image, of the composition in disCVAE."""
    foreground: Weight = 1.0
    """L(x_F): -log p of the foreground on black (disCVAE)."""
    gate: Weight = 1.0
    """L(g): cross-entropy of the gate (disCVAE); 0.3 in the authors' code, summed over its channels."""
    roughness: Weight = 0.0
    """Ours: squared steps of the background where the foreground hides it, over the variance (disCVAE)."""
    hide: Weight = 0.0
    """Ours: cross-entropy between a classifier of codes and the labels' means, for the encoder of z or z_F; without
    it a well-trained decoder takes attributes from the code, and y changes little."""
    variance: Literal["fixed", "learned"] = "fixed"
    """Of the Gaussian p(x | y, z): fixed, one number for all (the paper), or learned for each pixel (its code)."""
    deviation: Annotated[float, Field(gt=0, le=10)] = 1.0
    """The fixed standard deviation, on the scale of [-1, 1]; nobody says the paper's."""
    composition: Literal["sum", "convex"] = "sum"
    """sum: x_F + x_B g, the paper's, which bears wrong masks; convex: x_F (1 - g) + x_B g (disCVAE)."""
    masks_hidden: Share = 0.0
    """Ours: share of the known masks that the encoders are not shown, so that they can do without (disCVAE)."""


class LayerOptimiserOptions(OptimiserOptions):
    """Adam for each network, as published."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-4
    """Of all networks."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Adam's first decay."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Adam's second decay."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added to the gradient, times the weight. The published 0.004 is for sums over 32 images: 1.25e-4 for means."""


class LayerRecipe(AnyRecipe):
    """One whole run of Attribute2Image."""

    method: str = DISCVAE
    networks: LayerNetworkOptions = LayerNetworkOptions()
    losses: LayerLossOptions = LayerLossOptions()
    optimiser: LayerOptimiserOptions = LayerOptimiserOptions()

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"there is no method {value!r} of this kind; {suggestion(value, METHODS)}")
        return value


def small(method: str, about: str) -> LayerRecipe:
    """Return a recipe for 64x64 drawn faces or photographs on CPUs."""
    layered = method == DISCVAE
    return LayerRecipe(
        name=method,
        about=about,
        method=method,
        networks=LayerNetworkOptions(latent=128 if layered else 192),
        losses=LayerLossOptions(
            deviation=0.3, hide=300.0, roughness=1.0 if layered else 0.0, masks_hidden=0.75 if layered else 0.0
        ),
        optimiser=LayerOptimiserOptions(learning_rate=1e-3, schedule="cosine", constant_share=0.5, warmup_images=1_000),
        training=TrainingOptions(
            images=150_000, batch_size=16, ema_images=4_000, sample_images=10_000, checkpoint_images=20_000
        ),
    )


def paper(name: str, method: str, about: str, latent: int, background_latent: int) -> LayerRecipe:
    """Return a recipe with the published networks and settings."""
    return LayerRecipe(
        name=name,
        about=about,
        method=method,
        # As published; the authors' colour and sharpness jitter is near the former, the latter is left out.
        data=DataOptions(image_size=64, flip=0.5, colour=0.03),
        networks=LayerNetworkOptions(
            kind="paper",
            latent=latent,
            background_latent=background_latent,
            encoder_width=64,
            decoder_width=64,
            background_width=64,
            gate_channels=3,
            dropout=0.5,
        ),
        losses=LayerLossOptions(gate=0.3, variance="fixed" if method == DISCVAE else "learned"),
        optimiser=LayerOptimiserOptions(weight_decay=1.25e-4),
        training=TrainingOptions(
            images=700_000, batch_size=32, ema_images=0, sample_images=20_000, checkpoint_images=20_000
        ),
    )


RECIPES: dict[str, Callable[[], LayerRecipe]] = {
    CVAE: lambda: small(CVAE, "Attribute2Image's CVAE at 64x64, with small networks for CPUs."),
    DISCVAE: lambda: small(
        DISCVAE, "Attribute2Image's disCVAE at 64x64, foreground and background apart, with small networks for CPUs."
    ),
    "attribute2image-cvae-paper": lambda: paper(
        "attribute2image-cvae-paper", CVAE, "CVAE as published: LFW with 73 real-valued scores, 64x64.", 256, 64
    ),
    "attribute2image-discvae-paper": lambda: paper(
        "attribute2image-discvae-paper",
        DISCVAE,
        "disCVAE as published: LFW with 73 real-valued scores, 64x64.",
        192,
        64,
    ),
    "attribute2image-discvae-cub": lambda: paper(
        "attribute2image-discvae-cub",
        DISCVAE,
        "disCVAE as published: birds (CUB) with 312 attributes, 64x64.",
        128,
        128,
    ),
}
