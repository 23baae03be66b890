"""How STGAN learns (Liu et al., CVPR 2019): as of `AttributeEditing`, with pictures made again of themselves.

    x' = G(x, y' - y), x_again = G(x, 0)
    L_D = D(x') - D(x) + 10 (||grad D|| - 1)^2 + CE(head(x), y)
    L_G = -D(x') + 10 CE(head(x'), y') + 100 |x_again - x|
CE is a mean over the attributes, as in the authors' code; the paper writes a sum.
"""

from torch import nn

from attrimorph.data import Schema
from attrimorph.methods.attribute_editing import AttributeEditing
from attrimorph.methods.stgan.networks import kept_networks
from attrimorph.methods.stgan.recipe import STGANRecipe
from attrimorph.networks.attribute_editing import AttributeCritic


class STGAN(AttributeEditing):
    """STGAN: "generator" (encoder, units, decoder), "discriminator", "classifier"."""

    @staticmethod
    def fresh(recipe: STGANRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        options = recipe.networks
        critic = AttributeCritic(recipe.data.image_size, schema.width, options.discriminator_width, options.layers)
        return kept_networks(recipe, schema) | {"discriminator": critic}
