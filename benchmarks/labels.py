"""How much memory labels take: 40 attributes, drawn at random, of so many rows and of a quarter, and so of ten million.

    python benchmarks/labels.py [open] [check] [read] [journal] [--rows 400000]

open: a prepared folder. check: `data check` of it. read: a folder of images (empty files) with attributes.csv, as
every verb reads it. journal: bytes that preparing writes there, and the writer's memory. Each is measured in a process
of its own: the most it held, less what it held before it began; and the most that was of its own, without the pages of
mapped files, which the system takes back where it needs them (looked at every 5 ms). Opening and checking once more
without attributes.npy, as folders prepared before have none: "open-older", "check-older".
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

NAMES = [f"Attribute_{number}" for number in range(40)]
SIZE, WHOLE = 8, 10_000_000
WAYS = ("open", "open-older", "check", "check-older", "read", "journal")


def write_table(path: Path, names: list[str], split: bool) -> None:
    """Write attributes.csv: of a prepared folder with split and identity."""
    chance = np.random.default_rng(0)
    fixed = ["file", "split", "identity"] if split else ["file_name"]
    with path.open("w", encoding="ascii") as file:
        file.write(",".join([*fixed, *NAMES]) + "\n")
        for start in range(0, len(names), 10_000):
            part = names[start : start + 10_000]
            labels = chance.integers(0, 2, (len(part), len(NAMES))).astype("U1")
            for name, row in zip(part, labels, strict=True):
                file.write(f"{name},{'train,-1,' if split else ''}{','.join(row)}\n")


def made(folder: Path, way: str, rows: int) -> None:
    """Make what is to be read, of so many rows."""
    from attrimorph.data import FORMAT, VERSION, Attribute, Schema
    from attrimorph.data.prepared import labels_digests

    names = [f"{row // 1000:05d}/{row:09d}.jpg" for row in range(rows)]
    if way == "read":
        for start in range(0, rows, 1000):
            (folder / f"{start // 1000:05d}").mkdir()
        for name in names:
            os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))
    write_table(folder / "attributes.csv", names, way != "read")
    if way.startswith(("open", "check")):
        schema = Schema(tuple(map(Attribute, NAMES))).to_json()
        told = {"format": FORMAT, "version": VERSION, "image_size": SIZE, "count": rows, "factor_names": []}
        told |= {"masks": False, "images_fingerprint": "", "preprocessing": {}, "skipped": [], "schema": schema}
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (rows, SIZE, SIZE, 3))
        # No two are the same.
        images.reshape(rows, -1)[:, :8] = np.arange(rows, dtype=np.int64)[:, None].view(np.uint8)
        labels = np.lib.format.open_memmap(folder / "attributes.npy", "w+", np.float32, (rows, len(NAMES)))
        chance = np.random.default_rng(0)
        for start in range(0, rows, 10_000):
            labels[start : start + 10_000] = chance.integers(0, 2, labels[start : start + 10_000].shape)
        labels.flush()
        told["labels"] = labels_digests(folder, Schema.from_json(schema), "")[1]
        (folder / "schema.json").write_text(json.dumps(told))


def take(folder: Path, way: str, rows: int) -> dict[str, float]:
    """Do it; return the bytes of memory that it took, and those of the journal."""
    from attrimorph.data.check import check
    from attrimorph.data.prepared import open_prepared
    from attrimorph.data.readers import Source
    from attrimorph.data.writer import PreparedWriter

    before, own, ended = resident()["VmHWM"], [resident()["RssAnon"]], threading.Event()

    def look() -> None:
        while not ended.wait(0.005):
            own.append(resident()["RssAnon"])

    looking = threading.Thread(target=look)
    looking.start()
    found: dict[str, float] = {}
    begin = time.process_time()
    if way.endswith("-older"):
        (folder / "attributes.npy").unlink()
    if way.startswith("open"):
        kept: object = open_prepared(folder)
    elif way.startswith("check"):
        kept = check(folder)
    elif way == "read":
        raw = Source(folder, "table").read()
        kept = raw, raw.encode()
    else:
        with PreparedWriter(folder / "out", rows, SIZE, request="benchmark") as writer:
            image, journal = np.zeros((SIZE, SIZE, 3), np.uint8), 0
            for row in range(rows):
                writer.write(row, image)
            journal = (folder / "out" / "journal.part").stat().st_size
        kept, found = writer, {"journal": journal}
    seconds = time.process_time() - begin
    most = resident()["VmHWM"]
    ended.set()
    looking.join()
    del kept
    return {"memory": most - before, "its own": max(own) - own[0], "seconds": seconds, **found}


def resident() -> dict[str, int]:
    """Return the bytes of memory that this process has now: VmHWM, the most until now; RssAnon, of its own."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {line[0][:-1]: int(line[1]) * 1024 for line in lines if line[0] in ("VmHWM:", "RssAnon:")}


def main() -> None:
    """Print JSON: a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", help=f"of {', '.join(WAYS)}; by default all")
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        print(json.dumps(take(options.folder, options.ways[0], options.rows)))
        return
    for way in options.ways or WAYS:
        found = [measured(way, rows) for rows in (options.rows // 4, options.rows)]
        told = {}
        for what, (few, many) in {what: [each[what] for each in found] for what in found[0]}.items():
            row = (many - few) / (options.rows - options.rows // 4)
            whole = many + row * (WHOLE - options.rows)
            told[what] = (
                {"of ten million": round(whole)}
                if what == "seconds"
                else {"bytes a row": round(row), "GB of ten million": round(whole / 1e9, 2)}
            )
        print(json.dumps({"what": way, "rows": options.rows, **told}), flush=True)


def measured(way: str, rows: int) -> dict[str, float]:
    """Return what `take` does, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        made(Path(name), way, rows)
        command = [sys.executable, __file__, way, "--rows", str(rows), "--in", name]
        return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


if __name__ == "__main__":
    main()
