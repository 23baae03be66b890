"""Axes from a few examples: where they should lie, how sure they say they are, and when they must not be sure."""

import pytest
import torch
from torch import Tensor

from attrimorph.applications.axes.examples import (
    axis_from_codes,
    axis_from_examples,
    dealt,
    draw_pool,
    probe,
    sentence,
)
from attrimorph.applications.axes.linear import cosines
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code
from tests.applications.axes.linear_world import LATENT, LinearGenerator, LinearJudge


@pytest.fixture(scope="module")
def model() -> LinearGenerator:
    return LinearGenerator()


@pytest.fixture(scope="module")
def judge(model: LinearGenerator) -> LinearJudge:
    return LinearJudge(model)


def features(images: Tensor) -> Tensor:
    return images.flatten(1)[:, ::3]


def examples(model: LinearGenerator, judge: LinearJudge, count: int, seed: int = 30) -> tuple[Tensor, Tensor]:
    """`count` pictures with the first attribute and as many without."""
    images = model.decode(next(drawn_codes(model, 256, seed)))
    seen = judge(images)[:, 0] > 0.5
    return images[seen][:count], images[~seen][:count]


def test_a_probe_is_a_weighted_ridge_regression_and_judges_what_it_did_not_see() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 20, generator=generator).double()
    signs = torch.tensor([1, 1, 1, -1, -1, -1, -1, -1, -1]).double()
    joined = torch.cat([x, torch.ones(9, 1).double()], 1)
    ridge = torch.full((21,), 0.7).double()
    ridge[-1] = 1e-6
    found = probe(x, signs, 0.7)

    def solve(rows: Tensor) -> Tensor:
        left, kind = joined[rows], signs[rows]
        weight = torch.where(kind > 0, 1 / (kind > 0).sum(), 1 / (kind < 0).sum()) * len(rows) / 2
        return torch.linalg.solve(left.T @ (left * weight[:, None]) + torch.diag(ridge), left.T @ (weight * kind))

    torch.testing.assert_close(found.slope, solve(torch.arange(9))[:-1], rtol=1e-8, atol=1e-10)
    folds = dealt(signs)
    assert sorted(folds[:3].tolist()) == [0, 1, 2]
    assert torch.bincount(folds[3:]).tolist() == [2, 2, 2]
    for row in range(9):
        others = (folds != folds[row]).nonzero()[:, 0]
        assert float(found.left_out[row]) == pytest.approx(float(joined[row] @ solve(others)), rel=1e-6)


def test_examples_without_rhyme_are_told_about_as_often_as_a_coin_would() -> None:
    # Leaving out one at a time would tell most of them wrongly: the rest then holds more of the other kind.
    signs = torch.cat([torch.ones(10), -torch.ones(10)]).double()
    right = []
    for seed in range(40):
        x = torch.randn(20, 30, generator=torch.Generator().manual_seed(seed)).double()
        right.append(float((probe(x, signs).left_out * signs > 0).double().mean()))
    assert sum(right) / 40 == pytest.approx(0.5, abs=0.08)


def test_the_penalty_is_the_best_of_those_tried() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 40, generator=generator).double()
    signs = torch.where(x[:, 0] > 0, 1.0, -1.0).double()
    chosen = probe(x, signs)
    for penalty in (1e-3, 1.0, 1e3):
        other = probe(x, signs, penalty)
        assert (chosen.left_out - signs).square().mean() <= (other.left_out - signs).square().mean() * 1.15


def test_twenty_examples_find_the_axis_and_say_how_surely(model: LinearGenerator, judge: LinearJudge) -> None:
    positive, negative = examples(model, judge, 10)
    axis = axis_from_examples(model, "Bright", features, positive, negative, by="pixels")
    true = float(cosines(axis.direction[None], judge.axes[:1]))
    assert true > 0.6
    # What it expects of itself is about what it is.
    assert axis.facts["expected cosine to the axis of endless examples"] == pytest.approx(true, abs=0.15)
    assert axis.facts["told when left out"] >= 0.6
    assert axis.low < 0 < axis.high
    assert sentence(axis).startswith("Bright: ")


def test_more_examples_are_surer_and_better(model: LinearGenerator, judge: LinearJudge) -> None:
    pool = draw_pool(model, features, by="pixels", count=1000)
    found = {}
    for count in (5, 80):
        positive, negative = examples(model, judge, count)
        axis = axis_from_examples(model, "Bright", features, positive, negative, by="pixels", pool=pool)
        found[count] = (
            float(cosines(axis.direction[None], judge.axes[:1])),
            axis.facts["expected cosine to the axis of endless examples"],
        )
    assert found[80][0] > max(0.9, found[5][0])
    assert found[80][1] > found[5][1]


def test_examples_without_rhyme_leave_it_unsure(model: LinearGenerator) -> None:
    pool = draw_pool(model, features, by="pixels", count=500)
    said = []
    for seed in range(6):
        images = model.decode(next(drawn_codes(model, 20, 40 + seed)))
        said.append(
            sentence(axis_from_examples(model, "Nothing", features, images[:10], images[10:], by="pixels", pool=pool))
        )
    # By chance some twenty pictures out of six times as many do look alike.
    assert sum("unsure" in words and "more examples would help" in words for words in said) >= 4
    assert not any(words.startswith("Nothing: sure") for words in said)


def test_codes_of_examples_find_the_axis_too(model: LinearGenerator, judge: LinearJudge) -> None:
    positive, negative = examples(model, judge, 60)
    pseudo = torch.linalg.pinv(model.matrix)

    def invert(images: Tensor) -> Code:
        return Code(images.flatten(1) @ pseudo, torch.full((len(images), 1), torch.nan))

    axis = axis_from_codes(model, "Bright", invert, positive, negative)
    assert float(cosines(axis.direction[None], judge.axes[:1])) > 0.85
    assert len(axis.direction) == LATENT
    assert axis.facts["way"] == "codes"


def test_too_few_examples_are_told(model: LinearGenerator) -> None:
    images = torch.zeros(5, 3, 16, 16)
    with pytest.raises(AttrimorphError, match="at least 4 pictures without it; got 2"):
        axis_from_examples(model, "Bright", features, images, images[:2], by="pixels")
    with pytest.raises(AttrimorphError, match="drawn pictures must be at least 128; got 10"):
        draw_pool(model, features, by="pixels", count=10)
