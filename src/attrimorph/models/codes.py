"""Codes, and what a model can do: decode, encode, edit, and more, one protocol for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from attrimorph.pictures import grid, png_bytes


@dataclass(frozen=True)
class Code:
    """What an image is decoded from: z [B, ...] and attributes [B, W]."""

    z: Tensor
    attributes: Tensor


@dataclass(frozen=True)
class Sample:
    """New images.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        code: what they were decoded from.
    """

    images: Tensor
    code: Code

    def _repr_png_(self) -> bytes:
        return png_bytes(grid(self.images))


@runtime_checkable
class Decodes(Protocol):
    """Images from codes."""

    def decode(self, code: Code) -> Tensor:
        """Code -> images [B, 3, S, S] in [-1, 1]."""


@runtime_checkable
class Generates(Protocol):
    """Images from z and y, with gradients."""

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """z [B, Z] and attributes [B, W] -> images [B, 3, S, S] in [-1, 1]."""


@runtime_checkable
class Encodes(Protocol):
    """Codes from images."""

    def encode(self, images: Tensor, attributes: Tensor | None = None) -> Code:
        """Images [B, 3, S, S] in [-1, 1] and their attributes [B, W] (guessed where None) -> Code."""


@runtime_checkable
class Edits(Protocol):
    """Images with other attributes."""

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Images [B, 3, S, S] and strengths by attribute name -> images."""


@runtime_checkable
class Composes(Protocol):
    """Edits put back into the images that they began with."""

    def composed(self, images: Tensor, code: Code) -> Tensor:
        """Images [B, 3, S, S] and their codes with other attributes -> images."""


@runtime_checkable
class Chains(Protocol):
    """Images changed one attribute after another."""

    @property
    def links(self) -> Mapping[str, Any]:
        """Attribute -> the model that changes it, in their order."""

    def stages(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> list[Tensor]:
        """Images [B, 3, S, S] and strengths by attribute name -> images before, between and after the changes."""


@dataclass(frozen=True)
class ImageLayers:
    """Images and what they are made of.

    Attributes:
        foreground: [B, 3, S, S] in [-1, 1], black where it is not.
        gate: [B, 1 or 3, S, S] in [0, 1], 1 where the background shows.
        background: [B, 3, S, S] in [-1, 1], also behind the foreground.
        composite: [B, 3, S, S] in [-1, 1].
    """

    foreground: Tensor
    gate: Tensor
    background: Tensor
    composite: Tensor


@runtime_checkable
class PaintsLayers(Encodes, Decodes, Protocol):
    """Images made of a foreground and a background."""

    def layers_of(self, code: Code) -> ImageLayers:
        """Code -> what its images are made of."""

    def with_background(self, code: Code, other: Code) -> Code:
        """Codes, and one of other images or one for each -> codes with the backgrounds of the others'."""


@runtime_checkable
class Groups(Protocol):
    """Attributes that change together, and follow another face.

    Attributes:
        groups: name -> its attributes.
    """

    groups: Mapping[str, tuple[str, ...]]

    def follow(self, images: Tensor, references: Tensor, strengths: Mapping[str, float]) -> Tensor:
        """Images [B, 3, S, S], references [B or 1, 3, S, S], and how far each group goes towards them -> images."""
