"""HomoInterpGAN's networks (Chen, Xu, Tian, Jia, CVPR 2019): E, I, Dec, the critic with its attribute head, P.

Between them go features F [B, C, h, w]. The published sizes are the defaults (C = 512, F at a sixteenth of the image);
`FeatureEncoder` and `FeatureDecoder` are a form for CPUs, F at an eighth of the image, without any norm over the batch.
"""

import math
from collections.abc import Collection
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.methods.homointerp.groups import grouping
from attrimorph.methods.homointerp.perceptual import AttributeMaps
from attrimorph.methods.homointerp.recipe import InterpolationRecipe
from attrimorph.networks.convolutional import LOGVAR_RANGE, ModulatedUp, initialise, initialise_he, modulate
from attrimorph.networks.pretrained import Vgg19

RELU5_1 = 29  # the place of relu5_1 among VGG-19's layers
VGG_CHANNELS, VGG_STRIDE, SMALL_STRIDE = 512, 16, 8
LITTLE = 1e-2  # of features of length 1: what is less belongs to everything


class VggEncoder(nn.Module):
    """E(x): VGG-19 to relu5_1. Images [B, 3, S, S] in [-1, 1] -> [B, 512, S/16, S/16].

    Parameters have the names of the usual ImageNet weights; fresh ones are Kaiming's: with torch's own the features
    of an untrained E are so small that the gradient penalty explodes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        whole = Vgg19()
        self.features = whole.features[: RELU5_1 + 1]
        # In the file too, as a model is put together without values and then filled from there.
        self.register_buffer("mean", whole.mean.clone())
        self.register_buffer("deviation", whole.deviation.clone())
        initialise_he(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.features(((images + 1) / 2 - self.mean) / self.deviation)  # [B, 512, S/16, S/16]
        return features


class Normed(nn.Module):
    """A convolution, pixel norm, a scale and a shift for each channel, leaky rectifier: see `modulate`."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.scale = nn.Parameter(torch.zeros(1, convolution.out_channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, convolution.out_channels, 1, 1))

    def forward(self, h: Tensor) -> Tensor:
        count = h.shape[0]
        return modulate(self.convolution(h), self.scale.expand(count, -1, -1, -1), self.shift.expand(count, -1, -1, -1))


