"""Codes, and what a model can do: decode, encode, edit, and more, one protocol for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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

    def stages(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> list[Tensor]:
        """Images [B, 3, S, S] and strengths by attribute name -> images before, between and after the changes."""
