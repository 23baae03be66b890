"""Moving centres against a dictionary of plain lists."""

import math

import pytest
import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.cvae_gan.step import Centres
from tests.methods.cvae_gan.small_family import MIXED, ONE_CLASS, batch, chance, clone, evaluate, make


class Dictionary:
    """Centres value by value, feature by feature, in Python numbers."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.centres: dict[int, list[float]] = {}

    def update(self, features: Tensor, member: Tensor) -> list[int]:
        """Move the centres of the values that the batch has; return those values."""
        present = []
        for value in range(member.shape[1]):
            rows = [row for row, has in zip(features.tolist(), member[:, value].tolist(), strict=True) if has]
            if not rows:
                continue
            present.append(value)
            mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
            old = self.centres.get(value)
            self.centres[value] = (
                mean
                if old is None
                else [self.momentum * o + (1 - self.momentum) * m for o, m in zip(old, mean, strict=True)]
            )
        return present


def draw(seed: int, count: int = 6, values: int = 5, features: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    member = (torch.rand(count, values, generator=generator) < 0.2).float()
    return torch.randn(count, features, generator=generator), member


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_centres_are_those_of_the_dictionary(momentum: float) -> None:
    centres, real, generated = Centres(momentum), Dictionary(momentum), Dictionary(momentum)
    absent = 0
    for step in range(8):
        (x, mx), (g, mg) = draw(2 * step), draw(2 * step + 1)
        real.update(x, mx)
        present = generated.update(g, mg)
        use = [value for value in present if value in real.centres]
        absent += 5 - len(use)
        found_real, found_generated = centres.update(x, mx, g, mg)
        others = [value for value in range(len(found_real)) if value not in use]
        torch.testing.assert_close(found_real[use], torch.tensor([real.centres[v] for v in use]).view(-1, 3))
        torch.testing.assert_close(found_generated[use], torch.tensor([generated.centres[v] for v in use]).view(-1, 3))
        assert not found_real[others].any()
        assert not found_generated[others].any()
    assert absent > 3  # some batches lacked values: the case that matters was met


def test_the_first_batch_of_a_value_sets_its_centre() -> None:
    centres = Centres(0.9)
    features, none = torch.tensor([[2.0, 4.0], [4.0, 8.0]]), torch.zeros(2, 2)
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    real, generated = centres.update(features, first, features + 1, first)
    assert real.tolist() == [[3.0, 6.0], [0.0, 0.0]]
    assert generated.tolist() == [[4.0, 7.0], [0.0, 0.0]]
    real, generated = centres.update(features, first.flip(1), 2 * features, first.flip(1))
    assert real.tolist() == [[0.0, 0.0], [3.0, 6.0]]
    assert generated.tolist() == [[0.0, 0.0], [6.0, 12.0]]
    # A value that is not generated now adds nothing, though it has centres.
    real, generated = centres.update(features, first, features, none)
    assert not real.any()
    assert not generated.any()


def test_a_value_never_seen_in_real_images_adds_nothing() -> None:
    centres = Centres(0.9)
    features = torch.ones(2, 3)
    real, generated = centres.update(features, torch.tensor([[1.0, 0.0]] * 2), features, torch.tensor([[0.0, 1.0]] * 2))
    assert not real.any()
    assert not generated.any()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_gradient_is_that_of_the_batch_mean_and_not_shrunk(momentum: float) -> None:
    centres = Centres(momentum)
    (x, _), (g, _) = draw(0, values=2), draw(1, values=2)
    member = torch.tensor([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 4)
    centres.update(x, member, g, member)
    leaf = (g + 1).requires_grad_()
    real, generated = centres.update(x.requires_grad_(), member, leaf, member)
    weights = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
    (weights * (generated - real)).sum().backward()
    # d centre(v) / d row = 1 / (rows of v), whatever the momentum.
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, member @ (weights / member.sum(0)[:, None]))
    assert x.grad is None


def test_centres_of_half_precision_features_are_kept_in_full() -> None:
    (x, mx), (g, mg) = draw(0, count=32), draw(1, count=32)
    plain, cast = Centres(0.5), Centres(0.5)
    expected = plain.update(x, mx, g, mg)
    with torch.autocast("cpu", torch.bfloat16):
        found = cast.update(x, mx, g, mg)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_a_restored_average_goes_on_with_the_same_bits() -> None:
    whole, first, second = Centres(0.9), Centres(0.9), Centres(0.9)
    second.load_state(first.state())
    for step in range(6):
        now = first if step < 3 else second
        if step == 3:
            second.load_state(first.state())
        arguments = (*draw(2 * step), *draw(2 * step + 1))
        expected, found = whole.update(*arguments), now.update(*arguments)
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_membership_has_two_values_for_a_binary_attribute_and_one_for_a_class() -> None:
    algorithm = make("cvae-gan")
    y = torch.tensor([[1, 0, 1, 0, 1, 0, 0.9], [0, 1, 0, 1, 0, 0, -3]])
    y[1, 1] = math.nan
    # Smiling, Blond, Black: those that have it, those that lack it; then the three persons; age has no values.
    assert algorithm.membership(y).tolist() == [
        [1, 0, 1, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 1, 1, 0, 0],
    ]
    y[:, 3:6] = math.nan
    assert not algorithm.membership(y)[:, 6:].any()
    assert not algorithm.membership(MIXED.fill_value[None]).any()


def test_membership_of_a_single_class_is_its_one_hot_code() -> None:
    algorithm = make("cvae-gan", schema=ONE_CLASS)
    _, y = batch(schema=ONE_CLASS)
    assert torch.equal(algorithm.membership(y), y)


def test_real_attributes_alone_have_no_centres() -> None:
    scores = Schema((Attribute("Smiling", "real"), Attribute("Young", "real")))
    algorithm = make("cvae-gan", schema=scores)
    values = algorithm.step(Batch(*batch(schema=scores)), chance())
    assert values["mean_c"] == 0
    assert values["mean_d"] > 0


def test_mean_c_is_the_sum_over_values_of_the_dictionarys_distances() -> None:
    algorithm = make("cvae-gan", momentum=0.5)
    real, generated = Dictionary(0.5), Dictionary(0.5)
    for step in range(3):
        images, y = batch(seed=step)
        if step == 1:
            y[:3, 0] = math.nan
        seen = evaluate(clone(algorithm), (images, y), seed=step)
        value = algorithm.step(Batch(images, y), chance(step))["mean_c"]
        real.update(seen.c_r[1].detach(), algorithm.membership(y))
        present = generated.update(seen.c_p[1].detach(), algorithm.membership(seen.y_p))
        expected = sum(
            0.5 * (r - g) ** 2
            for v in present
            if v in real.centres
            for r, g in zip(real.centres[v], generated.centres[v], strict=True)
        )
        assert value.item() == pytest.approx(expected, rel=1e-4)