class FeatureEncoder(nn.Module):
    """E(x) for CPUs: three convolutions 4x4 of stride 2 and one 3x3. [B, 3, S, S] -> [B, channels, S/8, S/8].

    F has length 1 (root mean square over the channels) at every place, so that neither the critic nor the decoder has
    to follow its size.

    Args:
        channels: of F.
        width: channels of the first convolution; they double at the next.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, channels]
        self.layers = nn.ModuleList(Normed(nn.Conv2d(before, after, 4, 2, 1)) for before, after in pairwise(sizes))
        self.last = nn.Conv2d(channels, channels, 3, 1, 1)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        h = images
        for layer in self.layers:
            h = layer(h)
        features: Tensor = self.last(h)  # [B, C, S/8, S/8]
        return unit(features)


def unit(features: Tensor) -> Tensor:
    """Bring features [B, C, h, w] to length 1 (root mean square over the channels) at every place."""
    return features * torch.rsqrt(features.float().square().mean(1, keepdim=True) + 1e-6).to(features.dtype)


class Interpolator(nn.Module):
    """I: F_int = F_a + sum over i of v_i T_i(d), d = F_b - F_a; T_i = conv3, ReLU, conv3, ReLU, conv3.

    All branches are computed at once: the first convolution of all is one, the second is one of as many groups, and the
    third, being linear, is one as well when what enters it is multiplied by v.

    Args:
        channels: of F.
        branches: one for each group of attributes, and the residual one, the last.
        width: channels inside a branch; as published, those of F.
        sees_face: T_i(d, F_a) instead of T_i(d): a branch then knows where in this face its change belongs (ours).
        gated: T_i(d) and what of d is its own. Of a reference's difference the groups take, at every place and
            channel, the share 1 - product over i of (1 - v_i m_i): masks m_i, a further conv3 and a sigmoid, may
            overlap, and that of the residual branch is 1. So a group brings whatever b has there, a hat's hue too, and
            all together bring b. T_i and m_i see d brought to length 1, so that a smile is answered like a hat; F_int
            is brought back to the length that `FeatureEncoder` gives F (ours).
    """

    def __init__(
        self,
        channels: int,
        branches: int,
        width: int,
        *,
        sees_face: bool = False,
        gated: bool = False,
    ) -> None:
        super().__init__()
        self.branches, self.width, self.sees_face, self.gated = branches, width, sees_face, gated
        inside = branches * width
        self.first = nn.Conv2d(channels * (2 if sees_face else 1), inside, 3, 1, 1)
        self.second = nn.Conv2d(inside, inside, 3, 1, 1, groups=branches)
        self.third = nn.Conv2d(inside, channels, 3, 1, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(branches, channels))
        if gated:
            self.masks = nn.Conv2d(inside, branches * channels, 3, 1, 1, groups=branches)
        initialise_he(self)
        # The fan-in of a branch, not of all of them; and their sum is as large as one alone.
        nn.init.normal_(self.third.weight, std=(0.1 if gated else 1) / math.sqrt(width * 9 * branches))
        if gated:
            nn.init.normal_(self.masks.weight, std=0.1 / math.sqrt(width * 9))

    def forward(
        self,
        face: Tensor,
        difference: Tensor,
        v: Tensor,
        where: Tensor | None = None,
        asked: Tensor | None = None,
    ) -> Tensor:
        """Return F_int [B, C, h, w].

        Args:
            face: F_a [B, C, h, w].
            difference: d, of the same shape.
            v: how far each branch goes, [B, branches]; 0 leaves F_a as it is.
            where: gated, of a reference: what masks start from, [B, branches, 1, h, w]; see `LearnedPrototypes.where`.
            asked: gated, of prototypes: sum over i of v_i d_i, as d; here it is known which group asks for what.
        """
        length = difference.float().square().mean((1, 2, 3), keepdim=True).add(1e-8).sqrt() if self.gated else 1.0
        d = (difference / length).to(difference.dtype)
        d = torch.cat([d, face], dim=1) if self.sees_face else d  # [B, C or 2C, h, w]
        h = F.relu(self.second(F.relu(self.first(d))))  # [B, branches * width, h, w]
        moved: Tensor = self.third(h * v.repeat_interleave(self.width, dim=1)[:, :, None, None].to(h.dtype))
        moved = moved + (v.to(h.dtype) @ self.bias.to(h.dtype))[:, :, None, None]  # [B, C, h, w]
        if not self.gated:
            return face + moved  # [B, C, h, w]
        if where is not None:
            masks = (self.masks(h).unflatten(1, (self.branches, -1)).float() + where).sigmoid()
            masks = torch.cat([masks[:, :-1], torch.ones_like(masks[:, -1:])], dim=1)  # [B, branches, C, h, w]
            asked = difference * (1 - (1 - v[:, :, None, None, None] * masks).prod(1))
        assert asked is not None
        return unit(face + (length * moved + asked).to(face.dtype))  # [B, C, h, w]


class Decoder(nn.Module):
    """Dec(F) as published: conv3 512, then four nearest x2, convolutions of 256, 128, 64, 64 with batch norm, conv3 3.

    [B, 8 width, h, w] -> images [B, 3, 16 h, 16 w], not clamped.

    Args:
        width: 64; all channels are its multiples.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        stages = ((8,), (4, 4, 4, 4), (2, 2, 2, 2), (1, 1), (1,))
        layers: list[nn.Module] = []
        before = 8 * width
        for number, stage in enumerate(stages):
            layers += [nn.Upsample(scale_factor=2, mode="nearest")] if number else []
            for multiple in stage:
                after = multiple * width
                layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
                before = after
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 3, 3, 1, 1))
        initialise_he(self)

    def forward(self, features: Tensor) -> Tensor:
        images: Tensor = self.layers(features)  # [B, 3, 16h, 16w]
        return images


