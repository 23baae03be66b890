"""Every field of a recipe's losses and optimiser is read: another value makes another model of the same steps."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.methods.recipes import recipe_named
from attrimorph.training.trainer import build
from tests.methods.test_golden import RUNS, batch
from tests.small_models import PLAIN

# A field of a recipe that several methods share -> the one that shows it.
SHOWN_BY = {
    "cvae-gan-edit": {"losses.gradient_penalty": "wgan-gp", "losses.margin": "loss-sensitive-gan"},
    "attribute2image-discvae": {},
    "cyclegan-64": {"losses.l1": "pix2pix-64"},
    "homointerp-drawn-64": {},
    "retouch-64": {},
    "stargan-64": {},
    "attgan-64": {},  # its options and its step are STGAN's too
    "pggan-drawn-64": {},
}
# Where another value is not 3 x + 1.
OTHERWISE: dict[str, Any] = {
    "losses.composition": "convex",
    "losses.error": "smooth_l1",
    "losses.variance": "learned",
    "losses.penalty_of": "sum",
    "losses.generator_every": 3,
    "losses.penalty_every": 1,
    "losses.warmup_images": 0,
    "losses.kl_images": 100,
    "losses.pool": 0,
    "losses.reference_share": 0.25,
    "losses.full_share": 0.0,
    "losses.centre_momentum": 0.1,
    "losses.edited_share": 1.0,
    "losses.encoder_share": 0.5,
    "losses.masks_hidden": 1.0,
    "losses.teacher_share": 0.5,
    "optimiser.learning_rate": 5e-4,
    "optimiser.discriminator_rate": 5e-4,
    "optimiser.beta1": 0.7,
    "optimiser.beta2": 0.9,
    "optimiser.decoder_beta1": 0.7,
    "optimiser.weight_decay": 0.1,
}
# The first two name files; fields that grow have a test in tests/methods/retouch; the others are the trainer's, see
# tests/training.
LEFT_OUT = {
    "losses.perceptual_network",
    "losses.teacher",
    "losses.small_images",
    "optimiser.schedule",
    "optimiser.constant_share",
    "optimiser.warmup_images",
}


def shown() -> list[tuple[str, str]]:
    found = []
    for name, elsewhere in SHOWN_BY.items():
        fields = recipe_named(name).model_dump()
        for field in (f"{part}.{key}" for part in ("losses", "optimiser") for key in fields[part]):
            no_critic = name.startswith("attribute2image") and field == "optimiser.discriminator_rate"
            if field not in LEFT_OUT and not no_critic:
                found.append((elsewhere.get(field, name), field))
    return found


def weights(name: str, changes: dict[str, Any]) -> Iterator[Tensor]:
    """All weights after each of six steps, end to end."""
    recipe = recipe_named(name).with_changes(RUNS[name] | changes)
    algorithm = build(recipe, faces.SCHEMA, PLAIN)
    for step in range(6):
        algorithm.step(batch(step, recipe.data.image_size), torch.Generator().manual_seed(step))
        networks = algorithm.networks.values()
        yield torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])


@cache
def unchanged(name: str) -> list[Tensor]:
    return list(weights(name, {}))


@pytest.mark.parametrize(("name", "field"), shown())
def test_another_value_makes_another_model(name: str, field: str) -> None:
    part, key = field.split(".")
    now = recipe_named(name).with_changes(RUNS[name]).model_dump()[part][key]
    other = OTHERWISE[field] if field in OTHERWISE else 3 * now + 1
    assert other != now
    # No step is taken after the first that shows it.
    pairs = zip(unchanged(name), weights(name, {field: other}), strict=True)
    assert any(first.shape != second.shape or not torch.equal(first, second) for first, second in pairs)
