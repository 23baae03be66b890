"""Recipes for HomoInterpGAN (Chen, Xu, Tian, Jia, CVPR 2019): as published, and with its known faults mended."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from attrimorph.recipe import AnyRecipe, Decay, Latent, OptimiserOptions, Options, Rate, Share, Weight, Width

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
"""The nine groups of the authors' report; their code has five."""


class InterpolationNetworkOptions(Options):
    """Which networks, how large, and which attributes change together.

    Attributes:
        kind: small: strided convolutions for CPUs, F at an eighth of the image; paper: VGG-19 to relu5_1 and its
            mirror.
        channels: Channels of F; the published encoder has 512.
        encoder_width: Channels of the small E's first convolution.
        interpolator_width: Channels inside a branch of I; as published, those of F.
        decoder_width: Channels of Dec at half the image's size (small) or at its whole size (paper: 64).
        critic_width: Channels of the critic and its attribute head; as published 256.
        critic_norm: Norm in the critic; instance norm, as published, hides from A' how much of something there is
            (mended: none).
        classifier_width: Channels of the first convolution of the network that tells the data's attributes.
        groups: Name -> attributes that change together, one branch each. Names that the data lack are left out.
        others: Attributes in no group: residual = they go with everything else, as published; own = each gets a branch.
        sees_face: Mended: a branch is given F_a beside F_b - F_a, and so knows where in this face its change belongs.
        prototypes: What stands for F_b - F_a where there is no reference: mean = difference of the mean features with
            and without (found after training); learned = a network that tells this face's features under other
            attributes. With that the branches share d out among them, by what it says belongs to each group: so they
            bring what a reference has, and not what its attribute looks like on average (mended).
        code: Numbers in the code of learned prototypes.
        reach: How far they go at strength 1: an answer is a mean over what is not known of the face, and falls short
            (mended).
    """

    kind: Literal["small", "paper"] = "small"
    channels: Width = 128
    encoder_width: Width = 32
    interpolator_width: Width = 32
    decoder_width: Width = 32
    critic_width: Width = 96
    critic_norm: Literal["instance", "none"] = "instance"
    classifier_width: Width = 16
    groups: Groups = CELEBA_GROUPS
    others: Literal["residual", "own"] = "residual"
    sees_face: bool = False
    prototypes: Literal["mean", "learned"] = "mean"
    code: Latent = 128
    reach: Annotated[float, Field(ge=1, le=3)] = 1.25

    @field_validator("groups")
    @classmethod
    def _each_once(cls, value: Groups) -> Groups:
        names = [name for group in value.values() for name in group]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"an attribute must be in one group; {twice[0]!r} is in two; take it out of one")
        return value


class InterpolationLossOptions(Options):
    """Weights of the losses and what belongs to them. As published all weights are 1, but the penalty's.

    Attributes:
        perceptual_network: auto: VGG-19 from torch's cache where it is, else attributes; vgg19; attributes: a network
            trained in this run on the data's own; or the path of VGG-19's weights.
        perceptual: |Phi3(Dec(F)) - Phi3(x)|^2, mean.
        pixel: |Dec(F) - x|^2, mean.
        adversarial: -E Dis(F_int), for E and I.
        homomorphism: BCE(A'(F_int), z_int), sum over attributes, for E and I.
        full: |F_int(v = 1) - F_b|^2, mean, for I.
        answer: Learned prototypes: |F_int - F_r|^2 / |F_r - F_a|^2, F_r = F_a + v d, for I, where d is what learned
            prototypes say.
        region: Learned prototypes: |Dec(F_a + T_i(F_b - F_a)) - Dec(F_b)|^2 where b shows group i, and Dec(F_a) where
            neither face does, means over either part, for I.
        guidance: |P(F) - Phi5(x)|^2, mean, for P and E.
        gradient_penalty: Of the critic.
        penalty_of: Whose slope the penalty pulls to 1: sum = that of the sum of the critic's outputs, as in the
            authors' code; mean = that of their mean, which is what the critic answers (ours).
        head_interpolated: BCE(A'(F_int), y_a), for A': as published the target is y_a, so that A' looks for what was
            left unchanged.
        head_real: BCE(A'(F), y_a), for A': it then learns what the attributes are from real features (mended).
        judged_image: BCE(C(Dec(F_int)), z_int), for E and I, of prototypes' changes and of one group of a reference:
            the change must show in the picture (mended).
        prototype: Learned prototypes: 1/2 |R(F, y) - F|^2, sum.
        code: Learned prototypes: KL of the code, sum.
        hide: Learned prototypes: cross-entropy between the classifier of codes and the labels' means, sum.
        generator_every: E and I learn in every so manieth step.
        reference_share: Share of a batch that changes towards another face; the rest towards learned prototypes.
        full_share: Share of prototype changes that go all the way, v = 1; the others' v is uniform in 0..1.
        encoder_share: What E's gradient of the interpolation's losses is multiplied by: 1 as published; less, and Dec
            need not run after an E that changes under it (mended).
        warmup_images: Before so many images E and Dec learn to reconstruct by pixels alone, and C, A' and P learn from
            real images; left out where VGG-19 is at hand.
    """

    perceptual_network: str = "auto"
    perceptual: Weight = 1.0
    pixel: Weight = 1.0
    adversarial: Weight = 1.0
    homomorphism: Weight = 1.0
    full: Weight = 1.0
    answer: Weight = 0.0
    region: Weight = 0.0
    guidance: Weight = 1.0
    gradient_penalty: Weight = 100.0
    penalty_of: Literal["sum", "mean"] = "mean"
    head_interpolated: Weight = 1.0
    head_real: Weight = 0.0
    judged_image: Weight = 0.0
    prototype: Weight = 1.0
    code: Weight = 0.2
    hide: Weight = 100.0
    generator_every: Annotated[int, Field(ge=1, le=100)] = 5
    reference_share: Share = 1.0
    full_share: Share = 0.0
    encoder_share: Share = 1.0
    warmup_images: Annotated[int, Field(ge=0)] = 0


class InterpolationOptimiserOptions(OptimiserOptions):
    """Adam for each network; Dec, P and C have a first decay of their own: with 0.5 there identity is lost.

    Attributes:
        learning_rate: Of all networks; the critic may have its own.
        beta1: Adam's first decay for the critic, E and I.
        beta2: Adam's second decay.
        decoder_beta1: Adam's first decay for Dec, P and C.
    """

    learning_rate: Rate = 1e-4
    beta1: Decay = 0.5
    beta2: Decay = 0.999
    decoder_beta1: Decay = 0.9


class InterpolationRecipe(AnyRecipe):
    """One whole run of HomoInterpGAN."""

    methods = METHODS
    method: str = "homointerp"
    networks: InterpolationNetworkOptions = InterpolationNetworkOptions()
    losses: InterpolationLossOptions = InterpolationLossOptions()
    optimiser: InterpolationOptimiserOptions = InterpolationOptimiserOptions()


RECIPES = InterpolationRecipe.read(Path(__file__).with_name("recipes.toml"))
