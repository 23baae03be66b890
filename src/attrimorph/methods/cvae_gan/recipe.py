"""The CVAE-GAN family as one table, and its recipes.

A method is a list of terms, each a loss, who learns from it, and its weight. Recipes: each member at 64x64, the
paper's own at 128x128, drawn faces, and Table 1 in small.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attrimorph.recipe import AnyRecipe, Decay, Latent, Options, Share, Weight, Width

# --- the methods of the family, and who learns from what

Network = Literal["encoder", "generator", "discriminator", "classifier", "code_discriminator", "code_classifier"]


@dataclass(frozen=True)
class Term:
    """One row: the networks in `learns` go down the gradient of weight x loss; no other network does.

    Attributes:
        loss: a key of `cvae_gan.LOSSES`.
        learns: the networks that learn from it.
        weight: a key of the recipe's weights, or "one".
    """

    loss: str
    learns: tuple[Network, ...]
    weight: str = "one"


@dataclass(frozen=True)
class Method:
    """One member of the family.

    Attributes:
        terms: its rows.
        conditional: E and G are given y.
        judged_with_condition: D is given y (CGAN).
        critic_steps: steps of D for one of the others.
        clip: the range that D's parameters are clipped to after each step (WGAN); 0 for none.
        optimiser: its paper's optimiser, "adam" or "rmsprop".
        class_head: D has a head on its trunk that reads y off images, and there is no C (AC-GAN).
        components: of the covariances that D compares beside the means (McGAN); 0 for a plain D.
        phases: losses taught one after another in each step, the networks evaluated anew for each; () for all at once.
    """

    terms: tuple[Term, ...]
    conditional: bool = True
    judged_with_condition: bool = False
    critic_steps: int = 1
    clip: float = 0.0
    optimiser: Literal["adam", "rmsprop"] = "adam"
    class_head: bool = False
    components: int = 0
    phases: tuple[tuple[str, ...], ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that learn, in the order of the paper's updates: C, D, (codes), G, E."""
        return tuple(name for name in (C, D, S, K, G, E) if any(name in term.learns for term in self.terms))

    def phases_of(self, network: str) -> list[int]:
        """The phases that a network learns in."""
        losses = {term.loss for term in self.terms if network in term.learns}
        return [number for number, phase in enumerate(self.phases) if losses & set(phase)] or [0]

    def optimiser_of(self, network: str, phase: int) -> str:
        """The name of a network's optimiser in a phase.

        Each phase has its own: Adam divides by the size of the gradients that it saw, and those of a reconstruction,
        summed over pixels, would leave nothing of the others.
        """
        return network if phase == self.phases_of(network)[0] else f"{network}_{phase + 1}"


E: Network = "encoder"
G: Network = "generator"
D: Network = "discriminator"
C: Network = "classifier"
S: Network = "code_discriminator"
K: Network = "code_classifier"


KL = Term("kl", (E,), "kl")
IMAGE = Term("image", (E, G), "image")
FEATURE_D = Term("feature_d", (E, G), "feature_d")
FEATURE_C = Term("feature_c", (E, G), "feature_c")
REAL_OR_FAKE_3 = Term("real_or_fake_3", (D,))
REAL_OR_FAKE = Term("real_or_fake", (D,))
NON_SATURATING = Term("non_saturating", (G,), "adversarial")
CLASSIFY_REAL = Term("classify_real", (C,))
CLASSIFY_SAMPLE = Term("classify_sample", (G,), "classify_sample")
MEAN_D = Term("mean_d", (G,), "mean_d")
MEAN_C = Term("mean_c", (G,), "mean_c")
WASSERSTEIN = Term("wasserstein", (D,))
WASSERSTEIN_FOOL = Term("wasserstein_fool", (G,), "adversarial")

CVAE_GAN = (CLASSIFY_REAL, REAL_OR_FAKE_3, IMAGE, FEATURE_D, FEATURE_C, MEAN_D, MEAN_C, KL)


def without(terms: tuple[Term, ...], *losses: str) -> tuple[Term, ...]:
    """Return the terms less the named losses (the paper's ablation)."""
    return tuple(term for term in terms if term.loss not in losses)


