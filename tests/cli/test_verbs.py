"""The verbs, on a real tiny model: they write what they say, and repeat it exactly."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn.faces import tied_factors
from attrimorph.data.prepared import open_prepared
from attrimorph.loading import load
from attrimorph.requests import parse_settings
from tests.cli.conftest import TINY, Said
from tests.tiny_models import tiny_model

Say = Callable[..., Said]


def test_train_writes_a_run_that_loads(tiny_run: Path) -> None:
    model = load(tiny_run)
    assert model.images_seen == 32
    assert model.recipe.networks.latent == 4
    assert "Smiling" in model.schema.names


def test_train_again_goes_on_and_tells_of_another_recipe(say: Say, tiny_run: Path, drawn: Path) -> None:
    words = ["train", "cvae-gan-edit", *TINY, "--data", drawn, "--out", tiny_run]
    assert say(*words).code == 0
    said = say(*words, "--losses.kl", "7")
    assert said.code == 2
    assert "losses.kl" in said.err


def test_train_from_a_yaml_file_and_from_a_run(say: Say, tiny_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: cvae-gan\ntraining:\n  batch-size: 8\nlosses.kl: 2e-3\n")
    said = say("train", file, "--training.seed", "5", "--dry-run")
    assert said.code == 0, said.err
    assert "batch_size: 8 " in said.out
    assert "kl: 0.002 " in said.out
    assert "seed: 5 " in said.out
    assert "latent: 4 " in say("recipes", tiny_run).out


def test_a_printed_recipe_is_a_recipe(say: Say, tmp_path: Path) -> None:
    printed = say("recipes", "quickstart").out
    file = tmp_path / "copy.yaml"
    file.write_text(printed)
    assert say("train", file, "--dry-run").out == printed


@pytest.mark.parametrize(
    ("words", "pictures"),
    [
        (["sample", "--count", "3", "--set", "Smiling=1", "--seed", "3"], 1),
        (["reconstruct", "FACE", "FACE"], 1),
        (["edit", "FACE", "--set", "Smiling=1", "--set", "Blond_Hair=0.5", "--known", "Male=0"], 2),
        (["morph", "FACE", "FACE", "--steps", "3"], 2),
        (["morph", "FACE", "FACE", "--steps", "3", "--path", "pixel"], 2),
        (["morph", "FACE", "FACE", "FACE", "FACE", "--steps", "3", "--path", "bilinear"], 2),
        (["transfer", "FACE", "--from", "FACE", "--attributes", "Eyeglasses,Smiling"], 1),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_verb_writes_its_picture_and_a_receipt_that_repeats_it(
    say: Say, tiny_run: Path, face: Path, tmp_path: Path, words: list[str], pictures: int
) -> None:
    said = say(*[face if word == "FACE" else word for word in words], "--model", tiny_run, "--out", tmp_path)
    assert said.code == 0, said.err
    *shown, receipt = said.out.splitlines()
    assert len(shown) == pictures
    for path in shown:
        with Image.open(path) as image:
            image.load()
    file = Path(receipt.split("  (")[0])
    assert json.loads(file.read_text())["verb"] == words[0]
    again = say("replay", file)
    assert again.code == 0, again.err
    assert "every pixel is the same" in again.out


def test_a_film_is_asked_for_by_name_or_by_option(say: Say, tiny_run: Path, face: Path, tmp_path: Path) -> None:
    for number, words in enumerate((["--out", tmp_path / "way-0.mp4"], ["--out", tmp_path / "way-1.png", "--mp4"])):
        said = say("morph", face, face, "--steps", "2", "--model", tiny_run, *words)
        assert said.code == 0, said.err
        names = [Path(line).name for line in said.out.splitlines()[:-1]]
        assert names == [f"way-{number}.{kind}" for kind in ("png", "gif", "mp4")]
        assert (tmp_path / f"way-{number}.mp4").read_bytes()[4:8] == b"ftyp"
        assert "every pixel is the same" in say("replay", tmp_path / f"way-{number}.json").out


def test_a_taken_name_is_not_overwritten(say: Say, tiny_run: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert say("sample", "--count", "2", "--model", tiny_run, "--out", tmp_path).code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sample-2.png", "sample.png"]


def test_check_passes_drawn_data_and_names_a_broken_file(say: Say, drawn: Path, face: Path, tmp_path: Path) -> None:
    assert say("data", "check", drawn).code == 0
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "good.png").write_bytes(face.read_bytes())
    (tmp_path / "dog" / "broken.png").write_bytes(face.read_bytes()[:200])
    report = tmp_path / "report.json"
    said = say("data", "check", tmp_path, "--out", report)
    assert said.code == 2
    assert "broken.png" in said.out
    assert "Traceback" not in said.err
    assert json.loads(report.read_text())["images"] == 3


def test_prepare_then_train_reads_it(say: Say, face: Path, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "prepared"
    raw.mkdir()
    rows = ["file_name,Smiling"]
    for number in range(20):
        Image.new("RGB", (20, 24), (number * 10, 0, 0)).save(raw / f"{number}.png")
        rows.append(f"{number}.png,{number % 2}")
    (raw / "attributes.csv").write_text("\n".join(rows) + "\n")
    said = say("data", "prepare", raw, "--out", out, "--image-size", "16")
    assert said.code == 0, said.err
    assert "20 images" in said.out
    assert say("data", "prepare", raw, "--out", out, "--image-size", "16").code == 0


def test_recipes_lists_every_recipe(say: Say) -> None:
    from attrimorph.methods.recipes import RECIPES

    listed = [line.split()[0] for line in say("recipes").out.splitlines()]
    assert listed == list(RECIPES)


def test_doctor_reports(say: Say) -> None:
    said = say("doctor")
    assert "Traceback" not in said.err
    for word in (
        "attrimorph:",
        "python:",
        "packages:",
        "speed:",
        "memory:",
        "disk:",
        "extra c2pa:",
        "extra hub:",
        "shipped models:",
    ):
        assert word in said.out


def test_evaluate_measures_and_writes_a_page(say: Say, tiny_run: Path, tmp_path: Path) -> None:
    said = say("evaluate", tiny_run, "--count", "8", "--out", tmp_path)
    assert said.code == 0, said.err
    assert "reconstruction.psnr" in said.out
    figures = json.loads((tmp_path / "evaluation.json").read_text())["figures"]
    assert figures["reconstruction.psnr"] > 0
    assert (tmp_path / "evaluation.html").exists()


def test_evaluate_measures_chosen_groups_and_compares_only_what_was_measured_alike(
    say: Say, tiny_run: Path, tmp_path: Path
) -> None:
    words = ["evaluate", tiny_run, "--metrics", "reconstruction, diversity", "--out"]
    assert say(*words, tmp_path / "a", "--count", "6").code == 0
    said = say(*words, tmp_path / "b", "--count", "6", "--against", tmp_path / "a" / "evaluation.json")
    assert said.code == 0, said.err
    assert "+0.0000" in said.out
    assert "not compared" not in said.out
    said = say(*words, tmp_path / "c", "--count", "7", "--against", tmp_path / "a")
    assert said.code == 0, said.err
    assert "reconstruction.psnr is not compared: here it is (" in said.out
    said = say("evaluate", tiny_run, "--metrics", "edit")
    assert (said.code, "did you mean 'edits'" in said.err) == (2, True)
    said = say("evaluate", tiny_run, "--against", tmp_path / "none.json")
    assert (said.code, "cannot read" in said.err) == (2, True)


@pytest.mark.parametrize("kind", ["faces", "tied-faces", "shapes"])
def test_synthetic_is_the_same_for_the_same_seed(say: Say, tmp_path: Path, kind: str) -> None:
    words = ["--kind", kind, "--count", "12", "--size", "16", "--seed"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert say("data", "synthetic", tmp_path / name, *words, seed).code == 0
    first, again, other = ((tmp_path / name / "images.npy").read_bytes() for name in "abc")
    assert first == again
    assert first != other
    if kind == "tied-faces":
        data = open_prepared(tmp_path / "c")
        assert data.preprocessing["request"] == "faces 12 16 2 beard-Male 0.8 grey-age 0.6"
        torch.testing.assert_close(
            torch.from_numpy(data.factors.copy()), tied_factors(12, torch.Generator().manual_seed(2))
        )


def test_ring_points(say: Say, tmp_path: Path) -> None:
    assert say("data", "synthetic", tmp_path, "--kind", "ring", "--count", "20").code == 0
    assert len((tmp_path / "points.csv").read_text().splitlines()) == 21


CLASSES = Schema((Attribute("Hat"), Attribute("class", "categorical", ("smiling", "neutral", "sad"))))


def test_values_of_a_categorical_attribute_are_asked_for_by_name(say: Say, face: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "classes", schema=CLASSES)
    told = {}
    for number, words in enumerate((["class=sad"], ["class=sad=1"], ["class=sad=0.5", "Hat=-1"], ["class=sad=-1"])):
        asked = [part for word in words for part in ("--set", word)]
        for verb in (["edit", face, "--known", "class=neutral"], ["sample", "--count", 2]):
            out = tmp_path / f"{verb[0]}{number}.png"
            said = say(*verb, *asked, "--model", tmp_path / "classes", "--out", out)
            assert said.code == 0, said.err
            arguments = json.loads(out.with_suffix(".json").read_text())["arguments"]
            assert arguments["changes"] == parse_settings(words, CLASSES)
            told[out.stem] = out.read_bytes()
            assert say("replay", out.with_suffix(".json")).out.endswith("every pixel is the same\n")
    assert told["edit0"] == told["edit1"] != told["edit2"]
    assert told["sample0"] == told["sample1"] != told["sample2"]
    image = torch.zeros(1, 3, 16, 16)
    assert torch.equal(model.edit(image, {"class": "sad"}), model.edit(image, {"class=sad": 1}))
    assert torch.equal(model.sample(2, {"class": "sad"}), model.sample(2, {"class=sad": 1}))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["edit", "FACE", "--set", "class=glad"], "'class' has no value 'glad'; did you mean 'sad'?"),
        (["edit", "FACE", "--set", "class"], "takes one of its values, smiling, neutral, sad; write class=smiling"),
        (["edit", "FACE", "--set", "Hat=1", "--known", "class=1"], "--known class=1: the attribute 'class' has no"),
        (["sample", "--set", "Class=sad"], "did you mean 'class'? there are: Hat, class (one of smiling, neutral, sad"),
        (["transfer", "FACE", "--from", "FACE", "--attributes", "class=sad"], "there are: Hat, class (one of smiling,"),
    ],
)  # fmt: skip
def test_a_value_that_there_is_not_is_told(
    say: Say, face: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    tiny_model(tmp_path / "classes", schema=CLASSES)
    said = say(*[face if word == "FACE" else word for word in words], "--model", tmp_path / "classes")
    assert said.code == 2
    assert sentence in said.err
