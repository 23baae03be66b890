"""Who learns from what: every method's matrix, typed from the papers and checked term by term by gradients."""

from functools import cache

import pytest
import torch
from torch import Tensor

from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.recipe import METHODS, Term
from attrimorph.methods.cvae_gan.step import CVAEGAN, LOSSES, grouped
from attrimorph.methods.recipes import recipe_named
from tests.methods.cvae_gan.small_family import (
    NAMES,
    WEIGHTS,
    batch,
    clone,
    evaluate,
    gradients,
    make,
    no_gradients,
    parameters,
    terms_of,
    touched,
)

FAMILY = {"classify_real": "C", "real_or_fake_3": "D", "mean_d": "G", "mean_c": "G", "kl": "E"}
"""What CVAE-GAN and its ablations share: G never learns from a cross-entropy, nor D and C from a feature."""

MATRIX: dict[str, dict[str, str]] = {
    "vae": {"image": "EG", "kl": "E"},
    "cvae": {"image": "EG", "kl": "E"},
    "gan": {"real_or_fake": "D", "non_saturating": "G"},
    "cgan": {"real_or_fake": "D", "non_saturating": "G"},
    "ac-gan": {"real_or_fake": "D", "non_saturating": "G", "classify_both": "DG"},
    "lsgan": {"least_squares": "D", "least_squares_fool": "G"},
    "hinge-gan": {"hinge": "D", "wasserstein_fool": "G"},
    "wgan": {"wasserstein": "D", "wasserstein_fool": "G"},
    "wgan-gp": {"wasserstein": "D", "gradient_penalty": "D", "wasserstein_fool": "G"},
    "loss-sensitive-gan": {"loss_sensitive": "D", "wasserstein_fool": "G"},
    "mcgan": {"wasserstein": "D", "wasserstein_fool": "G"},
    "fm-gan": {"real_or_fake": "D", "mean_d": "G"},
    "fm-cgan": {"real_or_fake": "D", "classify_real": "C", "mean_d": "G", "mean_c": "G"},
    "vae-gan": {"real_or_fake_3": "D", "feature_d": "EG", "non_saturating_2": "G", "kl": "E"},
    "aae": {"image": "EG", "code_real_or_fake": "S", "code_fool": "E"},
    "cvae-gan": FAMILY | {"image": "EG", "feature_d": "EG", "feature_c": "EG"},
    "cvae-gan-without-image": FAMILY | {"feature_d": "EG", "feature_c": "EG"},
    "cvae-gan-without-feature-d": FAMILY | {"image": "EG", "feature_c": "EG"},
    "cvae-gan-without-feature-c": FAMILY | {"image": "EG", "feature_d": "EG"},
    "cvae-gan-edit": FAMILY
    | {"image": "EG", "feature_d": "EG", "feature_c": "EG"}
    | {"classify_sample": "G", "non_saturating": "G", "classify_code": "K", "hide": "E"},
}
UNCONDITIONAL = {
    *("vae", "gan", "lsgan", "hinge-gan", "wgan", "wgan-gp", "loss-sensitive-gan", "mcgan", "fm-gan", "vae-gan", "aae"),
}
EVERY_TERM = [(method, loss) for method, row in MATRIX.items() for loss in row]


@cache
def _warm(method: str, momentum: float) -> CVAEGAN:
    algorithm = make(method, edited_share=0.5 if method == "cvae-gan-edit" else 0.0, momentum=momentum)
    algorithm.backward(grouped(algorithm.method.terms), evaluate(algorithm, batch(seed=7), seed=7))
    no_gradients(algorithm)
    return algorithm


def warm(method: str, momentum: float = 0.5) -> CVAEGAN:
    """An algorithm whose moving centres have seen a batch; half of an editor's samples are edits."""
    return clone(_warm(method, momentum))


def learners(method: str, loss: str) -> set[str]:
    return {NAMES[letter] for letter in MATRIX[method][loss]}


def term_of(algorithm: CVAEGAN, loss: str) -> Term:
    return next(term for term in algorithm.method.terms if term.loss == loss)


