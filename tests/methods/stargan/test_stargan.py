"""StarGAN: who learns from what, and when; the published sizes; the trained model."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from attrimorph.applications.edit import edit
from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.methods.recipes import recipe_named
from attrimorph.methods.stargan.networks import PatchCritic, StarGenerator
from attrimorph.methods.stargan.step import StarGAN
from attrimorph.models.attribute_editor import AttributeEditor
from attrimorph.photographs.fields import explain
from attrimorph.training.trainer import build
from tests.methods.test_golden import batch
from tests.small_models import PLAIN, narrow, pictures, small_model

MATRIX = {
    # weight -> who learns from its loss
    "gradient_penalty": "discriminator",
    "head_real": "discriminator",
    "asked_head": "generator",
    "reconstruction": "generator",
}


def stargan(changes: dict[str, Any] | None = None) -> StarGAN:
    found = build(narrow("stargan-64", {"losses.generator_every": 1} | (changes or {})), faces.SCHEMA, PLAIN)
    assert isinstance(found, StarGAN)
    return found


def gradients(algorithm: StarGAN, given: Batch) -> dict[str, torch.Tensor]:
    for optimiser in algorithm.optimisers.values():
        optimiser.param_groups[0]["lr"] = 0.0
    algorithm.step(given, torch.Generator().manual_seed(0))
    return {
        name: torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        for name, network in algorithm.networks.items()
    }


@pytest.mark.parametrize("name", MATRIX)
def test_a_term_changes_its_learner_only(name: str) -> None:
    first, second = (gradients(stargan(each), batch(0, 16)) for each in ({}, {f"losses.{name}": 0.35}))
    assert {n for n in first if not torch.equal(first[n], second[n])} == {MATRIX[name]}


def test_values_and_gradients_are_those_of_the_equations() -> None:
    algorithm, given = stargan(), batch(0, 16)
    given = Batch(given.images, given.attributes.nan_to_num(1.0))
    found = gradients(algorithm, given)
    values = stargan().step(given, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    x, y = given.images, given.attributes
    goal, share = y[torch.randperm(8, generator=generator)], torch.rand(8, 1, 1, 1, generator=generator)
    g, d = algorithm.networks["generator"], algorithm.networks["discriminator"]
    made = g(x, y, goal)
    (real, right), (fake, told) = d(x), d(made)
    between = (x + share * (made.detach() - x)).requires_grad_()
    (slope,) = torch.autograd.grad(d(between)[0].sum(), between, create_graph=True)

    def cross_entropy(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / 8

    wanted = {
        "fool": -fake.mean(),
        "asked_head": cross_entropy(told, goal),
        "reconstruction": (g(made, goal, y) - x).abs().mean(),
        "wasserstein": fake.mean() - real.mean(),
        "gradient_penalty": (slope.flatten(1).norm(dim=1) - 1).square().mean(),
        "head_real": cross_entropy(right, y),
    }
    for name, value in wanted.items():
        torch.testing.assert_close(values[name], value.detach(), msg=name)
    loss_g = wanted["fool"] + wanted["asked_head"] + 10 * wanted["reconstruction"]
    loss_d = wanted["wasserstein"] + 10 * wanted["gradient_penalty"] + wanted["head_real"]
    for name, loss in (("generator", loss_g), ("discriminator", loss_d)):
        parts = torch.autograd.grad(loss, list(algorithm.networks[name].parameters()), retain_graph=True)
        torch.testing.assert_close(found[name], torch.cat([each.flatten() for each in parts]), atol=1e-6, rtol=1e-3)


def test_the_generator_learns_in_every_fifth_step_and_the_critic_in_all() -> None:
    algorithm = stargan({"losses.generator_every": 5})
    for step in range(10):
        before = {name: [p.clone() for p in net.parameters()] for name, net in algorithm.networks.items()}
        values = algorithm.step(batch(step, 16), torch.Generator().manual_seed(step))
        learns = step in (4, 9)
        assert ("reconstruction" in values) == learns
        for name, net in algorithm.networks.items():
            moved = any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters(), strict=True))
            assert moved == (learns or name != "generator"), (step, name)


def test_what_is_not_known_is_not_asked() -> None:
    algorithm, seen = stargan(), []
    algorithm.networks["generator"].register_forward_pre_hook(lambda _, given: seen.append(given))
    given = batch(0, 16)
    labels = given.attributes.clone()
    labels[:, 0] = torch.nan  # nobody's
    labels[:4, 2] = torch.nan
    values = algorithm.step(Batch(given.images, labels), torch.Generator().manual_seed(0))
    assert all(value.isfinite() for value in values.values())
    _, own, goal = seen[0]
    other = labels[torch.randperm(8, generator=torch.Generator().manual_seed(0))]
    unknown = labels.isnan() | other.isnan()
    assert torch.equal(own[unknown], goal[unknown])
    assert (own[:, 0] == 0.5).all()
    assert torch.equal(goal[~unknown], other[~unknown])


def test_the_published_sizes_and_weights() -> None:
    counts = [
        sum(p.numel() for p in network.parameters())
        for network in (StarGenerator(5, 64, 6), PatchCritic(128, 5, 64, 6))
    ]
    assert counts == [8_430_528, 44_762_048]
    recipe = recipe_named("stargan-128")
    losses, optimiser = recipe.losses, recipe.optimiser  # type: ignore[attr-defined]
    assert (losses.gradient_penalty, losses.head_real, losses.asked_head, losses.reconstruction) == (10, 1, 1, 10)
    assert losses.generator_every == 5
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2) == (1e-4, 0.5, 0.999)
    assert (recipe.training.batch_size, recipe.data.flip, recipe.training.ema_images) == (16, 0.5, 0)


@pytest.mark.parametrize(("size", "places"), [(128, 2), (64, 1), (16, 1)])
def test_shapes(size: int, places: int) -> None:
    x = pictures(2, size)
    verdict, told = PatchCritic(size, 7, 2, 6)(x)
    assert (verdict.shape, told.shape) == ((2, 1, places, places), (2, 7))
    made = StarGenerator(7, 2, 1)(x, torch.zeros(2, 7), torch.ones(2, 7))
    assert made.shape == x.shape
    assert made.abs().max() <= 1


def test_the_model_edits_and_what_is_asked_of_nothing_is_its_reconstruction(tmp_path: Any) -> None:
    model = small_model(tmp_path, "stargan-64")
    assert isinstance(model, AttributeEditor)
    assert model.can == ("edit",)
    x, y = pictures(2, 16), torch.zeros(2, faces.SCHEMA.width)
    g = model.networks["generator"]
    again = g(x, y, y)
    assert torch.equal(model.edit(x, {}, y), again)
    assert torch.equal(model.edit(x, {"Smiling": 0.0}, y), again)
    half = y.clone()
    half[:, faces.SCHEMA.columns("Smiling")] = 0.5
    assert torch.equal(model.edit(x, {"Smiling": 0.5}, y), g(x, y, half))
    assert torch.equal(model.edit(x, {"Smiling": 0.5}), model.edit(x, {"Smiling": 0.5}, model.guess_attributes(x)))
    rows = model.sheet_rows(x, y)
    assert len(rows) == 6
    assert torch.equal(rows[1], again)
    assert torch.equal(rows[2], model.edit(x, {model.editable[0]: 1.0}, y))

    found = edit(model, x, {"Smiling": 1.0}, y)
    fields = explain(again, model.edit(x, {"Smiling": 1.0}, y))
    assert torch.equal(found.reconstructions, again)  # type: ignore[arg-type]
    assert torch.equal(found.fields.gain, fields.gain)  # type: ignore[arg-type, union-attr]
    assert torch.equal(edit(model, x, {"Smiling": 0.0}, y).edited, x), "what changes nothing leaves the picture alone"
