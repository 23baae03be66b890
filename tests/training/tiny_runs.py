"""Tiny runs on drawn faces, for the tests of training: seconds each, everything on that a run can have."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.training.folder import checkpoint_folders, load_state, read_log

FIELDS: dict[str, Any] = {
    "data.image_size": 16,
    "networks.latent": 4,
    "networks.encoder_width": 4,
    "networks.generator_width": 4,
    "networks.discriminator_width": 4,
    "networks.classifier_width": 4,
    "training.batch_size": 8,
    "training.precision": "float32",
    "training.memory_format": "contiguous",
    "training.ema_images": 50,
    # Nothing falls together: checkpoints lie between lines of the log and between sheets.
    "training.images": 96,
    "training.log_images": 24,
    "training.checkpoint_images": 32,
    "training.sample_images": 40,
}
VARIED = {"data.shift": 0.1, "data.flip": 0.5, "data.colour": 0.3}
SPEEDS = ("images_per_second", "waited_seconds")


def tiny_recipe(name: str = "cvae-gan-edit", **changes: Any) -> Recipe:
    """Return a recipe with tiny fields; dots in names of changes are written as two underscores."""
    return recipe_named(name).with_changes(FIELDS | {key.replace("__", "."): value for key, value in changes.items()})


class Hours:
    """A clock for the trainer by which an hour passes whenever it looks: a checkpoint is due after every step."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += 3600
        return self.now


def lines_of(run: Path) -> list[dict[str, Any]]:
    """Return the log, less the speeds."""
    return [{name: value for name, value in line.items() if name not in SPEEDS} for line in read_log(run)]


def equal(a: Any, b: Any) -> bool:
    """Whether two nested states hold the same values, tensors to the bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a.view(-1), b.view(-1)))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


def assert_same_runs(first: Path, second: Path) -> None:
    """Assert that two runs ended with the same bits, wrote the same log and drew the same sheets."""
    a, b = checkpoint_folders(first)[-1], checkpoint_folders(second)[-1]
    assert a.name == b.name
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    assert equal(load_state(a), load_state(b))
    assert lines_of(first) == lines_of(second)
    sheets = [{path.name: path.read_bytes() for path in (run / "samples").glob("*.png")} for run in (first, second)]
    assert sheets[0]
    assert sheets[0] == sheets[1]
    recipes = [json.loads((run / "recipe.json").read_text()) for run in (first, second)]
    assert recipes[0] == recipes[1]
