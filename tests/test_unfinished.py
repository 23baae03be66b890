"""Judges and axes that a signal ended: the same command goes on, and ends as one that was never stopped."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from attrimorph.cli import run
from attrimorph.files import beside
from tests import terminal


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    assert run(["data", "synthetic", str(folder), "--count", "300", "--size", "16", "--identities", "12"]) == 0
    return folder


def after(words: str, number: signal.Signals) -> Callable[[int, str], bool]:
    """Return what sends a signal when the screen has shown some words."""

    def watch(child: int, text: str) -> bool:
        if words in text:
            os.kill(child, number)
        return words in text

    return watch


TRAINING = "training the attribute classifier"
COMMANDS = {
    "attributes": (["judge", "{data}", "--images", "9600"], TRAINING),
    "identity": (
        ["judge", "{data}", "--kind", "identity", "--least", "3", "--images", "9600"],
        "training the attribute classifier",
    ),
    "axes": (["axes", "fit", "drawn-faces-64", "--samples", "3000", "--attributes", "Smiling"], "drawing and judging"),
}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("attributes", signal.SIGINT),
        pytest.param("identity", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("axes", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_what_was_stopped_goes_on_and_ends_the_same(
    name: str, number: signal.Signals, data: Path, tmp_path: Path
) -> None:
    command, title = COMMANDS[name]
    words = [*(word.format(data=data) for word in command), "--out"]
    whole, stopped = (str(tmp_path / folder / "made.safetensors") for folder in ("whole", "stopped"))
    assert terminal.run([*words, whole]).code == 0
    said = terminal.run([*words, stopped], during=after(title, number))
    assert said.code == 128 + number, said.text
    assert not Path(stopped).exists()
    assert f"kept in {beside(Path(stopped))}; go on with: attrimorph {' '.join(words)} {stopped}" in said.text
    other = terminal.run([*words, stopped, "--seed", "5"])
    assert (other.code, "unfinished work with another seed" in other.text) == (2, True), other.text
    again = terminal.run([*words, stopped])
    assert again.code == 0, again.text
    if name != "axes":  # a pack holds the seconds that it took
        same = Path(stopped).read_bytes() == Path(whole).read_bytes()  # a comparison of megabytes prints for minutes
        assert same
    assert not beside(Path(stopped)).exists()


def test_damaged_work_is_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "made.safetensors.unfinished").write_text("no")
    assert run(["judge", str(data), "--images", "64", "--out", str(tmp_path / "made.safetensors")]) == 2
    assert "no unfinished work of this program, or damaged; remove it" in capsys.readouterr().err
