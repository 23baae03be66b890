"""What a model is measured on: fresh drawn faces, or the held-out images of a data set."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError

SEED = 990_001  # set aside for evaluation: nothing trains on faces of this seed


@dataclass(frozen=True)
class EvaluationSet:
    """Images that nobody trained on.

    Attributes:
        images: [N, 3, S, S] in [-1, 1].
        labels: [N, width]; NaN = missing.
        factors: [N, F] of drawn faces, else None.
        words: how they stand in the names of figures.
        masks: [N, 1, S, S] in 0..1, 1 = person, or None where nobody knows.
        reconstructions: the images as a model makes them without an edit, [N, 3, S, S], or None.
    """

    images: Tensor
    labels: Tensor
    factors: Tensor | None
    words: str
    masks: Tensor | None = None
    reconstructions: Tensor | None = None

    def first(self, count: int) -> "EvaluationSet":
        """Return the first `count` of them, and say so in the words; all of them where there are no more."""
        return self._some(slice(count), f"the first {count}") if count < len(self.images) else self

    def last(self, count: int) -> "EvaluationSet":
        """Return the last `count` of them, as `first` does."""
        return self._some(slice(-count, None), f"the last {count}") if count < len(self.images) else self

    def _some(self, rows: slice, words: str) -> "EvaluationSet":
        tensors = {name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, words=f"{words} of {self.words}", **tensors)


def drawn_images(
    count: int, size: int, seed: int = SEED, *, correlation: float = 0.5, tied: bool = False
) -> EvaluationSet:
    """Draw faces, or tied faces, which have a correlation of their own."""
    if tied:
        chunks = list(faces.draw_these(faces.tied_factors(count, torch.Generator().manual_seed(seed)), size))
    else:
        chunks = list(faces.draw(count, size, seed, correlation=correlation))
    pixels = torch.cat([chunk.images for chunk in chunks]).permute(0, 3, 1, 2)
    factors = torch.cat([chunk.factors for chunk in chunks])
    masks = torch.cat([chunk.masks for chunk in chunks])[:, None].float() / 255
    dialled = "beard-Male 0.8, grey-age 0.6" if tied else f"correlation {correlation:g}"
    words = f"{count} unseen drawn faces, {size} px, seed {seed}, {dialled}"
    return EvaluationSet(pixels.float() / 127.5 - 1, faces.attributes(factors), factors, words, masks)


def held_out_images(data: PreparedData, count: int) -> EvaluationSet:
    """Take the first `count` test images (validation images where there is no test split).

    Raises:
        AttrimorphError: the data has neither.
    """
    split = next((name for name in ("test", "valid") if len(data.indices(name))), None)
    if split is None:
        raise AttrimorphError(
            "the data must have a test or valid split to evaluate on; it has none; prepare it with one"
        )
    return _images_of(data, split, count, "held-out")


def calibration_images(data: PreparedData, count: int) -> EvaluationSet:
    """Take the first `count` validation images (training images where there are none): never those of the evaluation.

    Raises:
        AttrimorphError: the data has neither.
    """
    # Without a test split the validation images are what the evaluation takes.
    split = "valid" if len(data.indices("valid")) and len(data.indices("test")) else "train"
    if not len(data.indices(split)):
        raise AttrimorphError(
            "the data must have other images than those of the evaluation to calibrate on; it has none; "
            "prepare it with a train split"
        )
    return _images_of(data, split, count, "calibration")


def _images_of(data: PreparedData, split: str, count: int, kind: str) -> EvaluationSet:
    rows = data.indices(split)[:count]
    pixels = torch.from_numpy(data.read(rows)[0]).permute(0, 3, 1, 2)
    factors = None
    if data.factors is not None and tuple(data.factor_names) == faces.FACTOR_NAMES:
        factors = torch.from_numpy(data.factors[rows])
    masks = None if data.masks is None else torch.from_numpy(data.masks[rows])[:, None].float() / 255
    words = f"{len(rows)} {kind} images ({split}) of data {data.fingerprint[:8]}, {data.image_size} px"
    return EvaluationSet(pixels.float() / 127.5 - 1, data.attributes[torch.from_numpy(rows)], factors, words, masks)
