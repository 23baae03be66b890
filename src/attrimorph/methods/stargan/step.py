"""How StarGAN learns (Choi et al., CVPR 2018): as of `AttributeEditing`, with pictures that go there and back.

x' = G(x, y'), x_again = G(x', y)                                                       eq. 4
L_D = D(x') - D(x) + 10 (||grad D|| - 1)^2 + CE(head(x), y)                       eq. 2, 5, 8
L_G = -D(x') + CE(head(x'), y') + 10 |x_again - x|                                eq. 3, 4, 6
"""

from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.methods.attribute_editing import AttributeEditing
from attrimorph.methods.stargan.networks import PatchCritic, kept_networks
from attrimorph.methods.stargan.recipe import StarGANRecipe


class StarGAN(AttributeEditing):
    """StarGAN: "generator", "discriminator", "classifier"."""

    averaged = False

    @staticmethod
    def fresh(recipe: StarGANRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        options = recipe.networks
        critic = PatchCritic(recipe.data.image_size, schema.width, options.discriminator_width, options.layers)
        return kept_networks(recipe, schema) | {"discriminator": critic}

    def again(self, x: Tensor, y: Tensor, goal: Tensor, made: Tensor) -> Tensor:
        """As of `AttributeEditing`."""
        again: Tensor = self.networks["generator"](made, goal, y)
        return again
