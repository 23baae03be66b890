"""pix2pix: its losses by hand, its pairs and sources, resumed runs with dropout."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.recipes import recipe_named
from attrimorph.methods.translation.domains import pairs, source_of
from attrimorph.methods.translation.step import Pix2Pix

SIZE = 32


def make(seed: int = 0, *, source: str = "grey", dropout: float = 0.0, rate: float = 2e-4) -> Pix2Pix:
    recipe = recipe_named("pix2pix-64").with_changes(
        {
            "data.image_size": SIZE,
            "domains.source": source,
            "domains.attribute": "Smiling",
            "networks.generator_width": 4,
            "networks.discriminator_width": 4,
            "networks.dropout": dropout,
            "optimiser.learning_rate": rate,
            "optimiser.beta1": 0.9,
            "training.seed": seed,
        }
    )
    return Pix2Pix.build(recipe, Schema((Attribute("Smiling"),)))


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(4, 3, 4, 4, generator=generator) * 2 - 1
    images = F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    return Batch(images, torch.tensor([[0.0], [1], [1], [0]]), masks=(images[:, :1] > 0).float())


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_losses_are_the_paper_s() -> None:
    algorithm, data = make(), batch()
    g, d = algorithm.networks["generator"], algorithm.networks["discriminator"]
    source = source_of(data, "grey")
    with torch.no_grad():
        made = g(source)
        fake, real = d(torch.cat([source, made], 1)), d(torch.cat([source, data.images], 1))
        expected = {
            "fool": -fake.sigmoid().log().mean(),
            "l1": (made - data.images).abs().mean(),
            "discriminator": 0.5 * (-real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()),
        }
    found = make().step(data, chance())
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name


def test_pairs_are_told_apart_by_the_attribute() -> None:
    source, image = pairs(batch(), 0)
    images = batch().images
    assert torch.equal(source, images[[0, 3]])
    assert torch.equal(image, images[[1, 2]])


def test_sources_are_made_of_the_image() -> None:
    data = batch()
    mask, grey, edges = (source_of(data, word) for word in ("mask", "grey", "edges"))
    assert set(mask.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(grey[:, 0], grey[:, 2])
    flat = Batch(torch.full((1, 3, SIZE, SIZE), 0.3), torch.zeros(1, 1))
    torch.testing.assert_close(source_of(flat, "edges"), torch.full((1, 3, SIZE, SIZE), -1.0))
    torch.testing.assert_close(source_of(flat, "grey"), flat.images)
    assert edges.min() >= -1
    assert edges.max() <= 1
    with pytest.raises(ValueError, match="masks"):
        source_of(flat, "mask")


def test_a_restored_run_ends_with_the_same_bits_dropout_included() -> None:
    def run(algorithm: Pix2Pix, start: int, stop: int) -> list[Tensor]:
        for step in range(start, stop):
            torch.manual_seed(step + 100 * start)
            algorithm.step(batch(step), chance(step))
        return [p.detach() for net in algorithm.networks.values() for p in net.parameters()]

    first, second = make(dropout=0.5), make(seed=1, dropout=0.5)
    run(first, 0, 2)
    state = copy.deepcopy(first.state())
    second.load_state(copy.deepcopy(state))
    before = torch.get_rng_state()
    second.step(batch(), chance())
    assert torch.equal(torch.get_rng_state(), before)
    second.load_state(state)
    ended, resumed = run(make(dropout=0.5), 0, 4), run(second, 2, 4)
    assert all(map(torch.equal, ended, resumed))


def test_images_are_learned_by_heart() -> None:
    algorithm, data = make(rate=4e-3), batch()
    first = algorithm.step(data, chance())["l1"]
    for step in range(40):
        last = algorithm.step(data, chance(step))["l1"]
    assert last < 0.5 * first


def test_each_network_learns_from_its_own_losses_only() -> None:
    """With the other's rate at 0, a step moves one network alone."""
    for name in ("generator", "discriminator"):
        algorithm = make()
        for group in algorithm.optimisers[name].param_groups:
            group["lr"] = 0.0
        before = {n: [p.clone() for p in net.parameters()] for n, net in algorithm.networks.items()}
        algorithm.step(batch(), chance())
        moved = {
            n
            for n, net in algorithm.networks.items()
            if any(not torch.equal(a, b) for a, b in zip(before[n], net.parameters(), strict=True))
        }
        assert moved == {"generator", "discriminator"} - {name}
