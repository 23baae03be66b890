"""The identity encoder: the shipped ones know people they never saw, and training, likeness and files work."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.drawn import drawn_people, train_drawn_identity_encoder
from attrimorph.evaluators.evaluator import SHIPPED, Labelled, from_bytes, of_bytes
from attrimorph.evaluators.identity_encoder import (
    SCALE,
    IdentityEncoder,
    class_names,
    load_identity_encoder,
    margin_logits,
)
from attrimorph.evaluators.judge import load_judge
from attrimorph.evaluators.training import (
    IdentityRecipe,
    divide_classes,
    fit_identity_encoder,
    pairs,
    person_names,
    train_identity_encoder,
    verified,
)

QUICK = IdentityRecipe(images_seen=1_280, batch_size=32, dropout=0.0, seed=5)
NAMES = ("Ada", "Bo", "Cy", "Di")


def squares(count: int = 160, people: int = 4) -> tuple[Tensor, Tensor]:
    """Noise with a bright square whose place tells who it is."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % people
    for row, label in enumerate(labels.tolist()):
        images[row, :, 2 * label : 2 * label + 3, 3 + label : 7 + label] = 220
    return images, labels


def people_data(splits: tuple[str, ...] = ("train", "train", "train", "valid", "test")) -> PreparedData:
    """The squares as prepared data, whose identities are 7, 17, 27, 37 and a stranger, 99, in the test split."""
    images, labels = squares(200, 5)
    split = np.array([splits[row // 5 % len(splits)] for row in range(200)])
    identity = labels * 10 + 7
    split[labels.numpy() == 4] = "test"
    identity[labels == 4] = torch.arange(40) % 2 + 99
    values = (*NAMES, "someone else")
    return PreparedData(
        images.permute(0, 2, 3, 1).contiguous().numpy(),
        torch.eye(5)[labels],
        identity,
        split,
        [str(row) for row in range(200)],
        Schema((Attribute("person", "categorical", values),)),
        fingerprint="0123456789abcdef",
    )


@pytest.fixture(scope="module")
def small() -> IdentityEncoder:
    images, labels = squares()
    return fit_identity_encoder(divide_classes(of_bytes(images, labels), QUICK.seed), NAMES, QUICK, 16, "squares")


@pytest.mark.parametrize("size", [32, 64])
def test_a_shipped_identity_encoder_verifies_unseen_people(size: int) -> None:
    identity_encoder = load_identity_encoder(f"drawn-faces-{size}")
    people = (500_000 + torch.arange(40)).repeat_interleave(3)
    drawn = drawn_people(people, size, seed=4321, correlation=0.5)
    found = verified(identity_encoder, of_bytes(drawn, people))
    accuracy = next(value for name, value in found.items() if name.startswith("verification accuracy"))
    assert accuracy > 0.93
    said = [value for name, value in identity_encoder.measures.items() if name.startswith("verification accuracy")]
    assert min(said) > 0.95
    assert len(identity_encoder.classes) == 1_000


def test_both_shipped_identity_encoders_are_small() -> None:
    files = list(SHIPPED.glob("recogniser-*.safetensors"))
    assert len(files) == 2
    assert sum(file.stat().st_size for file in files) < 2_000_000


def test_features_have_unit_length_and_cosines_are_their_products(small: IdentityEncoder) -> None:
    images = from_bytes(squares()[0][:6])
    features = small.features(images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(6))
    centres = torch.nn.functional.normalize(small.network.centres.detach(), dim=1)
    torch.testing.assert_close(small.cosines(images), features @ centres.T)
    expected = (features @ centres.T * (SCALE / small.temperature)).softmax(1)
    torch.testing.assert_close(small(images), expected)
    assert small.maps(images)[-1].shape == (6, 64, 2, 2)


def test_training_learns_who_is_who(small: IdentityEncoder) -> None:
    images, labels = squares()
    assert small(from_bytes(images)).argmax(1).eq(labels).double().mean() > 0.95
    accuracy, error = small.measures.values()
    assert accuracy > 0.9
    assert error < 0.15
    assert next(iter(small.measures)) == "top-1 accuracy (4 classes, 16 unseen images)"
    assert {use: part["images"] for use, part in small.trained_on.items()} == {
        "train": 128, "choose": 16, "measure": 16,
    }  # fmt: skip


def test_the_same_seed_gives_the_same_identity_encoder() -> None:
    images, labels = squares()
    parts = divide_classes(of_bytes(images, labels), 0)
    recipes = [replace(QUICK, images_seen=96, seed=seed) for seed in (1, 1, 2)]
    found = [fit_identity_encoder(parts, NAMES, recipe, 16, "squares") for recipe in recipes]
    first, again, other = (identity_encoder.features(from_bytes(images[:4])) for identity_encoder in found)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_margin_is_taken_from_the_true_class_only() -> None:
    cosines = torch.tensor([[0.5, 0.1, -0.2], [0.0, 0.9, 0.3]])
    found = margin_logits(cosines, torch.tensor([0, 2]), 0.2)
    torch.testing.assert_close(found, SCALE * torch.tensor([[0.3, 0.1, -0.2], [0.0, 0.9, 0.1]]))


def test_every_class_is_divided_and_no_image_is_used_twice() -> None:
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 3)
    parts = divide_classes(Labelled(lambda rows: rows, labels), seed=0)
    assert [torch.bincount(part.labels).tolist() for part in parts] == [[16, 3, 1], [2, 1, 1], [2, 1, 1]]
    rows = torch.cat([part.read(torch.arange(len(part))) for part in parts])
    assert rows.sort().values.tolist() == list(range(28))
    for part in parts:
        assert torch.equal(labels[part.read(torch.arange(len(part)))], part.labels)


def test_pairs_are_even_and_as_they_say() -> None:
    labels = torch.arange(30) // 3
    first, second, same = pairs(labels, seed=0, most=12)
    assert same.tolist() == [True] * 12 + [False] * 12
    assert torch.equal(labels[first] == labels[second], same)
    assert not bool((first == second).any())
    assert len(pairs(torch.arange(9), seed=0)[0]) == 0
    assert len(pairs(torch.zeros(0, dtype=torch.long), seed=0)[0]) == 0


def test_people_of_prepared_data_are_learned_and_strangers_verified() -> None:
    found = train_identity_encoder(people_data(), QUICK, least=10, name="people")
    assert found.classes == NAMES
    assert found.trained_on["fingerprint"] == "0123456789abcdef"
    assert found.trained_on["measure"] == {"split": "test", "images": 32}
    assert found.measures["top-1 accuracy (4 classes, 32 unseen images)"] > 0.9
    assert any(name.startswith("verification accuracy") and "2 unseen people" in name for name in found.measures)


def test_without_held_out_images_some_of_the_train_split_are_left_out() -> None:
    data = people_data(("train",))
    found = train_identity_encoder(data, replace(QUICK, images_seen=96), least=10)
    assert found.trained_on["choose"] == {"split": "left out of the training", "images": 16}


def test_people_without_a_name_have_numbers() -> None:
    data = people_data()
    assert person_names(data, np.array([7, 17])) == ["Ada", "Bo"]
    mixed = replace(data, attributes=data.attributes[torch.arange(200) // 2])
    assert person_names(mixed, np.array([7, 17])) == ["7", "17"]


def test_a_saved_identity_encoder_recognises_the_same(small: IdentityEncoder, tmp_path: Path) -> None:
    small.save(tmp_path / "r.safetensors")
    again = load_identity_encoder(tmp_path / "r.safetensors")
    images = from_bytes(squares()[0][:8])
    torch.testing.assert_close(again.features(images), small.features(images), rtol=0, atol=0.01)
    assert replace(again, network=small.network) == small
    with pytest.raises(AttrimorphError, match="must be a judge of format"):
        load_judge(tmp_path / "r.safetensors")


def test_drawn_people_keep_what_belongs_to_them() -> None:
    found = train_drawn_identity_encoder(16, people=6, images=5, recipe=replace(QUICK, images_seen=64), unseen=6)
    assert found.name == "recogniser drawn-faces-16"
    assert [name for name in found.measures if "correlation 0.5" in name]
    assert all(math.isfinite(value) for value in found.measures.values())


def test_what_cannot_be_learned_gets_a_sentence(small: IdentityEncoder, tmp_path: Path) -> None:
    images, labels = squares()
    with pytest.raises(AttrimorphError, match=r"labels must lie in 0\.\.2"):
        fit_identity_encoder(divide_classes(of_bytes(images, labels), 0), NAMES[:3], QUICK, 16, "few")
    with pytest.raises(AttrimorphError, match="at least 3 images, to learn"):
        divide_classes(of_bytes(images[:8], labels[:8]), 0)
    with pytest.raises(AttrimorphError, match="at least two different classes"):
        class_names(["one", "one"])
    with pytest.raises(AttrimorphError, match="at least two people with 999 images each"):
        train_identity_encoder(people_data(), QUICK, least=999)
    with pytest.raises(AttrimorphError, match="there is no recogniser 'nobody'"):
        load_identity_encoder("nobody")
    small.save(tmp_path / "r.safetensors")
    whole = (tmp_path / "r.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AttrimorphError, match="is damaged"):
        load_identity_encoder(tmp_path / "cut.safetensors")
    with pytest.raises(AttrimorphError, match=r"takes images \[B, 3, 16, 16\]"):
        small(torch.zeros(1, 3, 32, 32))
