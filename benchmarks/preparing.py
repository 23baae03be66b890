"""How much faster `data prepare` is with as many processes as given than alone.

    python benchmarks/preparing.py [--workers 2] [--images 1000] [--rounds 5]

JPEGs of 1024x1024 (drawn, smooth with noise, quality 90) become 128 px. Both take turns, each into a new folder; the
medians of images a second by the wall's clock, with the start of the processes, are printed as JSON, and seconds of the
processor for each image. It needs as many free cores as processes, and at least 500 images.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from attrimorph.data.prepared import prepare
from attrimorph.data.readers import read


def draw(folder: Path, count: int) -> None:
    """Write so many JPEGs."""
    chance = np.random.default_rng(0)
    noise = chance.integers(-12, 13, (1024, 1024, 3))
    for number in range(count):
        coarse = Image.fromarray(chance.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((1024, 1024), Image.Resampling.BICUBIC)).astype(np.int16)
        Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], options.workers: []}
    spent: dict[int, list[float]] = {1: [], options.workers: []}
    with tempfile.TemporaryDirectory() as name:
        (source := Path(name, "photographs")).mkdir()
        draw(source, options.images)
        raw = read(source)
        for number in range(options.rounds):
            for workers, found in rates.items():
                before = os.times()
                summary = prepare(raw, Path(name, f"{number}-{workers}"), 128, workers=workers)
                spent[workers].append(sum(os.times()[:4]) - sum(before[:4]))
                found.append(summary.images_per_second)
    one, several = rates.values()
    ratios = [b / a for a, b in zip(one, several, strict=True)]
    result = {
        "cores": os.cpu_count(),
        "images a second": {workers: round(statistics.median(found)) for workers, found in rates.items()},
        "processor, ms an image": {
            workers: round(1000 * statistics.median(found) / options.images, 2) for workers, found in spent.items()
        },
        f"{options.workers} processes against one": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
