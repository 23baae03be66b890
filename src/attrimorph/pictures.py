"""Tensors to pictures: sheets with labels, grids, strips, animations, each tagged with how it was made."""

import hashlib
import importlib.util
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.files import write_bytes

PAPER = (255, 255, 255)
INK = (40, 42, 48)
GREY = (128, 132, 142)  # readable on white and on black
TAG = "attrimorph"
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF",
           ".tiff": "TIFF", ".ppm": "PPM"}  # fmt: skip
"""Endings of files, and the formats that are written under them; GIF is not, it has too few colours."""
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
}
MILLISECONDS = 60  # of each frame of an animation
MOST_SHOWN = 32
"""Pictures of which a sheet shows each in a row or column of its own; longer ones cannot be looked at."""
XMP = "XML:com.adobe.xmp"
"""The text chunk of a PNG that holds XMP."""


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """float [B, 3, H, W] in [-1, 1] -> uint8 [B, H, W, 3], rounded."""
    pixels = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    return array


def to_pil(images: Tensor) -> list[Image.Image]:
    """Turn [B, 3, H, W] in [-1, 1] into B pictures."""
    return [Image.fromarray(pixels) for pixels in to_bytes(images)]


def enlarge(image: Image.Image, target: int) -> Image.Image:
    """Enlarge by the whole factor that brings the width nearest to `target`; never shrink."""
    factor = max(1, round(target / image.width))
    size = (image.width * factor, image.height * factor)
    return image if factor == 1 else image.resize(size, Image.Resampling.BICUBIC)


