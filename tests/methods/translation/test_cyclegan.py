"""CycleGAN: its losses by hand, who learns from what, its memory, resumed runs, and four images learned by heart."""

import pytest
import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.translation.networks import GENERATORS, UnetGenerator
from attrimorph.methods.translation.recipe import (
    DomainOptions,
    TranslationLossOptions,
    TranslationNetworkOptions,
    TranslationRecipe,
)
from attrimorph.methods.translation.step import DISCRIMINATORS, CycleGAN, DomainBank, ImagePool
from attrimorph.recipe import DataOptions, OptimiserOptions, TrainingOptions

SIZE = 32
SCHEMA = Schema((Attribute("Young"), Attribute("Smiling")))


def make(seed: int = 0, *, rate: float = 2e-4, **losses: float) -> CycleGAN:
    recipe = TranslationRecipe(
        name="small",
        data=DataOptions(image_size=SIZE),
        domains=DomainOptions(attribute="Smiling"),
        networks=TranslationNetworkOptions(blocks=1, generator_width=4, discriminator_width=4),
        losses=TranslationLossOptions(**losses),  # type: ignore[arg-type]
        optimiser=OptimiserOptions(learning_rate=rate, beta1=0.9, beta2=0.999),
        training=TrainingOptions(seed=seed),
    )
    return CycleGAN.build(recipe, SCHEMA)


def batch(count: int = 4, seed: int = 0) -> Batch:
    """Dark images are without, light ones with; the last label is missing."""
    generator = torch.Generator().manual_seed(seed)
    with_it = torch.arange(count) % 2 == 1
    coarse = torch.rand(count, 3, 4, 4, generator=generator) - with_it[:, None, None, None].logical_not().float()
    images = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    labels = torch.stack([torch.full((count,), torch.nan), with_it.float()], 1)
    return Batch(images, labels)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(algorithm: CycleGAN) -> dict[str, Tensor]:
    return {n: torch.cat([p.detach().flatten() for p in net.parameters()]) for n, net in algorithm.networks.items()}


def test_losses_are_the_paper_s() -> None:
    algorithm = make()
    nets = algorithm.networks
    a, b, ready = algorithm.domains(batch(), chance())
    assert ready == 1
    with torch.no_grad():
        made_b, made_a = nets["generator_with"](a), nets["generator_without"](b)
        back_a, back_b = nets["generator_without"](made_b), nets["generator_with"](made_a)
        of_b, of_a = nets["discriminator_with"](made_b), nets["discriminator_without"](made_a)
        expected = {
            "fool": (of_b - 1).square().mean() + (of_a - 1).square().mean(),
            "cycle": (back_a - a).abs().mean() + (back_b - b).abs().mean(),
            "identity": (nets["generator_with"](b) - b).abs().mean() + (nets["generator_without"](a) - a).abs().mean(),
            "discriminator_with": 0.5 * ((nets["discriminator_with"](b) - 1).square().mean() + of_b.square().mean()),
            "discriminator_without": 0.5
            * ((nets["discriminator_without"](a) - 1).square().mean() + of_a.square().mean()),
        }
    found = make().step(batch(), chance())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name


@pytest.mark.parametrize(
    ("part", "learners"), [("_teach_generators", GENERATORS), ("_teach_discriminators", DISCRIMINATORS)]
)
def test_each_loss_reaches_its_learners_only(part: str, learners: tuple[str, ...]) -> None:
    algorithm = make()
    a, b, ready = algorithm.domains(batch(), chance())
    if part == "_teach_generators":
        algorithm._teach_generators(a, b, ready)
    else:
        made = torch.rand_like(a, requires_grad=True)
        algorithm._teach_discriminators(a, b, made, made, ready, chance())
        assert made.grad is None
    touched = {
        n for n, net in algorithm.networks.items() if any(p.grad is not None and p.grad.any() for p in net.parameters())
    }
    assert touched == set(learners)


def test_weights_scale_their_terms() -> None:
    """Total gradient = fool + 10 cycle + 5 identity, by the gradients of runs with other weights."""

    def gradient(cycle: float, identity: float) -> Tensor:
        algorithm = make(cycle=cycle, identity=identity)
        a, b, ready = algorithm.domains(batch(), chance())
        algorithm._teach_generators(a, b, ready)
        return torch.cat(
            [p.grad.flatten() for p in algorithm.networks["generator_with"].parameters() if p.grad is not None]
        )

    fool, with_cycle, whole = gradient(0, 0), gradient(10, 0), gradient(10, 0.5)
    torch.testing.assert_close(gradient(20, 0), fool + 2 * (with_cycle - fool), atol=1e-4, rtol=1e-2)
    torch.testing.assert_close(gradient(10, 1.0), with_cycle + 2 * (whole - with_cycle), atol=1e-4, rtol=1e-2)
    # The weight of identity is a share of that of cycle: both double together.
    torch.testing.assert_close(gradient(20, 0.5), fool + 2 * (whole - fool), atol=1e-4, rtol=1e-2)


