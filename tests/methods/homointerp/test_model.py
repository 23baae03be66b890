"""A trained HomoInterpGAN as a model: codes, edits, references, groups."""

from pathlib import Path

import pytest
import torch

from attrimorph.applications.edit import edit
from attrimorph.applications.generating import transfer
from attrimorph.applications.morph import morph
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import parse_header
from attrimorph.methods.homointerp.groups import REST, grouping, membership
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.models import SET, TAKEN_AWAY, Strengths
from attrimorph.models.model import Edits, Encodes
from tests.small_models import narrow, pictures, seeing, small_model

LABELS = faces.attributes(faces.sample_factors(3, torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InterpolationModel:
    found = small_model(tmp_path_factory.mktemp("homointerp"), "homointerp-drawn-64", lively=0.5)
    assert isinstance(found, InterpolationModel)
    return found


def test_groups_are_those_of_the_recipe_that_the_data_have() -> None:
    groups = grouping(narrow("homointerp-drawn-64"), faces.SCHEMA)
    assert groups["expression"] == ("Mouth_Slightly_Open", "Smiling")
    assert groups["hair texture"] == ("Wavy_Hair",)
    assert sorted(name for group in groups.values() for name in group) == sorted(faces.SCHEMA.names)
    other = Schema((Attribute("round"), Attribute("colour", "categorical", ("red", "blue"))))
    assert grouping(narrow("homointerp-drawn-64"), other) == {"round": ("round",), "colour": ("colour",)}
    some = grouping(
        narrow("homointerp-drawn-64", {"networks.others": "residual"}), Schema((Attribute("Young"), Attribute("Odd")))
    )
    assert some == {"age": ("Young",)}
    members = membership({"colour": ("colour",)}, other)
    assert members.tolist() == [[False, True, True], [False, False, False]]


def test_a_file_keeps_the_order_of_groups(model: InterpolationModel) -> None:
    """Branches go by place: in another order each would move what another one learned to."""
    trained = grouping(narrow("homointerp-drawn-64"), faces.SCHEMA)
    assert list(trained) != sorted(trained)
    assert list(model.groups) == list(trained)
    again = InterpolationModel(model.networks, parse_header(model.header), "cpu", model.hash)
    assert list(again.groups) == list(trained)


def test_the_model_encodes_and_edits(model: InterpolationModel) -> None:
    assert isinstance(model, Encodes)
    assert isinstance(model, Edits)
    images = pictures()
    code = model.encode(images, LABELS)
    assert code.z.shape == (3, 8 * 4 * 4 + faces.SCHEMA.width)
    with torch.no_grad():
        plain = model.networks["decoder"](model.networks["encoder"](images)).clamp(-1, 1)
    torch.testing.assert_close(model.decode(code), plain)


@pytest.mark.parametrize(
    "asked", [{"Smiling": 0.5}, {"Smiling": 1.0}, {"Smiling": 2.0}, {"Smiling": 1.0, "Young": 0.5}]
)
def test_the_branches_of_an_edit_answer_its_prototype(model: InterpolationModel, asked: dict[str, float]) -> None:
    images, labels = pictures(), LABELS.clone()
    face, change = model.features(images), torch.zeros_like(labels)
    v = torch.zeros(3, len(model.groups) + 1)
    for name, strength in asked.items():
        column = faces.SCHEMA.columns(name).start
        labels[:, column], change[:, column] = 0, 1
        v[:, model.members[:, column].int().argmax()] = strength
    prototypes = model.networks["prototypes"]
    with torch.no_grad():
        d = prototypes(face, labels, change)
        if len(asked) > 1:  # both go half of the way together, and the smile goes on by itself
            change[:, faces.SCHEMA.columns("Young").start] = 0
            asked_for = 0.5 * (d + prototypes(face, labels, change))
        else:
            asked_for = asked["Smiling"] * d
        moved = model.networks["interpolator"](face, d, 1.25 * v, asked=1.25 * asked_for)
    torch.testing.assert_close(model.edit(images, asked, labels), model.render(moved))
    assert (model.edit(images, asked, labels) - images).abs().max() > 0.02


@pytest.mark.parametrize("prototypes", ["learned", "mean"])
def test_without_its_branches_no_edit_is_left(tmp_path: Path, prototypes: str) -> None:
    model = small_model(tmp_path, "homointerp-drawn-64", {"networks.prototypes": prototypes}, lively=0.5)
    assert isinstance(model, InterpolationModel)
    images = pictures()
    assert (model.edit(images, {"Smiling": 1}, torch.zeros_like(LABELS)) - model.decode(model.encode(images))).any()
    for parameter in model.networks["interpolator"].parameters():
        parameter.data.fill_(torch.nan)
    assert model.edit(images, {"Smiling": 1}, torch.zeros_like(LABELS)).isnan().any()
    assert model.follow(images, pictures(1, seed=5), {"hair colour": 1}).isnan().any()


def test_all_branches_together_bring_all_of_a_reference(model: InterpolationModel) -> None:
    interpolator = model.networks["interpolator"]
    for weights in (interpolator.get_parameter("third.weight"), interpolator.get_parameter("bias")):
        weights.data.zero_()
    face, other = model.features(pictures()), model.features(pictures(3, seed=5))
    whole = torch.ones(3, len(model.groups) + 1)
    torch.testing.assert_close(face + model.moves(face, other - face, whole), other, atol=1e-3, rtol=1e-3)


def test_nothing_to_change_gives_the_reconstruction(model: InterpolationModel) -> None:
    images = pictures()
    own = model.decode(model.encode(images, LABELS))
    labels = LABELS.clone()
    labels[:, faces.SCHEMA.columns("Smiling").start] = 1
    torch.testing.assert_close(model.edit(images, {"Smiling": 1}, labels), own)
    torch.testing.assert_close(model.edit(images, {"Smiling": 0}, labels), own)


def test_references_give_what_they_have(model: InterpolationModel) -> None:
    images, others = pictures(), pictures(2, seed=5)
    face, other = model.features(images), model.features(others[:1])
    v = torch.zeros(3, len(model.groups) + 1)
    v[:, list(model.groups).index("hair colour")] = 0.7
    moved = face + model.moves(face, other - face, v)
    expected = model.render(moved)
    torch.testing.assert_close(model.follow(images, others[:1], {"hair colour": 0.7}), expected)
    torch.testing.assert_close(model.follow(images, others[:1], {"Blond_Hair": 0.7}), expected)
    # An image has nothing to take over from itself, if its branches are zero there.
    assert model.group_of(REST) == REST


def test_strengths_towards_a_reference_are_calibrated_as_the_sliders_are(
    model: InterpolationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InterpolationModel, "guess_attributes", seeing(model, "Black_Hair", "Blond_Hair"))
    halves = {"Blond_Hair": {SET: (0.2,)}, "Black_Hair": {TAKEN_AWAY: (0.6,)}}
    calibrated = model.with_strengths(Strengths(halves))
    face = model.features(pictures(2))
    hair, age, rest = list(model.groups).index("hair colour"), list(model.groups).index("age"), len(model.groups)
    change = torch.zeros(2, model.schema.width)
    # The first turns from black to blond, the second to blond for a third of it.
    for name, values in {"Blond_Hair": (1.0, 0.5), "Black_Hair": (-1.0, -1.0)}.items():
        change[:, model.schema.columns(name)] = torch.tensor(values)[:, None]
    v = torch.full((2, rest + 1), 0.5)
    found = calibrated.positions(change, v)
    torch.testing.assert_close(found[:, hair], torch.tensor([0.4, (0.5 * 0.2 + 0.6) / 1.5]))
    # Where nothing of a group changes, and for the rest, strengths stand as they are.
    assert torch.equal(found[:, [age, rest]], v[:, [age, rest]])
    assert torch.equal(calibrated.positions(change, torch.ones_like(v)), torch.ones_like(v))
    assert torch.equal(model.positions(change, v), v)
    difference = model.features(pictures(2, seed=5)) - face
    placed = calibrated.positions(change[:1].expand(2, -1), v)
    torch.testing.assert_close(placed[:, hair], torch.tensor([0.4, 0.4]))
    torch.testing.assert_close(calibrated.moves(face, difference, v), model.moves(face, difference, placed))


def test_a_group_of_what_nobody_has_is_refused() -> None:
    recipe = narrow("homointerp-drawn-64", {"networks.groups": {"hair": ["Blond_Hairs", "Black_Hair"]}})
    with pytest.raises(
        AttrimorphError, match="the group 'hair' has no attribute 'Blond_Hairs'; did you mean 'Blond_Hair'"
    ):
        grouping(recipe, faces.SCHEMA)


def test_an_attribute_in_no_group_moves_nothing(tmp_path: Path) -> None:
    groups = {"expression": ["Smiling"]}
    changes = {"networks.prototypes": "mean", "networks.groups": groups, "networks.others": "residual"}
    published = small_model(tmp_path, "homointerp-drawn-64", changes, lively=0.5)
    assert isinstance(published, InterpolationModel)
    face, own = published.features(pictures()), torch.zeros(3, published.schema.width)
    smile = published.schema.edit(own, {"Smiling": 1})
    both = published.schema.edit(own, {"Smiling": 1, "Eyeglasses": 1})
    torch.testing.assert_close(published._slide(face, own, both), published._slide(face, own, smile))


def test_what_is_not_known_of_a_face_is_guessed(model: InterpolationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InterpolationModel, "guess_attributes", seeing(model, "Male"))
    column, images = model.schema.columns("Young"), pictures()
    labels = LABELS.clone()
    labels[:, column] = torch.nan
    as_guessed = LABELS.clone()
    as_guessed[:, column] = 0
    torch.testing.assert_close(model.edit(images, {"Young": 1}, labels), model.edit(images, {"Young": 1}, as_guessed))


def test_an_arc_goes_through_features_alone(model: InterpolationModel) -> None:
    images = pictures(2)
    found = morph(model, images[:1], images[1:], 5, path="slerp")
    assert found.code is not None
    torch.testing.assert_close(found.code.z[:, -model.schema.width :], found.code.attributes)
    face = found.code.z[2, : -model.schema.width].view(1, *model.shape)
    torch.testing.assert_close(found.images[2:3], model.render(face), atol=1e-4, rtol=1e-3)


def test_with_mean_prototypes_the_branches_answer(tmp_path: Path) -> None:
    published = small_model(tmp_path, "homointerp-drawn-64", {"networks.prototypes": "mean"}, lively=0.5)
    assert isinstance(published, InterpolationModel)
    face, other = published.features(pictures()), published.features(pictures(3, seed=5))
    v = torch.rand(3, len(published.groups) + 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = published.networks["interpolator"](face, other - face, v) - face
    torch.testing.assert_close(published.moves(face, other - face, v), expected)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Smiling": 3}, "-2..2"),
        ({"Smilling": 1}, "did you mean 'Smiling'"),
        ({"hair colour": 1}, "'hair colour' is a group of attributes, .* add --like"),
    ],
)
def test_a_bad_edit_is_one_sentence(model: InterpolationModel, changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        model.edit(pictures(), changes, LABELS)


def test_an_attribute_in_no_group_is_told(tmp_path: Path) -> None:
    model = small_model(
        tmp_path, "homointerp-drawn-64", {"networks.others": "residual", "networks.groups": {"age": ["Young"]}}
    )
    with pytest.raises(AttrimorphError, match=r"networks\.others own"):
        model.edit(pictures(), {"Smiling": 1}, LABELS)  # type: ignore[attr-defined]


def test_bad_references_are_told(model: InterpolationModel) -> None:
    with pytest.raises(AttrimorphError, match=r"0\.\.2"):
        model.follow(pictures(), pictures(1), {"age": -1})
    with pytest.raises(AttrimorphError, match="sampl"):
        model.sample_codes(1, torch.Generator())


def test_other_applications_work_with_it(model: InterpolationModel) -> None:
    images = pictures()
    way = morph(model, images[:1], images[1:2], 4, attributes=(LABELS[:1], LABELS[1:2]))
    torch.testing.assert_close(way.images[0], model.decode(model.encode(images[:1], LABELS[:1]))[0])
    half = model.render((model.features(images[:1]) + 2 * model.features(images[1:2])) / 3)
    torch.testing.assert_close(way.images[2], half[0], atol=1e-4, rtol=1e-3)
    assert edit(model, images, {"Bald": 1}).edited.shape == images.shape
    taken = transfer(model, images, images[1:2], only=["Smiling"])
    assert taken.transferred.shape == images.shape


def test_the_published_form_has_mean_prototypes(tmp_path: Path) -> None:
    recipe = {
        "networks.prototypes": "mean",
        "networks.sees_face": False,
        "losses.reference_share": 1.0,
    }
    model = small_model(tmp_path, "homointerp-drawn-64", recipe)
    assert isinstance(model, InterpolationModel)
    assert model.networks["prototypes"].get_parameter("differences").shape == (25, 8, 4, 4)
    model.edit(pictures(), {"Bald": 1}, LABELS)
