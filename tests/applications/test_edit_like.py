"""Edits with references and by chains, as files: answers, in-between images, receipts."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from attrimorph.applications import Search
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.translation.model import Chain
from attrimorph.models import SET, TAKEN_AWAY, Strengths
from attrimorph.models.model import Model
from attrimorph.pictures import to_bytes, to_pil
from attrimorph.requests.edit import Edit
from attrimorph.requests.replay import replay
from tests.small_models import pictures, seeing, small_model
from tests.tiny_models import tiny_model


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    images = faces.render(faces.sample_factors(4, torch.Generator().manual_seed(1)), 32)
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for image, path in zip(to_pil(images), paths, strict=True):
        image.save(path)
    return paths


@pytest.fixture
def homo(tmp_path: Path) -> Model:
    return small_model(tmp_path / "homo", "homointerp-drawn-64", lively=0.5)


def pixels(path: Path) -> torch.Tensor:
    import numpy as np

    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).copy())


def test_every_reference_gives_an_answer(
    homo: Model, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A face and what the first reference has, a face and what the second has.
    turns = seeing(homo, "Black_Hair", "Blond_Hair", "Black_Hair", "Gray_Hair")
    monkeypatch.setattr(InterpolationModel, "guess_attributes", turns)
    assert isinstance(homo, InterpolationModel)
    out = tmp_path / "out" / "e.png"
    strengths = {"hair colour": 1.5, "Young": 1.0}
    words = {"changes": strengths, "like": photos[2:], "composition": "whole face"}
    written = Edit(model=tmp_path / "homo", images=photos[:2], **words).write(out, homo)
    names = [f"e.edited-{image}-like-{reference}.png" for reference in (1, 2) for image in (1, 2)]
    assert [picture.name for picture in written.pictures] == ["e.png", *names]
    images, references = homo.prepared(photos[:2]), homo.prepared(photos[2:])
    first, expected = (homo.follow(images, reference[None], strengths) for reference in references)
    assert (first - expected).abs().max() > 0.01
    assert torch.equal(pixels(out.with_name(names[3])), torch.from_numpy(to_bytes(expected)[1]))
    told = json.loads(written.receipt.read_text())
    assert told["arguments"]["like"] == 2
    assert len(told["inputs"]) == 4
    assert replay(written.receipt).identical


def test_a_group_without_a_reference_is_told(homo: Model, photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="is a group of attributes, which another face changes; add --like FACE"):
        Edit(model="x", images=photos[:1], changes={"hair colour": 1.0}).write(tmp_path / "e.png", homo)
    assert not (tmp_path / "e.png").exists()


def test_a_result_never_takes_the_place_of_what_it_is_made_from(homo: Model, photos: list[Path]) -> None:
    before = [path.read_bytes() for path in photos]
    names = sorted(path.name for path in photos[0].parent.iterdir())
    one, two = photos[:2]
    edited = one.rename(one.with_name("x.edited.png"))
    with pytest.raises(AttrimorphError, match="choose another name with --out"):
        Edit(model="x", images=[two], changes={"Smiling": 1.0}).write(two, homo)
    with pytest.raises(AttrimorphError, match="choose another name with --out"):
        Edit(model="x", images=[edited], changes={"Smiling": 1.0}).write(one.with_name("x.png"), homo)
    with pytest.raises(AttrimorphError, match="choose another name with --out"):
        Edit(model="x", images=[photos[2]], changes={"age": 1.0}, like=[two]).write(two, homo)
    edited.rename(one)
    assert [path.read_bytes() for path in photos] == before
    assert sorted(path.name for path in one.parent.iterdir()) == names


def test_one_reference_keeps_the_names_of_plain_edits(homo: Model, photos: list[Path], tmp_path: Path) -> None:
    written = Edit(model="x", images=photos[:1], changes={"age": 1.0}, like=photos[1:2]).write(
        tmp_path / "o" / "e.png", homo
    )
    assert [picture.name for picture in written.pictures] == ["e.png", "e.edited.png"]


def test_strengths_towards_references_can_be_taken_as_they_stand(
    homo: Model, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = {"Blond_Hair": {SET: (0.9,)}, "Black_Hair": {TAKEN_AWAY: (0.9,)}}
    homo.strengths = Strengths(late)
    monkeypatch.setattr(InterpolationModel, "guess_attributes", seeing(homo, "Black_Hair", "Blond_Hair"))
    made = {}
    for calibrated in (True, False):
        out = tmp_path / str(calibrated) / "e.png"
        changes = {"hair colour": 0.5}
        written = Edit(model="x", images=photos[:1], changes=changes, like=photos[1:2], calibrated=calibrated).write(
            out, homo
        )
        assert json.loads(written.receipt.read_text())["arguments"]["calibrated"] is calibrated
        made[calibrated] = pixels(written.pictures[-1])
    assert not torch.equal(made[True], made[False])


def test_what_references_cannot_is_told(homo: Model, photos: list[Path], tmp_path: Path) -> None:
    out, like = tmp_path / "out" / "e.png", photos[1:2]
    for changes, options, sentence in (
        ({}, {}, "must name what to take over; known are: expression"),
        ({"age": -1.0}, {}, r"strength must lie in 0\.\.2; age got -1"),
        ({"age": 2.5}, {}, r"strength must lie in 0\.\.2"),
        ({"hair color": 1.0}, {}, "did you mean 'hair colour'"),
        ({"age": 1.0}, {"known": {"Male": 1.0}}, "--known and --invert do nothing"),
        ({"hair colour": 1.0, "Blond_Hair": 0.2}, {}, "the group 'hair colour' stands twice"),
        ({"age": 1.0}, {"invert": Search()}, "--known and --invert do nothing"),
    ):
        with pytest.raises(AttrimorphError, match=sentence):
            Edit(model="x", images=photos[:1], changes=changes, like=like, **options).write(out, homo)  # type: ignore[arg-type]
    with pytest.raises(AttrimorphError, match="an edit with references needs a model that follows references"):
        Edit(model="x", images=photos[:1], changes={"Young": 1.0}, like=like).write(out, tiny_model(tmp_path / "cvae"))
    assert not out.parent.exists()


def test_a_chain_shows_its_in_between_images(photos: list[Path], tmp_path: Path) -> None:
    for seed, name in enumerate(("Young", "Male")):
        small_model(tmp_path / name, "cyclegan-64", {"domains.attribute": name, "training.seed": seed})
    named = f"{tmp_path / 'Young'}, {tmp_path / 'Male'}"
    chain = load(named)
    assert isinstance(chain, Chain)
    changes = {"Male": -1.0, "Young": 1.0}
    request = Edit(model=named, images=photos[:2], changes=changes, composition="whole face")
    written = request.write(tmp_path / "o" / "e.png", chain)
    names = [picture.name for picture in written.pictures]
    assert names == ["e.png", "e.edited-1.png", "e.edited-2.png", "e.gif"]
    edited = to_bytes(chain.edit(chain.prepared(photos[:2]), changes))[0]
    assert torch.equal(pixels(written.pictures[1]), torch.from_numpy(edited))
    with Image.open(written.pictures[3]) as film:
        # 25 frames there, back, and a wait at both ends.
        assert film.n_frames > 25
    with Image.open(written.pictures[0]) as page:
        assert page.width > 3 * 128
        assert "model Young,Male" in page.text["attrimorph"]
    assert replay(written.receipt).identical


def test_models_of_different_data_make_a_chain(tmp_path: Path) -> None:
    whole = small_model(tmp_path / "a", "cyclegan-64", {"domains.attribute": "Young"})
    horses = Schema((Attribute("Fast"), Attribute("Stripes")))
    other = small_model(tmp_path / "b", "cyclegan-64", {"domains.attribute": "Stripes"}, schema=horses)
    chain = Chain([whole, other])
    assert chain.schema.names == ("Young", "Stripes")
    images = pictures(2)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    first, second = chain.edit(images, {"Young": 1, "Stripes": 1}, labels)
    torch.testing.assert_close(first, other.edit(images[:1], {"Stripes": 1})[0])
    torch.testing.assert_close(second, whole.edit(images[1:], {"Young": 1})[0])
