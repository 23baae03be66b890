"""A trained AttGAN: an edit goes further than what was asked in training, as published."""

from torch import Tensor

from attrimorph.data import Changes
from attrimorph.methods.attgan.recipe import AttGANRecipe
from attrimorph.models.attribute_editor import AttributeEditor


class AttGANModel(AttributeEditor):
    """A trained AttGAN."""

    recipe: AttGANRecipe

    def moved(self, attributes: Tensor, changes: Changes) -> Tensor:
        """Return attributes [B, W] moved by calibrated strengths, and `networks.reach` times as far."""
        far: Tensor = attributes + self.recipe.networks.reach * (super().moved(attributes, changes) - attributes)
        return far
