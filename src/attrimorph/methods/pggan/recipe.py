"""Recipes of the progressively grown GAN: as published, to 1024 pixels, and small ones for CPUs."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from attrimorph.recipe import AnyRecipe, Images, Latent, Options, Weight, Width

METHODS = ("pggan",)
SMALLEST = 4

Schedule = Annotated[tuple[Images, ...], Field(min_length=1)]


class ProgressiveNetworkOptions(Options):
    """How large G and D are.

    Attributes:
        latent: Columns of z.
        width: Channels at the last resolution; they double as the image halves. As published: 16,384 / image_size.
        most: No stage has more channels than this.
        convolutions: In each stage of G and D; 2 as published.
        conditional: G is given the attributes, and D tells them (AC-GAN).
    """

    latent: Latent = 512
    width: Width = 16
    most: Width = 512
    convolutions: Annotated[int, Field(ge=1, le=2)] = 2
    conditional: bool = False


class ProgressiveLossOptions(Options):
    """Weights of the losses.

    Attributes:
        gradient_penalty: WGAN-GP's.
        penalty_every: The penalty is evaluated at every so many-th step, with so many times its weight; 1 as published.
        drift: Of D's squared score on real images.
        classify: AC-GAN's cross-entropies, on real images and samples, where G is conditional.
    """

    gradient_penalty: Weight = 10.0
    penalty_every: Annotated[int, Field(ge=1, le=64)] = 1
    drift: Weight = 1e-3
    classify: Weight = 1.0


class GrowthOptions(Options):
    """When the networks grow. One entry for every resolution from the first on; the last one holds for the rest.

    Attributes:
        start: First resolution, a power of two.
        fixed_images: Images at each resolution once it is whole.
        fading_images: Images while the resolution after it is faded in.
        batch_sizes: Images of one step; each must divide training.batch_size, which is read at once.
    """

    start: Annotated[int, Field(ge=4, le=1024)] = SMALLEST
    fixed_images: Schedule = (600_000,)
    fading_images: Schedule = (600_000,)
    batch_sizes: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (16,)

    @field_validator("start")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"growth.start must be a power of two; got {value}; try 4 or 8")
        return value


class ProgressiveRecipe(AnyRecipe):
    """One whole run of the progressively grown GAN."""

    method: Literal["pggan"] = "pggan"
    networks: ProgressiveNetworkOptions = ProgressiveNetworkOptions()
    losses: ProgressiveLossOptions = ProgressiveLossOptions()
    growth: GrowthOptions = GrowthOptions()

    @property
    def learns_from_labels(self) -> bool:
        """As of `AnyRecipe`."""
        return self.networks.conditional

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        batch = self.training.batch_size
        if self.growth.start > self.data.image_size:
            raise ValueError(
                f"growth.start must be at most data.image_size, {self.data.image_size}; got {self.growth.start}; try 4"
            )
        if wrong := [size for size in self.growth.batch_sizes if batch % size]:
            raise ValueError(
                f"growth.batch_sizes must divide training.batch_size, {batch}; got {wrong[0]}; "
                "set training.batch_size to the largest of them"
            )
        if self.training.compile:
            raise ValueError("training.compile must be false for networks that grow; got true; leave it out")
        return self


RECIPES = ProgressiveRecipe.read(Path(__file__).with_name("recipes.toml"))
