"""A photograph as the studio holds it: as its file does, and small enough for a screen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.data.images import Frame
from attrimorph.photographs.fields import Fields, apply
from attrimorph.photographs.file import Photograph, read_photograph

SCREEN = 1280  # pixels of the longer side, at most
MARGIN = 2  # pixels about a frame, so that its rims lie in what is cut out as they do in the photograph


@dataclass(frozen=True, eq=False)
class OpenedPhotograph:
    """A photograph, and the same at screen size.

    Attributes:
        photograph: as its file holds it.
        screen: [h, w, 3] of 8 bits, upright; transparent parts white.
    """

    photograph: Photograph
    screen: NDArray[np.uint8]

    @classmethod
    def of(cls, content: bytes, most_pixels: int) -> "OpenedPhotograph":
        """Decode the bytes of a file.

        Raises:
            AttrimorphError: they are no picture, or it has more pixels.
        """
        photograph = read_photograph(content, most_pixels)
        image = photograph.rgb()
        scale = min(1.0, SCREEN / max(image.size))
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        if size != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        return cls(photograph, np.asarray(image))

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return self.photograph.pixels.nbytes + self.screen.nbytes

    def edited(self, frame: Frame, fields: Fields) -> Photograph:
        """Return the photograph as fields change it within a frame."""
        return self.photograph.with_pixels(apply(self.photograph.pixels, frame, fields))

    def on_screen(self, frame: Frame, fields: Fields) -> tuple[Image.Image, tuple[int, int, int, int]]:
        """Return what lies about a frame at screen size, as fields change it, and where: left, upper, width, height;
        all else stays as it is."""
        (height, width), (full_width, full_height) = self.screen.shape[:2], self.photograph.size
        across, down = width / full_width, height / full_height
        a, b, c, d, e, f = frame.matrix
        places = frame.corners * (across, down)
        left, upper = np.floor(places.min(0) - MARGIN).astype(int).clip(0, (width - 1, height - 1)).tolist()
        right, lower = np.ceil(places.max(0) + MARGIN).astype(int).clip(1, (width, height)).tolist()
        here = Frame(
            (a * across, b * across, c * across - left, d * down, e * down, f * down - upper), frame.side
        )  # fmt: skip
        picture = apply(self.screen[upper:lower, left:right], here, fields)
        return Image.fromarray(picture), (left, upper, right - left, lower - upper)
