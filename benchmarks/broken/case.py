"""What a broken input is, how it is run, and how the outcome is judged."""

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

from attrimorph import cli
from attrimorph.cli.app import BAD_INPUT
from attrimorph.data.drawn.synthetic import write_faces

TINY = {
    "data.image-size": 16,
    "networks.latent": 4,
    "networks.encoder-width": 4,
    "networks.generator-width": 4,
    "networks.discriminator-width": 4,
    "networks.classifier-width": 4,
    "training.images": 16,
    "training.batch-size": 8,
    "training.log-images": 8,
    "training.checkpoint-images": 8,
    "training.precision": "float32",
    "training.memory-format": "contiguous",
}
PROGRESS = re.compile(r"[a-z][\w .-]*: [\d,]+/[\d,]+ images.*|measuring \w+: .*|synthetic faces are used .*")
SECONDS = 120  # a case that takes longer hangs


@dataclass(frozen=True)
class Kit:
    """Good things that cases break copies of.

    Attributes:
        home: the folder of it all.
        data: prepared drawn faces of 16 pixels.
        run: a finished tiny run on them; model: its model file.
        face: a picture.
        receipts: verb -> receipt of a good result.
    """

    home: Path
    data: Path
    run: Path
    model: Path
    face: Path
    receipts: dict[str, Path]

    def train(self, out: Path, *overrides: str) -> list[str]:
        """Return the words that train the kit's run into a folder."""
        words = ["train", "cvae-gan-edit", "--data", str(self.data), "--out", str(out), "--device", "cpu"]
        return [*words, *(f"--{name}={value}" for name, value in TINY.items()), *overrides]


@dataclass(frozen=True)
class Case:
    """One broken input.

    Attributes:
        name: what is broken, for people.
        make: makes it, given the kit and an empty folder; returns the words of the command. What the command writes
            by its own choice goes into the sub-folder `out`, or below the working folder, which is that folder.
        says: a pattern that the sentence must hold: it names the culprit or the rule.
        real: run as a process of its own.
        prefix: words before the command (to become another user, to limit sizes); makes the case real.
        needs: a reason why this machine cannot run it, or "".
    """

    name: str
    make: Callable[[Kit, Path], list[str]]
    says: str
    real: bool = False
    prefix: tuple[str, ...] = ()
    needs: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code, stderr, and the files that are new or changed since the case was made."""

    code: int
    err: str
    fresh: tuple[Path, ...]
    damaged: tuple[Path, ...]


def make_kit(home: Path) -> Kit:
    """Draw, train and use a tiny model."""
    data, run, face = home / "data", home / "run", home / "face.png"
    write_faces(data, count=40, size=16)
    Image.fromarray(np.load(data / "images.npy")[0]).save(face)
    model = run / "checkpoints" / "000000016" / "model.safetensors"
    verbs = {
        "sample": ["--count", "2"],
        "reconstruct": [str(face)],
        "edit": [str(face), "--set", "Smiling=1"],
        "morph": [str(face), str(face), "--steps", "2"],
        "transfer": [str(face), "--from", str(face)],
    }
    kit = Kit(home, data, run, model, face, {verb: home / "results" / f"{verb}.json" for verb in verbs})
    commands = [kit.train(run)]
    for verb, words in verbs.items():
        out = str(kit.receipts[verb].with_suffix(".png"))
        commands.append([verb, *words, "--model", str(model), "--out", out, "--device", "cpu"])
    for command in commands:
        with quiet() as err:
            code = cli.run(command)
        if code:
            raise RuntimeError(f"{' '.join(command)}: {err.getvalue()}")
    return kit


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Catch stdout and stderr; yields what stderr gets."""
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        yield err


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, and give up after some time."""
    before, old = Path.cwd(), signal.signal(signal.SIGALRM, _too_long)
    os.chdir(folder)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        os.chdir(before)


def _too_long(*_: object) -> None:
    raise RuntimeError(f"it took longer than {SECONDS} s")


def snapshot(folder: Path) -> dict[Path, str]:
    """Return a hash of every file below a folder."""
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if is_plain(path)}


def is_plain(path: Path) -> bool:
    """Whether it is a file with content, not a link or a pipe."""
    return path.is_file() and not path.is_symlink()


def run_case(case: Case, kit: Kit, folder: Path) -> Outcome:
    """Make a broken input in an empty folder and give the command to it."""
    words = case.make(kit, folder)
    (folder / "out").mkdir(exist_ok=True)
    before, good = snapshot(folder), snapshot(kit.home)
    if case.prefix or case.real:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(folder)}
        command = [*case.prefix, sys.executable, "-m", "attrimorph", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=4 * SECONDS)
        code, err = done.returncode, done.stderr.decode("utf-8", "replace")
    else:
        with inside(folder), quiet() as stream:
            code = cli.run(words)
        err = stream.getvalue()
    after = snapshot(folder)
    fresh = tuple(path for path in after if after[path] != before.get(path) and path.name != ".lock")
    lost = [path for path in before if path not in after]
    lost += [path for path, content in snapshot(kit.home).items() if good.get(path) != content and path.name != ".lock"]
    return Outcome(code, err, fresh, (*lost, *(path for path in fresh if path in before)))


def judge(case: Case, outcome: Outcome) -> list[str]:
    """Return everything that is wrong with an outcome; nothing when it is as it should be."""
    lines = [line for line in outcome.err.splitlines() if not PROGRESS.fullmatch(line)]
    wrong = []
    if outcome.code != BAD_INPUT:
        wrong.append(f"exit code {outcome.code}")
    if len(lines) != 1 or not lines[0].startswith("attrimorph: ") or "Traceback" in outcome.err:
        wrong.append("not one sentence")
    elif re.search(r"[a-z)'\"][.!?] [A-Z]", lines[0]):
        wrong.append("more than one sentence")
    elif "internal error" in lines[0] or len(lines[0]) > 700:
        wrong.append("not clear")
    if not re.search(case.says, outcome.err):
        wrong.append(f"does not say {case.says!r}")
    wrong += [f"half-written: {path.name}" for path in outcome.fresh if not is_whole(path)]
    wrong += [f"damaged what was there: {path.name}" for path in outcome.damaged]
    return wrong


def is_whole(path: Path) -> bool:
    """Whether a new file is complete and valid, by its kind."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix in (".png", ".gif"):
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".npy":
            np.load(path, mmap_mode="r", allow_pickle=False)
            return (path.parent / "schema.json").is_file()
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return bool(file.metadata())
        else:
            return path.parent.name == "tensorboard" or (path.name == "state.pt" and path.stat().st_size > 0)
    except Exception:
        return False
    return True
