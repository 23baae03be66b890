"""`batch edit` of drawn faces of 64 pixels: pictures a second and for each second of a core, memory, a killed job.

    python benchmarks/batch.py [--count 20000] [--shard 1000] [--bare]

First a worker alone, without Ray, in this process: pictures for each second of processor time, whatever else the
machine does, and its memory after each shard. Then, unless --bare, the command on all cores, with Ray's start; and the
same command killed with -9 once a third of its shards are there, and begun again: its shards must be the same bytes.
"""

import argparse
import io
import os
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import torch

from attrimorph.data.drawn import faces
from attrimorph.pictures import png_bytes, to_pil
from attrimorph.requests.batch import BatchEdit
from attrimorph.requests.batch_job import ShardWriter, shards_of

SMILE = {"Smiling": 1.0}


def draw(folder: Path, count: int, shard: int) -> None:
    """Write shards of drawn faces."""
    factors = faces.sample_factors(count, torch.Generator().manual_seed(0))
    for start in range(0, count, shard):
        rows = factors[start : start + shard]
        with tarfile.open(folder / f"{start // shard:05d}.tar", "w") as tar:
            pictures = (each for part in torch.split(rows, 256) for each in to_pil(faces.render(part, 64)))
            for row, picture in enumerate(pictures, start):
                content, info = png_bytes(picture), tarfile.TarInfo(f"{row:07d}.png")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def bare(source: Path, out: Path) -> None:
    """Measure a worker alone."""
    asked = BatchEdit(source=source, changes=SMILE)
    worker, done, spent, memory = ShardWriter(asked, out, "cpu", 0), 0, 0.0, list[int]()
    for number, shard in enumerate(shards_of(asked)[0]):
        began = time.process_time()
        made = worker.make(shard)["pictures"]
        if number or not memory:
            done, spent = done + made, spent + time.process_time() - began
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    print(f"a worker alone: {done / spent:,.0f} pictures for each second of a core ({done:,} pictures)")
    first, half, last = memory[0], memory[len(memory) // 2], memory[-1]
    print(f"its largest memory after the first shard, half of them, all: {first}, {half}, {last} MiB")


def begin(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Begin the command."""
    words = [sys.executable, "-m", "attrimorph", "batch", "edit", str(source), "--set", "Smiling=1", "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def main() -> int:
    """Measure; the exit code tells whether the shards are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--shard", type=int, default=1000)
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source, whole, killed = (Path(place) / name for name in ("source", "whole", "killed"))
        source.mkdir()
        draw(source, given.count, given.shard)
        bare(source, Path(place) / "bare")
        if given.bare:
            return 0
        began = time.perf_counter()
        if begin(source, whole).wait():
            return 1
        rate = given.count / (time.perf_counter() - began)
        print(f"the command on {os.cpu_count()} cores: {rate:,.0f} pictures a second")
        job, wanted = begin(source, killed), -(-given.count // given.shard) // 3
        while len(list(killed.glob("*.tar"))) < max(1, wanted) and job.poll() is None:
            time.sleep(0.02)
        job.send_signal(signal.SIGKILL)
        job.wait()
        there = len(list(killed.glob("*.tar")))
        if begin(source, killed).wait():
            return 1
        names = sorted(path.name for path in whole.glob("*.tar"))
        same = sum((whole / name).read_bytes() == (killed / name).read_bytes() for name in names)
        print(
            f"killed with {there} of {len(names)} shards there, and gone on: {same} of {len(names)} are the same bytes"
        )
        return int(same != len(names))


if __name__ == "__main__":
    sys.exit(main())
