"""Receipts that strangers changed: is each replayed, or refused in one sentence, and nothing written but the result?

    python benchmarks/hostile/receipts.py [--count 5000] [--seed 0]

The receipts of every verb in tests/fixtures/receipts, each with one to three changes: other values, missing and foreign
fields, other verbs, other files. Prints JSON; exits with 1 when any of them shows a fault.
"""

import argparse
import copy
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

sys.path.insert(0, str(Path(__file__).parents[2]))

FROZEN = Path(__file__).parents[2] / "tests" / "fixtures" / "receipts"
KEY = "attrimorph receipt"
MEMORY = 16 * 2**30
SECONDS = 60  # a receipt that takes longer hangs
NUMBERS: list[Any] = [
    0, 1, -1, 2, 7, 0.5, 1e-9, 1e30, 1e308, float("inf"), float("nan"), 10**400, 2**31, 2**63, -(2**63), 65_537,
]  # fmt: skip
TEXTS: list[Any] = [
    "", "a", "all", "own", "auto", "1,2,3,4", "nan", "\x00", "\x1b]0;owned\x07", "\ud800", "é" * 40, "a" * 100_000,
    "../../a.png", "/dev/zero", "/dev/stdin", "/proc/self/mem", "FOLDER/pipe", "FOLDER", "FOLDER/photos",
    "FOLDER/a.png", "FOLDER/data", "FOLDER/program.pt2", "FOLDER/mask.png", "drawn-faces-64", "pggan-drawn-64",
    "discvae-drawn-64", "homointerp-drawn-64", "drawn-faces-64,pggan-drawn-64", "judge-drawn-faces-64", "Smiling",
    "__proto__", "AAAA", "AAAAAA==",
]  # fmt: skip
OTHERS: list[Any] = [
    None, True, False, [], {}, [[]], [None], {"": 0}, {"Smiling": 1}, {"Smiling": "x"}, {"Smiling": None}, [1, 2, 3, 4],
    [[[1, 0, 0, 0, 1, 0]]], [[[0, 0, 0, 0, 0, 0]]], [[[1e9, 0, 0, 0, 1e9, 0]]], [[[1, 0, 1e300, 0, 1, 0]]], [[]],
    {"a.png": [[1, 0, 0, 0, 1, 0]]}, {"steps": 1, "of": 3}, {"steps": 10**9, "of": 10**9}, ["Smiling"] * 500,
    {"path": "/dev/zero", "sha256": "0" * 64},
]  # fmt: skip
NAMES = (
    "model", "self", "cls", "pack", "program", "save_fields", "only", "verb", "pictures", "along", "invert", "frames",
    "like", "mask", "hole", "background", "picture", "known", "changes", "judge", "table", "format", "seconds", "each",
    "count", "steps", "seed", "composition", "box", "face", "__class__", "model_config",
)  # fmt: skip


class TooLong(BaseException):
    """A receipt took longer than it may."""


