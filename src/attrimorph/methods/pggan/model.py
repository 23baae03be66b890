"""Trained progressively grown GANs: they decode and sample; a photograph reaches them by inversion alone."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attrimorph.methods.pggan.networks import Generator, double
from attrimorph.methods.pggan.recipe import ProgressiveRecipe
from attrimorph.models.codes import Code
from attrimorph.models.header import Header
from attrimorph.models.model import Model
from attrimorph.models.pictures import Pictures


class ProgressiveModel(Model):
    """A trained G; one that has not grown up yet makes small images, shown enlarged.

    Attributes:
        level: how far it has grown; see `methods.pggan.networks`.
    """

    samples = True
    recipe: ProgressiveRecipe

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        self.conditional = self.recipe.networks.conditional
        generator = self.networks["generator"]
        assert isinstance(generator, Generator)
        self.level = generator.level

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
        shown = self.known(attributes)[:, : None if self.conditional else 0]
        images: Tensor = self.networks["generator"](z.to(self.device), shown, self.level)
        while images.shape[-1] < self.image_size:
            images = double(images)
        return images.float().clamp(-1, 1).contiguous()

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes: z from N(0, I), y as given or drawn from the training data's own combinations.

        Args:
            count: B.
            generator: a CPU generator.
            attributes: [B, W] or [1, W].

        Returns:
            Code of B rows.
        """
        z = torch.randn(count, self.recipe.networks.latent, generator=generator)
        if attributes is None:
            attributes = self.draw_attributes(count, generator)
        return Code(z, attributes.expand(count, -1).clone())
