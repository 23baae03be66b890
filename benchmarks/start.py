"""What a command costs beside the least that it could: `import torch`, and one decode.

    python benchmarks/start.py [--rounds 9] [--model drawn-faces-64]

The floor of a round is the time of `python -c "import torch"` plus that of the same decode in Python: of one edit, or
of 16 samples, by a loaded model, the first of its process. `attrimorph edit`, `attrimorph sample` and the floor run in
turn; medians of wall time, of processor time (which other work on the machine disturbs less) and of the ratio of each
round are printed as JSON.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import attrimorph

DECODE = """
import sys, time
import attrimorph
model = attrimorph.load(sys.argv[1])
began = time.perf_counter(), time.process_time()
model.edit(sys.argv[2], {"Smiling": 1}) if sys.argv[3] == "edit" else model.sample(16)
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""


class Cost(NamedTuple):
    """Seconds of a process, and what it printed."""

    wall: float
    processor: float
    said: str


def run(*words: str) -> Cost:
    """Run Python with these words and tell what it cost."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout)


def measure(rounds: int, model: str, folder: Path) -> dict[str, dict[str, float]]:
    """Return the medians of each verb."""
    face = str(folder / "face.png")
    attrimorph.load(model).sample(1, seed=1).save(face)
    edit = ["-m", "attrimorph", "edit", face, "--set", "Smiling=1", "--model", model]
    sample = ["-m", "attrimorph", "sample", "--count", "16", "--model", model]
    commands = {
        verb: [*words, "--out", str(folder / f"{verb}.png")] for verb, words in {"edit": edit, "sample": sample}.items()
    }
    figures: dict[str, dict[str, list[float]]] = {verb: {} for verb in commands}
    for number in range(rounds + 1):
        torch = run("-c", "import torch")
        for verb, words in commands.items():
            command = run(*words)
            decode = [float(word) for word in run("-c", DECODE, model, face, verb).said.split()]
            if number == 0:  # fills the caches of the disk and of the compiler
                continue
            floor = torch.wall + decode[0], torch.processor + decode[1]
            for name, value in {
                "command_seconds": command.wall,
                "floor_seconds": floor[0],
                "ratio": command.wall / floor[0],
                "command_processor_seconds": command.processor,
                "floor_processor_seconds": floor[1],
                "processor_ratio": command.processor / floor[1],
            }.items():
                figures[verb].setdefault(name, []).append(value)
    return {
        verb: {name: round(statistics.median(values), 3) for name, values in each.items()}
        for verb, each in figures.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a command costs beside importing torch and one decode.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", default="drawn-faces-64")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(given.rounds, given.model, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
