"""How near an image is to another: PSNR, SSIM, MS-SSIM, and the perceptual distance, as a network sees them.

PSNR, SSIM and MS-SSIM see images in [-1, 1] as [0, 1].
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.metrics.extractors import SeesMaps

WINDOW = 11  # pixels
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


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
    if min(images.shape[-2:]) < WINDOW:
        raise AttrimorphError(f"SSIM needs images of at least 11 pixels; got {tuple(images.shape[-2:])}; use PSNR")
    return _similarity(_unit(images), _unit(others))[0]


def ms_ssim_scales(image_size: int) -> int:
    """Return on how many scales, each half as large as the last, the window of 11 pixels fits: at most five."""
    return sum(image_size >> scale >= WINDOW for scale in range(len(SCALE_WEIGHTS)))


def ms_ssim(images: Tensor, others: Tensor) -> Tensor:
    """Multi-scale structural similarity of each image (Wang, Simoncelli, Bovik 2003).

    prod_m contrast_m^w_m times similarity_M^w_M, images halved by averaging from scale to scale, SSIM's window on each.
    The paper's five scales need 176 pixels; smaller images are compared on the scales that fit (64 pixels: three),
    with the first of the paper's weights divided by their sum, so that equal images still give 1. Negative contrast
    and similarity count as 0.

    Args:
        images, others: [B, C, H, W] in [-1, 1], at least 11 pixels each way.

    Returns:
        float64 [B] in 0..1.
    """
    _same_shape(images, others)
    scales = ms_ssim_scales(min(images.shape[-2:]))
    if scales == 0:
        raise AttrimorphError(f"MS-SSIM needs images of at least 11 pixels; got {tuple(images.shape[-2:])}; use PSNR")
    weights = torch.tensor(SCALE_WEIGHTS[:scales], dtype=torch.float64)
    weights /= weights.sum()
    a, b = _unit(images), _unit(others)
    result = torch.ones(len(a), dtype=torch.float64, device=a.device)
    for scale in range(scales):
        similarity, contrast = _similarity(a, b)
        factor = similarity if scale == scales - 1 else contrast
        result = result * factor.clamp(min=0) ** weights[scale]
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
    return result


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM and its factor of contrast and structure, each [B], of images in [0, 1]."""
    down, across = _window(a.shape[-2], a), _window(a.shape[-1], a).T

    def blurred(x: Tensor) -> Tensor:
        return down @ x @ across

    mean_a, mean_b = blurred(a), blurred(b)
    variance_a = blurred(a * a) - mean_a.square()
    variance_b = blurred(b * b) - mean_b.square()
    covariance = blurred(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    contrast = (2 * covariance + c2) / (variance_a + variance_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _window(pixels: int, like: Tensor) -> Tensor:
    """Return the Gaussian window at every place where it fits, as a band matrix [pixels - 10, pixels].

    A product of matrices is about ten times as fast on a CPU as the same filter as a float64 convolution.
    """
    line = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = (-line.square() / (2 * 1.5**2)).exp()
    band = torch.zeros(pixels - WINDOW + 1, pixels, dtype=torch.float64)
    for row in range(len(band)):
        band[row, row : row + WINDOW] = line / line.sum()
    return band.to(like)


BATCH = 128
EPSILON = 1e-10


def perceptual_distance(extractor: "SeesMaps") -> Callable[[Tensor, Tensor], Tensor]:
    """Return the distance d(a, b) of two batches as an extractor sees them.

    Like LPIPS (Zhang et al. 2018, equation 1) with all its weights one, mean over layers instead of their sum: feature
    maps are scaled to unit length along the channels, and d = mean over layers and places of |f(a) - f(b)|^2. It is 0
    for equal images and at most 2 for maps without negative values. It bears the extractor's name.

    Args:
        extractor: whose feature maps.

    Returns:
        A function of images [B, 3, S, S] and [B, 3, S, S] in [-1, 1] -> [B].
    """

    @torch.no_grad()
    def distance(images: Tensor, others: Tensor) -> Tensor:
        parts = zip(torch.split(images, BATCH), torch.split(others, BATCH), strict=True)
        return torch.cat([maps_distance(extractor.maps(a), extractor.maps(b)) for a, b in parts])

    return distance


def perceptual_embedding(extractor: "SeesMaps") -> Callable[[Tensor], Tensor]:
    """Return what turns images into vectors whose squared Euclidean distance is the perceptual distance.

    Where few images are compared in many pairs, the network then looks at each image once.

    Args:
        extractor: whose feature maps.

    Returns:
        A function of images [B, 3, S, S] in [-1, 1] -> [B, D]; D is the number of all values in all maps.
    """

    @torch.no_grad()
    def embedding(images: Tensor) -> Tensor:
        return torch.cat([_joined(extractor.maps(part)) for part in torch.split(images, BATCH)])

    return embedding


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|^2 of vectors [B, D], [B]."""
    return (a - b).square().sum(1)


def _joined(maps: list[Tensor]) -> Tensor:
    scaled = [_unit_length(each) / (len(maps) * each.shape[2] * each.shape[3]) ** 0.5 for each in maps]
    return torch.cat([each.flatten(1) for each in scaled], 1)


def maps_distance(maps: list[Tensor], others: list[Tensor], weights: Tensor | None = None) -> Tensor:
    """Return the distance between two lists of feature maps [B, C, H, W], [B].

    Args:
        maps, others: of two batches.
        weights: [B, 1, S, S] of the places, averaged down to each layer; default all equal. NaN where all are 0.
    """
    layers = []
    for a, b in zip(maps, others, strict=True):
        squares = (_unit_length(a) - _unit_length(b)).square().sum(1, keepdim=True)
        if weights is None:
            layers.append(squares.mean((1, 2, 3)))
        else:
            here = adaptive_avg_pool2d(weights.to(squares), (squares.shape[-2], squares.shape[-1]))
            layers.append((squares * here).sum((1, 2, 3)) / here.sum((1, 2, 3)))
    return torch.stack(layers).mean(0)


def _unit_length(maps: Tensor) -> Tensor:
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + EPSILON)
