"""A photograph's file: read once, upright, in its own colours and bits; written back as it was, with other pixels.

What says something about the photograph (colour profile, EXIF, XMP, text) is taken along byte for byte; only the
thumbnail is made new, and the place left out on demand.
"""

import hashlib
import io
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin, TiffImagePlugin

from attrimorph.data.images import MOST_PIXELS, OPTIONS, ORIENTATION, WRITTEN, opened_image, upright_rgb
from attrimorph.files import write_bytes

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "AVIF": ".avif", "BMP": ".bmp",
            "PPM": ".ppm"}  # fmt: skip
LOSSLESS = ("PNG", "TIFF", "BMP", "PPM")
RECEIPT = b"attrimorph receipt"  # in the texts of a picture that the studio saved: of that edit, not of the next one
THUMBNAIL = 160  # pixels of a new thumbnail's longer side
# What of a TIFF tells of its pixels' layout; all else is taken along.
LAYOUT = {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339,
          347, 530, 531, 532}  # fmt: skip
EXIF, GPS, ICC, XMP = 0x8769, 0x8825, 34675, 700  # tags
# Of a PNG's chunks: those that hold pixels or colours of a palette are written anew, those of an animation left; all
# others are taken along.
PNG_LAYOUT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"bKGD", b"hIST", b"sBIT", b"sPLT",
              b"acTL", b"fcTL", b"fdAT"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph and what its file says of it.

    Attributes:
        pixels: [H, W, C], upright, of 8 or 16 bits as the file holds them; C is 1 or 3, and one more with an alpha.
        format: that it is written in, one of `SUFFIXES`.
        orientation: EXIF's, 1..8: how the file's pixels lie.
        lossless: whether pixels come back from the file to the bit.
        notes: sentences about what the file cannot hold as it was.
        parts: what is taken along, as the format keeps it.
        about: what any format may keep: icc, exif (upright), xmp, and dpi.
    """

    pixels: Pixels
    format: str
    orientation: int = 1
    lossless: bool = True
    notes: tuple[str, ...] = ()
    parts: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def suffix(self) -> str:
        """The ending of a file of this format."""
        return SUFFIXES[self.format]

    def rgb(self) -> Image.Image:
        """Return what a model and a detector are shown: upright RGB of 8 bits; transparent parts white."""
        pixels = self.pixels if self.pixels.dtype == np.uint8 else (self.pixels // 257).astype(np.uint8)
        return upright_rgb(_image(pixels))

    def picture(self) -> Image.Image:
        """Return it upright as PIL holds it, with alpha, profile and EXIF; colours of 16 bits as 8."""
        deep = self.pixels.itemsize > 1 and self.pixels.shape[2] > 1
        image = _image((self.pixels // 257).astype(np.uint8) if deep else self.pixels)
        image.info |= {{"icc": "icc_profile"}.get(name, name): value for name, value in self.about.items()}
        return image

    def pixels_sha256(self) -> str:
        """Hash what is seen, whatever the compression: shape, kind and pixels."""
        digest = hashlib.sha256(f"{self.pixels.dtype} {self.pixels.shape}".encode())
        for row in self.pixels:
            digest.update(np.ascontiguousarray(row).data)
        return digest.hexdigest()

    def bytes(self, *, no_location: bool = False, tag: str = "") -> bytes:
        """Return the content of a file in the format, colours, bits and layout of the one that was read.

        Args:
            no_location: leave out where it was taken: EXIF's GPS block, and XMP that names a place.
            tag: text that says how it was made; formats without a place for it leave it out.
        """
        stored = _laid(self.pixels, self.orientation, back=True)
        return WRITERS[self.format](stored, self.parts, no_location, tag)

    def write(self, path: Path, *, no_location: bool = False, tag: str = "") -> None:
        """Write the file, whole or not at all; arguments as of `bytes`.

        Raises:
            AttrimorphError: it cannot be written there.
        """
        write_bytes(path, self.bytes(no_location=no_location, tag=tag))

    def save(self, path: Path, *, no_location: bool = False, tag: str = "") -> None:
        """Write the file under any ending of `WRITTEN`; in another format upright, and a warning says what is lost.

        Arguments as of `bytes`.

        Raises:
            AttrimorphError: it cannot be written there.
        """
        converted, lost = self.converted(WRITTEN[path.suffix.lower()])
        if lost:
            warnings.warn(
                f"{path.name} cannot hold {', '.join(lost)} of this photograph; name it *{self.suffix} to keep all",
                stacklevel=2,
            )
        converted.write(path, no_location=no_location, tag=tag)

    def converted(self, format: str) -> "tuple[Photograph, list[str]]":
        """Return the photograph in another format, as much of it as that holds, and what is lost."""
        if format == self.format:
            return self, []
        pixels, about, lost = self.pixels, dict(self.about), []
        if pixels.itemsize > 1 and format not in ("PNG", "TIFF"):
            pixels, lost = (pixels // 257).astype(np.uint8), ["16 bits"]
        if pixels.shape[2] in (2, 4) and format in ("JPEG", "BMP", "PPM"):
            # On white; grey stays grey.
            pixels = np.asarray(upright_rgb(_image(pixels)))[..., : pixels.shape[2] - 1]
            lost.append("transparency")
        for name, value in self.about.items():
            grey = format in ("WEBP", "AVIF") and name == "icc" and value[16:20] == b"GRAY"
            long = format == "JPEG" and name in ("exif", "xmp") and len(value) > 65_000
            if grey or long or format in ("BMP", "PPM"):
                lost += [] if name == "dpi" else [{"icc": "colour profile"}.get(name, name.upper())]
                del about[name]
        parts = _parts(format, about, self.lossless)
        return Photograph(pixels, format, lossless=self.lossless, parts=parts, about=about), lost

    def with_pixels(self, pixels: Pixels) -> "Photograph":
        """Return the photograph with other pixels of the same shape and bits."""
        return replace(self, pixels=pixels)


def read_photograph(source: Path | bytes, most_pixels: int = MOST_PIXELS, called: str = "the photograph") -> Photograph:
    """Read a photograph.

    Args:
        source: its file, or the bytes of one.
        most_pixels: larger ones are refused before they are decoded.
        called: how errors call bytes.

    Raises:
        AttrimorphError: as of `data.images.open_image`.
    """
    with opened_image(source, most_pixels, called) as image:
        return _taken(image, source)


def photograph_of(picture: "Image.Image | Pixels") -> Photograph:
    """Take a picture in memory with its bits, its alpha and what it says of itself; it is written as PNG.

    Args:
        picture: of any mode; or pixels [H, W, C], upright.
    """
    if isinstance(picture, np.ndarray):
        return Photograph(picture, "PNG", parts={"chunks": []})
    return _taken(picture, None)


def _taken(image: Image.Image, source: Path | bytes | None) -> Photograph:
    """Return an opened picture as a photograph, of the file that it was opened from or of none."""
    notes = []
    if source is not None and getattr(image, "is_animated", False):  # frames are not counted: there may be millions
        notes.append("only the first of its pictures is taken")
    if source is None and image.format == "TIFF":
        image.load()  # by which it is turned
    raw, orientation = _raw(image), 1
    with suppress(Exception):  # a broken block is no reason to lose the picture; to look for it may decode a PNG
        told = int(image.getexif().get(ORIENTATION, 1))
        orientation = told if told in range(1, 9) else 1
    kind, content = "PNG", b""
    if source is not None:
        kind = {"MPO": "JPEG", "GIF": "PNG"}.get(str(image.format), str(image.format))
        if image.format == "GIF":
            notes.append("a GIF holds 256 colours; it is written as PNG")
        if kind in ("JPEG", "PNG", "WEBP", "AVIF"):
            content = source if isinstance(source, bytes) else source.read_bytes()
    if kind == "TIFF" and image.tag_v2.get(254, 0) & 1:  # type: ignore[attr-defined]
        notes.append("it is the small preview of another picture (a raw file?); develop that into a TIFF or JPEG")
    about = _about(image)
    parts = READERS[kind](image, content) if source is not None and kind in READERS else {}
    if kind in ("PNG", "TIFF") and _is_deep(image.mode, raw if source is not None else ""):
        pixels: Pixels = _deep_pixels(image, raw, source or b"")
        if kind == "TIFF" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
            pixels = 65535 - pixels  # zero is white; of 8 bits Pillow turns them itself
        if (clear := image.info.get("transparency")) is not None and pixels.shape[2] in (1, 3):
            seen = (pixels != np.array(clear)).any(2, keepdims=True)
            pixels = np.concatenate([pixels, seen.astype(np.uint16) * 65535], 2)
    else:
        mode = image.mode
        if mode[0] in "IF":
            notes.append("its numbers are written as 8 bits")
        elif ";16" in raw:
            notes.append("its 16 bits are written as 8")
        elif b"av1C" in content and content[content.index(b"av1C") + 6] & 0x40:
            notes.append("its 10 or 12 bits are written as 8")
        if mode in ("CMYK", "LAB"):
            notes.append(f"its {'inks (CMYK)' if mode == 'CMYK' else 'colours (LAB)'} are written as RGB")
            image = _in_rgb(image, about.pop("icc", None))
            parts["icc"] = None
            parts.get("tags", {}).pop(ICC, None)
        elif mode not in ("L", "LA", "RGB", "RGBA") or "transparency" in image.info:
            wanted = "L" if mode in ("1", "L") else "RGB"
            if image.has_transparency_data:
                wanted = "LA" if wanted == "L" else "RGBA"
            if mode == "1":
                notes.append("its black and white are written as grey of 8 bits")
            if mode == "P" and image.format != "GIF":
                notes.append("its palette is widened to full colours")
            image = image.convert(wanted) if mode[0] not in "IF" else upright_rgb(image).convert("L")
        pixels = np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if source is None:
        parts = _parts(kind, about, lossless=True)
    lossless = kind in LOSSLESS or (kind == "WEBP" and bool(parts["lossless"]))
    if kind != "TIFF" or source is None:  # Pillow turns those itself
        pixels = _laid(pixels, orientation)
    return Photograph(pixels, kind, orientation if source is not None else 1, lossless, tuple(notes), parts, about)


def _about(image: Image.Image) -> dict[str, Any]:
    """Return what a picture says of itself, whatever its format."""
    exif = image.info.get("exif", b"")
    exif = bytearray(exif[6:] if exif.startswith(b"Exif\0\0") else exif)
    with suppress(Exception):
        if not exif and (tags := image.getexif()):
            block = Image.Exif()
            block.update({tag: value for tag, value in tags.items() if tag not in {*LAYOUT, ICC, XMP, ORIENTATION}})
            block.update({tag: dict(found) for tag in (EXIF, GPS) if (found := tags.get_ifd(tag))})
            exif = bytearray(block.tobytes()[6:]) if len(block) else exif
        order = "<" if exif[:2] == b"II" else ">"
        for tag, place in _entries(exif, order, _number(exif, order, "I", 4)) if exif else ():
            if tag == ORIENTATION:
                struct.pack_into(order + "H", exif, place + 8, 1)
    info = image.info
    xmp = re.sub(rb"(tiff:Orientation(=.|>))\d", rb"\g<1>1", info.get("xmp", b""))
    dpi = info.get("dpi") if all(0.1 < each < 1e6 for each in info.get("dpi", ())) else None
    about = {"icc": info.get("icc_profile"), "exif": bytes(exif), "xmp": xmp, "dpi": dpi}
    return {name: value for name, value in about.items() if value}


def _parts(format: str, about: dict[str, Any], lossless: bool) -> dict[str, Any]:
    """Return what a picture says of itself as a format keeps it; see `Photograph.parts`."""
    icc, exif, xmp, dpi = (about.get(name) for name in ("icc", "exif", "xmp", "dpi"))
    if format == "JPEG":
        halves = [icc[start : start + 65_000] for start in range(0, len(icc), 65_000)] if icc else []
        segments = [(0xE1, b"Exif\0\0" + exif)] if exif else []
        segments += [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)] if xmp else []
        segments += [(0xE2, b"ICC_PROFILE\0" + bytes([n, len(halves)]) + half) for n, half in enumerate(halves, 1)]
        return {"segments": segments, "icc": icc, "options": {**OPTIONS["JPEG"], **({"dpi": dpi} if dpi else {})}}
    if format == "TIFF":
        block = Image.Exif()
        block.load(b"Exif\0\0" + exif if exif else b"")
        tags: dict[int, tuple[int | None, Any]] = {
            tag: (None, dict(block.get_ifd(tag)) if tag in (EXIF, GPS) else value) for tag, value in block.items()
        }
        more = [(ICC, 7, icc), (XMP, 1, xmp), *zip((282, 283, 296), (5, 5, 3), (*dpi, 2) if dpi else (), strict=False)]
        return {"tags": tags | {tag: (type, value) for tag, type, value in more if value}}
    if format in ("WEBP", "AVIF"):
        boxes = {"icc_profile": icc, "exif": exif, "xmp": xmp}
        return {"kept": {name: value for name, value in boxes.items() if value}, "lossless": lossless}
    chunks = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))] if icc else []
    chunks += [(b"eXIf", exif)] if exif else []
    chunks += [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)] if xmp else []
    chunks += [(b"pHYs", struct.pack(">IIB", *(round(each / 0.0254) for each in dpi), 1))] if dpi else []
    return {"chunks": chunks}


def _laid(pixels: Any, orientation: int, *, back: bool = False) -> Any:
    """Return a view of stored pixels as they stand upright, or the way back."""
    if orientation in (5, 6, 7, 8):
        turns = {5: 1, 6: -1, 7: 1, 8: 1}[orientation]
        if orientation in (5, 7):  # mirrored along a diagonal: its own inverse
            flipped = pixels.swapaxes(0, 1)
            return flipped if orientation == 5 else flipped[::-1, ::-1]
        return np.rot90(pixels, -turns if back else turns)
    return {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1]}[orientation]


def _image(pixels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _in_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn CMYK or LAB into RGB, by its own profile where it has one."""
    with suppress(ImageCms.PyCMSError, OSError):
        if profile or image.mode == "LAB":
            own = io.BytesIO(profile) if profile else ImageCms.createProfile("LAB")
            found = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert found is not None
            return found
    return image.convert("RGB")


