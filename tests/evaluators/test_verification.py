"""Verification against loops, scikit-learn, and pairs in LFW's layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.identity_encoder import (
    best_threshold,
    even_folds,
    lfw_folds,
    true_accepts,
    verification,
    verify_lfw,
)


def pairs(count: int = 200, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    same = torch.rand(count, generator=generator) < 0.4
    values = torch.randn(count, generator=generator, dtype=torch.float64) + same * 1.2
    return (values.mul(4).round() if ties else values), same


@pytest.mark.parametrize("ties", [False, True])
def test_the_threshold_is_the_best_there_is(ties: bool) -> None:
    values, same = pairs(ties=ties)
    threshold = best_threshold(values, same)
    tried = [values.min() - 1, *(values + 1e-9), *(values - 1e-9)]
    best = max(int(((values >= each) == same).sum()) for each in tried)
    assert int(((values >= threshold) == same).sum()) == best


@pytest.mark.parametrize("ties", [False, True])
def test_area_and_true_accepts_are_scikit_learns(ties: bool) -> None:
    values, same = pairs(ties=ties)
    found = verification(values, same)
    assert found.area == pytest.approx(roc_auc_score(same, values), rel=1e-12)
    false, true, _ = roc_curve(same, values, drop_intermediate=False)
    for rate in (0.01, 0.1, 0.5, 1.0):
        assert true_accepts(values, same, rate) == pytest.approx(true[false <= rate + 1e-12].max(), rel=1e-12)
    assert set(found.accepted) == {0.01, 0.1}


def test_the_threshold_of_a_fold_does_not_see_the_fold() -> None:
    # In fold 0 the answers are turned round: a threshold chosen there would say nearly all right.
    values = torch.tensor([0.9, 0.8, 0.1, 0.2] * 5)
    same = torch.tensor([True, True, False, False] * 5)
    same[:4] = ~same[:4]
    folds = torch.arange(20) // 4
    found = verification(values, same, folds)
    assert found.accuracy == pytest.approx((0 + 4 * 1) / 5)
    assert found.error == pytest.approx(float(np.std([0, 1, 1, 1, 1], ddof=1)) / 5**0.5)
    assert found.thresholds[0] == pytest.approx(0.5)


def test_perfect_and_blind_similarities() -> None:
    same = torch.arange(100) % 2 == 0
    perfect = verification(same.float(), same)
    assert (perfect.accuracy, perfect.area, perfect.accepted[0.01]) == (1, 1, 1)
    assert verification(torch.zeros(100), same).area == 0.5


def test_folds_are_even() -> None:
    same = pairs()[1]
    folds = even_folds(same, 10)
    for kind in (same, ~same):
        counts = folds[kind].bincount(minlength=10)
        assert counts.max() - counts.min() <= 1


def test_what_cannot_be_verified_is_refused() -> None:
    values, same = pairs(20)
    with pytest.raises(AttrimorphError, match="pairs of one person and of two"):
        verification(values, torch.ones(20, dtype=torch.bool))
    with pytest.raises(AttrimorphError, match="must be finite"):
        verification(values, same[:5])


def lfw_like(folder: Path, first_line: str) -> Path:
    """Three people, each a colour, and two folds of one pair of each kind."""
    for number, person in enumerate(("Ada_A", "Bob_B", "Cy_C")):
        (folder / "lfw" / person).mkdir(parents=True)
        for image in (1, 2):
            pixels = np.full((250, 250, 3), 40 * image, np.uint8)
            pixels[..., number] = 250
            Image.fromarray(pixels).save(folder / "lfw" / person / f"{person}_{image:04d}.jpg")
    lines = [first_line, "Ada_A 1 2", "Ada_A 1 Bob_B 1", "Bob_B 1 2", "Bob_B 2 Cy_C 1"]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_pairs_of_files_with_their_own_folds(tmp_path: Path) -> None:
    folder = lfw_like(tmp_path, "2\t1")
    assert lfw_folds(folder).tolist() == [0, 0, 1, 1]  # type: ignore[union-attr]
    found, words = verify_lfw(lambda images: images.mean((2, 3)) + 1, folder, 16)
    assert found.accuracy == 1
    assert words == "4 LFW pairs, 2 folds of pairs.txt, 16 px"


def test_a_file_without_folds_says_so(tmp_path: Path) -> None:
    assert lfw_folds(lfw_like(tmp_path, "4")) is None
