"""Evaluation: which figures there are, with what protocol, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attrimorph.data import faces
from attrimorph.data.schema import Attribute, Schema
from attrimorph.data.synthetic import write_faces
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.evaluate import ModelJudge, evaluate
from attrimorph.metrics.judge import load_judge
from attrimorph.metrics.reconstruction import psnr
from attrimorph.metrics.unseen import drawn_images, held_out_images
from attrimorph.models import Editor, Model
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model"), size=32)


def test_everything_is_measured_on_drawn_faces(model: Model) -> None:
    judge = load_judge("drawn-faces-32")
    found = evaluate(model, judge=judge, count=12, counterfactuals=2)
    assert isinstance(model, Editor)
    unseen = drawn_images(12, 32)
    made = model.decode(model.encode(unseen.images, unseen.labels))
    assert found.value("reconstruction PSNR in dB") == pytest.approx(float(psnr(unseen.images, made).mean()), rel=1e-5)
    assert found.value("attribute accuracy of the images themselves") > 0.9  # type: ignore[operator]
    assert found.value("edit target reached") < 0.9  # type: ignore[operator]
    assert len(found.attributes) == len(faces.SCHEMA.names)
    assert found.leakage["Smiling"].keys() == set(faces.SCHEMA.names)
    missed = 1 - next(row for row in found.attributes if row["attribute"] == "Smiling")["target reached"]
    assert found.leakage["Smiling"]["Smiling"] == pytest.approx(missed)
    assert {"samples", "reconstructions", "edit Smiling"} <= found.pictures.keys()
    json.dumps(found.to_json(), allow_nan=False)


def test_every_figure_names_its_protocol(model: Model) -> None:
    found = evaluate(model, judge=load_judge("drawn-faces-32"), count=8, counterfactuals=1)
    for name in found.figures:
        assert "8 unseen drawn faces, 32 px, seed 990001" in name
        assert name.startswith(("reconstruction", "classifier", "edit PSNR")) or "judge drawn-faces-32" in name


def test_without_a_judge_no_edit_is_measured_and_that_is_said(model: Model) -> None:
    found = evaluate(model, count=6)
    assert found.value("edit target reached") is None
    assert found.attributes == []
    assert any("No judge" in note for note in found.notes)


def test_a_gan_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    found = evaluate(tiny_model(tmp_path, method="gan", size=32), judge=load_judge("drawn-faces-32"), count=6)
    assert found.figures == {}
    assert len(found.notes) == 3
    assert "samples" in found.pictures


def test_held_out_images_of_drawn_data_bring_their_truth(model: Model, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "data", count=40, size=32, seed=3)
    unseen = held_out_images(data, 100)
    assert len(unseen.images) == len(data.indices("test"))
    assert unseen.factors is not None
    torch.testing.assert_close(faces.render(unseen.factors, 32), unseen.images, rtol=0, atol=0.02)
    found = evaluate(model, data, load_judge("drawn-faces-32"), counterfactuals=1)
    assert found.value("edit PSNR against the true counterfactual in dB") is not None


def test_other_data_have_no_truth_and_a_model_judge_says_that_it_is_one(model: Model, tmp_path: Path) -> None:
    data = replace(write_faces(tmp_path / "data", count=60, size=32, seed=3), factors=None)
    data.attributes[:, 0] = torch.nan
    found = evaluate(model, data, ModelJudge(model, "tiny"))
    assert found.value("edit PSNR against the true counterfactual in dB") is None
    assert any("classifier of tiny, trained with that model" in name for name in found.figures)
    assert "Arched_Eyebrows" not in found.leakage
    taken_away = {row["attribute"]: row["reached when taken away"] for row in found.attributes}
    assert taken_away["Blond_Hair"] is None


def test_what_does_not_go_together_is_refused(model: Model, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "data", count=20, size=16, seed=3)
    with pytest.raises(AttrimorphError, match="the data must have 32 px"):
        evaluate(model, data)
    other = tiny_model(tmp_path / "other", schema=Schema((Attribute("A"), Attribute("B"))))
    with pytest.raises(AttrimorphError, match="add --data"):
        evaluate(other)
    with pytest.raises(AttrimorphError, match="must know the very attributes"):
        evaluate(model, count=4, judge=ModelJudge(other, "other"))
    with pytest.raises(AttrimorphError, match=r"count must lie in 1\.\.50000; got 0"):
        evaluate(model, count=0)