# Sixteen bits ---------------------------------------------------------------------------------------------------------


OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
"""Pillow takes the upper byte of a channel of 16 bits; told that the order of bytes is the other one, the lower."""


def _raw(image: Image.Image) -> str:
    """Return how Pillow unpacks the file's pixels."""
    tiles = getattr(image, "tile", ())
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _is_deep(mode: str, raw: str) -> bool:
    """Tell whether the file holds 16 bits for each channel, and they can be had."""
    name, _, order = raw.partition(";")
    return mode.startswith("I;16") or (order in OTHER_BYTE and name in ("LA", "RGB", "RGBX", "RGBA"))


def _deep_pixels(image: Image.Image, raw: str, source: Path | bytes) -> NDArray[np.uint16]:
    """Return 16-bit pixels [H, W, C]."""
    upper = np.asarray(image)
    if image.mode.startswith("I;16"):
        return upper.astype(np.uint16)[..., None]
    name, _, order = raw.partition(";")
    # Two channels of 16 bits are four of 8.
    other = "RGBA" if name == "LA" else f"{name};{OTHER_BYTE[order]}"
    with opened_image(source) as again:
        again.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
            for tile in again.tile  # type: ignore[attr-defined]
        ]
        lower = np.asarray(again)
    if name == "LA":
        return lower.view(">u2").astype(np.uint16)
    found: NDArray[np.uint16] = upper.astype(np.uint16)
    found <<= 8
    found |= lower
    return found


