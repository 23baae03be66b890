"""Face alignment: the eyes of every face at the same places, by a similarity transform."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.data.faces import Face, find_faces
from attrimorph.data.images import open_image
from attrimorph.errors import AttrimorphError

# Where the middles of the eyes come to lie, as fractions of width and height: the places of aligned CelebA in its
# centred square of 148 pixels.
EYES = ((0.366, 0.517), (0.634, 0.517))
Affine = tuple[float, float, float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Where in a photograph the square lies that a model is shown.

    Attributes:
        matrix: (a, b, c, d, e, f): the point (x, y) of the square, 0..side, is (a x + b y + c, d x + e y + f) of the
            photograph; in both, whole numbers are the borders between pixels.
        side: of the square, in its own pixels.
    """

    matrix: Affine
    side: int

    @property
    def scale(self) -> float:
        """Pixels of the photograph for each pixel of the square."""
        a, b, _, d, e, _ = self.matrix
        return math.sqrt(abs(a * e - b * d))

    @property
    def inverse(self) -> Affine:
        """The matrix of the way back, from the photograph to the square."""
        a, b, c, d, e, f = self.matrix
        area = a * e - b * d
        return e / area, -b / area, (b * f - c * e) / area, -d / area, a / area, (c * d - a * f) / area

    @property
    def corners(self) -> NDArray[np.float64]:
        """The corners in the photograph, [4, 2]: top left, top right, bottom right, bottom left of the square."""
        a, b, c, d, e, f = self.matrix
        square = self.side * np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
        return np.asarray(square @ np.array([(a, d), (b, e)]) + (c, f))

    def cut(self, image: Image.Image) -> Image.Image:
        """Return what the model is shown, antialiased; what lies outside the photograph is mirrored."""
        a, b, c, d, e, f = self.matrix
        low, high = np.floor(self.corners.min(0)).astype(int) - 2, np.ceil(self.corners.max(0)).astype(int) + 2
        # Bicubic sampling does not average: sample finer, then average down.
        finer = max(1, math.ceil(self.scale))
        inside_low, inside_high = low.clip(0, np.array(image.size) - 1), high.clip(1, image.size)
        part = np.asarray(image.crop((*inside_low, *inside_high)))
        beyond = [(int(inside_low[axis] - low[axis]), int(high[axis] - inside_high[axis])) for axis in (1, 0)]
        mirrored = np.pad(part, (*beyond, *((0, 0),) * (part.ndim - 2)), mode="symmetric")
        coefficients = (a / finer, b / finer, c - low[0], d / finer, e / finer, f - low[1])
        large = Image.fromarray(mirrored).transform(
            (self.side * finer, self.side * finer), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
        )
        return large.reduce(finer) if finer > 1 else large


def frame_of(eyes: tuple[Point, Point], image_size: int) -> Frame:
    """Return the frame whose places `EYES` lie at the eyes of a face, the one on the viewer's left first."""
    # As complex numbers a similarity is photograph = m * square + t.
    here, there = (
        [complex(*eye) for eye in eyes],
        [complex(x * image_size, y * image_size) for x, y in EYES],
    )
    m = (here[1] - here[0]) / (there[1] - there[0])
    t = here[0] - m * there[0]
    return Frame((m.real, -m.imag, t.real, m.imag, m.real, t.imag), image_size)


def largest_face(image: Image.Image) -> Face:
    """Return the largest face of an RGB photograph.

    Raises:
        AttrimorphError: no face was found.
    """
    faces = find_faces(image, largest=True)
    if not faces:
        raise AttrimorphError("no face was found; align other pictures or prepare without --align")
    return faces[0]


def align(image: Image.Image, image_size: int) -> Image.Image:
    """Cut the largest face out of an RGB photograph, its eyes at `EYES`; what lies outside the photograph is mirrored.

    Raises:
        AttrimorphError: no face was found.
    """
    return frame_of(largest_face(image).eyes, image_size).cut(image)


def aligned(path: Path, image_size: int) -> NDArray[np.uint8]:
    """Read a photograph and return its aligned face, uint8 [S, S, 3].

    Raises:
        AttrimorphError: the file cannot be read, or no face was found.
    """
    return np.asarray(align(open_image(path), image_size))
