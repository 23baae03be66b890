"""Run folders and receipts that are damaged, foreign or tampered with."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .case import Case, Kit
from .labels import DEEP
from .models import Hostile

Change = Callable[[Path], object]


def newest(run: Path) -> Path:
    return sorted((run / "checkpoints").iterdir())[-1]


def state(edit: Callable[[dict[str, Any]], object]) -> Change:
    """Change the state of the newest checkpoint."""

    def change(run: Path) -> None:
        path = newest(run) / "state.pt"
        value = torch.load(path, weights_only=True)
        edit(value)
        torch.save(value, path)

    return change


def state_bytes(make: Callable[[bytes], bytes]) -> Change:
    def change(run: Path) -> None:
        path = newest(run) / "state.pt"
        path.write_bytes(make(path.read_bytes()))

    return change


def zipped_evil(_: bytes) -> bytes:
    """A torch file whose data.pkl calls a function."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"algorithm": Hostile()}, protocol=2))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def text(name: str, content: str) -> Change:
    return lambda run: (run / name).write_text(content)


def as_file(name: str) -> Change:
    """A file in the place of a folder."""

    def change(run: Path) -> None:
        shutil.rmtree(run / name)
        (run / name).write_text("")

    return change


STATES: dict[str, tuple[Change, str]] = {
    "an empty state": (state_bytes(lambda whole: b""), "state.pt is no checkpoint"),
    "half a state": (state_bytes(lambda whole: whole[: len(whole) // 2]), "state.pt is no checkpoint"),
    "a state with a hole": (
        state_bytes(lambda whole: whole[:5000] + bytes(20_000) + whole[25_000:]),
        "no checkpoint|does not fit",
    ),
    "a hostile pickle as state": (state_bytes(lambda whole: pickle.dumps(Hostile())), "state.pt is no checkpoint"),
    "a hostile archive as state": (state_bytes(zipped_evil), "state.pt is no checkpoint"),
    "text as state": (state_bytes(lambda whole: b"weights\n" * 99), "state.pt is no checkpoint"),
    "a list as state": (lambda run: torch.save([1, 2], newest(run) / "state.pt"), "no checkpoint of this program"),
    "a state without networks": (state(lambda value: value["algorithm"].pop("networks")), "does not fit this recipe"),
    "a state without guard": (state(lambda value: value.pop("guard")), "does not fit|no checkpoint"),
    "a clock in words": (state(lambda value: value.update(images_seen="many")), "does not fit|no checkpoint"),
    "optimisers as a list": (state(lambda value: value["algorithm"].update(optimisers=[])), "does not fit"),
    "weights of another shape": (
        state(lambda value: value["algorithm"]["networks"]["generator"].update({"last.bias": torch.ones(7)})),
        "does not fit this recipe",
    ),
    "averages missing": (state(lambda value: value["ema"].pop("generator")), "does not fit this recipe"),
    "no state at all": (lambda run: (newest(run) / "state.pt").unlink(), "state.pt"),
    "a recipe of another run": (
        lambda run: text("recipe.json", (run / "recipe.json").read_text().replace('"latent": 4', '"latent": 5'))(run),
        "networks.latent = 5, this one has 4",
    ),
    "a list as recipe.json": (text("recipe.json", "[]"), "recipe.json is no recipe"),
    "half a recipe.json": (text("recipe.json", '{"recipe": {'), "recipe.json must be a JSON file"),
    "recipe.json nested too deeply": (text("recipe.json", DEEP), "recipe.json must be a JSON file"),
    "an unknown field in recipe.json": (
        lambda run: text("recipe.json", (run / "recipe.json").read_text().replace('"latent"', '"latency"'))(run),
        "networks.latency",
    ),
    "a precision that is none": (
        text("machine.json", '{"precision": "f1", "memory_format": "contiguous", "milliseconds": {}}'),
        "machine.json is damaged",
    ),
    "a list as machine.json": (text("machine.json", "[]"), "machine.json is damaged"),
    "a file as checkpoints": (as_file("checkpoints"), "checkpoint"),
}


def train_again(change: Change) -> Callable[[Kit, Path], list[str]]:
    """Return the words that go on with a changed copy of the run."""

    def make(kit: Kit, folder: Path) -> list[str]:
        run = folder / "out"
        shutil.copytree(kit.run, run)
        change(run)
        words = kit.train(run)
        return [word.replace("images=16", "images=24") if "training.images" in word else word for word in words]

    return make


def tampered(verb: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Kit, Path], list[str]]:
    """Return `replay` of a changed copy of a receipt."""

    def make(kit: Kit, folder: Path) -> list[str]:
        value = json.loads(kit.receipts[verb].read_text())
        edit(value)
        path = folder / "receipt.json"
        path.write_text(json.dumps(value))
        return ["replay", str(path), "--out", str(folder / "out" / "again.png")]

    return make


def argument(verb: str, name: str, value: Any) -> Callable[[Kit, Path], list[str]]:
    return tampered(verb, lambda whole: whole["arguments"].update({name: value}))


def bare(content: str) -> Callable[[Kit, Path], list[str]]:
    """Return `replay` of a file with this content."""

    def make(kit: Kit, folder: Path) -> list[str]:
        (folder / "receipt.json").write_text(content, errors="surrogateescape")
        return ["replay", str(folder / "receipt.json"), "--out", str(folder / "out" / "again.png")]

    return make


def changed_input(kit: Kit, folder: Path) -> list[str]:
    """The picture is not the one of the receipt."""
    face = folder / "face.png"
    face.write_bytes(kit.face.read_bytes() + b"!")
    return tampered("edit", lambda whole: whole["inputs"][0].update(path=str(face)))(kit, folder)


RECEIPTS: dict[str, tuple[Callable[[Kit, Path], list[str]], str]] = {
    "no JSON": (bare("{"), "must be a JSON file"),
    "a list": (bare("[]"), "must be the receipt"),
    "another JSON": (bare('{"a": 1}'), "must be the receipt"),
    "nested too deeply": (bare(DEEP), "must be a JSON file"),
    "no UTF-8": (bare("\udcff"), "must be a JSON file"),
    "a format to come": (tampered("edit", lambda whole: whole.update(format_version=9)), "format 1; got 9"),
    "no verb": (tampered("edit", lambda whole: whole.pop("verb")), "damaged"),
    "an unknown verb": (tampered("edit", lambda whole: whole.update(verb="delete")), "'delete'"),
    "a verb of another result": (tampered("sample", lambda whole: whole.update(verb="morph")), "damaged"),
    "no model": (tampered("edit", lambda whole: whole.pop("model")), "damaged"),
    "another model": (tampered("edit", lambda whole: whole["model"].update(sha256="0" * 64)), "has changed"),
    "a model that is gone": (tampered("edit", lambda whole: whole["model"].update(name="/gone")), "'/gone'"),
    "inputs as a number": (tampered("edit", lambda whole: whole.update(inputs=3)), "damaged"),
    "an input that is gone": (
        tampered("edit", lambda whole: whole["inputs"][0].update(path="/gone.png")),
        "cannot read /gone.png",
    ),
    "an input that has changed": (changed_input, "has changed"),
    "one input of two": (tampered("morph", lambda whole: whole["inputs"].pop()), "takes two pictures; got 1"),
    "no input at all": (tampered("morph", lambda whole: whole["inputs"].clear()), "damaged"),
    "a path of another name": (argument("morph", "path", "straight"), "damaged"),
    "a path as a number": (argument("morph", "path", 5), "damaged"),
    "references beyond the inputs": (argument("edit", "like", 5), "damaged"),
    "arguments as a list": (tampered("edit", lambda whole: whole.update(arguments=[1])), "damaged"),
    "changes as a list": (argument("sample", "changes", [1]), "damaged"),
    "a change in words": (argument("edit", "changes", {"Smiling": "much"}), "damaged"),
    "a change of an unknown attribute": (argument("edit", "changes", {"Smilling": 1}), "did you mean 'Smiling'"),
    "a count in words": (argument("sample", "count", "many"), "damaged"),
    "a count of a million million": (argument("sample", "count", 10**12), "count must lie in"),
    "a seed of ten to the thirty": (argument("sample", "seed", 10**30), "seed"),
    "a seed that is a fraction": (argument("sample", "seed", 1.5), "damaged"),
    "known as a number": (argument("reconstruct", "known", 5), "damaged"),
    "half a step": (argument("morph", "steps", 2.5), "damaged"),
    "attributes as a number": (argument("transfer", "only", 5), "damaged"),
    "another place to write": (argument("edit", "save_fields", "owned.safetensors"), "which edit has not"),
    "leave to run a program": (argument("edit", "program", True), "which edit has not"),
    "a program as its model": (
        tampered("edit", lambda whole: whole["model"].update(name="/gone.pt2")),
        r"asks for a \.pt2 file, a program",
    ),
    "an endless input": (
        tampered("edit", lambda whole: whole["inputs"][0].update(path="/dev/zero")),
        "must be a plain file",
    ),
    "an input that nobody reads": (
        tampered("sample", lambda whole: whole["inputs"].append({"path": "/gone", "sha256": "0" * 64})),
        "cannot read /gone",
    ),
    "a frame elsewhere": (
        tampered("edit", lambda whole: whole["arguments"].update(frames=[[[1, 0, 1e9, 0, 1, 0]]])),
        "a frame must lie in the photograph",
    ),
}

RUNS: tuple[Case, ...] = (
    # A checkpoint's checksum sees most of them first.
    *(
        Case(f"train again: {name}", train_again(change), f"{says}|has changed since it was written")
        for name, (change, says) in STATES.items()
    ),
    *(Case(f"replay: {name}", make, says) for name, (make, says) in RECEIPTS.items()),
    Case(
        "replay: a missing receipt",
        lambda kit, folder: ["replay", str(folder / "gone.json")],
        "cannot read .*gone.json",
    ),
    Case("replay: a folder", lambda kit, folder: ["replay", str(folder)], "must be a plain file"),
    Case("replay: a picture", lambda kit, folder: ["replay", str(kit.face)], "holds no receipt"),
)
