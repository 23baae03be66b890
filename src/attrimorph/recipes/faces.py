"""Recipes for drawn faces: the quickstart and the model that ships."""

from attrimorph.recipes.options import (
    DataOptions,
    LossOptions,
    NetworkOptions,
    OptimiserOptions,
    Recipe,
    TrainingOptions,
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
