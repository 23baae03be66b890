"""PSNR, SSIM and MS-SSIM against hand values, loops and torchmetrics."""

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.similarity import SCALE_WEIGHTS, ms_ssim, ms_ssim_scales, psnr, ssim


def draw(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def test_psnr_by_hand() -> None:
    black, grey = torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), -0.8)
    # In [0, 1] they differ by 0.1 everywhere: 10 log10(1 / 0.01) = 20 dB.
    assert psnr(black, grey).item() == pytest.approx(20.0, abs=1e-6)


def test_psnr_is_per_image_and_bounded() -> None:
    images = torch.cat([draw(0, 1, 3, 4, 4), draw(1, 1, 3, 4, 4)])
    others = torch.cat([images[:1], draw(2, 1, 3, 4, 4)])
    values = psnr(images, others)
    assert values[0].item() == 100
    squares = ((images[1] - others[1]) / 2).square().mean().item()
    assert values[1].item() == pytest.approx(10 * math.log10(1 / squares))


def test_psnr_under_a_mask_sees_only_it() -> None:
    images, others = draw(0, 2, 3, 4, 4), draw(1, 2, 3, 4, 4)
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, :2] = 1
    torch.testing.assert_close(psnr(images, others, mask), psnr(images[:, :, :2], others[:, :, :2]))
    assert psnr(images, others, torch.zeros(2, 1, 4, 4)).isnan().all()


def looped_ssim(a: Tensor, b: Tensor) -> float:
    """The definition, window by window, as scikit-image computes it with gaussian_weights, sigma 1.5, data_range 1."""
    weights = [[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2)) for j in range(11)] for i in range(11)]
    total = sum(map(sum, weights))
    values = []
    for channel in range(a.shape[0]):
        x, y = (a[channel] + 1) / 2, (b[channel] + 1) / 2
        for top in range(x.shape[0] - 10):
            for left in range(x.shape[1] - 10):
                cells = [
                    (weights[i][j] / total, float(x[top + i, left + j]), float(y[top + i, left + j]))
                    for i in range(11)
                    for j in range(11)
                ]
                ux, uy = sum(w * p for w, p, _ in cells), sum(w * q for w, _, q in cells)
                vx = sum(w * (p - ux) ** 2 for w, p, _ in cells)
                vy = sum(w * (q - uy) ** 2 for w, _, q in cells)
                vxy = sum(w * (p - ux) * (q - uy) for w, p, q in cells)
                c1, c2 = 1e-4, 9e-4
                values.append((2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2)))
    return sum(values) / len(values)


def test_ssim_is_the_definition() -> None:
    a = draw(0, 2, 2, 13, 14)
    b = (a + 0.3 * draw(1, 2, 2, 13, 14)).clamp(-1, 1)
    expected = [looped_ssim(a[index], b[index]) for index in range(2)]
    torch.testing.assert_close(ssim(a, b), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


def test_ssim_of_equal_images_is_one_and_of_inverse_ones_is_negative() -> None:
    a = draw(0, 2, 3, 16, 16)
    torch.testing.assert_close(ssim(a, a), torch.ones(2, dtype=torch.float64))
    assert ssim(a, -a).max() < 0


def near(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    images = draw(seed, *shape)
    return images, (images + 0.3 * draw(seed + 1, *shape)).clamp(-1, 1)


def parts_by_torchmetrics(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and contrast; torchmetrics reflects images at their borders, so the windows that see that are cut off."""
    pair = {"data_range": 1.0, "reduction": "none"}
    _, full = structural_similarity_index_measure(a, b, return_full_image=True, **pair)
    _, contrast = structural_similarity_index_measure(a, b, return_contrast_sensitivity=True, **pair)
    return full[..., 5:-5, 5:-5].mean((1, 2, 3)), contrast


def test_psnr_and_ssim_agree_with_torchmetrics() -> None:
    a, b = near(5, 3, 3, 32, 40)
    pair = ((a + 1) / 2, (b + 1) / 2)
    expected = peak_signal_noise_ratio(*pair, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(a, b), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(ssim(a, b), parts_by_torchmetrics(*pair)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "scales"), [(32, 2), (64, 3), (176, 5)])
def test_ms_ssim_is_the_product_of_what_torchmetrics_finds(size: int, scales: int) -> None:
    assert ms_ssim_scales(size) == scales
    a, b = near(7, 1, 1, size, size)
    found = ms_ssim(a, b)
    a, b = (a + 1) / 2, (b + 1) / 2
    expected = torch.ones(1, dtype=torch.float64)
    for scale, weight in enumerate(SCALE_WEIGHTS[:scales]):
        similarity, contrast = parts_by_torchmetrics(a, b)
        factor = similarity if scale == scales - 1 else contrast
        expected = expected * factor ** (weight / sum(SCALE_WEIGHTS[:scales]))
        a, b = torch.nn.functional.avg_pool2d(a, 2), torch.nn.functional.avg_pool2d(b, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_ms_ssim_of_equal_images_is_one_and_sees_a_veil_at_the_last_scale_only() -> None:
    a = draw(0, 2, 3, 64, 64)
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(2, dtype=torch.float64))
    flat, veiled = torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.5)
    luminance = (2 * 0.5 * 0.75 + 1e-4) / (0.5**2 + 0.75**2 + 1e-4)
    weight = SCALE_WEIGHTS[2] / sum(SCALE_WEIGHTS[:3])
    assert ms_ssim(flat, veiled).item() == pytest.approx(luminance**weight)


def test_unequal_shapes_and_small_images_are_refused() -> None:
    with pytest.raises(AttrimorphError, match="same shape"):
        psnr(draw(0, 1, 3, 8, 8), draw(0, 1, 3, 8, 9))
    with pytest.raises(AttrimorphError, match="at least 11 pixels"):
        ssim(draw(0, 1, 3, 8, 8), draw(0, 1, 3, 8, 8))
    with pytest.raises(AttrimorphError, match="at least 11 pixels"):
        ms_ssim(draw(0, 1, 3, 8, 8), draw(0, 1, 3, 8, 8))
