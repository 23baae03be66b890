"""Edit metrics on editors whose quality is known: one that is perfect, one that does nothing, one that spoils."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.drawn import TrueLayers, faces
from attrimorph.evaluators.judge import Judge, load_judge
from attrimorph.metrics.edits import (
    JUDGE_ERROR,
    PSNR,
    PSNR_TARGET,
    EditMeasures,
    counterfactual_psnr,
    directions,
    measure_edits,
)
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images
from attrimorph.models.model import decisions
from attrimorph.photographs.fields import Fields

NAMES = ("Bald", "Blond_Hair", "No_Beard", "Smiling", "Wavy_Hair")


@dataclass(frozen=True)
class Renderer:
    """Edits by drawing anew: it knows the factors of its images. `also` is set whatever was asked for."""

    unseen: EvaluationSet
    works: bool = True
    also: str = ""

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        rows = torch.tensor([int((self.unseen.images == image).all((1, 2, 3)).nonzero()[0]) for image in images])
        assert self.unseen.factors is not None
        factors = self.unseen.factors[rows]
        for name, strength in changes.items():
            if self.works:
                factors = faces.set_attribute(factors, name, strength > 0)
        if self.also:
            factors = faces.set_attribute(factors, self.also, True)
        return faces.render(factors, images.shape[-1])


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("drawn-faces-32")


@pytest.fixture(scope="module")
def unseen() -> EvaluationSet:
    return drawn_images(16, 32, seed=77)


def measured(unseen: EvaluationSet, judge: Judge, **how: object) -> EditMeasures:
    editor = Renderer(unseen, **how)  # type: ignore[arg-type]
    before = decisions(judge(unseen.images), judge.schema)
    return measure_edits(editor, unseen, judge, before, names=NAMES, counterfactuals=6)


@pytest.fixture(scope="module")
def perfect(unseen: EvaluationSet, judge: Judge) -> EditMeasures:
    return measured(unseen, judge)


def reached(measures: EditMeasures) -> float:
    return measures.mean(lambda each: each.reached)


def leakage(measures: EditMeasures) -> float:
    return measures.mean(lambda each: each.leaked)


def test_a_perfect_editor_is_found_perfect(perfect: EditMeasures) -> None:
    assert perfect.names == list(NAMES)
    assert reached(perfect) > 0.95
    assert leakage(perfect) < 0.03
    assert perfect.figure(PSNR).mean() > 60
    assert perfect.figure(JUDGE_ERROR).mean() < 0.03
    assert [len(perfect.joined(lambda each: each.rows, name)) for name in NAMES] == [16] * len(NAMES)
    assert perfect.count == 16 * len(NAMES)


def test_an_editor_that_does_nothing_reaches_nothing(unseen: EvaluationSet, judge: Judge) -> None:
    measures = measured(unseen, judge, works=False)
    assert reached(measures) < 0.05
    assert max(measures.mean(lambda each: each.drifted, name) for name in NAMES) < 0.2
    assert measures.figure(PSNR_TARGET).nanmean() < 25


def test_an_editor_that_spoils_is_caught_in_the_column_that_it_spoils(
    unseen: EvaluationSet, judge: Judge, perfect: EditMeasures
) -> None:
    measures = measured(unseen, judge, also="Eyeglasses")
    wrong = measures.joined(lambda each: each.wrong, "Smiling").double().mean(0)
    without = float((unseen.labels[:, faces.SCHEMA.names.index("Eyeglasses")] == 0).float().mean())
    assert float(wrong[measures.judged.index("Eyeglasses")]) == pytest.approx(without, abs=0.1)
    assert leakage(measures) - leakage(perfect) == pytest.approx(without / 24, abs=0.015)


def test_each_direction_is_edited_where_it_can_be() -> None:
    labels = torch.zeros(4, faces.SCHEMA.width)
    labels[0, faces.SCHEMA.names.index("Bangs")] = 1
    labels[1, faces.SCHEMA.names.index("Bangs")] = float("nan")
    found = [(goal, rows.tolist()) for goal, rows in directions(labels, faces.SCHEMA, "Bangs", drawn=True)]
    assert found == [(True, [2, 3]), (False, [0])]
    found = [(goal, rows.tolist()) for goal, rows in directions(labels, faces.SCHEMA, "Bangs", drawn=False)]
    assert found == [(True, [2, 3])]
    free = Schema(faces.SCHEMA.attributes)
    assert len(list(directions(labels, free, "Bangs", drawn=False))) == 2


def test_the_error_is_split_into_the_area_that_changes_and_the_rest() -> None:
    images = torch.zeros(1, 3, 8, 8)
    true, edited = images.clone(), images.clone()
    true[:, :, :4] = 0.5
    edited[:, :, :4], edited[:, :, 4:] = 0.3, 0.02
    everywhere, inside, outside = counterfactual_psnr(images, edited, true)
    assert inside.item() == pytest.approx(20, abs=1e-4)
    assert outside.item() == pytest.approx(40, abs=1e-4)
    assert 20 < everywhere.item() < 24
    assert counterfactual_psnr(images, edited, images)[1].isnan().all()


def test_without_an_attribute_to_edit_nothing_is_counted(unseen: EvaluationSet, judge: Judge) -> None:
    before = decisions(judge(unseen.images), judge.schema)
    found = measure_edits(Renderer(unseen), unseen, judge, before, names=())
    assert not found.edits
    assert not found.names
    assert found.count == 0
    assert leakage(found) != leakage(found)  # NaN: there is none


def test_edits_put_into_their_images_are_measured_against_the_same_truth(
    unseen: EvaluationSet, judge: Judge, perfect: EditMeasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, render = list[int](), faces.render_layers

    def counted(factors: Tensor, size: int) -> TrueLayers:
        drawn.append(len(factors))
        return render(factors, size)

    before = decisions(judge(unseen.images), judge.schema)
    monkeypatch.setattr("attrimorph.metrics.edits.faces.render_layers", counted)
    monkeypatch.setattr(Renderer, "edit", lambda self, images, changes, attributes=None: images)
    found = measure_edits(Renderer(unseen), unseen, judge, before, names=NAMES, counterfactuals=6, composed=True)
    assert len(drawn) == len(found.edits)
    assert found.composed is not None
    for parts in zip(perfect.edits, found.edits, found.composed.edits, strict=True):
        assert all(torch.equal(parts[0].figures[JUDGE_ERROR], each.figures[JUDGE_ERROR]) for each in parts)


def test_a_model_that_tells_fields_is_measured_as_it_shows(unseen: EvaluationSet, judge: Judge) -> None:
    class Telling(Renderer):
        def fields(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Fields:
            raise AssertionError("its pictures are what is measured")

    before = decisions(judge(unseen.images), judge.schema)
    found = measure_edits(Telling(unseen), unseen, judge, before, names=NAMES, counterfactuals=6, composed=True)
    assert found.composed is not None
    for edits, shown in zip(found.edits, found.composed.edits, strict=True):
        assert torch.equal(edits.shown, shown.shown)
        assert torch.equal(edits.figures[PSNR], shown.figures[PSNR])
