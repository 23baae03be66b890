"""Retrieval: an image finds itself, what is asked for holds, and codes that were kept are the codes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.applications import gallery as gallery_module
from attrimorph.applications.gallery import encode_gallery, gallery_of, holding, open_gallery
from attrimorph.applications.inputs import attributes_of
from attrimorph.applications.neighbours import retrieve
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Encodes, Model
from attrimorph.requests.on_data import Retrieve
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return write_faces(tmp_path_factory.mktemp("data") / "faces", count=90, size=16, identities=20)


def column(name: str) -> int:
    return faces.SCHEMA.names.index(name)


def test_an_image_finds_itself_and_brute_force_agrees(model: Model, data: PreparedData) -> None:
    assert isinstance(model, Encodes)
    gallery = gallery_of(data)
    codes = encode_gallery(model, gallery)
    for row in (0, 17, 89):
        image = gallery.read(np.array([row]))
        found = retrieve(model, image, gallery, count=6, codes=codes)
        assert int(found.rows[0]) == row
        assert float(found.distances[0]) < 1e-4
        z = model.encode(image, attributes_of(model, image)).z.flatten(1)
        distances, order = (codes.z - z).double().norm(dim=1).sort()
        torch.testing.assert_close(found.distances, distances[:6], atol=1e-5, rtol=1e-5)
        assert found.rows[1:].tolist() == order[1:6].tolist()


def test_what_is_asked_for_holds_and_nothing_nearer_was_passed_over(model: Model, data: PreparedData) -> None:
    gallery, codes = gallery_of(data), encode_gallery(model, gallery_of(data))
    image = gallery.read(np.array([3]))
    found = retrieve(
        model, image, gallery, count=90, wanted={"Eyeglasses": 1, "Smiling": -1}, other_identity=True, codes=codes
    )
    fits = (data.attributes[:, column("Eyeglasses")] == 1) & (data.attributes[:, column("Smiling")] == 0)
    fits &= data.identity != data.identity[3]
    assert sorted(found.rows.tolist()) == fits.nonzero()[:, 0].tolist()
    assert found.searched == int(fits.sum())
    assert found.distances.diff().min() >= 0


def test_the_same_attributes_are_those_of_the_image(model: Model, data: PreparedData) -> None:
    gallery = gallery_of(data)
    y = data.attributes[5:6]
    found = retrieve(model, gallery.read(np.array([5])), gallery, count=90, same=["Male", "Young"], attributes=y)
    columns = [column("Male"), column("Young")]
    expected = (data.attributes[:, columns] == y[:, columns]).all(1).nonzero()[:, 0]
    assert sorted(found.rows.tolist()) == expected.tolist()


def test_labels_that_are_missing_fit_nothing() -> None:
    schema = Schema((Attribute("Hat"), Attribute("who", "categorical", ("ada", "ben"))))
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 1], [torch.nan, torch.nan, torch.nan]])
    assert holding(schema, labels, {"Hat": 1}).tolist() == [True, False, False]
    assert holding(schema, labels, {"Hat": -1}).tolist() == [False, True, False]
    assert holding(schema, labels, {"who=ben": 1}).tolist() == [False, True, False]
    assert holding(schema, labels, {"who=ben": 0}).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"count": 0}, "count must lie in"),
        ({"wanted": {"Eyeglasses": 0.5}}, "and 1 or -1; got Eyeglasses = 0.5"),
        ({"wanted": {"Eyeglases": 1}}, "did you mean 'Eyeglasses'"),
        ({"wanted": {"Bald": 1, "Wearing_Hat": 1, "Bangs": 1}}, "none of 90 has"),
        ({"same": ["Nose"]}, "there is no attribute 'Nose'"),
    ],
)
def test_bad_wishes_are_refused(model: Model, data: PreparedData, arguments: dict[str, object], sentence: str) -> None:
    gallery = gallery_of(data)
    with pytest.raises(AttrimorphError, match=sentence):
        retrieve(model, gallery.read(np.array([0])), gallery, **arguments)  # type: ignore[arg-type]


def test_another_identity_needs_the_image_among_known_people(model: Model, data: PreparedData) -> None:
    gallery = gallery_of(data)
    stranger = faces.render(faces.sample_factors(1, torch.Generator().manual_seed(77)), 16)
    with pytest.raises(AttrimorphError, match="the image is not in it"):
        retrieve(model, stranger, gallery, other_identity=True)


def save_faces(folder: Path, count: int = 7) -> None:
    folder.mkdir()
    images = faces.render(faces.sample_factors(count, torch.Generator().manual_seed(8)), 24)
    for number, image in enumerate(images):
        pixels = image.add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")


def test_a_plain_folder_is_looked_through_by_what_the_model_sees(model: Model, tmp_path: Path) -> None:
    save_faces(tmp_path / "album")
    gallery = open_gallery(model, tmp_path / "album")
    assert gallery.schema is None
    written = Retrieve(model=tmp_path, image=tmp_path / "album" / "4.png", data=tmp_path / "album", count=3).write(
        tmp_path / "out.png", model
    )
    with written.tables[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["file"] == str(tmp_path / "album" / "4.png")
    assert float(rows[0]["distance"]) < 1e-4
    told = json.loads(written.receipt.read_text())["facts"]["found"]
    assert [entry["file"] for entry in told] == [row["file"] for row in rows]


def test_kept_codes_are_read_again_until_images_or_model_change(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_faces(tmp_path / "album")
    first = encode_gallery(model, open_gallery(model, tmp_path / "album"), tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    monkeypatch.setattr(gallery_module, "BATCH", 0)  # encoding again would fail
    again = encode_gallery(model, open_gallery(model, tmp_path / "album"), tmp_path / "kept")
    assert torch.equal(first.z, again.z)
    assert torch.equal(first.attributes, again.attributes)
    monkeypatch.undo()
    kept.write_bytes(kept.read_bytes()[:50])
    assert torch.equal(encode_gallery(model, open_gallery(model, tmp_path / "album"), tmp_path / "kept").z, first.z)
    (tmp_path / "album" / "0.png").unlink()
    fewer = encode_gallery(model, open_gallery(model, tmp_path / "album"), tmp_path / "kept")
    torch.testing.assert_close(fewer.z, first.z[1:])
    other = tiny_model(tmp_path / "other", seed=5)
    assert len(encode_gallery(other, open_gallery(other, tmp_path / "album"), tmp_path / "kept").z) == 6
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_a_receipt_refuses_a_changed_album(model: Model, tmp_path: Path) -> None:
    save_faces(tmp_path / "album")
    run = tmp_path / "run"
    tiny_model(run)
    written = Retrieve(model=run, image=tmp_path / "album" / "4.png", data=tmp_path / "album", count=3).write(
        tmp_path / "out.png", model
    )
    assert replay(written.receipt).identical
    (tmp_path / "album" / "2.png").unlink()
    with pytest.raises(AttrimorphError, match="must be those of the receipt"):
        replay(written.receipt)
