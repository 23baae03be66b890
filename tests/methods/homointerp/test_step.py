"""HomoInterpGAN: who learns from what, typed from the paper; its losses by hand; its edit targets; resumed runs."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attrimorph.data.loader import Batch
from attrimorph.methods.homointerp.networks import unit
from attrimorph.methods.homointerp.step import TargetDraw, shown
from tests.methods.homointerp.small_homointerp import (
    CHANNELS,
    DIFFERENT,
    MEMBERS,
    SCHEMA,
    batch,
    chance,
    gradients,
    make,
    parameters,
)

NAMES = {
    "E": "encoder",
    "I": "interpolator",
    "D": "decoder",
    "C": "classifier",
    "S": "critic",
    "P": "projection",
    "R": "prototypes",
    "K": "code_classifier",
}

MATRIX = {
    # weight -> who learns from its loss; S is the critic with the attribute head, R the prototypes
    "perceptual": "ED",
    "pixel": "ED",
    "guidance": "EP",
    "adversarial": "EIR",
    "homomorphism": "EIR",
    "full": "I",
    "answer": "EI",
    "region": "I",
    "judged_image": "EIR",
    "prototype": "R",
    "code": "R",
    "hide": "R",
    "gradient_penalty": "S",
    "head_interpolated": "S",
    "head_real": "S",
}


def learners_of(name: str, weights: dict[str, float] = DIFFERENT, **options: Any) -> set[str]:
    """The networks whose gradients differ with a term's weight as it is and at 0."""
    found = []
    for each in (weights, weights | {name: 0.0}):
        algorithm = make(weights=each, rate=0.0, **options)
        algorithm.step(batch(), chance())
        found.append(gradients(algorithm))
    a, b = found
    return {n for n in a if (a[n] - b[n]).abs().max() > 1e-6 * a[n].abs().max().clamp_min(1e-9)}


@pytest.mark.parametrize("name", MATRIX)
def test_a_term_changes_its_learners_only(name: str) -> None:
    """The gradients with the term's weight at 0 and as it is differ for its learners, and for nobody else."""
    assert learners_of(name) == {NAMES[letter] for letter in MATRIX[name]}


def test_as_published_the_interpolator_alone_learns_from_the_full_change() -> None:
    """Both ends of it are constants."""
    assert learners_of("full", learned=False) == {"interpolator"}


@pytest.mark.parametrize("penalty_of", ["sum", "mean"])
def test_losses_are_the_paper_s(penalty_of: str) -> None:
    algorithm = make(learned=False)
    nets, x, y = algorithm.networks, batch().images, batch().attributes
    targets = algorithm.edit_targets.draw(y, chance())
    known = torch.where(MEMBERS.any(0), y, torch.nan)

    def told(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        mask = ~target.isnan()
        each = F.binary_cross_entropy_with_logits(outputs, target.nan_to_num(), reduction="none")
        return (each * mask).sum() / len(y)

    with torch.no_grad():
        features = nets["encoder"](x)
        other, image = features[targets.order], nets["decoder"](features)
        v = targets.v
        moved = nets["interpolator"](features, other - features, v)
        per_column = torch.stack([v[:, 0], v[:, 1], v[:, 1], v[:, 2], torch.full((8,), torch.nan)], 1)
        z_int = y + per_column * (y[targets.order] - y)
        deep = nets["classifier"](x)[2]
        expected = {
            "pixel": (image - x).square().mean(),
            "perceptual": (nets["classifier"](image)[1] - nets["classifier"](x)[1]).square().mean(),
            "guidance": (nets["projection"](features, 4) - deep).square().mean(),
            "critic": nets["critic"](moved)[0].mean() - nets["critic"](features)[0].mean(),
            "head_interpolated": told(nets["critic"](moved)[1], known),
            "head_real": told(nets["critic"](features)[1], known),
            "adversarial": -nets["critic"](moved)[0].mean(),
            "homomorphism": told(nets["critic"](moved)[1], z_int),
            "full": (nets["interpolator"](features, other - features, torch.ones_like(v)) - other).square().mean(),
        }
    between = (targets.share * features + (1 - targets.share) * moved).requires_grad_()
    outputs = nets["critic"].critic(nets["critic"].trunk(between))  # type: ignore[operator]
    (slope,) = torch.autograd.grad(outputs.sum() if penalty_of == "sum" else outputs.mean((1, 2, 3)).sum(), between)
    expected["gradient_penalty"] = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    found = make(learned=False, penalty_of=penalty_of).step(batch(), chance())
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), name


