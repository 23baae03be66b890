"""The evaluation as files, and two of them side by side."""

import json
from pathlib import Path

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.figures import overall
from attrimorph.models.model import Model
from attrimorph.reproductions.evaluation import evaluate_model, read_evaluation
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
    for key in overall(list(evaluation.figures)):
        assert f"<code>{key}</code>" in page
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
    assert {pair.key: pair.theirs for pair in comparison.pairs} == first.figures
    assert len(comparison.pairs) == len(evaluation.figures)
    assert "Beside the other evaluation" in (tmp_path / "second" / "evaluation.html").read_text()
    with pytest.raises(AttrimorphError, match="must share a protocol"):
        evaluate_model(other, tmp_path / "third", metrics=["reconstruction"], count=9, against=against)
    assert (tmp_path / "third" / "evaluation.json").is_file()


def test_an_evaluation_of_format_version_1_is_read_with_todays_keys(model: Model, tmp_path: Path) -> None:
    words = "20 images"
    old = {
        "format": "attrimorph evaluation", "format_version": 1, "about": {},
        "figures": {f"edit target reached ({words})": 0.9, f"Frechet distance (judge x; {words})": 2.0},
        "attributes": [], "leakage": {}, "parts": {}, "notes": [],
    }  # fmt: skip
    (tmp_path / "evaluation.json").write_text(json.dumps(old))
    told = read_evaluation(tmp_path)
    assert told["figures"] == {"edit.target_reached": 0.9, "samples.frechet_distance": 2.0}
    assert told["protocols"] == {"edit.target_reached": words, "samples.frechet_distance": f"judge x; {words}"}
    options = {"metrics": ["reconstruction"], "count": 8}
    now, _ = evaluate_model(model, tmp_path / "now", **options)  # type: ignore[arg-type]
    psnr, protocol = now.figures["reconstruction.psnr"], now.protocols["reconstruction.psnr"]
    old["figures"] = {f"reconstruction PSNR in dB ({protocol})": psnr}
    (tmp_path / "evaluation.json").write_text(json.dumps(old))
    against = read_evaluation(tmp_path)
    _, comparison = evaluate_model(model, tmp_path / "then", against=against, **options)  # type: ignore[arg-type]
    assert comparison is not None
    assert [(pair.key, pair.ours, pair.theirs) for pair in comparison.pairs] == [("reconstruction.psnr", psnr, psnr)]


def test_other_files_are_no_evaluations(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"figures": {"a": 1}}))
    with pytest.raises(AttrimorphError, match=r"must be an evaluation\.json"):
        read_evaluation(tmp_path)
    (tmp_path / "other.json").write_text(json.dumps({"format": "attrimorph evaluation", "figures": {"a": "x"}}))
    with pytest.raises(AttrimorphError, match=r"must be an evaluation\.json"):
        read_evaluation(tmp_path / "other.json")
    with pytest.raises(AttrimorphError, match="cannot read"):
        read_evaluation(tmp_path / "none.json")
