"""G and D that grow (Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs, ICLR 2018), for 8 to 1024 pixels.

A network is built whole; its `level` says how much of it is at work: level n stands for images of 4 x 2^n pixels, and
a level between n and n + 1 for the next size, faded in by the fraction. Weights are N(0, 1) and scaled by
gain / sqrt(fan-in) when they are used, so that Adam moves all of them at one speed. G normalises every pixel, D sees
the spread of its batch.

The change of size and the convolution beside it are one: doubling and 3x3 is a transposed 4x4 of stride 2, 3x3 and
halving a 4x4 of stride 2, with sums of the 3x3 kernel. That is exact and 2.25 times less arithmetic (the published code
has it too, and like it D halves before its rectifier).
"""

import math
from collections.abc import Collection
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.methods.pggan.recipe import ProgressiveRecipe

SLOPE = 0.2
EPSILON = 1e-8
GROUP = 4  # images among which D is told the spread
LARGEST = 1024
PUBLISHED = {"latent": 512, "width": 16, "most": 512}
"""The published networks of 1024 pixels."""
UNIT = 2**16  # parts of a level in the buffer


def levels(image_size: int) -> int:
    """Return how often 4 pixels double to `image_size`.

    Raises:
        AttrimorphError: it is no power of two in 8..1024.
    """
    count = int(math.log2(image_size)) - 2 if image_size > 0 else 0
    if not 8 <= image_size <= LARGEST or 4 * 2**count != image_size:
        raise AttrimorphError(f"image_size must be a power of two in 8..{LARGEST}; got {image_size}; try 64")
    return count


def stage_channels(image_size: int, width: int, most: int) -> list[int]:
    """Return the channels at 4, 8, ..., image_size pixels: `width` at the last, doubling downwards, up to `most`."""
    last = levels(image_size)
    return [min(width * 2 ** (last - stage), most) for stage in range(last + 1)]


def split(level: float) -> tuple[int, float]:
    """Return (n, share) of a level: images of 4 x 2^n pixels, the share in (0, 1] of them from the newest layers."""
    top = math.ceil(level)
    return top, level - top + 1


def double(images: Tensor) -> Tensor:
    """Nearest neighbours, [B, C, S, S] -> [B, C, 2S, 2S]."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def faded(images: Tensor, level: float) -> Tensor:
    """Return images as they are shown at a level: averaged down, and part of the way from the size below.

    Args:
        images: [B, 3, S, S], S at least the level's size.
        level: see the top of this file.

    Returns:
        [B, 3, R, R], R = 4 x 2^ceil(level): share x + (1 - share) double(halve(x)).
    """
    top, share = split(level)
    factor = images.shape[-1] // (4 * 2**top)
    if factor > 1:
        images = F.avg_pool2d(images, factor)
    return images if share == 1 else torch.lerp(double(F.avg_pool2d(images, 2)), images, share)


class Normalise(torch.autograd.Function):
    """What `normalise` computes: a = LeakyReLU(h), r = 1 / sqrt(mean over channels of a^2 + 1e-8), out = a r.

    With g = dL/dout: dL/da = r (g - out mean over channels of (g out)). Written out it keeps two maps instead of six.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        a = F.leaky_relu(h, SLOPE)
        r = torch.rsqrt(a.square().mean(1, keepdim=True).add_(EPSILON))
        out = a.mul_(r)
        ctx.save_for_backward(out, r)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        out, r = ctx.saved_tensors
        mean = (gradient * out).mean(1, keepdim=True)
        a = torch.addcmul(gradient, out, mean, value=-1).mul_(r)
        # Slope and r are positive: the sign of the result is that of h.
        found: Tensor = torch.ops.aten.leaky_relu_backward(a, out, SLOPE, True)
        return found


def normalise(h: Tensor) -> Tensor:
    """Leaky rectifier, then pixel norm, [B, C, S, S] -> the same; it can be differentiated once."""
    out: Tensor = Normalise.apply(h)  # type: ignore[no-untyped-call]
    return out


class EqualLinear(nn.Module):
    """[B, before] -> [B, after], weights scaled when used."""

    def __init__(self, before: int, after: int, *, gain: float = math.sqrt(2), bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before).normal_())
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.scale = gain / math.sqrt(before)

    def forward(self, h: Tensor) -> Tensor:
        return F.linear(h, self.weight * self.scale, self.bias)


