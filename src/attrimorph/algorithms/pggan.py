"""Progressive growing of GANs (Karras, Aila, Laine, Lehtinen, ICLR 2018): WGAN-GP with networks that grow.

One step, for a batch of the size that the resolution has: real images are shown as large and as faded as G's; D is
evaluated once on real images and samples together and once between them; D and G then learn from the same evaluation
(the published code draws new samples for G). As D is not given its loss on samples with another sign than G, what its
backward pass finds at the samples is G's gradient but for the sign, and G costs one pass of its own and no more of D.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.algorithms.cvae_gan import spread
from attrimorph.data.loader import Batch
from attrimorph.networks.progressive import faded, levels


@dataclass(frozen=True)
class Growth:
    """When G and D grow: pure functions of the images seen.

    The first resolution is trained for `fixed` images; then the next is faded in over `fading` images and trained for
    `fixed` images, and so on. Each tuple has an entry for every resolution from the first on; its last one holds for
    all that follow.

    Attributes:
        start, image_size: first and last resolution, powers of two.
        fixed: images at a resolution once it is whole (the last resolution: to the end of the run).
        fading: images while the resolution after this one is faded in.
        batch_sizes: images of one step.
    """

    start: int
    image_size: int
    fixed: tuple[int, ...]
    fading: tuple[int, ...]
    batch_sizes: tuple[int, ...]

    def level(self, images_seen: int) -> float:
        """Return the level: n for images of 4 x 2^n pixels, n + s while the next size has the share s."""
        place, last = self._first, levels(self.image_size)
        while place < last:
            step = place - self._first
            if images_seen < _entry(self.fixed, step):
                return place
            images_seen -= _entry(self.fixed, step)
            if images_seen < _entry(self.fading, step):
                return place + images_seen / _entry(self.fading, step)
            images_seen -= _entry(self.fading, step)
            place += 1
        return last

    def batch_size(self, images_seen: int) -> int:
        """Return the images of one step; while a size is faded in, it is that size's."""
        return _entry(self.batch_sizes, math.ceil(self.level(images_seen)) - self._first)

    def phase(self, images_seen: int) -> tuple[int, int]:
        """Return what is at work, (whole levels, levels at all); it changes where a fade begins or ends."""
        level = self.level(images_seen)
        return math.floor(level), math.ceil(level)

    @property
    def _first(self) -> int:
        return int(math.log2(self.start)) - 2


def _entry(values: tuple[int, ...], place: int) -> int:
    return values[min(place, len(values) - 1)]


