"""Layers: taken apart, put together otherwise, written and repeated."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.inputs import attributes_of
from attrimorph.applications.layers import as_picture, layers
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.methods.attribute2image.model import LayeredModel
from attrimorph.models.model import Code
from attrimorph.pictures import to_pil
from attrimorph.requests.generating import Layers
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_layers, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LayeredModel:
    made = tiny_layers(tmp_path_factory.mktemp("model"))
    assert isinstance(made, LayeredModel)
    return made


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor]:
    factors = faces.sample_factors(3, torch.Generator().manual_seed(3))
    return faces.render(factors, 16), faces.attributes(factors)


def test_variants(model: LayeredModel, drawn: tuple[Tensor, Tensor]) -> None:
    images, y = drawn
    result = layers(model, images, y, changes={"Smiling": 1.0}, background=images[2:], backgrounds=2, seed=4)
    assert list(result.variants) == ["other background", "Smiling +1", "drawn 1", "drawn 2"]
    swapped = model.with_background(result.code, model.encode(images[2:], attributes_of(model, images[2:])))
    torch.testing.assert_close(result.variants["other background"], model.decode(swapped))
    edited = Code(swapped.z, model.moved(swapped.attributes, {"Smiling": 1.0}))
    torch.testing.assert_close(result.variants["Smiling +1"], model.decode(edited))
    sampled = model.sample_codes(2, torch.Generator().manual_seed(4))
    second = model.with_background(edited, Code(sampled.z[1:], sampled.attributes[1:]))
    torch.testing.assert_close(result.variants["drawn 2"], model.decode(second))
    again = layers(model, images, y)
    assert not again.variants
    torch.testing.assert_close(again.layers.composite, result.layers.composite, rtol=0, atol=0)


def test_refusals(model: LayeredModel, drawn: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match=r"backgrounds must lie in 0\.\.64"):
        layers(model, *drawn, backgrounds=100)
    with pytest.raises(AttrimorphError, match="paints in layers"):
        layers(tiny_model(tmp_path), *drawn)


def test_a_gate_is_white_where_the_background_shows() -> None:
    assert as_picture(torch.ones(1, 1, 2, 2)).unique().tolist() == [1]
    assert as_picture(torch.zeros(1, 3, 2, 2)).unique().tolist() == [-1]


def test_what_is_written_can_be_repeated(model: LayeredModel, tmp_path: Path) -> None:
    images = faces.render(faces.sample_factors(3, torch.Generator().manual_seed(1)), 32)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for image, path in zip(to_pil(images), paths, strict=True):
        image.save(path)
    folder = tmp_path / "run"
    model = tiny_layers(folder)  # type: ignore[assignment]
    written = Layers(
        model=folder, images=paths[:2], changes={"Male": 1.0}, background=paths[2], backgrounds=1, seed=2
    ).write(tmp_path / "out.png", model)
    names = [path.name for path in written.pictures]
    assert names[:3] == ["out.png", "out.foreground-1.png", "out.foreground-2.png"]
    assert "out.other-background-2.png" in names
    assert "out.Male-+1-1.png" in names
    with Image.open(tmp_path / "out.gate-1.png") as gate:
        assert gate.size == (16, 16)
    assert replay(written.receipt).identical
    one = Layers(model=folder, images=paths[:1]).write(tmp_path / "one.png", model)
    assert (tmp_path / "one.background.png").is_file()
    assert replay(one.receipt).identical
