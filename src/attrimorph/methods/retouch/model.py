"""A trained Retouch: it tells how the pixels of a picture change, at any size and strength."""

from collections import deque
from dataclasses import replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.data import Changes
from attrimorph.methods.retouch.recipe import RetouchRecipe
from attrimorph.methods.retouch.skin import LIGHTENING, with_skin_kept
from attrimorph.models.model import Model, any_source
from attrimorph.photographs.fields import CHANNELS, Fields, changed
from attrimorph.pictures import Pictures, Source

KEPT = 16  # fields


class RetouchModel(Model):
    """A trained Retouch: it edits, and tells the edit as fields."""

    recipe: RetouchRecipe

    @cached_property
    def _kept(self) -> deque[tuple[tuple[Tensor, ...], Fields]]:
        return deque(maxlen=KEPT)

    @torch.no_grad()
    def fields(self, images: Source, changes: Changes, attributes: Tensor | None = None) -> Fields:
        """Tell how changes would change pictures.

        Args:
            images: [B, 3, S, S] in [-1, 1], S the model's image size.
            changes: attribute -> strength; 1 = set, -1 = taken away, 0.5 = half of the fields that set it.
            attributes: [B, W]; guessed by the classifier where None.

        Returns:
            The fields at S. What has one strength is asked together; other strengths come on top of it.
        """
        x = self.prepared(images).to(self.device)
        y = self.known(self.guess_attributes(x) if attributes is None else attributes)
        wished = self.strengths.calibrated(self.changes(changes))
        found: Fields | None = None
        for strength in dict.fromkeys(abs(each) for each in wished.values() if each):
            signs = {name: each / strength for name, each in wished.items() if abs(each) == strength}
            part = self._whole(x, y, self.schema.edit(y, signs) - y) * (self.recipe.networks.reach * strength)
            found = part if found is None else found + part
        if found is None:
            return Fields(gain=torch.zeros_like(x))
        # No more is painted than wholly.
        return found if found.mask is None else replace(found, mask=found.mask.clamp(0, 1))

    def _whole(self, *asked: Tensor) -> Fields:
        """Return the fields that set and take away, at S; those last asked for of one picture are kept, since a slider
        asks for other strengths of them alone.

        Args:
            asked: pictures [B, 3, S, S], their attributes and by how much these change, [B, W] both.
        """
        x, y, wished = asked
        for before, fields in tuple(self._kept):
            if all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(asked, before, strict=True)):
                return fields
        found = self._enlarged(self.networks["editor"](F.avg_pool2d(x, self.recipe.networks.enlarged), wished, y))
        if LIGHTENING not in self.schema.names or not wished[:, self.schema.columns(LIGHTENING)].any():
            found = with_skin_kept(x, found)
        if len(x) == 1:
            self._kept.append((tuple(each.clone() for each in asked), found))
        return found

    def _enlarged(self, fields: Fields) -> Fields:
        """Return fields as large as the model's pictures."""
        parts = {name: part for name in CHANNELS if (part := getattr(fields, name)) is not None}
        if self.recipe.networks.enlarged > 1:
            size = (self.image_size, self.image_size)
            parts = {name: F.interpolate(part, size=size, mode="bicubic") for name, part in parts.items()}
        # A slider scales them again and again: channel by channel that takes half as long as channels last.
        return Fields(**{name: part.contiguous() for name, part in parts.items()})

    @any_source
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Return pictures [B, 3, S, S] in [-1, 1] as their fields change them; arguments as of `fields`."""
        x = self.prepared(images).to(self.device)
        return changed(x, self.fields(x, changes, attributes)).as_subclass(Pictures)

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return what a sample sheet shows of held-out pictures: themselves, and the first attributes reversed."""
        y = self.known(attributes).cpu()
        return [images, *self.reversed_rows(images, y)]
