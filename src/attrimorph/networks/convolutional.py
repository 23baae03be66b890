"""The small set for CPUs: E, G, D, C of strided 4x4 convolutions, for any power of two from 16 pixels.

Channels double as the image halves, from `width` up to 8 x `width`. The condition y joins E at its last layer, and
scales and shifts the features of G at every resolution. No network normalises over the batch: an image's
result never depends on its neighbours, so training on several processes and serving one image are exact.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from attrimorph.errors import AttrimorphError

SLOPE = 0.2
EPSILON = 1e-6
LOGVAR_RANGE = (-10.0, 4.0)
LARGEST = 128  # pixels that a strided trunk sees: larger images are shrunk to it, no attribute needs more
Stages = Sequence[Sequence[int]]


def modulate(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """LeakyReLU(n (1 + scale) + shift), where n = h / sqrt(mean over channels of h^2 + 1e-6): one function.

    Left to autograd, this chain fills more than a dozen maps of the size of h and took two thirds of the time of a
    stage's convolution; with its gradient written out, it takes about a fifth.

    Args:
        h: [B, C, S, S].
        scale, shift: [B, C, 1, 1].

    Returns:
        [B, C, S, S]. It can be differentiated once.
    """
    out: Tensor = Modulate.apply(h, scale, shift)  # type: ignore[no-untyped-call]
    return out


class Modulate(torch.autograd.Function):
    """What `modulate` computes. With m = n (1 + scale) + shift, r = rsqrt(...) and g = dL/dm:

    dL/dshift = sum over pixels of g, dL/dscale = sum over pixels of g n, and with k = g (1 + scale)
    dL/dh = r (k - n mean over channels of k n).
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        r = torch.rsqrt(h.square().mean(1, keepdim=True).add_(EPSILON))
        n, gain = h * r, 1 + scale
        out = F.leaky_relu_(torch.addcmul(shift, n, gain), SLOPE)
        ctx.save_for_backward(n, r, gain, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, r, gain, out = ctx.saved_tensors
        # The slope is positive, so that the sign of the result is that of m.
        g = torch.ops.aten.leaky_relu_backward(gradient, out, SLOPE, True)
        product = g * n
        scale, shift = product.sum((2, 3), keepdim=True), g.sum((2, 3), keepdim=True)
        mean = product.mul_(gain).mean(1, keepdim=True)
        return g.mul_(gain).addcmul_(n, mean, value=-1).mul_(r), scale, shift


def stage_channels(image_size: int, width: int) -> list[int]:
    """Return the channels at sizes image_size / 2, image_size / 4, ..., 4.

    Raises:
        AttrimorphError: the size is no power of two of at least 16.
    """
    stages = int(math.log2(image_size)) - 2 if image_size > 0 else 0
    if stages < 2 or 4 * 2**stages != image_size:
        raise AttrimorphError(f"image_size must be a power of two of at least 16; got {image_size}; try 32, 64 or 128")
    return [width * min(2**stage, 8) for stage in range(stages)]


def initialise(module: nn.Module) -> None:
    """Kaiming weights for leaky rectifiers of slope 0.2 and zero biases: keeps the signal's size without a norm."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, a=0.2)
            if isinstance(part, nn.ConvTranspose2d):
                # At a stride of 2 an output sees a quarter of the kernel: the fan-in is the channels, times that.
                fan_in = part.in_channels * part.weight[0, 0].numel() / (part.stride[0] * part.stride[1])
                nn.init.normal_(part.weight, std=math.sqrt(2 / (1 + 0.2**2) / fan_in))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def initialise_he(module: nn.Module) -> None:
    """Kaiming weights (rectifiers, fan-in) and zero biases; batch norm starts as the identity."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def initialise_dcgan(module: nn.Module) -> None:
    """DCGAN's: every weight N(0, 0.02^2), batch norm's scales N(1, 0.02^2), zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, mean=1.0, std=0.02)


class Trunk(nn.Module):
    """[B, inputs, S, S] -> [B, C * 16]: convolutions 4x4 of stride 2 with leaky rectifiers, down to 4x4, flattened."""

    def __init__(self, image_size: int, width: int, inputs: int = 3) -> None:
        super().__init__()
        channels = [inputs, *stage_channels(image_size, width)]
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 4, 2, 1) for before, after in pairwise(channels))
        self.features = channels[-1] * 16

    def stages(self, images: Tensor) -> list[Tensor]:
        """Return what each convolution gives: [B, C, S/2, S/2] ... [B, 8C, 4, 4]."""
        found = [images]
        for convolution in self.convolutions:
            found.append(F.leaky_relu(convolution(found[-1]), 0.2, inplace=True))
        return found[1:]

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images)[-1].flatten(1)  # [B, 8C * 16]; fewer channels where S is below 64


class StridedTrunk(nn.Module):
    """Images [B, 3, S, S] in [-1, 1] -> features [B, F]: convolutions, batch norm, rectifiers, flattened.

    Args:
        image_size: S; beyond 128 pixels images are shrunk to 128 first.
        stages: (channels, kernel, stride) of each convolution.
    """

    def __init__(self, image_size: int, stages: Stages) -> None:
        super().__init__()
        self.shrink = max(1, image_size // LARGEST)
        layers: list[nn.Module] = []
        before, side = 3, image_size // self.shrink
        for channels, kernel, stride in stages:
            layers += [
                nn.Conv2d(before, channels, kernel, stride, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            before, side = channels, side // stride
        self.layers = nn.Sequential(*layers)
        self.features = before * side * side

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images)[-1].flatten(1)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the output of every stage, [B, C, H, W], the finest first."""
        h = images if self.shrink == 1 else F.avg_pool2d(images, self.shrink)
        found = []
        for layer in self.layers:
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                found.append(h)
        return found


class Encoder(nn.Module):
    """E(x, y) -> mean, log-variance, each [B, latent]; y joins at the last fully connected layers.

    Args:
        image_size: S of the images [B, 3, S, S].
        condition: columns of y; 0 for none.
        latent: columns of z.
        width: channels of the first convolution.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, width)
        self.joined = nn.Linear(self.trunk.features + condition, 2 * latent)
        initialise(self)
        nn.init.normal_(self.joined.weight, std=1 / math.sqrt(self.joined.in_features))

    def forward(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.joined(torch.cat([self.trunk(images), y], dim=1)).chunk(2, dim=1)  # [B, Z] each
        return mean, logvar.clamp(*LOGVAR_RANGE)


class ModulatedUp(nn.Module):
    """Twice the size: transposed convolution 4x4, pixel norm, then scale and shift by the condition.

    [B, before, S, S], [B, condition] -> [B, after, 2S, 2S].
    """

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(before, after, 4, 2, 1)
        self.modulation = nn.Linear(condition, 2 * after)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)  # [B, after, 1, 1] each
        return modulate(self.convolution(h), scale, shift)  # [B, after, 2S, 2S]


class Generator(nn.Module):
    """G(z, y) -> images [B, 3, S, S] in [-1, 1].

    Args:
        image_size: S.
        condition: columns of y; 0 for none.
        latent: columns of z.
        width: channels of the last stage but one.
        outputs: channels of `maps`.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int, outputs: int = 3) -> None:
        super().__init__()
        channels = stage_channels(image_size, width)[::-1]
        self.mixing = nn.Linear(latent + condition, 256)
        self.first = nn.Linear(256 + latent + condition, channels[0] * 16)
        self.stages = nn.ModuleList(ModulatedUp(before, after, 256) for before, after in pairwise(channels))
        self.last = nn.ConvTranspose2d(channels[-1], outputs, 4, 2, 1)
        self.start = channels[0]
        initialise(self)
        for stage in self.stages:
            if isinstance(stage, ModulatedUp):
                nn.init.normal_(stage.modulation.weight, std=0.5 / math.sqrt(256))
        nn.init.normal_(self.last.weight, std=0.02)

    def maps(self, z: Tensor, y: Tensor) -> Tensor:
        """Return what the last layer gives, [B, outputs, S, S]."""
        code = torch.cat([z, y], dim=1)  # [B, Z + W]
        mixed = F.leaky_relu(self.mixing(code), 0.2)  # [B, 256]
        h = F.leaky_relu(self.first(torch.cat([mixed, code], dim=1)), 0.2)  # [B, 8C * 16]
        h = h.view(-1, self.start, 4, 4)  # [B, 8C, 4, 4]
        for stage in self.stages:
            h = stage(h, mixed)  # [B, 8C, 8, 8] ... [B, C, S/2, S/2]
        found: Tensor = self.last(h)  # [B, outputs, S, S]
        return found

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.maps(z, y))  # [B, 3, S, S]


