"""Models of the CVAE-GAN family: a generator, with an encoder, with attributes to edit by."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attrimorph.data.schema import Changes
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.cvae_gan.terms import METHODS
from attrimorph.models.codes import Code
from attrimorph.models.header import Header
from attrimorph.models.model import Model
from attrimorph.models.pictures import Pictures, Source


class Sampler(Model):
    """A generator of the CVAE-GAN family: it decodes and samples."""

    samples = True
    recipe: Recipe

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        self.conditional = METHODS[self.recipe.method].conditional

    def _shown(self, attributes: Tensor) -> Tensor:
        """What the networks see of y: nothing where the method is unconditional."""
        return self.known(attributes)[:, : None if self.conditional else 0]

    @torch.no_grad()
    def decode(self, code: Code) -> Pictures:
        """Return G(z, y).

        Args:
            code: z [B, Z], attributes [B, W].

        Returns:
            float32 [B, 3, S, S] in [-1, 1].
        """
        return self.generate(code.z, code.attributes).as_subclass(Pictures)

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return G(z, y) as `decode` does, with gradients towards z and y where they want any."""
        images: Tensor = self.networks["generator"](z.to(self.device), self._shown(attributes))
        return images.float().contiguous()

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes.

        z comes from the Gaussian fitted to the training images' codes, or from N(0, I) where there is none; y as given,
        or drawn from the training data's own combinations.

        Args:
            count: B.
            generator: a CPU generator.
            attributes: [B, W] or [1, W].

        Returns:
            Code of B rows.
        """
        z = torch.randn(count, self.recipe.networks.latent, generator=generator)
        if "prior" in self.networks:
            z = self.networks["prior"](z.to(self.device)).cpu()
        if attributes is None:
            attributes = self.draw_attributes(count, generator)
        return Code(z, attributes.expand(count, -1).clone())


class Autoencoder(Sampler):
    """A model with an encoder: it encodes too."""

    @torch.no_grad()
    def encode(self, images: Source, attributes: Tensor | None = None) -> Code:
        """Return the mean of q(z | x, y), and y.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            attributes: [B, W]; guessed by the classifier where None.
        """
        images = self.prepared(images)
        if attributes is None:
            attributes = (
                self.guess_attributes(images)
                if self.conditional
                else torch.full((len(images), self.schema.width), torch.nan)
            )
        shown = self._shown(attributes)
        mean, _ = self.networks["encoder"](images.to(self.device), shown)
        return Code(mean.float(), attributes.to(self.device))


class Editor(Autoencoder):
    """A conditional autoencoder: it edits images by attribute."""

    def edit(self, images: Source, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Return G(E(x, y), y'), y' = y moved by the calibrated strengths of `changes`.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: attribute -> strength; 0 = unchanged, 1 = set, -1 = taken away, 0.5 = half-way as far as the model
                was calibrated.
            attributes: [B, W]; guessed by the classifier where None.

        Returns:
            [B, 3, S, S] in [-1, 1]; no changes give the reconstruction.
        """
        code = self.encode(images, attributes)
        return self.decode(Code(code.z, self.moved(code.attributes, changes)))


def family_model(networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> Model:
    """Return the model that the networks make."""
    conditional = METHODS[header.recipe.method].conditional
    kind = Sampler if "encoder" not in networks else Editor if conditional else Autoencoder
    return kind(networks, header, device, digest)
