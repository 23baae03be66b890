"""Nothing that the user did not name is written over: not what shares a result's name, nor a page or card of theirs."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from attrimorph.errors import AttrimorphError
from attrimorph.files import refuse_foreign
from attrimorph.hub import save_pretrained
from attrimorph.models.model import Model
from attrimorph.pictures import Pictures
from attrimorph.reproductions.report import write_page, write_values
from attrimorph.requests.morph import Morph
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "content"), [("party.json", b'{"compilerOptions": {"paths": "attrimorph"}}'), ("party.json", b"{"),
                          ("party.gif", b"GIF of mine")]
)  # fmt: skip
@pytest.mark.parametrize("out", ["party.png", "party"])
def test_files_beside_a_result_stay(model: Model, tmp_path: Path, name: str, content: bytes, out: str) -> None:
    faces = [tmp_path / "one.png", tmp_path / "two.png"]
    for face in faces:
        Image.new("RGB", (16, 16), "grey").save(face)
    (tmp_path / name).write_bytes(content)
    before = files(tmp_path)
    with pytest.raises(AttrimorphError, match=rf"{name}.*choose another"):
        Morph(images=faces, steps=2).write(tmp_path / out, model)
    assert files(tmp_path) == before


def test_a_film_that_was_named_may_be_written_over_its_strip_not(model: Model, tmp_path: Path) -> None:
    faces = [tmp_path / "one.png", tmp_path / "two.png"]
    for face in faces:
        Image.new("RGB", (16, 16), "grey").save(face)
    (tmp_path / "party.gif").write_bytes(b"an older one")
    Morph(images=faces, steps=2).write(tmp_path / "party.gif", model)
    assert (tmp_path / "party.gif").read_bytes().startswith(b"GIF8")
    (tmp_path / "party.png").write_bytes(b"mine")
    with pytest.raises(AttrimorphError, match=r"party.png would be written over"):
        Morph(images=faces, steps=2).write(tmp_path / "party.gif", model)


def test_a_result_takes_the_place_of_the_one_before_and_of_nothing_else(model: Model, tmp_path: Path) -> None:
    faces = [tmp_path / "one.png", tmp_path / "two.png"]
    for face in faces:
        Image.new("RGB", (16, 16), "grey").save(face)
    out = tmp_path / "morph.png"
    out.write_bytes(b"named by the user")
    _, film = Morph(images=faces, steps=2).write(out, model).pictures
    Morph(images=faces, steps=3).write(out, model)
    film.write_bytes(film.read_bytes() + b"retouched by hand")
    before = files(tmp_path)
    with pytest.raises(AttrimorphError, match=r"morph.gif would be written over"):
        Morph(images=faces, steps=4).write(out, model)
    assert files(tmp_path) == before


def test_a_folders_own_card_page_and_pictures_stay(model: Model, tmp_path: Path) -> None:
    for name in ("README.md", "report.html", "report.json", "face-2.png"):
        (tmp_path / name).write_text("mine")
    before = files(tmp_path)
    with pytest.raises(AttrimorphError, match=r"README.md would be written over"):
        save_pretrained(model, tmp_path)
    with pytest.raises(AttrimorphError, match=r"report.html would be written over"):
        write_page(tmp_path / "report.html", title="", eyebrow="", lead="", pieces=[], footer="")
    with pytest.raises(AttrimorphError, match=r"report.json would be written over"):
        write_values(tmp_path / "report.json", "evaluation", 1, {})
    with pytest.raises(AttrimorphError, match=r"face-2.png would be written over"):
        torch.zeros(2, 3, 8, 8).as_subclass(Pictures).save(tmp_path / "face.png")
    assert files(tmp_path) == before


def test_what_this_program_made_it_may_make_again(model: Model, tmp_path: Path) -> None:
    for _ in range(2):
        save_pretrained(model, tmp_path)
        write_page(tmp_path / "report.html", title="", eyebrow="", lead="", pieces=["x" * 200_000], footer="")
        write_values(tmp_path / "report.json", "evaluation", 1, {})
        for suffix in (".png", ".jpg", ".webp", ".tif"):
            torch.zeros(2, 3, 8, 8).as_subclass(Pictures).save(tmp_path / f"face{suffix}")
    refuse_foreign([tmp_path / "nowhere"])
