"""One preprocessing: a training picture comes back as it was trained on, wherever a model meets it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.applications.edit import look
from attrimorph.applications.gallery import open_data, open_gallery
from attrimorph.data.images import CropLike, parse_crop
from attrimorph.data.prepared import open_prepared, prepare
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.models import with_header
from attrimorph.models.model import Model
from attrimorph.pictures import to_bytes
from tests.tiny_models import tiny_model


def raw_folder(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    """Write pictures of two classes; return their files."""
    draw, files = np.random.default_rng(5), []
    for number, (width, height) in enumerate(sizes):
        path = folder / ("one" if number % 2 else "other") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        files.append(path)
    return files


def trained_on(prepared: Path, folder: Path) -> Model:
    """Return a model whose header tells that it was trained on prepared data."""
    data = open_prepared(prepared)
    model = tiny_model(folder, schema=data.schema)
    path = folder / "model.safetensors"
    write_bytes(path, with_header(path, model.header | {"preprocessing": data.preprocessing}))
    return load(path)


@pytest.mark.parametrize("crop", ["", "centre", "16", "20", "30", "500", "3,5,23,29", "0,0,16,16"])
@pytest.mark.parametrize("sizes", [[(48, 40)] * 4, [(48, 40), (70, 40), (40, 90), (48, 40)]], ids=["alike", "mixed"])
def test_a_training_picture_comes_back_as_it_was(crop: str, sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    files = raw_folder(tmp_path / "raw", sizes)
    wanted: CropLike = parse_crop(crop)
    prepare(tmp_path / "raw", tmp_path / "prepared", 16, crop=wanted)
    model, data = trained_on(tmp_path / "prepared", tmp_path / "run"), open_prepared(tmp_path / "prepared")
    names = {name: row for row, name in enumerate(data.files)}
    for path in files:
        trained = data.images[names[str(path.relative_to(tmp_path / "raw"))]]
        with Image.open(path) as image:
            for source in (path, image):
                np.testing.assert_array_equal(to_bytes(model.prepared(source))[0], trained)
        looked = look(model, [path])
        assert np.abs(to_bytes(looked.images)[0].astype(int) - trained).max() <= 1
    again = open_data(model, tmp_path / "raw")
    np.testing.assert_array_equal(again.images, data.images)
    gallery = open_gallery(model, tmp_path / "raw")
    np.testing.assert_array_equal(to_bytes(gallery.read(np.arange(len(gallery)))), data.images)


def test_a_model_that_tells_no_crop_takes_the_centre_of_any_folder(tmp_path: Path) -> None:
    """Even of those that are usually cut narrower."""
    draw, names = np.random.default_rng(6), [f"{number:06}.jpg" for number in range(1, 7)]
    (tmp_path / "celeba" / "img_align_celeba").mkdir(parents=True)
    for name in names:
        picture = Image.fromarray(draw.integers(0, 256, (10, 8, 3), dtype=np.uint8)).resize((178, 218))
        # Not as JPEG, of which large ones are decoded smaller.
        picture.save(tmp_path / "celeba" / "img_align_celeba" / name, "PNG")
    rows = [f"{name}  {number % 2 * 2 - 1}  {number // 2 % 2 * 2 - 1}" for number, name in enumerate(names)]
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("\n".join(["6", "Male Smiling", *rows]) + "\n")
    model = tiny_model(tmp_path / "run")
    data = open_data(model, tmp_path / "celeba")
    for name, pixels in zip(data.files, data.images, strict=True):
        path = tmp_path / "celeba" / "img_align_celeba" / Path(name).name
        np.testing.assert_array_equal(to_bytes(model.prepared(path))[0], pixels)


def test_pictures_of_other_sizes_are_cut_in_proportion(tmp_path: Path) -> None:
    (path, *_) = raw_folder(tmp_path / "raw", [(48, 40)] * 4)
    prepare(tmp_path / "raw", tmp_path / "prepared", 16, crop=20)
    model = trained_on(tmp_path / "prepared", tmp_path / "run")
    with Image.open(path) as image:
        large = image.resize((480, 400), Image.Resampling.NEAREST)
        centre = large.crop((140, 100, 340, 300))
    whole, part = (model.prepared(each) for each in (large, centre.resize((16, 16), Image.Resampling.LANCZOS)))
    assert float((whole - part).abs().mean()) < 0.05
    # What the model itself made is not cut again.
    own = Image.fromarray(to_bytes(torch.rand(1, 3, 16, 16))[0])
    np.testing.assert_array_equal(to_bytes(model.prepared(own))[0], np.asarray(own))


def test_data_that_were_cut_otherwise_are_refused(tmp_path: Path) -> None:
    raw_folder(tmp_path / "raw", [(48, 40)] * 4)
    for name, crop in (("narrow", 20), ("wide", None)):
        prepare(tmp_path / "raw", tmp_path / name, 16, crop=crop)
    model = trained_on(tmp_path / "narrow", tmp_path / "run")
    assert len(open_data(model, tmp_path / "narrow")) == 4
    with pytest.raises(AttrimorphError, match=r"as the model's were, at 14,10,34,30; they were at 4,0,44,40; prepare"):
        open_data(model, tmp_path / "wide")
