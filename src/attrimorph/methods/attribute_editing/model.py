"""What is trained of StarGAN, AttGAN and STGAN."""

import torch
from torch import Tensor

from attrimorph.data import Changes
from attrimorph.methods.attribute_editing.recipe import AttGANRecipe
from attrimorph.models.model import Model, any_source
from attrimorph.pictures import Pictures


class AttributeEditor(Model):
    """A generator G(x, y, y') that makes the edited picture of the picture itself. It has no codes."""

    @any_source
    @torch.no_grad()
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Return G(x, y, y'), y' = y moved by the calibrated strengths of `changes`.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: attribute -> strength; 0 = unchanged, 1 = set, -1 = taken away.
            attributes: [B, W]; guessed by the classifier where None.

        Returns:
            [B, 3, S, S] in [-1, 1]; no changes give the reconstruction.
        """
        x = self.prepared(images).to(self.device)
        y = self.known(self.guess_attributes(x) if attributes is None else attributes)
        made: Tensor = self.networks["generator"](x, y, self.moved(y, changes)).float()
        return made.contiguous().as_subclass(Pictures)

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return what a sample sheet shows of held-out images: themselves, made again, and attributes reversed."""
        y = self.known(attributes).cpu()
        return [images, self.edit(images, {}, y).cpu(), *self.reversed_rows(images, y)]


class AttGANModel(AttributeEditor):
    """A trained AttGAN: an edit goes further than what was asked in training, as published."""

    recipe: AttGANRecipe

    def moved(self, attributes: Tensor, changes: Changes) -> Tensor:
        """Return attributes [B, W] moved by calibrated strengths, and `networks.reach` times as far."""
        far: Tensor = attributes + self.recipe.networks.reach * (super().moved(attributes, changes) - attributes)
        return far
