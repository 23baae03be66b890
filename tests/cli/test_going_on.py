"""`train RUN` goes on with that run and its data; another length, another folder, other data, data that are gone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attrimorph.cli import run as command
from attrimorph.cli.app import STAND_IN
from attrimorph.training.folder import data_words, read_log
from tests.cli.conftest import TINY, Said

Say = Callable[..., Said]


def recipe_of(folder: Path) -> dict[str, dict[str, object]]:
    recipe: dict[str, dict[str, object]] = json.loads((folder / "recipe.json").read_text())["recipe"]
    return recipe


def clock(folder: Path) -> int:
    return int(read_log(folder)[-1]["images_seen"])


@pytest.fixture
def photographs(tmp_path: Path, drawn: Path) -> Path:
    """Two class folders of pictures, as a person has them."""
    import numpy as np
    from PIL import Image

    for number, image in enumerate(np.load(drawn / "images.npy")):
        path = tmp_path / "photographs" / ("with" if number % 2 else "without") / f"IMG_{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "photographs"


@pytest.fixture
def run(tmp_path: Path, photographs: Path) -> Path:
    folder = tmp_path / "runs" / "res"
    words = ["train", "cvae-gan", *TINY, "--data", str(photographs), "--format", "classes", "--out", str(folder)]
    assert command(words) == 0
    return folder


def test_a_run_goes_on_with_its_data_to_another_length(say: Say, run: Path) -> None:
    began = json.loads((run / "recipe.json").read_text())["data"]
    said = say("train", run, "--training.images", 64, "--training.log-images", 32)
    assert said.code == 0, said.err
    assert STAND_IN not in said.err
    assert clock(run) == 64
    assert recipe_of(run)["training"]["images"] == 64
    assert json.loads((run / "recipe.json").read_text())["data"] == began
    assert f"the run is in {run}" in said.out


def test_a_run_that_has_come_to_its_end_says_so_and_stays_as_it_is(say: Say, run: Path) -> None:
    before = (run / "recipe.json").read_bytes()
    for words in ([], ["--training.images", 16]):
        said = say("train", run, *words)
        assert said.code == 0
        assert f"{run} has seen 32 images of" in said.err
        assert "--training.images goes further" in said.err
        assert (run / "recipe.json").read_bytes() == before


@pytest.mark.parametrize(
    ("word", "value"), [("training.batch-size", 8), ("losses.kl", 7), ("data.image-size", 32), ("training.seed", 3)]
)
def test_what_a_run_keeps_to_its_end_is_refused(say: Say, run: Path, word: str, value: int) -> None:
    said = say("train", run, f"--{word}", value)
    assert said.code == 2
    assert f"{run} holds a run with {word.replace('-', '_')} = " in said.err
    assert "give the same, or choose another folder with --out" in said.err


def test_another_folder_begins_another_run_with_the_recipe_and_the_data(say: Say, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    said = say("train", run, "--out", other, "--training.batch-size", 8)
    assert said.code == 0, said.err
    assert (clock(other), recipe_of(other)["training"]["batch_size"]) == (32, 8)
    assert data_words(other) == data_words(run)
    assert recipe_of(run)["training"]["batch_size"] == 16
    said = say("train", run, "--out", other, "--training.batch-size", 8, "--training.images", 48)
    assert (said.code, clock(other)) == (0, 48)


def test_data_are_found_again_where_they_came_from(say: Say, run: Path, photographs: Path) -> None:
    """The prepared arrays are a cache: without them the pictures are read again, as the format says."""
    assert data_words(run)["format"] == "classes"
    shutil.rmtree(photographs / ".attrimorph")
    said = say("train", run, "--training.images", 48)
    assert (said.code, clock(run)) == (0, 48), said.err


def test_data_that_have_moved_must_be_named_and_be_the_same(
    say: Say, run: Path, photographs: Path, drawn: Path, tmp_path: Path
) -> None:
    moved = photographs.rename(tmp_path / "elsewhere")
    said = say("train", run, "--training.images", 48)
    assert said.code == 2
    assert f"the data of {run} are gone from {photographs}; name where they are now with --data" in said.err
    said = say("train", run, "--training.images", 48, "--data", drawn)
    assert said.code == 2
    assert f"holds a run on other data ({photographs})" in said.err
    said = say("train", run, "--training.images", 48, "--data", moved)
    assert (said.code, clock(run)) == (0, 48), said.err
    assert data_words(run)["data"] == str(moved)
    said = say("train", run, "--training.images", 64)
    assert (said.code, clock(run)) == (0, 64), said.err


def test_data_that_have_changed_are_told(say: Say, run: Path, photographs: Path) -> None:
    next((photographs / "with").iterdir()).unlink()
    shutil.rmtree(photographs / ".attrimorph")
    said = say("train", run, "--training.images", 48)
    assert said.code == 2
    assert f"the data in {photographs} have changed since {run} began" in said.err
    assert clock(run) == 32


def test_a_recipe_whose_folder_holds_a_run_on_own_data_draws_no_faces(
    say: Say, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run.rename(tmp_path / "runs" / "cvae-gan")
    said = say("train", "cvae-gan", *TINY)
    assert said.code == 2
    assert "runs/cvae-gan holds a run on " in said.err
    assert "go on with `attrimorph train runs/cvae-gan`, or choose another folder with --out" in said.err
    assert not (tmp_path / "runs" / "data").exists()
    said = say("train", "cvae-gan", *TINY, "--losses.kl", 7)
    assert (said.code, "with losses.kl = " in said.err) == (2, True), said.err


def test_synthetic_faces_say_that_they_stand_in_and_are_remembered(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = say("train", "cvae-gan", *TINY)
    assert said.code == 0, said.err
    assert said.err.count(STAND_IN) == 1
    longer = [word.replace("images=32", "images=48") for word in TINY]
    said = say("train", "cvae-gan", *longer)
    assert (said.code, clock(Path("runs/cvae-gan"))) == (0, 48), said.err
    (tmp_path / "runs").rename(tmp_path / "moved")
    said = say("train", "moved/cvae-gan", "--training.images", 64)
    assert (said.code, clock(Path("moved/cvae-gan"))) == (0, 64), said.err
    assert STAND_IN not in said.err


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not say where its data are"), ("[1]", "does not say where data are")]
)
def test_a_run_that_does_not_say_where_its_data_are(
    say: Say, run: Path, photographs: Path, content: str | None, words: str
) -> None:
    (run / "data.json").unlink()
    if content:
        (run / "data.json").write_text(content)
    said = say("train", run, "--training.images", 48)
    assert said.code == 2
    assert words in said.err
    assert "--data" in said.err
    (run / "data.json").unlink(missing_ok=True)
    said = say("train", run, "--training.images", 48, "--data", photographs, "--format", "classes")
    assert (said.code, clock(run)) == (0, 48), said.err


def test_a_folder_that_is_no_run_is_told(say: Say, tmp_path: Path) -> None:
    said = say("train", tmp_path)
    assert (said.code, "recipe.json" in said.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "{run}", "--count", "16", "--metrics", "reconstruction", "--out", "evaluated"],
        ["audit", "--model", "{run}", "--attribute", "Smiling", "--count", "2", "--out", "pairs"],
        ["experiment", "layers", "--quick", "--model", "{run}"],
        ["compare", "vae", "cyclegan-64", "--images", "32"],
    ],
    ids=lambda words: words[0],
)
def test_every_verb_says_where_synthetic_faces_stand_in(
    say: Say, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Before it begins, so also where the rest is refused, as the last two are."""
    monkeypatch.chdir(tmp_path)
    said = say(*(word.format(run=tiny_run) for word in words))
    assert said.err.count(STAND_IN) == 1, said.err
