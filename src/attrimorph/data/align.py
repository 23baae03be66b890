"""Face alignment by the extra `faces`: the eyes of every face at the same places.

dlib finds the face and five points (two corners of each eye, the base of the nose); a similarity transform puts the
middles of the eyes where they belong.
"""

import math
import threading
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.data.images import open_image
from attrimorph.errors import AttrimorphError

# Where the middles of the eyes come to lie, as fractions of width and height: the places of aligned CelebA in its
# centred square of 148 pixels.
EYES = ((0.366, 0.517), (0.634, 0.517))
LARGEST = 1024  # pixels at which faces are looked for: larger photographs are searched at this size
Affine = tuple[float, float, float, float, float, float]
_local = threading.local()


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


def check_installed() -> None:
    """Refuse where the extra is missing.

    Raises:
        AttrimorphError: with the command that installs it.
    """
    try:
        import dlib  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: F401

        _model_file()
    except (ImportError, metadata.PackageNotFoundError, FileNotFoundError) as error:
        raise AttrimorphError(
            "aligning faces needs the extra `faces`, which is not installed; "
            "run: pip install 'attrimorph[faces]' (or: pip install dlib-bin face_recognition_models)"
        ) from error


@cache
def _model_file() -> Path:
    """Find the 5-point model; its package cannot be imported where pkg_resources is gone."""
    name = "shape_predictor_5_face_landmarks.dat"
    for file in metadata.files("face_recognition_models") or ():
        if file.name == name and Path(str(file.locate())).is_file():
            return Path(str(file.locate()))
    raise FileNotFoundError(name)


def _models() -> tuple[Any, Any]:
    """Return (detector, predictor) of this thread: dlib's keep state while they work."""
    if not hasattr(_local, "models"):
        import dlib  # type: ignore[import-untyped,import-not-found,unused-ignore]

        _local.models = (dlib.get_frontal_face_detector(), dlib.shape_predictor(str(_model_file())))
    models: tuple[Any, Any] = _local.models
    return models


def find_eyes(image: Image.Image) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the middles of the eyes of the largest face, the one on the image's left first, in pixels.

    Raises:
        AttrimorphError: no face was found.
    """
    detector, predictor = _models()
    scale = min(1.0, LARGEST / max(image.size))
    small = image if scale == 1 else image.resize((round(image.width * scale), round(image.height * scale)))
    pixels = np.asarray(small.convert("RGB"))
    # Small pictures are searched at twice their size: the detector knows faces from 80 pixels on.
    faces = detector(pixels, 1 if max(small.size) < 400 else 0)
    if not faces:
        raise AttrimorphError("no face was found; align other pictures or prepare without --align")
    face = max(faces, key=lambda box: box.area())
    points = np.array([(point.x, point.y) for point in predictor(pixels, face).parts()], dtype=np.float64) / scale
    first, second = points[0:2].mean(0), points[2:4].mean(0)
    left, right = (first, second) if first[0] < second[0] else (second, first)
    return (float(left[0]), float(left[1])), (float(right[0]), float(right[1]))


def similarity(
    eyes: tuple[tuple[float, float], tuple[float, float]], image_size: int
) -> tuple[float, float, float, float, float, float]:
    """Return (a, b, c, d, e, f) with x_source = a x + b y + c, y_source = d x + e y + f, which takes EYES to `eyes`."""
    (left_x, left_y), (right_x, right_y) = eyes
    # As complex numbers a similarity is source = m * target + t.
    source = complex(left_x, left_y), complex(right_x, right_y)
    target = tuple(complex(x * image_size, y * image_size) for x, y in EYES)
    m = (source[1] - source[0]) / (target[1] - target[0])
    t = source[0] - m * target[0]
    return m.real, -m.imag, t.real, m.imag, m.real, t.imag


def align(image: Image.Image, image_size: int) -> Image.Image:
    """Cut the largest face out of a photograph, its eyes at `EYES`; what lies outside the photograph is mirrored.

    Raises:
        AttrimorphError: no face was found.
    """
    eyes = find_eyes(image)
    a, b, c, d, e, f = similarity(eyes, image_size)
    scale = math.hypot(a, d)  # source pixels for each pixel of the result
    # Bicubic sampling does not average: sample finer, then average down.
    finer = max(1, math.ceil(scale))
    border = _border(image.size, (a, b, c, d, e, f), image_size)
    mirrored = np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), mode="symmetric")
    coefficients = (a / finer, b / finer, c + border, d / finer, e / finer, f + border)
    large = Image.fromarray(mirrored).transform(
        (image_size * finer, image_size * finer), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return large.reduce(finer) if finer > 1 else large


def _border(size: tuple[int, int], transform: tuple[float, ...], image_size: int) -> int:
    """Return by how many pixels the result reaches beyond the image."""
    a, b, c, d, e, f = transform
    corners = [(x, y) for x in (0, image_size) for y in (0, image_size)]
    xs = [a * x + b * y + c for x, y in corners]
    ys = [d * x + e * y + f for x, y in corners]
    reach = max(-min(xs), -min(ys), max(xs) - size[0], max(ys) - size[1], 0)
    return math.ceil(reach) + 2 if reach > 0 else 0


def aligned(path: Path, image_size: int) -> NDArray[np.uint8]:
    """Read a photograph and return its aligned face, uint8 [S, S, 3].

    Raises:
        AttrimorphError: the file cannot be read, or no face was found.
    """
    return np.asarray(align(open_image(path), image_size))
