"""The shipped model that edits a picture for which nobody named one: that of drawn faces, or that of photographs."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph import models
from attrimorph.cli.app import run
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.models import DRAWN, PHOTOGRAPHS, model_bytes, model_for
from attrimorph.requests.batch import BatchEdit
from attrimorph.requests.edit import Edit
from attrimorph.requests.edit_folder import EditFolder
from attrimorph.studio.server import create_app
from tests.small_models import small_model
from tests.studio.conftest import let_in

PEOPLE = Path(__file__).parent.parent / "fixtures" / "photographs"
WOMAN = PEOPLE / "woman.jpg"
SCHEMA = Schema((Attribute("Smiling"), Attribute("Rosy_Cheeks")))


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ship a small model of photographs beside the one of drawn faces."""
    model = small_model(tmp_path / "small", "retouch-64", schema=SCHEMA)
    content = model_bytes(model.networks, {**model.header, "card": {"name": PHOTOGRAPHS, "words": {"not for": "harm"}}})
    home = tmp_path / "attrimorph"
    (home / "shipped").mkdir(parents=True)
    (home / "shipped" / f"{DRAWN}.safetensors").symlink_to(models.shipped()[DRAWN])
    write_bytes(home / "shipped" / f"{PHOTOGRAPHS}.safetensors", content)
    monkeypatch.setattr(models, "files", lambda _: home)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def drawn(tmp_path: Path) -> list[Path]:
    (found,) = faces.draw(3, 64, 5)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, found.images, strict=True):
        Image.fromarray(image.numpy()).save(path)
    return paths


def test_most_of_the_pictures_decide(both: None, drawn: list[Path], tmp_path: Path) -> None:
    assert [model_for(path) for path in (*drawn, WOMAN)] == [DRAWN] * 3 + [PHOTOGRAPHS]
    assert model_for(Image.open(WOMAN).convert("RGB")) == PHOTOGRAPHS
    assert model_for([*drawn, WOMAN]) == DRAWN
    assert model_for([drawn[0], WOMAN]) == PHOTOGRAPHS
    assert model_for([]) == DRAWN
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "broken.jpg").write_bytes(b"nothing")
    assert model_for(folder) == DRAWN
    (folder / "below" / "woman.jpg").write_bytes(WOMAN.read_bytes())
    assert model_for(folder) == PHOTOGRAPHS
    assert model_for(tmp_path / "gone.jpg") == DRAWN


def test_without_a_model_of_photographs_it_is_that_of_drawn_faces(
    both: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "attrimorph" / "shipped" / f"{PHOTOGRAPHS}.safetensors").unlink()
    assert model_for(WOMAN) == DRAWN


def test_requests_name_it(both: None, drawn: list[Path], tmp_path: Path) -> None:
    changes = {"Smiling": 1.0}
    assert Edit(images=[WOMAN], changes=changes).model == PHOTOGRAPHS
    assert Edit(images=drawn, changes=changes).model == DRAWN
    assert Edit(model="runs/mine", images=[WOMAN], changes=changes).model == "runs/mine"
    assert EditFolder(folder=PEOPLE, changes=changes).model == PHOTOGRAPHS
    assert BatchEdit(source=PEOPLE, changes=changes).model == PHOTOGRAPHS
    assert EditFolder.of(Edit(images=[PEOPLE], changes=changes)).model == PHOTOGRAPHS


def test_the_command_tells_it_and_its_receipt_keeps_it(
    both: None, drawn: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["edit", str(WOMAN), "--set", "Smiling=1", "--out", "woman.png"]) == 0
    assert "portraits-128, for photographs, is taken; --model names another\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "woman.json").read_text())["model"]["name"] == PHOTOGRAPHS
    assert run(["replay", "woman.json"]) == 0
    assert "every pixel is the same" in capsys.readouterr().out
    assert run(["edit", str(WOMAN), "--set", "Smiling=1", "--model", DRAWN, "--out", "other.png"]) == 0
    told = capsys.readouterr()
    assert "is taken" not in told.out
    assert "portraits-128 would fit" in told.out


def test_what_the_other_one_knows_is_told(both: None, drawn: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", str(WOMAN), "--set", "Mustache=1"]) == 2
    assert "portraits-128 has no such attribute; drawn-faces-64, for drawn faces, has" in capsys.readouterr().err
    assert run(["edit", str(drawn[0]), "--set", "Rosy_Cheeks=1"]) == 2
    assert "add --model portraits-128" in capsys.readouterr().err
    assert run(["edit", str(WOMAN), "--set", "Smilng=1"]) == 2
    assert "did you mean 'Smiling'" in capsys.readouterr().err


def test_a_drawn_face_is_told_to_the_model_of_photographs(both: None, drawn: list[Path]) -> None:
    model = load(PHOTOGRAPHS)
    with pytest.warns(UserWarning, match="looks like a drawn face.*drawn-faces-64 would fit"):
        model.edit(np.asarray(Image.open(drawn[0])), {"Smiling": 1})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.edit(WOMAN, {"Smiling": 1})
    assert not [each for each in caught if "drawn" in str(each.message)]


def test_the_words_of_its_card_are_shown(both: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["attributes", PHOTOGRAPHS]) == 0
    assert "not for: harm" in capsys.readouterr().out


def test_the_studio_begins_with_a_photograph_and_says_which_model_fits(both: None, drawn: list[Path]) -> None:
    header = {"content-type": "application/octet-stream"}
    for names, example, fits in (([PHOTOGRAPHS, DRAWN], True, [PHOTOGRAPHS, DRAWN]), ([DRAWN], False, [None, None])):
        with let_in(create_app(names)) as client:
            assert client.get("/api/studio").json()["example"] is example
            pictures = client.get("/example.jpg").content, drawn[0].read_bytes()
            told = [client.post("/api/open", content=each, headers=header).json() for each in pictures]
            assert [each["fits"] for each in told] == fits
            assert len(told[0]["faces"]) == 1
