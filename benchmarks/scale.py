"""What training costs on paper: parameters, operations and exchanged bytes of a step of each recipe.

    python benchmarks/scale.py [RECIPE ...] [--rate 100] [--least 5] [--network 25] [--latency 20]

Nothing is computed: steps are taken on the meta device, and the operations of matrix products and convolutions are
counted, forward and back. From them, a GPU's rate and a network's, follows how long a step takes where every GPU has
the recipe's batch, and where all share it: operations / rate, or what launching a step's kernels takes at least, and
2 (n - 1) / n x bytes / network + 2 log2(n) x latency for the exchange.
"""

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.methods.recipes import RECIPES, recipe_named
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath
from attrimorph.training.trainer import build
from tests.fake_gpu import FakeGPU

STEPS = 4  # averaged over: some methods take turns
GPUS = (1, 8, 64, 1000)


class AllModules:
    """Stands in for what tells the counter in which module an operation is: in none."""

    parents: ClassVar[set[str]] = {"Global"}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def step_of(recipe: AnyRecipe) -> tuple[int, float]:
    """Return how many parameters learn, and the operations of a step late in the run, with the recipe's batch."""
    adam = torch.optim.Adam
    torch.optim.Adam = lambda *given, **options: adam(*given, **{**options, "fused": False})  # type: ignore[misc, assignment]
    try:
        algorithm = build(recipe, faces.SCHEMA, FastPath("float32", "channels_last", {}), "meta")
    finally:
        torch.optim.Adam = adam  # type: ignore[misc]
    size, count = recipe.data.image_size, recipe.training.batch_size
    seen = (recipe.training.images - 1) // count * count
    algorithm.load_state(algorithm.state() | {"images_seen": seen})
    labels = torch.zeros(count, faces.SCHEMA.width)
    whole = Batch(torch.zeros(count, 3, size, size), labels, torch.ones(count, 1, size, size), images_seen=seen)
    batch = replace(whole, **{name: part.to("meta") for name, part in vars(whole).items() if isinstance(part, Tensor)})
    counter = FlopCounterMode(display=False)
    # By module it counts with hooks that gradients of gradients do not pass.
    counter.mod_tracker = AllModules()  # type: ignore[assignment]
    with FakeGPU(), counter:
        for step in range(STEPS):
            algorithm.step(batch, torch.Generator().manual_seed(step))
    learning = {id(p): p.numel() for o in algorithm.optimisers.values() for g in o.param_groups for p in g["params"]}
    return sum(learning.values()), counter.get_total_flops() / STEPS


def main() -> None:
    """Print JSON: a row for each recipe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--rate", type=float, default=100.0, help="10^12 operations a second that a GPU reaches")
    parser.add_argument("--least", type=float, default=5.0, help="milliseconds that a step takes however small it is")
    parser.add_argument("--network", type=float, default=25.0, help="10^9 bytes a second between GPUs")
    parser.add_argument("--latency", type=float, default=20.0, help="microseconds from one to another")
    options = parser.parse_args()
    for name in options.recipes or RECIPES:
        recipe = recipe_named(name)
        if "domains" in type(recipe).model_fields:
            recipe = recipe.with_changes({"domains.attribute": "Smiling"})
        try:
            parameters, operations = step_of(recipe)
        except (AttrimorphError, RuntimeError) as error:
            print(json.dumps({"recipe": name, "not counted": str(error)[:100]}))
            continue
        size = 4 * parameters

        def exchange(n: int, size: int = size) -> float:
            return 2 * (n - 1) / n * size / (options.network * 1e9) + 2 * math.log2(n) * options.latency * 1e-6

        def compute(n: int, operations: float = operations) -> float:
            return max(operations / n / (options.rate * 1e12), options.least * 1e-3)

        print(
            json.dumps(
                {
                    "recipe": name,
                    "batch": recipe.training.batch_size,
                    "parameters, millions": round(parameters / 1e6, 2),
                    "exchanged MB": round(size / 1e6, 1),
                    "GFLOP a step": round(operations / 1e9, 1),
                    "step ms": round(compute(1) * 1e3, 2),
                    "worth of n GPUs, each with this batch": {
                        n: round(n * compute(1) / (compute(1) + exchange(n)), 1) for n in GPUS
                    },
                    "worth of n GPUs that share this batch": {
                        n: round(compute(1) / (compute(n) + exchange(n)), 1)
                        for n in GPUS
                        if recipe.training.batch_size % n == 0
                    },
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
