"""The bias audit: pairs that differ in one attribute, and classifiers whose bias is known."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import load_judge
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.models.model import Model
from attrimorph.pictures import to_bytes
from attrimorph.reproductions.audit import (
    Listed,
    effects,
    make_pairs,
    only_target_changed,
    read_predictions,
    write_audit_report,
    write_pairs,
)
from tests.tiny_models import tiny_model

NAME = "Male"
COLUMN = faces.SCHEMA.names.index(NAME)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny_model(tmp_path / "model", size=32)


def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    factors = faces.sample_factors(count, torch.Generator().manual_seed(5))
    return faces.render(factors, 32), faces.attributes(factors)


def test_each_pair_is_the_reconstruction_and_the_edit(model: Model) -> None:
    assert isinstance(model, Editor)
    images, labels = drawn(6)
    pairs = make_pairs(model, images, labels, NAME)
    assert pairs.clean is None
    assert {True, False} == set(pairs.had.tolist())
    for row in range(6):
        one = slice(row, row + 1)
        plain = model.decode(model.encode(images[one], labels[one]))[0]
        strength = -1.0 if pairs.had[row] else 1.0
        turned = model.edit(images[one], {NAME: strength}, labels[one])[0]
        without, having = (turned, plain) if pairs.had[row] else (plain, turned)
        assert torch.allclose(pairs.without[row], without, atol=1e-5)
        assert torch.allclose(pairs.having[row], having, atol=1e-5)


def test_a_pair_is_clean_when_the_judge_sees_the_target_turn_alone() -> None:
    without = torch.full((4, faces.SCHEMA.width), 0.1)
    having = without.clone()
    having[:3, COLUMN] = 0.9
    having[1, 0] = 0.9
    without[2, COLUMN] = 0.6
    assert only_target_changed((without, having), faces.SCHEMA, NAME).tolist() == [True, False, False, False]


def test_a_biased_classifier_is_caught_and_a_fair_one_is_not(model: Model, tmp_path: Path) -> None:
    images, labels = drawn(12)
    labels[3, COLUMN] = float("nan")
    out = tmp_path / "audit"
    sources = [f"face {number}" for number in range(12)]
    pairs = write_pairs(model, images, labels, sources, NAME, out, load_judge("drawn-faces-32"))
    with (out / "pairs.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 22
    assert "face 3" not in {line["source"] for line in lines}
    assert [line["value"] for line in lines[:2]] == ["0", "1"]
    assert 0 <= float(lines[0]["judge:Male"]) <= 1
    for line in lines:
        side = pairs.having if line["value"] == "1" else pairs.without
        with Image.open(out / line["file"]) as picture:
            assert picture.tobytes() == to_bytes(side[int(line["pair"]) - 1 : int(line["pair"])])[0].tobytes()
    # One classifier adds 0.4 where the attribute holds, one looks at the pair's number, one answers in words.
    with (tmp_path / "said.csv").open("w") as file:
        file.write("biased,file,fair,word\n")
        for line in lines:
            base, holds = int(line["pair"]) % 3 / 10 + 0.2, line["value"] == "1"
            file.write(f"{base + 0.4 * holds},/some/where/{line['file']},{base},{'he' if holds else 'she'}\n")
    rows = write_audit_report(out, tmp_path / "said.csv")
    found = {(row["column"], row["pairs"]): row for row in rows}
    biased, fair, word = (found[name, "all pairs"] for name in ("biased", "fair", "word"))
    assert biased["count"] == 11
    assert biased["mean change"]["value"] == pytest.approx(0.4)
    assert (biased["mean change"]["low"], biased["mean change"]["high"]) == pytest.approx((0.4, 0.4))
    assert biased["flip rate"]["value"] == 1
    assert fair["mean change"]["value"] == fair["flip rate"]["value"] == 0
    assert word["flip rate"]["value"] == 1
    assert "mean change" not in word
    assert json.loads((out / "report.json").read_text())["rows"] == rows
    assert "attrimorph audit" in (out / "report.html").read_text()
    assert len(list((out / "images").iterdir())) == 22


def test_figures_and_intervals_by_hand() -> None:
    pairs = [Listed((f"{row}-0.png", f"{row}-1.png"), row < 100) for row in range(400)]
    generator = torch.Generator().manual_seed(0)
    change = 0.1 + 0.2 * torch.randn(400, generator=generator, dtype=torch.float64)
    said = {f"{row}-0.png": "0.45" for row in range(400)}
    said |= {f"{row}-1.png": str(0.45 + float(change[row])) for row in range(400)}
    every, clean = effects(pairs, {"p": said})
    assert (every["count"], clean["count"]) == (400, 100)
    assert every["mean change"]["value"] == pytest.approx(float(change.mean()))
    width = every["mean change"]["high"] - every["mean change"]["low"]
    assert width == pytest.approx(2 * 1.96 * float(change.std()) / 20, rel=0.1)
    assert every["flip rate"]["value"] == pytest.approx(float((change > 0.05).double().mean()))
    with_flips = int((change > 0.05).sum())
    expected = binomtest(with_flips, 400).proportion_ci(method="wilson")
    assert (every["flip rate"]["low"], every["flip rate"]["high"]) == pytest.approx((expected.low, expected.high))
    assert clean["mean change"]["value"] == pytest.approx(float(change[:100].mean()))
    assert effects(pairs, {"p": said}, threshold=0.2)[0]["rate without"] == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "header and rows"),
        ("name,p\na,1\n", "column 'file'"),
        ("file\na.png\n", "at least one of predictions"),
        ("file,p\na.png,1\nb/a.png,0\n", "stands twice"),
        ("file,p\na.png\n", "row 2"),
        ("file,p\na.png,1,2\n", "row 2"),
    ],
)
def test_predictions_of_another_form_are_told(content: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(AttrimorphError, match=word):
        read_predictions(tmp_path / "p.csv")


def test_predictions_of_other_files_are_told() -> None:
    with pytest.raises(AttrimorphError, match="cover none"):
        effects([Listed(("a-0.png", "a-1.png"), True)], {"p": {"a-0.png": "1"}})
