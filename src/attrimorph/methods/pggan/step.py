"""Progressive growing of GANs (Karras, Aila, Laine, Lehtinen, ICLR 2018): WGAN-GP with networks that grow.

One step, for a batch of the size that the resolution has: real images are shown as large and as faded as G's; D is
evaluated once on real images and samples together and once between them; D and G then learn from the same evaluation
(the published code draws new samples for G). As D is not given its loss on samples with another sign than G, what its
backward pass finds at the samples is G's gradient but for the sign, and G costs one pass of its own and no more of D.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.methods.base import Algorithm, drawn, shuffled, spread, world
from attrimorph.methods.pggan.networks import GrowingDiscriminator, faded, generator_of, levels
from attrimorph.methods.pggan.recipe import ProgressiveRecipe


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
        batch_sizes: images of one step, of all processes together.
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


def growth_of(recipe: ProgressiveRecipe) -> Growth:
    """Return when a recipe's networks grow."""
    growth = recipe.growth
    return Growth(growth.start, recipe.data.image_size, growth.fixed_images, growth.fading_images, growth.batch_sizes)


def _entry(values: tuple[int, ...], place: int) -> int:
    return values[min(place, len(values) - 1)]


class PGGAN(Algorithm):
    """The method; the optimisers' state is reset whenever a fade begins or ends."""

    kept, remembers, joint = ("generator",), ("steps", "phase"), True

    def __init__(self, recipe: ProgressiveRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.growth, self.latent = growth_of(recipe), recipe.networks.latent
        if wrong := [size for size in self.growth.batch_sizes if size % world()]:
            raise AttrimorphError(
                f"growth.batch_sizes must be multiples of the number of processes, {world()}, as they share a batch; "
                f"got {wrong[0]}; start another number"
            )
        self.conditional, self.penalty_every = recipe.networks.conditional, recipe.losses.penalty_every
        self.steps = 0
        self.phase: list[int] | None = None
        # What is saved before the first step is as small as what is trained by it.
        self.networks["generator"].grow(self.growth.level(0))  # type: ignore[operator]

    @staticmethod
    def fresh(recipe: ProgressiveRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        options = recipe.networks
        outputs = schema.width if options.conditional else 0
        size = recipe.data.image_size
        return {
            "generator": generator_of(recipe, schema),
            "discriminator": GrowingDiscriminator(size, outputs, options.width, options.most, options.convolutions),
        }

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take as many steps as the batch has batches of the resolution's own size.

        Args:
            batch: its images [B, 3, S, S] in [-1, 1], attributes [B, W], NaN where unknown, and the images seen.
            generator: a CPU generator, the only source of chance.

        Returns:
            Values of the losses, unweighted, and a few gauges, averaged over the steps, as tensors without gradient.
        """
        sums: dict[str, list[Tensor]] = {}
        done = 0
        while done < len(batch.images):
            seen = batch.images_seen + done * world()
            rows = slice(done, done + self.growth.batch_size(seen) // world())
            for name, value in self._one(batch.images[rows], batch.attributes[rows], seen, generator).items():
                sums.setdefault(name, []).append(value)
            done = rows.stop
        return {name: torch.stack(values).mean() for name, values in sums.items()}

    def _one(self, images: Tensor, labels: Tensor, seen: int, generator: torch.Generator) -> dict[str, Tensor]:
        level = self._grow(seen)
        with self.arithmetic():
            values = self.backward(images, labels, level, generator)
        self.steps += 1
        self.update()
        return values

    def _grow(self, seen: int) -> float:
        """Bring the networks to the level of the clock; forget the optimisers' moments where a fade begins or ends."""
        level, phase = self.growth.level(seen), [*self.growth.phase(seen)]
        if self.phase is not None and phase != self.phase:
            for optimiser in self.optimisers.values():
                optimiser.state.clear()
        self.phase = phase
        self.networks["generator"].grow(level)  # type: ignore[operator]
        return level

    def backward(self, images: Tensor, labels: Tensor, level: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Put both networks' gradients in place; return values and gauges."""
        count, device = len(images), images.device
        z = drawn(torch.randn, count, self.latent, generator=generator).to(device)
        goal = shuffled(labels, generator)
        share = drawn(torch.rand, count, 1, 1, 1, generator=generator).to(device)
        g, d = self.networks["generator"], self.networks["discriminator"]
        real = faded(images, level)

        samples = g(z, self.condition(goal), level).float()
        shown = samples.detach().requires_grad_()
        scores, logits = (found.float() for found in d(torch.cat([real, shown]), level, 2))
        # Gulrajani et al. 2017, eq. 3; Karras et al. 2018, appendix A.1: + 0.001 E D(x)^2
        terms = {
            "wasserstein": (1.0, losses.wasserstein(scores[:count], scores[count:])),
            "drift": (self.weights["drift"], losses.drift(scores[:count])),
        }
        if self.steps % self.penalty_every == 0:
            terms["gradient_penalty"] = (
                self.weights["gradient_penalty"] * self.penalty_every,
                self.penalty(torch.lerp(real, shown.detach(), share), level),
            )
        if self.conditional:
            for name, part, y in (("real", logits[:count], labels), ("sample", logits[count:], goal)):
                terms[f"classify_{name}"] = self.weights["classify"], losses.attribute_loss(part, y, self.blocks)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        self.forget_gradients()
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
        return self.blanked(y) if self.conditional else y[:, :0]

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