# EXIF -----------------------------------------------------------------------------------------------------------------


def exif_of(block: bytes, picture: Image.Image, no_location: bool) -> bytes:
    """Return an EXIF block (from its byte order on) with its thumbnail made new; all else keeps its place and bytes.

    Args:
        block: as read.
        picture: as stored in the file, whose thumbnail it holds.
        no_location: leave out the place.
    """
    data = bytearray(block)
    try:
        order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
        first = _number(data, order, "I", 4)
        if no_location:
            _without_place(data, order, first)
        count = _number(data, order, "H", first)
        link = first + 2 + 12 * count
        second = _number(data, order, "I", link)
        if second:
            _renew_thumbnail(data, order, second, link, picture)
    except (KeyError, struct.error, IndexError):
        # Nobody knows what lies where; a block that tells the place must not slip through.
        return b"" if no_location else block
    return bytes(data)


def _number(data: bytearray, order: str, kind: str, place: int) -> int:
    return int(struct.unpack_from(order + kind, data, place)[0])


def _entries(data: bytearray, order: str, directory: int) -> Iterator[tuple[int, int]]:
    """Yield (tag, place of the entry) of a directory."""
    for index in range(_number(data, order, "H", directory)):
        place = directory + 2 + 12 * index
        yield _number(data, order, "H", place), place


