"""Several steps: sixteen images learned by heart, a resumed run, a run on another precision."""

import itertools

import pytest
import torch
from torch import Tensor

from attrimorph.data.loader import Batch
from attrimorph.methods.cvae_gan.recipe import METHODS
from attrimorph.methods.cvae_gan.step import CVAEGAN, Backward, Forward
from tests.methods.cvae_gan.small_family import batch, chance, make, parameters

WEIGHTS = {
    "kl": 1.0,
    "image": 1.0,
    "feature_d": 0.1,
    "feature_c": 0.1,
    "mean_d": 0.1,
    "mean_c": 0.1,
    "adversarial": 1.0,
    "classify_sample": 1.0,
    "gradient_penalty": 10.0,
    "hide": 1.0,
}


def psnr(algorithm: CVAEGAN, images: Tensor, y: Tensor) -> float:
    """Of reconstructions from the mean, in decibels, for a range of 2."""
    with torch.no_grad():
        mean, _ = algorithm.networks["encoder"](images, y)
        made = algorithm.networks["generator"](mean, y)
    return float(10 * torch.log10(4 / (images - made).square().mean()))


def test_sixteen_images_are_learned_by_heart() -> None:
    algorithm = make(
        "cvae", optimiser="adam", rate=4e-3, weights=WEIGHTS | {"kl": 0.01}, width=12, image_size=32, latent=32
    )
    images, y = batch(16, image_size=32)
    assert psnr(algorithm, images, y) < 15
    for step in range(150):
        algorithm.step(Batch(images, y), chance(step))
    assert psnr(algorithm, images, y) > 27
    # By heart, not an average: each reconstruction is nearest to its own image.
    with torch.no_grad():
        made = algorithm.networks["generator"](algorithm.networks["encoder"](images, y)[0], y)
    distance = torch.cdist(made.flatten(1), images.flatten(1))
    assert torch.equal(distance.argmin(1), torch.arange(16))


def test_the_classifier_learns_sixteen_labels_by_heart() -> None:
    algorithm = make("fm-cgan", optimiser="adam", rate=2e-3, weights=WEIGHTS)
    images, y = batch(16)
    first = last = algorithm.step(Batch(images, y), chance(0))
    for step in range(1, 40):
        last = algorithm.step(Batch(images, y), chance(step))
    assert first["c_accuracy"] < 0.9
    assert last["c_accuracy"] == 1
    assert last["classify_real"] < 0.1 * first["classify_real"]


@pytest.mark.parametrize("method", ["wgan", "mcgan", "ac-gan", "cvae-gan", "aae"])
def test_a_restored_run_ends_with_the_same_bits(method: str) -> None:
    def run(algorithm: CVAEGAN, start: int, stop: int) -> None:
        for step in range(start, stop):
            algorithm.step(Batch(*batch(seed=step)), chance(step))

    whole, first, second = (make(method, optimiser="adam", weights=WEIGHTS, seed=seed) for seed in (0, 0, 1))
    run(whole, 0, 7)
    run(first, 0, 3)
    second.load_state(first.state())
    run(second, 3, 7)
    ended, resumed = parameters(whole), parameters(second)
    assert all(torch.equal(ended[name], resumed[name]) for name in ended)
    assert whole.steps == second.steps == 7


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_a_function_of_batch_and_generator(method: str) -> None:
    one, other = make(method), make(method)
    torch.manual_seed(1)
    one.step(Batch(*batch()), chance())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other.step(Batch(*batch()), chance())
    assert torch.equal(torch.get_rng_state(), before)
    first, second = parameters(one), parameters(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_warm_up_trains_on_the_terms_without_samples_and_ends_by_the_clock() -> None:
    algorithm = make("cvae-gan-edit", weights=WEIGHTS)
    algorithm.warmup_images = 12
    for step in range(3):
        before = parameters(algorithm)
        values = algorithm.step(Batch(*batch(8)), chance(step))
        after = parameters(algorithm)
        moved = {name for name in after if not torch.equal(before[name], after[name])}
        # Images 0 and 8 are before the twelfth, 16 is not.
        if step < 2:
            assert moved == {"encoder", "generator", "classifier", "code_classifier"}
            assert "mean_d" not in values
        else:
            assert moved == set(algorithm.networks)
            assert "mean_d" in values
    assert algorithm.images_seen == 24


def test_the_phases_of_an_aae_follow_one_another_each_with_an_optimiser_of_its_own() -> None:
    algorithm = make("aae", optimiser="adam", weights=WEIGHTS)
    assert set(algorithm.optimisers) == {"encoder", "generator", "code_discriminator", "encoder_3"}
    taught, seen, backward = [], [], algorithm.backward

    def watched(groups: list[Backward], evaluation: Forward) -> dict[str, Tensor]:
        taught.append([term.loss for group in groups for term in group.terms])
        seen.append(parameters(algorithm))
        return backward(groups, evaluation)

    algorithm.backward = watched  # type: ignore[method-assign]
    algorithm.step(Batch(*batch()), chance())
    seen.append(parameters(algorithm))
    assert taught == [["image"], ["code_real_or_fake"], ["code_fool"]]
    moved = [
        {name for name in before if not torch.equal(before[name], after[name])}
        for before, after in itertools.pairwise(seen)
    ]
    assert moved == [{"encoder", "generator"}, {"code_discriminator"}, {"encoder"}]


def test_the_prior_of_an_aae_is_not_drowned_by_its_pixels() -> None:
    def way(weight: float) -> Tensor:
        """How far the last phase moves E, beside an error of the pixels of that weight."""
        algorithm = make("aae", optimiser="adam", weights=WEIGHTS | {"image": weight})
        generator = chance()
        algorithm._phases, last = algorithm._phases[:2], algorithm._phases[2:]
        for _ in range(3):
            algorithm.step(Batch(*batch()), generator)
        before = parameters(algorithm)["encoder"]
        evaluation = Forward(algorithm, *batch(), generator)
        algorithm.backward(last[0], evaluation)
        algorithm.update("encoder", by=lambda name: algorithm.method.optimiser_of(name, 2))
        return (parameters(algorithm)["encoder"] - before).norm()

    assert way(1e4) == pytest.approx(float(way(1.0)), rel=0.1)


def test_an_annealed_weight_of_kl_rises_by_the_clock() -> None:
    """Images 8 and 16 of 32: a quarter and a half of the weight; then all of it."""
    plain, risen = (make("cvae", weights=WEIGHTS | {"image": 0.0}) for _ in range(2))
    risen.kl_images = 32
    shares = []
    for step in range(5):
        steps = []
        for one in (plain, risen):
            one.load_state(make("cvae", weights=WEIGHTS | {"image": 0.0}).state() | {"images_seen": 8 * step})
            one.step(Batch(*batch(8)), chance(0))
            steps.append(torch.cat([p.grad.flatten() for p in one.parameters("encoder") if p.grad is not None]))
        shares.append(float(steps[1].norm() / steps[0].norm()))
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1], rel=1e-4)


def test_a_step_in_bfloat16_is_near_the_one_in_float32() -> None:
    full, half = make("cvae-gan", weights=WEIGHTS), make("cvae-gan", weights=WEIGHTS)
    half.autocast = torch.bfloat16
    expected, found = full.step(Batch(*batch()), chance()), half.step(Batch(*batch()), chance())
    for term in full.method.terms:
        assert found[term.loss].item() == pytest.approx(expected[term.loss].item(), rel=0.1)
        assert found[term.loss].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in half.networks["generator"].parameters())
