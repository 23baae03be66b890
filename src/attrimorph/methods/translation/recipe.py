"""Recipes for CycleGAN (Zhu et al., ICCV 2017) and pix2pix (Isola et al., CVPR 2017)."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attrimorph.recipe import AnyRecipe, Decay, Options, Weight, Width

METHODS = ("cyclegan", "pix2pix")


class DomainOptions(Options):
    """What is translated into what.

    Attributes:
        attribute: The binary attribute whose absence and presence are the two domains; empty where the data have one
            alone.
        source: pix2pix: what its generator is given: the other image of a pair, or the image's mask, brightness or
            edges.
    """

    attribute: str = ""
    source: Literal["pairs", "mask", "grey", "edges"] = "pairs"


class TranslationNetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        generator: resnet: two halvings, residual blocks, two doublings; unet: down to 1x1 and back, with skips.
        blocks: Residual blocks: as published 9 from 256 pixels on, 6 below.
        generator_width: Channels of G's first convolution.
        discriminator_width: Channels of D's first convolution (70x70 PatchGAN).
        dropout: In the U-Net; pix2pix: 0.5, its only noise.
    """

    generator: Literal["resnet", "unet"] = "resnet"
    blocks: Annotated[int, Field(ge=1, le=64)] = 9
    generator_width: Width = 64
    discriminator_width: Width = 64
    dropout: Decay = 0.0


class TranslationLossOptions(Options):
    """Weights of the losses (means over everything) and what belongs to them.

    Attributes:
        cycle: CycleGAN: |F(G(a)) - a| + |G(F(b)) - b|.
        identity: CycleGAN: |G(b) - b| + |F(a) - a|, as a share of `cycle`.
        pool: CycleGAN: made images that each discriminator remembers.
        l1: pix2pix: |G(s) - x|.
    """

    cycle: Weight = 10.0
    identity: Weight = 0.5
    pool: Annotated[int, Field(ge=0, le=10_000)] = 50
    l1: Weight = 100.0


class TranslationRecipe(AnyRecipe):
    """One whole run of CycleGAN or pix2pix."""

    methods = METHODS
    method: str = "cyclegan"
    domains: DomainOptions = DomainOptions()
    networks: TranslationNetworkOptions = TranslationNetworkOptions()
    losses: TranslationLossOptions = TranslationLossOptions()

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        # Below, the last norm of D would see a single place.
        if self.data.image_size < 32:
            raise ValueError(
                f"data.image_size must be at least 32 for a PatchGAN; got {self.data.image_size}; take larger images"
            )
        return self


RECIPES = TranslationRecipe.read(Path(__file__).with_name("recipes.toml"))