def test_a_step_lowers_each_discriminator_s_own_loss() -> None:
    algorithm = make(rate=2e-3, pool=0)
    for group in algorithm.optimisers["generators"].param_groups:
        group["lr"] = 0.0
    values = [algorithm.step(batch(), chance()) for _ in range(8)]
    for name in DISCRIMINATORS:
        assert values[-1][name] < 0.9 * values[0][name]


def test_until_both_domains_have_been_seen_nothing_moves() -> None:
    algorithm = make()
    before = parameters(algorithm)
    only = batch()
    values = algorithm.step(Batch(only.images[:1], only.attributes[:1]), chance())
    assert all(value.isfinite() for value in values.values())
    assert all(torch.equal(before[name], value) for name, value in parameters(algorithm).items())
    algorithm.step(Batch(only.images[1:2], only.attributes[1:2]), chance())
    assert not torch.equal(before["generator_with"], parameters(algorithm)["generator_with"])


def test_until_both_domains_have_been_seen_nothing_is_remembered() -> None:
    algorithm, only = make(), batch()
    for step in range(3):
        algorithm.step(Batch(only.images[:1], only.attributes[:1]), chance(step))
    assert [len(pool.images) for pool in algorithm.pools.values()] == [0, 0]
    algorithm.step(Batch(only.images[1:2], only.attributes[1:2]), chance())
    assert [len(pool.images) for pool in algorithm.pools.values()] == [1, 1]


def test_dropout_draws_from_the_step_s_own_chance() -> None:
    found = []
    for seed in (1, 2):
        algorithm = make()
        for name in GENERATORS:
            torch.manual_seed(0)
            algorithm.networks[name] = UnetGenerator(SIZE, 4, dropout=0.5)
        torch.manual_seed(seed)
        found.append(algorithm.step(batch(), chance())["cycle"])
    assert torch.equal(*found)


def test_a_checkpoint_read_to_the_cpu_goes_on_elsewhere() -> None:
    pool, bank = ImagePool(2), DomainBank(2)
    images = torch.ones(2, 3, 4, 4)
    pool(images, chance())
    bank.add(images, torch.tensor([True, False]))
    again, filled = ImagePool(2), DomainBank(2)
    again.load_state(pool.state())
    filled.load_state(bank.state())
    there = images.to("meta")
    for seed in range(3):
        assert again(there, chance(seed)).device.type == "meta"
    filled.add(there, torch.tensor([True, True], device="meta"))
    assert filled.draw(torch.zeros(2, device="meta")).device.type == "meta"


def test_images_are_learned_by_heart() -> None:
    algorithm = make(rate=2e-3)
    data = batch(2)
    a, b = data.images[:1], data.images[1:]
    for step in range(40):
        algorithm.step(data, chance(step))
    with torch.no_grad():
        made = algorithm.networks["generator_with"](a)
        back = algorithm.networks["generator_without"](made)
    # It became light, and found its way back.
    assert (made.mean() - b.mean()).abs() < 0.35 < (a.mean() - b.mean()).abs()
    assert (back - a).abs().mean() < 0.2


def test_the_pool_keeps_then_exchanges() -> None:
    pool = ImagePool(4)
    generator = chance()
    first = torch.arange(4.0)[:, None, None, None]
    assert torch.equal(pool(first, generator), first)
    returned, seen = [], set()
    for number in range(4, 400):
        image = torch.full((1, 1, 1, 1), float(number))
        back = pool(image, generator).item()
        returned.append(back == number)
        assert back == number or back not in seen
        seen.add(back)
    # Half of the time the new one; an image is given back at most once.
    assert 0.4 < sum(returned) / len(returned) < 0.6
    assert torch.equal(ImagePool(0)(first, generator), first)


def test_a_bank_keeps_the_newest_of_its_domain() -> None:
    bank = DomainBank(3)
    for number in range(10):
        image = torch.full((2, 1, 1, 1), float(number))
        bank.add(image, torch.tensor([number % 2 == 0, False]))
    drawn = bank.draw(torch.linspace(0, 0.999, 30)).flatten()
    assert set(drawn.tolist()) == {4.0, 6.0, 8.0}
    empty = DomainBank(3)
    empty.add(torch.ones(2, 1, 1, 1), torch.tensor([False, False]))
    assert empty.ready == 0
    assert not empty.draw(torch.rand(2)).any()
