"""Kill one short training run at random moments; does it end with the bits of a run that nobody killed?

    python benchmarks/kills.py [--kills 20] [--harms 0] [--images 5120] [--seed 0] [--fork]

The same `attrimorph train` command is started again after every SIGKILL. The moments are drawn: as it starts, between
steps, while a checkpoint is being written, while a line of the log is. After each kill the newest checkpoint must equal
the one that the unkilled run had at the same clock; in the end the model file must be the same to the byte, the
state's tensors to the bit, and the log must have the same lines but for the speeds. Prints JSON; exits 1 unless all
of that held.

--harms adds other ends: SIGTERM, the data's memory map cut short under the running process, one bit of the data or of
the newest checkpoint turned over before it goes on, a full disk (as root). Each must be told in one sentence, with exit
code 2 (143 for SIGTERM), and the run, once what was harmed is put back, end with the same bits.

--fork starts every process as a copy of one that has imported everything: quicker, but start-up is killed less.
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from broken.places import cannot_mount, unmount
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
KINDS = ("checkpoint", "start", "steps", "log")
HARMS = ("SIGTERM", "cut map", "bit of the data", "bit of the checkpoint", *([] if cannot_mount() else ["full disk"]))
DISK = 256 * 2**20  # bytes of the small disk that a harmed run lies on
SPEEDS = ("images_per_second", "waited_seconds")
LATE = ("torch._dynamo", "torch.utils.tensorboard", "attrimorph.training.trainer", "attrimorph.data.prepared")
PATIENCE = 600.0  # seconds without an end after which a run counts as hung


class Training:
    """One process that trains in a folder."""

    def __init__(self, words: list[str], fork: bool) -> None:
        self.status: int | None = None
        # Beside the run's folder.
        self.said = Path(words[-1]).parent.parent / "said.txt"
        to = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        if not fork:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            targets = ((1, os.devnull), (2, self.said))
            actions = [(os.POSIX_SPAWN_OPEN, target, path, to, 0o600) for target, path in targets]
            command = [sys.executable, "-m", "attrimorph", *words]
            self.pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
            return
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(self.said, to, 0o600), 2)
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

    def code(self) -> int:
        """Wait for the end; return the exit code, or the negative number of a signal."""
        self.lives_until(lambda: False)
        assert self.status is not None
        return os.waitstatus_to_exitcode(self.status)

    def finish(self) -> None:
        """Wait for a good end."""
        if code := self.code():
            raise RuntimeError(f"the training command ended with exit code {code}: {self.said.read_text()[-500:]}")


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


def harmed(words: list[str], run: Path, data: Path, kind: str, chance: random.Random, fork: bool) -> str:
    """Go on with a harm, and undo it; return what is wrong with how the process ended, or ""."""
    path, filler = data / "images.npy", run.parent / "filler"
    if kind == "bit of the checkpoint":
        path = checkpoint_folders(run)[-1] / "state.pt"  # what a run goes on from
    whole = path.read_bytes()
    if kind.startswith("bit"):
        turned = bytearray(whole)
        turned[chance.randrange(len(turned))] ^= 1 << chance.randrange(8)
        path.write_bytes(turned)
    training = Training([*words, "--out", str(run)], fork)
    if not kind.startswith("bit"):
        if not wait_for_moment(training, run, "steps", chance, 0):
            raise RuntimeError(f"the run ended before a harm: {training.said.read_text()[-500:]}")
        if kind == "SIGTERM":
            os.kill(training.pid, signal.SIGTERM)
        elif kind == "cut map":
            os.truncate(path, chance.randrange(len(whole)))
        else:
            with suppress(OSError):  # it is full
                filler.write_bytes(bytes(DISK))
    code = training.code()
    path.write_bytes(whole)
    filler.unlink(missing_ok=True)
    lines = [line for line in training.said.read_text().splitlines() if line.startswith("attrimorph: ")]
    good = code == (143 if kind == "SIGTERM" else 2) and len(lines) == 1 and "internal error" not in lines[0]
    return "" if good else f"exit code {code}: {training.said.read_text()[-500:]}"


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


def run_killed(
    words: list[str], run: Path, data: Path, kept: Path, kills: int, harms: int, seed: int, startup: float, fork: bool
) -> list[Any]:
    """Train with so many kills and harms, then to the end; return what each one met."""
    chance = random.Random(seed)
    plan = [KINDS[number % len(KINDS)] for number in range(kills)]
    plan += [HARMS[number % len(HARMS)] for number in range(harms)]
    chance.shuffle(plan)
    if harms:  # which need a checkpoint
        plan.insert(0, plan.pop(plan.index("checkpoint")))
    met: list[dict[str, Any]] = []
    for kind in plan:
        old, wrong = half_written(run), ""
        if kind in HARMS:
            wrong = harmed(words, run, data, kind, chance, fork)
        else:
            training = Training([*words, "--out", str(run)], fork)
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
                "wrong": wrong,
                # After SIGTERM there are checkpoints that the unkilled run has not.
                "equal": newest is None
                or int(newest.name) % RECIPE["training.checkpoint-images"] > 0
                or same_checkpoint(newest, kept / newest.name),
            }
        )
        print(json.dumps(met[-1]), file=sys.stderr, flush=True)
    Training([*words, "--out", str(run)], fork).finish()
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--harms", type=int, default=0)
    parser.add_argument("--images", type=int, default=5120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fork", action="store_true")
    options = parser.parse_args()
    if options.harms and not options.kills:
        parser.error("--harms needs at least one of --kills, after which there is a checkpoint")
    torch.set_num_threads(1)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as last_of_all:
        home = Path(temporary)
        last_of_all.callback(unmount, home)
        if options.fork:
            for name in LATE:
                importlib.import_module(name)
        write_faces(home / "data", count=60, size=16)
        words = ["train", "cvae-gan-edit", "--data", str(home / "data"), "--device", "cpu"]
        words += [f"--{name}={value}" for name, value in RECIPE.items()] + [f"--training.images={options.images}"]
        whole, killed, kept = home / "runs" / "whole", home / "out" / "killed", home / "kept"
        for folder in (whole, killed):
            folder.parent.mkdir()
        startup = run_unkilled(words, whole, kept, options.fork)
        if options.harms and "full disk" in HARMS:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(killed.parent)], check=True)
        counts = options.kills, options.harms
        met = run_killed(words, killed, home / "data", kept, *counts, options.seed, startup, options.fork)
        last, reference = checkpoint_folders(killed)[-1], checkpoint_folders(whole)[-1]
        sheets = [
            sorted((path.name, digest(path)) for path in (run / "samples").glob("*.png")) for run in (killed, whole)
        ]
        result = {
            "kills": len(met),
            "survived": sum(bool(entry["equal"]) and not entry["wrong"] for entry in met),
            "killed while": {kind: sum(entry["aimed at"] == kind for entry in met) for kind in (*KINDS, *HARMS)},
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
    good = result["survived"] == options.kills + options.harms and result["final state equal"] and result["log equal"]
    return 0 if good and result["sample sheets equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
