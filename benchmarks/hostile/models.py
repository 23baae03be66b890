"""Model files that strangers changed: is each loaded, or refused in one sentence, and nothing written or run?

    python benchmarks/hostile/models.py [--count 500] [--seed 0]

Tiny models of several methods, each with one to three changes of its header, its tensors or its bytes. Prints JSON;
exits with 1 when any of them shows a fault.
"""

import copy
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.hostile.receipts import NUMBERS, OTHERS, TEXTS, answered, main, places, snapshot

VERBS: list[Callable[[Path, Path], list[str]]] = [
    lambda model, face: ["attributes", str(model)],
    lambda model, face: ["attributes", str(model), "--json"],
    lambda model, face: ["sample", "--model", str(model), "--count", "2", "--out", "out.png", "--device", "cpu"],
    lambda model, face: ["edit", str(face), "--model", str(model), "--aligned", "--set", "Smiling=1", "--out=o.png"],
    lambda model, face: ["reconstruct", str(face), "--model", str(model), "--out", "out.png"],
]  # fmt: skip


def tiny(home: Path) -> list[Path]:
    """Write tiny models of several methods; return their files."""
    from tests.small_models import small_model
    from tests.tiny_models import tiny_layers, tiny_model

    tiny_model(home / "cvae-gan")
    tiny_layers(home / "discvae")
    small_model(home / "homointerp", "homointerp-drawn-64")
    small_model(home / "cyclegan", "cyclegan-64")
    return sorted(home.glob("*/model.safetensors"))


def mutated(path: Path, draw: random.Random) -> bytes:
    """Return a model file with one to three changes."""
    with safe_open(str(path), "pt") as file:
        header = json.loads(file.metadata()["attrimorph"])
    tensors = load_file(path)
    for _ in range(draw.choice([1, 1, 2, 3])):
        (change_header if draw.random() < 0.65 else change_tensors)(draw, header, tensors)
    content = bytearray(save(tensors, {"attrimorph": json.dumps(header)}))
    if draw.random() < 0.1:
        for _ in range(draw.randrange(1, 20)):
            content[draw.randrange(draw.choice([200, len(content)]))] = draw.randrange(256)
        content = content[: draw.choice([len(content), draw.randrange(len(content))])]
    return bytes(content)


def change_header(draw: random.Random, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Change a value somewhere in the header."""
    found = [way for way in places(header) if way[0] != "examples" or draw.random() < 0.02]
    if not found:
        return
    *way, last = draw.choice(found)
    inner: Any = header
    for key in way:
        inner = inner[key]
    kind = draw.random()
    if kind < 0.15:
        del inner[last]
    elif kind < 0.25 and isinstance(inner[last], list) and inner[last]:
        inner[last] = draw.choice([inner[last] * 2, inner[last][:-1], [inner[last]], []])
    elif kind < 0.3 and isinstance(header.get("schema"), dict):
        names = [draw.choice(["constructor", "x=y", "a"]), *(f"a{n}" for n in range(draw.choice([1, 39, 20_000])))]
        rest = {"kind": "binary", "values": [], "mean": 0, "scale": 1}
        header["schema"]["attributes"] = [{"name": name, **rest} for name in names]
    else:
        inner[last] = copy.deepcopy(draw.choice(draw.choice([NUMBERS, TEXTS, OTHERS])))


def change_tensors(draw: random.Random, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Change a tensor, or which there are."""
    if not tensors:
        return
    name = draw.choice(sorted(tensors))
    value = tensors[name]
    match draw.randrange(7):
        case 0:
            del tensors[name]
        case 1:
            tensors[draw.choice(["more.weight", "x", f"{name}.x", "\x1b]0;owned\x07.weight"])] = value.clone()
        case 2:
            kinds = (torch.int64, torch.bool, torch.float16, torch.uint8, torch.float64, torch.bfloat16, torch.int8)
            tensors[name] = value.to(draw.choice(kinds))
        case 3 if value.is_floating_point() and value.numel():
            tensors[name] = value.clone()
            tensors[name].view(-1)[0] = draw.choice([float("nan"), float("inf"), 1e38, -1e38])
        case 4:
            tensors[name] = value.reshape(-1).clone()
        case 5:
            tensors[name] = torch.zeros(draw.choice([(0,), (), (1,), (3, 5), (1, *value.shape)]))
        case _:
            tensors[name] = (value * draw.choice([0, 1e30, -1])).to(value.dtype)


def attack(home: Path, models: list[Path], count: int, seed: int) -> dict[str, Any]:
    """Use so many changed model files; return what went wrong."""
    from PIL import Image

    draw = random.Random(seed)
    face = home / "face.png"
    Image.effect_noise((64, 64), 60).convert("RGB").save(face)
    answers: Counter[str] = Counter()
    faults = []
    for number in range(count):
        place = home / "case"
        place.mkdir()
        source = draw.choice(models)
        path = place / "model.safetensors"
        path.write_bytes(mutated(source, draw))
        before = snapshot(home)
        os.chdir(place)
        words = draw.choice(VERBS)(path, face)
        code, wrong = answered(words)
        os.chdir(home.parent)
        fresh = {each for each in snapshot(home) if each not in before and not each.startswith(f"{place}/o")}
        if fresh:
            wrong.append(f"written without being named: {sorted(fresh)[:3]}")
        answers["faults" if wrong else "used" if code == 0 else "refused"] += 1
        if wrong:
            faults.append({"case": number, "model": source.parent.name, "words": words[0], "wrong": wrong})
            print(json.dumps(faults[-1])[:1500], file=sys.stderr, flush=True)
        shutil.rmtree(place)
    return {"models": count, **answers, "faults": faults}


if __name__ == "__main__":
    sys.exit(main(__doc__, tiny, attack, 500))
