"""AttGAN's networks (He et al., TIP 2019). At a width of 64 these are the published ones."""

from collections.abc import Collection

from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.methods.attgan.recipe import AttGANRecipe
from attrimorph.networks.attribute_editing import InjectedDecoder, PyramidEncoder, halvings
from attrimorph.networks.convolutional import Classifier


class AttGenerator(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1], their attributes y and the target's y' [B, W] -> [B, 3, S, S] in [-1, 1].

    The encoder sees neither y nor y'; the decoder is given y' - 1/2, -0.5 for an attribute's absence and 0.5 for it.

    Args:
        condition: W.
        width, layers: of the encoder.
        shortcuts, injections: of the decoder.
    """

    def __init__(self, condition: int, width: int, layers: int, shortcuts: int, injections: int) -> None:
        super().__init__()
        self.encoder = PyramidEncoder(width, layers)
        self.decoder = InjectedDecoder(condition, width, layers, shortcuts, injections)

    def forward(self, images: Tensor, y: Tensor, target: Tensor) -> Tensor:
        made: Tensor = self.decoder(self.encoder(images), target - 0.5)
        return made


def kept_networks(recipe: AttGANRecipe, schema: Schema, found: Collection[str] = ()) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds."""
    options, size, width = recipe.networks, recipe.data.image_size, schema.width
    layers = halvings(size, options.layers)
    return {
        "generator": AttGenerator(width, options.generator_width, layers, options.shortcuts, options.injections),
        "classifier": Classifier(size, width, options.classifier_width),
    }
