"""A photograph's file comes back as it was: bits, colours, layout, and what it says of itself."""

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from attrimorph.errors import AttrimorphError
from attrimorph.photographs.file import Photograph, exif_of, read_photograph

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MODES = ("L", "LA", "RGB", "RGBA")


def noise(height: int, width: int, channels: int, kind: Any = np.uint8) -> NDArray[Any]:
    """Smooth noise, as photographs are."""
    values = np.random.default_rng(1).normal(size=(height, width, channels)).cumsum(0).cumsum(1)
    low, high = values.min(), values.max()
    return ((values - low) / (high - low) * np.iinfo(kind).max).astype(kind)


def picture(mode: str = "RGB", size: tuple[int, int] = (53, 37)) -> Image.Image:
    pixels = noise(size[1], size[0], len(mode))
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)


def exif_block(orientation: int = 1, thumbnail: bool = False, order: str = "<") -> bytes:
    """An EXIF block laid out by hand: maker, orientation, place; a thumbnail behind it."""
    mark = b"II" if order == "<" else b"MM"
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), "red").save(buffer, "JPEG", quality=98)
    small = buffer.getvalue().ljust(6000, b"\0")
    maker, place = b"A maker of cameras\0", struct.pack(order + "6I", 52, 1, 22, 1, 33, 1)
    entries = 3
    after = 8 + 2 + 12 * entries + 4
    gps = after + len(maker) + len(maker) % 2
    second = gps + 2 + 12 * 2 + 4 + 24
    pack = lambda *values: struct.pack(order + "HHI", *values[:3])  # noqa: E731
    block = mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", entries)
    block += pack(0x010F, 2, len(maker)) + struct.pack(order + "I", after)
    block += pack(0x0112, 3, 1) + struct.pack(order + "HH", orientation, 0)
    block += pack(0x8825, 4, 1) + struct.pack(order + "I", gps)
    block += struct.pack(order + "I", second if thumbnail else 0)
    block += maker.ljust(len(maker) + len(maker) % 2, b"\0")
    block += struct.pack(order + "H", 2) + pack(1, 2, 2) + b"N\0\0\0"
    block += pack(2, 5, 3) + struct.pack(order + "I", second - 24) + struct.pack(order + "I", 0) + place
    if thumbnail:
        block += struct.pack(order + "H", 3) + pack(0x0103, 3, 1) + struct.pack(order + "HH", 6, 0)
        block += pack(0x0201, 4, 1) + struct.pack(order + "I", second + 2 + 36 + 4)
        block += pack(0x0202, 4, 1) + struct.pack(order + "I", 6000)
        block += struct.pack(order + "I", 0) + small
    return block


def saved(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def again(tmp_path: Path, photograph: Photograph, **options: Any) -> Photograph:
    place = tmp_path / f"again{photograph.suffix}"
    photograph.write(place, **options)
    return read_photograph(place)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_pixels_stand_upright_and_come_back_to_the_bit(tmp_path: Path, name: str, orientation: int) -> None:
    for mode in ("RGB",) if name == "a.webp" else MODES:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"lossless": True, "exact": True} if name == "a.webp" else {}
        path = saved(tmp_path, picture(mode), name, exif=exif, **options)
        photograph = read_photograph(path)
        # From memory: of a file on disk, plain and turned, Pillow maps the pixels before it turns them.
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()  # by which a TIFF is turned
            expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(photograph.pixels.squeeze(), expected.squeeze())
        assert photograph.size == expected.shape[1::-1]
        assert photograph.lossless
        assert np.array_equal(np.asarray(photograph.rgb()).shape, (*expected.shape[:2], 3))
        back = again(tmp_path, photograph)
        assert np.array_equal(back.pixels, photograph.pixels)
        assert back.orientation == orientation
        # The file itself is laid as it was, not turned.
        with Image.open(path) as one, Image.open(tmp_path / f"again{photograph.suffix}") as other:
            assert one.size == other.size
            assert one.mode == other.mode


