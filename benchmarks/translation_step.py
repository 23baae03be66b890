"""How long one training step of CycleGAN and of HomoInterpGAN takes: our fast path against float32 NCHW.

    python benchmarks/translation_step.py [cyclegan] [homointerp] [--rounds 9] [--threads 1] [--batch-size 4]
        [--size 128] [--precision auto] [--memory-format auto] [--device cpu]

Both sides have the published networks with the same weights, batches and threads; steps are interleaved and medians
printed as JSON, as benchmarks/step.py does. CycleGAN's step is both generators and both discriminators;
HomoInterpGAN's is its whole cycle of five: four of Dec, critic and P, and the one in which E and I learn too.
"""

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

import torch
from step import PLAIN, Step, batch, compare, machine

from attrimorph.data.drawn.faces import SCHEMA
from attrimorph.data.loader import Batch
from attrimorph.methods.homointerp.recipe import InterpolationRecipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath, choose_fast_path
from attrimorph.training.trainer import build

# VGG-19's weights or none: the perceptual network is then learned, so that a step does not depend on a download.
RECIPES = {
    "cyclegan": ("cyclegan", {"domains.attribute": "Smiling"}),
    "homointerp": ("homointerp", {"losses.perceptual_network": "attributes", "losses.warmup_images": 0}),
}


def named(name: str, size: int) -> AnyRecipe:
    """The published recipe at an image size."""
    recipe, changes = RECIPES[name]
    return recipe_named(recipe).with_changes({**changes, "data.image_size": size})


def step_of(recipe: AnyRecipe, path: FastPath, batch_size: int, device: str) -> Step:
    """One step, or one whole cycle of them where not every step is alike."""
    algorithm = build(recipe, SCHEMA, path, device)
    images, labels = batch(recipe, path, batch_size)
    given = Batch(images.to(device), labels.to(device))
    generator = torch.Generator().manual_seed(1)
    cycle = recipe.losses.generator_every if isinstance(recipe, InterpolationRecipe) else 1

    def step() -> None:
        for _ in range(cycle):
            algorithm.step(given, generator)
        if device != "cpu":
            torch.cuda.synchronize()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"{' or '.join(RECIPES)}; by default both")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--memory-format", default="auto", choices=["auto", "contiguous", "channels_last"])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if unknown := [name for name in options.what if name not in RECIPES]:
        parser.error(f"there is no step of {unknown[0]!r}; name {' or '.join(RECIPES)}")
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 and options.device == "cpu" else time.perf_counter
    fast = choose_fast_path(options.precision, options.memory_format, device=options.device)
    result: dict[str, Any] = {"machine": machine(options.threads), "fast_path": asdict(fast)}
    for name in options.what or list(RECIPES):
        recipe = named(name, options.size)
        sides = {
            "fast path": step_of(recipe, fast, options.batch_size, options.device),
            "float32 NCHW": step_of(recipe, PLAIN, options.batch_size, options.device),
        }
        cycle = recipe.losses.generator_every if isinstance(recipe, InterpolationRecipe) else 1
        about = {"recipe": recipe.name, "size": options.size, "batch_size": options.batch_size, "steps_timed": cycle}
        result[name] = about | compare(sides, options.rounds, clock)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
