"""`attrimorph attributes` tells what a model can change, and how well."""

import json
from pathlib import Path

from attrimorph.cli import run as called
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.files import write_json
from attrimorph.metrics.figures import Evaluation
from attrimorph.reproductions.evaluation import FORMAT
from tests import terminal
from tests.small_models import small_model
from tests.tiny_models import tiny_model


def test_the_table_fits_a_terminal(tmp_path: Path) -> None:
    for columns in (80, 200):
        screen = terminal.run(["attributes"], columns=columns)
        assert screen.code == 0
        assert screen.lines[0].startswith("drawn-faces-64: cvae-gan-edit, images 64x64, 25 attributes; can")
        rows = [line.split() for line in screen.lines[2:27]]
        assert [row[0] for row in rows] == list(faces.SCHEMA.names)
        assert all(row[1:3] == ["yes", "yes"] and row[-1] == "binary" for row in rows)
        assert all(len(line) <= 80 for line in screen.lines[1:27])


def test_a_model_changes_only_what_it_learned(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    small_model(tmp_path, "cyclegan-64")
    assert called(["attributes", str(tmp_path), "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out) if each["edits"]] == ["Smiling"]


def test_a_generator_with_directions_edits_along_them(capsys) -> None:  # type: ignore[no-untyped-def]
    assert called(["attributes", "pggan-drawn-64"]) == 0
    said = capsys.readouterr().out
    assert "edit along 25 directions" in said
    assert said.splitlines()[-1] == "how well: attrimorph axes show pggan-drawn-64"


def test_figures_come_from_an_evaluation_of_this_very_model(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    schema = Schema((Attribute("Smiling"), Attribute("kind", "categorical", ("cat", "dog"))))
    model = tiny_model(tmp_path / "model", schema=schema)
    assert called(["attributes", str(tmp_path / "model")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[3].split() == ["kind", "yes", "yes", "not", "measured", "not", "measured", "one", "of", "cat,", "dog"]
    assert said[-1].startswith("how well: not measured; run attrimorph evaluate")

    evaluation = Evaluation(about={"images": "three pictures", "judge": "judge x", "model sha256": model.hash})
    evaluation.put("edit.target_reached", "judge x", 0.5)
    evaluation.put("edit.reached_when_set.Smiling", "judge x", 0.75)
    write_json(tmp_path / "told" / "evaluation.json", {"format": FORMAT, "format_version": 2, **evaluation.to_json()})
    words = ["attributes", str(tmp_path / "model"), "--evaluation", str(tmp_path / "told")]
    assert called(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert "75.0%" in said[2]
    assert said[-1].endswith("judge x")

    tiny_model(tmp_path / "other", schema=schema, seed=5)
    words[1] = str(tmp_path / "other")
    assert called(words) == 2
    assert "was measured on another model" in capsys.readouterr().err
