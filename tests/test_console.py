"""Progress without a terminal, and words for people."""

from pathlib import Path

import pytest

from attrimorph.cli import run
from attrimorph.console import Meter, duration, table
from tests import terminal
from tests.cli.conftest import TINY


def test_the_last_line_is_always_printed_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("training") as meter:
        meter.update(0, 1000)
        meter.update(500, 1000, {"image": 12.345})
        meter.update(1000, 1000, {"image": 1.5}, rate=250.0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["training: 1,000/1,000 images, 250 images/s, image 1.5"]


def test_slow_work_has_a_speed_too(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("shards", unit="shards") as meter:
        meter.update(20, 20, rate=0.238)
    assert capsys.readouterr().err == "shards: 20/20 shards, 0.24 shards/s\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7800, "2 h 10 min")]
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_table_aligns_columns() -> None:
    assert table([("a", "b c"), ("long", "d")]) == "a     b c\nlong  d"
    assert table([]) == ""


def test_another_stage_starts_its_own_clock(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 0.0, 100.0, 200.0, 210.0])
    monkeypatch.setattr("attrimorph.console.time.monotonic", lambda: next(now))
    with Meter("first") as meter:
        meter.update(0, 10)
        meter.update(10, 10)
        meter.title = "second"
        meter.update(0, 100)
        meter.update(50, 100)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "second: 50/100 images, 5 images/s, 10 s left"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_bar_of_a_terminal_keeps_to_its_line(columns: int, tmp_path: Path) -> None:
    said = terminal.run(
        ["data", "synthetic", str(tmp_path / "faces"), "--count", "24", "--size", "32"], columns=columns
    )
    assert said.code == 0, said.text
    bars = [frame for frame in said.frames if frame.startswith("drawing")]
    assert bars
    assert "24/24" in bars[-1]
    assert all(len(frame) <= columns for frame in bars)
    assert len([line for line in said.lines if line.startswith("drawing")]) == 1, "one line, written over"


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    said = terminal.run(["data", "synthetic", str(tmp_path / "faces"), "--count", "24", "--size", "32"], term="dumb")
    assert said.code == 0, said.text
    assert "drawing: 24/24 images" in said.text
    assert "━" not in said.text


def test_six_figures_at_most_stand_beside_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("training") as meter:
        meter.update(10, 10, {f"loss_{number}": 1.0 for number in range(9)})
    assert capsys.readouterr().err.count("loss_") == 6


@pytest.mark.parametrize(("columns", "count"), [(40, 2), (80, 4), (200, 6)])
def test_figures_stand_whole_and_in_words_below_the_bar(columns: int, count: int, tmp_path: Path) -> None:
    assert run(["data", "synthetic", str(tmp_path / "faces"), "--count", "24", "--size", "16"]) == 0
    words = ["train", "cvae-gan-edit", *TINY, "--data", str(tmp_path / "faces"), "--out", str(tmp_path / "run")]
    said = terminal.run(words, columns=columns)
    assert said.code == 0, said.text
    below = next(frame for frame in reversed(said.frames) if frame.startswith("reconstruction "))
    figures = below.split("  ")
    names = [figure.rpartition(" ")[0] for figure in figures]
    first = ["reconstruction", "KL", "D right on real", "D right on samples", "variety", "attributes right"]
    assert names == first[:count]
    assert all(float(figure.rpartition(" ")[2]) >= 0 for figure in figures)
    assert all(len(frame) <= columns for frame in said.frames if "━" in frame)
