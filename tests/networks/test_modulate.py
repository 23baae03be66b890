"""Pixel norm, modulation and rectifier in one: against the plain chain, and its gradient against differences."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.networks.convolutional import modulate


def plain(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    n = h / torch.sqrt(h.square().mean(1, keepdim=True) + 1e-6)
    return F.leaky_relu(n * (1 + scale) + shift, 0.2)


def inputs(dtype: torch.dtype, count: int = 2, channels: int = 5, size: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(count, channels, size, size, generator=generator, dtype=dtype)
    scale, shift = torch.randn(count, 2 * channels, 1, 1, generator=generator, dtype=dtype).chunk(2, dim=1)
    return h.requires_grad_(), scale.requires_grad_(), shift.requires_grad_()


def test_by_hand() -> None:
    h = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)  # root mean square sqrt(12.5)
    out = modulate(h, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), torch.tensor([0.0, -2.0]).view(1, 2, 1, 1))
    assert out.flatten().tolist() == pytest.approx([6 / 12.5**0.5, 0.2 * (4 / 12.5**0.5 - 2)], rel=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(modulate, inputs(torch.float64))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_value_and_gradients_are_those_of_the_plain_chain(layout: torch.memory_format) -> None:
    h, scale, shift = inputs(torch.float32, 4, 8, 16)
    h = h.detach().contiguous(memory_format=layout).requires_grad_()
    out, expected = modulate(h, scale, shift), plain(h, scale, shift)
    assert out.is_contiguous(memory_format=layout)
    torch.testing.assert_close(out, expected)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad((out * weights).sum(), (h, scale, shift))
    for mine, theirs in zip(found, torch.autograd.grad((expected * weights).sum(), (h, scale, shift)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_the_input_is_left_alone_and_a_map_of_zeros_is_no_trouble() -> None:
    h, scale, shift = inputs(torch.float32)
    before = h.detach().clone()
    modulate(h, scale, shift).sum().backward()
    assert torch.equal(h.detach(), before)
    nothing = torch.zeros(1, 2, 2, 2, requires_grad=True)
    modulate(nothing, scale[:1, :2], shift[:1, :2]).sum().backward()
    assert nothing.grad is not None
    assert bool(nothing.grad.isfinite().all())
