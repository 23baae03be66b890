"""Recipes for CycleGAN (Zhu et al., ICCV 2017) and pix2pix (Isola et al., CVPR 2017)."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from attrimorph.errors import suggestion
from attrimorph.recipe import AnyRecipe, DataOptions, OptimiserOptions, Options, TrainingOptions, Weight, Width

METHODS = ("cyclegan", "pix2pix")


class DomainOptions(Options):
    """What is translated into what."""

    attribute: str = ""
    """The binary attribute whose absence and presence are the two domains; empty where the data have one alone."""
    source: Literal["pairs", "mask", "grey", "edges"] = "pairs"
    """pix2pix: what its generator is given: the other image of a pair, or the image's mask, brightness or edges."""


class TranslationNetworkOptions(Options):
    """Which networks, how large."""

    generator: Literal["resnet", "unet"] = "resnet"
    """resnet: two halvings, residual blocks, two doublings; unet: down to 1x1 and back, with skips."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 9
    """Residual blocks: as published 9 from 256 pixels on, 6 below."""
    generator_width: Width = 64
    """Channels of G's first convolution."""
    discriminator_width: Width = 64
    """Channels of D's first convolution (70x70 PatchGAN)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In the U-Net; pix2pix: 0.5, its only noise."""


class TranslationLossOptions(Options):
    """Weights of the losses (means over everything) and what belongs to them."""

    cycle: Weight = 10.0
    """CycleGAN: |F(G(a)) - a| + |G(F(b)) - b|."""
    identity: Weight = 0.5
    """CycleGAN: |G(b) - b| + |F(a) - a|, as a share of `cycle`."""
    pool: Annotated[int, Field(ge=0, le=10_000)] = 50
    """CycleGAN: made images that each discriminator remembers."""
    l1: Weight = 100.0
    """pix2pix: |G(s) - x|."""


class TranslationRecipe(AnyRecipe):
    """One whole run of CycleGAN or pix2pix."""

    method: str = "cyclegan"
    domains: DomainOptions = DomainOptions()
    networks: TranslationNetworkOptions = TranslationNetworkOptions()
    losses: TranslationLossOptions = TranslationLossOptions()

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"there is no method {value!r} of this kind; {suggestion(value, METHODS)}")
        return value

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if self.data.image_size < 32:
            raise ValueError(
                f"data.image_size must be at least 32 for a PatchGAN; got {self.data.image_size}; take larger images"
            )
        return self


PUBLISHED = OptimiserOptions(learning_rate=2e-4, beta1=0.5, beta2=0.999, schedule="linear", constant_share=0.5)
"""Adam 2e-4 (0.5, 0.999); constant for half of the run, then linear to 0."""


def paper() -> TranslationRecipe:
    """CycleGAN as published for 128 pixels."""
    return TranslationRecipe(
        name="cyclegan",
        about="CycleGAN as published for 128x128: two folders of images, or one attribute of a labelled set.",
        data=DataOptions(image_size=128, flip=0.5),
        networks=TranslationNetworkOptions(blocks=6),
        optimiser=PUBLISHED,
        # 200 epochs of a thousand images of each domain; a batch of two is one image of each, as published.
        training=TrainingOptions(
            images=400_000, batch_size=2, ema_images=0, sample_images=10_000, checkpoint_images=10_000
        ),
    )


def small() -> TranslationRecipe:
    """CycleGAN for CPUs."""
    return TranslationRecipe(
        name="cyclegan-64",
        about="CycleGAN with narrow networks for 64x64 on CPUs; everything else as published.",
        data=DataOptions(image_size=64),
        networks=TranslationNetworkOptions(blocks=4, generator_width=24, discriminator_width=24),
        optimiser=PUBLISHED,
        training=TrainingOptions(
            images=60_000, batch_size=4, ema_images=0, sample_images=5_000, checkpoint_images=10_000
        ),
    )


def pix2pix() -> TranslationRecipe:
    """pix2pix as published."""
    return TranslationRecipe(
        name="pix2pix",
        about="pix2pix as published for 256x256: U-Net, conditional PatchGAN, 100 L1, on pairs of images.",
        method="pix2pix",
        data=DataOptions(image_size=256),
        networks=TranslationNetworkOptions(generator="unet", dropout=0.5),
        optimiser=PUBLISHED,
        training=TrainingOptions(
            images=160_000, batch_size=2, ema_images=0, sample_images=10_000, checkpoint_images=10_000
        ),
    )


def pix2pix_small() -> TranslationRecipe:
    """pix2pix for CPUs, from edges to pictures."""
    return TranslationRecipe(
        name="pix2pix-64",
        about="pix2pix with a narrow U-Net for 64x64 on CPUs: from edges (or a mask, or grey) to the picture.",
        method="pix2pix",
        data=DataOptions(image_size=64),
        domains=DomainOptions(source="edges"),
        networks=TranslationNetworkOptions(generator="unet", generator_width=24, discriminator_width=24, dropout=0.5),
        optimiser=PUBLISHED,
        training=TrainingOptions(
            images=60_000, batch_size=4, ema_images=0, sample_images=5_000, checkpoint_images=10_000
        ),
    )


RECIPES: dict[str, Callable[[], TranslationRecipe]] = {
    "cyclegan": paper,
    "cyclegan-64": small,
    "pix2pix": pix2pix,
    "pix2pix-64": pix2pix_small,
}