def sheet(
    rows: Sequence[Tensor],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    cell: int = 128,
    gap: int = 4,
    clear: bool = False,
) -> Image.Image:
    """Lay batches out as the rows of one picture.

    Args:
        rows: batches [B, 3, H, W] in [-1, 1]; rows may differ in length, not in size.
        columns: a word above each column.
        labels: a word left of each row.
        cell: about the width of one image, in pixels.
        gap: pixels between images.
        clear: nothing between the images (RGBA) instead of white paper, for pages that may be dark.
    """
    pictures = [[enlarge(image, cell) for image in to_pil(row)] for row in rows]
    width, height = pictures[0][0].size
    points = max(13, width // 9)
    font, line = ImageFont.load_default(points), round(points * 1.3)
    pitch = max([width, *(round(font.getlength(word)) + 6 for word in columns)]) + gap
    left = gap + max((round(font.getlength(word)) + 12 for word in labels), default=0)
    top = gap + (line + 6 if columns else 0)
    count = max(len(row) for row in pictures)
    size = (left + count * pitch, top + len(rows) * (height + gap))
    page = Image.new("RGBA", size, (0, 0, 0, 0)) if clear else Image.new("RGB", size, PAPER)
    ink = GREY if clear else INK
    draw = ImageDraw.Draw(page)
    for column, word in enumerate(columns[:count]):
        draw.text((left + column * pitch + width / 2, top / 2), word, ink, font, anchor="mm")
    for row, word in enumerate(labels):
        draw.text((left - 8, top + row * (height + gap) + height / 2), word, ink, font, anchor="rm")
    for row, images in enumerate(pictures):
        for column, picture in enumerate(images):
            page.paste(picture, (left + column * pitch, top + row * (height + gap)))
    return page


def sheet_of(count: int, rows: Sequence[Tensor], **options: Any) -> dict[str, Image.Image]:
    """Return the main picture of a result, a sheet with a row or column for each of `count` pictures; none of many."""
    return {"": sheet(rows, **options)} if count <= MOST_SHOWN else {}


def grid(
    images: Tensor, *, columns: int | None = None, cell: int = 96, gap: int = 4, clear: bool = False
) -> Image.Image:
    """Lay one batch out in a grid, nearly square unless `columns` is given."""
    # Full rows look best: among the widths that give them, the one nearest to a little wider than high.
    wide = len(images) ** 0.5 * 1.3
    full = [count for count in range(1, len(images) + 1) if len(images) % count == 0]
    nearest = min(full, key=lambda count: abs(count - wide))
    columns = columns or (nearest if abs(nearest - wide) < wide / 2 else max(1, round(wide)))
    return sheet(torch.split(images, columns), cell=cell, gap=gap, clear=clear)


def png_bytes(image: Image.Image, tag: str | None = None, xmp: str | None = None) -> bytes:
    """Encode as PNG; `tag` is stored as its text chunk "attrimorph", `xmp` as its XMP packet."""
    info = PngInfo()
    if tag is not None:
        info.add_itxt(TAG, tag)
    if xmp is not None:
        info.add_itxt(XMP, xmp)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def picture_bytes(image: Image.Image, suffix: str, tag: str) -> bytes:
    """Encode in the format of a file's ending, one of `WRITTEN`; PNG and JPEG carry the tag."""
    kind = WRITTEN[suffix.lower()]
    if kind == "PNG":
        return png_bytes(image, tag)
    buffer = io.BytesIO()
    image.save(buffer, kind, **OPTIONS.get(kind, {}), **({"comment": tag} if kind == "JPEG" else {}))
    return buffer.getvalue()


def write_png(path: Path, image: Image.Image, tag: str | None = None) -> None:
    """Write a PNG, whole or not at all; `tag` says how it was made."""
    write_bytes(path, png_bytes(image, tag))


def frames(images: Tensor, *, width: int = 192) -> list[Image.Image]:
    """Return the frames of an animation that goes there and back, waiting a little at both ends."""
    there = [enlarge(image, width) for image in to_pil(images)]
    return [*[there[0]] * 4, *there, *[there[-1]] * 4, *there[-2:0:-1]]


def frames_around(images: Tensor, *, width: int = 192) -> list[Image.Image]:
    """Return the frames of an animation along the border of a square [rows, columns, 3, S, S], waiting at corners."""
    sides = (images[0], images[:, -1], images[-1].flip(0), images[:, 0].flip(0))
    found: list[Image.Image] = []
    for side in sides:
        walked = [enlarge(image, width) for image in to_pil(side[:-1])]
        found += [*[walked[0]] * 4, *walked[1:]]
    return found


def gif_bytes(frames: Sequence[Image.Image], *, tag: str = "") -> bytes:
    """Encode an endless animation; `tag` becomes its comment."""
    # One palette for all frames: with one for each the colours flicker. Few, small frames are enough to find it.
    few = [frame.reduce(2) for frame in frames[:: max(1, len(frames) // 8)]]
    joined = Image.new("RGB", (few[0].width, few[0].height * len(few)))
    for index, frame in enumerate(few):
        joined.paste(frame, (0, index * frame.height))
    palette = joined.quantize(256)
    # A frame that comes again (there and back) is one object and is quantised once.
    different = {id(frame): frame for frame in frames}
    quantised = {key: frame.quantize(palette=palette) for key, frame in different.items()}
    shown = [quantised[id(frame)] for frame in frames]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": shown[1:], "duration": MILLISECONDS, "loop": 0}
    shown[0].save(buffer, "GIF", comment=tag.encode(), **more)
    return buffer.getvalue()


def can_film() -> bool:
    """Tell whether films can be written: whether the extra is installed."""
    return importlib.util.find_spec("av") is not None


def check_video() -> None:
    """Refuse to go on where films cannot be written.

    Raises:
        AttrimorphError: the extra is missing.
    """
    if not can_film():
        raise AttrimorphError(
            "an MP4 needs the package av; it is missing; install it with pip install 'attrimorph[video]'"
        )


def mp4_bytes(frames: Sequence[Image.Image], *, tag: str = "") -> bytes:
    """Encode a film (H.264), the same bytes every time on one machine; `tag` becomes its comment.

    Args:
        frames: of one size; an odd row or column at the border is left out.
        tag: says how it was made.

    Raises:
        AttrimorphError: the extra is missing.
    """
    check_video()
    import av

    width, height = (side // 2 * 2 for side in frames[0].size)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as film:
        film.metadata["comment"] = tag
        # Several threads would divide pictures otherwise on another number of cores.
        stream = film.add_stream("libx264", Fraction(1000, MILLISECONDS), {"crf": "16", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            pixels = np.asarray(frame.convert("RGB").crop((0, 0, width, height)))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode())
    return buffer.getvalue()


def pixels_sha256(image: Image.Image) -> str:
    """Hash what is seen, whatever the compression: mode, size and pixels."""
    head = f"{image.mode} {image.width}x{image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()
