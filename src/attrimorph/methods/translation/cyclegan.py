"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017) between images without and with one attribute.

G_with: without -> with; G_without: with -> without; a discriminator for each domain.
    L_G = (D_with(G_with(a)) - 1)^2 + (D_without(G_without(b)) - 1)^2                      least squares
        + cycle (|G_without(G_with(a)) - a| + |G_with(G_without(b)) - b|)
        + cycle identity (|G_with(b) - b| + |G_without(a) - a|)
    L_D = 1/2 (D(real) - 1)^2 + 1/2 D(pool)^2, for each
All losses are means over everything. Both generators have one optimiser, both discriminators another.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.methods.base import Algorithm, seeded
from attrimorph.methods.translation.domains import edited_attribute, rows_of_both
from attrimorph.methods.translation.image_pool import DomainBank, ImagePool
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
        layout = (
            torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.preserve_format
        )
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
        verdicts = d_with(made_b).float(), d_without(made_a).float()
        values["fool"] = sum(
            (losses.mean_squared_error(v, torch.ones_like(v)) for v in verdicts), start=a.new_zeros(())
        )
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
        for name, real, made in zip(DISCRIMINATORS, (b, a), (made_b, made_a), strict=True):
            # Until both domains were seen one side is made of black images: not to be remembered.
            old = self.pools[name](made, generator) if self._both else made.detach()
            of_real, of_made = self.networks[name](torch.cat([real, old])).float().chunk(2)
            values[name] = losses.least_squares_real_or_fake(of_real, of_made)
        total = torch.stack(list(values.values())).sum() * ready
        total.backward(inputs=self.parameters(*DISCRIMINATORS))  # type: ignore[no-untyped-call]
        return values

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""
        return super().state() | {
            "pools": {name: pool.state() for name, pool in self.pools.items()},
            "banks": {name: bank.state() for name, bank in self.banks.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        super().load_state(state)
        for name, pool in self.pools.items():
            pool.load_state(state["pools"][name])
        for name, bank in self.banks.items():
            bank.load_state(state["banks"][name])
