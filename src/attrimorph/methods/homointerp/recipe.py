"""Recipes for HomoInterpGAN (Chen, Xu, Tian, Jia, CVPR 2019): as published, and with its known faults mended."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, field_validator

from attrimorph.errors import suggestion
from attrimorph.recipe import AnyRecipe, DataOptions, OptimiserOptions, Options, Share, TrainingOptions, Weight, Width

METHODS = ("homointerp",)

Groups = dict[str, tuple[str, ...]]

CELEBA_GROUPS: Groups = {
    "expression": ("Mouth_Slightly_Open", "Smiling"),
    "gender and beard": ("Male", "No_Beard", "Mustache", "Goatee", "Sideburns"),
    "hair colour": ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    "hairline": ("Bald", "Receding_Hairline", "Bangs"),
    "age": ("Young",),
    "eyes": ("Arched_Eyebrows", "Bags_Under_Eyes", "Bushy_Eyebrows", "Eyeglasses"),
    "features": (
        "Big_Lips",
        "Big_Nose",
        "Chubby",
        "Double_Chin",
        "High_Cheekbones",
        "Narrow_Eyes",
        "Pointy_Nose",
    ),
    "hair texture": ("Straight_Hair", "Wavy_Hair"),
    "look": ("Attractive", "Pale_Skin", "Heavy_Makeup"),
}
"""The paper's nine groups."""


class InterpolationNetworkOptions(Options):
    """Which networks, how large, and which attributes change together."""

    kind: Literal["small", "paper"] = "small"
    """small: strided convolutions for CPUs, F at an eighth of the image; paper: VGG-19 to relu5_1 and its mirror."""
    channels: Width = 128
    """Channels of F; the published encoder has 512."""
    encoder_width: Width = 32
    """Channels of the small E's first convolution."""
    interpolator_width: Width = 32
    """Channels inside a branch of I; as published, those of F."""
    decoder_width: Width = 32
    """Channels of Dec at half the image's size (small) or at its whole size (paper: 64)."""
    critic_width: Width = 96
    """Channels of the critic and its attribute head; as published 256."""
    critic_norm: Literal["instance", "none"] = "instance"
    """Norm in the critic; instance norm, as published, hides from A' how much of something there is (mended: none)."""
    classifier_width: Width = 16
    """Channels of the first convolution of the network that tells the data's attributes."""
    groups: Groups = CELEBA_GROUPS
    """Name -> attributes that change together, one branch each. Names that the data lack are left out."""
    others: Literal["residual", "own"] = "residual"
    """Attributes in no group: residual = they go with everything else, as published; own = each gets a branch."""
    sees_face: bool = False
    """Mended: a branch is given F_a beside F_b - F_a, and so knows where in this face its change belongs."""
    prototypes: Literal["mean", "learned"] = "mean"
    """What stands for a reference: mean = difference of the mean features with and without (after training);
    learned = a network that tells this face's features under other attributes: what a branch would answer (mended)."""
    code: Annotated[int, Field(gt=0, le=65_536)] = 128
    """Numbers in the code of learned prototypes."""
    reach: Annotated[float, Field(ge=1, le=3)] = 1.25
    """How far learned prototypes go at strength 1: an answer is a mean over what is not known of the face, and falls
    short (mended)."""
    composition: Literal["none", "difference"] = "none"
    """Edited images: none = as decoded; difference = the input, where the edit changes nothing (mended)."""

    @field_validator("groups")
    @classmethod
    def _each_once(cls, value: Groups) -> Groups:
        names = [name for group in value.values() for name in group]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"an attribute must be in one group; {twice[0]!r} is in two; take it out of one")
        return value


class InterpolationLossOptions(Options):
    """Weights of the losses and what belongs to them. As published all weights are 1, but the penalty's."""

    perceptual_network: str = "auto"
    """auto: VGG-19 from torch's cache where it is, else attributes; vgg19; attributes: a network trained in this run
    on the data's own; or the path of VGG-19's weights."""
    perceptual: Weight = 1.0
    """|Phi3(Dec(F)) - Phi3(x)|^2, mean."""
    pixel: Weight = 1.0
    """|Dec(F) - x|^2, mean."""
    adversarial: Weight = 1.0
    """-E Dis(F_int), for E and I."""
    homomorphism: Weight = 1.0
    """BCE(A'(F_int), z_int), sum over attributes, for E and I."""
    full: Weight = 1.0
    """|F_int(v = 1) - F_b|^2, mean, for I."""
    guidance: Weight = 1.0
    """|P(F) - Phi5(x)|^2, mean, for P and E."""
    gradient_penalty: Weight = 100.0
    """Of the critic."""
    penalty_of: Literal["sum", "mean"] = "mean"
    """Whose slope the penalty pulls to 1: sum = that of the sum of the critic's outputs, as in the authors' code;
    mean = that of their mean, which is what the critic answers (ours)."""
    head_interpolated: Weight = 1.0
    """BCE(A'(F_int), y_a), for A': as published the target is y_a, so that A' looks for what was left unchanged."""
    head_real: Weight = 0.0
    """BCE(A'(F), y_a), for A': it then learns what the attributes are from real features (mended)."""
    judged_image: Weight = 0.0
    """BCE(C(Dec(F_int)), z_int) for E and I: the change must show in the picture (mended)."""
    prototype: Weight = 1.0
    """Learned prototypes: 1/2 |R(F, y) - F|^2, sum."""
    code: Weight = 0.2
    """Learned prototypes: KL of the code, sum."""
    hide: Weight = 100.0
    """Learned prototypes: cross-entropy between the classifier of codes and the labels' means, sum."""
    generator_every: Annotated[int, Field(ge=1, le=100)] = 5
    """E and I learn in every so manieth step."""
    reference_share: Share = 1.0
    """Share of a batch that changes towards another face; the rest towards learned prototypes."""
    full_share: Share = 0.0
    """Share of prototype changes that go all the way, v = 1; the others' v is uniform in 0..1."""
    encoder_share: Share = 1.0
    """What E's gradient of the interpolation's losses is multiplied by: 1 as published; less, and Dec need not run
    after an E that changes under it (mended)."""
    warmup_images: Annotated[int, Field(ge=0)] = 0
    """Before so many images E and Dec learn to reconstruct by pixels alone, and C, A' and P learn from real images;
    left out where VGG-19 is at hand."""


