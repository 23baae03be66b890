"""What the verbs do to codes and images, on a tiny model."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.edit import edit
from attrimorph.applications.generating import reconstruct, sample, transfer
from attrimorph.applications.inputs import attributes_of
from attrimorph.applications.morph import morph
from attrimorph.applications.paths import linear, spherical
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.images import Crop, crop_box
from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.models.model import Code, Model, decided
from attrimorph.pictures import crop_for
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Editor:
    made = tiny_model(tmp_path_factory.mktemp("model"))
    assert isinstance(made, Editor)
    return made


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("gan"), method="gan")


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor]:
    factors = faces.sample_factors(4, torch.Generator().manual_seed(3))
    return faces.render(factors, 16), faces.attributes(factors)


def column(name: str) -> int:
    return faces.SCHEMA.names.index(name)


def test_a_seed_repeats_its_samples_and_another_does_not(model: Editor) -> None:
    torch.testing.assert_close(sample(model, 3, seed=5).images, sample(model, 3, seed=5).images, rtol=0, atol=0)
    assert (sample(model, 3, seed=5).images - sample(model, 3, seed=6).images).abs().max() > 1e-3


def test_samples_have_what_was_asked_for(model: Editor) -> None:
    plain, blond = sample(model, 8, seed=1), sample(model, 8, seed=1, changes={"Blond_Hair": 1.0})
    assert blond.code.attributes[:, column("Blond_Hair")].eq(1).all()
    assert blond.code.attributes[:, column("Black_Hair")].eq(0).all()
    torch.testing.assert_close(blond.code.z, plain.code.z, rtol=0, atol=0)
    torch.testing.assert_close(blond.images, model.decode(blond.code), rtol=0, atol=0)


@pytest.mark.parametrize("count", [0, -1, 5000])
def test_absurd_counts_are_refused(model: Editor, count: int) -> None:
    with pytest.raises(AttrimorphError, match="count must lie in"):
        sample(model, count)


def test_a_reconstruction_is_the_decoded_code(model: Editor, drawn: tuple[Tensor, Tensor]) -> None:
    images, labels = drawn
    result = reconstruct(model, images, labels)
    torch.testing.assert_close(result.reconstructions, model.decode(model.encode(images, labels)), rtol=0, atol=0)
    assert result.reconstructions.shape == images.shape


def test_strength_zero_is_the_image_and_of_the_models_picture_the_reconstruction(
    model: Editor, drawn: tuple[Tensor, Tensor]
) -> None:
    assert torch.equal(edit(model, drawn[0], {"Smiling": 0.0}, drawn[1]).edited, drawn[0])
    result = edit(model, drawn[0], {"Smiling": 0.0}, drawn[1], composition="whole face")
    assert result.reconstructions is not None
    torch.testing.assert_close(result.edited, result.reconstructions, rtol=0, atol=0)


def test_an_edit_moves_y_and_keeps_z(model: Editor, drawn: tuple[Tensor, Tensor]) -> None:
    images, labels = drawn
    result = edit(model, images, {"Bald": 1.0, "Smiling": -0.5}, labels, composition="whole face")
    y = labels.clone()
    y[:, column("Bald")] = 1
    y[:, [column(name) for name in ("Bangs", "Receding_Hairline", "Wearing_Hat", "Wavy_Hair")]] = 0
    y[:, column("Smiling")] *= 0.5
    torch.testing.assert_close(result.after, y)
    torch.testing.assert_close(result.edited, model.decode(Code(model.encode(images, labels).z, y)))


def test_attributes_are_guessed_when_none_are_given(model: Editor, drawn: tuple[Tensor, Tensor]) -> None:
    images = drawn[0]
    guessed = attributes_of(model, images)
    assert set(guessed.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(edit(model, images, {"Male": 1.0}).before, guessed)
    known = attributes_of(model, images, {"Blond_Hair": 1, "Male": 0})
    assert known[:, column("Blond_Hair")].eq(1).all()
    assert known[:, [column("Male"), column("Gray_Hair"), column("Black_Hair")]].eq(0).all()


def test_a_model_that_cannot_is_refused_in_one_sentence(gan: Model, drawn: tuple[Tensor, Tensor]) -> None:
    image = drawn[0][:1]
    with pytest.raises(AttrimorphError, match=r"^edit needs a model that edits; 'tiny' \(gan\) does not"):
        edit(gan, image, {"Smiling": 1.0})
    for verb, call in (
        ("reconstruct", lambda: reconstruct(gan, image)),
        ("morph", lambda: morph(gan, image, image)),
        ("transfer", lambda: transfer(gan, image, image)),
    ):
        with pytest.raises(AttrimorphError, match=f"^{verb} needs a model that encodes"):
            call()
    assert sample(gan, 2).images.shape == (2, 3, 16, 16)


def test_unknown_attributes_and_empty_edits_are_refused(model: Editor, drawn: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(AttrimorphError, match="did you mean 'Smiling'"):
        edit(model, drawn[0], {"Smilling": 1.0}, drawn[1])
    with pytest.raises(AttrimorphError, match="at least one attribute"):
        edit(model, drawn[0], {}, drawn[1])


@pytest.mark.parametrize("path", ["linear", "slerp"])
def test_the_ends_of_a_morph_are_the_reconstructions(model: Editor, drawn: tuple[Tensor, Tensor], path: str) -> None:
    first, second = drawn[0][:1], drawn[0][1:2]
    result = morph(model, first, second, 7, path=path)
    assert len(result.images) == 7
    assert torch.equal(result.images[:1], reconstruct(model, first).reconstructions)
    assert torch.equal(result.images[-1:], reconstruct(model, second).reconstructions)
    steps = (result.images[1:] - result.images[:-1]).flatten(1).norm(dim=1)
    assert steps.max() < 0.6 * (result.images[-1] - result.images[0]).norm()


def test_a_line_has_equal_steps_and_exact_ends() -> None:
    a, b = torch.tensor([0.1, 5.0]), torch.tensor([0.7, -1.0])
    line = linear(a, b, 4)
    assert torch.equal(line[0], a)
    assert torch.equal(line[-1], b)
    torch.testing.assert_close(line[1:] - line[:-1], ((b - a) / 3).expand(3, 2))


def test_an_arc_keeps_the_length_and_the_angle_even() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    arc = spherical(a, b, 4)
    torch.testing.assert_close(arc.norm(dim=1), torch.full((4,), 2.0))
    torch.testing.assert_close(arc[1], 2 * torch.tensor([3**0.5 / 2, 0.5]))
    assert torch.equal(spherical(a, 3 * a, 3), linear(a, 3 * a, 3))


def test_a_transfer_onto_itself_is_the_reconstruction(model: Editor, drawn: tuple[Tensor, Tensor]) -> None:
    image, labels = drawn[0][:1], drawn[1][:1]
    result = transfer(model, image, image, attributes=labels, source_attributes=labels)
    assert torch.equal(result.transferred, result.reconstructions)


def test_a_transfer_takes_only_what_is_named_and_its_rivals_give_way(
    model: Editor, drawn: tuple[Tensor, Tensor]
) -> None:
    own, taken = torch.zeros(1, faces.SCHEMA.width), torch.zeros(1, faces.SCHEMA.width)
    own[:, [column("Bald"), column("Male")]] = 1
    taken[:, [column("Bangs"), column("Smiling"), column("Young")]] = 1
    result = transfer(
        model, drawn[0][:1], drawn[0][1:2], only=["Bangs", "Young"], attributes=own, source_attributes=taken
    )
    expected = torch.zeros_like(own)
    expected[:, [column("Male"), column("Bangs"), column("Young")]] = 1
    torch.testing.assert_close(result.code.attributes, expected)
    everything = transfer(model, drawn[0][:1], drawn[0][1:2], attributes=own, source_attributes=taken)
    torch.testing.assert_close(everything.code.attributes, taken)


def test_decisions_are_labels_that_could_be() -> None:
    schema = Schema(
        (Attribute("A"), Attribute("B"), Attribute("C"), Attribute("kind", "categorical", ("x", "y", "z"))),
        (("A", "B"),),
    )
    guess = torch.tensor([[0.7, 0.9, 0.6, 0.2, 0.3, 0.1], [0.2, 0.1, 0.4, 0.5, 0.2, 0.3]])
    expected = torch.tensor([[0.0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]])
    torch.testing.assert_close(decided(guess, schema), expected)


def test_overlapping_exclusive_groups_are_decided_without_conflict() -> None:
    guess = torch.rand(200, faces.SCHEMA.width, generator=torch.Generator().manual_seed(0))
    y = decided(guess, faces.SCHEMA)
    for group in faces.SCHEMA.exclusive:
        assert y[:, [column(name) for name in group]].sum(1).max() <= 1


def test_photographs_are_cut_square_and_scaled(tmp_path: Path, model: Editor) -> None:
    image = Image.new("RGB", (60, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    image.save(tmp_path / "wide.png")
    batch = model.prepared([tmp_path / "wide.png"] * 2)
    assert batch.shape == (2, 3, 16, 16)
    torch.testing.assert_close(batch[0, :, 8, 8], torch.tensor([-1.0, -1, 1]))
    assert batch[:, 2].min() > 0.9
    assert batch[:, 0].max() < -0.8
    with pytest.raises(AttrimorphError, match="at least one picture"):
        model.prepared([])


def test_the_training_crop_is_used_where_it_suits() -> None:
    crop = Crop(15, 35, 163, 183, (178, 218))
    rectangle = {"crop": {"left": 15, "top": 35, "right": 163, "bottom": 183, "of": [178, 218]}}
    told = {"crop": 148, "of": [178, 218]}  # the centred square of 148 pixels is that rectangle
    for each in (rectangle, told):
        for size in ((178, 218), (356, 436), (640, 480)):
            assert crop_for(size, 64, each) == crop
        assert crop_for((64, 64), 64, each) is None
    assert crop_box((640, 480), crop) == crop_box((640, 480), None)
    # However small a part: of the training files' own size, and in proportion.
    assert crop_box((64, 64), crop_for((64, 64), 32, {"crop": 20, "of": [64, 64]})) == (22, 22, 42, 42)
    assert crop_box((640, 640), crop_for((640, 640), 32, {"crop": 20, "of": [64, 64]})) == (220, 220, 420, 420)
    assert crop_for((3000, 2000), 64, {"crop": 148, "of": None}) == 148
    # As headers of before tell it.
    assert crop_for((178, 218), 64, {"crop": 148}) == 148
    assert crop_for((3000, 2000), 64, {"crop": 148}) is None
    assert crop_for((3000, 2000), 64, {}) is None
