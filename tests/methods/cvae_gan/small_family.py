"""What the tests of the family share: a small algorithm, a batch, and gradients read off it."""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.methods.cvae_gan.recipe import METHODS, LossOptions, NetworkOptions, Recipe, Term
from attrimorph.methods.cvae_gan.step import CVAEGAN, Forward
from attrimorph.recipe import DataOptions

SIZE, LATENT = 16, 6
NAMES = {
    "E": "encoder",
    "G": "generator",
    "D": "discriminator",
    "C": "classifier",
    "S": "code_discriminator",
    "K": "code_classifier",
}
MIXED = Schema(
    (
        Attribute("Smiling"),
        Attribute("Blond_Hair"),
        Attribute("Black_Hair"),
        Attribute("person", "categorical", ("Ada", "Grace", "Emmy")),
        Attribute("age", "real"),
    ),
    exclusive=(("Blond_Hair", "Black_Hair"),),
)
ONE_CLASS = Schema((Attribute("person", "categorical", ("Ada", "Grace", "Emmy", "Sonja")),))
WEIGHTS = {
    # All different, so that a weight put on the wrong term shows.
    "kl": 0.7,
    "image": 0.03,
    "feature_d": 0.11,
    "feature_c": 0.13,
    "mean_d": 0.5,
    "mean_c": 0.3,
    "adversarial": 1.7,
    "classify_sample": 0.9,
    "gradient_penalty": 10.0,
    "hide": 0.6,
}


def make(
    method: str,
    *,
    schema: Schema = MIXED,
    weights: Mapping[str, float] = WEIGHTS,
    edited_share: float = 0.0,
    momentum: float = 0.5,
    rate: float = 1e-3,
    optimiser: str = "sgd",
    width: int = 4,
    image_size: int = SIZE,
    latent: int = LATENT,
    seed: int = 0,
    varies: Tensor | None = None,
) -> CVAEGAN:
    recipe = Recipe(
        name="small",
        method=method,
        data=DataOptions(image_size=image_size),
        networks=NetworkOptions(
            latent=latent,
            encoder_width=width,
            generator_width=width,
            discriminator_width=width,
            classifier_width=width,
        ),
        losses=LossOptions(**weights, centre_momentum=momentum, edited_share=edited_share),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = CVAEGAN.fresh(recipe, schema)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    method = METHODS[recipe.method]
    optimisers = {
        method.optimiser_of(name, phase): kinds[optimiser](network.parameters(), lr=rate)
        for name, network in networks.items()
        for phase in method.phases_of(name)
    }
    return CVAEGAN(recipe, schema, networks, optimisers, varies=varies)


def batch(count: int = 8, *, schema: Schema = MIXED, seed: int = 0, image_size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Smooth random images [B, 3, S, S] and labels [B, W] without missing values."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(image_size, image_size), mode="bilinear")
    columns = []
    for kind, start, stop in schema.blocks:
        if kind == "categorical":
            chosen = torch.randint(stop - start, (count,), generator=generator)
            columns.append(torch.nn.functional.one_hot(chosen, stop - start).float())
        elif kind == "binary":
            columns.append(torch.randint(2, (count, stop - start), generator=generator).float())
        else:
            columns.append(torch.randn(count, stop - start, generator=generator))
    return images, torch.cat(columns, dim=1)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def evaluate(algorithm: CVAEGAN, data: tuple[Tensor, Tensor], seed: int = 0) -> Forward:
    return Forward(algorithm, *data, chance(seed))


def gradients(algorithm: CVAEGAN) -> dict[str, Tensor]:
    """All gradients of a network end to end; zeros where there are none."""
    return {
        name: torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().clone() for p in network.parameters()]
        )
        for name, network in algorithm.networks.items()
    }


def no_gradients(algorithm: CVAEGAN) -> None:
    for network in algorithm.networks.values():
        network.zero_grad()


def parameters(algorithm: CVAEGAN) -> dict[str, Tensor]:
    return {
        name: torch.cat([p.detach().flatten() for p in network.parameters()]).clone()
        for name, network in algorithm.networks.items()
    }


def touched(found: Mapping[str, Tensor]) -> set[str]:
    return {name for name, gradient in found.items() if bool(gradient.any())}


def terms_of(algorithm: CVAEGAN, less: str = "") -> Iterable[Term]:
    return [term for term in algorithm.method.terms if term.loss != less]


def clone(algorithm: CVAEGAN) -> CVAEGAN:
    return copy.deepcopy(algorithm)
