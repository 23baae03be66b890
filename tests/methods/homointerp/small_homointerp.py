"""What the tests of HomoInterpGAN share: a small algorithm and a batch."""

from typing import Any

import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.homointerp.recipe import (
    InterpolationLossOptions,
    InterpolationNetworkOptions,
    InterpolationRecipe,
)
from attrimorph.methods.homointerp.step import HomoInterp
from attrimorph.recipe import DataOptions

SIZE, CHANNELS = 32, 8
SCHEMA = Schema(
    tuple(Attribute(name) for name in ("Smiling", "Blond_Hair", "Black_Hair", "Young", "Hat")),
    exclusive=(("Blond_Hair", "Black_Hair"),),
)
# Hat is in no group: it goes with the rest.
GROUPS = {"expression": ("Smiling",), "hair": ("Blond_Hair", "Black_Hair"), "age": ("Young",)}
MEMBERS = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
# All different, so that a weight put on the wrong term shows.
DIFFERENT = {
    "perceptual": 0.7,
    "pixel": 3.0,
    "adversarial": 0.9,
    "homomorphism": 0.5,
    "full": 0.3,
    "answer": 0.25,
    "region": 0.15,
    "guidance": 1.1,
    "gradient_penalty": 10.0,
    "head_interpolated": 0.8,
    "head_real": 0.6,
    "judged_image": 0.4,
    "prototype": 0.2,
    "code": 0.1,
    "hide": 1.3,
}


def make(
    seed: int = 0,
    *,
    weights: dict[str, float] = DIFFERENT,
    learned: bool = True,
    optimiser: type[torch.optim.Optimizer] = torch.optim.Adam,
    rate: float = 1e-3,
    width: int = 4,
    varies: Tensor | None = None,
    **options: Any,
) -> HomoInterp:
    settings = {"generator_every": 1, "reference_share": 0.5 if learned else 1.0} | options
    recipe = InterpolationRecipe(
        name="small",
        data=DataOptions(image_size=SIZE),
        networks=InterpolationNetworkOptions(
            channels=CHANNELS,
            encoder_width=width,
            interpolator_width=width,
            decoder_width=width,
            critic_width=2 * width,
            classifier_width=width,
            groups=GROUPS,
            sees_face=True,
            prototypes="learned" if learned else "mean",
            code=6,
        ),
        losses=InterpolationLossOptions(perceptual_network="attributes", **weights, **settings),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = HomoInterp.fresh(recipe, SCHEMA)
    optimisers = {name: optimiser(network.parameters(), lr=rate) for name, network in networks.items()}
    return HomoInterp(recipe, SCHEMA, networks, optimisers, varies=varies)


def batch(count: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    y = torch.randint(2, (count, SCHEMA.width), generator=generator).float()
    y[:, 2] *= 1 - y[:, 1]
    return Batch(images, y)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(algorithm: HomoInterp) -> dict[str, Tensor]:
    return {n: torch.cat([p.detach().flatten() for p in net.parameters()]) for n, net in algorithm.networks.items()}


def gradients(algorithm: HomoInterp) -> dict[str, Tensor]:
    return {
        n: torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in net.parameters()])
        for n, net in algorithm.networks.items()
    }
