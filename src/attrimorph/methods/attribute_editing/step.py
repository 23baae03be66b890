"""How StarGAN, AttGAN and STGAN learn: G edits a picture x of attributes y to have y', D has a head for attributes.

    x' = G(x, y, y'), y' the attributes of another picture of the batch
    L_D = D(x') - D(x) + gradient_penalty (||grad D|| - 1)^2 + head_real CE(head(x), y)
    L_G = -D(x') + asked_head CE(head(x'), y') + reconstruction |x_again - x|
x_again = G(x, y, y) of AttGAN and STGAN, with the weights 10, 1, 10, 100 and CE a mean over the attributes, as in the
authors' code (the papers write a sum). Of StarGAN it is G(G(x, y, y'), y', y), there and back, with 10, 1, 1, 10 and CE
a sum. G learns in every so manieth step only. All gradients of a step belong to the same parameters; then every network
steps. Beside them a classifier learns from real pictures, and nobody from it (ours): it tells a trained model the
attributes of a photograph, which the papers have from the data set.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.attribute_editing.networks import AttributeCritic, PatchCritic, kept_networks
from attrimorph.methods.base import Algorithm


class AttributeEditing(Algorithm):
    """AttGAN and STGAN: "generator", "discriminator", "classifier".

    Attributes:
        critic: what D is.
        averaged: whether cross-entropies of attributes are means over these, else sums.
        generator_every: G learns in every so manieth step.
    """

    kept, remembers = ("generator", "classifier"), ("steps",)
    averaged: ClassVar[bool] = True
    critic: ClassVar[type[AttributeCritic | PatchCritic]] = AttributeCritic

    def __init__(self, recipe: Any, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.generator_every: int = recipe.losses.generator_every
        self.attributes = len(schema.attributes) if self.averaged else 1
        self.steps = 0

    @classmethod
    def fresh(cls, recipe: Any, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        options = recipe.networks
        critic = cls.critic(recipe.data.image_size, schema.width, options.discriminator_width, options.layers)
        return kept_networks(recipe, schema) | {"discriminator": critic}

    def again(self, x: Tensor, y: Tensor, goal: Tensor, made: Tensor) -> Tensor:
        """Return pictures made again, [B, 3, S, S], of themselves or of what was `made` of them to have `goal`."""
        again: Tensor = self.networks["generator"](x, y, y)
        return again

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; see `Algorithm`."""
        x, y, count = batch.images, batch.attributes, len(batch.images)
        other = y[torch.randperm(count, generator=generator).to(x.device)]
        share = torch.rand(count, 1, 1, 1, generator=generator).to(x.device)
        # What is not known of either is not asked.
        target = torch.where(y.isnan() | other.isnan(), y, other)
        own, goal = self.blanked(y), self.blanked(target)
        self.steps += 1
        learns = self.steps % self.generator_every == 0
        g, d = self.networks["generator"], self.networks["discriminator"]
        self.forget_gradients()
        with self.arithmetic():
            logits = self.networks["classifier"](x)[0].float()
            values = {"classify": losses.attribute_loss(logits, y, self.blocks)}
            values["classify"].backward(inputs=self.parameters("classifier"))  # type: ignore[no-untyped-call]
            with torch.set_grad_enabled(learns):
                made = g(x, own, goal).float()
            verdict, told = d(made)
            if learns:
                asked = {
                    "fool": losses.wasserstein_fool(verdict),
                    "asked_head": self._cross_entropy(told, target),
                    "reconstruction": losses.mean_absolute_error(self.again(x, own, goal, made).float(), x),
                }
                total = self._weighted(asked)
                total.backward(inputs=self.parameters("generator"), retain_graph=True)  # type: ignore[no-untyped-call]
                values |= asked
            real, right = d(x)
            between = torch.lerp(x, made.detach(), share).requires_grad_()
            (slope,) = torch.autograd.grad(d(between)[0].sum(), between, create_graph=True)
            judged = {
                "wasserstein": losses.wasserstein(real, verdict),
                "gradient_penalty": losses.gradient_penalty(slope.float()),
                "head_real": self._cross_entropy(right, y),
            }
            total = self._weighted(judged)
            total.backward(inputs=self.parameters("discriminator"))  # type: ignore[no-untyped-call]
        self.update(*(name for name in self.networks if learns or name != "generator"))
        values |= judged | {"c_accuracy": losses.attribute_accuracy(logits.detach(), y, self.blocks)}
        return {name: value.detach() for name, value in values.items()}

    def _weighted(self, values: dict[str, Tensor]) -> Tensor:
        """Return the sum of losses by their weights; 1 of what has none."""
        return torch.stack([self.weights.get(name, 1.0) * value for name, value in values.items()]).sum()

    def _cross_entropy(self, logits: Tensor, y: Tensor) -> Tensor:
        return losses.attribute_loss(logits, y, self.blocks) / self.attributes


class StarGAN(AttributeEditing):
    """StarGAN: pictures go there and back."""

    averaged, critic = False, PatchCritic

    def again(self, x: Tensor, y: Tensor, goal: Tensor, made: Tensor) -> Tensor:
        """As of `AttributeEditing`."""
        again: Tensor = self.networks["generator"](made, goal, y)
        return again
