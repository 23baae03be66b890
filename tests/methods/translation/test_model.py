"""Trained CycleGANs and pix2pix as models: one attribute, all or nothing, chains."""

from pathlib import Path

import pytest
import torch

from attrimorph.applications.calibrate import calibrate
from attrimorph.applications.edit import edit
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import judge_for
from attrimorph.methods.translation.domains import edited_attribute
from attrimorph.methods.translation.model import Chain, CycleGANModel, Pix2PixModel
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.models.model import Edits, Encodes
from tests.small_models import narrow, pictures, small_model


def cyclegan(folder: Path, attribute: str = "Smiling", seed: int = 0) -> CycleGANModel:
    model = small_model(folder, "cyclegan-64", {"domains.attribute": attribute, "training.seed": seed})
    assert isinstance(model, CycleGANModel)
    return model


def test_it_edits_one_attribute_either_way(tmp_path: Path) -> None:
    model, images = cyclegan(tmp_path), pictures()
    assert isinstance(model, Edits)
    assert not isinstance(model, Encodes) or not model.conditional
    with torch.no_grad():
        torch.testing.assert_close(model.edit(images, {"Smiling": 1}), model.networks["generator_with"](images))
        torch.testing.assert_close(model.edit(images, {"Smiling": -1}), model.networks["generator_without"](images))
    assert torch.equal(model.edit(images, {"Smiling": 0}), images)


def test_images_that_are_as_wished_stay(tmp_path: Path) -> None:
    model, images = cyclegan(tmp_path), pictures()
    labels = torch.zeros(3, faces.SCHEMA.width)
    column = faces.SCHEMA.columns("Smiling").start
    labels[1, column], labels[2, column] = 1, torch.nan
    edited = model.edit(images, {"Smiling": 1}, labels)
    assert torch.equal(edited[1], images[1])
    assert not torch.equal(edited[0], images[0])
    assert not torch.equal(edited[2], images[2])
    assert edit(model, images, {"Smiling": 1}).edited.shape == images.shape


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"Smiling": 0.5}, "no strength"), ({"Young": 1}, "Smiling alone"), ({"Yung": 1}, "did you mean 'Young'")],
)
def test_what_it_cannot_is_told(tmp_path: Path, changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        cyclegan(tmp_path).edit(pictures(), changes)


def test_only_what_a_model_changes_is_measured_and_nothing_between(tmp_path: Path) -> None:
    smile, young = cyclegan(tmp_path / "a"), cyclegan(tmp_path / "b", "Young", 1)
    for model, names in ((smile, {"Smiling"}), (Chain([smile, young]), {"Smiling", "Young"})):
        judge, images = judge_for(faces.SCHEMA, model.image_size), drawn_images(8, model.image_size)
        assert judge is not None
        found = evaluate(model, judge=judge, count=20, metrics=["edits", "responses"])
        assert set(found.of_attributes("edit.target_reached")) == names
        assert "no strength between" in " ".join(found.notes)
        with pytest.raises(AttrimorphError, match="nothing to calibrate"):
            calibrate(model, judge, images)


def test_a_chain_changes_one_attribute_after_another(tmp_path: Path) -> None:
    smile, young = cyclegan(tmp_path / "a"), cyclegan(tmp_path / "b", "Young", 1)
    chain, images = Chain([smile, young]), pictures()
    stages = chain.stages(images, {"Young": -1, "Smiling": 1})
    torch.testing.assert_close(stages[1], young.edit(images, {"Young": -1}))
    torch.testing.assert_close(stages[2], smile.edit(stages[1], {"Smiling": 1}))
    assert torch.equal(chain.edit(images, {"Young": -1, "Smiling": 1}), stages[2])
    assert edit(chain, images, {"Young": 1}).edited.shape == images.shape
    assert chain.hash not in (smile.hash, young.hash)
    with pytest.raises(AttrimorphError, match="no model of this chain"):
        chain.edit(images, {"Bald": 1})
    with pytest.raises(AttrimorphError, match="another attribute"):
        Chain([smile, smile])
    with pytest.raises(AttrimorphError, match="made of CycleGANs"):
        Chain([])


def test_the_attribute_must_be_named_where_there_are_several() -> None:
    recipe = narrow("cyclegan-64", {"domains.attribute": ""})
    assert edited_attribute(recipe, Schema((Attribute("B"),))) == "B"  # type: ignore[arg-type]
    with pytest.raises(AttrimorphError, match="must name one of the 25"):
        edited_attribute(recipe, faces.SCHEMA)  # type: ignore[arg-type]
    with pytest.raises(AttrimorphError, match="these data have none; put the images of the domains into folders"):
        edited_attribute(recipe, Schema((Attribute("age", "real"),)))  # type: ignore[arg-type]
    named = narrow("cyclegan-64", {"domains.attribute": "age"})
    with pytest.raises(AttrimorphError, match="must be binary"):
        edited_attribute(named, Schema((Attribute("age", "real"), Attribute("B"))))  # type: ignore[arg-type]


def test_pix2pix_translates(tmp_path: Path) -> None:
    model, images = small_model(tmp_path, "pix2pix-64"), pictures()
    assert isinstance(model, Pix2PixModel)
    assert model.translate(images).shape == images.shape
    # Dropout, its only noise, stays on, and a seed decides it: not what else is drawn, nor the neighbours.
    before = torch.get_rng_state()
    made = model.translate(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(made, model.translate(images))
    assert not torch.equal(made, model.translate(images, seed=1))
    assert torch.equal(made[1:], model.translate(images[1:]))
    plain = small_model(tmp_path, "pix2pix-64", {"networks.dropout": 0.0})
    assert isinstance(plain, Pix2PixModel)
    assert torch.equal(plain.translate(images), plain.translate(images, seed=1))
    assert not isinstance(model, Edits)


def test_a_cyclegan_is_without_dropout_once_trained(tmp_path: Path) -> None:
    unet = {"networks.generator": "unet", "networks.dropout": 0.5}
    model, images = small_model(tmp_path, "cyclegan-64", unet), pictures()
    assert isinstance(model, CycleGANModel)
    torch.manual_seed(0)
    made = model.edit(images, {"Smiling": 1.0})
    torch.manual_seed(1)
    assert torch.equal(made, model.edit(images, {"Smiling": 1.0}))
