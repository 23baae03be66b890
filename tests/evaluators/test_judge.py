"""The judge: the shipped ones are as good as they say, and training, calibration and files work."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import attribute_accuracy, calibration_errors, fitted_temperature
from attrimorph.evaluators.drawn import KNOTS, DrawnJudgeRecipe, drawn_faces, labels_of, train_drawn_judge
from attrimorph.evaluators.evaluator import from_bytes, photographs, worn
from attrimorph.evaluators.judge import Judge, JudgeNetwork, attribute_loss, load_judge
from attrimorph.evaluators.training import JudgeRecipe, described, three_splits, train_judge
from attrimorph.models.model import answers

MIXED = Schema(
    (Attribute("Red"), Attribute("place", "categorical", ("left", "middle", "right")), Attribute("size", "real"))
)
QUICK = JudgeRecipe(images_seen=1_920, batch_size=32, seed=5)


@pytest.fixture(scope="module")
def small() -> Judge:
    return train_drawn_judge(
        DrawnJudgeRecipe(1_600, batch_size=32, seed=5, image_size=32, images=256, unseen=60, scaled=40)
    )


def squares(count: int = 400, size: int = 16) -> PreparedData:
    """A bright square, red or not, in one of three places, of one of many sizes; some labels are missing."""
    generator = np.random.default_rng(0)
    red, place = generator.integers(0, 2, count), generator.integers(0, 3, count)
    side = generator.integers(2, 6, count)
    images = generator.integers(0, 40, (count, size, size, 3)).astype(np.uint8)
    for row in range(count):
        left = (1, 6, 11)[place[row]]
        images[row, 4 : 4 + side[row], left : left + side[row]] = (230, 30, 30) if red[row] else (30, 230, 230)
    y = np.concatenate([red[:, None], np.eye(3)[place], (side[:, None] - 3.5) / 1.2], 1).astype(np.float32)
    y[::7, 0] = y[1::7, 4] = math.nan
    y[2::7, 1:4] = math.nan
    split = np.array(["train"] * (count - 120) + ["valid"] * 60 + ["test"] * 60)
    return PreparedData(
        images, torch.from_numpy(y), torch.full((count,), -1), split, [str(row) for row in range(count)], MIXED,
        fingerprint="0123456789abcdef",
    )  # fmt: skip


@pytest.fixture(scope="module")
def of_squares() -> Judge:
    return train_judge(squares(), QUICK, name="squares")


@pytest.mark.parametrize("size", [32, 64])
def test_a_shipped_judge_is_at_least_97_percent_accurate_and_calibrated(size: int) -> None:
    judge = load_judge(f"drawn-faces-{size}")
    images, factors = drawn_faces(200, size, seed=4321, correlation=0.5)
    truth, said = faces.attributes(factors), judge(from_bytes(images))
    accuracy = attribute_accuracy(said, truth, judge.schema)
    assert sum(accuracy.values()) / len(accuracy) > 0.97
    assert min(accuracy.values()) > 0.88
    assert sum(judge.accuracies.values()) / len(judge.accuracies) > 0.97
    errors = calibration_errors(said, truth, judge.schema)
    assert sum(errors.values()) / len(errors) < 0.02


def test_a_judge_sees_how_much_an_attribute_holds() -> None:
    judge = load_judge("drawn-faces-64")
    factors = faces.sample_factors(60, torch.Generator().manual_seed(8))
    column = faces.SCHEMA.names.index("Pale_Skin")
    degrees = judge.degrees(faces.render(factors, 64))[:, column]
    assert torch.corrcoef(torch.stack([degrees, factors[:, column]]))[0, 1] > 0.9


def test_features_are_what_the_last_layer_reads() -> None:
    judge = load_judge("drawn-faces-32")
    images = faces.render(faces.sample_factors(5, torch.Generator().manual_seed(8)), 32)
    features, maps = judge.features(images), judge.maps(images)
    logits = judge.network.last(features)[:, : judge.schema.width].detach()
    torch.testing.assert_close((logits / judge.temperature).sigmoid(), judge(images))
    torch.testing.assert_close(maps[-1].flatten(1), features)
    assert [tuple(part.shape[2:]) for part in maps] == [(32, 32), (16, 16), (16, 16), (8, 8), (8, 8), (4, 4)]


def test_training_on_drawn_faces_learns_what_is_plain_to_see(small: Judge) -> None:
    labels = torch.tensor([small.accuracies[name] for name in faces.SCHEMA.names])
    assert small.accuracies["Pale_Skin"] > 0.85
    assert labels.mean() > 0.7
    assert set(small.accuracies) == set(small.calibration) == set(faces.SCHEMA.names)


def test_training_on_data_learns_attributes_of_every_kind(of_squares: Judge) -> None:
    data = squares()
    rows = data.indices("test")
    images, truth = data.batch(rows)
    said = of_squares(images)
    assert of_squares.accuracies["Red"] > 0.95
    assert of_squares.accuracies["place"] > 0.9
    assert of_squares.accuracies == attribute_accuracy(said, truth, MIXED)
    torch.testing.assert_close(said[:, 1:4].sum(1), torch.ones(60))
    known = ~truth[:, 4].isnan()
    assert torch.corrcoef(torch.stack([said[known, 4], truth[known, 4]]))[0, 1] > 0.8
    assert of_squares.name == "judge squares"
    assert of_squares.trained_on == {
        "fingerprint": "0123456789abcdef",
        "train": {"split": "train", "images": 280},
        "choose": {"split": "valid", "images": 60},
        "measure": {"split": "test", "images": 60},
    }


def test_the_same_seed_gives_the_same_judge() -> None:
    data, recipe = squares(), replace(QUICK, images_seen=96)
    images = data.batch(np.arange(4))[0]
    first, again = (train_judge(data, recipe, name="twice")(images) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, train_judge(data, replace(recipe, seed=6), name="other")(images))


def test_without_valid_and_test_a_tenth_is_left_out() -> None:
    data = squares()
    numbers = torch.arange(len(data)).float()[:, None].expand_as(data.attributes)
    alone = replace(data, split=np.array(["train"] * len(data)), attributes=numbers)
    parts = three_splits(alone, seed=1)
    train, valid, test = (part.labels[:, 0].tolist() for part in parts)
    assert len(train) == 360
    assert len(valid) == 40
    assert not set(train) & set(valid)
    assert valid == test
    assert described(parts)["measure"] == {"split": "train, left out of the training", "images": 40}


def test_missing_labels_teach_nothing() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = squares().attributes[:6].clone()
    loss = attribute_loss(logits, labels, MIXED)
    (slope,) = torch.autograd.grad(loss, logits)
    assert torch.equal(slope == 0, labels.isnan())
    empty = attribute_loss(logits, torch.full_like(labels, math.nan), MIXED)
    assert float(empty) == 0


def test_the_loss_is_a_mean_over_attributes() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0, 2.0]])
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0, 1.0]])
    assert float(attribute_loss(logits, labels, MIXED)) == pytest.approx((math.log(2) + math.log(3) + 1) / 3)


def test_answers_are_probabilities_and_values() -> None:
    said = answers(torch.tensor([[2.0, 0.0, 2.0, 0.0, -3.0]]), MIXED, temperature=2.0)[0]
    e = math.e
    assert said.tolist() == pytest.approx([e / (e + 1), 1 / (e + 2), e / (e + 2), 1 / (e + 2), -3.0], abs=1e-6)


@pytest.mark.parametrize("kind", ["drawn", "data"])
def test_a_saved_judge_judges_the_same(small: Judge, of_squares: Judge, tmp_path: Path, kind: str) -> None:
    judge = small if kind == "drawn" else of_squares
    judge.save(tmp_path / "judge.safetensors")
    again = load_judge(tmp_path / "judge.safetensors")
    images = from_bytes(drawn_faces(8, judge.image_size, seed=1)[0])
    torch.testing.assert_close(again(images), judge(images), rtol=0, atol=0.02)
    if kind == "drawn":
        torch.testing.assert_close(again.degrees(images), small.degrees(images), rtol=0, atol=0.01)
    assert replace(again, network=judge.network) == judge
    assert (tmp_path / "judge.safetensors").stat().st_size < 2_000_000
    with safe_open(tmp_path / "judge.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["attrimorph"])["trained_on"] == judge.trained_on


def test_other_sizes_and_damaged_files_get_a_sentence(small: Judge, of_squares: Judge, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match=r"takes images \[B, 3, 32, 32\]"):
        small(torch.zeros(1, 3, 64, 64))
    with pytest.raises(AttrimorphError, match="there is no judge 'faces-7'"):
        load_judge("faces-7")
    small.save(tmp_path / "judge.safetensors")
    whole = (tmp_path / "judge.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AttrimorphError, match="is damaged"):
        load_judge(tmp_path / "cut.safetensors")
    with pytest.raises(AttrimorphError, match=r"power of two in 16\.\.1024; got 48"):
        train_drawn_judge(DrawnJudgeRecipe(image_size=48))
    with pytest.raises(AttrimorphError, match="must have learned degrees"):
        of_squares.degrees(torch.zeros(1, 3, 16, 16))


def test_data_that_teach_nothing_get_a_sentence() -> None:
    data = squares()
    few = replace(data, split=np.array(["train"] * 10 + ["test"] * (len(data) - 10)))
    with pytest.raises(AttrimorphError, match="at least 20 images to learn from"):
        train_judge(few, QUICK)
    blank = data.attributes.clone()
    blank[:, 0] = math.nan
    with pytest.raises(AttrimorphError, match="'Red' has none"):
        train_judge(replace(data, attributes=blank), QUICK)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_every_size_is_shrunk_to_few_features(size: int) -> None:
    network = JudgeNetwork(size, 3).eval()
    assert network(torch.zeros(1, 3, size, size))[0].shape == (1, 3)
    assert network.trunk.features == (512 if size == 16 else 2048)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 2, generator=generator)
    labels = (torch.rand(20_000, 2, generator=generator) < logits.sigmoid()).float()
    labels[::5, 0] = math.nan
    schema = Schema((Attribute("A"), Attribute("B")))
    found = fitted_temperature(lambda one: attribute_loss(factor * logits, labels, schema, one))
    assert found == pytest.approx(factor, rel=0.06)


def test_photographs_are_flipped_but_where_sides_have_names() -> None:
    assert photographs(faces.SCHEMA).flip == 0.5
    assert photographs(Schema((Attribute("Left_Eye_Closed"),))).flip == 0


def test_one_half_of_a_batch_is_worn_and_the_other_is_not() -> None:
    images: Tensor = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = worn(images, torch.Generator().manual_seed(1))
    assert torch.equal(result[4:], images[4:])
    assert (result[:4] - images[:4]).abs().mean((1, 2, 3)).min() > 0.01
    assert result.abs().max() <= 1
    assert torch.equal(result, worn(images, torch.Generator().manual_seed(1)))


def test_degrees_are_read_off_measured_scales(small: Judge, tmp_path: Path) -> None:
    assert set(small.scales) == set(faces.SCHEMA.names)
    for at, degree in small.scales.values():
        assert len(at) == len(degree) == KNOTS
        assert at == sorted(at)
        assert degree == sorted(degree)
        assert 0 <= degree[0] <= degree[-1] <= 1
    images = faces.render(faces.sample_factors(6, torch.Generator().manual_seed(2)), 32)
    plain = replace(small, scales={}).degrees(images)
    column = faces.SCHEMA.names.index("Smiling")
    scaled = replace(small, scales={"Smiling": ([0.0, 0.5, 1.0], [0.2, 0.3, 0.9])}).degrees(images)
    by_hand = torch.where(plain < 0.5, 0.2 + 0.2 * plain, 0.3 + 1.2 * (plain - 0.5))
    torch.testing.assert_close(scaled[:, column], by_hand[:, column], rtol=0, atol=1e-6)
    others = [place for place in range(plain.shape[1]) if place != column]
    assert torch.equal(scaled[:, others], plain[:, others])
    small.save(tmp_path / "judge.safetensors")
    assert load_judge(tmp_path / "judge.safetensors").scales == small.scales


def test_dialled_faces_lie_between_and_have_no_label_there() -> None:
    images, factors = drawn_faces(40, 16, 3, dialled=0.5)
    assert images.shape == (40, 3, 16, 16)
    between = (faces.degrees(factors) - 0.5).abs() < 0.2
    assert bool(between[:20].any())
    assert not bool(between[20:].any())
    assert torch.equal(labels_of(factors).isnan(), between)
