"""Attribute2Image (Yan, Yang, Sohn, Lee, ECCV 2016): CVAE, and disCVAE, which paints foreground and background apart.

CVAE maximises -KL(q(z | x, y) || p(z)) + E log p(x | y, z). disCVAE maximises, with x_F and g observed in training,

    -KL(q(z_F | x_F, g, x, y)) - KL(q(z_B | z_F, x_F, g, x, y)) + L(x_F) + lambda_g L(g) + L(x), x = x_F + x_B g,

where z_F and y make x_F and g, and z_B alone makes x_B. A classifier, ours, learns beside them from the same images,
so that a photograph's attributes can be guessed; nothing learns from it. Also ours, and off as published: a classifier
of codes reads the attributes off z (z_F), and the encoder learns to hide them, so that they must be taken from y.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.methods.attribute2image.layering import Layering, gate_of
from attrimorph.methods.attribute2image.networks import networks_of
from attrimorph.methods.attribute2image.recipe import LayerRecipe
from attrimorph.methods.base import Algorithm, drawn, marginals, mean_psnr
from attrimorph.networks.convolutional import CodeJudge, FittedPrior

FULL = 1 - 0.5 / 255  # a mask that is foreground everywhere stands for none: prepared data have no other word for it


class Attribute2Image(Algorithm):
    """What both have: one optimiser for each network, "classifier" among them, and one step for all of them.

    "code_classifier" is among them where codes hide attributes.
    """

    joint = True
    latent: int

    def __init__(self, recipe: LayerRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.latent = recipe.networks.latent
        self.deviation, self.dropout = recipe.losses.deviation, recipe.networks.dropout
        self.sharpness = recipe.losses.sharpness

    @staticmethod
    def fresh(recipe: LayerRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        networks = networks_of(recipe, schema)
        if recipe.losses.hide:
            networks["code_classifier"] = CodeJudge(recipe.networks.latent, schema.width)
        return networks

    @classmethod
    def optimisers_of(cls, recipe: LayerRecipe, networks: Mapping[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
        """As of `Algorithm`; the weight decay is added to the gradient, as published."""
        decay = recipe.optimiser.weight_decay
        return {name: cls.adam(recipe, networks, name, weight_decay=decay) for name in networks}

    @abstractmethod
    def terms(self, batch: Batch, y: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the losses by name, with gradients, and gauges.

        Args:
            batch: the batch.
            y: its attributes [B, W], blanked where missing.
            generator: the only source of chance.
        """

    @abstractmethod
    def posterior(self, networks: Mapping[str, nn.Module], images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the codes of images nobody has masked, each [B, Z]."""

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step, on masks too (disCVAE); see `Algorithm`."""
        if self.sharpness:
            amount = self.sharpness * drawn(torch.rand, len(batch.images), 1, 1, 1, generator=generator).to(self.device)
            batch = replace(batch, images=sharpened(batch.images, amount))
        with self.arithmetic():
            values, gauges = self.terms(batch, self.blanked(batch.attributes), generator)
            logits = self.networks["classifier"](batch.images)[0].float()
        values["classify"] = losses.attribute_loss(logits, batch.attributes, self.blocks)
        self.backward(values)
        self.update()
        gauges["c_accuracy"] = losses.attribute_accuracy(logits.detach(), batch.attributes, self.blocks)
        return {name: value.detach() for name, value in (values | gauges).items()}

    def backward(self, values: Mapping[str, Tensor]) -> None:
        """Put the gradient of every loss into the networks that learn from it.

        One pass for all but the classifier of codes, which alone learns to read them: each loss reaches no others.
        """
        self.forget_gradients()
        inputs = {name: list(network.parameters()) for name, network in self.networks.items()}
        reader = inputs.pop("code_classifier", [])
        total = [self.weight(name) * value for name, value in values.items() if name != "classify_code"]
        torch.stack(total).sum().backward(  # type: ignore[no-untyped-call]
            inputs=[p for parameters in inputs.values() for p in parameters]
        )
        if reader:
            values["classify_code"].backward(inputs=reader)  # type: ignore[no-untyped-call]

    def hiding(self, z: Tensor, y: Tensor) -> dict[str, Tensor]:
        """What a classifier makes of codes z [B, Z]: its own loss, and the encoder's, which wants it to know nothing.

        Args:
            z: with gradient towards the encoder.
            y: [B, W], NaN where unknown.
        """
        if "code_classifier" not in self.networks:
            return {}
        reader = self.networks["code_classifier"]
        return {
            "classify_code": losses.attribute_loss(reader(z.detach()).float(), y, self.blocks),
            "hide": losses.attribute_loss(reader(z).float(), marginals(y), self.blocks),
        }

    def weight(self, name: str) -> float:
        """Return the weight of a loss; both divergences of disCVAE share one."""
        return 1.0 if name == "classify" else self.weights[name.partition("_")[0]]

    def draw(self, count: int, generator: torch.Generator, encoder: str) -> Tensor | None:
        """Draw an encoder's dropout, [B, features]: 0, or 1 / (1 - dropout)."""
        if not self.dropout:
            return None
        features = self.networks[encoder].features
        assert isinstance(features, int)
        kept = drawn(torch.rand, count, features, generator=generator) >= self.dropout
        return (kept.float() / (1 - self.dropout)).to(self.fill_value.device)

    @property
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model."""
        return tuple(name for name in self.networks if name != "code_classifier")

    @torch.no_grad()
    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """The Gaussian that samples' codes are drawn from, z_F and z_B together."""
        seen = ((batch.images, self.blanked(batch.attributes)) for batch in batches)
        return {"prior": FittedPrior.of(self.posterior(averaged, images, y) for images, y in seen)}


class CVAE(Attribute2Image):
    """CVAE: "encoder", "generator" and "classifier"."""

    def terms(self, batch: Batch, y: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """KL(q(z | x, y) || p(z)) and -log p(x | y, z); see the base class."""
        images, device = batch.images, batch.images.device
        noise = drawn(torch.randn, len(images), self.latent, generator=generator).to(device)
        dropped = self.draw(len(images), generator, "encoder")
        mean, logvar = self.networks["encoder"](images, y, dropped)
        mean, logvar = mean.float(), logvar.float()
        z = mean + noise * torch.exp(0.5 * logvar)
        paint = self.networks["generator"](z, y)
        picture = 2 * paint.colour - 1
        # L_CVAE of Yan et al. 2016, negated: KL(q(z | x, y) || p(z)) - E log p(x | y, z)
        values = {
            "kl": losses.kl_divergence(mean, logvar),
            "image": losses.gaussian_error(images, picture, paint.logvar, deviation=self.deviation),
            **self.hiding(z, batch.attributes),
        }
        return values, {"psnr": mean_psnr(images, picture.float().clamp(-1, 1))}

    def posterior(self, networks: Mapping[str, nn.Module], images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return q(z | x, y)."""
        mean, logvar = networks["encoder"](images, y)
        return mean.float(), logvar.float()


class DisCVAE(Attribute2Image):
    """disCVAE: the four networks of `Layering` and "classifier"."""

    def __init__(self, recipe: LayerRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.latents = (recipe.networks.latent, recipe.networks.background_latent)
        self.latent = sum(self.latents)
        self.published, self.composition = recipe.networks.kind == "paper", recipe.losses.composition
        self.masks_hidden, self.smooth = recipe.losses.masks_hidden, recipe.losses.error == "smooth_l1"
        self.layering = self._layering(self.networks)

    @staticmethod
    def rows(recipe: LayerRecipe, data: PreparedData) -> NDArray[np.int64]:
        """As of `Algorithm`: data with masks alone."""
        if data.masks is None:
            raise AttrimorphError(
                f"{recipe.name} learns from masks, at least for a part of the images; the data have none; "
                "make them with `attrimorph data mask`"
            )
        return data.indices("train")

    def _layering(self, networks: Mapping[str, nn.Module]) -> Layering:
        return Layering(networks, published=self.published, composition=self.composition)

    def terms(self, batch: Batch, y: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms of the lower bound; an image without a mask leaves out L(x_F) and L(g). See the base class."""
        assert batch.masks is not None, "`rows` refuses data without masks"
        images, device, count = batch.images, batch.images.device, len(batch.images)
        noise = [drawn(torch.randn, count, size, generator=generator).to(device) for size in self.latents]
        hidden = (drawn(torch.rand, count, generator=generator) < self.masks_hidden).to(device)
        dropped = [self.draw(count, generator, f"{layer}_encoder") for layer in ("foreground", "background")]
        known = batch.masks.flatten(1).amin(1) < FULL
        shown, gate = known & ~hidden, 1 - batch.masks
        layering = self.layering

        mean_f, logvar_f = layering.encode_foreground(images, layering.shown(gate, shown), y, dropped[0])
        z_f = mean_f + noise[0] * torch.exp(0.5 * logvar_f)
        foreground = layering.paint_foreground(z_f, y)
        found = gate_of(foreground).detach()
        seen = torch.where(shown[:, None, None, None], gate, found)
        mean_b, logvar_b = layering.encode_background(images, seen, y, z_f, dropped[1])
        background = layering.paint_background(mean_b + noise[1] * torch.exp(0.5 * logvar_b), y)
        picture, logvar = layering.compose(foreground, background), layering.composed_logvar(foreground, background)

        assert foreground.gate is not None
        observed = (images + 1) * batch.masks - 1
        # L_disCVAE of Yan et al. 2016, negated, term by term as at the top of this file
        values = {
            "kl_foreground": losses.kl_divergence(mean_f, logvar_f),
            "kl_background": losses.kl_divergence(mean_b, logvar_b),
            "foreground": self.error(observed, 2 * foreground.colour - 1, foreground.logvar, known),
            "gate": losses.gate_error(foreground.gate, gate, known=known),
            "image": self.error(images, picture, logvar),
            **self.hiding(z_f, batch.attributes),
        }
        if self.weights["roughness"]:
            covered = torch.where(known[:, None, None, None], batch.masks, 1 - found)
            values["roughness"] = losses.hidden_roughness(2 * background.colour - 1, covered) / self.deviation**2
        gauges = {
            "psnr": mean_psnr(images, picture.float().clamp(-1, 1)),
            "gate_iou": overlap(found < 0.5, batch.masks > 0.5, known),
        }
        return values, gauges

    def error(self, x: Tensor, mean: Tensor, logvar: Tensor | None, known: Tensor | None = None) -> Tensor:
        """-log p(x) without its constant, as the recipe has it: L(x_F) and L(x)."""
        if self.smooth:
            return losses.smooth_l1_error(x, mean, known=known)
        return losses.gaussian_error(x, mean, logvar, deviation=self.deviation, known=known)

    def posterior(self, networks: Mapping[str, nn.Module], images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return q(z_F, z_B | x, y) without any mask."""
        return self._layering(networks).posterior(images, None, y)


def sharpened(images: Tensor, amount: Tensor) -> Tensor:
    """Add to images [B, 3, S, S] in [-1, 1] `amount` [B, 1, 1, 1] of their difference from their 5x5 means.

    As in the authors' code, on [0, 1], with zeros around the image and without a clamp.
    """
    x = (images + 1) / 2
    return 2 * (x + amount * (x - F.avg_pool2d(x, 5, 1, 2))) - 1


@torch.no_grad()
def overlap(found: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Intersection over union of two masks, bool [B, 1, S, S], averaged over the images that are `known` [B]."""
    both, either = ((part.flatten(1).sum(1)) for part in (found & true, found | true))
    each = both / either.clamp_min(1)
    return (each * known).sum() / known.sum().clamp_min(1)
