"""One image file to pixels: opened safely, upright, cropped or aligned, antialiased: all files are decoded here."""

import base64
import io
import math
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.data.faces import Face

MOST_PIXELS = 80_000_000  # more in one file is a mistake or a decompression bomb
MOST_SCANS = 100  # of a JPEG, each of which may take as long as all of a plain one; cameras and programs write up to 20
# Not every format that Pillow knows: some run other programs (EPS), some are no pictures.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM")
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".jpe": "JPEG", ".webp": "WEBP",
           ".avif": "AVIF", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM"}  # fmt: skip
"""Endings of files, and the formats that are written under them; GIF is not, it has too few colours."""
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_deflate"},
}
Box = tuple[float, float, float, float]
ALIKE = 0.02  # by which two shapes may differ, width over height
SMEAR = 80  # levels by which JPEG may blur a plain background around edges
ORIENTATION = 0x0112  # the EXIF tag
STRAY = 0.001  # share of pixels that may lie beyond the scale of an image of numbers

# Pillow warns at a limit of its own; here more than MOST_PIXELS is refused outright, below that all is well.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Damaged tags that do not matter for the pixels; what does matter is raised.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\..*")


@dataclass(frozen=True)
class Crop:
    """A rectangle to cut out, in pixels of a reference size; scaled to the image when that differs.

    Attributes:
        left, top, right, bottom: the rectangle; right and bottom are not part of it.
        of: (width, height) of the image it was measured on; None = every image as it is. Of images of another shape the
            largest centred square is taken.
    """

    left: float
    top: float
    right: float
    bottom: float
    of: tuple[int, int] | None = None


CropLike = None | int | Crop | Literal["centre"]


def parse_crop(text: str) -> CropLike:
    """Read a crop as the command line writes it: "centre", "148" (a centred square) or "left,top,right,bottom".

    Raises:
        AttrimorphError: it is none of these.
    """
    if text.strip() in ("", "centre", "center"):
        return "centre" if text.strip() else None
    with suppress(ValueError):
        numbers = [float(part) for part in text.split(",")]
        if len(numbers) == 1 and numbers[0] >= 1 and numbers[0].is_integer():
            return int(numbers[0])
        if len(numbers) == 4 and 0 <= numbers[0] < numbers[2] and 0 <= numbers[1] < numbers[3]:
            return Crop(numbers[0], numbers[1], numbers[2], numbers[3])
    raise AttrimorphError(
        f"crop must be centre, a size in pixels, or left,top,right,bottom; got {text!r}; try 148 or 15,35,163,183"
    )


def open_image(path: Path, least: int = 0) -> Image.Image:
    """Open an image file, upright, as RGB; transparent parts become white, 16 bits become 8.

    Args:
        least: a JPEG may be decoded at a fraction of its size that is at least this many pixels each way; 0 = whole.

    Raises:
        AttrimorphError: the file is missing, no image, cut short, damaged, or larger than `MOST_PIXELS`.
    """
    with _readable(path) as file:
        return decoded_image(file, str(path), least)


def check_image(path: Path) -> None:
    """Refuse at first sight, before anything is decoded, what `open_image` would refuse.

    Raises:
        AttrimorphError: the file is missing, no image, or larger than `MOST_PIXELS`.
    """
    with opened_image(path):
        pass


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of an image file, upright, without decoding it; errors as of `check_image`."""
    with opened_image(path) as image:
        turned = False
        with suppress(Exception):  # a broken tag block is no reason to lose the picture
            turned = int(image.getexif().get(ORIENTATION, 1)) >= 5
        return (image.height, image.width) if turned else image.size


@contextmanager
def opened_image(
    source: Path | bytes, most_pixels: int = MOST_PIXELS, called: str = "the photograph"
) -> Iterator[Image.Image]:
    """Open an image file, or the bytes of one, undecoded yet; what is wrong with it is told as of `open_image`,
    decoding it included.

    Args:
        most_pixels: larger images are refused.
        called: how errors call bytes.
    """
    if isinstance(source, bytes):
        with _looked_at(io.BytesIO(source), called, most_pixels) as image:
            yield image
        return
    with _readable(source) as file, _looked_at(file, str(source), most_pixels) as image:
        yield image


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """Open a file that should hold an image."""
    try:
        if path.is_dir():
            raise AttrimorphError(
                f"{path} is a folder, where a picture was expected; name the pictures in it, such as {path}/*.jpg "
                "(edit alone takes whole folders)"
            )
        if path.exists() and not path.is_file():
            raise AttrimorphError(f"{path} is no readable image (it is no file); name a picture")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise AttrimorphError(f"there is no file {path}; check the path") from error
    except PermissionError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except (OSError, ValueError) as error:  # a name too long, or one that no file can have
        raise _unreadable(path, error) from error


def decoded_image(file: BinaryIO, name: str, least: int = 0, *, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decode an open image file or bytes in memory; otherwise as `open_image`.

    Args:
        file: what is read.
        name: how errors call it.
        least: as of `open_image`.
        most_pixels: larger images are refused before they are decoded.

    Raises:
        AttrimorphError: as of `open_image`.
    """
    with _looked_at(file, name, most_pixels) as image:
        if least and image.format == "JPEG":
            image.draft(None, (least, least))  # type: ignore[arg-type,no-untyped-call,unused-ignore]
        return upright_rgb(image)


