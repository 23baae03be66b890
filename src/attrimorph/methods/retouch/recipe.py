"""Recipes for Retouch (ours): a network that predicts how the pixels of a photograph change, not new pixels."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attrimorph.recipe import AnyRecipe, Files, OptimiserOptions, Options, Rate, Share, Weight, Width

SMALLEST = 16  # pixels of the fields


class AskingOptions(Options):
    """What is asked of pictures in training.

    Attributes:
        most: Attributes that change at once, at most.
        nothing: Share of pictures of which nothing is asked: they should stay as they are.
        repeats: A picture with rare attributes comes up to so many times as often as one without.
    """

    most: Annotated[int, Field(ge=1, le=16)] = 3
    nothing: Share = 0.1
    repeats: Annotated[int, Field(ge=1, le=16)] = 4


class RetouchNetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        enlarged: The pictures of the data are so many times as large as the fields; at 2 a second discriminator looks
            at a part of the larger picture, to which the enlarged fields are applied.
        core: The editor's U-Net, the first discriminator and the classifier see pictures of so many pixels, or of the
            fields' size where that is smaller; what the editor says is enlarged and refined.
        editor_width: Channels of the editor at half of this size.
        blocks: Residual blocks of the editor at its smallest size.
        discriminator_width: Channels of D's first convolution.
        detail_width: Channels of the first convolution of the second D.
        classifier_width: Channels of the classifier's first convolution.
        reach: How far an edit of strength 1 goes, in what was asked in training: at 1.2 with 1.2 times its fields.
    """

    enlarged: Literal[1, 2] = 2
    core: Literal[16, 32, 64, 128] = 64
    editor_width: Width = 32
    blocks: Annotated[int, Field(ge=0, le=16)] = 2
    discriminator_width: Width = 48
    detail_width: Width = 32
    classifier_width: Width = 16
    reach: Annotated[float, Field(gt=0, le=4)] = 1.0


class RetouchLossOptions(Options):
    """Weights of the losses and what belongs to them.

    Attributes:
        teacher: The file of an attribute classifier (judge), or several joined by commas. What they see in edited
            pictures, on the mean, the classifier learns; else it learns from real ones alone, and is pleased by what
            no other sees.
        fool: -D(x'), mean over places.
        detail: The same of the second D; 0 leaves it out.
        match: -D_v(x') of the branches of D that tell real pictures with what was asked; mean of a picture's.
        match_kept: max(0, 1 - D_v(x')) of those of what was not asked; mean of a picture's.
        head_real: D's head: cross-entropy of the attributes of real pictures, sum over attributes.
        asked: Cross-entropy of what was asked, sum over attributes.
        kept: Cross-entropy of what was not asked, sum over attributes.
        teacher_share: The share of the classifier, whom teachers teach, in these two; the rest is the head's of D.
        unchanged: |x' - x| where nothing is asked, else 0, mean.
        change: |x' - x|, mean.
        behind: By so many times more a change counts there in the background, and by a tenth as many in all else
            outside the head of an aligned picture.
        mask: |m|, mean.
        shift: |h|, mean.
        stretch: Steps of the flow between neighbours, in pixels, mean.
        variation: Steps of x' - x between neighbours where x has none, mean.
        fringe: Steps between neighbours of the colour, without its lightness, of what is painted, mean.
        warmup_images: Before so many images E does not learn: D's head and the classifier know nothing yet.
        small_images: Before so many images the fields are of `networks.core` pixels, and the pictures shrunk to fit.
        skin: Change of the skin's colour over an eighth of the width, mean; where Pale_Skin is asked, none.
    """

    teacher: Files = ""
    fool: Weight = 2.0
    detail: Weight = 1.0
    match: Weight = 10.0
    match_kept: Weight = 8.0
    head_real: Weight = 0.15
    asked: Weight = 0.25
    kept: Weight = 0.1
    teacher_share: Share = 0.15
    unchanged: Weight = 50.0
    change: Weight = 1.0
    behind: Weight = 8.0
    mask: Weight = 0.1
    shift: Weight = 0.25
    stretch: Weight = 1.0
    variation: Weight = 10.0
    fringe: Weight = 0.0
    skin: Weight = 10.0
    warmup_images: Annotated[int, Field(ge=0)] = 3_000
    small_images: Annotated[int, Field(ge=0)] = 0


class RetouchOptimiserOptions(OptimiserOptions):
    """Adam for each network.

    Attributes:
        learning_rate: Of all networks; the discriminators may have their own.
    """

    learning_rate: Rate = 3e-4
    discriminator_rate: Rate | None = 1.5e-3


class RetouchRecipe(AnyRecipe):
    """One whole run of Retouch."""

    method: Literal["retouch"] = "retouch"
    asking: AskingOptions = AskingOptions()
    networks: RetouchNetworkOptions = RetouchNetworkOptions()
    losses: RetouchLossOptions = RetouchLossOptions()
    optimiser: RetouchOptimiserOptions = RetouchOptimiserOptions()

    @property
    def field_size(self) -> int:
        """Side of the fields, in pixels."""
        return self.data.image_size // self.networks.enlarged

    @property
    def core_size(self) -> int:
        """Side of what the editor's U-Net sees, in pixels."""
        return min(self.networks.core, self.field_size)

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if self.field_size < SMALLEST:
            raise ValueError(
                f"data.image_size must be at least {SMALLEST * self.networks.enlarged}, networks.enlarged times "
                f"{SMALLEST}; got {self.data.image_size}; take larger images"
            )
        return self


RECIPES = RetouchRecipe.read(Path(__file__).with_name("recipes.toml"))
