"""Models of the CVAE-GAN family: a generator, with an encoder, with attributes to edit by."""

from collections.abc import Mapping

from torch import Tensor, nn

from attrimorph.methods.cvae_gan.recipe import METHODS, Recipe
from attrimorph.models import Header
from attrimorph.models.model import CodedEditor, CodedEncoder, CodedModel, Model


class Sampler(CodedModel):
    """A generator of the CVAE-GAN family: it decodes and samples."""

    recipe: Recipe

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        self.conditional = METHODS[self.recipe.method].conditional

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """As of `CodedModel`."""
        images: Tensor = self.networks["generator"](z.to(self.device), self.shown(attributes))
        return images.float().contiguous()  # [B, 3, S, S]


class Autoencoder(Sampler, CodedEncoder):
    """A model with an encoder: it encodes too."""

    def posterior(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """As of `CodedEncoder`."""
        mean, logvar = self.networks["encoder"](images, y)  # [B, Z] each
        return mean.float(), logvar.float()


class Editor(Autoencoder, CodedEditor):
    """A conditional autoencoder: it edits images by attribute."""


def family_model(networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> Model:
    """Return the model that the networks make."""
    conditional = METHODS[header.recipe.method].conditional
    model = Sampler if "encoder" not in networks else Editor if conditional else Autoencoder
    return model(networks, header, device, digest)
