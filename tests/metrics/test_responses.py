"""Responses on editors whose response is known: one that draws the truth, one that fades, one that jumps."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.evaluators import isotonic
from attrimorph.evaluators.judge import AttributeScore, Judge, load_judge
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.metrics.edits import FunctionEditor
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.responses import (
    STRENGTHS,
    Response,
    deviation,
    largest_jump,
    longest_step,
    measure_responses,
    normalised,
    rank_correlation,
    rising_steps,
    rows_of,
    single_deviation,
    unevenness,
)
from attrimorph.metrics.similarity import perceptual_embedding
from attrimorph.models.model import Code
from tests.small_models import small_model

NAME = "Mouth_Slightly_Open"


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("drawn-faces-32")


@pytest.fixture(scope="module")
def unseen() -> EvaluationSet:
    return drawn_images(8, 32, seed=78)


def known(unseen: EvaluationSet, images: Tensor) -> Tensor:
    """Return the factors of images out of `unseen`."""
    assert unseen.factors is not None
    return unseen.factors[torch.stack([(unseen.images == image).all((1, 2, 3)).nonzero()[0, 0] for image in images])]


def truth(unseen: EvaluationSet) -> FunctionEditor:
    """Draws the true counterfactual at the strength asked for."""

    def edit(images: Tensor, changes: Mapping[str, float]) -> Tensor:
        factors = known(unseen, images)
        for name, strength in changes.items():
            if strength:
                factors = faces.dial(factors, name, strength if strength > 0 else 1 + strength)
        return faces.render(factors, 32)

    return FunctionEditor(edit, faces.SCHEMA, 32, "the truth")


def fade(unseen: EvaluationSet) -> FunctionEditor:
    """Fades from the input to the true counterfactual, pixel by pixel."""

    def edit(images: Tensor, changes: Mapping[str, float]) -> Tensor:
        ((name, strength),) = changes.items()
        goal = faces.render(faces.set_attribute(known(unseen, images), name, not math.copysign(1, strength) < 0), 32)
        return torch.lerp(images, goal, abs(strength))

    return FunctionEditor(edit, faces.SCHEMA, 32, "fading")


def jump(unseen: EvaluationSet) -> FunctionEditor:
    """Does nothing below one half, and everything above."""

    def edit(images: Tensor, changes: Mapping[str, float]) -> Tensor:
        ((name, strength),) = changes.items()
        if abs(strength) < 0.5:
            return images
        return faces.render(faces.set_attribute(known(unseen, images), name, strength > 0), 32)

    return FunctionEditor(edit, faces.SCHEMA, 32, "jumping")


def measured(editor: FunctionEditor, unseen: EvaluationSet, judge: Judge) -> dict[bool, Response]:
    look = perceptual_embedding(JudgeFeatures(judge))
    found = measure_responses(editor, unseen, AttributeScore(judge), names=[NAME], most=2, embedding=look)
    assert [response.name for response in found] == [NAME, NAME]
    return {response.goal: response for response in found}


@pytest.fixture(scope="module")
def good(unseen: EvaluationSet, judge: Judge) -> dict[bool, Response]:
    return measured(truth(unseen), unseen, judge)


def test_who_draws_the_truth_is_as_good_as_the_truth(good: dict[bool, Response]) -> None:
    for response in good.values():
        assert response.truth is not None
        assert torch.allclose(response.measured, response.truth.measured, atol=1e-6)
        # The inputs were rounded to bytes, the truth was not.
        assert response.truth.psnr.min() > 55
        assert response.truth.distance.max() < 1e-3
        assert torch.allclose(response.steps, response.truth.steps, atol=1e-3)
        (row, *_) = rows_of([response])
        assert row["deviation from the truth"] == pytest.approx(0, abs=1e-3)
        assert row["deviation"] == pytest.approx(row["deviation of the truth"], abs=1e-3)


def test_fading_shows_ghosts_on_the_way_but_not_at_the_ends(
    good: dict[bool, Response], unseen: EvaluationSet, judge: Judge
) -> None:
    bad = measured(fade(unseen), unseen, judge)
    for goal in (True, False):
        faded, true = bad[goal].truth, good[goal].truth
        assert faded is not None
        assert true is not None
        assert faded.psnr[:, [0, -1]].min() > 55
        assert faded.psnr[:, 5].mean() < faded.psnr[:, [0, -1]].mean() - 6
        assert faded.distance[:, 5].mean() > 20 * true.distance[:, 5].mean()
        assert faded.distance[:, 5].mean() > 3 * faded.distance[:, [0, -1]].mean()


def test_a_jump_is_found_where_it_is(unseen: EvaluationSet, judge: Judge) -> None:
    for response in measured(jump(unseen), unseen, judge).values():
        curve = normalised(response.measured)
        assert curve.tolist() == pytest.approx([0.0] * 5 + [1.0] * 6, abs=1e-6)
        assert deviation(curve, STRENGTHS) == pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.4 + 0.3 + 0.2 + 0.1) / 9)
        assert largest_jump(curve, STRENGTHS) == pytest.approx(10)
        assert rising_steps(response.measured, response.sign) == 1
        # One step of ten has all the length.
        assert longest_step(response.steps) == pytest.approx(10)
        assert unevenness(response.steps) == pytest.approx(3)


def test_closed_forms() -> None:
    s = torch.tensor(STRENGTHS, dtype=torch.float64)
    line = s.expand(3, -1) * torch.tensor([[0.4], [0.6], [0.8]]) + 0.1
    assert deviation(normalised(line), STRENGTHS) == pytest.approx(0, abs=1e-12)
    assert largest_jump(normalised(line), STRENGTHS) == pytest.approx(1)
    assert single_deviation(line, STRENGTHS) == pytest.approx(0, abs=1e-12)
    square = s.square()[None]
    assert deviation(normalised(square), STRENGTHS) == pytest.approx(float((s - s * s)[1:-1].mean()))
    assert largest_jump(normalised(square), STRENGTHS) == pytest.approx(1.9)
    assert normalised(torch.full((2, 11), 0.3)).isnan().all()
    # Every image jumps, each elsewhere: together they are straight, one by one they are not.
    stairs = (s[None] >= torch.linspace(0.05, 0.95, 10, dtype=torch.float64)[:, None]).double()
    assert deviation(normalised(stairs), STRENGTHS) == pytest.approx(0, abs=1e-12)
    assert single_deviation(stairs, STRENGTHS) > 0.2
    assert rising_steps(torch.tensor([[0.0, 0.5, 0.4, 1.0]]), 1) == pytest.approx(2 / 3)
    assert rising_steps(torch.tensor([[1.0, 0.5, 0.495, 0.0]]), -1) == 1
    steps = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    assert unevenness(steps) == pytest.approx((2 / 3) ** 0.5 / 2 / 2)
    assert longest_step(steps) == pytest.approx(1.25)


def test_rank_correlation_is_scipys() -> None:
    values = torch.rand(5, 11, generator=torch.Generator().manual_seed(0)).mul(4).round()
    expected = sum(float(spearmanr(row.numpy(), range(11)).statistic) for row in values) / 5
    assert rank_correlation(values, 1) == pytest.approx(expected)
    assert rank_correlation(values, -1) == pytest.approx(-expected)
    assert rank_correlation(torch.full((1, 4), 0.5), 1) == 0


def test_isotonic_is_the_nearest_never_falling_sequence() -> None:
    assert isotonic(torch.tensor([1.0, 3.0, 2.0, 4.0])).tolist() == [1, 2.5, 2.5, 4]
    assert isotonic(torch.tensor([3.0, 2.0, 1.0])).tolist() == [2, 2, 2]
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(12, generator=generator, dtype=torch.float64)
    found = isotonic(values)
    assert (found.diff() >= 0).all()
    nearest = (values - found).square().sum()
    for _ in range(200):
        other = (found + 0.05 * torch.randn(12, generator=generator, dtype=torch.float64)).sort().values
        assert (values - other).square().sum() >= nearest


def test_rows_are_plain_and_say_nothing_where_nothing_moves(unseen: EvaluationSet, judge: Judge) -> None:
    still = FunctionEditor(lambda images, changes: images, faces.SCHEMA, 32, "still")
    rows = rows_of(measure_responses(still, unseen, AttributeScore(judge), names=[NAME], most=2))
    assert [row["deviation"] for row in rows] == [None, None]
    assert [row["unevenness"] for row in rows] == [None, None]
    assert all(row["curve"] is None and len(row["true curve"]) == 11 for row in rows)


def test_a_model_that_is_no_family_editor_encodes_each_image_once_too(
    unseen: EvaluationSet, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven strengths, two directions: as many codes as images, and every picture as `edit` makes it."""
    model = small_model(tmp_path, "homointerp-drawn-64", lively=0.3)
    assert isinstance(model, InterpolationModel)
    few, score, whole, look = unseen.first(4), AttributeScore(judge), InterpolationModel.encode, AttributeScore.__call__
    encoded, shown = list[int](), list[Tensor]()

    def counted(self: InterpolationModel, images: Tensor, attributes: Tensor | None = None) -> Code:
        encoded.append(len(images))
        return whole(self, images, attributes)

    def seen(self: AttributeScore, images: Tensor, name: str) -> Tensor:
        shown.append(images)
        return look(self, images, name)

    monkeypatch.setattr(InterpolationModel, "encode", counted)
    monkeypatch.setattr(AttributeScore, "__call__", seen)
    names = ("Smiling", "Male")
    found = measure_responses(model, few, score, names=names, truths=False)
    assert sum(encoded) == 4
    assert sum(len(response.measured) for response in found) == 4 * len(names)
    monkeypatch.undo()
    labels = few.labels.nan_to_num(0.0)
    for response, images in zip(found, shown, strict=True):
        column = labels[:, faces.SCHEMA.names.index(response.name)]
        rows = (column == float(not response.goal)).nonzero()[:, 0]
        edited = model.edit(few.images[rows], {response.name: 0.7 * response.sign}, labels[rows])
        torch.testing.assert_close(images.view(len(rows), 11, 3, 32, 32)[:, 7], edited, rtol=0, atol=1e-5)
