"""Sheets, animations, tags."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attrimorph.pictures import (
    enlarge,
    gif_bytes,
    grid,
    pixels_sha256,
    png_bytes,
    sheet,
    to_pil,
)


def plain(*levels: int, size: int = 16) -> Tensor:
    return torch.stack([torch.full((3, size, size), level / 127.5 - 1) for level in levels])


def test_a_sheet_puts_every_image_into_its_row_and_column() -> None:
    page = np.asarray(sheet([plain(10, 20, 30), plain(40, 50)], cell=16, gap=2))
    assert page.shape == (2 + 2 * 18, 2 + 3 * 18, 3)
    corners = [[int(page[2 + row * 18, 2 + column * 18, 0]) for column in range(3)] for row in range(2)]
    assert corners == [[10, 20, 30], [40, 50, 255]]


def test_words_move_the_images_and_leave_ink() -> None:
    bare, told = sheet([plain(9)], cell=32), sheet([plain(9)], cell=32, columns=["input"], labels=["a row"])
    assert told.width > bare.width
    assert told.height > bare.height
    assert len(told.getcolors()) > len(bare.getcolors())


def test_a_clear_sheet_is_transparent_between_its_images() -> None:
    page = sheet([plain(0, 0)], cell=16, gap=4, clear=True)
    assert page.mode == "RGBA"
    assert page.getpixel((0, 0)) == (0, 0, 0, 0)
    assert page.getpixel((5, 5)) == (0, 0, 0, 255)


def test_a_grid_fills_rows_first() -> None:
    page = np.asarray(grid(plain(*range(0, 70, 10)), columns=3, cell=16, gap=0))
    assert page.shape[:2] == (48, 48)
    assert page[20, 4, 0] == 30


def test_enlarging_is_by_whole_factors_and_never_shrinks() -> None:
    assert enlarge(Image.new("RGB", (32, 32)), 128).size == (128, 128)
    assert enlarge(Image.new("RGB", (48, 48)), 128).size == (144, 144)
    assert enlarge(Image.new("RGB", (256, 256)), 128).size == (256, 256)


def test_bytes_are_rounded_and_clipped() -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert np.asarray(to_pil(values)[0])[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_png_carries_its_tag() -> None:
    with Image.open(io.BytesIO(png_bytes(Image.new("RGB", (2, 2)), "edited by attrimorph; größer"))) as image:
        assert image.text["attrimorph"] == "edited by attrimorph; größer"


def test_an_animation_has_all_frames_and_its_tag() -> None:
    frames = to_pil(plain(0, 80, 160, 240))
    with Image.open(io.BytesIO(gif_bytes(frames, tag="made here"))) as image:
        assert image.n_frames == 4
        assert image.info["comment"] == b"made here"
        image.seek(2)
        assert abs(image.convert("RGB").getpixel((3, 3))[0] - 160) < 4


def test_the_hash_is_of_what_is_seen() -> None:
    one, other = to_pil(plain(10))[0], to_pil(plain(11))[0]
    assert pixels_sha256(one) == pixels_sha256(one.copy())
    assert pixels_sha256(one) != pixels_sha256(other)
    assert pixels_sha256(Image.new("RGB", (2, 8))) != pixels_sha256(Image.new("RGB", (4, 4)))
