"""The judge: the shipped ones are as good as they say, and training, calibration and files work."""

from pathlib import Path

import pytest
import torch

from attrimorph.data import faces
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.attributes import attribute_accuracy
from attrimorph.metrics.judge import (
    Judge,
    JudgeRecipe,
    drawn_faces,
    fitted_temperature,
    from_bytes,
    load_judge,
    save_judge,
    train_judge,
    worn,
)


@pytest.fixture(scope="module")
def small() -> Judge:
    return train_judge(JudgeRecipe(32, images=192, presentations=960, batch_size=32, seed=5, unseen=60))


@pytest.mark.parametrize("size", [32, 64])
def test_a_shipped_judge_is_at_least_97_percent_accurate(size: int) -> None:
    judge = load_judge(f"drawn-faces-{size}")
    images, factors = drawn_faces(200, size, seed=4321, correlation=0.5)
    accuracy = attribute_accuracy(judge(from_bytes(images)), faces.attributes(factors), judge.schema)
    assert sum(accuracy.values()) / len(accuracy) > 0.97
    assert min(accuracy.values()) > 0.88
    assert sum(judge.accuracies.values()) / len(judge.accuracies) > 0.97


def test_a_judge_sees_how_much_an_attribute_holds() -> None:
    judge = load_judge("drawn-faces-64")
    factors = faces.sample_factors(60, torch.Generator().manual_seed(8))
    column = faces.SCHEMA.names.index("Pale_Skin")
    degrees = judge.degrees(faces.render(factors, 64))[:, column]
    assert torch.corrcoef(torch.stack([degrees, factors[:, column]]))[0, 1] > 0.9


def test_training_learns_what_is_plain_to_see(small: Judge) -> None:
    labels = torch.tensor([small.accuracies[name] for name in faces.SCHEMA.names])
    assert small.accuracies["Pale_Skin"] > 0.85
    assert labels.mean() > 0.7
    assert set(small.accuracies) == set(faces.SCHEMA.names)


def test_a_saved_judge_judges_the_same(small: Judge, tmp_path: Path) -> None:
    save_judge(small, tmp_path / "judge.safetensors")
    again = load_judge(tmp_path / "judge.safetensors")
    images = from_bytes(drawn_faces(8, 32, seed=1)[0])
    torch.testing.assert_close(again(images), small(images), rtol=0, atol=0.01)
    torch.testing.assert_close(again.degrees(images), small.degrees(images), rtol=0, atol=0.01)
    assert (again.name, again.accuracies, again.temperature) == (small.name, small.accuracies, small.temperature)
    assert again.recipe == small.recipe
    assert (tmp_path / "judge.safetensors").stat().st_size < 2_000_000


def test_other_sizes_and_damaged_files_get_a_sentence(small: Judge, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match=r"takes images \[B, 3, 32, 32\]"):
        small(torch.zeros(1, 3, 64, 64))
    with pytest.raises(AttrimorphError, match="there is no judge 'faces-7'"):
        load_judge("faces-7")
    save_judge(small, tmp_path / "judge.safetensors")
    whole = (tmp_path / "judge.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AttrimorphError, match="is damaged"):
        load_judge(tmp_path / "cut.safetensors")
    with pytest.raises(AttrimorphError, match="image_size must be 32, 64 or 128; got 48"):
        train_judge(JudgeRecipe(48))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 2, generator=generator)
    labels = (torch.rand(20_000, 2, generator=generator) < logits.sigmoid()).float()
    assert fitted_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.06)


def test_one_half_of_a_batch_is_worn_and_the_other_is_not() -> None:
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = worn(images, torch.Generator().manual_seed(1))
    assert torch.equal(result[4:], images[4:])
    assert (result[:4] - images[:4]).abs().mean((1, 2, 3)).min() > 0.01
    assert result.abs().max() <= 1
    assert torch.equal(result, worn(images, torch.Generator().manual_seed(1)))