@pytest.mark.parametrize(("name", "channels"), [("a.png", 1), ("a.png", 3), ("a.png", 4), ("a.tif", 1), ("a.tif", 3)])
def test_sixteen_bits_are_sixteen_bits(tmp_path: Path, name: str, channels: int) -> None:
    """OpenCV writes them and reads them back: another reader and writer."""
    pixels = noise(41, 29, channels, np.uint16)
    assert cv2.imwrite(str(tmp_path / name), pixels.squeeze())
    photograph = read_photograph(tmp_path / name)
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    assert np.array_equal(photograph.pixels, pixels[..., order])
    changed = photograph.pixels.copy()
    changed[5:9, 7:11] = 12345
    place = tmp_path / f"again{photograph.suffix}"
    photograph.with_pixels(changed).write(place)
    read = cv2.imread(str(place), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    assert np.array_equal(read.reshape(changed.shape)[..., order], changed)
    if channels < 4:
        assert abs(np.asarray(photograph.rgb()).mean() - pixels.mean() / 257) < 1


def test_grey_with_alpha_of_sixteen_bits(tmp_path: Path) -> None:
    photograph = Photograph(noise(11, 23, 2, np.uint16), "PNG", parts={"chunks": []})
    assert np.array_equal(again(tmp_path, photograph).pixels, photograph.pixels)


def test_a_jpeg_keeps_its_quality_and_what_it_says(tmp_path: Path) -> None:
    exif = exif_block(orientation=6, thumbnail=True)
    for quality, subsampling, progressive in ((70, 2, False), (96, 0, True)):
        path = saved(
            tmp_path, picture(size=(320, 200)), "a.jpg", quality=quality, subsampling=subsampling,
            progressive=progressive, exif=b"Exif\0\0" + exif, icc_profile=SRGB, comment=b"a comment", dpi=(300, 300),
        )  # fmt: skip
        photograph = read_photograph(path)
        assert photograph.size == (200, 320)
        assert not photograph.lossless
        photograph.write(tmp_path / "b.jpg", tag="edited by a test")
        with Image.open(path) as one, Image.open(tmp_path / "b.jpg") as other:
            assert one.size == other.size
            assert one.quantization == other.quantization
            assert [layer[1:3] for layer in one.layer] == [layer[1:3] for layer in other.layer]
            assert one.info.get("progressive") == other.info.get("progressive")
            assert one.info["dpi"] == other.info["dpi"]
            assert other.info["icc_profile"] == SRGB
            assert other.info["comment"] == b"edited by a test"
            assert b"a comment" in (tmp_path / "b.jpg").read_bytes()
            assert other.getexif()[0x0112] == 6
            assert other.getexif()[0x010F] == "A maker of cameras"
            assert other.getexif().get_ifd(0x8825)[2] == (52, 22, 33)
            # Decoded and encoded with the same tables, nothing is lost that can be seen.
            assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean() < 0.5
        photograph.write(tmp_path / "c.jpg", no_location=True)
        with Image.open(tmp_path / "c.jpg") as image:
            assert not image.getexif().get_ifd(0x8825)
            assert image.getexif()[0x010F] == "A maker of cameras"
        assert struct.pack("<6I", 52, 1, 22, 1, 33, 1) not in (tmp_path / "c.jpg").read_bytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_is_made_new(order: str) -> None:
    block = exif_block(thumbnail=True, order=order)
    image = picture(size=(300, 200))
    found = exif_of(block, image, False)
    assert len(found) == len(block)
    start, end = found.index(b"\xff\xd8"), len(block)
    thumbnail = Image.open(io.BytesIO(found[start:end]))
    assert thumbnail.size == (160, 107)
    small = np.asarray(image.resize(thumbnail.size)).astype(int)
    assert np.abs(np.asarray(thumbnail) - small).mean() < 6
    # All before it is as it was, but for its length.
    assert sum(a != b for a, b in zip(found[:start], block[:start], strict=True)) <= 4
    without = exif_of(block, image, True)
    assert struct.pack(order + "6I", 52, 1, 22, 1, 33, 1) not in without
    exif = Image.Exif()
    exif.load(without)
    assert exif[0x010F] == "A maker of cameras"
    assert 0x8825 not in exif
    # A damaged block stays as it is, unless the place must not be told.
    assert exif_of(block[:30], image, False) == block[:30]
    assert exif_of(block[:30], image, True) == b""


def test_profiles_texts_and_resolution_of_png_tiff_and_webp_stay(tmp_path: Path) -> None:
    exif = b"Exif\0\0" + exif_block()
    for name in ("a.png", "a.tif", "a.webp"):
        options: dict[str, Any] = {"dpi": (300, 300)} if name != "a.webp" else {"lossless": True}
        photograph = read_photograph(saved(tmp_path, picture(), name, icc_profile=SRGB, exif=exif, **options))
        for no_location in (False, True):
            place = tmp_path / f"b{photograph.suffix}"
            photograph.write(place, no_location=no_location, tag="edited")
            with Image.open(place) as image:
                assert image.info["icc_profile"] == SRGB, name
                assert image.getexif()[0x010F] == "A maker of cameras"
                assert bool(image.getexif().get_ifd(0x8825)) != no_location, name
                if name != "a.webp":
                    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
                    assert (image.info.get("attrimorph") or image.tag_v2[305]) == "edited"
                image.load()


def test_what_a_file_cannot_hold_is_told(tmp_path: Path) -> None:
    cases = {
        "cmyk.jpg": (picture().convert("CMYK"), "CMYK", "RGB", "JPEG"),
        "palette.png": (picture().quantize(64), "palette", "RGB", "PNG"),
        "a.gif": (picture().quantize(64), "256 colours", "RGB", "PNG"),
    }
    for name, (image, word, mode, kind) in cases.items():
        path = saved(tmp_path, image, name)
        photograph, shown = read_photograph(path), Image.open(path).convert("RGB")
        assert word in " ".join(photograph.notes), name
        assert photograph.format == kind
        assert np.abs(np.asarray(photograph.rgb()).astype(int) - np.asarray(shown)).max() <= 1, name
        place = tmp_path / f"b{photograph.suffix}"
        photograph.write(place)
        with Image.open(place) as read:
            assert read.mode == mode
    for name in ("a.bmp", "a.ppm"):
        photograph = read_photograph(saved(tmp_path, picture(), name))
        assert np.array_equal(again(tmp_path, photograph).pixels, np.asarray(picture()))
    transparent = picture("RGBA").quantize(16)
    photograph = read_photograph(saved(tmp_path, transparent, "t.png"))
    assert np.array_equal(photograph.pixels, np.asarray(transparent.convert("RGBA")))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(AttrimorphError, match="no readable image"):
        read_photograph(tmp_path / "a.jpg")
    whole = saved(tmp_path, picture(), "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AttrimorphError, match="no readable image"):
        read_photograph(tmp_path / "b.png")
