"""StarGAN, AttGAN and STGAN: who learns from what, and when; the equations; the trained models."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.applications.edit import edit
from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.methods.attribute_editing.model import AttributeEditor
from attrimorph.methods.attribute_editing.step import AttributeEditing
from attrimorph.photographs.fields import explain
from attrimorph.training.trainer import build
from tests.methods.test_golden import batch
from tests.small_models import PLAIN, narrow, pictures, small_model

NAMES = ("stargan-64", "attgan-64", "stgan-64")
WIDTH = faces.SCHEMA.width
MATRIX = {
    # weight -> who learns from its loss
    "gradient_penalty": "discriminator",
    "head_real": "discriminator",
    "asked_head": "generator",
    "reconstruction": "generator",
}
# reconstruction, asked_head, and what sums over attributes are divided by; the other weights are the same
PUBLISHED = {"stargan-64": (10, 1, 1), "attgan-64": (100, 10, WIDTH), "stgan-64": (100, 10, WIDTH)}


def made_by(name: str, changes: dict[str, Any] | None = None) -> AttributeEditing:
    found = build(narrow(name, {"losses.generator_every": 1} | (changes or {})), faces.SCHEMA, PLAIN)
    assert isinstance(found, AttributeEditing)
    return found


def gradients(algorithm: AttributeEditing, given: Batch) -> dict[str, Tensor]:
    for optimiser in algorithm.optimisers.values():
        optimiser.param_groups[0]["lr"] = 0.0
    algorithm.step(given, torch.Generator().manual_seed(0))
    return {
        name: torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        for name, network in algorithm.networks.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_term_changes_its_learner_only(name: str) -> None:
    first = gradients(made_by(name), batch(0, 16))
    for weight, learner in MATRIX.items():
        second = gradients(made_by(name, {f"losses.{weight}": 0.35}), batch(0, 16))
        assert {n for n in first if not torch.equal(first[n], second[n])} == {learner}, weight


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_the_equations(name: str) -> None:
    reconstruction, asked, count = PUBLISHED[name]
    algorithm, given = made_by(name), batch(0, 16)
    given = Batch(given.images, given.attributes.nan_to_num(1.0))
    found = gradients(algorithm, given)
    values = made_by(name).step(given, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    x, y = given.images, given.attributes
    goal, share = y[torch.randperm(8, generator=generator)], torch.rand(8, 1, 1, 1, generator=generator)
    g, d = algorithm.networks["generator"], algorithm.networks["discriminator"]
    made = g(x, y, goal)
    again = g(made, goal, y) if name.startswith("stargan") else g(x, y, y)
    (real, right), (fake, told) = d(x), d(made)
    between = (x + share * (made.detach() - x)).requires_grad_()
    (slope,) = torch.autograd.grad(d(between)[0].sum(), between, create_graph=True)

    def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / 8 / count

    wanted = {
        "fool": -fake.mean(),
        "asked_head": cross_entropy(told, goal),
        "reconstruction": (again - x).abs().mean(),
        "wasserstein": fake.mean() - real.mean(),
        "gradient_penalty": (slope.flatten(1).norm(dim=1) - 1).square().mean(),
        "head_real": cross_entropy(right, y),
    }
    for key, value in wanted.items():
        torch.testing.assert_close(values[key], value.detach(), msg=key)
    loss_g = wanted["fool"] + asked * wanted["asked_head"] + reconstruction * wanted["reconstruction"]
    loss_d = wanted["wasserstein"] + 10 * wanted["gradient_penalty"] + wanted["head_real"]
    for key, loss in (("generator", loss_g), ("discriminator", loss_d)):
        parts = torch.autograd.grad(loss, list(algorithm.networks[key].parameters()), retain_graph=True)
        expected = torch.cat([each.flatten() for each in parts])
        assert (found[key] - expected).norm() < 1e-3 * expected.norm(), key


def test_the_generator_learns_in_every_fifth_step_and_the_others_in_all() -> None:
    algorithm = made_by("stargan-64", {"losses.generator_every": 5})
    for step in range(10):
        before = {name: [p.clone() for p in net.parameters()] for name, net in algorithm.networks.items()}
        values = algorithm.step(batch(step, 16), torch.Generator().manual_seed(step))
        learns = step in (4, 9)
        assert ("reconstruction" in values) == learns
        for name, net in algorithm.networks.items():
            moved = any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters(), strict=True))
            assert moved == (learns or name != "generator"), (step, name)


def test_what_is_not_known_is_not_asked() -> None:
    algorithm, seen = made_by("stargan-64"), []
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


@pytest.mark.parametrize("name", NAMES)
def test_of_nothing_asked_comes_the_reconstruction_which_a_photograph_s_edit_is_told_from(
    name: str, tmp_path: Path
) -> None:
    model = small_model(tmp_path, name)
    assert isinstance(model, AttributeEditor)
    assert model.can == ("edit",)
    x, y = pictures(2, 16), torch.zeros(2, WIDTH)
    g, reach = model.networks["generator"], 1.5 if name.startswith("attgan") else 1.0
    again, goal = g(x, y, y), y.clone()
    goal[:, faces.SCHEMA.columns("Smiling")] = 0.5 * reach
    assert torch.equal(model.edit(x, {}, y), again)
    assert torch.equal(model.edit(x, {"Smiling": 0.0}, y), again)
    half = model.edit(x, {"Smiling": 0.5}, y)
    assert torch.equal(half, g(x, y, goal))
    assert not torch.equal(half, again)
    assert torch.equal(model.edit(x, {"Smiling": 0.5}), model.edit(x, {"Smiling": 0.5}, model.guess_attributes(x)))
    rows = model.sheet_rows(x, y)
    assert len(rows) == 6
    assert torch.equal(rows[1], again)
    assert torch.equal(rows[2], model.edit(x, {model.editable[0]: 1.0}, y))

    found, own = edit(model, x, {"Smiling": 0.5}, y), explain(again, half)
    assert found.reconstructions is not None
    assert found.fields is not None
    assert torch.equal(found.reconstructions, again)
    assert torch.equal(found.fields.gain, own.gain)  # type: ignore[arg-type]
    assert torch.equal(edit(model, x, {"Smiling": 0.0}, y).edited, x), "what changes nothing leaves the picture alone"
