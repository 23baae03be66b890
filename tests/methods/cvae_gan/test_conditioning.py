"""What the conditions do: labels of every kind, missing ones, none; samples that are edits."""

import math

import pytest
import torch
from torch import Tensor

from attrimorph import losses
from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.base import flip_some
from attrimorph.methods.cvae_gan.recipe import METHODS
from attrimorph.methods.cvae_gan.step import CVAEGAN, LOSSES, grouped
from tests.methods.cvae_gan.small_family import (
    MIXED,
    ONE_CLASS,
    WEIGHTS,
    batch,
    chance,
    evaluate,
    gradients,
    make,
    parameters,
)

CONDITIONAL = [name for name, row in METHODS.items() if row.conditional]
UNCONDITIONAL = [name for name, row in METHODS.items() if not row.conditional]


def stepped(method: str, y_of: dict[str, Tensor] | Tensor, images: Tensor) -> dict[str, Tensor]:
    algorithm = make(method)
    for step in range(algorithm.method.critic_steps):
        algorithm.step(Batch(images, y_of), chance(step))
    return parameters(algorithm)


@pytest.mark.parametrize("method", UNCONDITIONAL)
def test_an_unconditional_method_ignores_the_labels(method: str) -> None:
    images, y = batch()
    one, other = stepped(method, y, images), stepped(method, torch.full_like(y, math.nan), images)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", CONDITIONAL)
