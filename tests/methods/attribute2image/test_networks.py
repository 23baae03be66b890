"""Attribute2Image's networks: published parameter counts, shapes, what each sees, and how layers become pictures."""

import pytest
import torch
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.methods.attribute2image.layering import Layering, compose, composed_logvar, settled
from attrimorph.methods.attribute2image.networks import (
    PaperBackgroundDecoder,
    PaperBackgroundEncoder,
    PaperDecoder,
    PaperEncoder,
    SmallDecoder,
    SmallEncoder,
    networks_of,
)
from attrimorph.methods.attribute2image.recipe import RECIPES
from tests.methods.cvae_gan.small_family import MIXED

SCORES = 73  # LFW's


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def conv(before: int, after: int, kernel: int, norm: bool = True) -> int:
    return after * (before * kernel**2 + 1) + 2 * after * norm


def linear(before: int, after: int) -> int:
    return after * (before + 1)


def test_published_encoder_counts() -> None:
    # arch_condVAE: z 256; arch_disCVAE: z_F 192; the log-variance is not shown y.
    trunk = conv(3, 64, 5, False) + conv(64, 128, 5) + conv(128, 256, 3) + conv(256, 256, 3) + conv(256, 1024, 4, False)
    trunk += linear(1024, 1024)
    for latent in (256, 192):
        head = linear(SCORES, latent) + linear(1024 + latent, latent) + linear(1024, latent)
        assert count(PaperEncoder(64, SCORES, latent, 64)) == trunk + head


def test_published_background_encoder_counts() -> None:
    trunk = conv(3, 64, 5, False) + conv(64, 64, 5) + 2 * conv(64, 64, 3) + conv(64, 256, 4, False) + linear(256, 256)
    head = linear(256 + SCORES + 192, 256) + 2 * linear(256, 64)
    assert count(PaperBackgroundEncoder(64, SCORES + 192, 64, 64)) == trunk + head


@pytest.mark.parametrize(
    ("latent", "gate", "learned", "heads"), [(192, 3, False, 2), (256, 0, True, 2), (256, 0, False, 1)]
)
def test_published_decoder_counts(latent: int, gate: int, learned: bool, heads: int) -> None:
    joined = linear(SCORES, 2 * latent) + linear(3 * latent, 256) + linear(256, 256 * 8 * 8)
    stages = conv(256, 256, 3) + conv(256, 256, 5) + conv(256, 128, 5) + conv(128, 64, 5)
    expected = joined + stages + heads * conv(64, 3, 5, False)
    assert count(PaperDecoder(64, SCORES, latent, 64, gate, learned)) == expected


def test_published_background_decoder_counts() -> None:
    stages = conv(256, 128, 3) + conv(128, 128, 3) + conv(128, 64, 3) + 3 * conv(64, 64, 3) + conv(64, 32, 5)
    expected = linear(64, 256 * 2 * 2) + stages + conv(32, 3, 5, False)
    assert count(PaperBackgroundDecoder(64, 0, 64, 64, 0, False)) == expected


@torch.no_grad()
def test_published_shapes_and_ranges() -> None:
    images, y, z = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 5), torch.randn(2, 6)
    mean, logvar = PaperEncoder(64, 5, 6, 4)(images, y)
    assert mean.shape == logvar.shape == (2, 6)
    assert not logvar.any()
    paint = PaperDecoder(64, 5, 6, 4, 3, True)(z, y)
    assert paint.gate is not None
    assert paint.logvar is not None
    assert paint.colour.shape == paint.gate.shape == paint.logvar.shape == (2, 3, 64, 64)
    assert 0 <= paint.colour.min() <= paint.colour.max() <= 1
    assert PaperBackgroundDecoder(64, 0, 6, 4, 0, False)(z, y[:, :0]).colour.shape == (2, 3, 64, 64)


@pytest.mark.parametrize("name", ["attribute2image-cvae-paper", "attribute2image-discvae-paper"])
@pytest.mark.parametrize("size", [16, 32, 128])
def test_published_networks_refuse_other_sizes(name: str, size: int) -> None:
    recipe = RECIPES[name]().with_changes({"data.image_size": size})
    with pytest.raises(AttrimorphError, match="image_size must be 64"):
        networks_of(recipe, MIXED)


@pytest.mark.parametrize("size", [16, 32])
def test_small_shapes(size: int) -> None:
    mean, logvar = SmallEncoder(size, 5, 6, 4, inputs=4)(torch.randn(2, 4, size, size), torch.randn(2, 5))
    assert mean.shape == logvar.shape == (2, 6)
    paint = SmallDecoder(size, 5, 6, 4, 1, False)(torch.randn(2, 6), torch.randn(2, 5))
    assert paint.gate is not None
    assert paint.logvar is None
    assert (paint.colour.shape, paint.gate.shape) == ((2, 3, size, size), (2, 1, size, size))
    assert SmallDecoder(size, 0, 6, 4, 0, True)(torch.randn(2, 6), torch.zeros(2, 0)).logvar is not None


