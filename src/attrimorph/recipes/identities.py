"""Recipes with one class an image, for Table 1 of the CVAE-GAN paper: equal networks and training for every method."""

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

TABLE_ONE = ("cvae", "cgan", "fm-cgan", "cvae-gan")
ABLATION = ("cvae-gan-without-image", "cvae-gan-without-feature-d", "cvae-gan-without-feature-c")


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


IDENTITIES: dict[str, Callable[[], Recipe]] = {
    f"identities-{method}": partial(identities, method) for method in (*TABLE_ONE, *ABLATION)
}