def test_encoder_and_interpolator_learn_in_every_fifth_step() -> None:
    algorithm = make(generator_every=5)
    for step in range(1, 11):
        before = parameters(algorithm)
        values = algorithm.step(batch(), chance(step))
        after = parameters(algorithm)
        moved = {name for name in after if not torch.equal(before[name], after[name])}
        always = {"decoder", "critic", "projection", "classifier", "prototypes", "code_classifier"}
        assert moved == (always | {"encoder", "interpolator"} if step % 5 == 0 else always)
        assert ("homomorphism" in values) == (step % 5 == 0)


def test_every_network_steps_once_in_a_step() -> None:
    algorithm = make()
    for number in range(3):
        algorithm.step(batch(), chance(number))
    for name, optimiser in algorithm.optimisers.items():
        assert {int(state["step"]) for state in optimiser.state.values()} == {3}, name


def test_the_warm_up_learns_what_is_real() -> None:
    algorithm = make(warmup_images=12, generator_every=5)
    for step in range(3):
        before = parameters(algorithm)
        algorithm.step(batch(), chance(step))
        after = parameters(algorithm)
        moved = {name for name in after if not torch.equal(before[name], after[name])}
        warm = {"encoder", "decoder", "classifier", "critic", "projection", "prototypes", "code_classifier"}
        assert moved == (warm if step < 2 else warm - {"encoder"})


def test_an_encoder_share_of_zero_leaves_the_interpolation_to_the_interpolator() -> None:
    def gradient(**options: float) -> dict[str, torch.Tensor]:
        algorithm = make(optimiser=torch.optim.SGD, rate=0.0, **options)
        algorithm.step(batch(), chance())
        return gradients(algorithm)

    none, half, whole = gradient(encoder_share=0.0), gradient(encoder_share=0.5), gradient()
    torch.testing.assert_close(
        half["encoder"] - none["encoder"], (whole["encoder"] - none["encoder"]) / 2, atol=1e-6, rtol=1e-3
    )
    assert torch.equal(none["interpolator"], whole["interpolator"])
    alone = make(
        optimiser=torch.optim.SGD,
        rate=0.0,
        weights=DIFFERENT | dict.fromkeys(("adversarial", "homomorphism", "full", "answer", "judged_image"), 0.0),
    )
    alone.step(batch(), chance())
    torch.testing.assert_close(none["encoder"], gradients(alone)["encoder"])


def test_references_take_the_other_face_s_attributes_group_by_group() -> None:
    algorithm, y = make(learned=False), batch().attributes
    targets = algorithm.edit_targets.draw(y, chance())
    assert targets.references == len(y)
    v = targets.v[:, [0, 1, 1, 2]]
    torch.testing.assert_close(targets.z_int[:, :4], y[:, :4] + v * (y[targets.order] - y)[:, :4])
    assert targets.z_int[:, 4].isnan().all()


