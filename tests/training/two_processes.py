"""Started by test_distributed.py with torchrun: each process steps on its share of the joint batch, with its share of
the joint draws, and the first one writes what came of it."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from attrimorph.data.loader import Batch
from attrimorph.data.schema import Attribute, Schema
from attrimorph.methods.attribute2image.step import CVAE
from attrimorph.methods.cvae_gan import step as cvae_gan
from attrimorph.methods.cvae_gan.forward import Forward
from attrimorph.methods.cvae_gan.step import CVAEGAN
from attrimorph.methods.cvae_gan.terms import METHODS
from attrimorph.methods.recipes import recipe_named
from attrimorph.training import distributed

COUNT, SIZE, LATENT, STEPS = 8, 16, 6, 2
SCHEMA = Schema((Attribute("Smiling"), Attribute("Male"), Attribute("person", "categorical", ("a", "b", "c"))))
WEIGHTS = (
    "kl", "image", "feature_d", "feature_c", "mean_d", "mean_c", "adversarial", "classify_sample", "gradient_penalty",
    "hide",
)  # fmt: skip
FIELDS = {
    "data.image_size": SIZE,
    "networks.latent": LATENT,
    **{f"networks.{name}_width": 4 for name in ("encoder", "generator", "discriminator", "classifier")},
    **{f"losses.{name}": 0.5 for name in WEIGHTS},
    "losses.centre_momentum": 0.5,
    "losses.edited_share": 0.0,
}


class Share(Forward):
    """This process's slice of the pass on the joint batch, joint draws included."""

    def __init__(self, algorithm: CVAEGAN, images: Tensor, y: Tensor, generator: torch.Generator) -> None:
        super().__init__(algorithm, images, y, generator)
        size = len(images) // distributed.world()
        own = slice(distributed.rank() * size, (distributed.rank() + 1) * size)
        # x_p has the labels of other images of the joint batch, whichever process holds them.
        self.__dict__["y_p"] = y[self.order][own]
        self.x_r, self.labels = self.x_r[own], self.labels[own]
        self.noise, self.z_prior, self.chance = self.noise[own], self.z_prior[own], self.chance[own]


def algorithm_of(method: str) -> CVAEGAN:
    recipe = recipe_named(method).with_changes(FIELDS)
    torch.manual_seed(0)
    networks = CVAEGAN.fresh(recipe, SCHEMA)
    optimisers = {name: torch.optim.SGD(network.parameters(), lr=1e-4) for name, network in networks.items()}
    reduce = distributed.average_gradients if distributed.world() > 1 else None
    return CVAEGAN(recipe, SCHEMA, networks, optimisers, reduce_gradients=reduce)


def joint_batch(step: int) -> tuple[Tensor, Tensor]:
    """Images and labels; the halves differ: one lacks a class, labels are missing in the other."""
    generator = torch.Generator().manual_seed(step)
    images = interpolate(torch.rand(COUNT, 3, 4, 4, generator=generator) * 2 - 1, size=(SIZE, SIZE))
    binary = torch.randint(2, (COUNT, 2), generator=generator).float()
    binary[5:7, 0] = torch.nan
    person = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0]) if step % 2 else torch.tensor([1, 1, 1, 1, 0, 2, 2, 2])
    return images, torch.cat([binary, one_hot(person, 3).float()], dim=1)


def gradients_of(method: str) -> dict[str, Any]:
    """All gradients of the last of a few steps, and the centres after it."""
    algorithm = algorithm_of(method)
    for step in range(STEPS * algorithm.method.critic_steps):
        algorithm.step(Batch(*joint_batch(step)), torch.Generator().manual_seed(step))
    found = {
        name: torch.cat([torch.zeros(1) if p.grad is None else p.grad.flatten() for p in network.parameters()])
        for name, network in algorithm.networks.items()
    }
    for name, centres in (("centres_d", algorithm.centres_d), ("centres_c", algorithm.centres_c)):
        found |= {f"{name}.{key}": value for key, value in centres.state().items()}
    return found


def hidden() -> Tensor:
    """The gradient towards this process's codes of Attribute2Image's loss that hides the labels' means."""
    recipe = recipe_named("attribute2image-cvae").with_changes({"data.image_size": SIZE, "networks.latent": LATENT})
    algorithm = CVAE.build(recipe, SCHEMA)
    size = COUNT // distributed.world()
    own = slice(distributed.rank() * size, (distributed.rank() + 1) * size)
    z = torch.randn(COUNT, LATENT, generator=torch.Generator().manual_seed(0))[own].requires_grad_()
    algorithm.hiding(z, joint_batch(0)[1][own])["hide"].backward()
    assert z.grad is not None
    return z.grad / distributed.world()


def main(out: Path) -> None:
    torch.set_num_threads(1)
    cvae_gan.Forward = Share  # type: ignore[misc]
    with distributed.processes():
        rank, world = distributed.rank(), distributed.world()
        result: dict[str, Any] = {method: gradients_of(method) for method in METHODS}
        result["hidden"] = hidden()
        result["own"] = distributed.from_first(f"from {rank} of {world}")
        result["mean"] = distributed.mean_values({"a": float(rank), "b": 5.0})
        distributed.wait_for_all()
        torch.save(result, out / f"rank{rank}.pt")
    assert (distributed.rank(), distributed.world()) == (0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
