"""The losses of the first twenty steps of every method: they change only when a method, a network, its initial weights
or the order of the draws change. Then run this file as a script, and say in the commit why they moved."""

import json
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate

from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.methods import METHODS
from attrimorph.methods.cvae_gan.recipe import METHODS as FAMILY
from attrimorph.methods.recipes import recipe_named
from attrimorph.training.trainer import build
from tests.small_models import NARROW, PLAIN

GOLDEN = Path(__file__).with_name("golden.json")
TINY = {"data.image_size": 16, "networks.latent": 4} | {
    f"networks.{name}_width": 4 for name in ("encoder", "generator", "discriminator", "classifier")
}
LAYERS = {"data.image_size": 16, "networks.latent": 6, "networks.background_latent": 4, "losses.hide": 1.0} | {
    f"networks.{name}_width": 4 for name in ("encoder", "decoder", "background", "classifier")
}
# Everything on that a recipe can have, as far as one run can; rates of their own for the critics.
RUNS: dict[str, dict[str, Any]] = dict.fromkeys(FAMILY, TINY) | {
    "cvae-gan-edit": TINY
    | {"losses.edited_share": 0.5, "losses.warmup_images": 24, "optimiser.discriminator_rate": 1e-4},
    "attribute2image-cvae": LAYERS,
    "attribute2image-discvae": LAYERS,
    "cyclegan-64": NARROW["cyclegan-64"] | {"losses.pool": 4, "optimiser.discriminator_rate": 1e-4},
    "pix2pix-64": NARROW["pix2pix-64"],
    "homointerp-drawn-64": NARROW["homointerp-drawn-64"]
    | {"losses.warmup_images": 24, "losses.generator_every": 2, "optimiser.discriminator_rate": 2e-4},
    "retouch-64": NARROW["retouch-64"]
    | {"losses.warmup_images": 24, "optimiser.learning_rate": 2e-4, "optimiser.discriminator_rate": 1e-4},
    "stargan-64": NARROW["stargan-64"] | {"optimiser.discriminator_rate": 2e-4},
    "attgan-64": NARROW["attgan-64"] | {"optimiser.discriminator_rate": 1e-4},
    "stgan-64": NARROW["stgan-64"] | {"optimiser.discriminator_rate": 1e-4},
    "pggan-drawn-64": NARROW["pggan-drawn-64"]
    | {"networks.conditional": True, "growth.start": 8, "growth.fixed_images": [32], "growth.batch_sizes": [8, 4]},
}


def batch(step: int, size: int) -> Batch:
    """Smooth pictures, labels of which one is missing, masks of which one is."""
    generator = torch.Generator().manual_seed(step % 4)
    coarse = torch.rand(8, 3, 4, 4, generator=generator) * 2 - 1
    labels = torch.randint(2, (8, faces.SCHEMA.width), generator=generator).float()
    labels[0, 1] = torch.nan
    masks = interpolate((coarse[:, :1] > 0).float(), size=(size, size))
    masks[7] = 1
    return Batch(interpolate(coarse, size=(size, size), mode="bilinear"), labels, masks, images_seen=8 * step)


def twenty_steps(name: str) -> dict[str, list[float]]:
    """Return each figure's mean over the first five steps and over all twenty.

    No single late value: where norms look at few pixels, the last bits of another processor grow into them.
    """
    recipe = recipe_named(name).with_changes(RUNS[name])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    values: dict[str, list[float]] = {}
    try:
        algorithm = build(recipe, faces.SCHEMA, PLAIN)
        for step in range(20):
            for key, value in algorithm.step(
                batch(step, recipe.data.image_size), torch.Generator().manual_seed(step)
            ).items():
                values.setdefault(key, []).append(float(value))
    finally:
        torch.set_num_threads(threads)
    return {key: [float(f"{number:.6g}") for number in (mean(row[:5]), mean(row))] for key, row in values.items()}


def test_every_method_has_a_golden_run() -> None:
    assert {recipe_named(name).method for name in RUNS} == set(METHODS)


@pytest.mark.parametrize("name", RUNS)
def test_golden_losses_of_twenty_steps(name: str) -> None:
    golden, found = json.loads(GOLDEN.read_text())[name], twenty_steps(name)
    assert found.keys() == golden.keys()
    for key, (begin, whole) in golden.items():
        assert found[key][0] == pytest.approx(begin, rel=2e-3, abs=1e-4), key
        # Processors round otherwise, and by the twentieth step of a GAN it shows.
        assert found[key][1] == pytest.approx(whole, rel=2e-2, abs=1e-3), key


if __name__ == "__main__":
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(twenty_steps(name))}" for name in RUNS)
    GOLDEN.write_text(f"{{\n{rows}\n}}\n")
