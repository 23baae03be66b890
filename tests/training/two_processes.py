"""Started by test_distributed.py with torchrun: each process steps on its share of the joint batch, with its share of
the joint draws, and trains every method, stopped and not; each writes what came of it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from attrimorph import training
from attrimorph.console import Interrupted
from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.methods import METHODS
from attrimorph.methods.base import Algorithm
from attrimorph.methods.cvae_gan.recipe import METHODS as FAMILY_METHODS
from attrimorph.methods.recipes import recipe_named
from attrimorph.methods.translation.step import CycleGAN
from attrimorph.recipe import AnyRecipe
from attrimorph.training import trainer
from attrimorph.training.folder import checkpoint_folders, load_state
from attrimorph.training.trainer import build, train
from tests.methods.test_golden import RUNS
from tests.training.tiny_runs import Hours, equal, lines_of

COUNT, STEPS = 8, 2
SCHEMA = Schema((Attribute("Smiling"), Attribute("Male"), Attribute("person", "categorical", ("a", "b", "c"))))
NAMES = {recipe_named(name).method: name for name in RUNS}
FAMILY: dict[str, Any] = {
    "data.image_size": 16,
    "networks.latent": 6,
    **{
        f"losses.{name}": 0.5
        for name in (
            "kl", "image", "feature_d", "feature_c", "mean_d", "mean_c", "adversarial", "classify_sample", "hide",
            "gradient_penalty", "centre_momentum", "edited_share",
        )
    },
    "losses.warmup_images": 0,
}  # fmt: skip
# What differs between processes by design is left out: dropout, the pool of made images.
CHANGES: dict[str, dict[str, Any]] = {
    "cyclegan": {"losses.pool": 0},
    "pix2pix": {"networks.dropout": 0.0},
    "homointerp": {"losses.generator_every": 1, "losses.warmup_images": 0},
    "attribute2image-discvae": {"losses.masks_hidden": 0.5},
}
TRAINED: dict[str, Any] = {
    "training.images": 32,
    "training.batch_size": 8,
    "training.log_images": 24,
    "training.checkpoint_images": 16,
    "training.precision": "float32",
    "training.memory_format": "contiguous",
}


def parts_of(method: str) -> list[Tensor]:
    """Return the rows of the joint batch that each process has: every other one.

    Neighbours for what stands below for CycleGAN's two domains.
    """
    rows = torch.arange(COUNT)
    return [*rows.chunk(2)] if method == "cyclegan" else [rows[0::2], rows[1::2]]


@contextmanager
def joint_draws(method: str, parts: list[Tensor]) -> Iterator[None]:
    """Let every draw be one for the joint batch, of which a process takes its rows; orders stay within a process.

    Methods with joint draws need none of this; but PGGAN alone has its rows in the order of two processes, as it looks
    at neighbours together, and so has what it draws.
    """
    if METHODS[method].step().joint and (method != "pggan" or training.world() > 1):
        yield
        return
    real = {name: getattr(torch, name) for name in ("rand", "randn", "randperm")}
    rank, world = training.rank(), training.world()
    rows = torch.cat(parts) if method == "pggan" else torch.arange(COUNT) if world == 1 else parts[rank]

    def rows_of(name: str) -> Any:
        def draw(*size: Any, **options: Any) -> Tensor:
            shape = tuple(size[0]) if isinstance(size[0], tuple) else size
            assert shape[0] == COUNT // world
            return real[name](COUNT, *shape[1:], **options)[rows]  # type: ignore[no-any-return]

        return draw

    def order(count: int, **options: Any) -> Tensor:
        assert count == COUNT // world
        if method == "pggan":
            return rows.argsort()[real["randperm"](COUNT, **options)[rows]]
        orders = [real["randperm"](len(part), **options) for part in parts]
        if world > 1:
            return orders[rank]
        joint = torch.empty(COUNT, dtype=torch.long)
        for part, within in zip(parts, orders, strict=True):
            joint[part] = part[within]
        return joint

    torch.rand, torch.randn, torch.randperm = rows_of("rand"), rows_of("randn"), order  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.rand, torch.randn, torch.randperm = real["rand"], real["randn"], real["randperm"]


def algorithm_of(method: str) -> Algorithm:
    """Return a method with plain gradient descent: Adam's first step hides how large a gradient is."""
    fields = RUNS[NAMES[method]] | (FAMILY if method in FAMILY_METHODS else {}) | CHANGES.get(method, {})
    if method == "pggan":
        fields = fields | {"growth.batch_sizes": [COUNT]}
    reduce = training.average_gradients if training.world() > 1 else None
    recipe = recipe_named(NAMES[method]).with_changes(fields)
    algorithm: Algorithm = METHODS[method].step().build(recipe, SCHEMA, reduce_gradients=reduce)
    for key, optimiser in algorithm.optimisers.items():
        algorithm.optimisers[key] = torch.optim.SGD(optimiser.param_groups[0]["params"], lr=1e-4)
    if method == "retouch":
        # Fresh it changes nothing, and what the second D learns from real and made parts would cancel out.
        last = algorithm.networks["editor"].get_parameter("last.weight")
        torch.nn.init.normal_(last, std=0.1, generator=torch.Generator().manual_seed(0))
    for part in (part for network in algorithm.networks.values() for part in network.modules()):
        if isinstance(part, torch.nn.BatchNorm2d):
            # It looks at a process's own share.
            part.eval()
    if isinstance(algorithm, CycleGAN):
        # What its memory holds is every process's own affair: here the domains are the rows in turn.
        ready = torch.ones(())
        algorithm.domains = lambda batch, _: (batch.images[0::2], batch.images[1::2], ready)  # type: ignore[method-assign]
    return algorithm