def _without_place(data: bytearray, order: str, directory: int) -> None:
    """Take the GPS directory out of the first one, and wipe it."""
    for tag, place in list(_entries(data, order, directory)):
        if tag != GPS:
            continue
        gps = _number(data, order, "I", place + 8)
        for _, entry in list(_entries(data, order, gps)):
            kind, count = _number(data, order, "H", entry + 2), _number(data, order, "I", entry + 4)
            size = count * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}.get(kind, 1)
            if size > 4:
                value = _number(data, order, "I", entry + 8)
                data[value : value + size] = bytes(len(data[value : value + size]))
            data[entry : entry + 12] = bytes(12)
        count = _number(data, order, "H", directory)
        end = directory + 2 + 12 * count + 4
        data[place : end - 12] = data[place + 12 : end]
        data[end - 12 : end] = bytes(12)
        struct.pack_into(order + "H", data, directory, count - 1)


def _renew_thumbnail(data: bytearray, order: str, directory: int, link: int, picture: Image.Image) -> None:
    """Put a new thumbnail into the place of the old one; where it does not fit, there is none any more."""
    places = dict(_entries(data, order, directory))
    if 0x0201 in places and 0x0202 in places:
        start, room = (_number(data, order, "I", places[tag] + 8) for tag in (0x0201, 0x0202))
        small = picture.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        for quality in (85, 70, 50, 30, 10):
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=quality)
            if len(buffer.getvalue()) <= room and start + room <= len(data):
                data[start : start + room] = buffer.getvalue().ljust(room, b"\0")
                struct.pack_into(order + "I", data, places[0x0202] + 8, len(buffer.getvalue()))
                return
        data[start : start + room] = bytes(len(data[start : start + room]))
    struct.pack_into(order + "I", data, link, 0)


