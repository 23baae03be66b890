"""Morphs as files: every path, its animation and its film, and what does not go together."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.applications import Search
from attrimorph.applications.generating import reconstruct
from attrimorph.applications.morph import differences, morph, square, stages
from attrimorph.applications.paths import crossfade
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.translation.model import Chain
from attrimorph.models.model import Model
from attrimorph.pictures import frames, frames_around, mp4_bytes, sheet, to_pil
from attrimorph.requests.morph import Morph
from attrimorph.requests.replay import replay
from tests.small_models import pictures, small_model
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    images = faces.render(faces.sample_factors(4, torch.Generator().manual_seed(1)), 32)
    paths = [folder / f"{name}.png" for name in "abcd"]
    for image, path in zip(to_pil(images), paths, strict=True):
        image.save(path)
    return paths


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each model."""
    root = tmp_path_factory.mktemp("models")
    tiny_model(root / "cvae", size=32)
    small_model(root / "homo", "homointerp-drawn-64", lively=0.5)
    for seed, name in enumerate(("Young", "Blond_Hair", "Male")):
        small_model(root / name, "cyclegan-64", {"domains.attribute": name, "training.seed": seed})
    return {path.name: path for path in root.iterdir()}


def chain_name(homes: dict[str, Path]) -> str:
    return ",".join(str(homes[name]) for name in ("Young", "Blond_Hair", "Male"))


def test_a_square_has_the_reconstructions_at_its_corners(homes: dict[str, Path], photos: list[Path]) -> None:
    model = load(homes["cvae"])
    images = model.prepared(photos)
    filled = square(model, images, 3)
    assert filled.images.shape == (3, 3, 3, 32, 32)
    corners = filled.images[[0, 0, -1, -1], [0, -1, 0, -1]]
    for corner, image in zip(corners, images, strict=True):  # as `reconstruct` shows them
        assert torch.equal(corner, reconstruct(model, image[None]).reconstructions[0])
    assert filled.code is not None
    middle = filled.code.z.view(3, 3, -1)[1, 1]
    torch.testing.assert_close(middle, filled.code.z.view(3, 3, -1)[[0, 0, 2, 2], [0, 2, 0, 2]].mean(0))


def test_a_walk_around_a_square_passes_every_border_image_once() -> None:
    images = torch.linspace(-1, 1, 9).view(3, 3, 1, 1, 1).expand(3, 3, 3, 8, 8)
    found = [frame.getpixel((0, 0))[0] for frame in frames_around(images, width=8)]
    plain = [value for value, before in zip(found, [None, *found], strict=False) if value != before]
    border = [0, 1, 2, 5, 8, 7, 6, 3]
    assert plain == [round(place / 8 * 255) for place in border]
    assert len(found) == 8 + 4 * 3


def test_a_pixel_path_needs_no_model_that_encodes(homes: dict[str, Path], photos: list[Path], tmp_path: Path) -> None:
    model = load(homes["Young"])
    images = model.prepared(photos[:2])
    way = morph(model, images[:1], images[1:], 3, path="pixel")
    assert torch.equal(way.images[[0, 2]], images)
    torch.testing.assert_close(way.images[1], images.mean(0))
    assert way.code is None
    written = Morph(model=homes["Young"], images=photos[:2], steps=3, path="pixel").write(tmp_path / "p.png", model)
    with Image.open(written.pictures[0]) as image:
        assert image.size == sheet([way.images], columns=["0 %", "50 %", "100 %"], cell=96).size


@pytest.mark.parametrize("groups", ["all", "one-by-one"])
def test_a_homomorphic_path_is_written_and_made_again(
    groups: str, homes: dict[str, Path], photos: list[Path], tmp_path: Path
) -> None:
    model, out = load(homes["homo"]), tmp_path / "h.png"
    written = Morph(model=homes["homo"], images=photos[:2], steps=5, path="homomorphic", groups=groups).write(
        out, model
    )
    assert json.loads(written.receipt.read_text())["arguments"]["groups"] == groups
    assert replay(written.receipt).identical


def test_one_by_one_is_another_path(homes: dict[str, Path], photos: list[Path]) -> None:
    model = load(homes["homo"])
    images = model.prepared(photos[:2])
    ways = [
        morph(model, images[:1], images[1:], 5, path="homomorphic", one_by_one=single).images
        for single in (False, True)
    ]
    assert torch.equal(ways[0][0], ways[1][0])
    assert (ways[0][2] - ways[1][2]).abs().max() > 1e-3


def test_in_between_images_are_passed(homes: dict[str, Path], photos: list[Path], tmp_path: Path) -> None:
    name = chain_name(homes)
    model = load(name)
    assert isinstance(model, Chain)
    images = model.prepared(photos[:2])
    changes = {"Male": -1.0, "Young": 1.0}
    found = stages(model, images[:1], changes, images[1:])
    assert list(found) == ["input", "Male -1", "Young +1", "to"]
    torch.testing.assert_close(found["Male -1"][None], model.edit(images[:1], {"Male": -1.0}))
    torch.testing.assert_close(found["Young +1"][None], model.edit(images[:1], changes))
    stops = list(found.values())
    assert torch.equal(crossfade(stops, 7)[[0, 2, 4, 6]], torch.stack(stops))
    out = tmp_path / "c.png"
    written = Morph(model=name, images=photos[:1], steps=5, path="cyclegan-chain", changes=changes).write(out, model)
    assert [picture.name for picture in written.pictures] == ["c.png", "c.stages.png", "c.gif"]
    told = json.loads(written.receipt.read_text())
    assert told["model"]["name"] == ",".join(str(homes[each].resolve()) for each in ("Young", "Blond_Hair", "Male"))
    assert told["facts"]["changes on the way"] == changes
    assert replay(written.receipt).identical
    # One CycleGAN alone is a chain of one.
    Morph(model=homes["Young"], images=photos[:1], path="cyclegan-chain", changes={"Young": 1}).write(
        out, load(homes["Young"])
    )


