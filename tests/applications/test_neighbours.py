"""Copies are called copies, smooth pictures are not, and the figures follow their definitions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch.nn.functional import avg_pool2d, interpolate

from attrimorph.applications.neighbours import (
    COPIES,
    NONE,
    SMOOTH,
    compared,
    neighbours,
    rank_probability,
)
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model
from attrimorph.requests.on_data import Neighbours
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    written = write_faces(tmp_path_factory.mktemp("data") / "faces", count=400, size=16)
    # Two halves of one distribution: what was trained on, and what was not.
    return replace(written, split=np.array(["train", "valid"] * 200))


def draw(kind: str, data: PreparedData) -> torch.Tensor:
    """Copies of training images, smooth pictures of people that nobody knows, or honest samples."""
    train = data.batch(data.indices("train")[:100])[0]
    other = data.batch(data.indices("valid")[100:])[0]
    if kind == "copies":
        return train + 0.01 * torch.randn(train.shape, generator=torch.Generator().manual_seed(0))
    return interpolate(avg_pool2d(other, 8), scale_factor=8, mode="bilinear") if kind == "smooth" else other


@pytest.mark.parametrize(("kind", "verdict"), [("copies", COPIES), ("smooth", SMOOTH), ("honest", NONE)])
def test_the_verdict(kind: str, verdict: str, data: PreparedData) -> None:
    images = draw(kind, data)
    # What the samples were made from is not among the held-out images.
    split = np.full(len(data), "none", dtype="<U5")
    kept = np.concatenate([data.indices("train"), data.indices("valid")[:100]])
    split[kept] = data.split[kept]
    result = compared(images, replace(data, split=split))
    assert result.verdict == verdict, result.spaces[0]
    if kind == "copies":
        assert result.spaces[0].samples.rows[:, 0].tolist() == list(range(100))


@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_probability_is_that_of_mann_and_whitney(ties: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(37, generator=generator), torch.randn(53, generator=generator) + 0.3
    if ties:
        a, b = a.round(), b.round()
    share, error = rank_probability(a, b)
    statistic = mannwhitneyu(b.numpy(), a.numpy()).statistic
    assert share == pytest.approx(statistic / (37 * 53), abs=1e-12)
    assert error == pytest.approx(((37 + 53 + 1) / (12 * 37 * 53)) ** 0.5)


def test_too_few_images_and_other_sizes_are_refused(model: Model, data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="at least 20 samples"):
        neighbours(model, data, 5)
    large = write_faces(tmp_path / "large", count=100, size=32)
    with pytest.raises(AttrimorphError, match="must have the model's 16 px; it has 32"):
        neighbours(model, large, 20)


def test_it_is_written_and_made_again(data: PreparedData, tmp_path: Path) -> None:
    loaded = tiny_model(tmp_path / "run")
    folder = tmp_path / "faces"
    write_faces(folder, count=400, size=16)
    written = Neighbours(model=tmp_path / "run", data=folder, count=20).write(tmp_path / "out.png", loaded)
    lines = written.tables[0].read_text().splitlines()
    assert lines[0] == "space,set,number,distance,nearest"
    assert len(lines) == 1 + 20 + 20
    assert replay(written.receipt).identical
