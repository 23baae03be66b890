"""Verification: do two pictures show one person? Accuracy with folds, true accepts at false accepts, area."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attrimorph.data.images import read_pixels
from attrimorph.data.readers import lfw
from attrimorph.data.readers.raw import read_text
from attrimorph.errors import AttrimorphError

FOLDS = 10
FALSE_ACCEPTS = (0.01, 0.1)  # false accept rates to report true accept rates at
BATCH = 256


@dataclass(frozen=True)
class Verification:
    """What similarities of pairs are worth.

    Attributes:
        accuracy: share of right decisions, mean over the folds, each with the threshold that was best on the others.
        error: standard error of that mean over the folds, as LFW reports it.
        thresholds: of each fold.
        area: under the receiver operating characteristic: the chance that a pair of one person is more alike than
            a pair of two.
        accepted: false accept rate -> true accept rate at most at that false accept rate.
    """

    accuracy: float
    error: float
    thresholds: tuple[float, ...]
    area: float
    accepted: dict[float, float]


def even_folds(same: Tensor, folds: int = FOLDS) -> Tensor:
    """Deal pairs into folds in their order, those of one person and those of two each evenly, [N]."""
    result = torch.empty(len(same), dtype=torch.long)
    for kind in (True, False):
        rows = (same.bool() == kind).nonzero()[:, 0]
        result[rows] = torch.arange(len(rows)) % folds
    return result


def verification(similarities: Tensor, same: Tensor, folds: Tensor | None = None) -> Verification:
    """Measure how well similarities tell pairs of one person from pairs of two.

    LFW's protocol (Huang et al. 2007, view 2): the threshold for a fold is chosen on the other folds only.

    Args:
        similarities: [N], larger = more alike.
        same: [N], whether a pair shows one person.
        folds: [N] integers; ten even folds in the pairs' order when None.
    """
    same = same.bool().cpu()
    values = similarities.double().cpu()
    if values.dim() != 1 or values.shape != same.shape or not bool(values.isfinite().all()):
        raise AttrimorphError(
            "similarities must be finite and [N], with one answer each; "
            f"got {tuple(values.shape)} and {tuple(same.shape)} answers"
        )
    folds = even_folds(same) if folds is None else folds.cpu()
    names = torch.unique(folds).tolist()
    if len(names) < 2 or not bool(same.any()) or bool(same.all()):
        raise AttrimorphError(
            "verification needs pairs of one person and of two, in at least 2 folds; "
            f"got {int(same.sum())} and {int((~same).sum())} pairs in {len(names)} folds; name more pairs"
        )
    thresholds, shares = [], []
    for name in names:
        here = folds == name
        threshold = best_threshold(values[~here], same[~here])
        thresholds.append(threshold)
        shares.append(float(((values[here] >= threshold) == same[here]).double().mean()))
    accuracy = torch.tensor(shares, dtype=torch.float64)
    return Verification(
        accuracy=float(accuracy.mean()),
        error=float(accuracy.std(correction=1)) / len(names) ** 0.5,
        thresholds=tuple(thresholds),
        area=area_under_curve(values, same),
        accepted={rate: true_accepts(values, same, rate) for rate in FALSE_ACCEPTS},
    )


def best_threshold(similarities: Tensor, same: Tensor) -> float:
    """Return the threshold with the most right decisions, "at least the threshold" meaning one person.

    It lies midway between two similarities; among equally good ones it is the highest.
    """
    values, order = similarities.sort(descending=True)
    answers = same[order]
    # Accepting the first n: right are the accepted pairs of one person and the rejected pairs of two.
    right = torch.cat([torch.zeros(1, dtype=torch.long), answers.cumsum(0) - (~answers).cumsum(0)])
    borders = torch.cat([values[:1] + 1, (values[1:] + values[:-1]) / 2, values[-1:] - 1])
    # Between equal similarities there is no threshold.
    right[1:-1] = torch.where(values[1:] == values[:-1], torch.iinfo(torch.long).min, right[1:-1])
    return float(borders[right.argmax()])


def area_under_curve(similarities: Tensor, same: Tensor) -> float:
    """Return the chance that a pair of one person is more alike than one of two, ties counting one half."""
    values, other = similarities[same], similarities[~same].sort().values
    below = torch.searchsorted(other, values, right=False).double()
    up_to = torch.searchsorted(other, values, right=True).double()
    return float((below + up_to).mean() / 2 / len(other))


def true_accepts(similarities: Tensor, same: Tensor, false_accept_rate: float) -> float:
    """Return the largest share of pairs of one person accepted by a threshold with at most that false accept rate."""
    other = similarities[~same].sort(descending=True).values
    allowed = int(false_accept_rate * len(other) + 1e-9)
    if allowed >= len(other):
        return 1.0
    # Everything above the first similarity that must be rejected is accepted.
    return float((similarities[same] > other[allowed]).double().mean())


def lfw_folds(folder: Path) -> Tensor | None:
    """Return the fold of each pair of an LFW folder's pairs.txt, [N], or None where the file has no folds.

    Its first line says "folds pairs": each fold has that many pairs of one person, then as many of two.
    """
    words = read_text(folder / "pairs.txt").splitlines()[0].split()
    count = len(lfw.read_pairs(folder))
    folds, pairs = map(int, words) if len(words) == 2 and all(word.isdigit() for word in words) else (0, 0)
    return torch.arange(count) // (2 * pairs) if folds > 1 and count == 2 * folds * pairs else None


def verify_lfw(features: Callable[[Tensor], Tensor], folder: Path, image_size: int) -> tuple[Verification, str]:
    """Measure an extractor on the pairs of a folder in LFW's layout.

    Args:
        features: images [B, 3, S, S] in [-1, 1] -> [B, F]; pairs are compared by the cosine.
        folder: with pairs.txt.
        image_size: S; images are cropped as `data prepare` does.

    Returns:
        The outcome and its protocol in words.
    """
    pairs = lfw.read_pairs(Path(folder))
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    seen = []
    for start in range(0, len(paths), BATCH):
        pixels = np.stack([read_pixels(path, image_size, lfw.CROP) for path in paths[start : start + BATCH]])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        seen.append(torch.nn.functional.normalize(features(images).double(), dim=1))
    rows, places = torch.cat(seen), {path: row for row, path in enumerate(paths)}
    first = torch.tensor([places[pair.first] for pair in pairs])
    second = torch.tensor([places[pair.second] for pair in pairs])
    folds, same = lfw_folds(Path(folder)), torch.tensor([pair.same for pair in pairs])
    words = f"{FOLDS} even folds" if folds is None else f"{len(torch.unique(folds))} folds"
    found = verification((rows[first] * rows[second]).sum(1), same, folds)
    return found, f"{len(pairs)} LFW pairs, {words} of pairs.txt, {image_size} px"