def test_dropout_is_a_factor_of_the_last_hidden_layer() -> None:
    images, y = torch.randn(2, 3, 16, 16), torch.randn(2, 5)
    encoder = SmallEncoder(16, 5, 6, 4)
    ones = torch.ones(2, encoder.features)
    torch.testing.assert_close(encoder(images, y, ones)[0], encoder(images, y)[0], rtol=0, atol=0)
    nothing = encoder(images, y, 0 * ones)[0]
    torch.testing.assert_close(nothing, encoder(images.flip(0), y, 0 * ones)[0], rtol=0, atol=0)


# --- composition


def layers(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    foreground, background = (torch.rand(2, 3, 8, 8, generator=generator) for _ in range(2))
    return foreground, torch.rand(2, 1, 8, 8, generator=generator), background


def test_both_compositions_pixel_by_pixel() -> None:
    foreground, gate, background = layers()
    both = {kind: compose(foreground, gate, background, kind) for kind in ("sum", "convex")}  # type: ignore[arg-type]
    for b, c, i, j in [(0, 0, 0, 0), (1, 2, 7, 3), (0, 1, 4, 5)]:
        f, g, x = float(foreground[b, c, i, j]), float(gate[b, 0, i, j]), float(background[b, c, i, j])
        assert float(both["sum"][b, c, i, j]) == pytest.approx(f + x * g)
        assert float(both["convex"][b, c, i, j]) == pytest.approx(f * (1 - g) + x * g)


def test_the_composed_variance_is_that_of_independent_layers() -> None:
    generator = torch.Generator().manual_seed(0)
    foreground, gate, background = (torch.tensor(v).view(1, 1, 1, 1) for v in (0.4, 0.7, 0.2))
    draws = torch.randn(2, 200_000, 1, 1, 1, generator=generator)
    for kind in ("sum", "convex"):
        f, b = (torch.full((1, 1, 1, 1), v).log() * 2 for v in (0.3, 0.5))
        drawn = compose(foreground + 0.3 * draws[0], gate, background + 0.5 * draws[1], kind)  # type: ignore[arg-type]
        assert float(composed_logvar(f, gate, b, kind).exp()) == pytest.approx(  # type: ignore[arg-type]
            float(drawn.var()), rel=0.02
        )


def test_a_settled_gate_leaves_the_background_alone() -> None:
    foreground, _, background = layers()
    gate = torch.tensor([0.0, 0.02, 0.5, 0.97, 1.0, 0.9, 0.03, 0.99]).expand(2, 1, 8, 8)
    kept, sure = settled(foreground, gate, 1 / 32)
    assert sure[0, 0, 0].tolist() == pytest.approx([0, 0, 0.5, 1, 1, (0.9 - 1 / 32) / (1 - 1 / 16), 0, 1], abs=1e-6)
    shown = compose(kept, sure, background, "sum")
    background_there = (sure == 1).expand_as(shown)
    assert torch.equal(shown[background_there], background[background_there])
    assert torch.equal(kept[:, :, :, 2], foreground[:, :, :, 2])


class Seeing(nn.Module):
    """Returns what it is shown, so that a test can look at it."""

    def forward(self, pictures: Tensor, y: Tensor, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return pictures.flatten(1), y


@pytest.mark.parametrize("published", [True, False])
def test_what_the_encoders_are_shown(published: bool) -> None:
    layering = Layering(
        {"foreground_encoder": Seeing(), "background_encoder": Seeing()}, published=published, composition="sum"
    )
    images = torch.rand(3, 3, 4, 4) * 2 - 1
    gate = (torch.rand(3, 1, 4, 4) > 0.5).float()
    known = torch.tensor([True, False, True])
    shown = layering.shown(gate, known)
    seen_f = layering.encode_foreground(images, shown, torch.zeros(3, 2))[0].view(3, -1, 4, 4)
    seen_b, joined = layering.encode_background(images, gate, torch.zeros(3, 2), torch.ones(3, 5))
    seen_b = seen_b.view(3, -1, 4, 4)
    assert joined[0].tolist() == [0, 0, 1, 1, 1, 1, 1]
    if published:
        # x_F is the image on black; without a mask it is the whole image. The background's encoder sees x.
        torch.testing.assert_close(seen_f[0], torch.where(gate[0] > 0, -1.0, images[0]))
        torch.testing.assert_close(seen_f[1], images[1])
        torch.testing.assert_close(seen_b, images)
    else:
        torch.testing.assert_close(seen_f[:, :3], images)
        assert torch.equal(seen_f[0, 3:], gate[0])
        assert bool((seen_f[1, 3] == 0.5).all())
        torch.testing.assert_close(seen_b[:, :3], torch.where(gate > 0, images, -1.0))
        assert torch.equal(seen_b[:, 3:], gate)
