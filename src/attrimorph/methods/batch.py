"""What steps of several methods ask of a batch: blind guesses, other labels, and gauges."""

import torch
import torch.distributed as dist
from torch import Tensor


def marginals(labels: Tensor) -> Tensor:
    """Return the known labels' means over the joint batch of all processes, for every row, [B, W]: a blind guess.

    NaN where no image of the batch has the label: such a column is masked like any missing one.
    """
    known = ~torch.isnan(labels)
    sums = torch.stack([torch.where(known, labels, 0).sum(0), known.sum(0).to(labels.dtype)])
    if dist.is_initialized():
        dist.all_reduce(sums)
    return (sums[0] / sums[1]).expand_as(labels)


def flip_some(y: Tensor, chance: Tensor, rivals: Tensor, binary: Tensor) -> Tensor:
    """Return y with one to three binary columns flipped a row; a raised one lowers its rivals.

    Args:
        y: [B, W] without NaN; chance: uniform [B, W], the source of the choice.
        rivals: bool [W, W]; binary: bool [W], the columns that may flip.
    """
    if not bool(binary.any()):
        return y
    score = torch.where(binary, chance, -1.0)
    # The count of flips comes from the same numbers: the largest score's third decimal is as good as a new draw.
    count = (score.amax(1) * 1000).long() % 3
    chosen = score.topk(min(3, int(binary.sum())), dim=1).indices
    before, y = y, y.clone()
    rows = torch.arange(len(y), device=y.device)
    for place in range(chosen.shape[1]):
        column, active = chosen[:, place], count >= place
        value = torch.where(active, (before[rows, column] < 0.5).to(y.dtype), y[rows, column])
        raised = active & (value > 0.5)
        y = torch.where(rivals[column] & raised[:, None], 0.0, y)
        y[rows, column] = value
    return y


def spread(images: Tensor) -> Tensor:
    """The mean over pixels of the standard deviation over the batch (`std` over the first dimension is slow)."""
    return ((images - images.mean(0)).square().sum(0) / max(len(images) - 1, 1)).sqrt().mean()


@torch.no_grad()
def mean_psnr(images: Tensor, pictures: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB, averaged over images in [-1, 1]."""
    error = (images - pictures).square().mean((1, 2, 3)) / 4
    return -10 * torch.log10(error.clamp_min(1e-10)).mean()