class EqualConvolution(nn.Module):
    """[B, before, S, S] -> [B, after, S', S'], weights scaled when used.

    Args:
        before, after: channels.
        kernel: 1 or 3.
        size: "same", "double" (nearest neighbours first) or "halve" (mean of 2x2 afterwards).
        gain: sqrt(2) before a rectifier, 1 otherwise.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int = 3,
        *,
        size: Literal["same", "double", "halve"] = "same",
        gain: float = math.sqrt(2),
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before, kernel, kernel).normal_())
        self.bias = nn.Parameter(torch.zeros(after))
        self.size, self.scale = size, gain / math.sqrt(before * kernel * kernel)

    def forward(self, h: Tensor) -> Tensor:
        if self.size == "same":
            return F.conv2d(h, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)
        padded = F.pad(self.weight * self.scale, (1, 1, 1, 1))
        kernel = padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]
        if self.size == "halve":
            return F.conv2d(h, kernel / 4, self.bias, stride=2, padding=1)
        # A transposed convolution turns its kernel around.
        return F.conv_transpose2d(h, kernel.flip(2, 3).transpose(0, 1), self.bias, stride=2, padding=1)


class GrowingUp(nn.Module):
    """Twice the size: a stage of G, [B, before, S, S] -> [B, after, 2S, 2S]."""

    def __init__(self, before: int, after: int, convolutions: int) -> None:
        super().__init__()
        self.up = EqualConvolution(before, after, size="double")
        self.more = nn.ModuleList(EqualConvolution(after, after) for _ in range(convolutions - 1))

    def forward(self, h: Tensor) -> Tensor:
        h = normalise(self.up(h))
        for convolution in self.more:
            h = normalise(convolution(h))
        return h  # [B, after, 2S, 2S]


class GrowingDown(nn.Module):
    """Half the size: a stage of D, [B, after, 2S, 2S] -> [B, before, S, S]; the counterpart of G's."""

    def __init__(self, before: int, after: int, convolutions: int) -> None:
        super().__init__()
        self.more = nn.ModuleList(EqualConvolution(after, after) for _ in range(convolutions - 1))
        self.down = EqualConvolution(after, before, size="halve")

    def forward(self, h: Tensor) -> Tensor:
        for convolution in self.more:
            h = F.leaky_relu(convolution(h), SLOPE)
        return F.leaky_relu(self.down(h), SLOPE)  # [B, before, S, S]


class GrowingGenerator(nn.Module):
    """G(z, y) -> images [B, 3, R, R], R = 4 x 2^ceil(level); about -1..1, not bounded.

    Args:
        image_size: S, the size it can grow to.
        condition: columns of y, joined to z; 0 for none.
        latent: columns of z.
        width: channels of the last stage; they double as the image halves.
        most: up to so many.
        convolutions: in each stage, 1 or (as published) 2.
    """

    grown: Tensor

    def __init__(
        self, image_size: int, condition: int, latent: int, width: int, most: int = 512, convolutions: int = 2
    ) -> None:
        super().__init__()
        channels = stage_channels(image_size, width, most)
        # The published gain of this layer: sqrt(2) / 4.
        self.first = EqualLinear(latent + condition, channels[0] * 16, gain=math.sqrt(2) / 4, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels[0], 1, 1))
        self.second = EqualConvolution(channels[0], channels[0])
        self.stages = nn.ModuleList(GrowingUp(*pair, convolutions) for pair in pairwise(channels))
        self.to_rgb = nn.ModuleList(EqualConvolution(count, 3, 1, gain=1) for count in channels)
        # A whole number: averaged copies of a network (EMA) copy those, and would average any other.
        self.register_buffer("grown", torch.tensor(len(self.stages) * UNIT))

    @property
    def level(self) -> float:
        """How far it has grown."""
        return int(self.grown) / UNIT

    def grow(self, level: float) -> None:
        """Set how far it has grown, to 1/65536; does not wait for the device."""
        self.grown.fill_(round(level * UNIT))

    def forward(self, z: Tensor, y: Tensor, level: float | None = None) -> Tensor:
        top, share = split(self.level if level is None else level)
        code = torch.cat([z, y], dim=1)  # [B, Z + W]
        code = code * torch.rsqrt(code.square().mean(1, keepdim=True) + EPSILON)
        h = normalise(self.first(code).view(z.shape[0], -1, 4, 4) + self.bias)  # [B, C, 4, 4]
        h = normalise(self.second(h))
        below = h
        for stage in self.stages[:top]:
            below, h = h, stage(h)  # [B, C', R/2, R/2] and [B, C, R, R] at last
        images: Tensor = self.to_rgb[top](h)  # [B, 3, R, R]
        return images if share == 1 else torch.lerp(double(self.to_rgb[top - 1](below)), images, share)


