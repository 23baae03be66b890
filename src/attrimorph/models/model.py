"""What every kind of model has."""

import copy
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.codes import Code, Encodes
from attrimorph.models.header import model_bytes
from attrimorph.recipes.reading import read_recipe
from attrimorph.strength import Strengths


class Model:
    """What every kind of model has: what its file says of it, its networks, and its classifier where it has one.

    Args:
        networks: by name; put into evaluation mode.
        header: what the file carries.
        device: where it runs.
        digest: sha256 of the file, in hexadecimal.

    Attributes:
        schema: its attributes; recipe: how it was trained; image_size: S; images_seen: in training.
        conditional: whether its images depend on attributes that one can choose.
        strengths: how far it goes for a strength, calibrated or not.
        knows_strengths: whether it goes part of the way; else strengths are 1 and -1.
        straight: so many numbers at the end of a code's z are no place in a space, and go straight on every path.
    """

    conditional = True
    knows_strengths = True
    straight = 0

    def __init__(self, networks: Mapping[str, nn.Module], header: Mapping[str, Any], device: str, digest: str) -> None:
        self.header, self.device, self.hash = dict(header), device, digest
        self.recipe = read_recipe(header["recipe"])
        self.schema = Schema.from_json(header["schema"])
        self.image_size = self.recipe.data.image_size
        self.images_seen = int(header["images_seen"])
        self.card: dict[str, Any] = dict(header.get("card", {}))
        self.strengths = Strengths.from_json(header["strength"], self.schema) if "strength" in header else Strengths()
        self.networks = {
            name: network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
            for name, network in networks.items()
        }

    @property
    def editable(self) -> tuple[str, ...]:
        """The binary attributes that an edit can change, by name."""
        return tuple(attribute.name for attribute in self.schema.attributes if attribute.kind == "binary")

    def decode(self, code: Code) -> Tensor:
        """Return images float32 [B, 3, S, S] in [-1, 1] of a code.

        Raises:
            AttrimorphError: this kind of model has no codes.
        """
        raise self._without_codes()

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes.

        Args:
            count: B.
            generator: a CPU generator.
            attributes: [B, W] or [1, W]; drawn from the training data's own combinations where None.

        Returns:
            Code of B rows.

        Raises:
            AttrimorphError: this kind of model has no codes.
        """
        raise self._without_codes()

    def _without_codes(self) -> AttrimorphError:
        return AttrimorphError(
            f"the model {self.recipe.name!r} ({self.recipe.method}) has no codes to make images from; it only edits; "
            "use a model that samples"
        )

    def draw_attributes(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw attributes [B, W] of training images, whole combinations."""
        if not self.schema.width:
            return torch.zeros(count, 0)
        known = torch.tensor(self.header["examples"], dtype=torch.float32).reshape(-1, self.schema.width)
        return known[torch.randint(len(known), (count,), generator=generator)]

    def with_strengths(self, strengths: Strengths) -> Self:
        """Return the same model, calibrated otherwise; with `Strengths()` not at all."""
        other = copy.copy(self)
        other.strengths = strengths
        return other

    def moved(self, attributes: Tensor, changes: Mapping[str, float]) -> Tensor:
        """Return attributes [B, W] moved by calibrated strengths; see `Schema.edit`."""
        return self.schema.edit(attributes, self.strengths.calibrated(changes))

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return the rows that a sample sheet shows of held-out images, each [B, 3, S, S]; none without an encoder.

        Args:
            images: [B, 3, S, S] in [-1, 1]; attributes: [B, W]; masks: [B, 1, S, S] in 0..1 where the data have them.
        """
        if not isinstance(self, Encodes):
            return []
        return [images, self.decode(self.encode(images, attributes)).cpu()]

    def known(self, attributes: Tensor) -> Tensor:
        """Return attributes with the missing values (NaN) blanked, on the model's device."""
        y = attributes.to(self.device)
        return torch.where(torch.isnan(y), self.schema.blank.to(y), y)

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Return the probabilities (real attributes: values) that the model's own classifier gives, [B, W].

        Raises:
            AttrimorphError: the method has no classifier.
        """
        if "classifier" not in self.networks:
            raise AttrimorphError(
                f"the model {self.recipe.name!r} ({self.recipe.method}) has no classifier to guess attributes with; "
                "give the image's attributes, or use a model that has one"
            )
        logits, _ = self.networks["classifier"](images.to(self.device))
        parts = []
        for kind, start, stop in self.schema.blocks:
            part = logits.float()[:, start:stop]
            parts.append(part.sigmoid() if kind == "binary" else part.softmax(1) if kind == "categorical" else part)
        return torch.cat(parts, dim=1)

    def guess_attributes(self, images: Tensor) -> Tensor:
        """Return the classifier's decisions, [B, W]: binary and categorical ones as 0 or 1."""
        guess = self.classify(images)
        for kind, start, stop in self.schema.blocks:
            part = guess[:, start:stop]
            if kind == "binary":
                guess[:, start:stop] = (part > 0.5).float()
            elif kind == "categorical":
                guess[:, start:stop] = nn.functional.one_hot(part.argmax(1), stop - start).float()
        return guess

    def to_bytes(self) -> bytes:
        """Return the content of the model's file."""
        return model_bytes(self.networks, self.header)
