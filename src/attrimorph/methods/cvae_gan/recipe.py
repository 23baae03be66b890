"""Recipes of the family: each member at 64x64, the paper's own at 128x128, drawn faces, and Table 1 in small."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from pydantic import Field, field_validator

from attrimorph.errors import suggestion
from attrimorph.methods.cvae_gan.terms import METHODS
from attrimorph.recipe import AnyRecipe, DataOptions, OptimiserOptions, Options, Share, TrainingOptions, Weight, Width


class NetworkOptions(Options):
    """Which networks, how large."""

    kind: Literal["small", "paper"] = "small"
    """small: strided 4x4 convolutions for CPUs; paper: GoogLeNet, deconvolutions, DCGAN, AlexNet at 128x128."""
    latent: Annotated[int, Field(gt=0, le=65_536)] = 128
    """Columns of z."""
    encoder_width: Width = 32
    """Channels of E's first convolution; they double as the image halves, up to eight times this."""
    generator_width: Width = 32
    """Channels of G's last stage but one."""
    discriminator_width: Width = 16
    """Channels of D's first convolution."""
    classifier_width: Width = 16
    """Channels of C's first convolution."""


class LossOptions(Options):
    """Weights of the losses (sums over a sample, means over the batch) and what belongs to them."""

    kl: Weight = 3.0
    """L_KL, the paper's 3."""
    image: Weight = 1.0
    """L_img."""
    feature_d: Weight = 1.0
    """L_featD."""
    feature_c: Weight = 1.0
    """L_featC."""
    mean_d: Weight = 1e-3
    """L_GD, the paper's 1e-3."""
    mean_c: Weight = 1e-3
    """L_GC, the paper's 1e-3."""
    adversarial: Weight = 1.0
    """G's loss against D, in the methods that have one."""
    classify_sample: Weight = 1.0
    """C's cross-entropy on samples, for G (AC-GAN, cvae-gan-edit)."""
    hide: Weight = 1.0
    """Cross-entropy between the classifier of codes and the labels' means, for E (cvae-gan-edit)."""
    gradient_penalty: Weight = 10.0
    """WGAN-GP's."""
    centre_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of the moving centres of L_GD and L_GC; 0 takes each batch's own."""
    warmup_images: Annotated[int, Field(ge=0)] = 0
    """Before so many images only L_img, L_KL and the classifiers' own losses are on: three times as fast."""
    edited_share: Share = 0.0
    """Share of the samples x_p that are edits of the batch's own codes (a few attributes flipped)."""


class Recipe(AnyRecipe):
    """One whole run of a member of the CVAE-GAN family."""

    networks: NetworkOptions = NetworkOptions()
    losses: LossOptions = LossOptions()

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"there is no method {value!r} in the family; {suggestion(value, METHODS)}")
        return value

    @property
    def learns_from_labels(self) -> bool:
        """As of `AnyRecipe`."""
        return METHODS[self.method].conditional


TABLE_ONE = ("cvae", "cgan", "fm-cgan", "cvae-gan")
ABLATION = ("cvae-gan-without-image", "cvae-gan-without-feature-d", "cvae-gan-without-feature-c")


MEMBERS = {
    "vae": "VAE (Kingma and Welling 2014).",
    "cvae": "Conditional VAE (Sohn et al. 2015).",
    "gan": "GAN with the non-saturating loss (Goodfellow et al. 2014).",
    "cgan": "Conditional GAN: G and D are given the labels (Mirza and Osindero 2014).",
    "ac-gan": "Auxiliary classifier GAN (Odena et al. 2017).",
    "lsgan": "Least-squares GAN (Mao et al. 2017).",
    "hinge-gan": "GAN with the hinge loss (Lim and Ye 2017).",
    "wgan": "Wasserstein GAN with clipped weights (Arjovsky et al. 2017).",
    "wgan-gp": "Wasserstein GAN with gradient penalty (Gulrajani et al. 2017).",
    "fm-gan": "GAN whose G matches the mean of D's features (CVAE-GAN paper).",
    "fm-cgan": "FM-GAN with one centre of C's features a class (CVAE-GAN paper).",
    "vae-gan": "VAE/GAN: reconstruction in D's features (Larsen et al. 2016).",
    "aae": "Adversarial autoencoder (Makhzani et al. 2016).",
    "cvae-gan": "CVAE-GAN (Bao et al. 2017).",
    "cvae-gan-without-image": "The paper's ablation: CVAE-GAN without L_img.",
    "cvae-gan-without-feature-d": "The paper's ablation: CVAE-GAN without L_featD.",
    "cvae-gan-without-feature-c": "The paper's ablation: CVAE-GAN without L_featC.",
    "cvae-gan-edit": "CVAE-GAN whose G also learns from C's cross-entropy on edits of real codes (ours).",
}


def small(method: str) -> Recipe:
    """Return a member of the family with the small networks at 64x64."""
    losses, optimiser = LossOptions(feature_d=0.02, feature_c=0.02, kl=1.0), OptimiserOptions()
    if method == "wgan":
        optimiser = OptimiserOptions(learning_rate=5e-5)
    elif method == "wgan-gp":
        optimiser = OptimiserOptions(learning_rate=1e-4, beta1=0.5, beta2=0.9)
    elif method == "vae-gan":
        losses = LossOptions(feature_d=1.0, kl=1.0)
    elif method == "cvae-gan-edit":
        losses = LossOptions(
            feature_d=0.02,
            feature_c=0.02,
            kl=1.0,
            classify_sample=8.0,
            adversarial=15.0,
            hide=30.0,
            edited_share=0.5,
        )
    return Recipe(name=method, about=MEMBERS[method], method=method, losses=losses, optimiser=optimiser)


