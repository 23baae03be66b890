"""Trained progressively grown GANs: they decode and sample; a photograph reaches them by inversion alone."""

from collections.abc import Mapping

from torch import Tensor, nn

from attrimorph.methods.pggan.networks import GrowingGenerator, double
from attrimorph.methods.pggan.recipe import ProgressiveRecipe
from attrimorph.models import Header
from attrimorph.models.model import CodedModel


class ProgressiveModel(CodedModel):
    """A trained G; one that has not grown up yet makes small images, shown enlarged.

    Attributes:
        level: how far it has grown; see `methods.pggan.networks`.
    """

    recipe: ProgressiveRecipe

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        self.conditional = self.recipe.networks.conditional
        generator = self.networks["generator"]
        assert isinstance(generator, GrowingGenerator)
        self.level = generator.level

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """As of `CodedModel`."""
        images: Tensor = self.networks["generator"](z.to(self.device), self.shown(attributes), self.level)
        while images.shape[-1] < self.image_size:
            images = double(images)
        return images.float().clamp(-1, 1).contiguous()
