"""The models that come with the package: small enough, measured, and doing what their cards say."""

from contextlib import suppress

import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes import load_pack
from attrimorph.applications.axes.choosing import find_pack
from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.edit import edit
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import load_judge
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.methods.homointerp.groups import REST
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.pggan.model import ProgressiveModel
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.figures import card_figures
from attrimorph.models import PHOTOGRAPHS, shipped
from attrimorph.models.model import Edits, Encodes, Generates, Model
from attrimorph.reproductions.quickstart import PHOTOGRAPH

LARGEST = 20_000_000


def test_they_are_small_and_say_what_was_measured() -> None:
    assert "drawn-faces-64" in shipped()
    for name, path in shipped().items():
        assert path.stat().st_size <= LARGEST
        model = load(name)
        measured = {"reconstruction.psnr", "edit.target_reached"}
        if not isinstance(model, Encodes):
            measured = {"edit.target_reached" if isinstance(model, Edits) else "samples.frechet_distance"}
        assert measured <= card_figures(model.card)[0].keys()
        for facts in model.attributes.values() if isinstance(model, Edits) else ():
            assert facts.reached_when_set is not None
            assert facts.reached_when_taken_away is not None or name == PHOTOGRAPHS  # perhaps nobody wears a hat


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_recipe_is_the_one_that_trained_it(name: str) -> None:
    model, recipe = load(name), recipe_named(model_recipe(name))
    assert model.images_seen >= recipe.training.images
    for part in ("method", "data", "networks", "losses", "optimiser"):
        assert getattr(model.recipe, part) == getattr(recipe, part), part
    assert (model.schema == faces.SCHEMA) == (name != PHOTOGRAPHS)


def model_recipe(name: str) -> str:
    return {"discvae-drawn-64": "attribute2image-discvae"}.get(name, name)


@pytest.mark.skipif(PHOTOGRAPHS not in shipped(), reason="no model of photographs ships")
def test_the_model_of_photographs_says_what_it_learned_from_and_edits_a_photograph() -> None:
    model = load(PHOTOGRAPHS)
    words = model.card["words"]
    assert set(words) == {"learned from", "taught by", "who they are", "reached, by group", "not for", "changes"}
    for licence in ("MIT", "CC0", "public domain"):
        assert licence in words["learned from"]
    with Image.open(PHOTOGRAPH) as before:
        found = edit(model, PHOTOGRAPH, {"Smiling": 1.0}, known={"Smiling": 0})
        assert found.photographs[0].size == before.size
    (mask,) = found.mask
    assert 0.005 < mask.mean() < 0.6  # something, in the face's frame alone


def test_on_a_few_unseen_faces_it_keeps_near_its_card() -> None:
    model = load("drawn-faces-64")
    assert isinstance(model, Editor)
    factors = faces.sample_factors(48, torch.Generator().manual_seed(123))
    images, labels = faces.render(factors, 64), faces.attributes(factors)
    reconstruction = model.decode(model.encode(images))
    psnr = -10 * torch.log10(((reconstruction - images) / 2).square().mean((1, 2, 3))).mean()
    assert psnr > card_figures(model.card)[0]["reconstruction.psnr"] - 1

    judge = load_judge("drawn-faces-64")
    column = faces.SCHEMA.names.index("Eyeglasses")
    without = labels[:, column] == 0
    edited = model.edit(images[without], {"Eyeglasses": 1}, labels[without])
    judged = judge(edited) > 0.5
    assert judged[:, column].float().mean() > 0.9
    others = [place for place in range(len(faces.SCHEMA.names)) if place != column]
    assert (judged[:, others] != (labels[without][:, others] > 0.5)).float().mean() < 0.05


def test_homointerp_edits_what_it_is_told_and_keeps_the_rest() -> None:
    model, judge = load("homointerp-drawn-64"), load_judge("drawn-faces-64")
    assert isinstance(model, Edits)
    factors = faces.sample_factors(48, torch.Generator().manual_seed(124))
    images, labels = faces.render(factors, 64), faces.attributes(factors)
    column = faces.SCHEMA.names.index("Gray_Hair")
    without = labels[:, column] == 0
    edited = model.edit(images[without], {"Gray_Hair": 1}, labels[without])
    assert (judge(edited) > 0.5)[:, column].float().mean() > 0.85
    # What stands in the corners has nothing to do with the hair's colour.
    unedited = model.decode(model.encode(images[without], labels[without]))
    assert (edited - unedited)[:, :, :8, :8].abs().mean() < 0.03


def test_the_axes_that_ship_fit_the_generator_that_ships() -> None:
    model, judge = load("pggan-drawn-64"), load_judge("drawn-faces-64")
    editor = AxisEditor(model, load_pack(find_pack("pggan-drawn-64")), locks=["Male"])
    code = model.sample_codes(64, torch.Generator().manual_seed(1))
    column = faces.SCHEMA.names.index("Eyeglasses")
    before = judge(model.decode(code))[:, column] > 0.5
    after = judge(model.decode(editor.move(code, {"Eyeglasses": 1})))[:, column] > 0.5
    assert after.float().mean() > max(0.6, before.float().mean() + 0.3)


def outcomes(model: Model, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Everything that a model can do with two pictures."""
    found = []
    if isinstance(model, Encodes):
        found += [model.encode(images).z]
    if isinstance(model, Edits):
        found += [model.guess_attributes(images)]
        found += [model.edit(images, {"Smiling": 1.0, "Eyeglasses": -1.0}, labels)]
    if isinstance(model, InterpolationModel):
        found += [model.follow(images, images.flip(0), {group: 0.5}) for group in (*model.groups, REST)]
    elif isinstance(model, Generates):
        code = model.sample_codes(2, torch.Generator().manual_seed(0))
        found += [model.decode(code)]
        if isinstance(model, ProgressiveModel):
            # At the sizes that it has outgrown, too.
            z, y = code.z, code.attributes[:, :0]
            found += [model.networks["generator"](z, y, level=float(level)).detach() for level in range(4)]
    return found


@pytest.mark.parametrize("name", sorted(shipped()))
def test_no_weight_is_without_effect(name: str) -> None:
    model = load(name)
    factors = faces.sample_factors(2, torch.Generator().manual_seed(0))
    images = faces.render(factors, model.image_size)
    labels = faces.attributes(factors) if model.schema == faces.SCHEMA else torch.zeros(2, model.schema.width)
    before = outcomes(model, images, labels)
    without = set()
    for network, part in model.networks.items():
        for weight, values in part.named_parameters():
            kept = values.data.clone()
            values.data.fill_(torch.nan)
            # A model may refuse to go on with what it cannot use.
            with suppress(AttrimorphError):
                if all(map(torch.equal, before, outcomes(model, images, labels))):
                    without.add(f"{network}.{weight}")
            values.data.copy_(kept)
    assert not without