def test_prototypes_flip_a_few_attributes_and_their_groups_go_equally_far() -> None:
    algorithm = make(reference_share=0.0, full_share=0.5)
    y = batch(256).attributes
    targets = algorithm.edit_targets.draw(y, chance())
    change = targets.change.nan_to_num()
    assert set(change.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert change.ne(0).sum(1).float().mean() < 3
    # After the change the exclusive colours do not both hold.
    assert ((y + change)[:, 1:3].sum(1) <= 1).all()
    far = targets.v[:, :1]
    assert torch.equal(targets.v, far.expand(-1, len(MEMBERS)))
    assert 0.4 < (far == 1).float().mean() < 0.6
    expected = y + far * targets.change
    torch.testing.assert_close(targets.z_int[:, :4], expected[:, :4])


def test_some_rows_of_prototypes_become_another_face_in_everything() -> None:
    algorithm = make(reference_share=0.0)
    y = batch(512).attributes
    targets = algorithm.edit_targets.draw(y, chance())
    whole = (targets.change == y[targets.order] - y)[:, :4].all(1)
    assert 0.25 < whole.float().mean() < 0.45  # MANY, and a few by chance


def test_branches_answer_references_and_prototypes_alike() -> None:
    algorithm = make()
    y = batch().attributes
    targets = algorithm.edit_targets.draw(y, chance())
    prototypes, interpolator = algorithm.networks["prototypes"], algorithm.networks["interpolator"]
    with torch.no_grad():
        features = algorithm.networks["encoder"](batch().images)
        d, where = algorithm.asked(features, y, targets), algorithm.where(features, y, targets)
        found = algorithm.move(features, d, targets, where)
        order, change = targets.order[:4], targets.change.nan_to_num()[4:]
        shown = prototypes.where(MEMBERS, (features[:4], y[:4]), (features[order], y[order]))
        towards = interpolator(features[:4], features[order] - features[:4], targets.v[:4], shown)
        answer = prototypes(features[4:], y[4:], change)
        v, far = targets.v[4:, :1] * (change.abs() @ MEMBERS.float().T > 0), targets.v[4:, :1, None, None]
        answers = interpolator(features[4:], answer, v, asked=far * answer)
    assert targets.references == 4
    torch.testing.assert_close(found, torch.cat([towards, answers]))
    with torch.no_grad():
        values = algorithm._teach_branches(features, found, y, targets, d[1], where, chance())
    whole = unit(features[4:] + far * answer)
    apart, before = ((each - whole).square().mean((1, 2, 3)) for each in (answers, features[4:]))
    assert values["answer"].item() == pytest.approx((apart / (before + 1e-5)).mean().item(), rel=1e-3)


def test_the_classifier_sees_whole_changes_alone() -> None:
    algorithm = make()
    y = batch().attributes
    targets = algorithm.edit_targets.draw(y, chance())
    nets, order = algorithm.networks, targets.order[:4]
    with torch.no_grad():
        features = nets["encoder"](batch().images)
        d, where = algorithm.asked(features, y, targets), algorithm.where(features, y, targets)
        moved = algorithm.move(features, d, targets, where)
        values = algorithm._teach_branches(features, moved, y, targets, d[1], where, chance(5))
        group = algorithm.edit_targets.one_group(targets.change[:4], torch.rand(8, generator=chance(5))[:4])
        v = F.one_hot(group, 4).float()
        one_group = nets["interpolator"](features[:4], features[order] - features[:4], v, where)
        logits = nets["classifier"](nets["decoder"](torch.cat([moved[4:], one_group])))[0]
        goals = torch.cat([targets.z_int[4:], algorithm.edit_targets.towards(y[:4], targets.change[:4], group)])
    known = ~goals.isnan()
    expected = F.binary_cross_entropy_with_logits(logits[known], goals[known], reduction="sum") / len(y)
    assert values["judged_image"].item() == pytest.approx(expected.item(), rel=1e-3)


def test_of_references_a_group_is_drawn_in_which_the_faces_differ() -> None:
    change = torch.zeros(300, 5)
    change[:100, 0], change[100:200, [2, 3]] = 1, -1
    drawn = make().edit_targets.one_group(change, torch.rand(300, generator=chance()))
    assert (drawn[:100] == 0).all()
    assert drawn[100:200].bincount(minlength=3).tolist()[0] == 0
    assert drawn[100:200].bincount(minlength=3)[1:].min() > 25
    assert drawn[200:].bincount(minlength=3).min() > 15


def test_towards_one_group_what_it_excludes_elsewhere_is_not_asked() -> None:
    members = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]]).bool()
    excludes = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]]).bool()
    draw = TargetDraw(members, [("binary", 0, 3)], excludes, torch.ones(3).bool())
    y, change = torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[-1.0, 1.0, torch.nan]])
    found = draw.towards(y, change, torch.tensor([1]))
    assert found.isnan().tolist() == [[True, False, True]]
    assert found[0, 1] == 1
    assert torch.equal(draw.towards(y, change, torch.tensor([0])), torch.tensor([[0.0, 0.0, 1.0]]))


def test_running_averages_are_those_of_real_images_alone() -> None:
    algorithm = make()
    decoder = nn.Sequential(nn.BatchNorm2d(CHANNELS), algorithm.networks["decoder"])
    algorithm.networks["decoder"], expected = decoder, copy.deepcopy(decoder)
    with torch.no_grad():
        expected(algorithm.networks["encoder"](batch().images))
    assert {"region", "judged_image"} <= {*algorithm.step(batch(), chance())}
    for name, value in expected.named_buffers():
        assert torch.equal(decoder.get_buffer(name), value), name


def test_prototypes_never_flip_what_never_varies() -> None:
    varies = torch.tensor([True, True, False, True, True])
    y = batch(256).attributes
    y[:, 2] = 0
    targets = make(varies=varies, reference_share=0.0).edit_targets.draw(y, chance())
    assert not targets.change[:, 2].any()
    assert targets.change[:, [0, 1, 3]].any(0).all()


def test_a_group_shows_where_its_picture_changes_by_half_of_the_most() -> None:
    images = torch.zeros(1, 3, 16, 16)
    other = images.clone()
    other[:, 1, 2:7, 2:7], other[:, 1, 9:12, 9:12] = 1.5, 0.3
    where = shown(images, other)[0, 0]
    assert where[4, 4] == 1
    assert where[10, 10] == pytest.approx((2 * 0.3 / 1.5) ** 3)
    assert not where[:, 15].any()
    assert not shown(images, images).any()
    # Where nothing changes much, little shows.
    assert shown(images, 0.2 * other)[0, 0, 4, 4] == pytest.approx(1)
    assert shown(images, 0.1 * other)[0, 0, 4, 4] == pytest.approx((2 * 0.15 / 0.6) ** 3)


