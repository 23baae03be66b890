"""inpaint, superresolve, retrieve, neighbours, latent-map and augment, on a real tiny model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from attrimorph import cli
from attrimorph.cli.app import BAD_INPUT
from tests.cli.conftest import Said
from tests.tiny_models import tiny_model

Say = Callable[..., Said]


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces enough to hold some out."""
    folder = tmp_path_factory.mktemp("many") / "faces"
    assert cli.run(["data", "synthetic", str(folder), "--count", "240", "--size", "16"]) == 0
    return folder


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["inpaint", "FACE", "--hole", "4,6,11,12", "--times", "2", "--known", "Smiling=1", "--model", "TINY"], 2),
        (["inpaint", "FACE", "--mask", "MASK", "--fill", "mean", "--feather", "0", "--model", "TINY"], 2),
        (["superresolve", "FACE", "--times-larger", "4", "--rounds", "2", "--model", "TINY"], 2),
        (["retrieve", "FACE", "--among", "DATA", "--same", "Male", "--count", "3", "--model", "TINY"], 2),
        (["neighbours", "TINY", "--data", "MANY", "--count", "20"], 2),
        (["latent-map", "TINY", "--data", "DATA", "--attribute", "Smiling"], 3),
        (["reconstruct", "FACE", "--invert", "--invert-steps", "5", "--known", "Male=1", "--model", "TINY"], 1),
        (["edit", "FACE", "--set", "Smiling=1", "--invert", "--invert-seconds", "0.2", "--model", "TINY"], 2),
        (["morph", "FACE", "FACE", "--steps", "3", "--invert", "--invert-steps", "5", "--model", "TINY"], 2),
        (["morph", "FACE", "FACE", "--path", "uniform", "--steps", "3", "--invert", "--model", "GAN"], 2),
        (["inpaint", "FACE", "--hole", "4,6,11,12", "--invert", "--invert-steps", "5", "--model", "GAN"], 2),
        (["superresolve", "FACE", "--times-larger", "4", "--invert", "--invert-candidates", "9", "--model", "GAN"], 2),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_a_verb_writes_its_files_and_a_receipt_that_repeats_them(
    say: Say, request: pytest.FixtureRequest, tmp_path: Path, words: list[str], files: int
) -> None:
    places = {"TINY": "tiny_run", "FACE": "face", "DATA": "drawn", "MANY": "many"}
    mask = Image.new("L", (16, 16))
    mask.paste(255, (2, 2, 9, 7))
    mask.save(tmp_path / "mask.png")
    known = {"MASK": tmp_path / "mask.png", "GAN": tmp_path / "gan"}
    tiny_model(tmp_path / "gan", method="gan")
    said = say(
        *[request.getfixturevalue(places[word]) if word in places else known.get(word, word) for word in words],
        "--out", tmp_path,
    )  # fmt: skip
    assert said.code == 0, said.err
    *_, receipt = said.out.splitlines()
    told = json.loads(Path(receipt.split("  (")[0]).read_text())
    assert told["verb"] == words[0]
    assert len(told["outputs"]) == files
    assert all((tmp_path / item["file"]).exists() for item in told["outputs"])
    again = say("replay", receipt.split("  (")[0])
    assert again.code == 0, again.err
    assert "every pixel is the same" in again.out


def test_augment_writes_a_folder_that_is_prepared_and_measures_it(say: Say, tmp_path: Path) -> None:
    drawn = tmp_path / "faces"
    assert say("data", "synthetic", drawn, "--count", "80", "--size", "64").code == 0
    words = ["--balance", "Eyeglasses", "--measure", "--seeds", "1", "--images", "64"]
    said = say("augment", "--data", drawn, "--out", tmp_path / "set", *words)
    assert said.code == 0, said.err
    assert "images confirmed (classifier of drawn-faces-64, judge drawn-faces-64)" in said.err
    assert "accuracy" in said.out
    for name in ("set/attributes.csv", "set.png", "set.csv", "set.json", "set.worth.json"):
        assert (tmp_path / name).exists(), name
    assert say("data", "prepare", tmp_path / "set", "--out", tmp_path / "back", "--image-size", "64").code == 0
    again = say("replay", tmp_path / "set.json")
    assert again.code == 0, again.err
    assert "every pixel is the same" in again.out
    assert (tmp_path / "set.again" / "attributes.csv").read_bytes() == (tmp_path / "set/attributes.csv").read_bytes()