def make_folder(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Put what the frozen receipts name into a folder; return them, each with its name."""
    from attrimorph.data.drawn.synthetic import write_faces
    from attrimorph.models import shipped

    shutil.copytree(FROZEN, folder, dirs_exist_ok=True)
    write_faces(folder / "data", count=240, size=64)
    os.mkfifo(folder / "pipe")
    (folder / "program.pt2").write_bytes(program())
    words = {"FOLDER": str(folder), "SHIPPED": str(next(iter(shipped().values())).parent)}
    found = []
    for path, text in embedded_texts(folder):
        for word, meant in words.items():
            text = text.replace(word, meant)
        found.append((path.name, json.loads(text)))
    return found


def embedded_texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the receipts in a folder, and what they say."""
    from attrimorph.requests.receipt import embedded_text

    for path in sorted([*folder.glob("*.json"), *folder.glob("studio-*.png")]):
        yield path, path.read_text() if path.suffix == ".json" else embedded_text(path.read_bytes()) or ""


class Hostile:
    """Leaves a mark, OWNED, where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch OWNED",)


def program() -> bytes:
    """Return a .pt2 file of an older format, which torch opens by unpickling: it leaves a mark where it is opened."""
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    traced = torch.export.export(torch.nn.Linear(5, 3), (torch.zeros(1, 5),))
    trap, buffer = io.BytesIO(), io.BytesIO()
    torch.save(Hostile(), trap)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
        archive.writestr("serialized_exported_program.json", serialize(traced).exported_program)
        for name in ("state_dict", "constants", "example_inputs"):
            archive.writestr(f"serialized_{name}.pt", trap.getvalue())
    return buffer.getvalue()


def places(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*so_far, key)
        yield from places(part, (*so_far, key))


def mutated(receipt: dict[str, Any], others: list[tuple[str, dict[str, Any]]], draw: random.Random, home: str) -> Any:
    """Return a receipt with one to three changes."""
    whole = copy.deepcopy(receipt)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        found = [way for way in places(whole) if way[0] not in ("outputs", "facts", "attrimorph")]
        told = [way for way in found if way[0] == "arguments" and len(way) > 1]
        found = told if told and draw.random() < 0.7 else found
        *way, last = draw.choice(found)
        inner: Any = whole
        for key in way:
            inner = inner[key]
        kind = draw.random()
        other = draw.choice(others)[1]
        if kind < 0.1:
            del inner[last]
        elif kind < 0.2 and isinstance(inner[last], list) and inner[last]:
            inner[last] = draw.choice([inner[last] * 2, inner[last][:-1], [inner[last]], inner[last] * 300])
        elif kind < 0.35:
            whole["arguments"] = dict(whole["arguments"]) if isinstance(whole.get("arguments"), dict) else {}
            whole["arguments"][draw.choice(NAMES)] = hostile(draw, home)
        elif kind < 0.45:
            key = draw.choice(["verb", "arguments", "inputs", "model"])
            whole[key] = copy.deepcopy(other[key])
        elif kind < 0.55 and isinstance(whole.get("inputs"), list):
            path = draw.choice([f"{home}/a.png", f"{home}/pipe", "/dev/zero", home, f"{home}/none.png"])
            whole["inputs"].append({"path": path, "sha256": draw.choice(["0" * 64, "", "x"])})
        else:
            inner[last] = hostile(draw, home)
    return whole


def hostile(draw: random.Random, home: str) -> Any:
    """Return a value that is not what is expected."""
    value = draw.choice(draw.choice([NUMBERS, TEXTS, OTHERS]))
    return value.replace("FOLDER", home) if isinstance(value, str) else copy.deepcopy(value)


def write(path: Path, receipt: Any) -> None:
    """Write a receipt, as JSON or inside of a picture."""
    text = json.dumps(receipt)
    if path.suffix == ".json":
        path.write_text(text)
        return
    info = PngInfo()
    info.add_itxt(KEY, text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    Image.new("RGB", (64, 64)).save(path, pnginfo=info)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file below a folder."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            status = (Path(place) / name).lstat()
            found[f"{place}/{name}"] = (status.st_size, status.st_mtime_ns)
    return found


def answered(words: list[str]) -> tuple[int, list[str]]:
    """Give a command; return its exit code and everything that is wrong with the answer."""
    from attrimorph import cli
    from benchmarks.broken.case import quiet

    def stop(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with quiet() as stream:
            code = cli.run(words)
    except TooLong:
        return -1, [f"it took longer than {SECONDS} s"]
    finally:
        signal.alarm(0)
    said = stream.getvalue()
    wrong = [] if code in (0, 2) else [f"exit code {code}"]
    if code and (len(said.splitlines()) != 1 or len(said) > 1000 or "Traceback" in said):
        wrong.append("not one sentence")
    if any(ord(letter) < 32 and letter not in "\n\t\r" for letter in said):
        wrong.append("control characters")
    return code, [f"{each}: {said.strip()[-600:]}" for each in wrong]


def attack(home: Path, receipts: list[tuple[str, dict[str, Any]]], count: int, seed: int) -> dict[str, Any]:
    """Replay so many changed receipts; return what went wrong."""
    draw = random.Random(seed)
    answers: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    before = snapshot(home)
    for number in range(count):
        name, receipt = draw.choice(receipts)
        place = home / "case"
        place.mkdir()
        path, out = place / f"receipt{Path(name).suffix}", place / "out.png"
        value = mutated(receipt, receipts, draw, str(home))
        write(path, value)
        begin = time.monotonic()
        os.chdir(place)
        _, wrong = answered(["replay", str(path), "--out", str(out)])
        os.chdir(home.parent)
        fresh = {
            each: size for each, size in snapshot(home).items()
            if before.get(each) != size and not each.startswith((f"{place}/out", str(path), f"{place}/codes-"))
        }  # fmt: skip
        if fresh:
            wrong.append(f"written without being named: {sorted(fresh)[:3]}")
            before = snapshot(home)
        answers["faults" if wrong else "made" if out.exists() else "refused"] += 1
        if wrong:
            faults.append({"case": number, "receipt": name, "wrong": wrong, "seconds": time.monotonic() - begin})
            print(json.dumps(faults[-1])[:1500], file=sys.stderr, flush=True)
        shutil.rmtree(place)
    return {"receipts": count, **answers, "faults": faults}


def main(about: str | None, make: Callable[[Path], Any], attack: Callable[..., dict[str, Any]], count: int) -> int:
    """Attack what `make` writes into a folder with bounded memory, and print what came of it; 1 where a fault shows."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        result = attack(home, make(home), options.count, options.seed)
    print(json.dumps({**result, "faults": len(result["faults"])}, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main(__doc__, make_folder, attack, 5000))
