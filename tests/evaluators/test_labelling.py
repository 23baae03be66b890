"""Labels by a judge: what is sure is written, the rest is missing; the table is read again; both ends are shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph.cli import run
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.readers import Source
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge, label, load_judge

SCHEMA = Schema(
    (
        Attribute("Black_Hair"),
        Attribute("Blond_Hair"),
        Attribute("hat", "categorical", ("cap", "top")),
        Attribute("age", "real", mean=40, scale=10),
    )
)
TOLD = torch.tensor(
    [[0.95, 0.02, 0.95, 0.05, 1.0], [0.6, 0.4, 0.5, 0.5, 0.0], [0.05, 0.9, 0.2, 0.8, -1.0], [0.2, 0.2, 0.01, 0.99, 2.0]]
)


class Says(Judge):
    """A judge that says the same of any pictures."""

    def __call__(self, images: Tensor) -> Tensor:
        return TOLD[: len(images)]


@pytest.fixture
def judge() -> Judge:
    return Says(**{**vars(load_judge("drawn-faces-32")), "schema": SCHEMA})


def test_what_is_not_sure_is_missing_and_the_table_is_read_again(judge: Judge, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=4, size=32)
    nan = torch.nan
    labels = label(judge, data, 0.8)
    expected = torch.tensor([[1, 0, 1, 0, 1.0], [nan, nan, nan, nan, 0], [0, 1, 0, 1, -1], [0, 0, 0, 1, 2]])
    torch.testing.assert_close(labels.y, expected, equal_nan=True)
    assert labels.counts()[0] == ("Black_Hair", 1, 2, 1)
    folder = tmp_path / "pictures"
    for name, pixels in zip(data.files, data.images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(folder / name)
    written = labels.save(tmp_path / "labels.csv")
    assert [path.name for path in written] == ["labels.csv", "labels.png"]
    raw = Source(folder, "auto", tmp_path / "labels.csv").read()
    assert raw.schema.exclusive == (("Black_Hair", "Blond_Hair"),)
    assert raw.split == data.split.tolist()
    order = [data.files.index(path.relative_to(folder).as_posix()) for path in map(Path, raw.files)]
    found = torch.from_numpy(raw.schema.encode(raw.table, len(raw.files)))
    torch.testing.assert_close(found[:, :4], expected[order][:, :4], equal_nan=True)
    assert [float(age) for age in raw.table["age"]] == [float(40 + 10 * TOLD[row, 4]) for row in order]
    assert {*label(judge, data, 0.5).y[:, 0].tolist()} == {0.0, 1.0}


def test_a_sheet_has_the_surest_first_and_gaps_where_there_are_none(judge: Judge, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=4, size=32)
    page = np.asarray(label(judge, data, 0.9).sheet())
    assert page.shape[0] > 4 * 64, "a row for each column but the real one"
    alone = replace(judge, schema=Schema((Attribute("age", "real"),)))
    assert label(alone, data, 0.9).save(tmp_path / "ages.csv") == (tmp_path / "ages.csv",)


@pytest.mark.parametrize("threshold", [0.4, 1.1, float("nan")])
def test_bad_thresholds(judge: Judge, tmp_path: Path, threshold: float) -> None:
    data = write_faces(tmp_path / "faces", count=4, size=32)
    with pytest.raises(AttrimorphError, match=r"threshold must lie in 0\.5\.\.1"):
        label(judge, data, threshold)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_faces(tmp_path / "faces", count=8, size=32)
    write_faces(tmp_path / "large", count=8, size=64)
    words = ["data", "label", str(tmp_path / "faces"), "--judge", "drawn-faces-32", "--out"]
    assert run([*words, str(tmp_path / "labels.csv")]) == 0
    said = capsys.readouterr().out
    assert "Smiling" in said
    assert said.splitlines()[-1] == str(tmp_path / "labels.png")
    assert (tmp_path / "labels.csv").read_text().startswith("file,split,identity,")
    assert run([*words, str(tmp_path / "labels.txt")]) == 2
    assert "--out must be a CSV file" in capsys.readouterr().err
    assert run(["data", "label", str(tmp_path / "large"), *words[3:], str(tmp_path / "no.csv")]) == 2
    assert "was prepared at 64 pixels; 32 are wanted" in capsys.readouterr().err
