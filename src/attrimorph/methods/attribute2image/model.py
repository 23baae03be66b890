"""Trained CVAEs and disCVAEs of Attribute2Image: images from attributes, and images in layers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.methods.attribute2image.layering import Layering, compose, gate_of, settled
from attrimorph.methods.attribute2image.networks import Paint
from attrimorph.methods.attribute2image.recipe import LayerRecipe
from attrimorph.models import Header
from attrimorph.models.model import Code, CodedEditor, ImageLayers
from attrimorph.pictures import Pictures, Source

# log of the integral over d of exp(-smooth L1(d)): a Gaussian's within 1 of 0, an exponential's beyond
SMOOTH_L1_CONSTANT = math.log(math.sqrt(2 * math.pi) * math.erf(math.sqrt(0.5)) + 2 * math.exp(-0.5))
SURE = 1 / 16  # a gate this near to 0 or 1 is taken for it when pictures are made: the long tail of a sigmoid


@dataclass(frozen=True)
class LowerBound:
    """The variational lower bound of log p(x | y), of log p(x, x_F, g | y) where masks are known, term by term.

    Attributes:
        terms: name -> nats of each image [B], to be added up: "image", "foreground", "gate" are expectations of
            log-likelihoods (densities on the scale of [-1, 1]), "kl..." are negative divergences. NaN where an image
            has no mask.
    """

    terms: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """The bound of each image, [B] nats; terms that an image lacks are left out."""
        return torch.stack(list(self.terms.values())).nansum(0)

    def means(self) -> dict[str, float]:
        """Return every term's mean over the images that have it, and the bound's."""
        return {name: float(values.nanmean()) for name, values in self.terms.items()} | {
            "bound": float(self.total.mean())
        }


class Attribute2ImageModel(CodedEditor):
    """What both share: codes, samples and edits; `generate` leaves out the last rounding of a gate."""

    recipe: LayerRecipe

    def log_likelihood(self, x: Tensor, mean: Tensor, logvar: Tensor | None) -> Tensor:
        """Return log p of pictures x given what was painted, [B] nats; densities on the scale of [-1, 1]."""
        if self.recipe.losses.error == "smooth_l1":
            return -losses.smooth_l1_errors(x, mean) - SMOOTH_L1_CONSTANT * x[0].numel()
        if logvar is None:
            logvar = torch.full_like(mean, 2 * math.log(self.recipe.losses.deviation))
        errors = (x - mean).square() * torch.exp(-logvar) + logvar + math.log(2 * math.pi)
        return -0.5 * errors.flatten(1).sum(1)


class CVAEModel(Attribute2ImageModel):
    """A trained CVAE."""

    def paint(self, z: Tensor, attributes: Tensor) -> Paint:
        """Return what the generator paints of z [B, Z] and y [B, W]."""
        paint: Paint = self.networks["generator"](z.to(self.device), self.known(attributes))
        return paint

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return images [B, 3, S, S] in [-1, 1] of z and y, with gradients towards both where they want any."""
        return (2 * self.paint(z, attributes).colour - 1).contiguous()

    def posterior(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | x, y), each [B, Z]."""
        mean, logvar = self.networks["encoder"](images, y)
        return mean.float(), logvar.float()

    @torch.no_grad()
    def lower_bound(self, images: Tensor, attributes: Tensor, generator: torch.Generator) -> LowerBound:
        """Evaluate -KL(q(z | x, y) || p(z)) + E log p(x | y, z) with one draw of z for each image.

        Args:
            images: [B, 3, S, S] in [-1, 1]; attributes: [B, W].
            generator: a CPU generator.
        """
        images, y = images.to(self.device), self.known(attributes)
        mean, logvar = self.posterior(images, y)
        paint = self.paint(drawn(mean, logvar, generator), y)
        image = self.log_likelihood(images, 2 * paint.colour - 1, paint.logvar)
        return LowerBound({"kl": -divergences(mean, logvar), "image": image})


class LayeredModel(Attribute2ImageModel):
    """A trained disCVAE: its codes are z_F, which goes with the attributes, followed by z_B."""

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        published = self.recipe.networks.kind == "paper"
        self.layering = Layering(self.networks, published=published, composition=self.recipe.losses.composition)

    @property
    def can(self) -> tuple[str, ...]:
        """What it does, as verbs."""
        return (*super().can, "take apart into layers")

    @property
    def latent(self) -> int:
        """Columns of z_F and z_B together."""
        return self.recipe.networks.latent + self.recipe.networks.background_latent

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return z_F and z_B of z [B, Z_F + Z_B]."""
        return z[:, : self.recipe.networks.latent], z[:, self.recipe.networks.latent :]

    def paints(self, z: Tensor, attributes: Tensor) -> tuple[Paint, Paint]:
        """Return foreground (with the gate's logits) and background of z and y."""
        z_f, z_b = self.split(z.to(self.device))
        y = self.known(attributes)
        return self.layering.paint_foreground(z_f, y), self.layering.paint_background(z_b, y)

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return images [B, 3, S, S] in [-1, 1] of z and y, with gradients towards both where they want any."""
        return self.layering.compose(*self.paints(z, attributes)).clamp(-1, 1).contiguous()

    @torch.no_grad()
    def decode(self, code: Code) -> Pictures:
        """Return the composite images [B, 3, S, S] in [-1, 1] of a code.

        Where the gate says background they are the background of z_B, to the last bit, whatever the attributes.
        """
        return self.layers_of(code).composite.as_subclass(Pictures)

    @torch.no_grad()
    def layers_of(self, code: Code) -> ImageLayers:
        """Return the layers of a code."""
        front, back = self.paints(code.z, code.attributes)
        assert front.gate is not None
        foreground, gate = settled(front.colour, front.gate.sigmoid(), SURE)
        composite = compose(foreground, gate, back.colour, self.recipe.losses.composition).clamp(0, 1)
        pictures = (2 * layer.contiguous() - 1 for layer in (foreground, back.colour, composite))
        foreground, background, composite = pictures
        return ImageLayers(foreground, gate.contiguous(), background, composite)

    def layers(self, images: Source, attributes: Tensor | None = None) -> ImageLayers:
        """Take images apart.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            attributes: [B, W]; guessed by the classifier where None.
        """
        return self.layers_of(self.encode(images, attributes))

    def posterior(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z_F, z_B | x, y), each [B, Z], for images without masks."""
        return self.layering.posterior(images, None, y)

    def with_background(self, code: Code, other: Code) -> Code:
        """Return the code with the background of another's."""
        z_f, _ = self.split(code.z)
        _, z_b = self.split(other.z.to(z_f))
        return Code(torch.cat([z_f, z_b.expand(len(z_f), -1)], dim=1), code.attributes)

    @torch.no_grad()
    def lower_bound(
        self, images: Tensor, attributes: Tensor, generator: torch.Generator, masks: Tensor | None = None
    ) -> LowerBound:
        """Evaluate the bound with one draw of z_F and z_B for each image.

        Args:
            images: [B, 3, S, S] in [-1, 1]; attributes: [B, W].
            generator: a CPU generator.
            masks: [B, 1, S, S] in [0, 1], 1 = foreground; the encoders see them too. Without any, and for an image
                whose mask is foreground everywhere, the bound is that of log p(x | y).
        """
        images, y = images.to(self.device), self.known(attributes)
        layering = self.layering
        known = torch.zeros(images.shape[0], dtype=torch.bool, device=self.device)
        gate = torch.zeros_like(images[:, :1])
        if masks is not None:
            gate = 1 - masks.to(self.device)
            known = gate.flatten(1).amax(1) > 0.5 / 255
        mean, logvar = layering.posterior(images, gate, y, known)
        z_f, _ = self.split(drawn(mean, logvar, generator))
        # z_B's posterior is that given the z_F drawn, not given its mean.
        front = layering.paint_foreground(z_f, y)
        seen = torch.where(known[:, None, None, None], gate, gate_of(front))
        mean_b, logvar_b = layering.encode_background(images, seen, y, z_f)
        back = layering.paint_background(drawn(mean_b, logvar_b, generator), y)
        mean_f, logvar_f = self.split(mean)[0], self.split(logvar)[0]
        assert front.gate is not None
        terms = {
            "kl foreground": -divergences(mean_f, logvar_f),
            "kl background": -divergences(mean_b, logvar_b),
            "image": self.log_likelihood(images, layering.compose(front, back), layering.composed_logvar(front, back)),
        }
        observed = (images + 1) * (1 - gate) - 1
        for name, values in {
            "foreground": self.log_likelihood(observed, 2 * front.colour - 1, front.logvar),
            "gate": -losses.gate_errors(front.gate, gate),
        }.items():
            terms[name] = torch.where(known, values, torch.nan)
        return LowerBound(terms)


def drawn(mean: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """Draw z ~ N(mean, exp(logvar)) with a CPU generator."""
    return mean + torch.randn(mean.shape, generator=generator).to(mean) * torch.exp(0.5 * logvar)


def divergences(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, I)) of each row, [B]."""
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1).flatten(1).sum(1)
