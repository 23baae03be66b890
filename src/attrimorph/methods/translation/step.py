"""How CycleGAN and pix2pix learn.

CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017) translates between images without and with one attribute.

G_with: without -> with; G_without: with -> without; a discriminator for each domain.
    L_G = (D_with(G_with(a)) - 1)^2 + (D_without(G_without(b)) - 1)^2                      least squares
        + cycle (|G_without(G_with(a)) - a| + |G_with(G_without(b)) - b|)
        + cycle identity (|G_with(b) - b| + |G_without(a) - a|)
    L_D = 1/2 (D(real) - 1)^2 + 1/2 D(pool)^2, for each
All losses are means over everything. Both generators have one optimiser, both discriminators another.

pix2pix (Isola, Zhu, Zhou, Efros, CVPR 2017) goes from a source image to the image that belongs to it.

    L_G = -log D(s, G(s)) + 100 |G(s) - x|,  L_D = 1/2 (-log D(s, x) - log(1 - D(s, G(s))))
D is a PatchGAN that is shown the source s as well. G's only noise is dropout.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.methods.base import Algorithm, seeded
from attrimorph.methods.translation.domains import edited_attribute, paired_rows, pairs, rows_of_both, source_of
from attrimorph.methods.translation.networks import GENERATORS, PatchDiscriminator, kept_networks
from attrimorph.methods.translation.recipe import TranslationRecipe

DISCRIMINATORS = ("discriminator_with", "discriminator_without")
BANK = 16


class CycleGAN(Algorithm):
    """CycleGAN: both generators share one optimiser, both discriminators another.

    Attributes:
        column: of y that tells the domains: 0 without, 1 with; images where it is missing are left out.
        banks: newest real images of each domain, which a step draws from.
    """

    kept, critics = GENERATORS, DISCRIMINATORS
    remembers = own = ("pools", "banks")

    def __init__(self, recipe: TranslationRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.column = schema.columns(edited_attribute(recipe, schema)).start
        self.cycle, self.identity = recipe.losses.cycle, recipe.losses.identity
        self.pools = {name: ImagePool(recipe.losses.pool) for name in DISCRIMINATORS}
        self.banks = {name: DomainBank(max(BANK, recipe.training.batch_size)) for name in DISCRIMINATORS}
        self._both = False  # whether both domains were seen, as far as anyone has looked

    @staticmethod
    def fresh(recipe: TranslationRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        width = recipe.networks.discriminator_width
        return kept_networks(recipe, schema) | {name: PatchDiscriminator(3, width) for name in DISCRIMINATORS}

    @classmethod
    def optimisers_of(
        cls, recipe: TranslationRecipe, networks: Mapping[str, nn.Module]
    ) -> dict[str, torch.optim.Optimizer]:
        """As of `Algorithm`."""
        return {
            "generators": cls.adam(recipe, networks, *GENERATORS),
            "discriminators": cls.adam(recipe, networks, *DISCRIMINATORS),
        }

    @staticmethod
    def rows(recipe: TranslationRecipe, data: PreparedData) -> NDArray[np.int64]:
        """As of `Algorithm`."""
        return rows_of_both(recipe, data)

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step with half a batch's number of images of each domain; see `Algorithm`."""
        a, b, ready = self.domains(batch, generator)
        # Read off the device until it is so, and never again.
        self._both = self._both or bool(ready)
        self.forget_gradients()
        with self.arithmetic(), seeded(generator, a.device):
            values, made_a, made_b = self._teach_generators(a, b, ready)
            values |= self._teach_discriminators(a, b, made_a, made_b, ready, generator)
        self.update()
        return {name: value.detach() for name, value in values.items()}

    def domains(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return images without and with the attribute, [B // 2, 3, S, S] each, and 1 once there are both, else 0."""
        label, images = batch.attributes[:, self.column], batch.images
        chance = torch.rand(2, max(1, len(images) // 2), generator=generator).to(images.device)
        bank_with, bank_without = (self.banks[name] for name in DISCRIMINATORS)
        bank_with.add(images, label > 0.5)
        bank_without.add(images, label < 0.5)
        last = images.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.preserve_format
        a, b = (
            bank.draw(u).contiguous(memory_format=layout)
            for bank, u in zip((bank_without, bank_with), chance, strict=True)
        )
        return a, b, bank_with.ready * bank_without.ready

    def _teach_generators(self, a: Tensor, b: Tensor, ready: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        to_with, to_without = (self.networks[name] for name in GENERATORS)
        d_with, d_without = (self.networks[name] for name in DISCRIMINATORS)
        values: dict[str, Tensor] = {}
        if self.identity:
            # One pass for an image to change and one to leave: the norm sees each alone.
            made_b, same_b = to_with(torch.cat([a, b])).float().chunk(2)
            made_a, same_a = to_without(torch.cat([b, a])).float().chunk(2)
            values["identity"] = losses.mean_absolute_error(same_b, b) + losses.mean_absolute_error(same_a, a)
        else:
            made_b, made_a = to_with(a).float(), to_without(b).float()
        # Zhu et al. 2017, eq. 1 with the squares of section 4; eq. 2: cycle; section 5.2: identity; eq. 3: their sum
        verdicts = d_with(made_b).float(), d_without(made_a).float()
        of_b, of_a = (losses.mean_squared_error(v, torch.ones_like(v)) for v in verdicts)
        values["fool"] = of_b + of_a
        back_a, back_b = to_without(made_b).float(), to_with(made_a).float()
        values["cycle"] = losses.mean_absolute_error(back_a, a) + losses.mean_absolute_error(back_b, b)
        weights = {"fool": 1.0, "cycle": self.cycle, "identity": self.cycle * self.identity}
        total = torch.stack([weights[name] * value for name, value in values.items()]).sum() * ready
        total.backward(inputs=self.parameters(*GENERATORS))  # type: ignore[no-untyped-call]
        return values, made_a, made_b

    def _teach_discriminators(
        self, a: Tensor, b: Tensor, made_a: Tensor, made_b: Tensor, ready: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        values = {}
        # Zhu et al. 2017, section 4: D minimises (D(y) - 1)^2 + D(G(x))^2, halved
        for name, real, made in zip(DISCRIMINATORS, (b, a), (made_b, made_a), strict=True):
            # Until both domains were seen one side is made of black images: not to be remembered.
            old = self.pools[name](made, generator) if self._both else made.detach()
            of_real, of_made = self.networks[name](torch.cat([real, old])).float().chunk(2)
            values[name] = losses.least_squares_real_or_fake(of_real, of_made)
        total = torch.stack(list(values.values())).sum() * ready
        total.backward(inputs=self.parameters(*DISCRIMINATORS))  # type: ignore[no-untyped-call]
        return values


class ImagePool:
    """The last made images (Shrivastava et al. 2017): D sees old ones too, and does not follow every whim of G.

    Until it is full an image is kept and returned. Then, with probability 1/2, a stored one is returned and the new one
    takes its place.

    Args:
        size: 50 as published; 0 returns what it is given.
    """

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Exchange a batch [B, 3, S, S], without gradient; chance comes from the CPU generator."""
        images = images.detach()
        if not self.size:
            return images
        if self.images and self.images[0].device != images.device:
            # A checkpoint is read to the CPU.
            self.images = [image.to(images.device) for image in self.images]
        # Drawn for every image, kept or not: what follows does not depend on how full the pool is.
        coins = torch.rand(len(images), 2, generator=generator).tolist()
        returned = []
        for image, (coin, place) in zip(images, coins, strict=True):
            if len(self.images) < self.size:
                self.images.append(image.clone())
                returned.append(image)
            elif coin < 0.5:
                returned.append(self.images[int(place * self.size)])
                self.images[int(place * self.size)] = image.clone()
            else:
                returned.append(image)
        return torch.stack(returned)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"images": torch.stack(self.images) if self.images else torch.zeros(0)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.images = [image.clone() for image in state["images"]]


class DomainBank:
    """The newest real images of one domain, from which every step draws as many as it needs.

    A labelled batch of two holds two images with glasses, or none: drawn from here, every step has both domains in
    equal numbers, and a rare one is seen as often as the other. No value is read off the device.

    Args:
        size: images kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: Tensor | None = None
        self.count = torch.zeros((), dtype=torch.int64)

    def add(self, images: Tensor, member: Tensor) -> None:
        """Take those of the images [B, 3, S, S] that belong to the domain: member, bool [B]; B is at most `size`."""
        if self.images is None:
            # One more place, where what does not belong goes.
            self.images = torch.zeros(self.size + 1, *images.shape[1:], device=images.device)
        # A checkpoint is read to the CPU.
        self.images, self.count = self.images.to(images.device), self.count.to(images.device)
        places = (self.count + member.long().cumsum(0) - 1) % self.size
        self.images[torch.where(member, places, self.size)] = images
        self.count = self.count + member.sum()

    def draw(self, chance: Tensor) -> Tensor:
        """Return images [n, 3, S, S] chosen by uniform numbers [n]; black ones while there are none."""
        assert self.images is not None
        filled = self.count.clamp(max=self.size)
        chosen = (chance * filled).long().minimum((filled - 1).clamp_min(0))
        return self.images[chosen]

    @property
    def ready(self) -> Tensor:
        """1 where there is an image, else 0: a scalar to multiply losses by."""
        return (self.count > 0).float()

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"images": torch.zeros(0) if self.images is None else self.images.clone(), "count": self.count.clone()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.images = state["images"].clone() if state["images"].numel() else None
        self.count = state["count"].clone()


class Pix2Pix(Algorithm):
    """pix2pix: "generator" and "discriminator".

    Attributes:
        source: where sources come from: "pairs" (rows 2k and 2k + 1 of a batch belong together; the one without the
            attribute is the source), or made of the image itself: its "mask", "grey" or "edges".
        column: of y that tells the source (0) from the image (1) in pairs.
    """

    kept = ("generator",)

    def __init__(self, recipe: TranslationRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.source, self.l1 = recipe.domains.source, recipe.losses.l1
        paired = self.source == "pairs"
        self.column = schema.columns(edited_attribute(recipe, schema)).start if paired else 0

    @staticmethod
    def fresh(recipe: TranslationRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        width = recipe.networks.discriminator_width
        return kept_networks(recipe, schema) | {"discriminator": PatchDiscriminator(6, width)}

    @staticmethod
    def rows(recipe: TranslationRecipe, data: PreparedData) -> NDArray[np.int64]:
        """As of `Algorithm`: pairs, or any images that a source can be made of."""
        if recipe.domains.source == "pairs":
            return paired_rows(recipe, data)
        if recipe.domains.source == "mask" and data.masks is None:
            raise AttrimorphError(
                "domains.source mask needs data with masks; these have none; "
                "take grey or edges, or find masks with attrimorph data mask"
            )
        return data.indices("train")

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step on images and what their sources are made of; see `Algorithm`."""
        source, x = (
            pairs(batch, self.column) if self.source == "pairs" else (source_of(batch, self.source), batch.images)
        )
        self.forget_gradients()
        g, d = self.networks["generator"], self.networks["discriminator"]
        # Isola et al. 2017, eq. 4: eq. 1, the conditional GAN's, and 100 times eq. 3, L1; D's is halved (section 3.3)
        with self.arithmetic(), seeded(generator, x.device):
            made = g(source).float()
            verdict = d(torch.cat([source, made], dim=1)).float()
            values = {"fool": losses.non_saturating(verdict), "l1": losses.mean_absolute_error(made, x)}
            total = values["fool"] + self.l1 * values["l1"]
            total.backward(inputs=list(g.parameters()))  # type: ignore[no-untyped-call]
            shown = torch.cat([torch.cat([source, x], dim=1), torch.cat([source, made.detach()], dim=1)])
            of_real, of_made = d(shown).float().chunk(2)
            values["discriminator"] = 0.5 * losses.real_or_fake(of_real, [of_made])
            values["discriminator"].backward(inputs=list(d.parameters()))  # type: ignore[no-untyped-call]
        self.update()
        return {name: value.detach() for name, value in values.items()}
