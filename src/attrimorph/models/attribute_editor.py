"""What is trained of StarGAN, AttGAN and STGAN; and sheets that show an editor's first attributes reversed."""

import torch
from torch import Tensor

from attrimorph.data import Changes
from attrimorph.models.model import Edits, Model, any_source
from attrimorph.pictures import Pictures

SHOWN = 4  # attributes on a sample sheet


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
        return [images, self.edit(images, {}, y).cpu(), *reversed_rows(self, images, y)]


def reversed_rows(model: Model, images: Tensor, y: Tensor) -> list[Tensor]:
    """Return images [B, 3, S, S] of attributes y [B, W], each of the first that a model edits reversed."""
    assert isinstance(model, Edits)
    rows = []
    for name in model.editable[:SHOWN]:
        sets, takes = (model.edit(images, {name: strength}, y).cpu() for strength in (1.0, -1.0))
        has = y[:, model.schema.columns(name)].amax(1) > 0.5
        rows.append(torch.where(has[:, None, None, None], takes, sets))
    return rows
