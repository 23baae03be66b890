"""Edits with references and homomorphic paths, on a fresh model."""

from pathlib import Path

import pytest
import torch

from attrimorph.applications.generating import edit_like, homomorphic, reference_sheet
from attrimorph.errors import AttrimorphError
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.photographs.fields import composed
from tests.small_models import pictures, seeing, small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InterpolationModel:
    found = small_model(tmp_path_factory.mktemp("references"), "homointerp-drawn-64", lively=0.5)
    assert isinstance(found, InterpolationModel)
    return found


def test_several_references_give_several_answers(model: InterpolationModel) -> None:
    images, references = pictures(3), pictures(2, seed=9)
    result = edit_like(model, images, references, {"hair colour": 1, "age": 2, "everything else": 0.5})
    assert result.edited.shape == (2, 3, 3, 32, 32)
    for number in range(2):
        alone = model.follow(
            images, references[number : number + 1], {"hair colour": 1, "age": 2, "everything else": 0.5}
        )
        own = composed(images, model.render(model.features(images)), alone)
        torch.testing.assert_close(result.edited[number], own)
    assert not torch.allclose(result.edited[0], result.edited[1], atol=1e-3)
    page = reference_sheet(result)
    assert page.width > 3 * 128
    assert page.height > 4 * 128


def test_nothing_to_take_over_is_told(model: InterpolationModel) -> None:
    with pytest.raises(AttrimorphError, match="expression"):
        edit_like(model, pictures(), pictures(1), {})
    with pytest.raises(AttrimorphError, match="at least one reference"):
        edit_like(model, pictures(), pictures(1)[:0], {"age": 1})


def test_another_kind_of_model_is_told(tmp_path: Path) -> None:
    other = small_model(tmp_path, "cyclegan-64")
    with pytest.raises(AttrimorphError, match="follows references"):
        edit_like(other, pictures(), pictures(1), {"age": 1})


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_homomorphic_path_ends_in_both_reconstructions(model: InterpolationModel, one_by_one: bool) -> None:
    images = pictures(2)
    way = homomorphic(model, images[:1], images[1:], 12, one_by_one=one_by_one)
    assert torch.equal(way[:1], model.render(model.features(images[:1])))
    assert torch.equal(way[-1:], model.render(model.features(images[1:])))
    assert way.shape == (12, 3, 32, 32)


def test_group_after_group_in_the_order_given(model: InterpolationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InterpolationModel, "guess_attributes", seeing(model, "Black_Hair", "Blond_Hair"))
    images = pictures(2)
    way = homomorphic(model, images[:1], images[1:], 4, one_by_one=True, groups=["Blond_Hair", "age"])
    a, b = model.features(images[:1]), model.features(images[1:])
    v = torch.zeros(1, len(model.groups) + 1)
    v[:, list(model.groups).index("hair colour")] = 1
    torch.testing.assert_close(way[1:2], model.render(a + model.moves(a, b - a, v)), atol=1e-4, rtol=1e-3)
    assert (way[1] - way[0]).abs().max() > 0.01