def joint_batch(step: int, size: int = 16) -> Batch:
    """Images, labels and masks; the halves differ: one lacks a class, labels are missing in the other."""
    generator = torch.Generator().manual_seed(step)
    coarse = torch.rand(COUNT, 3, 4, 4, generator=generator) * 2 - 1
    binary = torch.randint(2, (COUNT, 2), generator=generator).float()
    binary[5:7, 0] = torch.nan
    person = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0]) if step % 2 else torch.tensor([1, 1, 1, 1, 0, 2, 2, 2])
    masks = interpolate((coarse[:, :1] > 0).float(), size=(size, size))
    masks[6:] = 1
    labels = torch.cat([binary, one_hot(person, 3).float()], dim=1)
    return Batch(interpolate(coarse, size=(size, size)), labels, masks, images_seen=40 + COUNT * step)


def share_of(batch: Batch, rows: Tensor) -> Batch:
    assert batch.masks is not None
    return Batch(batch.images[rows], batch.attributes[rows], batch.masks[rows], images_seen=batch.images_seen)


def gradients_of(method: str, rows: Tensor | None = None) -> dict[str, Tensor]:
    """Return all gradients of the last of a few steps, and the centres after it.

    Args:
        method: which.
        rows: of the joint batch that are stepped on; this process's share where None.
    """
    algorithm, parts = algorithm_of(method), parts_of(method)
    draws = joint_draws if rows is None else lambda *_: nullcontext()
    if rows is None:
        alone = torch.cat(parts) if method == "pggan" else torch.arange(COUNT)
        rows = parts[training.rank()] if training.world() > 1 else alone
    size = RUNS[NAMES[method]]["data.image_size"]
    for step in range(STEPS * (FAMILY_METHODS[method].critic_steps if method in FAMILY_METHODS else 1)):
        batch = share_of(joint_batch(step, size), rows)
        with draws(method, parts):
            algorithm.step(batch, torch.Generator().manual_seed(step))
    found = {
        name: torch.cat([torch.zeros(1) if p.grad is None else p.grad.flatten() for p in network.parameters()])
        for name, network in algorithm.networks.items()
    }
    for key in ("centres_d", "centres_c"):
        if hasattr(algorithm, key):
            found |= {f"{key}.{name}": value for name, value in getattr(algorithm, key).state().items()}
    return found