def test_prototype_losses_are_those_of_a_conditional_autoencoder() -> None:
    algorithm, y = make(), batch().attributes
    prototypes, judge = algorithm.networks["prototypes"], algorithm.networks["code_classifier"]
    with torch.no_grad():
        features = algorithm.networks["encoder"](batch().images)
        mean, logvar = prototypes.encode(features, y)
        noise = torch.randn(mean.shape, generator=chance(3))
        code = mean + noise * (logvar / 2).exp()
        posterior = torch.distributions.Normal(mean, (logvar / 2).exp())
        prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        guess = judge(code)
        expected = {
            "prototype": 0.5 * (prototypes.decode(code, y) - features).square().sum() / len(y),
            "code": torch.distributions.kl_divergence(posterior, prior).sum() / len(y),
            "hide": F.binary_cross_entropy_with_logits(guess, y.mean(0).expand_as(y), reduction="sum") / len(y),
            "classify_code": F.binary_cross_entropy_with_logits(guess, y, reduction="sum") / len(y),
        }
    found = algorithm._teach_prototypes(features, y, chance(3))
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name
    assert {n for n, g in gradients(algorithm).items() if g.any()} == {"prototypes", "code_classifier"}


def test_unknown_attributes_are_no_aim() -> None:
    algorithm, y = make(), batch().attributes
    y[:, 0] = torch.nan
    targets = algorithm.edit_targets.draw(y, chance())
    assert targets.z_int[:, 0].isnan().all()
    values = algorithm.step(Batch(batch().images, y), chance())
    assert all(value.isfinite() for value in values.values())
    assert all(value.isfinite().all() for value in parameters(algorithm).values())


def test_a_restored_run_with_mean_prototypes_ends_with_the_same_bits() -> None:
    """With learned ones: tests/methods/test_runs.py."""

    def run(algorithm: object, start: int, stop: int) -> None:
        for step in range(start, stop):
            algorithm.step(batch(seed=step), chance(step))  # type: ignore[attr-defined]

    settings = {"generator_every": 2, "warmup_images": 8, "full_share": 0.5}
    whole, first, second = (make(seed, learned=False, **settings) for seed in (0, 0, 1))
    run(whole, 0, 5)
    run(first, 0, 3)
    second.load_state(first.state())
    run(second, 3, 5)
    ended, resumed = parameters(whole), parameters(second)
    assert all(torch.equal(ended[name], resumed[name]) for name in ended)


def test_a_run_does_not_go_on_with_another_perceptual_network() -> None:
    state = make().state() | {"perceptual": "VGG-19"}
    with pytest.raises(ValueError, match="VGG-19"):
        make().load_state(state)


def test_images_and_labels_are_learned_by_heart() -> None:
    weights = dict.fromkeys(DIFFERENT, 1.0) | {"pixel": 100.0}
    algorithm = make(weights=weights, width=8, rate=4e-3, warmup_images=10_000)
    first = algorithm.step(batch(), chance())
    for step in range(40):
        last = algorithm.step(batch(), chance(step))
    assert last["psnr"] > first["psnr"] + 5
    assert last["head_accuracy"] > 0.95


@pytest.mark.parametrize("term", ["homomorphism", "judged_image", "full", "adversarial", "answer", "region"])
def test_the_interpolator_learns_to_reach_its_aims(term: str) -> None:
    """With everybody else still, each of its losses goes down."""
    only = dict.fromkeys(DIFFERENT, 0.0) | {term: 1.0}
    # These two are small from the beginning: what is asked comes in by itself.
    rate = 1e-3 if term in ("full", "answer") else 1e-2
    algorithm = make(weights=only, width=8, rate=rate, encoder_share=0.0)
    for name in ("encoder", "decoder", "critic", "classifier", "projection"):
        for group in algorithm.optimisers[name].param_groups:
            group["lr"] = 0.0
    values = [float(algorithm.step(batch(), chance())[term]) for _ in range(15)]
    assert values[-1] < values[0] - 0.01 * abs(values[0])
    assert values[-1] < values[5] < values[0]


def test_mean_prototypes_are_differences_of_means() -> None:
    algorithm = make(learned=False)
    parts = [batch(6, 1), batch(5, 2)]
    prototypes = algorithm.extras(algorithm.networks, parts)["prototypes"].differences
    with torch.no_grad():
        features = torch.cat([algorithm.networks["encoder"](part.images) for part in parts])
    y = torch.cat([part.attributes for part in parts])
    for column in range(SCHEMA.width):
        expected = features[y[:, column] > 0.5].mean(0) - features[y[:, column] < 0.5].mean(0)
        torch.testing.assert_close(prototypes[column], expected, atol=1e-5, rtol=1e-4)
    assert algorithm.kept == ("encoder", "interpolator", "decoder", "classifier")
    assert make().extras(make().networks, parts) == {}