class MinibatchDiscrimination(nn.Module):
    """o(x_i)_b = sum over j of exp(-|M_ib - M_jb|), M_i = f(x_i) T (Salimans et al. 2016, section 3.2).

    [B, F] -> [B, kernels]: how many images of the batch are like it, in each kernel's eyes. Each of several processes
    compares the images of its own share of the batch.

    Args:
        features: F.
        kernels: rows of each M_i.
        columns: of each row; 5 in the authors' code.
    """

    def __init__(self, features: int, kernels: int, columns: int = 5) -> None:
        super().__init__()
        self.columns = columns
        # Small (ours): images that are far apart in every kernel would teach nothing.
        self.tensor = nn.Parameter(torch.randn(features, kernels * columns) * 0.5 / math.sqrt(features))

    def forward(self, features: Tensor) -> Tensor:
        m = (features @ self.tensor).float().view(len(features), -1, self.columns)  # [B, kernels, columns]
        distance = (m[:, None] - m).abs().sum(3)  # [B, B, kernels]
        return torch.exp(-distance).sum(1)  # [B, kernels]


class MeanCovariance(nn.Module):
    """f(x) = v' Phi(x) + trace(U' Phi(x) Phi(x)' V), |v| = 1, U and V orthonormal [F, k] (Mroueh et al. 2017, McGAN).

    E f(x_r) - E f(x_p), at its largest over v, U and V, is the distance of the mean features and the sum of the k
    largest singular values of the difference of their (uncentred) covariances. [B, F] -> [B, 1].

    Args:
        features: F.
        components: k.
    """

    def __init__(self, features: int, components: int) -> None:
        super().__init__()
        # Lengths do not matter: v is divided by its own, U and V are made orthonormal (QR).
        self.mean = nn.Parameter(torch.randn(features) * 0.005)
        self.left = nn.Parameter(torch.randn(features, components) * 0.005)
        self.right = nn.Parameter(torch.randn(features, components) * 0.005)

    def forward(self, features: Tensor) -> Tensor:
        # In float32 under autocast, too: QR knows no other, and differences of moments are small.
        with torch.autocast(features.device.type, enabled=False):
            phi = features.float()
            left, right = orthonormal(self.left), orthonormal(self.right)  # [F, k] each
            means = phi @ F.normalize(self.mean, dim=0)  # [B]
            return (means + ((phi @ left) * (phi @ right)).sum(1))[:, None]  # [B, 1]


