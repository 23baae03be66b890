"""Augmentation of whole batches: shift, flip and colour, drawn from an explicit generator."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augment:
    """How a batch is varied; all zero leaves it as it is.

    Attributes:
        shift: largest shift as a fraction of the width, 0 .. 0.5, drawn in whole pixels for both directions; the
            border is mirrored.
        flip: probability of a left-right flip, 0 .. 1.
        colour: largest relative change of brightness, contrast and saturation, 0 .. 0.9, each drawn by itself.
    """

    shift: float = 0.0
    flip: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("shift", 0.5), ("flip", 1.0), ("colour", 0.9)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise AttrimorphError(f"augmentation {name} must be between 0 and {most:g}; got {value}")

    def check(self, schema: Schema) -> None:
        """Refuse flips where an attribute tells left from right.

        Raises:
            AttrimorphError: `flip` is above 0 and a name holds the word left or right.
        """
        if not self.flip:
            return
        for name in schema.column_names:
            if _tells_sides(name):
                raise AttrimorphError(
                    f"augmentation flip must be 0 where an attribute tells left from right; {name!r} does; "
                    "set flip to 0 or leave the attribute out"
                )

    def __call__(
        self, images: Tensor, masks: Tensor | None, generator: torch.Generator, together: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        """Vary a batch; masks follow the geometry.

        Args:
            images: float32 [B, 3, H, W] in [-1, 1].
            masks: float32 [B, 1, H, W] in [0, 1], or None.
            generator: on the CPU, so that the draws are the same on every device.
            together: so many neighbours are varied alike; B is a multiple of it.

        Returns:
            Images and masks of the same shapes and ranges; the memory format is kept.
        """
        count, width = images.shape[0], images.shape[3]
        # Every draw is made whatever the settings, so that one setting does not change the draws of another.
        draws = count // together
        places = torch.rand(draws, 2, generator=generator).repeat_interleave(together, 0)
        coins = torch.rand(draws, generator=generator).repeat_interleave(together, 0)
        tints = torch.rand(draws, 3, generator=generator).repeat_interleave(together, 0)
        if reach := round(self.shift * width):
            offsets = (places * (2 * reach + 1)).long().clamp_(max=2 * reach).tolist()
            images = _shift(images, offsets, reach)
            masks = None if masks is None else _shift(masks, offsets, reach)
        if self.flip:
            chosen = (coins < self.flip).to(images.device)[:, None, None, None]
            images = torch.where(chosen, images.flip(3), images)
            masks = None if masks is None else torch.where(chosen, masks.flip(3), masks)
        if self.colour:
            images = _tint(images, (1 + self.colour * (2 * tints - 1)).to(images.device))
        return images, masks


def _shift(images: Tensor, offsets: list[list[int]], reach: int) -> Tensor:
    """Cut an H x W window at (row, column) = offsets[b], 0 .. 2 reach, out of each mirrored-border image."""
    height, width = images.shape[2:]
    mirrored = pad(images, (reach, reach, reach, reach), mode="reflect")
    shifted = torch.empty_like(images)
    for image, (row, column) in enumerate(offsets):
        shifted[image] = mirrored[image, :, row : row + height, column : column + width]
    return shifted


def _tint(images: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation by factors [B, 3]; black stays black under brightness alone."""
    brightness, contrast, saturation = (factors[:, i, None, None] for i in range(3))
    luma = torch.tensor(LUMA, device=images.device)
    pixels = images.permute(0, 2, 3, 1).flatten(1, 2)
    middle = (pixels.mean(1) @ luma)[:, None, None]
    # saturated = grey + s (x - grey); contrasted = m + c (saturated - m); brightened = b (contrasted + 1) - 1:
    # together one 3 x 3 matrix and one constant for each image.
    identity = torch.eye(3, device=images.device)
    matrix = brightness * contrast * (saturation * identity + (1 - saturation) * luma[:, None])
    constant = brightness * ((1 - contrast) * middle + 1) - 1
    tinted = torch.baddbmm(constant, pixels, matrix).clamp_(-1, 1)
    return tinted.view(*images.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)


def _tells_sides(name: str) -> bool:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return any(word.lower() in ("left", "right") for word in words)