PLACES = re.compile(
    rb"GPS|photoshop:(City|Country|State)|Iptc4xmp(Core|Ext):(Location|CountryCode)|\x1c\x02[\x5a\x5c\x5f\x64\x65]"
)
"""In XMP and texts; in IPTC city, part of it, state, and the country's code and name."""


def _tells_place(text: bytes) -> bool:
    return PLACES.search(text) is not None


# Formats --------------------------------------------------------------------------------------------------------------


def _read_jpeg(image: Image.Image, content: bytes) -> dict[str, Any]:
    segments, place = [], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] not in (0xDA, 0xD9):
        marker, size = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        body = content[place + 4 : place + 2 + size]
        # APP1..APP13, APP15 and comments; not what ties several pictures together (MPF), nor how an edit was made.
        told = marker in range(0xE1, 0xF0) and marker != 0xEE and body[:4] != b"MPF\0"
        if RECEIPT not in body and (told or marker == 0xFE):
            segments.append((marker, body))
        place += 2 + size
    return {
        "segments": segments,
        "icc": image.info.get("icc_profile"),
        "options": {
            "qtables": getattr(image, "quantization", None),
            # What Pillow cannot name is written in full.
            "subsampling": -1 if image.mode == "L" else max(0, JpegImagePlugin.get_sampling(image)),
            "progressive": bool(image.info.get("progressive")),
            **({"dpi": image.info["dpi"]} if "dpi" in image.info else {}),
        },
    }