class PGGAN:
    """The method: its networks, their optimisers, and `step`.

    Args:
        networks: "generator" and "discriminator" of `networks.progressive`.
        optimisers: one each; their state is reset whenever a fade begins or ends.
        growth: the schedule.
        gradient_penalty, drift: weights of the terms (10 and 1e-3 as published).
        penalty_every: D's penalty is evaluated at every so many-th step, with so many times its weight; 1 as published.
        classify: weight of AC-GAN's terms, where G is conditional.
        conditional: G is given y, and D tells it.
        blocks, blank: of the schema.
        latent: columns of z.
        autocast: dtype of the networks' arithmetic; None for float32.
        reduce_gradients: called with the parameters of both networks after the backward passes (several processes).
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        growth: Growth,
        *,
        gradient_penalty: float = 10.0,
        drift: float = 1e-3,
        penalty_every: int = 1,
        classify: float = 1.0,
        conditional: bool = False,
        blocks: tuple[losses.Block, ...],
        blank: Tensor,
        latent: int,
        autocast: torch.dtype | None = None,
        reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
    ) -> None:
        self.networks, self.optimisers, self.growth = dict(networks), dict(optimisers), growth
        self.gradient_penalty, self.drift, self.classify = gradient_penalty, drift, classify
        self.penalty_every, self.conditional = penalty_every, conditional
        self.blocks, self.blank, self.latent = blocks, blank, latent
        self.autocast, self.reduce_gradients = autocast, reduce_gradients
        self.steps = 0
        self.phase: tuple[int, int] | None = None
        # What is saved before the first step is as small as what is trained by it.
        self.networks["generator"].grow(growth.level(0))  # type: ignore[operator]

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take as many steps as the batch has batches of the resolution's own size.

        Args:
            batch: its images [B, 3, S, S] in [-1, 1], attributes [B, W], NaN where unknown, and the images seen.
            generator: a CPU generator, the only source of chance.

        Returns:
            Values of the losses, unweighted, and a few gauges, averaged over the steps, as tensors without gradient.
        """
        sums: dict[str, list[Tensor]] = {}
        world = dist.get_world_size() if dist.is_initialized() else 1
        done = 0
        while done < len(batch.images):
            seen = batch.images_seen + done * world
            rows = slice(done, done + self.growth.batch_size(seen))
            for name, value in self._one(batch.images[rows], batch.attributes[rows], seen, generator).items():
                sums.setdefault(name, []).append(value)
            done = rows.stop
        return {name: torch.stack(values).mean() for name, values in sums.items()}

    def _one(self, images: Tensor, labels: Tensor, seen: int, generator: torch.Generator) -> dict[str, Tensor]:
        level = self._grow(seen)
        enabled = self.autocast is not None
        with torch.autocast(images.device.type, self.autocast or torch.bfloat16, enabled=enabled):
            values = self.backward(images, labels, level, generator)
        self.steps += 1
        if self.reduce_gradients:
            self.reduce_gradients([p for network in self.networks.values() for p in network.parameters()])
        for optimiser in self.optimisers.values():
            optimiser.step()
        return values

    def _grow(self, seen: int) -> float:
        """Bring the networks to the level of the clock; forget the optimisers' moments where a fade begins or ends."""
        level, phase = self.growth.level(seen), self.growth.phase(seen)
        if self.phase is not None and phase != self.phase:
            for optimiser in self.optimisers.values():
                optimiser.state.clear()
        self.phase = phase
        self.networks["generator"].grow(level)  # type: ignore[operator]
        return level

    def backward(self, images: Tensor, labels: Tensor, level: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Put both networks' gradients in place; return values and gauges."""
        count, device = len(images), images.device
        z = torch.randn(count, self.latent, generator=generator).to(device)
        order = torch.randperm(count, generator=generator).to(device)
        share = torch.rand(count, 1, 1, 1, generator=generator).to(device)
        g, d = self.networks["generator"], self.networks["discriminator"]
        real, goal = faded(images, level), labels[order]

        samples = g(z, self.condition(goal), level).float()
        shown = samples.detach().requires_grad_()
        scores, logits = (found.float() for found in d(torch.cat([real, shown]), level, 2))
        terms = {
            "wasserstein": (1.0, losses.wasserstein(scores[:count], scores[count:])),
            "drift": (self.drift, losses.drift(scores[:count])),
        }
        if self.steps % self.penalty_every == 0:
            terms["gradient_penalty"] = (
                self.gradient_penalty * self.penalty_every,
                self.penalty(torch.lerp(real, shown.detach(), share), level),
            )
        if self.conditional:
            for name, part, y in (("real", logits[:count], labels), ("sample", logits[count:], goal)):
                terms[f"classify_{name}"] = self.classify, losses.attribute_loss(part, y, self.blocks)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        found = self._at_samples(terms, shown)
        total.backward(inputs=[*d.parameters(), shown])  # type: ignore[no-untyped-call]
        assert shown.grad is not None
        # G wants the opposite of D of the scores, and the same of the classes.
        samples.backward(found - shown.grad, inputs=list(g.parameters()))
        return {name: value.detach() for name, (_, value) in terms.items()} | self._gauges(
            real, samples.detach(), logits.detach(), labels, goal, level
        )

    def _at_samples(self, terms: Mapping[str, tuple[float, Tensor]], shown: Tensor) -> Tensor:
        """Twice the gradient of the samples' class loss at the samples: once to take D's away, once for G's own."""
        if not self.conditional:
            return torch.zeros_like(shown)
        weight, value = terms["classify_sample"]
        (gradient,) = torch.autograd.grad(2 * weight * value, shown, retain_graph=True)
        return gradient

    def penalty(self, between: Tensor, level: float) -> Tensor:
        """The gradient penalty at images between real ones and samples."""
        between = between.requires_grad_()
        scores, _ = self.networks["discriminator"](between, level)
        (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        return losses.gradient_penalty(gradient.float())

    def condition(self, y: Tensor) -> Tensor:
        """What G sees of y: all of it with missing values blanked, or nothing."""
        return torch.where(torch.isnan(y), self.blank, y) if self.conditional else y[:, :0]

    @torch.no_grad()
    def _gauges(
        self, real: Tensor, samples: Tensor, logits: Tensor, labels: Tensor, goal: Tensor, level: float
    ) -> dict[str, Tensor]:
        """What the log and the guard watch."""
        gauges = {
            "level": real.new_tensor(level, dtype=torch.float32),
            "sample_spread": spread(samples) / spread(real).clamp_min(1e-6),
        }
        if self.conditional:
            count = len(real)
            gauges["c_accuracy"] = losses.attribute_accuracy(logits[:count], labels, self.blocks)
            gauges["c_sample_accuracy"] = losses.attribute_accuracy(logits[count:], goal, self.blocks)
        return gauges

    @property
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model."""
        return ("generator",)

    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """Nothing: z is drawn from N(0, I) as in training."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "steps": self.steps,
            "phase": None if self.phase is None else list(self.phase),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.steps = int(state["steps"])
        self.phase = None if state["phase"] is None else (int(state["phase"][0]), int(state["phase"][1]))
