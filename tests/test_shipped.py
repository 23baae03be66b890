"""The models that come with the package: small enough, measured, and doing what their cards say."""

import torch

from attrimorph.data import faces
from attrimorph.metrics.judge import load_judge
from attrimorph.models import Editor, Edits, load, shipped
from attrimorph.recipes import recipe_named

LARGEST = 20_000_000


def test_they_are_small_and_say_what_was_measured() -> None:
    assert "drawn-faces-64" in shipped()
    for name, path in shipped().items():
        assert path.stat().st_size <= LARGEST
        model = load(name)
        measured = ("reconstruction PSNR", "edit target reached") if isinstance(model, Edits) else ("Frechet distance",)
        for what in measured:
            assert any(what in figure for figure in model.card)


def test_the_recipe_is_the_one_that_trained_it() -> None:
    model, recipe = load("drawn-faces-64"), recipe_named("drawn-faces-64")
    assert model.images_seen >= recipe.training.images
    for part in ("method", "data", "networks", "losses", "optimiser"):
        assert getattr(model.recipe, part) == getattr(recipe, part)
    assert model.schema == faces.SCHEMA


def test_on_a_few_unseen_faces_it_keeps_near_its_card() -> None:
    model = load("drawn-faces-64")
    assert isinstance(model, Editor)
    factors = faces.sample_factors(48, torch.Generator().manual_seed(123))
    images, labels = faces.render(factors, 64), faces.attributes(factors)
    reconstruction = model.decode(model.encode(images))
    psnr = -10 * torch.log10(((reconstruction - images) / 2).square().mean((1, 2, 3))).mean()
    assert psnr > next(value for name, value in model.card.items() if "reconstruction PSNR" in name) - 1

    judge = load_judge("drawn-faces-64")
    column = faces.SCHEMA.names.index("Eyeglasses")
    without = labels[:, column] == 0
    edited = model.edit(images[without], {"Eyeglasses": 1}, labels[without])
    judged = judge(edited) > 0.5
    assert judged[:, column].float().mean() > 0.9
    others = [place for place in range(len(faces.SCHEMA.names)) if place != column]
    assert (judged[:, others] != (labels[without][:, others] > 0.5)).float().mean() < 0.05