def _write_jpeg(pixels: NDArray[Any], parts: dict[str, Any], no_location: bool, tag: str) -> bytes:
    picture, buffer = _image(pixels), io.BytesIO()
    options = {name: value for name, value in parts["options"].items() if value not in (None, -1)}
    picture.save(buffer, "JPEG", **options)
    content, kept = buffer.getvalue(), bytearray()
    for marker, body in [*parts["segments"], *([(0xFE, tag.encode())] if tag else [])]:
        if body.startswith(b"Exif\0\0"):
            body = body[:6] + exif_of(body[6:], picture, no_location)
        elif body.startswith(b"ICC_PROFILE\0"):
            if parts["icc"] is None:
                continue
        elif no_location and _tells_place(body):
            continue
        kept += bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
    # Behind the encoder's own JFIF segment.
    place = 4 + int.from_bytes(content[4:6], "big") if content[2:4] == b"\xff\xe0" else 2
    return content[:place] + bytes(kept) + content[place:]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        place += 12 + size


def _read_png(image: Image.Image, content: bytes) -> dict[str, Any]:
    if image.format != "PNG":
        return {"chunks": []}
    found = _chunks(content)
    return {"chunks": [(name, body) for name, body in found if name not in PNG_LAYOUT and RECEIPT not in body]}