@contextmanager
def _looked_at(file: BinaryIO, name: str, most_pixels: int) -> Iterator[Image.Image]:
    """Open an image, undecoded yet; what goes wrong from here on is told as of `open_image`."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise AttrimorphError(
                    f"{Path(name).name} must have at most {most_pixels // 1_000_000} megapixels; it has "
                    f"{image.width}x{image.height}; make it smaller"
                )
            if image.format in ("JPEG", "MPO") and _scans(file) > MOST_SCANS:
                raise AttrimorphError(f"{Path(name).name} must be a JPEG of at most {MOST_SCANS} scans; save it anew")
            yield image
    except (AttrimorphError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly everything
        with suppress(OSError, ValueError):  # it may be closed
            file.seek(0)
            if re.match(rb"....ftyp(he|mif1|msf1)", file.read(16), re.DOTALL):
                raise AttrimorphError(
                    f"{Path(name).name} is a HEIC, which is not read; save it as JPEG or PNG (an iPhone takes JPEGs "
                    "with Settings > Camera > Formats > Most Compatible)"
                ) from error
        raise _unreadable(name, error) from error


def _scans(file: BinaryIO) -> int:
    """Count the scans of a JPEG and of what it holds besides: their marker is nowhere in what is packed."""
    place, found, last = file.tell(), 0, b""
    file.seek(0)
    while part := file.read(2**20):
        found += (last + part).count(b"\xff\xda")
        last = part[-1:] if part[-1:] == b"\xff" else b""
    file.seek(place)
    return found


def _unreadable(name: str | Path, error: Exception) -> AttrimorphError:
    reason = " ".join((str(error) or type(error).__name__).split())[:120]
    reason = "it is not in a known image format" if "cannot identify" in reason else reason
    return AttrimorphError(f"{name} is no readable image ({reason}); mend or remove it")


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return what `open_image` makes of an opened picture: upright, RGB; transparent parts white, 16 bits as 8."""
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        result = image.copy()
    elif image.mode.startswith("I") or image.mode == "F":
        result = _from_numbers(np.asarray(image)).convert("RGB")
    elif image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        result = Image.alpha_composite(Image.new("RGBA", with_alpha.size, "white"), with_alpha).convert("RGB")
    else:
        result = image.convert("RGB")
    orientation = 1
    with suppress(Exception):  # a broken tag block is no reason to lose the picture
        orientation = int(image.getexif().get(ORIENTATION, 1))
    if orientation != 1:
        result.getexif()[ORIENTATION] = orientation
        result = ImageOps.exif_transpose(result)
    return result