METHODS: dict[str, Method] = {
    "vae": Method((IMAGE, KL), conditional=False),
    "cvae": Method((IMAGE, KL)),
    "gan": Method((REAL_OR_FAKE, NON_SATURATING), conditional=False),
    "cgan": Method((REAL_OR_FAKE, NON_SATURATING), judged_with_condition=True),
    "ac-gan": Method((REAL_OR_FAKE, NON_SATURATING, Term("classify_both", (D, G))), class_head=True),
    "lsgan": Method((Term("least_squares", (D,)), Term("least_squares_fool", (G,), "adversarial")), conditional=False),
    "hinge-gan": Method((Term("hinge", (D,)), WASSERSTEIN_FOOL), conditional=False),
    "wgan": Method((WASSERSTEIN, WASSERSTEIN_FOOL), conditional=False, critic_steps=5, clip=0.01, optimiser="rmsprop"),
    "wgan-gp": Method(
        (WASSERSTEIN, Term("gradient_penalty", (D,), "gradient_penalty"), WASSERSTEIN_FOOL),
        conditional=False,
        critic_steps=5,
    ),
    # Qi 2017: x_r scores above x_p by their distance; G's loss is the critic's.
    "loss-sensitive-gan": Method((Term("loss_sensitive", (D,)), WASSERSTEIN_FOOL), conditional=False),
    "mcgan": Method(
        # Mroueh et al. 2017: a critic that is linear in means and covariances of its features, else as Wasserstein's.
        (WASSERSTEIN, WASSERSTEIN_FOOL),
        conditional=False,
        critic_steps=5,
        clip=0.01,
        optimiser="rmsprop",
        components=16,
    ),
    "fm-gan": Method((REAL_OR_FAKE, MEAN_D), conditional=False),
    "fm-cgan": Method((CLASSIFY_REAL, REAL_OR_FAKE, MEAN_D, MEAN_C)),
    "vae-gan": Method(
        # Larsen et al. 2016: the reconstruction error is measured in D's layer, and E gets nothing from the GAN.
        (REAL_OR_FAKE_3, FEATURE_D, Term("non_saturating_2", (G,), "adversarial"), KL),
        conditional=False,
    ),
    "aae": Method(
        # Makhzani et al. 2016: reconstruction, then S, then E against S.
        (IMAGE, Term("code_real_or_fake", (S,)), Term("code_fool", (E,), "adversarial")),
        conditional=False,
        phases=(("image",), ("code_real_or_fake",), ("code_fool",)),
    ),
    "cvae-gan": Method(CVAE_GAN),
    "cvae-gan-without-image": Method(without(CVAE_GAN, "image")),
    "cvae-gan-without-feature-d": Method(without(CVAE_GAN, "feature_d")),
    "cvae-gan-without-feature-c": Method(without(CVAE_GAN, "feature_c")),
    # Ours, for editing photographs by many attributes. E learns to hide the attributes from a classifier of codes, so
    # that G has to take them from y; G sees C's cross-entropy and the adversarial loss on x_p, a part of which
    # are edits of real codes (the recipe's edited_share).
    "cvae-gan-edit": Method(
        (
            *CVAE_GAN,
            Term("classify_code", (K,)),
            Term("hide", (E,), "hide"),
            CLASSIFY_SAMPLE,
            NON_SATURATING,
        )
    ),
}


# --- what can be set


class NetworkOptions(Options):
    """Which networks, how large.

    Attributes:
        kind: small: strided 4x4 convolutions for CPUs; paper: GoogLeNet, deconvolutions, DCGAN, AlexNet at 128x128.
        latent: Columns of z.
        encoder_width: Channels of E's first convolution; they double as the image halves, up to eight times this.
        generator_width: Channels of G's last stage but one.
        discriminator_width: Channels of D's first convolution.
        classifier_width: Channels of C's first convolution.
        feature_layers: Layers of D that f_D, of L_featD and L_GD, holds, from the last one back; their squared errors
            add up.
        minibatch_kernels: D's last layer also sees how alike the images of a batch are, in so many ways (Salimans et
            al. 2016: 100); 0 for none.
    """

    kind: Literal["small", "paper"] = "small"
    latent: Latent = 128
    encoder_width: Width = 32
    generator_width: Width = 32
    discriminator_width: Width = 16
    classifier_width: Width = 16
    feature_layers: Annotated[int, Field(ge=1, le=8)] = 1
    minibatch_kernels: Annotated[int, Field(ge=0, le=1_000)] = 0


class LossOptions(Options):
    """Weights of the losses (sums over a sample, means over the batch) and what belongs to them.

    Attributes:
        kl: L_KL, the paper's 3.
        kl_images: Images over which the weight of L_KL rises from 0 to `kl` (annealing); 0: it stands from the start.
        image: L_img.
        feature_d: L_featD.
        feature_c: L_featC.
        mean_d: L_GD, the paper's 1e-3.
        mean_c: L_GC, the paper's 1e-3.
        adversarial: G's loss against D, in the methods that have one.
        classify_sample: C's cross-entropy on samples, for G (cvae-gan-edit).
        hide: Cross-entropy between the classifier of codes and the labels' means, for E (cvae-gan-edit).
        gradient_penalty: WGAN-GP's.
        margin: Loss-Sensitive GAN: a real image's score is to exceed a sample's by so much times the absolute
            difference of their pixels, summed; the authors' 2e-4 is for 64x64.
        centre_momentum: Momentum of the moving centres of L_GD and L_GC; 0 takes each batch's own.
        warmup_images: Before so many images only L_img, L_KL and the classifiers' own losses are on: three times as
            fast.
        edited_share: Share of the samples x_p that are edits of the batch's own codes (a few attributes flipped).
    """

    kl: Weight = 3.0
    kl_images: Annotated[int, Field(ge=0)] = 0
    image: Weight = 1.0
    feature_d: Weight = 1.0
    feature_c: Weight = 1.0
    mean_d: Weight = 1e-3
    mean_c: Weight = 1e-3
    adversarial: Weight = 1.0
    classify_sample: Weight = 1.0
    hide: Weight = 1.0
    gradient_penalty: Weight = 10.0
    margin: Weight = 2e-4
    centre_momentum: Decay = 0.9
    warmup_images: Annotated[int, Field(ge=0)] = 0
    edited_share: Share = 0.0


class Recipe(AnyRecipe):
    """One whole run of a member of the CVAE-GAN family."""

    methods = tuple(METHODS)
    networks: NetworkOptions = NetworkOptions()
    losses: LossOptions = LossOptions()

    @property
    def learns_from_labels(self) -> bool:
        """As of `AnyRecipe`."""
        return METHODS[self.method].conditional


TABLE_ONE = ("cvae", "cgan", "fm-cgan", "cvae-gan")
RECIPES = Recipe.read(Path(__file__).with_name("recipes.toml"))
