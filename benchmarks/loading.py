"""How much faster prepared data is read than image files decoded by Pillow.

    python benchmarks/loading.py [--data FOLDER] [--image-size 64] [--batch-size 64] [--seconds 3]

Both make the same thing, float32 [B, 3, S, S] batches in [-1, 1] in random order; the files are decoded, cut and scaled
one by one, the prepared data is gathered from the memory map by the loader. Runs are interleaved; medians are printed
as JSON. Without --data it draws photographs of its own: smooth colours with noise, 178x218, JPEG quality 90.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from attrimorph.data.images import read_pixels
from attrimorph.data.loader import Loader
from attrimorph.data.prepared import open_prepared, prepare
from attrimorph.data.readers import RawData, read


def draw_photographs(folder: Path, count: int) -> None:
    """Write JPEGs of the size of CelebA's, and labels."""
    random = np.random.default_rng(0)
    rows = ["file_name,label"]
    for number in range(count):
        coarse = random.integers(0, 256, (7, 6, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((178, 218), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth).astype(np.int16) + random.integers(-12, 13, (218, 178, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)
        rows.append(f"{number:05d}.jpg,{number % 2}")
    (folder / "attributes.csv").write_text("\n".join(rows) + "\n")


def files_batch(raw: RawData, image_size: int, rows: np.ndarray) -> torch.Tensor:
    """Decode one batch from files: [B, 3, S, S]."""
    images = np.stack([read_pixels(raw.files[row], image_size, raw.crop) for row in rows])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1)


def rate(batch: Callable[[int], object], batch_size: int, seconds: float) -> float:
    """Return images per second of repeated calls of batch(number)."""
    begin, number = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        batch(number)
        number += 1
    return number * batch_size / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of five rounds, shared by both")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        source = options.data
        if source is None:
            source = Path(temporary, "photographs")
            source.mkdir()
            draw_photographs(source, 2000)
        raw = read(source)
        summary = prepare(raw, Path(temporary, "prepared"), options.image_size)
        data = open_prepared(summary.out)
        loader = Loader(data, data.indices("all"), options.batch_size, seed=0)
        batch_size = min(options.batch_size, len(raw))

        def from_files(number: int) -> object:
            return files_batch(raw, options.image_size, loader.rows(number * batch_size))

        def from_prepared(number: int) -> object:
            return loader.batch(number * batch_size)

        rounds = [
            (rate(from_files, batch_size, options.seconds / 2), rate(from_prepared, batch_size, options.seconds / 2))
            for _ in range(5)
        ]
        files, prepared = (statistics.median(column) for column in zip(*rounds, strict=True))
    result = {
        "images": len(raw),
        "image_size": options.image_size,
        "files_images_per_second": round(files),
        "prepared_images_per_second": round(prepared),
        "ratio": round(prepared / files, 1),
        "ratios": [round(second / first, 1) for first, second in rounds],
        "prepare_images_per_second": round(summary.images_per_second),
        "threads": 1,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