def weight_of(term: Term) -> float:
    return 1.0 if term.weight == "one" else WEIGHTS[term.weight]


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Equal but for the order of additions."""
    assert (found - expected).abs().max() <= 4e-6 * expected.abs().max().clamp_min(1e-3)


def test_the_family_is_the_published_one() -> None:
    assert {name: {term.loss for term in row.terms} for name, row in METHODS.items()} == {
        name: set(row) for name, row in MATRIX.items()
    }
    assert {name for name, row in METHODS.items() if not row.conditional} == UNCONDITIONAL
    assert {name for name, row in METHODS.items() if row.judged_with_condition} == {"cgan"}
    assert {name: row.critic_steps for name, row in METHODS.items() if row.critic_steps != 1} == {
        "wgan": 5,
        "wgan-gp": 5,
        "mcgan": 5,
    }
    assert {name: row.clip for name, row in METHODS.items() if row.clip} == {"wgan": 0.01, "mcgan": 0.01}
    assert {name for name, row in METHODS.items() if row.optimiser == "rmsprop"} == {"wgan", "mcgan"}
    assert {name for name, row in METHODS.items() if row.class_head} == {"ac-gan"}
    assert {name for name, row in METHODS.items() if row.components} == {"mcgan"}
    assert {name for name, row in METHODS.items() if row.phases} == {"aae"}


def test_networks_step_in_the_order_of_the_paper() -> None:
    assert METHODS["cvae-gan"].networks == ("classifier", "discriminator", "generator", "encoder")
    assert METHODS["aae"].networks == ("code_discriminator", "generator", "encoder")


@pytest.mark.parametrize(("method", "loss"), EVERY_TERM)
def test_a_term_alone_reaches_its_learners_only(method: str, loss: str) -> None:
    algorithm = warm(method)
    algorithm.backward(grouped([term_of(algorithm, loss)]), evaluate(algorithm, batch()))
    assert touched(gradients(algorithm)) == learners(method, loss)


@pytest.mark.parametrize(("method", "loss"), EVERY_TERM)
def test_a_term_among_all_the_others_changes_its_learners_only(method: str, loss: str) -> None:
    algorithm = warm(method)
    other = clone(algorithm)
    algorithm.backward(grouped(terms_of(algorithm)), evaluate(algorithm, batch()))
    other.backward(grouped(terms_of(other, less=loss)), evaluate(other, batch()))
    whole, rest = gradients(algorithm), gradients(other)
    for name in algorithm.networks:
        if name in learners(method, loss):
            assert (whole[name] - rest[name]).abs().max() > 1e-4 * whole[name].abs().max()
        else:
            assert_near(whole[name], rest[name])


@pytest.mark.parametrize("method", MATRIX)
def test_shared_backward_passes_give_what_separate_ones_with_frozen_networks_give(method: str) -> None:
    algorithm = warm(method)
    reference = {name: torch.zeros_like(gradient) for name, gradient in gradients(algorithm).items()}
    for term in algorithm.method.terms:
        frozen = clone(algorithm)
        for name, network in frozen.networks.items():
            network.requires_grad_(name in learners(method, term.loss))
        loss = LOSSES[term.loss][0](evaluate(frozen, batch()))
        loss.backward()
        for name, gradient in gradients(frozen).items():
            reference[name] += weight_of(term) * gradient
    groups = grouped(algorithm.method.terms)
    algorithm.backward(groups, evaluate(algorithm, batch()))
    for name, gradient in gradients(algorithm).items():
        assert_near(gradient, reference[name])
    taught = sorted(
        (term.loss, name) for group in groups for term in group.terms for name in term.learns if name in group.networks
    )
    assert taught == sorted((loss, name) for loss in MATRIX[method] for name in learners(method, loss))


def test_backward_passes_are_shared() -> None:
    # E with KL, C and the reconstruction; G with its means and D; no more than the routing needs.
    assert len(grouped(METHODS["cvae-gan"].terms)) < len(METHODS["cvae-gan"].terms) - 2
    assert len(grouped(METHODS["cvae"].terms)) == 1
    # The editor's too: the judges and the classifier of codes in one, E and G in the other.
    assert len(grouped(METHODS["cvae-gan-edit"].terms)) == 2
    # E learns nothing from D in VAE/GAN, so that each has its own, and G's weights are gone through once.
    assert [sorted(group.networks) for group in grouped(METHODS["vae-gan"].terms)] == [
        ["discriminator"],
        ["encoder"],
        ["generator"],
    ]


@pytest.mark.parametrize("method", MATRIX)
def test_a_weight_scales_its_term_and_zero_takes_it_away(method: str) -> None:
    algorithm = make(method, weights={name: 0.0 for name in WEIGHTS})
    images, y = batch()
    values = {}
    for _ in range(algorithm.method.critic_steps):
        values = algorithm.step(Batch(images, y), torch.Generator().manual_seed(0))
    on = {term.loss for term in algorithm.method.terms if term.weight == "one"}
    assert {name for name in values if name in MATRIX[method]} == on


# What a step on the term alone must raise: the discriminator must not be helped, nor the generator hindered.
EFFECTS = {
    "real_or_fake": ["gap"],
    "real_or_fake_3": ["gap", "gap_f"],
    "least_squares": ["gap"],
    "hinge": ["gap"],
    "wasserstein": ["gap"],
    "loss_sensitive": ["gap"],
    "non_saturating": ["sample"],
    "non_saturating_2": ["sample"],
    "least_squares_fool": ["sample"],
    "wasserstein_fool": ["sample"],
    "code_real_or_fake": ["code_gap"],
    "code_fool": ["code"],
}


def quantity(algorithm: CVAEGAN, name: str) -> float:
    """How far the discriminator tells real from made, or how real it takes the made for; on the one batch."""
    seen = evaluate(algorithm, batch())
    with torch.no_grad():
        return {
            "gap": lambda: seen.d_r[0].mean() - seen.d_p[0].mean(),
            "gap_f": lambda: seen.d_r[0].mean() - seen.d_f[0].mean(),
            "sample": lambda: seen.d_p[0].mean(),
            "code_gap": lambda: seen.code_logits[0].mean() - seen.code_logits[1].mean(),
            "code": lambda: seen.code_logits[1].mean(),
        }[name]().item()


@pytest.mark.parametrize(("method", "loss"), [row for row in EVERY_TERM if "without" not in row[0]])
def test_a_step_on_a_term_lowers_it_as_fast_as_its_gradient_says(method: str, loss: str) -> None:
    algorithm = warm(method, momentum=0.0)
    term = term_of(algorithm, loss)
    groups = grouped([term])
    before = algorithm.backward(groups, evaluate(algorithm, batch()))[loss]
    slope = torch.cat([gradients(algorithm)[name] for name in learners(method, loss)]).norm()
    length = 1e-3
    effects = {name: quantity(algorithm, name) for name in EFFECTS.get(loss, [])}
    for name in learners(method, loss):
        optimiser = algorithm.optimisers[name]
        optimiser.param_groups[0]["lr"] = float(length / slope)
        optimiser.step()
    after = algorithm.backward(groups, evaluate(algorithm, batch()))[loss]
    # First order: a step of that length along the gradient of weight x loss lowers the loss by length x slope / weight.
    assert float((before - after).detach()) == pytest.approx(float(length * slope / weight_of(term)), rel=0.2)
    for name, value in effects.items():
        assert quantity(algorithm, name) > value


@pytest.mark.parametrize("method", MATRIX)
def test_a_step_moves_every_network_of_the_method(method: str) -> None:
    algorithm = make(method)
    before = parameters(algorithm)
    for step in range(algorithm.method.critic_steps):
        algorithm.step(Batch(*batch(seed=step)), torch.Generator().manual_seed(step))
    after = parameters(algorithm)
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(algorithm.method.networks)
    assert set(algorithm.method.networks) == {NAMES[letter] for row in MATRIX[method].values() for letter in row}


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(AttrimorphError, match="there is no method 'cvaegan' of this kind; did you mean 'cvae-gan'"):
        recipe_named("cvae-gan").with_changes({"method": "cvaegan"})
