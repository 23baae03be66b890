"""What generated images are worth: helpful ones help, useless ones do not, on images that nobody trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from attrimorph.data import Attribute, Schema
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.augmentation import Worth, joined, measure_augmentation, measure_identities

SCHEMA = Schema((Attribute("Bright"), Attribute("Red")))


def pictures(bright: torch.Tensor, red: torch.Tensor, seed: int) -> np.ndarray:
    """Noisy squares: bright or dark, red or blue."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (len(bright), 16, 16, 3))
    images += 100 * bright.numpy().astype(int)[:, None, None, None]
    images[..., 0] += 60 * red.numpy().astype(int)[:, None, None]
    images[..., 2] += 60 * (1 - red.numpy().astype(int))[:, None, None]
    return images.astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """In the train split all red squares are bright and all blue ones dark; held out, every combination stands."""
    train = torch.arange(80) % 2 == 0
    bright = torch.cat([train, torch.tensor([0, 0, 1, 1] * 20).bool()])
    red = torch.cat([train, torch.tensor([0, 1, 0, 1] * 20).bool()])
    out = tmp_path_factory.mktemp("data") / "squares"
    write_prepared(
        out, pictures(bright, red, 0), SCHEMA, torch.stack([bright, red], 1).float(),
        split=["train"] * 80 + ["valid"] * 16 + ["test"] * 64, identity=[int(value) for value in red],
    )  # fmt: skip
    return open_prepared(out)


def test_images_of_the_missing_classes_help_and_the_figures_say_where(data: PreparedData) -> None:
    bright = torch.arange(80) % 2 == 0
    y = torch.stack([bright, ~bright], 1).float()
    found = measure_augmentation(
        data, pictures(bright, ~bright, 1), y, ["Bright", "Red"], seeds=(0, 1), images_seen=768
    )
    names = [worth.name.partition(" (")[0] for worth in found]
    assert names == [
        "accuracy", "accuracy, mean of 4 classes", "accuracy, worst attribute of the worst of 4 classes",
    ]  # fmt: skip
    assert all("80 generated images, 768 images seen" in worth.name for worth in found)
    assert all(len(worth.without) == len(worth.with_them) == 2 for worth in found)
    worst = found[-1]
    assert max(worst.without) < 0.6 < 0.8 < min(worst.with_them)


def test_known_people_are_told_among_themselves_also_beside_new_ones(data: PreparedData) -> None:
    bright = torch.arange(40) % 2 == 0
    images = 255 - pictures(bright, bright, 2)
    (worth,) = measure_identities(data, images, torch.full((40,), 7), seeds=(0,), images_seen=512, least=5)
    assert worth.name.startswith("top-1 accuracy (among 2 people, 64 held-out real images)")
    assert 0 <= min(*worth.without, *worth.with_them) <= 1


def test_joining_touches_the_train_split_only(data: PreparedData) -> None:
    both = joined(data, np.zeros((3, 16, 16, 3), np.uint8), torch.ones(3, 2), torch.tensor([5, 5, -1]))
    assert both.indices("train").tolist() == [*data.indices("train"), 160, 161, 162]
    assert np.array_equal(both.indices("test"), data.indices("test"))
    assert both.identity[-3:].tolist() == [5, 5, -1]
    with pytest.raises(AttrimorphError, match="must be as the data's, 16 px"):
        joined(data, np.zeros((3, 8, 8, 3), np.uint8), torch.ones(3, 2), torch.zeros(3).long())


def test_gain_and_error_are_of_the_differences() -> None:
    worth = Worth("accuracy", (0.5, 0.6, 0.7), (0.6, 0.8, 0.7))
    assert worth.gain == pytest.approx(0.1)
    assert worth.error == pytest.approx(0.1 / 3**0.5)
    assert worth.line() == "0.6000 -> 0.7000 (+0.1000 +- 0.0577)"
    assert Worth("accuracy", (0.5,), (0.6,)).to_json()["standard error"] is None


def test_nothing_held_out_and_no_seeds_are_refused(data: PreparedData, tmp_path: Path) -> None:
    images, y = np.zeros((3, 16, 16, 3), np.uint8), torch.ones(3, 2)
    with pytest.raises(AttrimorphError, match="at least one seed"):
        measure_augmentation(data, images, y, ["Red"], seeds=())
    write_prepared(tmp_path / "all", np.zeros((30, 16, 16, 3), np.uint8), SCHEMA, torch.ones(30, 2))
    with pytest.raises(AttrimorphError, match="held-out images"):
        measure_augmentation(open_prepared(tmp_path / "all"), images, y, ["Red"])