def orthonormal(basis: Tensor) -> Tensor:
    """Return the columns of a basis [F, k] made orthonormal one after another (Gram-Schmidt), by QR.

    QR alone leaves each column's sign to its first entry, and u_k and v_k could not be of any signs to each other.
    """
    q, r = torch.linalg.qr(basis)
    signed: Tensor = q * r.diagonal().sign()
    return signed


class DiscriminatorHeads(nn.Module):
    """What discriminators make of their trunk's stages: a verdict, features, and with a class head the attributes."""

    def add_heads(
        self,
        features: int,
        condition: int,
        stages: int,
        *,
        outputs: int = 0,
        kernels: int = 0,
        components: int = 0,
        layers: int = 1,
    ) -> None:
        """Add the last layers.

        Args:
            features: F, of the last stage, flattened.
            condition: columns of y for a conditional one (joined at the last layer by projection); 0 for none.
            stages: of the trunk.
            outputs: columns of y that a class head reads off the last stage (AC-GAN); 0 for none.
            kernels: of minibatch discrimination before the last layer; 0 for none.
            components: of the covariances that the verdict compares beside the means (McGAN); 0 for neither.
            layers: stages that f_D holds, from the last one back.

        Raises:
            AttrimorphError: f_D is to hold more stages than there are.
        """
        if layers > stages:
            raise AttrimorphError(
                f"networks.feature_layers must be at most the {stages} layers of this discriminator; got {layers}; "
                f"take {stages}"
            )
        self.layers = layers
        self.last = MeanCovariance(features, components) if components else nn.Linear(features + kernels, 1)
        self.projection = nn.Linear(condition, features, bias=False) if condition else None
        self.minibatch = MinibatchDiscrimination(features, kernels) if kernels else None
        self.head = nn.Linear(features, outputs) if outputs else None

    def judged(self, stages: list[Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, 1] and f_D [B, F'], of stages [B, C, S, S] and y [B, condition]."""
        h = stages[-1].flatten(1)  # [B, F]
        seen = h if self.minibatch is None else torch.cat([h, self.minibatch(h)], dim=1)
        logits: Tensor = self.last(seen)  # [B, 1]
        if self.projection is not None:
            logits = logits + (h * self.projection(y)).sum(1, keepdim=True)
        return logits, torch.cat([stage.flatten(1) for stage in stages[-self.layers :]], dim=1)

    def read(self, features: Tensor) -> Tensor:
        """Return the class head's logits [B, outputs] of f_D [B, F']: it shares the whole trunk (AC-GAN)."""
        assert self.head is not None
        logits: Tensor = self.head(features[:, -self.head.in_features :])
        return logits


class Discriminator(DiscriminatorHeads):
    """D(x[, y]) -> logits [B, 1] and f_D, the input of the last fully connected layer, [B, F].

    Args:
        image_size: S of the images [B, 3, S, S].
        condition: columns of y for a conditional one; 0 for none.
        width: channels of the first convolution.
        heads: `outputs`, `kernels`, `components` and `layers`, as of `add_heads`.
    """

    def __init__(self, image_size: int, condition: int, width: int, **heads: int) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, width)
        self.add_heads(self.trunk.features, condition, len(self.trunk.convolutions), **heads)
        initialise(self)
        for layer in (self.last, self.projection, self.head):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.judged(self.trunk.stages(images), y)


class Classifier(nn.Module):
    """C(x) -> logits [B, outputs] and f_C, the input of the last fully connected layer, [B, 256].

    Args:
        image_size: S of the images [B, 3, S, S].
        outputs: columns of y.
        width: channels of the first convolution.
    """

    def __init__(self, image_size: int, outputs: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(image_size, width)
        self.hidden = nn.Linear(self.trunk.features, 256)
        self.last = nn.Linear(256, outputs)
        initialise(self)
        nn.init.normal_(self.last.weight, std=0.02)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.leaky_relu(self.hidden(self.trunk(images)), 0.2)  # [B, 256]
        return self.last(features), features  # [B, W], [B, 256]


class CodeJudge(nn.Module):
    """A judge of codes: [B, latent] -> logits [B, outputs]; two hidden layers.

    The adversarial autoencoder's discriminator has one output; the classifier that codes are hidden from has one for
    each column of y.
    """

    def __init__(self, latent: int, outputs: int = 1, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, outputs),
        )
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(z)  # [B, outputs]
        return logits


class FittedPrior(nn.Module):
    """noise [B, Z] ~ N(0, I) -> z = mean + factor noise; the identity until it is fitted.

    Where samples come from after training: a Gaussian fitted to the codes of training images. An encoder trained with a
    small weight of L_KL leaves N(0, I): its codes fill a part of it only, and G knows little of the rest. Drawing z
    from a Gaussian fitted to the codes afterwards (ex-post density estimation, Ghosh et al., ICLR 2020) keeps samples
    where G was taught. Methods without an encoder keep N(0, I).
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("factor", torch.zeros(latent, latent).fill_diagonal_(1))

    @classmethod
    def of(cls, codes: Iterable[tuple[Tensor, Tensor]]) -> Self:
        """Return the Gaussian of the codes of training images, given as batches of `fit`'s arguments."""
        means, logvars = (torch.cat(parts) for parts in zip(*codes, strict=True))
        prior = cls(means.shape[1])
        prior.fit(means, logvars)
        return prior

    def forward(self, noise: Tensor) -> Tensor:
        return torch.addmm(self.mean, noise, self.factor.T)  # [B, Z]

    @torch.no_grad()
    def fit(self, means: Tensor, logvars: Tensor) -> None:
        """Take mean and covariance of the aggregate posterior, 1/N sum of N(mean_i, exp(logvar_i)).

        Args:
            means, logvars: of the training images' codes, [N, Z]; N = 1 and dead columns are allowed.
        """
        means, logvars = means.double().cpu(), logvars.double().cpu()
        centred = means - means.mean(0)
        covariance = centred.T @ centred / len(means) + torch.diag(logvars.exp().mean(0))
        self.mean.copy_(means.mean(0))
        self.factor.copy_(torch.linalg.cholesky(covariance))