@contextmanager
def watched(method: str, watch: Callable[[Batch, torch.Generator], None]) -> Iterator[None]:
    """Let `watch` see what every step of a method is given."""
    entry = METHODS[method]

    class Watched(entry.step()):  # type: ignore[misc]
        def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
            watch(batch, generator)
            values: dict[str, Tensor] = super().step(batch, generator)
            return values

    METHODS[method] = replace(entry, step=lambda: Watched)
    try:
        yield
    finally:
        METHODS[method] = entry


def recipe_of(method: str) -> AnyRecipe:
    """Return what is trained of a method."""
    more = {"growth.batch_sizes": [8]} if method == "pggan" else {}
    return recipe_named(NAMES[method]).with_changes(RUNS[NAMES[method]] | TRAINED | more)


def made_equal(data: PreparedData, out: Path) -> bool:
    """Train one whose second process begins with other weights; return whether it ended as the run beside it."""

    def other(*arguments: Any, **options: Any) -> Algorithm:
        algorithm = build(*arguments, **options)
        for parameter in algorithm.parameters(*algorithm.networks):
            parameter.data.add_(training.rank())
        return algorithm

    with patch.object(trainer, "build", other):
        train(recipe_of("vae"), data, out / "other", device="cpu")
    states = [load_state(checkpoint_folders(out / run)[-1]) for run in ("whole", "other")]
    return equal(*states)


def told_apart(data: PreparedData, out: Path) -> str:
    """Train one of which a process loses its way; return what is said."""

    def drift(batch: Batch, _: torch.Generator) -> None:
        if batch.images_seen == 8 and training.rank() == 1:
            for network in drifting[0].networks.values():
                next(network.parameters()).data.view(-1)[0] += 1e-3

    drifting: list[Algorithm] = []

    def kept(*arguments: Any, **options: Any) -> Algorithm:
        drifting.append(build(*arguments, **options))
        return drifting[0]

    with patch.object(trainer, "build", kept), watched("vae", drift):
        try:
            train(recipe_of("vae"), data, out / "apart", device="cpu")
        except AttrimorphError as error:
            return str(error)
    return ""


def trained(method: str, data: dict[int, PreparedData], out: Path) -> dict[str, Any]:
    """Train a method as one run and as one that stopped in a line of the log; return what ended alike, and the seeds.

    The stop is a signal to one process, as of a machine that is needed elsewhere.
    """
    seeds, recipe = list[int](), recipe_of(method)
    size = recipe.data.image_size

    def stop(batch: Batch, generator: torch.Generator) -> None:
        if batch.images_seen == 8 and training.rank() == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    with watched(method, lambda _, generator: seeds.append(generator.initial_seed())):
        train(recipe, data[size], out / "whole", device="cpu")
    with watched(method, stop), suppress(Interrupted):
        train(recipe, data[size], out / "stopped", device="cpu")
    assert checkpoint_folders(out / "stopped")[-1].name == "000000016"
    # By the second process's clock a checkpoint is due after every step, and both write it.
    with patch.object(trainer, "time", Hours() if training.rank() else time):
        train(recipe, data[size], out / "stopped", device="cpu")
    assert [folder.name for folder in checkpoint_folders(out / "stopped")][-2:] == ["000000024", "000000032"]
    states = [load_state(checkpoint_folders(out / run)[-1]) for run in ("whole", "stopped")]
    alike = {part: equal(states[0].get(part), states[1].get(part)) for part in states[0] | states[1]}
    return {"alike": alike | {"log": lines_of(out / "whole") == lines_of(out / "stopped")}, "seeds": seeds}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with training.processes():
        rank, world = training.rank(), training.world()
        data = {size: open_prepared(out / f"faces{size}") for size in (16, 32)}
        result: dict[str, Any] = {
            "gradients": {method: gradients_of(method) for method in METHODS},
            "trained": {method: trained(method, data, out / "runs" / method) for method in METHODS},
            "made equal": made_equal(data[16], out / "runs" / "vae"),
            "told apart": told_apart(data[16], out / "runs" / "vae"),
            "own": training.from_first(f"from {rank} of {world}"),
            "mean": training.mean_values({"a": float(rank), "b": 5.0}),
        }
        training.wait_for_all()
        torch.save(result, out / f"rank{rank}.pt")
    assert (training.rank(), training.world()) == (0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
