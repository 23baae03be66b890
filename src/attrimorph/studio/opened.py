"""A photograph in the studio: parts of it, as large as a screen shows them, and what an edit changes there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.data.images import Frame
from attrimorph.errors import AttrimorphError
from attrimorph.photographs.fields import Box, Fields, apply_to_part, rims_of
from attrimorph.photographs.file import Photograph

SCREEN = 1280  # pixels of the longer side of what is shown, unless a page asks for another size
MOST = 2048  # it may ask for so many


@dataclass(frozen=True)
class View:
    """What a page shows of a photograph.

    Attributes:
        box: which part, in the photograph's pixels; None: all of it.
        width: pixels of the screen across it.
    """

    box: Box | None = None
    width: int | None = None


WHOLE = View()


@dataclass(frozen=True, eq=False)
class Shown:
    """A part of a photograph as large as it is shown.

    Attributes:
        pixels: [h, w, 3] of 8 bits, upright; transparent parts white.
        box: where it lies; size: of the whole photograph.
    """

    pixels: NDArray[np.uint8]
    box: Box
    size: tuple[int, int]

    @classmethod
    def of(cls, photograph: Photograph, view: View) -> "Shown":
        """Scale a part of a photograph down; it is never enlarged.

        Raises:
            AttrimorphError: the part lies outside.
        """
        width, height = photograph.size
        left, upper, right, lower = box = view.box or (0, 0, width, height)
        if not (0 <= left < right <= width and 0 <= upper < lower <= height):
            raise AttrimorphError(f"a part must lie in the photograph of {width}x{height} pixels; got {list(box)}")
        image = photograph.with_pixels(photograph.pixels[upper:lower, left:right]).rgb()
        scale = min(1.0, (view.width or SCREEN) / (image.width if view.width else max(image.size)))
        scale = min(scale, MOST / max(image.size))
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        if size != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        return cls(np.asarray(image), box, photograph.size)

    def edited(self, frame: Frame, fields: Fields) -> tuple[Image.Image, tuple[int, int, int, int]]:
        """Return what fields change of it within a frame of the photograph, and where: left, upper, width, height."""
        (height, width), (left, upper, right, lower) = self.pixels.shape[:2], self.box
        across, down = width / (right - left), height / (lower - upper)
        a, b, c, d, e, f = frame.matrix
        here = Frame((a * across, b * across, (c - left) * across, d * down, e * down, (f - upper) * down), frame.side)
        pixels, (left, upper, right, lower) = apply_to_part(self.pixels, here, fields, rims_of(self.size, frame))
        right, lower = max(right, 1), max(lower, 1)  # where nothing changes, one pixel
        return Image.fromarray(pixels[upper:lower, left:right]), (left, upper, right - left, lower - upper)
