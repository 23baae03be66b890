"""G and D that grow: published sizes, fused layers against plain ones, fades, spread, what is scaled at run time."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.methods.pggan.networks import (
    PUBLISHED,
    UNIT,
    EqualConvolution,
    EqualLinear,
    GrowingDiscriminator,
    GrowingGenerator,
    double,
    faded,
    normalise,
    split,
    stage_channels,
    with_spread,
)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(size: int = 32, condition: int = 0, convolutions: int = 2) -> tuple[GrowingGenerator, GrowingDiscriminator]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (
            GrowingGenerator(size, condition, 6, 4, 8, convolutions),
            GrowingDiscriminator(size, condition, 4, 8, convolutions),
        )


# ---- the published form


def test_parameter_counts_of_the_published_networks() -> None:
    """Table 2 of the paper: 23.1 M each. The exact numbers are those that the published code prints."""
    with torch.device("meta"):
        generator, discriminator = GrowingGenerator(1024, 0, **PUBLISHED), GrowingDiscriminator(1024, 0, 16)
    assert sum(p.numel() for p in generator.parameters()) == 23_079_115
    assert sum(p.numel() for p in discriminator.parameters()) == 23_087_249


def test_channels_are_the_published_ones() -> None:
    assert stage_channels(1024, 16, 512) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    # min(8192 / 2^stage, 512) with stage = log2(pixels) - 1.
    assert stage_channels(1024, 16, 512) == [min(8192 // 2**stage, 512) for stage in range(1, 10)]
    assert stage_channels(64, 16, 128) == [128, 128, 64, 32, 16]


@pytest.mark.parametrize("size", [8, 16, 64])
def test_every_level_makes_and_judges_images_of_its_size(size: int) -> None:
    generator, discriminator = small(size, condition=3)
    last = int(math.log2(size)) - 2
    z, y = draw(8, 6), torch.rand(8, 3)
    for level in [step / 2 for step in range(2 * last + 1)]:
        images = generator(z, y, level)
        side = 4 * 2 ** math.ceil(level)
        assert images.shape == (8, 3, side, side)
        scores, logits = discriminator(images, level)
        assert (scores.shape, logits.shape) == ((8, 1), (8, 3))
    assert generator.level == last
    assert torch.equal(generator(z, y), generator(z, y, last))


def test_sizes_that_are_none_are_refused() -> None:
    for size in (0, 4, 48, 2048):
        with pytest.raises(AttrimorphError, match=f"power of two in 8..1024; got {size}"):
            GrowingGenerator(size, 0, 4, 4)


# ---- layers


def test_fused_layers_are_the_plain_ones() -> None:
    up = EqualConvolution(3, 5, size="double").double()
    down = EqualConvolution(3, 5, size="halve").double()
    for layer in (up, down):
        torch.nn.init.normal_(layer.bias)
    h = draw(2, 3, 6, 6, dtype=torch.float64)
    plain = F.conv2d(double(h), up.weight * up.scale, up.bias, padding=1)
    torch.testing.assert_close(up(h), plain, rtol=1e-12, atol=1e-12)
    plain = F.avg_pool2d(F.conv2d(h, down.weight * down.scale, down.bias, padding=1), 2)
    torch.testing.assert_close(down(h), plain, rtol=1e-12, atol=1e-12)


def test_weights_are_standard_normal_and_scaled_when_used() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, linear = EqualConvolution(64, 128), EqualLinear(300, 200, gain=1)
    for layer, fan_in, gain in ((convolution, 64 * 9, math.sqrt(2)), (linear, 300, 1.0)):
        assert layer.weight.std().item() == pytest.approx(1, rel=0.01)
        assert layer.scale == pytest.approx(gain / math.sqrt(fan_in))
        assert not layer.bias.any()
    assert linear(draw(500, 300)).std().item() == pytest.approx(1, rel=0.05)


def test_normalise_is_the_plain_chain_with_its_gradient() -> None:
    h = draw(2, 5, 3, 3, dtype=torch.float64).requires_grad_()
    a = F.leaky_relu(h, 0.2)
    plain = a / torch.sqrt(a.square().mean(1, keepdim=True) + 1e-8)
    torch.testing.assert_close(normalise(h), plain)
    assert torch.autograd.gradcheck(normalise, (h,))
    torch.testing.assert_close(normalise(h).square().mean(1), torch.ones(2, 3, 3).double(), rtol=0, atol=1e-5)


def test_the_length_of_a_code_is_nothing() -> None:
    generator, _ = small()
    z, y = draw(4, 6), torch.zeros(4, 0)
    torch.testing.assert_close(generator(z, y), generator(3.7 * z, y), rtol=1e-3, atol=1e-3)


def test_the_spread_by_hand() -> None:
    """Two groups of four; in the first all images are alike, in the second they are 0, 0, 2, 2: deviation 1."""
    h = torch.zeros(8, 2, 3, 3)
    h[:4] = 5
    h[6:] = 2
    found = with_spread(h)
    assert found.shape == (8, 3, 3, 3)
    assert torch.equal(found[:, :2], h)
    torch.testing.assert_close(found[:4, 2], torch.full((4, 3, 3), 1e-4))
    torch.testing.assert_close(found[4:, 2], torch.ones(4, 3, 3))


@pytest.mark.parametrize(("count", "size"), [(2, 2), (3, 3), (6, 3), (7, 1), (12, 4)])
def test_groups_are_the_largest_that_fit(count: int, size: int) -> None:
    h = draw(count, 2, 2, 2)
    groups = h.view(-1, size, 2, 2, 2)
    expected = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(size)
    torch.testing.assert_close(with_spread(h)[:, 2, 0, 0], expected)


@pytest.mark.parametrize("count", [8, 6])
def test_batches_end_to_end_are_judged_as_alone(count: int) -> None:
    _, discriminator = small()
    a, b = draw(count, 3, 32, 32), 2 * draw(count, 3, 32, 32, seed=1)
    together = discriminator(torch.cat([a, b]), 3.0, 2)[0]
    alone = torch.cat([discriminator(a, 3.0)[0], discriminator(b, 3.0)[0]])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


# ---- growing


def test_a_level_is_split_into_size_and_share() -> None:
    assert split(0.0) == (0, 1)
    assert split(2.0) == (2, 1)
    assert split(1.25) == (2, 0.25)


def test_a_fade_begins_with_the_old_image_and_ends_with_the_new_one() -> None:
    generator, discriminator = small()
    z, y = draw(4, 6), torch.zeros(4, 0)
    old, new = generator(z, y, 1.0), generator(z, y, 2.0)
    torch.testing.assert_close(generator(z, y, 1 + 1e-7), double(old), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(generator(z, y, 2 - 1e-7), new, rtol=1e-4, atol=1e-5)
    half = generator(z, y, 1.5)
    torch.testing.assert_close(half, (double(old) + new) / 2, rtol=1e-4, atol=1e-5)
    # D at the begin of a fade judges the image as D did before, halved.
    images = draw(4, 3, 16, 16)
    before = discriminator(F.avg_pool2d(images, 2), 1.0)[0]
    torch.testing.assert_close(discriminator(images, 1 + 1e-7)[0], before, rtol=1e-4, atol=1e-5)


def test_real_images_are_faded_alike() -> None:
    images = draw(2, 3, 32, 32)
    assert torch.equal(faded(images, 3.0), images)
    small_ones = F.avg_pool2d(images, 4)
    torch.testing.assert_close(faded(images, 1.0), small_ones)
    torch.testing.assert_close(
        faded(images, 1.25), 0.25 * F.avg_pool2d(images, 2) + 0.75 * double(small_ones), rtol=1e-5, atol=1e-6
    )


def test_how_far_it_has_grown_is_kept_with_the_weights() -> None:
    generator, _ = small()
    generator.grow(1.3)
    other, _ = small()
    other.load_state_dict(generator.state_dict())
    assert other.level == pytest.approx(1.3, abs=1 / UNIT)
    assert other(draw(2, 6), torch.zeros(2, 0)).shape[-1] == 16
    assert not generator.grown.is_floating_point()


def test_one_convolution_a_stage_is_about_half_the_work() -> None:
    counts = [sum(p.numel() for p in small(convolutions=n)[0].stages.parameters()) for n in (1, 2)]
    assert counts[0] < 0.65 * counts[1]


def test_channels_last_gives_the_same() -> None:
    generator, discriminator = small()
    z, y = draw(4, 6), torch.zeros(4, 0)
    images = generator(z, y)
    score = discriminator(images, 3.0)[0]
    generator.to(memory_format=torch.channels_last)
    discriminator.to(memory_format=torch.channels_last)
    again = generator(z, y)
    torch.testing.assert_close(again, images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(discriminator(again, 3.0)[0], score, rtol=1e-4, atol=1e-4)
