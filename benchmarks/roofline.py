"""Which share of a bare convolution's rate a whole training step reaches.

    python benchmarks/roofline.py [RECIPE ...] [--rounds 5] [--threads 1] [--precision float32]

Operations of a step are counted on the meta device, as scale.py does; of both memory layouts the faster one counts. The
bare convolution is 3x3 of 256 channels on 32x32 maps, four at a time, forward: the rate that these kernels reach
at their best. Both take turns; medians are printed as JSON. With one thread the clock is the processor's.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from scale import STEPS, step_of
from step import batch, machine

from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.methods.recipes import recipe_named
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath, keep_memory
from attrimorph.training.trainer import build

RECIPES = ("cvae-gan", "homointerp-64", "cyclegan-64", "pggan-drawn-64")
LAYOUTS = ("contiguous", "channels_last")
CHANNELS, SIDE, COUNT = 256, 32, 4


def bare(path: FastPath) -> tuple[Callable[[], object], float]:
    """Return the convolution and its operations."""
    network = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(memory_format=path.layout)
    images = torch.randn(COUNT, CHANNELS, SIDE, SIDE).to(memory_format=path.layout)

    def forward() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=path.autocast is not None):
            network(images)

    return forward, 2.0 * COUNT * SIDE**2 * CHANNELS**2 * 9


def steps_of(recipe: AnyRecipe, path: FastPath) -> Callable[[], object]:
    """Return as many steps late in the run as operations were counted of."""
    algorithm = build(recipe, faces.SCHEMA, path)
    count, size = recipe.training.batch_size, recipe.data.image_size
    seen = (recipe.training.images - 1) // count * count
    algorithm.load_state(algorithm.state() | {"images_seen": seen})
    images, labels = batch(recipe, path, count)
    given = Batch(images, labels, torch.ones(count, 1, size, size), images_seen=seen)

    def steps() -> None:
        for number in range(STEPS):
            algorithm.step(given, torch.Generator().manual_seed(number))

    return steps


def main() -> None:
    """Print JSON: the machine, then a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help=f"by default {', '.join(RECIPES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print(json.dumps(machine(options.threads)))
    paths = [FastPath(options.precision, layout, {}) for layout in LAYOUTS]  # type: ignore[arg-type]
    for name in options.recipes or RECIPES:
        recipe = recipe_named(name)
        if "domains" in type(recipe).model_fields:
            recipe = recipe.with_changes({"domains.attribute": "Smiling"})
        operations = STEPS * step_of(recipe)[1]
        work = {f"step {path.memory_format}": (steps_of(recipe, path), operations) for path in paths}
        work |= {f"bare {path.memory_format}": bare(path) for path in paths}
        times: dict[str, list[float]] = {what: [] for what in work}
        for _ in range(options.rounds + 1):
            for what, (call, _) in work.items():
                begin = clock()
                call()
                times[what].append(clock() - begin)
        rates = {what: work[what][1] / statistics.median(taken[1:]) / 1e9 for what, taken in times.items()}
        step, alone = (max(rates[f"{what} {layout}"] for layout in LAYOUTS) for what in ("step", "bare"))
        told = {what: round(rate, 1) for what, rate in rates.items()}
        print(json.dumps({"recipe": name, "GFLOP/s": told, "share": round(step / alone, 3)}), flush=True)


if __name__ == "__main__":
    main()