class GrowingDiscriminator(nn.Module):
    """D(x) -> scores [B, 1] and logits of the attributes [B, outputs] (AC-GAN's head).

    Args:
        image_size: S, the size it can grow to.
        outputs: columns of y to tell; 0 for none.
        width, most, convolutions: as of G.
    """

    def __init__(self, image_size: int, outputs: int, width: int, most: int = 512, convolutions: int = 2) -> None:
        super().__init__()
        channels = stage_channels(image_size, width, most)
        self.from_rgb = nn.ModuleList(EqualConvolution(3, count, 1) for count in channels)
        self.stages = nn.ModuleList(GrowingDown(*pair, convolutions) for pair in pairwise(channels))
        self.last = EqualConvolution(channels[0] + 1, channels[0])
        self.hidden = EqualLinear(channels[0] * 16, channels[0])
        self.score = EqualLinear(channels[0], 1 + outputs, gain=1)

    def forward(self, images: Tensor, level: float, batches: int = 1) -> tuple[Tensor, Tensor]:
        """Judge images of the level's size, [B, 3, R, R]: so many batches laid end to end, each with its own spread."""
        top, share = split(level)
        h = F.leaky_relu(self.from_rgb[top](images), SLOPE)  # [B, C, R, R]
        for stage in range(top, 0, -1):
            h = self.stages[stage - 1](h)  # [B, C', R/2, R/2] ... [B, C, 4, 4]
            if stage == top and share < 1:
                below = F.leaky_relu(self.from_rgb[top - 1](F.avg_pool2d(images, 2)), SLOPE)
                h = torch.lerp(below, h, share)
        h = F.leaky_relu(self.last(with_spread(h, batches)), SLOPE)  # [B, C, 4, 4]
        h = F.leaky_relu(self.hidden(h.flatten(1)), SLOPE)  # [B, C]
        found = self.score(h)  # [B, 1 + outputs]
        return found[:, :1], found[:, 1:]


def with_spread(h: Tensor, batches: int = 1) -> Tensor:
    """Join a map of the spread: minibatch standard deviation in groups of 4.

    For each group sqrt(variance over its images + 1e-8), averaged over channels and pixels. A group's images are
    neighbours in the batch (published: every (B/4)-th image; their order means nothing).

    Args:
        h: [B, C, S, S].
        batches: so many of one size lie end to end; no group holds images of two. Where 4 does not divide a batch,
            groups are the largest that do.

    Returns:
        [B, C + 1, S, S].
    """
    count = len(h) // batches
    size = next(size for size in range(min(GROUP, count), 0, -1) if count % size == 0)
    groups = h.float().reshape(len(h) // size, size, *h.shape[1:])
    variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)
    spread = (variance + EPSILON).sqrt().mean((1, 2, 3)).to(h.dtype)
    maps = spread.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *h.shape[2:])
    return torch.cat([h, maps], dim=1)


def generator_of(recipe: ProgressiveRecipe, schema: Schema) -> GrowingGenerator:
    """Return the recipe's G with fresh weights."""
    options = recipe.networks
    condition = schema.width if options.conditional else 0
    size = recipe.data.image_size
    return GrowingGenerator(size, condition, options.latent, options.width, options.most, options.convolutions)


def kept_networks(recipe: ProgressiveRecipe, schema: Schema, found: Collection[str]) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold; `found` are those that it holds."""
    return {"generator": generator_of(recipe, schema)}
