"""One recipe for each member of the family, at 64x64 with the small networks, and the paper's own at 128x128."""

from collections.abc import Callable
from functools import partial

from attrimorph.recipes.options import (
    DataOptions,
    LossOptions,
    NetworkOptions,
    OptimiserOptions,
    Recipe,
    TrainingOptions,
)

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


FAMILY: dict[str, Callable[[], Recipe]] = {
    **{name: partial(small, name) for name in MEMBERS},
    "cvae-gan-paper": paper,
    "celeba-64": celeba,
}
