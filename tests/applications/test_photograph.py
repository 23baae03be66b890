"""A photograph and an edit of what a model was shown of it: put together at its own size, whatever the method."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph import load
from attrimorph.applications import Search
from attrimorph.applications.edit import edit, frame_of, put_together, unchanged
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model
from attrimorph.photographs.fields import apply, composed, load_fields
from attrimorph.pictures import to_pil
from attrimorph.requests.edit import Edit
from attrimorph.requests.edit_folder import EditFolder
from attrimorph.requests.replay import replay
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model

METHODS = ("cvae-gan", "discvae", "homointerp-drawn-64", "cyclegan-64")


def model_of(method: str, folder: Path) -> Model:
    if method == "cvae-gan":
        return tiny_model(folder)
    if method == "discvae":
        return tiny_layers(folder)
    return small_model(folder, method, lively=0.5 if method.startswith("homointerp") else 0.0)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A drawn face in the middle of a wide picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.paste(to_pil(faces.render(faces.sample_factors(1, torch.Generator().manual_seed(1)), 100))[0], (50, 10))
    picture.save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_photograph_back_changed_in_its_frame(
    method: str, photograph: Path, tmp_path: Path
) -> None:
    model = model_of(method, tmp_path / "run")
    out = tmp_path / "out" / "it.png"
    kept = tmp_path / "out" / "fields.safetensors"
    about = {"known": {"Smiling": 0.0}} if method != "cyclegan-64" else {}  # untrained, they may guess otherwise
    changes = {"Smiling": 1.0}
    request = Edit(model=str(tmp_path / "run"), images=[photograph], changes=changes, save_fields=kept, **about)
    written = request.write(out, model)
    with Image.open(photograph) as before, Image.open(written.pictures[1]) as after:
        old, new = np.asarray(before), np.asarray(after)
    assert new.shape == (120, 200, 3)
    outside = np.ones((120, 200), bool)
    outside[:, 40:160] = False
    assert np.array_equal(new[outside], old[outside])
    # The untrained disCVAE changes next to nothing.
    assert method == "discvae" or not np.array_equal(new, old)
    fields, frame = load_fields(kept)
    assert np.array_equal(apply(old, frame, fields), new)
    assert kept in written.tables
    again = replay(written.receipt, model=model)
    assert again.identical


def test_an_edit_says_what_it_shows(photograph: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    found = edit(model, photograph, {"Smiling": 1.0}, known={"Smiling": 0})
    own = edit(model, photograph, {"Smiling": 1.0}, known={"Smiling": 0}, composition="whole face")
    assert own.fields is None
    assert torch.equal(found.edited, composed(found.images, own.reconstructions, own.edited))
    with Image.open(photograph) as given:
        assert found.photographs[0].size == given.size
        assert np.array_equal(found.photographs[0], apply(np.asarray(given), found.faces[0][0], found.fields))
    assert [path.name for path in found.save(tmp_path / "saved.png")] == ["saved.png"]
    assert own.photographs[0].size == (16, 16)
    nothing = edit(model, photograph, {"Smiling": 0.0})
    assert torch.equal(nothing.edited, nothing.images)
    request = Edit(
        model="run", images=[photograph], changes={"Smiling": 1.0}, known={"Smiling": 0}, composition="whole face"
    )
    with Image.open(request.write(tmp_path / "whole.png", model).pictures[1]) as whole:
        assert whole.tobytes() == to_pil(own.edited)[0].tobytes()


def test_a_folder_gives_photographs_of_their_own_sizes(photograph: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    with Image.open(photograph) as picture:
        picture.save(folder / "wide.png")
        picture.crop((50, 0, 150, 120)).save(folder / "tall.png")
        picture.save(folder / "other.jfif", "JPEG")
        picture.convert("L").save(folder / "grey.pgm", "PPM")
        picture.save(folder / "new.avif")
    model = tiny_model(tmp_path / "run")
    EditFolder(model="run", folder=folder, changes={"Smiling": 1.0}).write(tmp_path / "edited", model)
    sizes = {path.name: Image.open(path).size for path in sorted((tmp_path / "edited").glob("*.png"))}
    assert sizes == {"tall.png": (100, 120), "wide.png": (200, 120)}
    # An ending says what is in a file.
    kinds = {"other.jfif": "JPEG", "grey.pgm": "PPM", "new.avif": "AVIF"}
    assert {name: Image.open(tmp_path / "edited" / name).format for name in kinds} == kinds


def test_the_frame_is_the_square_that_the_model_is_shown(photograph: Path, tmp_path: Path) -> None:
    frame = frame_of(tiny_model(tmp_path / "run"), Image.open(photograph))
    assert frame.matrix == (7.5, 0.0, 40.0, 0.0, 7.5, 0.0)
    assert frame.side == 16


# --- what receipts of before are made again with


def test_receipts_of_before_mean_the_models_picture() -> None:
    images = faces.render(faces.sample_factors(1, torch.Generator().manual_seed(1)), 16)
    before, after = images * 0.9, images * 0.9 + 0.2
    assert torch.equal(put_together(images, before, after, "earlier")[0], after)


def test_what_nothing_changes_for_is_named_as_known_takes_it() -> None:
    images = torch.zeros(2, 3, 8, 8)
    edited = torch.stack([images[0], images[1] + 1])
    schema = Schema((Attribute("hair", "categorical", ("brown", "black")), Attribute("Young"), Attribute("a=b")))
    (words,) = unchanged(schema, images, edited, {"hair=brown": 1.0, "hair=black": -1.0, "Young": 1.0}, {"Young": 1})
    assert "1 of 2 pictures" in words
    assert "asked of hair already" in words
    assert "--known hair=..." in words
    assert unchanged(schema, images, edited, {"hair=brown": 1.0}, {"hair": "black"}) == []
    assert unchanged(schema, images, edited, {"hair=brown": 0.0}, None) == []
    assert "asked of a=b already" in unchanged(schema, images, edited, {"a=b": 1.0}, None)[0]


def test_a_search_for_codes_is_refused_where_there_are_none() -> None:
    """It was ignored in silence."""
    with pytest.raises(AttrimorphError, match="has none and changes pictures as they are; leave it out"):
        edit(load("portraits-128"), torch.zeros(1, 3, 256, 256), {"Smiling": 1.0}, invert=Search())
