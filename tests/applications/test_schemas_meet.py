"""Names decide: where a model, a judge and data meet, attributes are matched by name, kind and values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from attrimorph.applications.calibrate import fitting, from_data
from attrimorph.applications.edit import lockable
from attrimorph.applications.gallery import gallery_of, labelled_data
from attrimorph.applications.neighbours import retrieve
from attrimorph.data import Attribute, Schema
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import attribute_accuracy
from attrimorph.evaluators.judge import OwnClassifier, in_schema, judge_for, load_judge
from attrimorph.metrics.evaluate import evaluate
from tests.tiny_models import tiny_model

SCHEMA = Schema(
    (
        Attribute("hat"),
        Attribute("coat", "categorical", ("red", "green", "blue")),
        Attribute("age", "real", mean=40.0, scale=10.0),
        Attribute("smile"),
    )
)
TURNED = Schema(
    (
        Attribute("smile"),
        Attribute("age", "real", mean=30.0, scale=5.0),
        Attribute("coat", "categorical", ("blue", "red", "green")),
        Attribute("hat"),
    )
)
OTHERS = {
    "a value": replace(SCHEMA.attributes[1], values=("red", "green", "black")),
    "a kind": replace(SCHEMA.attributes[0], kind="real"),
    "a name": replace(SCHEMA.attributes[3], name="grin"),
}


def data_of(schema: Schema, y: Tensor, size: int = 16) -> PreparedData:
    pixels = np.random.default_rng(0).integers(0, 256, (len(y), size, size, 3), dtype=np.uint8)
    split = np.array(["train", "valid", "test"] * len(y))[: len(y)]
    names = [f"{row}.png" for row in range(len(y))]
    return PreparedData(pixels, y, torch.zeros(len(y), dtype=torch.int64), split, names, schema, fingerprint="0" * 16)


def labels(count: int = 12) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    coat = torch.nn.functional.one_hot(torch.randint(3, (count,), generator=draw), 3).float()
    hat, age, smile = (torch.randint(2, (count, 1), generator=draw).float() for _ in range(3))
    y = torch.cat([hat, coat, age, smile], 1)
    y[0, 0] = y[1, 4] = torch.nan
    y[2, 1:4] = torch.nan
    return y


def test_columns_come_by_name_and_value() -> None:
    y = labels()
    turned = TURNED.columns_of(y, SCHEMA)
    torch.testing.assert_close(SCHEMA.columns_of(turned, TURNED), y, equal_nan=True)
    for row, other in zip(y, turned, strict=True):
        one, two = SCHEMA.describe(row), TURNED.describe(other)
        assert {key: pytest.approx(value, nan_ok=True) for key, value in one.items()} == two


@pytest.mark.parametrize("what", OTHERS)
def test_others_are_refused_with_both_lists(what: str, tmp_path: Path) -> None:
    other = OTHERS[what]
    schema = Schema(tuple(other if each.name in (other.name, "smile"[: 5 * (what == "a name")]) else each
                          for each in SCHEMA.attributes))  # fmt: skip
    model, data = tiny_model(tmp_path, schema=SCHEMA), data_of(schema, torch.zeros(6, schema.width))
    for meeting in (
        lambda: evaluate(model, data),
        lambda: fitting(model, data),
        lambda: from_data(model, data, 2),
        lambda: in_schema(OwnClassifier(model), schema, "the data"),
        lambda: evaluate(model, data_of(SCHEMA, labels()), OwnClassifier(tiny_model(tmp_path / "b", schema=schema))),
    ):
        with pytest.raises(AttrimorphError, match=r"must have the attributes of .*, by name, kind") as refused:
            meeting()
        gone = next(each for each in SCHEMA.attributes if each not in schema.attributes)
        assert other.describe() in str(refused.value)
        assert gone.describe() in str(refused.value)


def test_where_columns_are_taken_as_they_stand_another_order_is_refused_with_both_lists() -> None:
    SCHEMA.check_same(replace(SCHEMA), "the images", "it", ordered=True)
    SCHEMA.check_same(TURNED, "the images", "it")
    with pytest.raises(AttrimorphError, match=r"values and order; the images has hat, coat.*; it has smile, age"):
        SCHEMA.check_same(TURNED, "the images", "it", ordered=True)


def test_data_in_another_order_are_measured_alike(tmp_path: Path) -> None:
    model, y = tiny_model(tmp_path, schema=SCHEMA), labels()
    data, turned = data_of(SCHEMA, y), data_of(TURNED, TURNED.columns_of(y, SCHEMA))
    for one, other in ((data, turned.with_schema(SCHEMA, "the model")), (fitting(model, data), fitting(model, turned))):
        torch.testing.assert_close(one.attributes, other.attributes, equal_nan=True)
        assert one.schema == other.schema
    figures = [evaluate(model, each, OwnClassifier(model), metrics=["edits", "reconstruction"]).figures
               for each in (data, turned)]  # fmt: skip
    assert figures[0]
    assert figures[0] == pytest.approx(figures[1], nan_ok=True)


def test_augment_takes_data_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, y = tiny_model(tmp_path, schema=SCHEMA), labels()
    turned = data_of(TURNED, TURNED.columns_of(y, SCHEMA))
    monkeypatch.setattr("attrimorph.applications.gallery.open_data", lambda *_, **__: turned)
    torch.testing.assert_close(labelled_data(model, tmp_path).attributes, y, equal_nan=True)


def test_a_judge_answers_in_the_order_of_whoever_asks() -> None:
    judge = load_judge("drawn-faces-64")
    order = torch.randperm(len(judge.schema.attributes), generator=torch.Generator().manual_seed(3)).tolist()
    schema = Schema(tuple(judge.schema.attributes[place] for place in order))
    turned, images = in_schema(judge, schema, "the model"), torch.rand(5, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(turned(images), judge(images)[:, order], rtol=0, atol=1e-5)
    torch.testing.assert_close(turned.degrees(images), judge.degrees(images)[:, order], rtol=0, atol=1e-5)
    truth = (judge(images) > 0.5).float()
    assert set(attribute_accuracy(turned(images), truth[:, order], schema).values()) == {1.0}
    assert judge_for(schema, 64) is not None
    kinds = Schema((replace(schema.attributes[0], kind="real"), *schema.attributes[1:]))
    assert judge_for(kinds, 64) is None
    assert len(lockable(schema, kinds)) == len(schema.attributes) - 1


def test_the_same_of_what_the_model_does_not_tell_is_refused(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, schema=SCHEMA)
    schema = Schema((OTHERS["a value"], Attribute("hat"), Attribute("cat")))
    gallery = gallery_of(data_of(schema, torch.zeros(6, schema.width)))
    image = torch.zeros(1, 3, 16, 16)
    for name in ("coat", "cat"):
        with pytest.raises(AttrimorphError, match=f"the same {name} must be an attribute of the model"):
            retrieve(model, image, gallery, count=1, same=(name,))