def paper() -> Recipe:
    """Return CVAE-GAN with the paper's own networks at 128x128."""
    return Recipe(
        name="cvae-gan-paper",
        about="CVAE-GAN with the paper's networks: GoogLeNet E, deconvolutional G, DCGAN's D, AlexNet C, at 128x128.",
        data=DataOptions(image_size=128),
        networks=NetworkOptions(
            kind="paper",
            latent=256,
            encoder_width=64,
            generator_width=64,
            discriminator_width=64,
            classifier_width=96,
        ),
        losses=LossOptions(feature_d=0.01, feature_c=0.01),
        optimiser=OptimiserOptions(learning_rate=2e-4),
        training=TrainingOptions(images=1_600_000, batch_size=64, sample_images=50_000, checkpoint_images=50_000),
    )


def celeba() -> Recipe:
    """Return the recipe for photographs of faces with many attributes."""
    return Recipe(
        name="celeba-64",
        about="CVAE-GAN for 64x64 photographs of faces with many binary attributes, such as CelebA.",
        method="cvae-gan-edit",
        data=DataOptions(image_size=64, flip=0.5, shift=0.03, colour=0.1),
        networks=NetworkOptions(latent=192, encoder_width=32, generator_width=32),
        losses=LossOptions(
            kl=0.3,
            feature_d=0.02,
            feature_c=0.02,
            classify_sample=5.0,
            adversarial=6.0,
            hide=30.0,
            edited_share=1.0,
            warmup_images=180_000,
        ),
        optimiser=OptimiserOptions(
            learning_rate=8e-4, beta1=0.9, schedule="cosine", constant_share=0.6, warmup_images=2_000
        ),
        training=TrainingOptions(
            images=440_000, batch_size=16, ema_images=6_000, sample_images=10_000, checkpoint_images=10_000
        ),
    )


def quickstart() -> Recipe:
    """A small CVAE-GAN that trains in minutes on two cores."""
    return Recipe(
        name="quickstart",
        about="A 32x32 CVAE-GAN on drawn faces that trains in a few minutes on two cores.",
        method="cvae-gan-edit",
        data=DataOptions(image_size=32),
        networks=NetworkOptions(latent=128, encoder_width=32, generator_width=32),
        losses=LossOptions(
            kl=0.08,
            feature_d=0.02,
            feature_c=0.02,
            classify_sample=3.0,
            adversarial=2.0,
            hide=10.0,
            edited_share=1.0,
            warmup_images=18_000,
        ),
        optimiser=OptimiserOptions(
            learning_rate=1e-3, beta1=0.9, schedule="cosine", constant_share=0.4, warmup_images=500
        ),
        training=TrainingOptions(
            images=36_000,
            batch_size=16,
            ema_images=2_000,
            sample_images=4_000,
            checkpoint_images=8_000,
            log_images=512,
        ),
    )


def drawn_faces() -> Recipe:
    """The model that ships: 64x64 drawn faces."""
    return Recipe(
        name="drawn-faces-64",
        about="The shipped model: a 64x64 CVAE-GAN on drawn faces, with G taught on edits as well.",
        method="cvae-gan-edit",
        data=DataOptions(image_size=64),
        networks=NetworkOptions(latent=192, encoder_width=32, generator_width=32),
        losses=LossOptions(
            kl=0.2,
            feature_d=0.02,
            feature_c=0.02,
            classify_sample=8.0,
            adversarial=6.0,
            hide=30.0,
            edited_share=1.0,
            warmup_images=250_000,
        ),
        optimiser=OptimiserOptions(
            learning_rate=8e-4, beta1=0.9, schedule="cosine", constant_share=0.6, warmup_images=2_000
        ),
        training=TrainingOptions(
            images=400_000, batch_size=16, ema_images=6_000, sample_images=10_000, checkpoint_images=10_000
        ),
    )


def identities(method: str) -> Recipe:
    """Return a method at 32x32 with the networks, rates, weights and length that all of them have.

    The weights are for sums over a sample. The paper's 1e-3 for L_GD and L_GC goes with its own networks, whose
    features are other and more.
    """
    return Recipe(
        name=f"identities-{method}",
        about=f"Table 1 of the CVAE-GAN paper in small: {method}, 32x32, one class an image.",
        method=method,
        data=DataOptions(image_size=32),
        networks=NetworkOptions(
            latent=64, encoder_width=32, generator_width=32, discriminator_width=32, classifier_width=32
        ),
        losses=LossOptions(kl=3.0, feature_d=0.02, feature_c=0.02, mean_d=0.01, mean_c=0.01),
        optimiser=OptimiserOptions(learning_rate=1e-3, beta1=0.5, schedule="linear", constant_share=0.5),
        training=TrainingOptions(
            images=48_000,
            batch_size=32,
            ema_images=1_000,
            sample_images=16_000,
            checkpoint_images=8_000,
            log_images=1_024,
        ),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "quickstart": quickstart,
    "drawn-faces-64": drawn_faces,
    **{name: partial(small, name) for name in MEMBERS},
    "cvae-gan-paper": paper,
    "celeba-64": celeba,
    **{f"identities-{method}": partial(identities, method) for method in (*TABLE_ONE, *ABLATION)},
}
