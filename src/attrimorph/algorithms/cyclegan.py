"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017) between images without and with one attribute.

G_with: without -> with; G_without: with -> without; a discriminator for each domain.
    L_G = (D_with(G_with(a)) - 1)^2 + (D_without(G_without(b)) - 1)^2                      least squares
        + cycle (|G_without(G_with(a)) - a| + |G_with(G_without(b)) - b|)
        + cycle identity (|G_with(b) - b| + |G_without(a) - a|)
    L_D = 1/2 (D(real) - 1)^2 + 1/2 D(pool)^2, for each
All losses are means over everything. Both generators have one optimiser, both discriminators another.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.algorithms.image_pool import DomainBank, ImagePool
from attrimorph.algorithms.passes import seeded
from attrimorph.data.loader import Batch

GENERATORS = ("generator_with", "generator_without")
DISCRIMINATORS = ("discriminator_with", "discriminator_without")


class CycleGAN:
    """CycleGAN: its networks, their optimisers, and `step`.

    Args:
        networks: `GENERATORS` and `DISCRIMINATORS`, by name.
        optimisers: "generators" and "discriminators".
        column: of y that tells the domains: 0 without, 1 with; images where it is missing are left out.
        cycle: weight of the cycle terms, 10 as published.
        identity: weight of the identity terms, as a share of `cycle`, 0.5 as published.
        pool: images in each pool.
        bank: newest real images of each domain that a step draws from; at least a batch.
        autocast, reduce_gradients: as of `CVAEGAN`.
    """

    kept = GENERATORS

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        *,
        column: int,
        cycle: float = 10.0,
        identity: float = 0.5,
        pool: int = 50,
        bank: int = 16,
        autocast: torch.dtype | None = None,
        reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
    ) -> None:
        self.networks, self.optimisers = dict(networks), dict(optimisers)
        self.column, self.cycle, self.identity = column, cycle, identity
        self.pools = {name: ImagePool(pool) for name in DISCRIMINATORS}
        self.banks = {name: DomainBank(bank) for name in DISCRIMINATORS}
        self.autocast, self.reduce_gradients = autocast, reduce_gradients
        self._both = False  # whether both domains were seen, as far as anyone has looked

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step with half a batch's number of images of each domain.

        Args:
            batch: its images [B, 3, S, S] in [-1, 1] and attributes [B, W].
            generator: a CPU generator, the only source of chance.

        Returns:
            Values of the losses, unweighted, without gradient.
        """
        a, b, ready = self.domains(batch, generator)
        # Read off the device until it is so, and never again.
        self._both = self._both or bool(ready)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        enabled = self.autocast is not None
        with (
            torch.autocast(a.device.type, self.autocast or torch.bfloat16, enabled=enabled),
            seeded(generator, a.device),
        ):
            values, made_a, made_b = self._teach_generators(a, b, ready)
            values |= self._teach_discriminators(a, b, made_a, made_b, ready, generator)
        if self.reduce_gradients:
            self.reduce_gradients(self._parameters(*GENERATORS, *DISCRIMINATORS))
        for optimiser in self.optimisers.values():
            optimiser.step()
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

    def _parameters(self, *names: str) -> list[nn.Parameter]:
        return [p for name in names for p in self.networks[name].parameters()]

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
        total.backward(inputs=self._parameters(*GENERATORS))  # type: ignore[no-untyped-call]
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
        total.backward(inputs=self._parameters(*DISCRIMINATORS))  # type: ignore[no-untyped-call]
        return values

    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """Nothing: the generators are the model."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "pools": {name: pool.state() for name, pool in self.pools.items()},
            "banks": {name: bank.state() for name, bank in self.banks.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name, pool in self.pools.items():
            pool.load_state(state["pools"][name])
        for name, bank in self.banks.items():
            bank.load_state(state["banks"][name])