class FeatureDecoder(nn.Module):
    """Dec(F) for CPUs: [B, channels, h, w] -> images [B, 3, 8 h, 8 w], not clamped.

    Args:
        channels: of F.
        width: channels at half the image's size; twice that at a quarter of it.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Normed(convolution)
            for convolution in (
                nn.Conv2d(channels, channels, 3, 1, 1),
                nn.ConvTranspose2d(channels, 2 * width, 4, 2, 1),
                nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
                nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
                nn.Conv2d(width, width, 3, 1, 1),
            )
        )
        self.last = nn.ConvTranspose2d(width, 3, 4, 2, 1)
        initialise(self)
        nn.init.normal_(self.last.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        h = features
        for layer in self.layers:
            h = layer(h)
        images: Tensor = self.last(h)  # [B, 3, 8h, 8w]
        return images


class Critic(nn.Module):
    """Dis and A' on features: a shared trunk, a critic of 256 averaged outputs, logits of the attributes.

    conv1, then conv4 of stride 2 down to 2x2, each with instance norm and leaky rectifier, then conv2 to 1x1. The
    published trunk has two strided convolutions, which fits features of 8x8 alone; here there are as many as it takes.

    Args:
        channels: of F.
        side: h = w of F, a power of two of at least 4.
        outputs: columns of y.
        width: 256 as published.
        normed: instance norm, as published; it hides from A' how much of something there is.
    """

    def __init__(self, channels: int, side: int, outputs: int, width: int = 256, *, normed: bool = True) -> None:
        super().__init__()
        if side < 4 or side & (side - 1):
            raise AttrimorphError(
                f"HomoInterpGAN's features must be at least 4x4, a power of two; got {side}x{side}; take larger images"
            )
        layers: list[nn.Module] = []
        for number in range(int(math.log2(side))):
            layers += [nn.Conv2d(width, width, 4, 2, 1) if number else nn.Conv2d(channels, width, 1)]
            layers += [nn.InstanceNorm2d(width, affine=True)] if normed else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.trunk = nn.Sequential(*layers, nn.Conv2d(width, width, 2))
        self.critic = nn.Conv2d(width, width, 1)
        self.averaged = width  # outputs, into the one answer of Dis
        self.attributes = nn.Linear(width, outputs)
        initialise(self)
        nn.init.normal_(self.attributes.weight, std=0.02)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, C, h, w] -> Dis [B, 1], A' [B, outputs]."""
        h = self.trunk(features)  # [B, width, 1, 1]
        return self.critic(h).flatten(1).mean(1, keepdim=True), self.attributes(h.flatten(1))


