"""Classes from whatever there is: people who were drawn, categorical attributes, identities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.data import Attribute, Schema
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.reproductions.contexts import class_data, classes_of, write_class_data
from tests.reproductions.tiny import TINY, request

KINDS = Schema((Attribute("Smiling"), Attribute("kind", "categorical", ("owl", "jay", "wren"))))


@pytest.fixture
def birds(tmp_path: Path) -> PreparedData:
    """30 owls, 25 jays, 3 wrens and 2 of which nobody knows; identities 7 and 9 in turns."""
    y = torch.zeros(60, KINDS.width)
    for row in range(60):
        kind = 0 if row < 30 else 1 if row < 55 else 2
        y[row, 1:] = torch.nan if row >= 58 else torch.eye(3)[kind]
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    write_prepared(tmp_path / "birds", images, KINDS, y, identity=[7, 9] * 30)
    return open_prepared(tmp_path / "birds")


def test_classes_come_from_a_categorical_attribute_or_from_identities(birds: PreparedData) -> None:
    names, labels = classes_of(birds)
    assert names == ["owl", "jay"]
    assert [int((labels == label).sum()) for label in (-1, 0, 1)] == [5, 30, 25]
    names, labels = classes_of(birds, "identity")
    assert names == ["7", "9"]
    assert np.array_equal(labels, birds.identity.numpy() == 9)
    plain = replace(birds, schema=Schema((Attribute("Smiling"),)), attributes=birds.attributes[:, :1])
    assert classes_of(plain)[0] == ["7", "9"]


def test_data_without_classes_is_told(birds: PreparedData) -> None:
    with pytest.raises(AttrimorphError, match="no categorical attribute 'knid' here; did you mean 'kind'"):
        classes_of(birds, "knid")
    with pytest.raises(AttrimorphError, match="at least two classes with 28 images each; it has 1"):
        classes_of(birds, least=28)


def test_every_class_is_split_by_image(birds: PreparedData, tmp_path: Path) -> None:
    names, labels = classes_of(birds)
    write_class_data(tmp_path / "out", birds, names, labels)
    data = open_prepared(tmp_path / "out")
    assert data.schema.names == ("class",)
    assert data.schema.attributes[0].values == ("owl", "jay")
    assert len(data) == 55
    kept = np.flatnonzero(labels >= 0)
    assert np.array_equal(data.images, birds.images[kept])
    assert np.array_equal(data.attributes.argmax(1).numpy(), labels[kept])
    for split, count in (("train", 24), ("valid", 3), ("test", 3)):
        assert int((data.attributes[torch.from_numpy(data.indices(split))][:, 0] == 1).sum()) == count
    write_class_data(tmp_path / "again", birds, names, labels)
    assert np.array_equal(open_prepared(tmp_path / "again").split, data.split)


def test_people_are_drawn_once(tmp_path: Path) -> None:
    data = class_data(request(tmp_path), 16)
    assert data.image_size == 16
    assert data.schema.width == TINY.people
    assert len(data) == TINY.people * TINY.images
    assert data.factors is not None
    again = class_data(request(tmp_path, say=pytest.fail, progress=pytest.fail), 16)
    assert again.fingerprint == data.fingerprint


def test_photographs_of_people_are_classes_although_scores_lie_beside(tmp_path: Path) -> None:
    folder = tmp_path / "lfw"
    for person, count in (("Ada_Lovelace", 21), ("Bo_Li", 20), ("Cy_Young", 2)):
        (folder / "lfw-deepfunneled" / person).mkdir(parents=True)
        for number in range(1, count + 1):
            path = folder / "lfw-deepfunneled" / person / f"{person}_{number:04d}.jpg"
            Image.new("RGB", (20, 20), (number * 9, 80, 90)).save(path)
    (folder / "lfw_attr_test.csv").write_text("person,imagenum,Male\nAda Lovelace,1,-1.5\nBo Li,1,0.5\n")
    data = class_data(request(tmp_path / "out", data=folder), 16)
    assert data.schema.attribute("class").values == ("Ada_Lovelace", "Bo_Li")
    assert len(data) == 41
