"""Random rows of prepared pictures that lie on the disk alone: rows a second, and bytes read for each byte used.

    python benchmarks/cold.py [--rows 240000] [--batches 100] [--rounds 3] [--folder FOLDER]

Pictures of 64 pixels are written as `data prepare` does (12 kB each), in FOLDER or a temporary one. Before each round
the system is asked to forget them; batches of 64 rows are read in an order drawn at random, as training does.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from attrimorph.data import Attribute, Schema
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.writer import PreparedWriter

SIZE, BATCH = 64, 64


def write(path: Path, rows: int) -> None:
    """Write prepared data of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (256, SIZE, SIZE, 3), dtype=np.uint8)
    with PreparedWriter(path, rows, SIZE) as writer:
        for row in range(rows):
            writer.write(row, noise[row % 256])
        writer.finish(
            Schema((Attribute("a"),)),
            {"a": [0] * rows},
            files=[f"{row:07d}.png" for row in range(rows)],
            split=["train"] * rows,
            identity=[-1] * rows,
        )


def fetched() -> int:
    """Return the bytes that this process had fetched from the disk."""
    return int(Path("/proc/self/io").read_text().split("read_bytes:")[1].split()[0])


def cold(data: PreparedData, batches: int, seed: int) -> tuple[float, float]:
    """Return rows a second, and bytes read for each used."""
    data.release()
    with open(data.path / "images.npy", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    order = np.random.default_rng(seed).permutation(len(data))[: batches * BATCH]
    before, begin = fetched(), time.perf_counter()
    for rows in order.reshape(-1, BATCH):
        data.read(rows)
    return order.size / (time.perf_counter() - begin), (fetched() - before) / (order.size * SIZE * SIZE * 3)


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        write(Path(name, "data"), options.rows)
        data = open_prepared(Path(name, "data"))
        found = [cold(data, options.batches, seed) for seed in range(options.rounds)]
    rates, read = zip(*found, strict=True)
    print(json.dumps({"rows a second": [round(each) for each in rates], "median": round(statistics.median(rates)),
                      "bytes read for each used": [round(each, 3) for each in read]}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