def test_a_conditional_method_does_not(method: str) -> None:
    images, y = batch()
    one, other = stepped(method, y, images), stepped(method, y.flip(0), images)
    assert not any(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("schema", [MIXED, ONE_CLASS], ids=["several-attributes", "one-class"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_steps_on_labels_of_every_kind(method: str, schema: Schema) -> None:
    algorithm = make(method, schema=schema)
    images, y = batch(schema=schema)
    values: dict[str, Tensor] = {}
    for step in range(algorithm.method.critic_steps):
        values |= algorithm.step(Batch(images, y), chance(step))
    assert {term.loss for term in algorithm.method.terms} <= set(values)
    assert all(bool(torch.isfinite(value)) and not value.requires_grad for value in values.values())
    for gauge in ("d_real_right", "d_sample_right", "c_accuracy", "c_sample_accuracy"):
        assert 0 <= float(values.get(gauge, 0)) <= 1


@pytest.mark.parametrize("method", CONDITIONAL)
def test_missing_labels_leave_everything_finite(method: str) -> None:
    algorithm = make(method, edited_share=0.5 if method == "cvae-gan-edit" else 0.0)
    images, y = batch()
    y[torch.rand(y.shape, generator=chance(3)) < 0.3] = math.nan
    y[:, 3:6] = torch.where(y[:, 3:6].isnan().any(1, keepdim=True), math.nan, y[:, 3:6])
    y[0] = math.nan
    for step in range(3):
        values = algorithm.step(Batch(images, y), chance(step))
        assert all(bool(torch.isfinite(value)) for value in values.values())
    assert all(bool(gradient.isfinite().all()) for gradient in gradients(algorithm).values())


@pytest.mark.parametrize("loss", ["classify_real", "classify_sample"])
def test_an_attribute_missing_everywhere_is_as_if_it_were_dropped(loss: str) -> None:
    images, y = batch()
    y[:, 0:3] = math.nan  # the binary block
    found, without = make("cvae-gan-edit"), make("cvae-gan-edit")
    without.blocks = tuple(block for block in without.blocks if block[0] != "binary")
    for algorithm in (found, without):
        term = next(term for term in algorithm.method.terms if term.loss == loss)
        algorithm.backward(grouped([term]), evaluate(algorithm, (images, y)))
    one, other = gradients(found), gradients(without)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(bool(gradient.any()) for gradient in one.values())


def test_networks_are_given_the_blank_for_a_missing_label() -> None:
    algorithm = make("cvae-gan")
    images, y = batch()
    y[0], y[1, 3:6] = math.nan, math.nan
    filled = y.clone()
    filled[0], filled[1, 3:6] = MIXED.fill_value, 1 / 3
    found, expected = evaluate(algorithm, (images, y)), evaluate(algorithm, (images, filled))
    assert torch.equal(found.y, filled)
    assert torch.equal(found.x_f, expected.x_f)
    assert torch.equal(found.x_p, expected.x_p)


def test_samples_have_the_labels_of_other_images_and_fresh_codes() -> None:
    algorithm = make("cvae-gan")
    data = batch()
    seen = evaluate(algorithm, data)
    assert sorted(seen.y_p.tolist()) == sorted(data[1].tolist())
    assert torch.equal(seen.y_p, seen.others)
    assert torch.equal(seen.z_p, seen.z_prior)
    assert not torch.equal(seen.noise, seen.z_prior)


def test_the_code_is_drawn_with_the_standard_deviation() -> None:
    algorithm = make("cvae")
    seen = evaluate(algorithm, batch())
    mean, logvar = seen.posterior
    torch.testing.assert_close(seen.z, mean + seen.noise * logvar.exp().sqrt())


def test_edits_keep_the_code_and_flip_a_few_binary_labels() -> None:
    algorithm = make("cvae-gan-edit", edited_share=0.5)
    images, y = batch()
    seen = evaluate(algorithm, (images, y))
    assert seen.edited == 4
    assert torch.equal(seen.z_p[:4], seen.z[:4])
    assert torch.equal(seen.z_p[4:], seen.z_prior[4:])
    assert not seen.z_p.requires_grad
    assert torch.equal(seen.y_p[:4, 3:], y[:4, 3:])
    assert bool((seen.y_p[:4] != y[:4]).any(1).all())


def test_an_edit_is_not_asked_for_what_never_varies() -> None:
    images, y = batch(64)
    y[:, 0] = 0
    asked = evaluate(make("cvae-gan-edit", edited_share=1.0, varies=torch.arange(7) != 0), (images, y)).y_p
    assert not asked[:, 0].any()
    assert bool((asked != y).any(1).all())


def test_an_edit_is_not_asked_for_what_is_unknown() -> None:
    algorithm = make("cvae-gan-edit", edited_share=1.0)
    images, y = batch()
    y[:, 6] = math.nan
    y[0] = math.nan
    seen = evaluate(algorithm, (images, y))
    assert bool(seen.y_p[:, 6].isnan().all())
    assert bool(seen.y_p[0, 3:6].isnan().all())
    assert bool(((seen.y_p[0, :3] == 0) | (seen.y_p[0, :3] == 1) | seen.y_p[0, :3].isnan()).all())


def test_flips_are_one_to_three_and_lower_rivals() -> None:
    generator = chance(5)
    schema = Schema(tuple(Attribute(name) for name in "abcdef"), exclusive=(("a", "b", "c"),))
    y = torch.randint(2, (500, 6), generator=generator).float()
    y[:, :3] = torch.nn.functional.one_hot(torch.randint(3, (500,), generator=generator), 3).float()
    binary = torch.tensor([True] * 5 + [False])
    flipped = flip_some(y, torch.rand(500, 6, generator=generator), schema.mutually_exclusive, binary)
    assert torch.equal(flipped[:, 5], y[:, 5])
    assert set(flipped.unique().tolist()) == {0.0, 1.0}
    assert flipped[:, :3].sum(1).max() == 1  # never two hair colours
    changes = (flipped != y)[:, 3:5].sum(1)
    assert (flipped != y).any(1).all()
    assert changes.max() == 2
    raised = ((flipped[:, :3] == 1) & (y[:, :3] == 0)).any(1)
    assert raised.any()
    assert set((flipped != y).sum(1).tolist()) >= {1, 2, 3}


def test_flips_leave_labels_without_binary_ones_alone() -> None:
    y = torch.eye(4)
    assert torch.equal(
        flip_some(y, torch.rand(4, 4), ONE_CLASS.mutually_exclusive, torch.zeros(4, dtype=torch.bool)), y
    )


def test_codes_hide_what_is_known_of_the_batch() -> None:
    algorithm = make("cvae-gan-edit")
    images, y = batch()
    y[:3, 0], y[:, 1], y[0, 3:6] = math.nan, math.nan, math.nan
    marginals = evaluate(algorithm, (images, y)).marginals
    torch.testing.assert_close(marginals, y.nanmean(0).expand_as(y), equal_nan=True)
    assert bool(marginals[:, 1].isnan().all())
    value = algorithm.step(Batch(images, y), chance())["hide"]
    assert bool(value.isfinite())
    assert value > 0


def test_only_the_conditional_judge_is_shown_the_labels() -> None:
    images, y = batch()
    for method, sees in (("cgan", True), ("ac-gan", False), ("fm-cgan", False)):
        algorithm = make(method)
        with torch.no_grad():
            one = evaluate(algorithm, (images, y)).d_r[0]
            other = evaluate(algorithm, (images, y.flip(0))).d_r[0]
        assert torch.equal(one, other) != sees


def test_each_loss_declares_every_network_that_its_gradient_can_reach() -> None:
    """The grouping of backward passes rests on this."""
    for method, row in METHODS.items():
        algorithm = make(method, edited_share=0.5 if method == "cvae-gan-edit" else 0.0)
        for term in row.terms if "without" not in method else ():
            loss, reach = LOSSES[term.loss]
            for network in algorithm.networks.values():
                network.zero_grad()
            loss(evaluate(algorithm, batch())).backward()
            reached = {name for name, gradient in gradients(algorithm).items() if bool(gradient.any())}
            assert reached <= set(reach), (method, term.loss)
            assert set(term.learns) <= reached


def test_a_critic_takes_five_steps_for_one_of_the_generator() -> None:
    for method in ("wgan", "wgan-gp"):
        algorithm = make(method)
        before, moved = parameters(algorithm), []
        for step in range(10):
            values = algorithm.step(Batch(*batch(seed=step)), chance(step))
            after = parameters(algorithm)
            moved.append({name for name in after if not torch.equal(before[name], after[name])})
            assert ("wasserstein_fool" in values) == (step % 5 == 4)
            before = after
        assert moved == 2 * (4 * [{"discriminator"}] + [{"discriminator", "generator"}])


def clipped(algorithm: CVAEGAN) -> float:
    return float(parameters(algorithm)["discriminator"].abs().max())


def test_only_wgan_clips_its_critic_after_every_step() -> None:
    for method, bound in (("wgan", True), ("wgan-gp", False), ("gan", False)):
        algorithm = make(method, rate=0.05, optimiser="rmsprop")
        assert clipped(algorithm) > 0.01
        for step in range(2):
            algorithm.step(Batch(*batch(seed=step)), chance(step))
            assert (clipped(algorithm) <= 0.01) == bound
        algorithm = make("wgan", rate=0.05)
        for step in range(5):
            algorithm.step(Batch(*batch(seed=step)), chance(step))
        assert parameters(algorithm)["generator"].abs().max() > 0.01


def test_the_gradient_penalty_is_that_of_a_loop_over_images() -> None:
    algorithm = make("wgan-gp", weights=WEIGHTS)
    images, y = batch()
    seen = evaluate(algorithm, (images, y))
    judge, total = algorithm.networks["discriminator"], 0.0
    for place in range(len(images)):
        share = seen.chance[place].item()
        x = (share * images[place] + (1 - share) * seen.x_p[place].detach())[None].requires_grad_()
        (slope,) = torch.autograd.grad(judge(x, y[:1, :0])[0].sum(), x)
        total += (slope.norm().item() - 1) ** 2
    assert seen.penalty.item() == pytest.approx(total / len(images), rel=1e-4)


def test_the_class_head_of_ac_gan_shares_its_trunk_and_learns_from_samples_too() -> None:
    algorithm = make("ac-gan")
    assert set(algorithm.networks) == {"generator", "discriminator"}
    images, y = batch()
    judge, seen = algorithm.networks["discriminator"], evaluate(algorithm, (images, y))
    trunk = [p for name, p in judge.named_parameters() if name.startswith("trunk")]
    own = list(judge.get_submodule("head").parameters())
    parts = {
        "real": losses.attribute_loss(seen.h_r, y, algorithm.blocks),
        "samples": losses.attribute_loss(seen.h_p, seen.y_p, algorithm.blocks),
        "both": LOSSES["classify_both"][0](seen),
    }
    found = {
        name: torch.cat([g.flatten() for g in torch.autograd.grad(part, [*trunk, *own], retain_graph=True)])
        for name, part in parts.items()
    }
    assert parts["both"] == parts["real"] + parts["samples"]
    assert found["real"].any()
    assert found["samples"].any()
    torch.testing.assert_close(found["both"], found["real"] + found["samples"])
    # The verdict goes through the same trunk, and the head has no more than its last layer.
    through = torch.autograd.grad(seen.d_r[0].sum(), trunk)
    assert all(bool(g.any()) for g in through)
    assert sum(p.numel() for p in own) == (judge.get_submodule("last").in_features + 1) * y.shape[1]
