"""Prepared pictures that lie on the disk alone: rows a second, the processor's time for one, bytes read for each used.

    python benchmarks/cold.py [--rows 240000] [--batches 2500] [--rounds 3] [--folder FOLDER]

Pictures of 64 pixels are written as `data prepare` does (12 kB each), in FOLDER or a temporary one. Before each round
the system is asked to forget them; batches of 64 rows are read as training does, in turns shuffled and in blocks
(`data.order`). A window of blocks comes before the clock starts: the first one has nobody to fetch it ahead.
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
from attrimorph.data.loader import BLOCK, MIXED, Loader, Order
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.writer import PreparedWriter

SIZE, BATCH = 64, 64
ROW = SIZE * SIZE * 3


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


def cold(data: PreparedData, order: Order, batches: int, seed: int) -> tuple[float, float, float]:
    """Return rows a second, the processor's microseconds for one, and bytes read for each used."""
    data.release()
    with open(data.path / "images.npy", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    loader = Loader(data, data.indices("all"), BATCH, seed=seed, order=order)
    places = range(0, MIXED * BLOCK // ROW + batches * BATCH, BATCH)
    for images_seen in places[:-batches]:
        loader.read(images_seen)
    count, before, busy, begin = batches * BATCH, fetched(), time.process_time(), time.perf_counter()
    for images_seen in places[-batches:]:
        loader.read(images_seen)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    return count / seconds, busy / count * 1e6, (fetched() - before) / (count * ROW)


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--batches", type=int, default=2_500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    orders: tuple[Order, ...] = ("shuffled", "blocks")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        write(Path(name, "data"), options.rows)
        data = open_prepared(Path(name, "data"))
        rounds = [[cold(data, order, options.batches, seed) for order in orders] for seed in range(options.rounds)]
    told: dict[str, object] = {}
    for order, found in zip(orders, zip(*rounds, strict=True), strict=True):
        rates, busy, read = zip(*found, strict=True)
        told[order] = {"rows a second": [round(each) for each in rates], "median": round(statistics.median(rates)),
                       "processor, microseconds a row": [round(each, 1) for each in busy],
                       "bytes read for each used": [round(each, 3) for each in read]}  # fmt: skip
    told["blocks over shuffled"] = [round(blocks[0] / shuffled[0], 2) for shuffled, blocks in rounds]
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