def _write_png(pixels: NDArray[Any], parts: dict[str, Any], no_location: bool, tag: str) -> bytes:
    height, width, channels = pixels.shape
    rows = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    deflate, packed = zlib.compressobj(6), bytearray()
    above = np.zeros_like(rows[:1])
    for start in range(0, height, 256):  # each row less the one above it: the filter "up"
        some = rows[start : start + 256]
        filtered = np.empty((len(some), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = 2
        filtered[:, 1:] = some - np.concatenate([above, some[:-1]])
        packed += deflate.compress(filtered.data)
        above = some[-1:]
    packed += deflate.flush()
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colours, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    for name, body in parts["chunks"]:
        if name == b"eXIf":
            body = exif_of(
                body, _image(pixels if pixels.itemsize == 1 else (pixels // 257).astype(np.uint8)), no_location
            )
        packed_text = name == b"iTXt" and body.partition(b"\0")[2][:1] == b"\1"
        hidden = name == b"zTXt" or packed_text or b"Raw profile type" in body[:20]  # nobody sees what these say
        telling = name in (b"iTXt", b"tEXt", b"zTXt") and (hidden or _tells_place(body))
        if body and not (no_location and telling):
            chunks.append((name, body))
    if tag:
        chunks.append((b"iTXt", b"attrimorph\0\0\0\0\0" + tag.encode()))
    chunks += [(b"IDAT", bytes(packed)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in chunks
    )


def _read_boxes(image: Image.Image, content: bytes) -> dict[str, Any]:
    kept = {name: image.info[name] for name in ("icc_profile", "exif", "xmp") if image.info.get(name)}
    lossless, place = False, 12
    while image.format == "WEBP" and place + 8 <= len(content):
        first = place + 24 * (content[place : place + 4] == b"ANMF")  # within the first frame of an animation
        lossless |= content[first : first + 4] == b"VP8L"
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return {"kept": kept, "lossless": lossless}


def _write_boxes(format: str) -> Any:
    def write(pixels: NDArray[Any], parts: dict[str, Any], no_location: bool, tag: str) -> bytes:
        picture, buffer, kept = _image(pixels), io.BytesIO(), dict(parts["kept"])
        if "exif" in kept:
            start = 6 if kept["exif"].startswith(b"Exif\0\0") else 0
            kept["exif"] = exif_of(kept["exif"][start:], picture, no_location)
        if no_location and _tells_place(kept.get("xmp", b"")):
            del kept["xmp"]
        how = {"quality": 90, "subsampling": "4:4:4"} if format == "AVIF" else {"quality": 92}
        if format == "WEBP" and parts["lossless"]:
            how = {"lossless": True, "exact": True, "quality": 50}
        picture.convert("RGBA" if picture.mode[-1] == "A" else "RGB").save(buffer, format, **how, **kept)
        return buffer.getvalue()

    return write


def _read_tiff(image: Image.Image, content: bytes) -> dict[str, Any]:
    tags = image.tag_v2  # type: ignore[attr-defined]
    kept = {tag: (tags.tagtype.get(tag), value) for tag, value in tags.items() if tag not in LAYOUT}
    exif = image.getexif()
    for tag in (0x8769, GPS):
        if tag in kept:
            kept[tag] = (None, dict(exif.get_ifd(tag)))
    return {"tags": kept}


def _write_tiff(pixels: NDArray[Any], parts: dict[str, Any], no_location: bool, tag: str) -> bytes:
    height, width, channels = pixels.shape
    strips = [zlib.compress(np.ascontiguousarray(pixels[start : start + 256]).data) for start in range(0, height, 256)]
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for name, (kind, value) in parts["tags"].items():
        if no_location and (name == GPS or (isinstance(value, bytes) and _tells_place(value))):
            continue
        tags[name] = value
        if kind is not None:
            tags.tagtype[name] = kind
    if tag:
        tags[305] = tag
    layout = {
        256: width, 257: height, 258: (8 * pixels.itemsize,) * channels, 259: 8, 262: 2 if channels >= 3 else 1,
        277: channels, 278: 256, 284: 1, 279: tuple(map(len, strips)), 339: (1,) * channels,
    }  # fmt: skip
    if channels in (2, 4):
        layout[338] = 2
    tags.tagtype.update({273: 4, 279: 4})
    for name, value in layout.items():
        tags[name] = value
    # Places count from the end of the directory.
    tags[273] = tuple(np.cumsum([0, *map(len, strips[:-1])]).tolist())
    buffer = io.BytesIO()
    tags.save(buffer)
    return buffer.getvalue() + b"".join(strips)


def _write_plain(format: str) -> Any:
    def write(pixels: NDArray[Any], parts: dict[str, Any], no_location: bool, tag: str) -> bytes:
        buffer = io.BytesIO()
        _image(pixels).save(buffer, format)
        return buffer.getvalue()

    return write


READERS = {"JPEG": _read_jpeg, "PNG": _read_png, "WEBP": _read_boxes, "AVIF": _read_boxes, "TIFF": _read_tiff}
WRITERS: dict[str, Callable[[NDArray[Any], dict[str, Any], bool, str], bytes]] = {
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "WEBP": _write_boxes("WEBP"),
    "AVIF": _write_boxes("AVIF"),
    "TIFF": _write_tiff,
    "BMP": _write_plain("BMP"),
    "PPM": _write_plain("PPM"),
}
