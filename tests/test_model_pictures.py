"""Pictures as people have them are taken by every model alike; what models make shows and saves itself."""

import copy
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph import edit, morph, reconstruct, sample, square, transfer
from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.model import Autoencoder, Editor
from attrimorph.models.model import Model
from attrimorph.pictures import Pictures, to_bytes
from attrimorph.requests.edit import Edit
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Editor:
    model = tiny_model(tmp_path / "model")
    assert isinstance(model, Editor)
    return model


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A wide photograph that its camera held upright."""
    noise = np.random.default_rng(5).integers(0, 256, (30, 48, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.png"
    Image.fromarray(noise).save(path, exif=exif)
    return path


def test_a_path_a_picture_and_pixels_are_the_same_picture(model: Editor, photo: Path) -> None:
    wanted = model.decode(model.encode(photo))
    assert wanted.shape == (1, 3, 16, 16)
    with Image.open(photo) as opened:
        pixels = np.rot90(np.asarray(opened), -1)
        upright = Image.fromarray(pixels)
        same: list[Any] = [str(photo), opened, upright, pixels, pixels[None], torch.from_numpy(pixels.copy())]
        same += [torch.from_numpy(pixels.copy()).permute(2, 0, 1), [photo], (upright,), upright.convert("RGBA")]
        for source in same:
            assert torch.equal(model.decode(model.encode(source)), wanted)
    floats = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
    for source in (floats, floats[None], floats.numpy(), floats.double().numpy()):
        found = model.decode(model.encode(source)).images
        torch.testing.assert_close(found, wanted.images, atol=1e-5, rtol=0)
    several = model.prepared([photo, upright, floats])
    assert several.shape == (3, 3, 16, 16)
    assert torch.equal(several[0], several[1])


def test_it_is_what_the_command_makes(model: Editor, photo: Path, tmp_path: Path) -> None:
    request = Edit(model=tmp_path / "model", images=[photo], changes={"Smiling": 1}, composition="whole face")
    written = request.write(tmp_path / "out.png", model)
    with Image.open(written.pictures[1]) as edited:
        own = model.edit(model.prepared(photo), {"Smiling": 1})
        assert np.array_equal(np.asarray(edited), to_bytes(own)[0])
        again = model.edit(photo, {"Smiling": 1}, composition="whole face")
        assert torch.equal(again.edited, own)


def test_grey_pixels_are_a_picture(model: Editor) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (16, 16), dtype=np.uint8)
    coloured = np.repeat(grey[..., None], 3, 2)
    for source in (grey, grey[..., None], Image.fromarray(grey)):
        assert torch.equal(model.prepared(source), model.prepared(coloured))


def test_floats_of_the_models_size_stay_as_they_are(model: Editor) -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    assert model.prepared(images) is images
    assert torch.equal(model.encode(images).z, model.encode([images[:1], images[1:]]).z)


@pytest.mark.parametrize(
    "kind", ["homointerp-drawn-64", "cyclegan-64", "retouch-64", "stargan-64", "attgan-64", "stgan-64", "layers"]
)
def test_every_kind_takes_files(kind: str, tmp_path: Path, photo: Path) -> None:
    model: Any = tiny_layers(tmp_path) if kind == "layers" else small_model(tmp_path, kind)
    found = model.edit(str(photo), {"Smiling": 1})
    assert found.photographs[0].size == (30, 48)
    made = model.edit(model.prepared(photo), {"Smiling": 1})
    assert isinstance(made, Pictures)
    assert torch.equal(model.edit(str(photo), {"Smiling": 1}, composition="whole face").edited, made)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"a": 1}, r"must be a path.*got dict \{'a': 1\}"),
        (None, "must be a path.*got NoneType"),
        ([], "at least one picture"),
        ("nowhere.png", "there is no file nowhere.png"),
        (np.zeros((16, 16, 3)), r"got float64 \[16, 16, 3\]"),
        (np.zeros((16, 16, 3), np.int64), r"got int64 \[16, 16, 3\]"),
        (np.zeros((16, 16, 7), np.uint8), r"got uint8 \[16, 16, 7\]"),
        (np.array(["a"]), r"got <U1 \[1\]"),
        (torch.zeros(16, 16, 3), r"got float32 \[16, 16, 3\]"),
        (torch.zeros(0, 3, 20, 20), r"got float32 \[0, 3, 20, 20\]"),
        (torch.full((1, 3, 16, 16), 255.0), r"must lie in -1..1; these lie in 255..255"),
        (torch.full((3, 20, 20), torch.nan), "must lie in -1..1; these lie in nan..nan"),
        (np.random.default_rng(0).random((3, 20, 20)), r"as pictures of 0..1 do; if they are, give images \* 2 - 1"),
    ],
)
def test_what_is_no_picture_is_told(source: Any, sentence: str, model: Editor) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        model.edit(source, {"Smiling": 1})


def test_a_tensor_without_dark_pixels_is_taken_with_a_warning(model: Editor) -> None:
    with pytest.warns(UserWarning, match="as pictures of 0..1 do"):
        model.encode(torch.rand(1, 3, 16, 16))
    # A file may be as pale as it likes.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(Image.new("RGB", (20, 20), "white"))


def test_what_a_model_makes_shows_and_saves_itself(model: Editor, tmp_path: Path) -> None:
    code = model.sample_codes(3, torch.Generator().manual_seed(0))
    made = model.decode(code)
    assert isinstance(made, Pictures)
    assert repr(made).startswith("<3 pictures of 16x16: a tensor [3, 3, 16, 16] in -1..1")
    assert type(made.images) is Tensor
    assert type(made + 0) is type(made[:1]) is type(torch.cat([made, made])) is Tensor
    assert torch.equal(copy.deepcopy(made), made)
    assert isinstance(pickle.loads(pickle.dumps(made)), Pictures)
    with Image.open(io.BytesIO(made._repr_png_())) as shown:
        assert shown.width > 3 * 16
    assert made.save(tmp_path / "new" / "face.png") == [tmp_path / "new" / f"face-{n}.png" for n in (1, 2, 3)]
    (path,) = model.decode(model.encode(made[:1])).save(tmp_path / "one")
    assert path == tmp_path / "one.png"
    with Image.open(tmp_path / "new" / "face-2.png") as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(made.to_pil()[1]))
        assert "attrimorph" in saved.info
    (path,) = model.decode(model.encode(made[:1])).save(tmp_path / "one.JPG")
    with Image.open(path) as saved:
        assert saved.format == "JPEG"
    with pytest.raises(AttrimorphError, match=r"saved as \.png, .*got one\.gif"):
        made.save(tmp_path / "one.gif")


def test_many_pictures_show_some(tmp_path: Path) -> None:
    model: Model = tiny_model(tmp_path)
    assert isinstance(model, Autoencoder)
    few, many = (model.decode(model.sample_codes(n, torch.Generator().manual_seed(0))) for n in (64, 200))
    with Image.open(io.BytesIO(few._repr_png_())) as a, Image.open(io.BytesIO(many._repr_png_())) as b:
        assert a.size == b.size


def test_results_show_themselves(tmp_path: Path, photo: Path) -> None:
    model = tiny_model(tmp_path / "model")
    results = [
        edit(model, [photo, photo], {"Smiling": 1}),
        reconstruct(model, photo),
        transfer(model, str(photo), photo),
        sample(model, 3),
        morph(model, photo, photo, 4),
        morph(model, photo, photo, 4, path="pixel"),
        square(model, [photo] * 4, 3),
    ]
    for result in results:
        with Image.open(io.BytesIO(result._repr_png_())) as shown:
            assert shown.width > 16
    assert isinstance(results[4].images, Pictures)
    with Image.open(io.BytesIO(results[-1]._repr_png_())) as shown:
        assert abs(shown.width - shown.height) <= 8


def test_a_model_that_does_not_edit_says_who_does(tmp_path: Path) -> None:
    model: Any = tiny_model(tmp_path, method="gan")
    with pytest.raises(AttributeError, match="does not edit; use a conditional autoencoder"):
        model.edit("a.png", {"Smiling": 1})
    with pytest.raises(AttributeError, match="no attribute 'edti'"):
        model.edti  # noqa: B018
    assert copy.copy(model).hash == model.hash