def _from_numbers(values: NDArray[Any]) -> Image.Image:
    """Turn 16-bit, 32-bit or floating-point grey into 8 bits: full scale is 1, 255 or 65535, or floats lie in -1..1.

    What holds all pixels but `STRAY` of them, at least one, is taken: a hot pixel decides nothing.

    Raises:
        AttrimorphError: the numbers lie in none of these.
    """
    numbers = np.nan_to_num(values.astype(np.float64))
    allowed = max(1, int(STRAY * numbers.size)) if numbers.size > 1 else 0

    whole = values.dtype.kind in "iu"
    scales = [(0.0, 65535.0)] if values.dtype == np.uint16 else [(0.0, 255.0), (0.0, 65535.0)]
    for low, high in scales if whole else [(0.0, 1.0), (-1.0, 1.0), *scales]:
        if int((np.abs(numbers - (low + high) / 2) > 0.51 * (high - low)).sum()) <= allowed:
            levels = (numbers.clip(low, high) - low) * (255 / (high - low))
            return Image.fromarray(np.clip(levels + 0.5, 0, 255).astype(np.uint8))
    raise AttrimorphError(
        f"a picture's numbers must lie in 0..1, -1..1, 0..255 or 0..65535; got {numbers.min():.6g}.."
        f"{numbers.max():.6g}; scale them"
    )


def crop_box(size: tuple[int, int], crop: CropLike) -> Box:
    """Return the square to cut out of an image, (left, top, right, bottom) in its pixels.

    Args:
        size: (width, height).
        crop: None or "centre" = the largest centred square; a number = a centred square of so many pixels (at most the
            largest); a rectangle = its largest centred square.

    Raises:
        AttrimorphError: the rectangle does not lie inside the image.
    """
    width, height = size
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if isinstance(crop, Crop) and (crop.of is None or abs(width * crop.of[1] / (height * crop.of[0]) - 1) < ALIKE):
        across, down = (width / crop.of[0], height / crop.of[1]) if crop.of else (1.0, 1.0)
        left, top, right, bottom = crop.left * across, crop.top * down, crop.right * across, crop.bottom * down
        if not (0 <= left < right <= width + 1e-6 and 0 <= top < bottom <= height + 1e-6):
            box = f"{left:g},{top:g},{right:g},{bottom:g}"
            raise AttrimorphError(
                f"the crop {box} must lie inside the image of {width}x{height} pixels; choose a smaller one"
            )
    side = min(right - left, bottom - top)
    if isinstance(crop, int):
        side = min(side, crop)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return x, y, min(x + side, width), min(y + side, height)


def placed(size: tuple[int, int], crop: CropLike, image_size: int) -> Box:
    """Return the crop box, moved to whole pixels where nothing is scaled: such images come out untouched."""
    left, top, right, bottom = crop_box(size, crop)
    if right - left == image_size:
        left, top = float(int(left)), float(int(top))
        return left, top, left + image_size, top + image_size
    return left, top, right, bottom


