"""Pictures that are none, are cut short, or would be as large as a house."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from .case import Case, Kit

Breaker = Callable[[Kit, Path], Path]


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG that claims a size and holds these compressed bytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def content(name: str, make: Callable[[Kit], bytes]) -> Breaker:
    """Return a breaker that writes a file."""

    def breaks(kit: Kit, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(make(kit))
        return path

    return breaks


def saved(kind: str, share: float, **options: int) -> Callable[[Kit], bytes]:
    """Return what makes the beginning of a picture in a format."""

    def make(kit: Kit) -> bytes:
        path = kit.home / f"whole.{kind}"
        with Image.open(kit.face) as image:
            # Noise: nothing that a decoder could guess from the beginning.
            Image.effect_noise((64, 64), 80).convert("RGB").save(path, **options)
            del image
        whole = path.read_bytes()
        path.unlink()
        return whole[: int(len(whole) * share)]

    return make


def bomb(_: Kit) -> bytes:
    """A real PNG of 400 megapixels in a few hundred kilobytes."""
    row = bytes(1 + 20_000 // 8)
    packer = zlib.compressobj(9)
    return png(
        20_000, 20_000, b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush(), depth=1, colour=0
    )


def text_bomb(kit: Kit) -> bytes:
    """A small picture whose comment unpacks to 100 megabytes."""
    whole = kit.face.read_bytes()
    return whole[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)) + whole[33:]


def flipped(kit: Kit) -> bytes:
    """A PNG whose pixels were changed on the way: the checksum tells."""
    whole = bytearray(kit.face.read_bytes())
    whole[whole.index(b"IDAT") + 20] ^= 0xFF
    return bytes(whole)


def huge_tiff(_: Kit) -> bytes:
    """A TIFF header alone: 100,000 x 100,000 pixels."""
    entries = [
        (256, 4, 1, 100_000),
        (257, 4, 1, 100_000),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 9),
    ]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)


def folder_as_image(kit: Kit, folder: Path) -> Path:
    (folder / "album.png").mkdir()
    return folder / "album.png"


def dangling_link(kit: Kit, folder: Path) -> Path:
    (folder / "link.png").symlink_to(folder / "gone.png")
    return folder / "link.png"


def link_to_itself(kit: Kit, folder: Path) -> Path:
    (folder / "loop.png").symlink_to(folder / "loop.png")
    return folder / "loop.png"


def pipe(kit: Kit, folder: Path) -> Path:
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def below_a_file(kit: Kit, folder: Path) -> Path:
    (folder / "notes.txt").write_text("notes")
    return folder / "notes.txt" / "face.png"


def missing(name: str) -> Breaker:
    return lambda kit, folder: folder / name


BROKEN: dict[str, tuple[Breaker, str]] = {
    "an empty file": (content("empty.png", lambda kit: b""), "empty.png is no readable image"),
    "text": (content("text.jpg", lambda kit: b"no picture\n" * 99), "not in a known image format"),
    "half a PNG": (content("half.png", saved("png", 0.5)), "half.png is no readable image"),
    "a tenth of a JPEG": (content("tenth.jpg", saved("jpg", 0.1)), "tenth.jpg is no readable image"),
    "nine tenths of a JPEG": (content("most.jpg", saved("jpg", 0.9)), "most.jpg is no readable image"),
    "half a progressive JPEG": (content("half.jpg", saved("jpg", 0.5, progressive=1)), "half.jpg is no readable"),
    "half a WebP": (content("half.webp", saved("webp", 0.5)), "half.webp is no readable image"),
    "half a TIFF": (content("half.tif", saved("tif", 0.5)), "half.tif is no readable image"),
    "half a BMP": (content("half.bmp", saved("bmp", 0.5)), "half.bmp is no readable image"),
    "half a GIF": (content("half.gif", saved("gif", 0.5)), "half.gif is no readable image"),
    "a header of 60000x60000": (content("huge.png", lambda kit: png(60_000, 60_000, b"")), "huge.png .*pixels"),
    "a header of 9100x9100": (content("large.png", lambda kit: png(9_100, 9_100, b"")), "80 megapixels.*9100x9100"),
    "a bomb of 400 megapixels": (content("bomb.png", bomb), "bomb.png .*pixels"),
    "a comment of 100 megabytes": (content("comment.png", text_bomb), "comment.png is no readable image"),
    "a TIFF header of 100000x100000": (content("huge.tif", huge_tiff), "huge.tif .*(pixels|readable)"),
    "a size of zero": (content("zero.png", lambda kit: png(0, 0, zlib.compress(b""))), "zero.png is no readable"),
    "a wrong checksum": (content("flip.png", flipped), "flip.png is no readable image"),
    "PostScript": (
        content(
            "script.png", lambda kit: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
        ),
        "not in a known image format",
    ),
    "a drawing of lines": (content("lines.svg", lambda kit: b"<svg width='9'/>"), "not in a known image format"),
    "a model file": (content("model.png", lambda kit: kit.model.read_bytes()), "not in a known image format"),
    "a folder": (folder_as_image, "album.png"),
    "a dangling link": (dangling_link, "there is no file .*link.png"),
    "a link to itself": (link_to_itself, "loop.png"),
    "a pipe": (pipe, "pipe.png is no readable image .it is no file"),
    "a path below a file": (below_a_file, "notes.txt/face.png"),
    "a missing file": (missing("gone.png"), "there is no file .*gone.png"),
    "a missing name with a line break": (missing("two\nlines.png"), "two lines.png"),
    "a missing name in Chinese with an emoji": (missing("人脸 \U0001f642.png"), "人脸"),
    "a missing name that is no UTF-8": (missing("caf\udce9.png"), "caf"),
    "a name of 300 letters": (missing("x" * 300 + ".png"), "too long"),
    "a name like an option": (missing("--.png"), "--.png"),
}

FORMS: dict[str, Callable[[str, str], list[str]]] = {
    "edit": lambda bad, good: ["edit", bad, "--set", "Smiling=1"],
    "reconstruct": lambda bad, good: ["reconstruct", good, bad],
    "morph from": lambda bad, good: ["morph", bad, good],
    "morph to": lambda bad, good: ["morph", good, bad],
    "transfer": lambda bad, good: ["transfer", bad, "--from", good],
    "transfer from": lambda bad, good: ["transfer", good, "--from", bad],
}


def use(form: str, breaks: Breaker) -> Callable[[Kit, Path], list[str]]:
    """Return the words of a verb that gets the broken picture."""

    def make(kit: Kit, folder: Path) -> list[str]:
        words = FORMS[form](str(breaks(kit, folder)), str(kit.face))
        return [*words, "--model", str(kit.model), "--out", str(folder / "out"), "--device", "cpu"]

    return make


def prepare_all_broken(breaks: Breaker) -> Callable[[Kit, Path], list[str]]:
    """A labelled folder in which no picture can be read."""

    def make(kit: Kit, folder: Path) -> list[str]:
        raw = folder / "raw"
        raw.mkdir()
        name = breaks(kit, raw).name
        (raw / "attributes.csv").write_text(f"file_name,Smiling\n{name},1\n")
        return ["data", "prepare", str(raw), "--out", str(folder / "out"), "--image-size", "16"]

    return make


def check_one_broken(breaks: Breaker) -> Callable[[Kit, Path], list[str]]:
    """A labelled folder with one broken picture among good ones."""

    def make(kit: Kit, folder: Path) -> list[str]:
        for number in range(4):
            (folder / f"good{number}.png").write_bytes(kit.face.read_bytes() + bytes([number]))
        name = breaks(kit, folder).name
        rows = [f"good{number}.png,{number % 2}" for number in range(4)]
        (folder / "attributes.csv").write_text("\n".join(["file_name,Smiling", *rows, f"{name},1"]) + "\n")
        return ["data", "check", str(folder), "--out", str(folder / "out" / "report.json")]

    return make


_FORM_NAMES, _NAMES = list(FORMS), list(BROKEN)

IMAGES: tuple[Case, ...] = (
    *(
        Case(f"{_FORM_NAMES[place % 6]}: {name}", use(_FORM_NAMES[place % 6], breaks), says)
        for place, (name, (breaks, says)) in enumerate(BROKEN.items())
    ),
    # Another way into the same decoder, with what harms most.
    *(
        Case(
            f"{_FORM_NAMES[(_NAMES.index(name) + 3) % 6]}: {name}",
            use(_FORM_NAMES[(_NAMES.index(name) + 3) % 6], *BROKEN[name][:1]),
            BROKEN[name][1],
        )
        for name in (
            "a bomb of 400 megapixels",
            "an empty file",
            "half a PNG",
            "a folder",
            "a pipe",
            "a TIFF header of 100000x100000",
        )
    ),
    *(
        Case(f"data prepare: nothing but {name}", prepare_all_broken(BROKEN[name][0]), "no image could be read")
        for name in ("half a PNG", "an empty file", "a header of 60000x60000", "a bomb of 400 megapixels", "PostScript")
    ),
    *(
        Case(f"data check: {name} among good ones", check_one_broken(BROKEN[name][0]), "not fit for training.*1 error")
        for name in (
            "half a PNG",
            "nine tenths of a JPEG",
            "an empty file",
            "a wrong checksum",
            "a header of 60000x60000",
        )
    ),
)
