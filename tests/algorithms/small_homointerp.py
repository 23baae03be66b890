"""What the tests of HomoInterpGAN share: a small algorithm and a batch."""

import torch
from torch import Tensor

from attrimorph.algorithms.homointerp import WEIGHTS, HomoInterp
from attrimorph.data.loader import Batch
from attrimorph.data.schema import Attribute, Schema
from attrimorph.networks.convolutional import CodeJudge
from attrimorph.networks.interpolation import (
    Critic,
    Interpolator,
    LearnedPrototypes,
    Projection,
    SmallDecoder,
    SmallEncoder,
)
from attrimorph.networks.perceptual import AttributeMaps

SIZE, CHANNELS = 32, 8
SCHEMA = Schema(
    tuple(Attribute(name) for name in ("Smiling", "Blond_Hair", "Black_Hair", "Young", "Hat")),
    exclusive=(("Blond_Hair", "Black_Hair"),),
)
# Hat is in no group: it goes with the rest.
MEMBERS = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
# All different, so that a weight put on the wrong term shows.
DIFFERENT = dict(zip(WEIGHTS, (0.7, 3.0, 0.9, 0.5, 0.3, 1.1, 10.0, 0.8, 0.6, 0.4, 0.2, 0.1, 1.3), strict=True))


def make(
    seed: int = 0,
    *,
    weights: dict[str, float] = DIFFERENT,
    learned: bool = True,
    optimiser: type[torch.optim.Optimizer] = torch.optim.Adam,
    rate: float = 1e-3,
    width: int = 4,
    **options: float,
) -> HomoInterp:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = AttributeMaps(SIZE, SCHEMA.width, width)
        networks: dict[str, torch.nn.Module] = {
            "encoder": SmallEncoder(CHANNELS, width),
            "interpolator": Interpolator(CHANNELS, len(MEMBERS), width, sees_face=True),
            "decoder": SmallDecoder(CHANNELS, width),
            "classifier": classifier,
            "critic": Critic(CHANNELS, SIZE // 8, SCHEMA.width, 2 * width),
            "projection": Projection(CHANNELS, classifier.deep_channels),
        }
        if learned:
            networks["prototypes"] = LearnedPrototypes(SCHEMA.width, CHANNELS, SIZE // 8, 6)
            networks["code_classifier"] = CodeJudge(6, SCHEMA.width, 16)
    optimisers = {name: optimiser(network.parameters(), lr=rate) for name, network in networks.items()}
    settings = {"generator_every": 1, "reference_share": 0.5 if learned else 1.0} | options
    return HomoInterp(
        networks,
        optimisers,
        weights,
        members=MEMBERS,
        blocks=SCHEMA.blocks,
        blank=SCHEMA.blank,
        rivals=SCHEMA.rivals,
        **settings,
    )  # type: ignore[arg-type]


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
