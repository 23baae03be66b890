"""Tensors to pictures: sheets with labels, grids, strips, animations, each tagged with how it was made.

And pictures as people have them, brought to what a model takes; what a model makes shows and saves itself.
"""

import copy
import hashlib
import importlib.util
import io
import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from attrimorph.data.images import OPTIONS, WRITTEN, Crop, CropLike, crop_box, fit, open_image, upright_rgb
from attrimorph.errors import AttrimorphError, extra, shown
from attrimorph.files import refuse_foreign, write_bytes

PAPER = (255, 255, 255)
INK = (40, 42, 48)
GREY = (128, 132, 142)  # readable on white and on black
TAG = "attrimorph"
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


def png_bytes(
    image: Image.Image, tag: str | None = None, xmp: str | None = None, texts: Mapping[str, str] | None = None
) -> bytes:
    """Encode as PNG; `tag` is stored as its text chunk "attrimorph", `xmp` as its XMP packet, `texts` by their keys."""
    info = PngInfo()
    for key, text in {TAG: tag, XMP: xmp, **(texts or {})}.items():
        if text is not None:
            info.add_itxt(key, text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


SOFTWARE = 0x0131  # the EXIF tag


def picture_bytes(image: Image.Image, suffix: str, tag: str) -> bytes:
    """Encode in the format of a file's ending, one of `WRITTEN`; all but BMP and PPM carry the tag."""
    kind = WRITTEN[suffix.lower()]
    if kind == "PNG":
        return png_bytes(image, tag)
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[SOFTWARE] = tag
    words = {"JPEG": {"comment": tag}}.get(kind, {"exif": exif} if kind in ("WEBP", "TIFF", "AVIF") else {})
    image.save(buffer, kind, **OPTIONS.get(kind, {}), **words)
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
    with extra("video", "an MP4"):
        import av  # noqa: F401


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


# --- pictures of users, into models and out of them

Source = str | Path | Image.Image | NDArray[Any] | Tensor | Sequence[Any]
"""A picture or several: paths, PIL pictures, pixels 0..255 or floats in -1..1 as arrays or tensors, lists of these."""

SHOWN = 64  # pictures that a notebook shows of many
SIDE = 192  # pixels of a picture shown alone, about
SLACK = 0.01  # by which a network's output may leave -1..1


class Pictures(Tensor):
    """Images that a model made or was given: a float32 tensor [B, 3, S, S] in [-1, 1] that a notebook shows.

    Whatever is computed with it is a plain tensor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def images(self) -> Tensor:
        """The same numbers as a plain tensor."""
        return self.as_subclass(Tensor)

    def to_pil(self) -> list[Image.Image]:
        """Return B pictures."""
        return to_pil(self.images)

    def save(self, path: str | Path) -> list[Path]:
        """Write the picture to a file; several to NAME-1.png, NAME-2.png, ...

        Args:
            path: ends as a key of `WRITTEN`, .png or .jpg; without an ending it becomes a PNG.

        Returns:
            The files that were written.

        Raises:
            AttrimorphError: another ending, or the file cannot be written.
        """
        return save_pictures(self.to_pil(), path)

    def _repr_png_(self) -> bytes:
        pictures = self.images[:SHOWN]
        alone = len(pictures) == 1
        return png_bytes(enlarge(to_pil(pictures)[0], SIDE) if alone else grid(pictures))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pictures":
        return copy.deepcopy(self.images, memo).as_subclass(Pictures)

    def __repr__(self) -> str:  # type: ignore[override]
        count, _, height, width = self.shape
        return (
            f"<{count} picture{'s' * (count != 1)} of {width}x{height}: a tensor {list(self.shape)} in -1..1 with "
            ".save(path), .to_pil(), .images>"
        )


def save_pictures(pictures: Sequence[Image.Image], path: str | Path) -> list[Path]:
    """Write pictures as `Pictures.save` does."""
    places = places_of(path, len(pictures))
    refuse_foreign(places[1:] and places)
    for place, picture in zip(places, pictures, strict=True):
        write_bytes(place, picture_bytes(picture, place.suffix, "made by attrimorph"))
    return places


def places_of(path: str | Path, count: int) -> list[Path]:
    """Return where so many pictures are saved; path and errors as of `Pictures.save`."""
    path = Path(path) if Path(path).suffix else Path(path).with_suffix(".png")
    if path.suffix.lower() not in WRITTEN:
        raise AttrimorphError(f"a picture is saved as {', '.join(WRITTEN)}; got {path.name}; name it NAME.png")
    return [path] if count == 1 else [path.with_stem(f"{path.stem}-{number}") for number in range(1, count + 1)]


def prepared(source: Source, size: int, preprocessing: Mapping[str, Any]) -> Tensor:
    """Bring pictures to what a model's training images were, [B, 3, S, S] in [-1, 1].

    Floats that have the model's size are taken as they are; everything else goes the way of a file: cropped or aligned
    as the training images were, and scaled.

    Args:
        source: see `Source`.
        size: S.
        preprocessing: of the training images, from the model's header.

    Raises:
        AttrimorphError: a picture that cannot be read, of another form or range, or none at all; or the model's images
            were aligned, and there is no face in one of these.
    """
    if is_shown(source, size):
        if not isinstance(source, Pictures):
            _check_range(source)
        return source
    if isinstance(source, list | tuple):
        if not source:
            raise AttrimorphError("at least one picture must be given; got none; name a file")
        parts = [prepared(each, size, preprocessing).cpu() for each in source]
    else:
        parts = [_squared(picture, size, preprocessing) for picture in opened(source)]
    return torch.cat(parts).as_subclass(Pictures)


def is_shown(source: Any, size: int) -> TypeGuard[Tensor]:
    """Tell whether a source is what a model of a size is shown: a tensor of floats [B, 3, S, S]."""
    return isinstance(source, Tensor) and source.is_floating_point() and source.shape[1:] == (3, size, size)


def opened(source: Any) -> list[Image.Image]:
    """Return upright RGB pictures of any size; source and errors as of `prepared`."""
    return [_rgb_of(each) if isinstance(each, np.ndarray) else upright_rgb(each) for each in given(source)]


def _rgb_of(pixels: NDArray[Any]) -> Image.Image:
    eight = pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)
    return upright_rgb(Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight))


def given(source: Any) -> list[Image.Image | NDArray[Any]]:
    """Return pictures as they are given: PIL pictures of any mode, or pixels [H, W, C] of 8 or 16 bits; source and
    errors as of `prepared`, floats as 8 bits."""
    if isinstance(source, list | tuple):
        return [picture for each in source for picture in given(each)]
    if isinstance(source, str | Path):
        return [open_image(Path(source))]
    if isinstance(source, Image.Image):
        return [source]
    if not isinstance(source, Tensor | np.ndarray):
        raise _unknown(f"{type(source).__name__} {shown(source)}")
    form = f"{str(source.dtype).removeprefix('torch.')} {list(source.shape)}"
    if isinstance(source, np.ndarray) and source.dtype.kind not in "fu":
        raise _unknown(form)
    values = source if isinstance(source, Tensor) else torch.from_numpy(source.copy())
    if values.is_floating_point():
        values = values[None] if values.ndim == 3 else values
        if values.ndim != 4 or values.shape[1] != 3 or not values.numel():
            raise _unknown(form)
        _check_range(values, strictly=isinstance(source, np.ndarray))
        return list(to_bytes(values))
    if values.dtype not in (torch.uint8, torch.uint16) or not 2 <= values.ndim <= 4 or not values.numel():
        raise _unknown(form)
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[-1] not in (1, 3, 4) and values.shape[-3] in (1, 3, 4):
        values = values.movedim(-3, -1)  # [3, H, W], as torch's readers give it
    if values.shape[-1] not in (1, 3, 4):
        raise _unknown(form)
    every = values.cpu().numpy()
    return list(every if every.ndim == 4 else every[None])


def _unknown(got: str) -> AttrimorphError:
    return AttrimorphError(
        "a picture must be a path, a PIL picture, uint8 or uint16 pixels [H, W, 3] or [B, H, W, 3], or floats "
        f"[3, H, W] or [B, 3, H, W] in -1..1; got {got}; give one of these, or a list of them"
    )


def _check_range(values: Tensor, *, strictly: bool = False) -> None:
    """Refuse floats outside -1..1; those of 0..1, the other habit, too where `strictly`, else warn of them."""
    # A program that is being exported has no values yet.
    if torch.compiler.is_compiling() or not values.numel():
        return
    low, high = (float(end) for end in values.aminmax())
    if not (low >= -1 - SLACK and high <= 1 + SLACK):
        raise AttrimorphError(
            f"pictures of floats must lie in -1..1; these lie in {low:.4g}..{high:.4g}; bring them there "
            "(of 0..255: / 127.5 - 1), or give uint8 pixels"
        )
    if low >= 0 < high:
        sentence = (
            f"pictures of floats must lie in -1..1; these lie in {low:.4g}..{high:.4g}, as pictures of 0..1 do; "
            "if they are, give images * 2 - 1"
        )
        if strictly:
            raise AttrimorphError(sentence)
        warnings.warn(sentence, stacklevel=4)


def _squared(image: Image.Image, size: int, preprocessing: Mapping[str, Any]) -> Tensor:
    if preprocessing.get("align"):
        from attrimorph.data.images import align

        image = align(image, size)
    else:
        image = fit(image, size, crop_for(image.size, size, preprocessing))
    return pixels_of(image)


def pixels_of(image: Image.Image) -> Tensor:
    """Turn an RGB picture of any size into [1, 3, H, W] in [-1, 1]."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    return pixels.permute(2, 0, 1)[None].float().div(127.5).sub(1).contiguous()


def crop_of(preprocessing: Mapping[str, Any]) -> CropLike:
    """Return the crop of a model's training images, as `data prepare` takes it; None where its header tells none.

    Args:
        preprocessing: of the training images, from the model's header: `crop`, and as `of` the size that the files had,
            None where they differed.
    """
    crop, of = preprocessing.get("crop"), preprocessing.get("of")
    if crop is None or crop == "centre":
        return "centre" if "crop" in preprocessing else None
    if isinstance(crop, Mapping):
        of = crop.get("of") or of
        crop = Crop(crop["left"], crop["top"], crop["right"], crop["bottom"])
    return crop if of is None else Crop(*crop_box(tuple(of), crop), tuple(of))


def crop_for(size: tuple[int, int], side: int, preprocessing: Mapping[str, Any]) -> CropLike:
    """Return the crop of a picture that goes the way of a model's training images.

    Args:
        size: width and height of the picture. A picture of the model's own size is one as the model makes them, and
            not cropped again, unless the training images' files had that size.
        side: of the model's images.
        preprocessing: see `crop_of`.
    """
    crop = crop_of(preprocessing)
    if isinstance(crop, Crop) and crop.of is not None:
        return None if size == (side, side) != crop.of else crop
    if "of" in preprocessing:  # of files of many sizes
        return None if size == (side, side) else crop
    # Headers of before do not tell what size a crop in pixels was made for: pictures of about that size.
    if isinstance(crop, Crop):
        return crop if crop.right <= size[0] < 2 * crop.right else None
    return crop if isinstance(crop, int) and min(size) < 2 * crop else None
