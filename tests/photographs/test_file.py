"""A photograph's file comes back as it was: bits, colours, layout, and what it says of itself."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from attrimorph.errors import AttrimorphError
from attrimorph.photographs.file import READERS, Photograph, exif_of, photograph_of, read_photograph

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


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">made by hand</x:xmpmeta>'


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_is_none_turns_nothing(tmp_path: Path, orientation: int) -> None:
    path = saved(tmp_path, picture(), "a.jpg", exif=b"Exif\0\0" + exif_block(orientation))
    assert (read_photograph(path).size, read_photograph(path).orientation) == ((53, 37), 1)


def test_orientation_in_xmp_alone_does_not_turn_a_picture_twice(tmp_path: Path) -> None:
    xmp = XMP.replace(b"made by hand", b'<rdf tiff:Orientation="6"/>')
    photograph = read_photograph(saved(tmp_path, picture(), "a.jpg", xmp=xmp))
    assert photograph.size == again(tmp_path, photograph).size == (37, 53)
    photograph.save(tmp_path / "b.png")
    assert read_photograph(tmp_path / "b.png").size == (37, 53)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".avif", ".bmp"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_picture_in_memory_keeps_what_a_format_holds(
    tmp_path: Path, mode: str, suffix: str, recwarn: pytest.WarningsRecorder
) -> None:
    own = (noise(37, 53, 1, np.uint16) if mode == "I;16" else noise(37, 53, len(mode))).squeeze()
    given = Image.fromarray(own)
    given.info |= {"icc_profile": SRGB, "exif": b"Exif\0\0" + exif_block(6), "xmp": XMP, "dpi": (300, 300)}
    photograph = photograph_of(given)
    upright = np.rot90(own, -1)
    assert np.array_equal(photograph.pixels.squeeze(), upright)
    photograph.save(tmp_path / f"a{suffix}")
    told = " ".join(str(each.message) for each in recwarn.list)
    assert ("16 bits" in told) == (mode == "I;16" and suffix not in (".png", ".tif"))
    assert ("transparency" in told) == (mode[-1] == "A" and suffix in (".jpg", ".bmp"))
    assert ("colour profile, EXIF, XMP" in told) == (suffix == ".bmp")
    with Image.open(tmp_path / f"a{suffix}") as image:
        if suffix != ".bmp":
            assert image.info["icc_profile"] == SRGB
            assert image.getexif()[0x010F] == "A maker of cameras"
            assert image.getexif().get(0x0112, 1) == 1
            assert image.getexif().get_ifd(0x8825)[2] == (52, 22, 33)
            assert XMP in (image.info["xmp"], image.info.get("XML:com.adobe.xmp", "").encode())
        if suffix in (".png", ".tif", ".jpg"):
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    photograph.save(tmp_path / f"b{suffix}", no_location=True)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert not image.getexif().get_ifd(0x8825)
    made = read_photograph(tmp_path / f"a{suffix}")
    if suffix in (".png", ".tif"):
        assert np.array_equal(made.pixels.squeeze(), upright)
    difference = np.asarray(made.rgb()).astype(int) - photograph.rgb()
    assert np.abs(difference).mean() <= (3 if suffix in (".jpg", ".avif") else 0)


def test_pictures_of_other_modes_come_as_they_look() -> None:
    seen = np.asarray(picture())
    inks = photograph_of(picture().convert("CMYK"))
    assert np.array_equal(inks.pixels, np.asarray(picture().convert("CMYK").convert("RGB")))
    assert "CMYK" in inks.notes[0]
    palette = picture("RGBA").quantize(16)
    assert np.array_equal(photograph_of(palette).pixels, np.asarray(palette.convert("RGBA")))
    assert np.array_equal(
        photograph_of(picture().convert("1")).pixels[..., 0], np.asarray(picture().convert("1")) * 255
    )
    assert np.array_equal(photograph_of(seen).pixels, seen)
    odd = picture()
    odd.info["dpi"] = (float("nan"), 0)
    assert photograph_of(odd).about == {}
    profiled = picture().convert("CMYK")
    profiled.info["icc_profile"] = b"a profile of inks"
    assert "icc" not in photograph_of(profiled).about


def test_a_picture_opened_by_others_is_upright(tmp_path: Path) -> None:
    """Also a TIFF, which Pillow turns itself, and whose own layout says nothing of other formats."""
    for name in ("a.jpg", "a.tif", "a.png"):
        path = saved(tmp_path, picture(), name, exif=b"Exif\0\0" + exif_block(6))
        with Image.open(path) as image:
            photograph = photograph_of(image)
        assert photograph.size == (37, 53)
        assert np.array_equal(photograph.pixels, read_photograph(path).pixels)
        photograph.save(tmp_path / "again.png")
        with Image.open(tmp_path / "again.png") as image:
            assert image.size == (37, 53)
            assert set(image.getexif()) <= {0x010F, 0x0112, 0x8825}
            assert image.getexif()[0x010F] == "A maker of cameras"


def test_of_several_pictures_the_first_alone_is_in_the_file(tmp_path: Path) -> None:
    one, other = picture(), Image.new("RGB", (53, 37), "red")
    for name in ("a.png", "a.gif", "a.webp", "a.tif", "a.mpo"):
        options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
        path = saved(tmp_path, one, name, save_all=True, append_images=[other], **options)
        photograph = read_photograph(path)
        assert "only the first of its pictures is taken" in photograph.notes
        place = tmp_path / f"b{photograph.suffix}"
        photograph.write(place)
        with Image.open(place) as image:
            assert getattr(image, "n_frames", 1) == 1, name
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - photograph.rgb()).mean() < 2


def test_a_webp_without_loss_is_known_by_its_pixels_wherever_they_lie(tmp_path: Path) -> None:
    path = saved(tmp_path, picture("RGBA"), "a.webp", lossless=True, exact=True, icc_profile=SRGB + bytes(8000))
    photograph = read_photograph(path)
    assert photograph.lossless
    assert np.array_equal(again(tmp_path, photograph).pixels, np.asarray(picture("RGBA")))
    # A broken block of EXIF is no reason to lose a photograph, nor does it say how the pixels lie.
    assert not read_photograph(saved(tmp_path, picture(), "b.webp", quality=80, exif=b"Exif\0\0VP8L")).lossless


def test_avif_stays_avif(tmp_path: Path) -> None:
    path = saved(
        tmp_path, picture("RGBA"), "a.avif", quality=90, exif=b"Exif\0\0" + exif_block(6), icc_profile=SRGB, xmp=XMP
    )
    photograph = read_photograph(path)
    assert (photograph.format, photograph.size, photograph.lossless) == ("AVIF", (37, 53), False)
    for no_location in (False, True):
        back = again(tmp_path, photograph, no_location=no_location)
        assert back.orientation == 6
        assert np.abs(back.pixels.astype(int) - photograph.pixels).mean() < 2
        with Image.open(tmp_path / "again.avif") as image:
            assert (image.info["icc_profile"], image.info["xmp"]) == (SRGB, XMP)
            assert bool(image.getexif().get_ifd(0x8825)) != no_location


def test_a_profile_of_inks_does_not_stay_on_rgb(tmp_path: Path) -> None:
    for mode, kind in (("CMYK", "inks"), ("LAB", "colours")):
        image = picture().convert("CMYK")
        if mode == "LAB":
            names = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
            image = ImageCms.profileToProfile(picture(), *names, outputMode="LAB")
        path = saved(tmp_path, image, "a.tif", **({"icc_profile": b"no profile"} if mode == "CMYK" else {}))
        photograph = read_photograph(path)
        assert kind in " ".join(photograph.notes)
        assert np.abs(photograph.pixels.astype(int) - np.asarray(picture())).mean() < 2
        back = again(tmp_path, photograph)
        assert np.array_equal(back.pixels, photograph.pixels)
        assert "icc" not in back.about


def test_a_jpeg_of_a_sampling_that_pillow_cannot_name_keeps_its_colours(tmp_path: Path) -> None:
    path = str(tmp_path / "a.jpg")
    colours = np.zeros((40, 40, 3), np.uint8)
    colours[::2, :, 2] = 255  # lines that fewer rows of colour would mix
    cv2.imwrite(path, colours, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111, cv2.IMWRITE_JPEG_QUALITY, 95])
    with Image.open(path) as image:
        image.layer = [(1, 1, 2, 0), (2, 1, 1, 1), (3, 1, 1, 1)]
        options = READERS["JPEG"](image, Path(path).read_bytes())["options"]
    assert options["subsampling"] == 0


def test_sixteen_bits_with_a_transparent_colour_or_white_as_zero(tmp_path: Path) -> None:
    pixels = noise(9, 7, 3, np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    content = (tmp_path / "a.png").read_bytes()
    key = b"tRNS" + pixels[4, 3].astype(">u2").tobytes()
    chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
    place = content.index(b"IDAT") - 4
    (tmp_path / "b.png").write_bytes(content[:place] + chunk + content[place:])
    found = read_photograph(tmp_path / "b.png").pixels
    assert np.array_equal(found[..., :3], pixels)
    assert found[4, 3, 3] == 0
    assert (found[..., 3] == 65535).sum() >= 60
    grey = pixels[..., 0]
    Image.fromarray(grey).save(tmp_path / "c.tif", tiffinfo={262: 0})
    photograph = read_photograph(tmp_path / "c.tif")
    assert np.array_equal(photograph.pixels[..., 0], 65535 - grey)
    assert np.array_equal(again(tmp_path, photograph).pixels, photograph.pixels)


def test_no_location_leaves_no_city_in_iptc_xmp_or_packed_texts(tmp_path: Path) -> None:
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x5a\0\x06Lisboa\0"
    where = XMP.replace(b"made by hand", b"<Iptc4xmpExt:LocationShown>Lisboa</Iptc4xmpExt:LocationShown>")
    path = saved(tmp_path, picture(), "a.jpg", xmp=where)
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + content[2:])
    texts = PngInfo()
    for packed in (False, True):
        texts.add_itxt("where", "GPS Lisboa", zip=packed)
        texts.add_text("Raw profile type iptc", "\niptc\n 3\n1c025a\n", zip=packed)
    texts.add_text("Title", "A title")
    for each in (path, saved(tmp_path, picture(), "a.png", pnginfo=texts)):
        photograph = read_photograph(each)
        assert len(photograph.bytes()) > len(photograph.bytes(no_location=True))
        left = photograph.bytes(no_location=True)
        assert not re.search(rb"Lisboa|1c025a|zTXt|where", left), each
        assert b"A title" in left or each is path
    for tag, value in ((33723, b"\x1c\x02\x5a\0\x06Lisboa"), (700, where)):
        picture().save(tmp_path / "a.tif", tiffinfo={tag: value})
        assert b"Lisboa" in read_photograph(tmp_path / "a.tif").bytes()
        assert b"Lisboa" not in read_photograph(tmp_path / "a.tif").bytes(no_location=True)


def test_what_a_file_cannot_hold_is_told(tmp_path: Path) -> None:
    cases = {
        "cmyk.jpg": (picture().convert("CMYK"), "CMYK", "RGB", "JPEG"),
        "palette.png": (picture().quantize(64), "palette", "RGB", "PNG"),
        "a.gif": (picture().quantize(64), "256 colours", "RGB", "PNG"),
        "a.png": (picture().convert("1"), "black and white", "L", "PNG"),
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
    picture().save(tmp_path / "raw.tif", tiffinfo={254: 1})
    assert "small preview" in read_photograph(tmp_path / "raw.tif").notes[0]
    for name in ("a.bmp", "a.ppm"):
        photograph = read_photograph(saved(tmp_path, picture(), name))
        assert np.array_equal(again(tmp_path, photograph).pixels, np.asarray(picture()))
    key = picture("L")
    photograph = read_photograph(saved(tmp_path, key, "k.png", transparency=77))  # and a grey profile suits it still
    assert np.array_equal(photograph.pixels, np.asarray(Image.open(tmp_path / "k.png").convert("LA")))
    transparent = picture("RGBA").quantize(16)
    photograph = read_photograph(saved(tmp_path, transparent, "t.png"))
    assert np.array_equal(photograph.pixels, np.asarray(transparent.convert("RGBA")))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(AttrimorphError, match="no readable image"):
        read_photograph(tmp_path / "a.jpg")
    for brand in (b"heic", b"mif1"):
        (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(60))
        with pytest.raises(AttrimorphError, match=r"^IMG_1.HEIC is a HEIC, which is not read; save it as JPEG or PNG"):
            read_photograph(tmp_path / "IMG_1.HEIC")
    whole = saved(tmp_path, picture(), "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AttrimorphError, match="no readable image"):
        read_photograph(tmp_path / "b.png")
