"""Kill one short training run at random moments; does it end with the bits of a run that nobody killed?

    python benchmarks/kills.py [--kills 20] [--images 5120] [--seed 0] [--fork]

The same `attrimorph train` command is started again after every SIGKILL. The moments are drawn: as it starts, between
steps, while a checkpoint is being written, while a line of the log is. After each kill the newest checkpoint must equal
the one that the unkilled run had at the same clock; in the end the model file must be the same to the byte, the
state's tensors to the bit, and the log must have the same lines but for the speeds. Prints JSON; exits 1 unless all
of that held.

--fork starts every process as a copy of one that has imported everything: quicker, but start-up is killed less.
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph import cli
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.training.folder import checkpoint_folders, load_state, read_log

RECIPE = {
    "data.image-size": 16,
    "data.shift": 0.1,
    "data.flip": 0.5,
    "data.colour": 0.2,
    "networks.latent": 4,
    "networks.encoder-width": 4,
    "networks.generator-width": 4,
    "networks.discriminator-width": 4,
    "networks.classifier-width": 4,
    "losses.edited-share": 0.5,
    "optimiser.schedule": "cosine",
    "training.batch-size": 16,
    "training.precision": "float32",
    "training.memory-format": "contiguous",
    "training.ema-images": 200,
    # Checkpoints fall between lines of the log and between sheets: what is under way then must survive too.
    "training.log-images": 48,
    "training.checkpoint-images": 64,
    "training.sample-images": 160,
    "training.keep": 8,
}
KINDS = ("start", "steps", "checkpoint", "log")
SPEEDS = ("images_per_second", "waited_seconds")
LATE = ("torch._dynamo", "torch.utils.tensorboard", "attrimorph.training.trainer", "attrimorph.data.prepared")
PATIENCE = 600.0  # seconds without an end after which a run counts as hung


class Training:
    """One process that trains in a folder."""

    def __init__(self, words: list[str], fork: bool) -> None:
        self.status: int | None = None
        if not fork:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            actions = [(os.POSIX_SPAWN_OPEN, target, os.devnull, os.O_WRONLY, 0) for target in (1, 2)]
            command = [sys.executable, "-m", "attrimorph", *words]
            self.pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
            return
        self.pid = os.fork()
        if self.pid == 0:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            os._exit(cli.run(words))

    def lives(self) -> bool:
        """Whether it has not ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is None

    def lives_until(self, met: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Wait for a moment; False when the process ended before it."""
        end = time.monotonic() + seconds
        while self.lives() and not met():
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"nothing happened for {seconds:.0f} s")
            time.sleep(0.001)
        return self.lives()

    def kill(self) -> bool:
        """Send SIGKILL; True when that, and nothing else, ended it."""
        os.kill(self.pid, signal.SIGKILL)
        _, self.status = os.waitpid(self.pid, 0)
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    def finish(self) -> None:
        """Wait for a good end."""
        self.lives_until(lambda: False)
        if self.status != 0:
            raise RuntimeError(f"the training command ended with the wait status {self.status}")


def size_of(path: Path) -> int:
    """Return a file's size, 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def half_written(run: Path) -> set[Path]:
    """Return the checkpoints that are being written, or were when their process was killed."""
    return set((run / "checkpoints").glob(".part-*"))


def wait_for_moment(training: Training, run: Path, kind: str, chance: random.Random, startup: float) -> bool:
    """Wait for a drawn moment of a kind; False when the process ended before it."""
    old = half_written(run)
    if kind == "start":
        until = time.monotonic() + chance.uniform(0, startup)
        return training.lives_until(lambda: time.monotonic() >= until)
    # A resumed process first drops the lines after its checkpoint: wait for lines and files of its own.
    began = time.time()
    log = run / "log.jsonl"
    training.lives_until(lambda: size_of(log) > 0 and log.stat().st_mtime > began)
    for _ in range(chance.randint(1, 4)):
        before = size_of(log)
        training.lives_until(lambda size=before: size_of(log) > size)  # type: ignore[misc]
    if kind == "checkpoint":
        training.lives_until(lambda: not half_written(run) <= old)
    delay = {"steps": 0.3, "checkpoint": 0.02, "log": 0.001}[kind]
    until = time.monotonic() + chance.uniform(0, delay)
    return training.lives_until(lambda: time.monotonic() >= until)


def run_unkilled(words: list[str], run: Path, kept: Path, fork: bool) -> float:
    """Train to the end, keeping a link to every checkpoint; return the seconds until the first one was there."""
    begin = time.monotonic()
    training = Training([*words, "--out", str(run)], fork)
    startup = 0.0
    kept.mkdir()

    def keep() -> bool:
        nonlocal startup
        for folder in checkpoint_folders(run):
            startup = startup or time.monotonic() - begin
            if not (kept / folder.name).exists():
                (kept / folder.name).mkdir()
                for file in folder.iterdir():
                    os.link(file, kept / folder.name / file.name)
        return False

    training.lives_until(keep)
    training.finish()
    keep()
    return startup


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def equal(a: Any, b: Any) -> bool:
    """Whether two nested states hold the same values, tensors to the bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


def same_checkpoint(folder: Path, reference: Path) -> bool:
    """Whether a checkpoint is that of the unkilled run."""
    return digest(folder / "model.safetensors") == digest(reference / "model.safetensors") and equal(
        load_state(folder), load_state(reference)
    )


def log_of(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, less the speeds."""
    return [{name: value for name, value in line.items() if name not in SPEEDS} for line in read_log(run)]


def run_killed(words: list[str], run: Path, kept: Path, kills: int, seed: int, startup: float, fork: bool) -> list[Any]:
    """Train with `kills` kills, then to the end; return what each one met."""
    chance = random.Random(seed)
    plan = [KINDS[number % len(KINDS)] for number in range(kills)]
    chance.shuffle(plan)
    met: list[dict[str, Any]] = []
    while len(met) < kills:
        old = half_written(run)
        training = Training([*words, "--out", str(run)], fork)
        kind = plan[len(met)]
        if not wait_for_moment(training, run, kind, chance, startup):
            raise RuntimeError(f"the run ended after {len(met)} kills; give it more --images")
        if not training.kill():
            raise RuntimeError("the process ended by itself in the moment of the kill; try another --seed")
        folders = checkpoint_folders(run)
        newest = folders[-1] if folders else None
        met.append(
            {
                "aimed at": kind,
                "newest checkpoint": int(newest.name) if newest else None,
                "last line": log_of(run)[-1]["images_seen"] if log_of(run) else None,
                "checkpoint half-written": not half_written(run) <= old,
                "equal": newest is None or same_checkpoint(newest, kept / newest.name),
            }
        )
        print(json.dumps(met[-1]), file=sys.stderr, flush=True)
    Training([*words, "--out", str(run)], fork).finish()
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=5120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fork", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        if options.fork:
            for name in LATE:
                importlib.import_module(name)
        write_faces(home / "data", count=60, size=16)
        words = ["train", "cvae-gan-edit", "--data", str(home / "data"), "--device", "cpu"]
        words += [f"--{name}={value}" for name, value in RECIPE.items()] + [f"--training.images={options.images}"]
        whole, killed, kept = home / "whole", home / "killed", home / "kept"
        startup = run_unkilled(words, whole, kept, options.fork)
        met = run_killed(words, killed, kept, options.kills, options.seed, startup, options.fork)
        last, reference = checkpoint_folders(killed)[-1], checkpoint_folders(whole)[-1]
        sheets = [
            sorted((path.name, digest(path)) for path in (run / "samples").glob("*.png")) for run in (killed, whole)
        ]
        result = {
            "kills": len(met),
            "survived": sum(bool(entry["equal"]) for entry in met),
            "killed while": {kind: sum(entry["aimed at"] == kind for entry in met) for kind in KINDS},
            "left a half-written checkpoint": sum(entry["checkpoint half-written"] for entry in met),
            "final model sha256": digest(last / "model.safetensors"),
            "unkilled model sha256": digest(reference / "model.safetensors"),
            "final state equal": last.name == reference.name and same_checkpoint(last, reference),
            "log equal": log_of(killed) == log_of(whole),
            "lines": len(log_of(killed)),
            "sample sheets equal": sheets[0] == sheets[1] and bool(sheets[0]),
            "temporary files left": len([*killed.rglob(".*.part"), *killed.rglob(".part-*")]),
            "checkpoints kept": len(checkpoint_folders(killed)),
            "minutes": round((time.monotonic() - begin) / 60, 1),
        }
    print(json.dumps(result, indent=2))
    good = result["survived"] == options.kills and result["final state equal"] and result["log equal"]
    return 0 if good and result["sample sheets equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
