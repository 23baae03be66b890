"""The evaluation as files, and two of them side by side."""

import json
from pathlib import Path

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.experiments.evaluation import evaluate_model, read_evaluation
from attrimorph.models import Model
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model"), size=32)


def test_a_page_json_and_pictures_are_written(model: Model, tmp_path: Path) -> None:
    evaluation, comparison = evaluate_model(model, tmp_path, metrics=["diversity", "reconstruction"], count=12)
    assert comparison is None
    told = read_evaluation(tmp_path)
    assert told["figures"] == evaluation.figures
    assert told["about"]["groups"] == ["reconstruction", "diversity"]
    page = (tmp_path / "evaluation.html").read_text()
    for name in evaluation.figures:
        assert name.partition(" (")[0] in page
    assert "Samples of one class" in page
    assert (tmp_path / "pictures" / "samples-of-one-class.png").is_file()


def test_another_evaluation_stands_beside_it_as_far_as_it_was_measured_alike(model: Model, tmp_path: Path) -> None:
    options = {"metrics": ["reconstruction"], "count": 8}
    first, _ = evaluate_model(model, tmp_path / "first", **options)  # type: ignore[arg-type]
    other = tiny_model(tmp_path / "other", size=32, seed=1)
    against = read_evaluation(tmp_path / "first" / "evaluation.json")
    evaluation, comparison = evaluate_model(other, tmp_path / "second", against=against, **options)  # type: ignore[arg-type]
    assert comparison is not None
    assert not comparison.refused
    assert {pair.name: pair.theirs for pair in comparison.pairs} == {
        name: first.value(name) for name in (pair.name for pair in comparison.pairs)
    }
    assert len(comparison.pairs) == len(evaluation.figures)
    assert "Beside the other evaluation" in (tmp_path / "second" / "evaluation.html").read_text()
    with pytest.raises(AttrimorphError, match="must share a protocol"):
        evaluate_model(other, tmp_path / "third", metrics=["reconstruction"], count=9, against=against)
    assert (tmp_path / "third" / "evaluation.json").is_file()


def test_other_files_are_no_evaluations(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"figures": {"a": 1}}))
    with pytest.raises(AttrimorphError, match=r"must be an evaluation\.json"):
        read_evaluation(tmp_path)
    (tmp_path / "other.json").write_text(json.dumps({"format": "attrimorph evaluation", "figures": {"a": "x"}}))
    with pytest.raises(AttrimorphError, match=r"must be an evaluation\.json"):
        read_evaluation(tmp_path / "other.json")
    with pytest.raises(AttrimorphError, match="cannot read"):
        read_evaluation(tmp_path / "none.json")