class Projection(nn.Module):
    """P: a 1x1 convolution from F to what a perceptual network sees, pooled to its size where that differs."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, outputs, 1)

    def forward(self, features: Tensor, side: int) -> Tensor:
        """Features [B, C, h, w] -> [B, outputs, side, side]."""
        seen: Tensor = self.convolution(features)  # [B, outputs, h, w]
        return seen if seen.shape[-1] == side else F.adaptive_avg_pool2d(seen, side)


class MeanPrototypes(nn.Module):
    """What stands for F_b - F_a where there is no reference: mean features with an attribute less those without.

    Args:
        columns: W of y.
        channels: of F.
        side: h = w of F.
    """

    def __init__(self, columns: int, channels: int, side: int) -> None:
        super().__init__()
        self.differences = nn.Parameter(torch.zeros(columns, channels, side, side))

    def forward(self, face: Tensor, y: Tensor, change: Tensor) -> Tensor:
        """F_a [B, C, h, w], y [B, W] and its change [B, W] -> d [B, C, h, w]; the same for all faces."""
        return torch.einsum("bk,kchw->bchw", change.to(self.differences.dtype), self.differences)


class LearnedPrototypes(nn.Module):
    """What this face's features would be with other attributes: R(F, y), a conditional autoencoder of features (ours).

    F goes through a short code that holds no attributes (they are hidden from a classifier of codes), so that R has to
    take them from y. d = R(F_a, y + change) - R(F_a, y): what R cannot reproduce of a face cancels.

    Args:
        columns: W of y.
        channels: of F.
        side: h = w of F, even.
        code: numbers in the code.
    """

    def __init__(self, columns: int, channels: int, side: int, code: int) -> None:
        super().__init__()
        self.small, self.wide = side // 2, 2 * channels
        self.down = Normed(nn.Conv2d(channels, channels, 4, 2, 1))
        self.posterior = nn.Linear(channels * self.small**2 + columns, 2 * code)
        self.mixing = nn.Linear(code + columns, 256)
        self.first = nn.Linear(256 + code + columns, self.wide * self.small**2)
        self.up = ModulatedUp(self.wide, channels, 256)
        self.last = nn.Conv2d(channels, channels, 3, 1, 1)
        initialise(self)
        for linear in (self.posterior, self.up.modulation):
            nn.init.normal_(linear.weight, std=0.5 / math.sqrt(linear.in_features))

    def encode(self, face: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """F [B, C, h, w] and its attributes y [B, W] -> mean and log-variance of the code, each [B, code]."""
        h = self.down(face).flatten(1)  # [B, C * h/2 * w/2]
        mean, logvar = self.posterior(torch.cat([h, y], dim=1)).chunk(2, dim=1)  # [B, code] each
        return mean, logvar.clamp(*LOGVAR_RANGE)

    def decode(self, code: Tensor, y: Tensor) -> Tensor:
        """Code [B, code] and attributes [B, W] -> features [B, C, h, w]."""
        both = torch.cat([code, y.to(code.dtype)], dim=1)  # [B, code + W]
        mixed = F.leaky_relu(self.mixing(both), 0.2)  # [B, 256]
        h = F.leaky_relu(self.first(torch.cat([mixed, both], dim=1)), 0.2)  # [B, 2C * h/2 * w/2]
        features: Tensor = self.last(self.up(h.view(-1, self.wide, self.small, self.small), mixed))
        return features

    def forward(self, face: Tensor, y: Tensor, change: Tensor) -> Tensor:
        """F_a [B, C, h, w], y [B, W] and its change [B, W] -> d [B, C, h, w]."""
        code, _ = self.encode(face, y)
        return self.decode(code, y + change) - self.decode(code, y)  # [B, C, h, w]

    @torch.no_grad()
    def where(self, members: Tensor, *faces: tuple[Tensor, Tensor], only: Collection[int] | None = None) -> Tensor:
        """Return where each group shows: log e - log of a quarter of its largest, e = |R(F, y, group flipped)|^2.

        Args:
            members: bool [branches, W], the columns of y in each branch's group; the last has none.
            faces: (F [B, C, h, w], y [B, W]) of those between which something moves: e is the mean over the channels
                of R's answers, summed over the faces.
            only: of these branches alone, where the others do not move.

        Returns:
            [B, branches, 1, h, w].
        """
        energy = torch.full((), LITTLE**4)
        for face, y in faces:
            code, _ = self.encode(face, y)
            before = self.decode(code, y)
            each = [
                self.decode(code, torch.where(group, 1 - y, y)) - before
                if only is None or branch in only
                else torch.zeros_like(before)
                for branch, group in enumerate(members)
            ]
            energy = energy + torch.stack(each, dim=1).float().square().mean(2, keepdim=True)
        return energy.log() - (energy.amax((3, 4), keepdim=True) / 4 + LITTLE**2).log()


def feature_side(recipe: InterpolationRecipe) -> int:
    """Return h = w of F."""
    return recipe.data.image_size // (VGG_STRIDE if recipe.networks.kind == "paper" else SMALL_STRIDE)


def kept_networks(recipe: InterpolationRecipe, schema: Schema, found: Collection[str] = ()) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds.

    Raises:
        AttrimorphError: the sizes do not go together.
    """
    options = recipe.networks
    encoder: nn.Module
    decoder: nn.Module
    if options.kind == "paper":
        if options.channels != VGG_CHANNELS or 8 * options.decoder_width != VGG_CHANNELS:
            raise AttrimorphError(
                f"networks.channels must be {VGG_CHANNELS} and networks.decoder_width {VGG_CHANNELS // 8} with the "
                f"kind paper, as VGG-19 has them; got {options.channels} and {options.decoder_width}; or take small"
            )
        encoder, decoder = VggEncoder(), Decoder(options.decoder_width)
    else:
        encoder = FeatureEncoder(options.channels, options.encoder_width)
        decoder = FeatureDecoder(options.channels, options.decoder_width)
    branches = len(grouping(recipe, schema)) + 1
    side, learned = feature_side(recipe), options.prototypes == "learned"
    sizes = (schema.width, options.channels, side)
    return {
        "encoder": encoder,
        "interpolator": Interpolator(
            options.channels,
            branches,
            options.interpolator_width,
            sees_face=options.sees_face,
            gated=learned,
        ),
        "decoder": decoder,
        "classifier": AttributeMaps(recipe.data.image_size, schema.width, options.classifier_width),
        "prototypes": LearnedPrototypes(*sizes, options.code) if learned else MeanPrototypes(*sizes),
    }
