"""How near an image is to another: PSNR and SSIM, over images in [-1, 1] seen as [0, 1]."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from attrimorph.errors import AttrimorphError


def _unit(images: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1] in float64; what lies outside is clipped, as a screen would."""
    return (images.detach().double() + 1).div(2).clamp(0, 1)


def _same_shape(images: Tensor, others: Tensor) -> None:
    if images.shape != others.shape or images.dim() != 4:
        raise AttrimorphError(
            "two batches must have the same shape [B, C, H, W]; "
            f"got {tuple(images.shape)} and {tuple(others.shape)}; resize one of them"
        )


def psnr(images: Tensor, others: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal to noise ratio of each image: 10 log10(1 / mean squared difference), data range 1.

    Args:
        images, others: [B, C, H, W] in [-1, 1].
        mask: [B, 1, H, W], weights of the pixels; default all equal.

    Returns:
        float64 [B] in dB, at most 100 (equal images); NaN where the mask is empty. The figure of a set is the mean
        over its images.
    """
    _same_shape(images, others)
    squares = (_unit(images) - _unit(others)).square().mean(1, keepdim=True)
    weights = torch.ones_like(squares) if mask is None else mask.double()
    error = (squares * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))
    return -10 * error.clamp(min=1e-10).log10()


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Structural similarity of each image (Wang, Bovik, Sheikh, Simoncelli 2004), mean over channels and pixels.

    Gaussian window of 11 pixels, sigma 1.5, population covariances, K1 = 0.01, K2 = 0.03, data range 1;
    windows that do not lie wholly inside are left out.

    Args:
        images, others: [B, C, H, W] in [-1, 1], at least 11 pixels each way.

    Returns:
        float64 [B] in -1..1.
    """
    _same_shape(images, others)
    if min(images.shape[-2:]) < 11:
        raise AttrimorphError(f"SSIM needs images of at least 11 pixels; got {tuple(images.shape[-2:])}; use PSNR")
    line = torch.arange(11, dtype=torch.float64, device=images.device) - 5
    line = (-line.square() / (2 * 1.5**2)).exp()
    line /= line.sum()
    channels = images.shape[1]

    def blurred(x: Tensor) -> Tensor:
        x = conv2d(x, line.view(1, 1, 11, 1).expand(channels, 1, 11, 1), groups=channels)
        return conv2d(x, line.view(1, 1, 1, 11).expand(channels, 1, 1, 11), groups=channels)

    a, b = _unit(images), _unit(others)
    mean_a, mean_b = blurred(a), blurred(b)
    variance_a = blurred(a * a) - mean_a.square()
    variance_b = blurred(b * b) - mean_b.square()
    covariance = blurred(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a.square() + mean_b.square() + c1) * (variance_a + variance_b + c2)
    return similarity.mean((1, 2, 3))
