"""Decoding one file: every mode and orientation, exact crops, and refusals in one sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data.drawn import faces
from attrimorph.data.images import (
    MOST_PIXELS,
    CropLike,
    crop_box,
    looks_drawn,
    open_image,
    parse_crop,
    read_mask,
    read_pixels,
)
from attrimorph.data.readers import Crop
from attrimorph.errors import AttrimorphError


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (200, 100, 50), (200, 100, 50)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("LA", (80, 255), (80, 80, 80)),
        ("LA", (80, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 50, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 127), (128, 128, 128)),
        ("I;16", 257 * 120, (120, 120, 120)),
    ],
)
def test_modes_become_rgb(tmp_path: Path, mode: str, colour: object, expected: tuple[int, int, int]) -> None:
    path = saved(tmp_path / "a.png", Image.new(mode, (9, 8), colour))  # type: ignore[arg-type]
    pixels = read_pixels(path, 8)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == expected).all()


def test_cmyk_palette_float_and_transparent_palette(tmp_path: Path) -> None:
    cmyk = saved(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    assert np.abs(read_pixels(cmyk, 8).astype(int) - (255, 0, 0)).max() < 12
    palette = saved(tmp_path / "b.png", Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4))
    assert (read_pixels(palette, 8) == (10, 200, 30)).all()
    gif = Image.new("P", (8, 8), 1)
    gif.putpalette([0, 0, 0, 9, 8, 7])
    assert (read_pixels(saved(tmp_path / "c.gif", gif, transparency=1), 8) == 255).all()
    numbers = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    assert (read_pixels(saved(tmp_path / "d.tiff", numbers), 8) == 128).all()
    wide = Image.fromarray(np.full((8, 8), 65535, np.int32))
    assert (read_pixels(saved(tmp_path / "e.tiff", wide), 8) == 255).all()


@pytest.mark.parametrize(
    ("grey", "stray", "level"),
    [(0.5, 1.7, 128), (0.5, 900.0, 128), (0.5, -3.0, 128), (-0.5, 1.0, 64), (-1.0, 1.0, 0), (-0.5, 40.0, 64),
     (120.0, 999.0, 120), (0.25, np.nan, 64), (0.5, np.inf, 128), (np.int32(120), 60_000, 120)],
)  # fmt: skip
def test_one_pixel_does_not_decide_the_scale_of_numbers(tmp_path: Path, grey: float, stray: float, level: int) -> None:
    values = np.full((16, 16), grey, np.int32 if isinstance(grey, np.int32) else np.float32)
    values[3, 5] = stray
    pixels = read_pixels(saved(tmp_path / "a.tiff", Image.fromarray(values)), 16)
    assert (np.delete(pixels[..., 0].ravel(), 3 * 16 + 5) == level).all()


def test_numbers_of_no_known_scale_are_refused(tmp_path: Path) -> None:
    values = np.linspace(-1000, 3000, 64, dtype=np.float32).reshape(8, 8)
    with pytest.raises(AttrimorphError, match=r"must lie in 0..1, -1..1, .*; got -1000..3000; scale them"):
        read_pixels(saved(tmp_path / "a.tiff", Image.fromarray(values)), 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_are_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = (255, 0, 0)
    upright[16:, 24:] = (0, 255, 0)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    seen = np.asarray(open_image(path)).astype(int)
    assert seen.shape == (32, 48, 3)
    assert np.abs(seen[4:12, 4:20] - (255, 0, 0)).max() < 40
    assert np.abs(seen[20:28, 28:44] - (0, 255, 0)).max() < 40
    assert seen[4:12, 28:44].max() < 40


def test_an_image_of_the_right_size_is_untouched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_pixels(saved(tmp_path / "a.png", Image.fromarray(pixels)), 16), pixels)
    wide = np.concatenate([pixels[:, :3] * 0, pixels, pixels[:, :4] * 0], 1)
    np.testing.assert_array_equal(read_pixels(saved(tmp_path / "b.png", Image.fromarray(wide)), 16), pixels)


def test_scaling_down_averages(tmp_path: Path) -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = read_pixels(saved(tmp_path / "a.png", Image.fromarray(stripes)), 16)
    assert np.abs(pixels[1:-1, 1:-1].astype(int) - 127).max() < 8


def test_a_jpeg_read_at_a_fraction_is_the_same_picture(tmp_path: Path) -> None:
    smooth = Image.effect_noise((12, 9), 90).convert("RGB").resize((1200, 900), Image.Resampling.BICUBIC)
    path = saved(tmp_path / "a.jpg", smooth, quality=95)
    whole = np.asarray(open_image(path).crop((150, 0, 1050, 900)).resize((64, 64), Image.Resampling.LANCZOS)).astype(
        int
    )
    assert open_image(path, least=128).size < (400, 300)
    assert np.abs(read_pixels(path, 64).astype(int) - whole).mean() < 0.7


@pytest.mark.parametrize(
    ("size", "crop", "box"),
    [
        ((178, 218), None, (0, 20, 178, 198)),
        ((178, 218), "centre", (0, 20, 178, 198)),
        ((178, 218), 148, (15, 35, 163, 183)),
        ((178, 218), 500, (0, 20, 178, 198)),
        ((178, 218), Crop(15, 35, 163, 183, of=(178, 218)), (15, 35, 163, 183)),
        ((89, 109), Crop(15, 35, 163, 183, of=(178, 218)), (7.5, 17.5, 81.5, 91.5)),
        ((100, 100), Crop(10, 20, 60, 100), (10, 35, 60, 85)),
    ],
)
def test_crops(size: tuple[int, int], crop: CropLike, box: tuple[float, ...]) -> None:
    assert crop_box(size, crop) == box


def test_a_crop_outside_is_told() -> None:
    with pytest.raises(AttrimorphError, match="must lie inside the image of 50x40 pixels"):
        crop_box((50, 40), Crop(0, 0, 60, 40))


def test_crops_cut_the_right_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(read_pixels(path, 20, Crop(5, 10, 25, 30)), pixels[10:30, 5:25])
    np.testing.assert_array_equal(read_pixels(path, 20, 20), pixels[10:30, 15:35])


@pytest.mark.parametrize(
    ("text", "crop"),
    [("centre", "centre"), ("148", 148), ("1,2,30,40", Crop(1, 2, 30, 40)), ("", None)],
)
def test_crops_as_text(text: str, crop: CropLike) -> None:
    assert parse_crop(text) == crop


@pytest.mark.parametrize("text", ["face", "0", "-3", "1,2,3", "5,5,1,9", "1.5", "nan"])
def test_wrong_crops_as_text_are_told(text: str) -> None:
    with pytest.raises(AttrimorphError, match="crop must be centre, a size"):
        parse_crop(text)


def test_masks(tmp_path: Path) -> None:
    grey = np.zeros((20, 30), np.uint8)
    grey[:, 15:] = 255
    path = saved(tmp_path / "a.png", Image.fromarray(grey))
    mask = read_mask(path, 10)
    assert mask.shape == (10, 10)
    assert (mask[:, :5] == 0).all()
    assert (mask[:, 5:] == 255).all()
    flower = np.full((160, 160, 3), (0, 0, 254), np.uint8)
    flower[40:120, 40:120] = (250, 240, 80)
    mask = read_mask(saved(tmp_path / "b.jpg", Image.fromarray(flower), quality=90), 20, background=(0, 0, 254))
    assert (mask[7:13, 7:13] == 255).all()
    assert mask[:3].max() == 0
    assert abs(mask.mean() / 255 - 0.25) < 0.02


def test_a_bomb_is_refused_without_decoding(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5) + 1

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(AttrimorphError, match=r"bomb\.png must have at most 80 megapixels"):
        read_pixels(path, 8)
    huge = struct.pack(">IIBBBBB", 2_000_000, 2_000_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(AttrimorphError, match=r"bomb\.png"):
        read_pixels(path, 8)


def encoded(suffix: str) -> bytes:
    target = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(target, format=suffix)
    return target.getvalue()


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp", "gif", "bmp", "tiff"])
def test_files_cut_short_are_told(tmp_path: Path, suffix: str) -> None:
    content = encoded(suffix)
    path = tmp_path / f"a.{suffix}"
    for share in (0.0, 0.02, 0.3, 0.6, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(AttrimorphError, match="is no readable image"):
            read_pixels(path, 8)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp", "gif", "bmp", "tiff"])
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(1)
    content = encoded(suffix)
    path = tmp_path / f"a.{suffix}"
    told = []
    for _ in range(40):
        damaged = bytearray(content)
        for place in random.integers(0, min(len(damaged), 400), 6):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            assert read_pixels(path, 8).shape == (8, 8, 3)
        except AttrimorphError as error:
            told.append(str(error))
    assert not any("\n" in sentence for sentence in told)


def test_no_file_and_no_image_are_told(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="there is no file"):
        open_image(tmp_path / "none.png")
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(AttrimorphError, match="not in a known image format"):
        open_image(tmp_path / "a.png")
    with pytest.raises(AttrimorphError, match="is a folder, where a picture was expected"):
        open_image(tmp_path)


def test_drawn_faces_are_told_from_photographs() -> None:
    (drawn,) = faces.draw(60, 64, 9)
    pictures = [Image.fromarray(each.numpy()) for each in drawn.images]
    for make in (lambda image: image, as_jpeg, lambda image: image.resize((512, 512), Image.Resampling.BICUBIC)):
        assert sum(looks_drawn(make(image)) for image in pictures) >= 57
    for name in ("man", "woman"):
        person = Image.open(Path(__file__).parent.parent / "fixtures" / "photographs" / f"{name}.jpg").convert("RGB")
        paper = Image.new("RGB", (600, 800), "white")
        paper.paste(person, (170, 300))
        assert not any(map(looks_drawn, (person, as_jpeg(person), paper, person.resize((64, 64)))))


def as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return Image.open(file).convert("RGB")
