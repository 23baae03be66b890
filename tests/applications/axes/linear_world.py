"""A generator and a judge that are linear, so that every axis is known in closed form."""

from typing import Any

import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.models import Strengths
from attrimorph.models.model import Code, Model
from attrimorph.recipe import AnyRecipe, DataOptions

SIZE, LATENT = 16, 12
NAMES = ("Bright", "Warm", "Wide", "Tall")


class LinearGenerator(Model):
    """Pictures that are a linear image of z."""

    conditional = False

    def __init__(self, latent: int = LATENT, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.matrix = torch.randn(latent, 3 * SIZE * SIZE, generator=generator) / latent**0.5 / 6
        self.latent, self.hash, self.device, self.card = latent, f"{seed:064d}", "cpu", {}
        self.networks, self.strengths, self.image_size, self.images_seen = {}, Strengths(), SIZE, 0
        self.recipe = AnyRecipe(name="linear", method="linear", data=DataOptions(image_size=SIZE))
        self.schema = Schema((Attribute("Bright"),))
        self.header: dict[str, Any] = {"examples": [0.0, 1.0]}

    def decode(self, code: Code) -> Tensor:
        return (code.z.float() @ self.matrix).view(-1, 3, SIZE, SIZE)

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        return Code(torch.randn(count, self.latent, generator=generator), torch.full((count, 1), torch.nan))


class Normalising(LinearGenerator):
    """The same of z's direction alone, as PGGAN sees it."""

    def decode(self, code: Code) -> Tensor:
        z = code.z.float()
        return super().decode(Code(z * z.square().mean(1, keepdim=True).rsqrt(), code.attributes))


class WithGradient(LinearGenerator):
    """The same, and gradients pass."""

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        return self.decode(Code(z, attributes))


class LinearJudge:
    """Attributes that are dot products of the picture; their true axes overlap (cosine about `overlap`)."""

    def __init__(self, model: LinearGenerator, *, overlap: float = 0.5, steep: float = 3.0, seed: int = 5) -> None:
        generator = torch.Generator().manual_seed(seed)
        common = torch.randn(1, model.latent, generator=generator)
        own = torch.randn(len(NAMES), model.latent, generator=generator)
        axes = overlap**0.5 * common + (1 - overlap) ** 0.5 * own
        self.axes = (axes / axes.norm(dim=1, keepdim=True)).double()
        # picture = z M and M M+ = 1: the pictures' reading M+ axis' gives z axis'.
        self.readers = torch.linalg.pinv(model.matrix.double()) @ self.axes.T * steep
        self.name, self.schema = "judge linear", Schema(tuple(Attribute(name) for name in NAMES))

    def logits(self, images: Tensor) -> Tensor:
        return images.flatten(1).double() @ self.readers

    def __call__(self, images: Tensor) -> Tensor:
        return self.logits(images).sigmoid().float()