def test_what_two_faces_differ_in_is_changed_on_the_way(homes: dict[str, Path], tmp_path: Path) -> None:
    factors = faces.sample_factors(200, torch.Generator().manual_seed(5))
    labels = faces.attributes(factors)
    columns = [faces.SCHEMA.names.index(name) for name in ("Young", "Blond_Hair", "Male", "Wearing_Hat", "Bald")]
    old_man = (labels[:, columns] == torch.tensor([0.0, 0, 1, 0, 0])).all(1).nonzero()[0]
    young_woman = (labels[:, columns] == torch.tensor([1.0, 1, 0, 0, 0])).all(1).nonzero()[0]
    images = faces.render(factors[torch.cat([old_man, young_woman])], 32)
    model = load(chain_name(homes))
    assert differences(model, images[:1], images[1:]) == {"Young": 1.0, "Blond_Hair": 1.0, "Male": -1.0}
    assert differences(model, images[1:], images[:1]) == {"Young": -1.0, "Blond_Hair": -1.0, "Male": 1.0}
    with pytest.raises(AttrimorphError, match="must differ in Young, Blond_Hair, Male"):
        differences(model, images[:1], images[:1])
    other = small_model(tmp_path, "cyclegan-64", {"data.image_size": 64, "domains.attribute": "Young"})
    assert differences(other, *(faces.render(factors[row], 64) for row in (old_man, young_woman))) == {"Young": 1.0}


def test_a_film_holds_every_frame() -> None:
    import io

    import av

    shown = frames(pictures(2), width=64)
    content = mp4_bytes(shown, tag="made by a test")
    assert content == mp4_bytes(shown, tag="made by a test")
    with av.open(io.BytesIO(content)) as film:
        assert film.metadata["comment"] == "made by a test"
        found = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(found) == len(shown)
    for one, other in zip(found, shown, strict=True):
        assert np.abs(one.astype(int) - np.asarray(other).astype(int)).mean() < 4


def test_a_missing_package_for_films_is_told_at_once(
    homes: dict[str, Path], photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    # As an installation without the extra: the name leads nowhere.
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if "Path" not in str(each)])
    monkeypatch.delitem(sys.modules, "av", raising=False)
    with pytest.raises(AttrimorphError, match=r"pip install 'attrimorph\[video\]'"):
        Morph(model="cvae", images=photos[:2]).write(tmp_path / "f.mp4", load(homes["cvae"]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"path": "liner"}, "path: must be 'linear'"),
        ({"count": 1}, "path linear takes two pictures; got 1 picture"),
        ({"count": 3}, "takes two pictures; got 3 pictures; leave some out"),
        ({"count": 3, "path": "bilinear"}, "path bilinear takes four pictures; got 3"),
        ({"count": 4, "path": "bilinear", "steps": 41}, r"steps must lie in 2\.\.40; got 41"),
        ({"steps": 1}, r"steps must lie in 2\.\.1000; got 1"),
        ({"groups": "one-by-one"}, "add --path homomorphic"),
        ({"groups": "some"}, "groups: must be 'all' or 'one-by-one'"),
        ({"changes": {"Young": 1.0}}, "--set belongs to the path cyclegan-chain"),
        ({"path": "homomorphic"}, "needs a model that follows references"),
        ({"path": "cyclegan-chain", "changes": {"Young": 1.0}}, "needs CycleGANs"),
        ({"path": "cyclegan-chain", "count": 3}, "takes one or two pictures; got 3"),
        (
            {"path": "cyclegan-chain", "count": 1, "model": "Young"},
            "must change an attribute; got none; add --set Young=1",
        ),
        ({"path": "cyclegan-chain", "changes": {"Bald": 1.0}, "model": "Young"}, "no model of this chain changes"),
        ({"path": "cyclegan-chain", "changes": {"Young": 0.5}, "model": "Young"}, "no strength"),
        ({"model": "Young"}, "morph needs a model that encodes"),
        ({"model": "Young", "path": "bilinear", "count": 4}, "morph needs a model that encodes"),
        ({"path": "pixel", "invert": Search()}, "--invert looks for codes, and the path pixel goes through none"),
        ({"path": "homomorphic", "model": "homo", "invert": Search()}, "the path homomorphic goes through none"),
        ({"path": "cyclegan-chain", "model": "Young", "invert": Search()}, "cyclegan-chain goes through none"),
        ({"model": "homo", "invert": Search()}, "invert needs a model that generates images from codes"),
    ],
)
def test_what_does_not_go_together_is_told(
    words: dict[str, object], sentence: str, homes: dict[str, Path], photos: list[Path], tmp_path: Path
) -> None:
    model: Model = load(homes[str(words.pop("model", "cvae"))])
    count = words.pop("count", 2)
    with pytest.raises(AttrimorphError, match=sentence):
        Morph.checked(model="x", images=photos[:count], **words).write(tmp_path / "x.png", model)
    assert not list(tmp_path.iterdir())