class InterpolationOptimiserOptions(OptimiserOptions):
    """Adam for each network; Dec, P and C have a first decay of their own: with 0.5 there identity is lost."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Of all networks; the critic may have its own."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Adam's first decay for the critic, E and I."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Adam's second decay."""
    decoder_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Adam's first decay for Dec, P and C."""


class InterpolationRecipe(AnyRecipe):
    """One whole run of HomoInterpGAN."""

    method: str = "homointerp"
    networks: InterpolationNetworkOptions = InterpolationNetworkOptions()
    losses: InterpolationLossOptions = InterpolationLossOptions()
    optimiser: InterpolationOptimiserOptions = InterpolationOptimiserOptions()

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"there is no method {value!r} of this kind; {suggestion(value, METHODS)}")
        return value


def paper() -> InterpolationRecipe:
    """HomoInterpGAN as published, at 128x128."""
    return InterpolationRecipe(
        name="homointerp",
        about="HomoInterpGAN as published: VGG-19 features, nine groups of CelebA's attributes, 128x128.",
        data=DataOptions(image_size=128),
        networks=InterpolationNetworkOptions(
            kind="paper", channels=512, interpolator_width=512, decoder_width=64, critic_width=256
        ),
        # Only without VGG-19: its replacement must know the attributes before it is used.
        losses=InterpolationLossOptions(penalty_of="sum", warmup_images=48_000),
        training=TrainingOptions(
            images=6_144_000, batch_size=48, ema_images=0, sample_images=48_000, checkpoint_images=48_000
        ),
    )


def mended_networks(groups: Groups) -> InterpolationNetworkOptions:
    """The small networks with every fault mended."""
    return InterpolationNetworkOptions(
        interpolator_width=24,
        critic_width=128,
        critic_norm="none",
        groups=groups,
        others="own",
        sees_face=True,
        prototypes="learned",
        composition="difference",
    )


def mended_losses() -> InterpolationLossOptions:
    """The weights that go with them."""
    return InterpolationLossOptions(
        perceptual_network="attributes",
        perceptual=1.0,
        pixel=100.0,
        adversarial=10.0,
        homomorphism=1.0,
        full=1.0,
        guidance=0.1,
        gradient_penalty=10.0,
        head_interpolated=0.0,
        head_real=1.0,
        judged_image=8.0,
        generator_every=1,
        reference_share=0.25,
        full_share=0.8,
        encoder_share=0.0,
        warmup_images=24_000,
    )


def drawn() -> InterpolationRecipe:
    """The model that ships: 64x64 drawn faces."""
    return InterpolationRecipe(
        name="homointerp-drawn-64",
        about="HomoInterpGAN for drawn faces, 64x64, on CPUs, its faults mended: the one that ships.",
        data=DataOptions(image_size=64),
        networks=mended_networks(
            {
                **CELEBA_GROUPS,
                # On drawn faces a hat takes the place of what it hides.
                "hairline": ("Bald", "Receding_Hairline", "Bangs", "Wearing_Hat"),
            }
        ),
        losses=mended_losses(),
        optimiser=InterpolationOptimiserOptions(
            learning_rate=1e-3, schedule="cosine", constant_share=0.6, warmup_images=1_000
        ),
        training=TrainingOptions(
            images=140_000, batch_size=16, ema_images=3_000, sample_images=10_000, checkpoint_images=10_000
        ),
    )


def small() -> InterpolationRecipe:
    """HomoInterpGAN for photographs on CPUs."""
    return InterpolationRecipe(
        name="homointerp-64",
        about="HomoInterpGAN for 64x64 photographs with binary attributes, on CPUs, its faults mended.",
        data=DataOptions(image_size=64, flip=0.5, shift=0.05),
        networks=mended_networks(CELEBA_GROUPS),
        losses=mended_losses(),
        optimiser=InterpolationOptimiserOptions(
            learning_rate=1e-3, schedule="cosine", constant_share=0.6, warmup_images=1_000
        ),
        training=TrainingOptions(
            images=300_000, batch_size=16, ema_images=3_000, sample_images=10_000, checkpoint_images=10_000
        ),
    )


RECIPES: dict[str, Callable[[], InterpolationRecipe]] = {
    "homointerp": paper,
    "homointerp-64": small,
    "homointerp-drawn-64": drawn,
}