def fit(image: Image.Image, image_size: int, crop: CropLike = None) -> Image.Image:
    """Cut out the square and scale it to image_size x image_size, antialiased."""
    box = placed(image.size, crop, image_size)
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def checksum(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> int:
    """Return the CRC-32 of an image, and of its mask where it has one."""
    first = zlib.crc32(np.ascontiguousarray(image).data)
    return first if mask is None else zlib.crc32(np.ascontiguousarray(mask).data, first)


def read_pixels(path: Path, image_size: int, crop: CropLike = None) -> NDArray[np.uint8]:
    """Read an image file as uint8 [S, S, 3]: what `data prepare` makes of it, and so what a model expects.

    Raises:
        AttrimorphError: the file cannot be read, or the crop does not fit it.
    """
    # A rectangle is measured in pixels of the whole file, so the file must be decoded whole for it.
    exact = isinstance(crop, int) or (isinstance(crop, Crop) and crop.of is None)
    share = 1.0
    if isinstance(crop, Crop) and crop.of:
        share = min(crop.right - crop.left, crop.bottom - crop.top) / min(crop.of)
    image = open_image(path, 0 if exact else int(2 * image_size / share))
    return np.asarray(fit(image, image_size, crop))


def read_mask(
    path: Path, image_size: int, crop: CropLike = None, background: tuple[int, int, int] | None = None
) -> NDArray[np.uint8]:
    """Read a mask file as uint8 [S, S], 0 background .. 255 foreground.

    Args:
        background: the colour that means background; None = the mask is grey, white is foreground.
    """
    grey = open_image(path)
    if background is None:
        grey = grey.convert("L")
    else:
        distance = np.abs(np.asarray(grey).astype(np.int16) - np.array(background, np.int16)).max(2)
        grey = Image.fromarray(np.where(distance > SMEAR, 255, 0).astype(np.uint8))
    box = placed(grey.size, crop, image_size)
    return np.asarray(grey.resize((image_size, image_size), Image.Resampling.BOX, box=box))


# --- drawn faces, told from photographs without torch

# By `benchmarks/drawn.py`: how much an edge in each of 16x16 parts speaks for a drawn face, times 24, and for none.
EDGES = base64.b85decode(
    "`~n34`T+(C3I+lC00jd40s;U40R#sF0|x{F000642LuKQ3IqE8|M~+82?hiQ1pxs83<UuH{{RIH0RaI80{;R40{s982mt*800RF40|f&N1O"
    "*2C{00RC3<CuN0{{j90RjsJ1q%WJ00sa9{`>_51Pu`Y01*uY1O@#5|M&wA00Ra7{sjX74g>iA1N{d73kw7N{R0aN{|5a70sjgA3HI*{4Da>"
    "{{|WyA{{Hs<0RR^S1Q!4S{`UU<0RagM0sQw44)^>43kd-M0{#FD?*kL<?Gpp<3;_ND{{jg92M`zZ^cN5Z{s;p9{S*QY{reg6@)`U64gwVY"
)
NO_EDGES = 38.74


def edges_of(image: Image.Image) -> NDArray[np.float32]:
    """Return how strong edges are in each part of an RGB picture, [16, 16], about 1 in the mean."""
    grey = np.asarray(image.resize((64, 64), Image.Resampling.BOX).convert("L"), np.float32)
    edges = np.hypot(*np.gradient(grey)).clip(max=40).reshape(16, 4, 16, 4).mean((1, 3))
    return np.asarray(edges / (edges.mean() + 1), np.float32)


def looks_drawn(image: Image.Image) -> bool:
    """Tell whether an RGB picture is a drawn face as `data synthetic` draws them: by where its edges lie."""
    return float((edges_of(image) * np.frombuffer(EDGES, np.int8).reshape(16, 16)).sum()) / 24 > NO_EDGES


# --- faces, their eyes always at the same places by a similarity transform

# Where the middles of the eyes come to lie, as fractions of width and height: the places of aligned CelebA in its
# centred square of 148 pixels.
EYES = ((0.366, 0.517), (0.634, 0.517))
DRAWN_EYES = ((0.391, 0.49), (0.609, 0.49))  # and of drawn faces, the median of 110
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

    def check(self, size: tuple[int, int]) -> None:
        """See that the square lies at a photograph of a size, (width, height), and is not much larger.

        Raises:
            AttrimorphError: it does not.
        """
        far = 2 * max(size) + self.side
        if not (self.scale > 1e-4 and bool((np.abs(self.corners) < far).all())):  # NaN is nowhere
            raise AttrimorphError(
                f"a frame must lie in the photograph of {size[0]}x{size[1]} pixels; {self.matrix} does not; make the "
                "result again"
            )

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


def aligned_frame(eyes: tuple[Point, Point], image_size: int, places: tuple[Point, Point] = EYES) -> Frame:
    """Return the frame whose places lie at the eyes of a face, the one on the viewer's left first."""
    # As complex numbers a similarity is photograph = m * square + t.
    here, there = (
        [complex(*eye) for eye in eyes],
        [complex(x * image_size, y * image_size) for x, y in places],
    )
    m = (here[1] - here[0]) / (there[1] - there[0])
    t = here[0] - m * there[0]
    return Frame((m.real, -m.imag, t.real, m.imag, m.real, t.imag), image_size)


def largest_face(image: Image.Image) -> "Face":
    """Return the largest face of an RGB photograph.

    Raises:
        AttrimorphError: no face was found.
    """
    from attrimorph.data.faces import find_faces

    faces = find_faces(image, largest=True)
    if not faces:
        raise AttrimorphError("no face was found; align other pictures or prepare without --align")
    return faces[0]


def align(image: Image.Image, image_size: int) -> Image.Image:
    """Cut the largest face out of an RGB photograph, its eyes at `EYES`; what lies outside the photograph is mirrored.

    Raises:
        AttrimorphError: no face was found.
    """
    return aligned_frame(largest_face(image).eyes, image_size).cut(image)


def aligned(path: Path, image_size: int) -> NDArray[np.uint8]:
    """Read a photograph and return its aligned face, uint8 [S, S, 3].

    Raises:
        AttrimorphError: the file cannot be read, or no face was found.
    """
    return np.asarray(align(open_image(path), image_size))
