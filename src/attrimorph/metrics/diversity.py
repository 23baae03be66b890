"""Diversity within a class: how different two images of one class are."""

from collections.abc import Callable

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError

PAIRS = 28  # of a class: all pairs of eight images
BATCH = 256


def pairs_within(classes: Tensor, most: int = PAIRS, *, seed: int = 0) -> list[Tensor]:
    """Return pairs of different rows of one class, for each class with at least two rows.

    Args:
        classes: integers [N].
        most: pairs of a class; all of them where there are no more, otherwise so many drawn at random.
        seed: of the draw.

    Returns:
        One tensor [n, 2] of rows for each class, ascending by class.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for value in torch.unique(classes):
        rows = (classes == value).nonzero()[:, 0]
        pairs = torch.combinations(torch.arange(len(rows)), 2)
        if len(pairs) > most:
            pairs = pairs[torch.randperm(len(pairs), generator=generator)[:most]]
        if len(pairs):
            found.append(rows[pairs])
    return found


def diversity(
    images: Tensor,
    classes: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    *,
    most: int = PAIRS,
    seed: int = 0,
) -> float:
    """Return the mean distance of two images of one class; every class counts the same.

    With a perceptual distance more is more diverse; with MS-SSIM (Odena, Olah, Shlens 2017) less is.

    Args:
        images: [N, 3, S, S] in [-1, 1], or what stands for them, [N, ...].
        classes: integers [N]; classes with one image are left out.
        distance: two batches -> [B].
        most: pairs of a class.
        seed: of the draw of pairs.

    Raises:
        AttrimorphError: no class has two images.
    """
    pairs = pairs_within(classes, most, seed=seed)
    if not pairs:
        raise AttrimorphError("diversity needs a class with at least 2 images; every class has one; sample more")
    joined = torch.cat(pairs)
    values = torch.cat([distance(images[a], images[b]).double() for a, b in _columns(joined)])
    means = [part.mean() for part in torch.split(values, [len(part) for part in pairs])]
    return float(torch.stack(means).mean())


def _columns(pairs: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part[:, 0], part[:, 1]) for part in torch.split(pairs, BATCH)]
