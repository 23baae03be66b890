"""Tensors to pictures: the edge where [-1, 1] becomes bytes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from torch import Tensor

from attrimorph.files import write_bytes


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """float [B, 3, H, W] in [-1, 1] -> uint8 [B, H, W, 3], rounded."""
    pixels = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    return array


def grid(images: Tensor, columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Lay images [B, 3, H, W] out row by row on white, `gap` pixels apart -> uint8 [H', W', 3]."""
    tiles = to_bytes(images)
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = gap + place // columns * (height + gap), gap + place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def png_bytes(pixels: NDArray[np.uint8], tags: dict[str, Any] | None = None) -> bytes:
    """Encode uint8 [H, W, 3] as PNG, with text tags."""
    info = PngImagePlugin.PngInfo()
    for name, value in (tags or {}).items():
        info.add_text(name, str(value))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def write_png(path: Path, pixels: NDArray[np.uint8], tags: dict[str, Any] | None = None) -> None:
    """Write uint8 [H, W, 3] as a PNG file, whole or not at all."""
    write_bytes(path, png_bytes(pixels, tags))