def test_augment_with_a_weak_model_is_refused(say: Say, tiny_run: Path, drawn: Path, tmp_path: Path) -> None:
    said = say(
        "augment", "--data", drawn, "--balance", "Eyeglasses,Male", "--out", tmp_path / "set", "--model", tiny_run
    )
    assert said.code == 2
    assert "nothing was written" in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["inpaint", "FACE", "--model", "TINY"], "either --mask or --hole"),
        (["inpaint", "FACE", "--hole", "1,2,3", "--model", "TINY"], "four whole numbers"),
        (["inpaint", "FACE", "--hole", "4,4,40,8", "--model", "TINY"], "must lie inside the picture of 16x16"),
        (["inpaint", "FACE", "--hole", "0,0,16,16", "--model", "TINY"], "this one is everything"),
        (["inpaint", "FACE", "--mask", "gone.png", "--model", "TINY"], "gone.png"),
        (["inpaint", "FACE", "--hole", "1,1,5,5", "--times", "0", "--model", "TINY"], "times must lie in"),
        (["superresolve", "FACE", "--model", "TINY"], "--times-larger"),
        (["superresolve", "FACE", "--times-larger", "3", "--model", "TINY"], "divide the model's 16 pixels"),
        (["retrieve", "FACE", "--model", "TINY"], "--among"),
        (["retrieve", "FACE", "--among", "gone", "--model", "TINY"], "there is no folder gone"),
        (["retrieve", "FACE", "--among", "DATA", "--set", "Eyeglasses=0.5", "--model", "TINY"], "1 or -1"),
        (["retrieve", "FACE", "--among", "DATA", "--count", "0", "--model", "TINY"], "count must lie in"),
        (["reconstruct", "FACE", "--invert-steps", "5", "--model", "TINY"], "without --invert; add --invert"),
        (["reconstruct", "FACE", "--invert", "--invert-steps", "-5", "--model", "TINY"], "steps must lie in"),
        (["morph", "FACE", "FACE", "--invert", "--invert-seconds", "0", "--model", "TINY"], "seconds must be above 0"),
        (["morph", "FACE", "FACE", "--path", "pixel", "--invert", "--model", "TINY"], "path pixel goes through none"),
        (["edit", "FACE", "--like", "FACE", "--invert", "--model", "TINY"], "--invert do nothing"),
        (["neighbours", "TINY"], "--data"),
        (["neighbours", "TINY", "--data", "DATA"], "at least 20"),
        (["neighbours", "TINY", "--data", "MANY", "--judge", "drawn-faces-64"], "must look at 16 px"),
        (["latent-map", "TINY", "--data", "gone"], "gone"),
        (["latent-map", "TINY", "--data", "DATA", "--attribute", "Nose"], "there is no attribute 'Nose'"),
        (["augment", "--data", "DATA", "--out", "set", "--model", "TINY"], "must be told what to make"),
        (["augment", "--data", "DATA", "--out", "set", "--balance", "Nose", "--model", "TINY"], "no attribute 'Nose'"),
        (["augment", "--data", "DATA", "--out", "DATA", "--balance", "Male", "--model", "TINY"], "new or empty folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    say: Say,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"TINY": "tiny_run", "FACE": "face", "DATA": "drawn", "MANY": "many"}
    said = say(*[request.getfixturevalue(places[word]) if word in places else word for word in words])
    assert said.code == BAD_INPUT, said
    assert sentence in said.err
    assert said.err.startswith("attrimorph: ")
    assert "Traceback" not in said.err
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith("codes-")]
    assert kept == []
