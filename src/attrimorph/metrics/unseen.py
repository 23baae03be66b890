"""What a model is measured on: fresh drawn faces, or the held-out images of a data set."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.data import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError

SEED = 990_001  # set aside for evaluation: nothing trains on faces of this seed


@dataclass(frozen=True)
class Unseen:
    """Images that nobody trained on.

    Attributes:
        images: [N, 3, S, S] in [-1, 1].
        labels: [N, width]; NaN = missing.
        factors: [N, F] of drawn faces, else None.
        words: how they stand in the names of figures.
    """

    images: Tensor
    labels: Tensor
    factors: Tensor | None
    words: str


def drawn_images(count: int, size: int, seed: int = SEED, *, correlation: float = 0.5) -> Unseen:
    """Draw faces."""
    chunks = list(faces.draw(count, size, seed, correlation=correlation))
    pixels = torch.cat([chunk.images for chunk in chunks]).permute(0, 3, 1, 2)
    factors = torch.cat([chunk.factors for chunk in chunks])
    words = f"{count} unseen drawn faces, {size} px, seed {seed}, correlation {correlation:g}"
    return Unseen(pixels.float() / 127.5 - 1, faces.attributes(factors), factors, words)


def held_out_images(data: PreparedData, count: int) -> Unseen:
    """Take the first `count` test images (validation images where there is no test split).

    Raises:
        AttrimorphError: the data has neither.
    """
    split = next((name for name in ("test", "valid") if len(data.indices(name))), None)
    if split is None:
        raise AttrimorphError(
            "the data must have a test or valid split to evaluate on; it has none; prepare it with one"
        )
    rows = data.indices(split)[:count]
    pixels = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2)
    factors = None
    if data.factors is not None and tuple(data.factor_names) == faces.FACTOR_NAMES:
        factors = torch.from_numpy(data.factors[rows])
    words = f"{len(rows)} held-out images ({split}) of data {data.fingerprint[:8]}, {data.image_size} px"
    return Unseen(pixels.float() / 127.5 - 1, data.attributes[torch.from_numpy(rows)], factors, words)
