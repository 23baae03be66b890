"""Recipes for CycleGAN (Zhu et al., ICCV 2017) and pix2pix (Isola et al., CVPR 2017)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

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
        if self.data.image_size < 32:
            raise ValueError(
                f"data.image_size must be at least 32 for a PatchGAN; got {self.data.image_size}; take larger images"
            )
        return self


PUBLISHED: dict[str, Any] = {
    # Adam 2e-4 (0.5, 0.999); constant for half of the run, then linear to 0. A batch of two is one image of each
    # domain, as published.
    "optimiser": {
        "learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "schedule": "linear", "constant_share": 0.5
    },
    "training": {"batch_size": 2, "ema_images": 0, "sample_images": 10_000, "checkpoint_images": 10_000},
}  # fmt: skip
# Narrow, for CPUs.
TRAINED = PUBLISHED["training"] | {"images": 60_000, "batch_size": 4, "sample_images": 5_000}
NARROW = PUBLISHED | {"training": TRAINED}
WIDTHS = {"generator_width": 24, "discriminator_width": 24}
UNET = {"generator": "unet", "dropout": 0.5}

RECIPES: dict[str, Callable[[], TranslationRecipe]] = TranslationRecipe.table(
    {
        "cyclegan": PUBLISHED
        | {
            "about": "CycleGAN as published for 128x128: two folders of images, or one attribute of a labelled set.",
            "data": {"image_size": 128, "flip": 0.5},
            "networks": {"blocks": 6},
            # 200 epochs of a thousand images of each domain.
            "training": PUBLISHED["training"] | {"images": 400_000},
        },
        "cyclegan-64": NARROW
        | {
            "about": "CycleGAN with narrow networks for 64x64 on CPUs; everything else as published.",
            "networks": WIDTHS | {"blocks": 4},
        },
        "pix2pix": PUBLISHED
        | {
            "about": "pix2pix as published for 256x256: U-Net, conditional PatchGAN, 100 L1, on pairs of images.",
            "method": "pix2pix",
            "data": {"image_size": 256},
            "networks": UNET,
            "training": PUBLISHED["training"] | {"images": 160_000},
        },
        "pix2pix-64": NARROW
        | {
            "about": "pix2pix with a narrow U-Net for 64x64 on CPUs: from edges (or a mask, or grey) to the picture.",
            "method": "pix2pix",
            "domains": {"source": "edges"},
            "networks": UNET | WIDTHS,
        },
    }
)
