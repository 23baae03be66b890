"""judge: it writes a file that loads, tells figures, and refuses what it cannot learn from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attrimorph.cli import run
from attrimorph.evaluators.identity_encoder import load_identity_encoder
from attrimorph.evaluators.judge import load_judge
from tests.cli.conftest import Said

Say = Callable[..., Said]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "faces"
    words = ["data", "synthetic", str(folder), "--count", "120", "--size", "16", "--identities", "6"]
    assert run(words) == 0
    return folder


def test_a_judge_of_attributes(say: Say, people: Path, tmp_path: Path) -> None:
    said = say("judge", people, "--out", tmp_path / "mine.safetensors", "--images", "96", "--seed", "3")
    assert said.code == 0, said.err
    judge = load_judge(tmp_path / "mine.safetensors")
    assert (judge.name, judge.image_size, judge.recipe["seed"]) == ("judge mine", 16, 3)
    assert judge.trained_on["train"] == {"split": "train", "images": 108}
    told = {line.split()[1]: line for line in said.out.splitlines() if "judge." in line}
    assert told.keys() == {"judge.accuracy", "judge.calibration_error", "judge.calibration_error_overall"}
    assert all(line.endswith("on 6 images (test)") for line in told.values())
    assert "Wavy_Hair" in said.out
    assert said.out.splitlines()[-1] == str(tmp_path / "mine.safetensors")


def test_an_identity_encoder_of_people(say: Say, people: Path, tmp_path: Path) -> None:
    words = ["judge", people, "--kind", "identity", "--least", "5", "--images", "96"]
    said = say(*words, "--out", tmp_path / "who.safetensors")
    assert said.code == 0, said.err
    recogniser = load_identity_encoder(tmp_path / "who.safetensors")
    assert recogniser.name == "recogniser who"
    assert set(recogniser.classes) <= {str(number) for number in range(6)}
    assert "recogniser.top1" in said.out
    assert "unseen images" in said.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--kind", "identity", "--least", "500"], "at least two people with 500 images"),
        (["--kind", "identity", "--least", "1"], "least must be at least 3"),
        (["--images", "0"], "images_seen must be at least 1"),
        (["--kind", "colour"], "--kind"),
    ],
)
def test_bad_words_get_one_sentence(say: Say, people: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    said = say("judge", people, "--out", tmp_path / "none.safetensors", *words)
    assert said.code == 2
    assert sentence in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_no_folder_gets_one_sentence(say: Say, tmp_path: Path) -> None:
    said = say("judge", tmp_path / "nowhere", "--out", tmp_path / "none.safetensors")
    assert said.code == 2
    assert "nowhere" in said.err
