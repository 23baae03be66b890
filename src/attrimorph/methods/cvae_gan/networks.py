"""Sets of networks that fit one another, by name: "small" for CPUs, "paper" as published.

The published ones are for 128x128 images (Bao et al., ICCV 2017): GoogLeNet E, AlexNet C, DCGAN's D, and their G. They
differ from the small set in one habit: batch norm after every convolution, as published. An image's result then depends
on its batch in training mode, and each of several processes sees the statistics of its own share of the batch: training
on two processes is close to, but not exactly, training on the joint batch. In evaluation mode the running statistics
are used, and results are each image's own.

Every `width` scales all channels of a network; the default is the published size. What the paper leaves open (sizes of
G's fully connected layers, initialisation, leaving out dropout, since batch norm is there and a step draws all its
chance from one generator) is ours.
"""

import math
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.recipe import METHODS, Recipe
from attrimorph.networks import convolutional
from attrimorph.networks.convolutional import LOGVAR_RANGE, DiscriminatorHeads, initialise_dcgan, initialise_he

IMAGE_SIZE = 128
INCEPTIONS: tuple[tuple[tuple[int, ...], ...], ...] = (
    # Table 1 of GoogLeNet: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool; a pool of stride 2 between the groups.
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
Build = Callable[..., nn.Module]
SMALL: dict[str, Build] = {
    "encoder": convolutional.Encoder,
    "generator": convolutional.Generator,
    "discriminator": convolutional.Discriminator,
    "classifier": convolutional.Classifier,
    "code_discriminator": convolutional.CodeJudge,
    "code_classifier": convolutional.CodeJudge,
    "prior": convolutional.FittedPrior,
}
NETWORKS = ("encoder", "generator", "classifier", "prior")
"""What a model of the family may hold; D and the judges of codes only serve training."""


def check_size(image_size: int) -> None:
    """Refuse any size but the published one.

    Raises:
        AttrimorphError: the size is not 128.
    """
    if image_size != IMAGE_SIZE:
        raise AttrimorphError(
            f"image_size must be {IMAGE_SIZE} for the paper's networks; got {image_size}; "
            f"prepare the data at {IMAGE_SIZE} or take the small networks"
        )


class NormedConv(nn.Module):
    """Convolution without bias, batch norm, ReLU: [B, before, S, S] -> [B, after, S / stride, S / stride]."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, padding: int | None = None) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.convolution = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, h: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(h)))  # [B, after, S / stride, S / stride]


class InceptionBlock(nn.Module):
    """Four branches side by side, concatenated: 1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 pool then 1x1.

    Args:
        before: channels of the input [B, before, S, S].
        one, three_before, three, five_before, five, pool: channels of the convolutions, in the table's order.
    """

    def __init__(
        self, before: int, one: int, three_before: int, three: int, five_before: int, five: int, pool: int
    ) -> None:
        super().__init__()
        self.one = NormedConv(before, one, 1)
        self.three = nn.Sequential(NormedConv(before, three_before, 1), NormedConv(three_before, three, 3))
        self.five = nn.Sequential(NormedConv(before, five_before, 1), NormedConv(five_before, five, 5))
        self.pool = NormedConv(before, pool, 1)
        self.channels = one + three + five + pool

    def forward(self, h: Tensor) -> Tensor:
        pooled = F.max_pool2d(h, 3, 1, 1)
        return torch.cat([self.one(h), self.three(h), self.five(h), self.pool(pooled)], dim=1)  # [B, channels, S, S]


class GoogLeNetEncoder(nn.Module):
    """E(x, y) -> mean, log-variance, each [B, latent]: GoogLeNet (Szegedy et al. 2015), y joined at the last layer.

    | layer                        | output at 128x128 |
    |------------------------------|-------------------|
    | convolution 7x7/2            | 64 x 64 x 64      |
    | max pool 3x3/2               | 64 x 32 x 32      |
    | convolution 1x1, 3x3         | 192 x 32 x 32     |
    | max pool 3x3/2               | 192 x 16 x 16     |
    | inception 3a, 3b             | 480 x 16 x 16     |
    | max pool 3x3/2               | 480 x 8 x 8       |
    | inception 4a, 4b, 4c, 4d, 4e | 832 x 8 x 8       |
    | max pool 3x3/2               | 832 x 4 x 4       |
    | inception 5a, 5b             | 1024 x 4 x 4      |
    | average pool, join y         | 1024 + condition  |
    | fully connected              | 2 latent          |

    Batch norm and ReLU after every convolution, no auxiliary heads. Parameters: 5,980,832 +
    (1024 + condition + 1) x 2 latent. Initialised by Kaiming's rule; the last layer with variance 1 / inputs.

    Args:
        image_size: 128.
        condition: columns of y; 0 for none.
        latent: columns of z; the paper's 256.
        width: channels of the first convolution, 64 as published; the others follow in proportion.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int = 64) -> None:
        super().__init__()
        check_size(image_size)

        def scaled(channels: int) -> int:
            return max(1, channels * width // 64)

        self.first = NormedConv(3, width, 7, 2)
        self.second = nn.Sequential(NormedConv(width, width, 1), NormedConv(width, scaled(192), 3))
        self.groups = nn.ModuleList()
        channels = scaled(192)
        for rows in INCEPTIONS:
            group = nn.Sequential()
            for row in rows:
                block = InceptionBlock(channels, *(scaled(c) for c in row))
                group.append(block)
                channels = block.channels
            self.groups.append(group)
        self.joined = nn.Linear(channels + condition, 2 * latent)
        initialise_he(self)
        nn.init.normal_(self.joined.weight, std=1 / math.sqrt(self.joined.in_features))

    def forward(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        h = self.first(images)  # [B, 64, 64, 64]
        h = self.second(F.max_pool2d(h, 3, 2, 1))  # [B, 192, 32, 32]
        for group in self.groups:
            h = group(F.max_pool2d(h, 3, 2, 1))  # [B, 480, 16, 16], [B, 832, 8, 8], [B, 1024, 4, 4]
        mean, logvar = self.joined(torch.cat([h.mean((2, 3)), y], dim=1)).chunk(2, dim=1)  # [B, Z] each
        return mean, logvar.clamp(*LOGVAR_RANGE)


class DeconvolutionalGenerator(nn.Module):
    """G(z, y) -> images [B, 3, 128, 128] in [-1, 1].

    | layer                  | output          |
    |------------------------|-----------------|
    | join z and y           | latent + condition |
    | fully connected, ReLU  | 1024            |
    | fully connected, ReLU  | 256 x 2 x 2     |
    | deconvolution 3x3, x2  | 256 x 4 x 4     |
    | deconvolution 3x3, x2  | 256 x 8 x 8     |
    | deconvolution 5x5, x2  | 128 x 16 x 16   |
    | deconvolution 5x5, x2  | 92 x 32 x 32    |
    | deconvolution 5x5, x2  | 64 x 64 x 64    |
    | deconvolution 5x5, x2  | 3 x 128 x 128   |

    Batch norm and ReLU after every deconvolution but the last, which has a bias and tanh. Parameters: 3,497,467 +
    (latent + condition) x 1024. Initialised as DCGAN's. The sizes of the fully connected layers are ours.

    Args:
        image_size: 128.
        condition: columns of y; 0 for none.
        latent: columns of z; the paper's 256.
        width: channels of the last layer but one, 64 as published; the others follow in proportion.
    """

    def __init__(self, image_size: int, condition: int, latent: int, width: int = 64) -> None:
        super().__init__()
        check_size(image_size)
        channels = [c * width // 64 for c in (256, 256, 256, 128, 92, 64)]
        self.start = channels[0]
        self.hidden = nn.Linear(latent + condition, 16 * width)
        self.spread = nn.Linear(16 * width, channels[0] * 4)
        self.stages = nn.ModuleList()
        for before, after, kernel in zip(channels, channels[1:], (3, 3, 5, 5, 5), strict=False):
            up = nn.ConvTranspose2d(before, after, kernel, 2, kernel // 2, output_padding=1, bias=False)
            self.stages.append(nn.Sequential(up, nn.BatchNorm2d(after), nn.ReLU()))
        self.last = nn.ConvTranspose2d(channels[-1], 3, 5, 2, 2, output_padding=1)
        initialise_dcgan(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        h = F.relu(self.hidden(torch.cat([z, y], dim=1)))  # [B, 1024]
        h = F.relu(self.spread(h)).view(-1, self.start, 2, 2)  # [B, 256, 2, 2]
        for stage in self.stages:
            h = stage(h)  # [B, 256, 4, 4], [B, 256, 8, 8], [B, 128, 16, 16], [B, 92, 32, 32], [B, 64, 64, 64]
        return torch.tanh(self.last(h))  # [B, 3, 128, 128]


class DcganDiscriminator(DiscriminatorHeads):
    """D(x[, y]) -> logits [B, 1] and f_D [B, 8192]: DCGAN's (Radford et al. 2016), one stage longer for 128x128.

    | layer             | output        |
    |-------------------|---------------|
    | convolution 4x4/2 | 64 x 64 x 64  |
    | convolution 4x4/2 | 128 x 32 x 32 |
    | convolution 4x4/2 | 256 x 16 x 16 |
    | convolution 4x4/2 | 512 x 8 x 8   |
    | convolution 4x4/2 | 512 x 4 x 4   |
    | flatten: f_D      | 8192          |
    | fully connected   | 1             |

    LeakyReLU 0.2 after every convolution, batch norm before it in all but the first. Parameters: 6,960,961, and
    condition x 8192 of a conditional one. Initialised as DCGAN's.

    Args:
        image_size: 128.
        condition: columns of y for a conditional one; 0 for none.
        width: channels of the first convolution, 64 as published; they double up to eightfold.
        heads: `outputs`, `kernels`, `components` and `layers`, as of `add_heads`.
    """

    def __init__(self, image_size: int, condition: int, width: int = 64, **heads: int) -> None:
        super().__init__()
        check_size(image_size)
        channels = [width * times for times in (1, 2, 4, 8, 8)]
        self.first = nn.Conv2d(3, width, 4, 2, 1)
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2))
            for before, after in pairwise(channels)
        )
        self.add_heads(channels[-1] * 16, condition, len(channels), **heads)
        initialise_dcgan(self)

    def forward(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        stages = [F.leaky_relu(self.first(images), 0.2)]  # [B, 64, 64, 64]
        for convolution in self.convolutions:
            # [B, 128, 32, 32], [B, 256, 16, 16], [B, 512, 8, 8], [B, 512, 4, 4]
            stages.append(convolution(stages[-1]))
        return self.judged(stages, y)  # [B, 1], [B, 8192]


class AlexNetClassifier(nn.Module):
    """C(x) -> logits [B, outputs] and f_C [B, 4096]: AlexNet (Krizhevsky et al. 2012), fc6 fit to 128x128.

    | layer                | output at 128x128 |
    |----------------------|-------------------|
    | convolution 11x11/4  | 96 x 31 x 31      |
    | max pool 3x3/2       | 96 x 15 x 15      |
    | convolution 5x5      | 256 x 15 x 15     |
    | max pool 3x3/2       | 256 x 7 x 7       |
    | convolution 3x3      | 384 x 7 x 7       |
    | convolution 3x3      | 384 x 7 x 7       |
    | convolution 3x3      | 256 x 7 x 7       |
    | max pool 3x3/2       | 256 x 3 x 3       |
    | fc6, ReLU            | 4096              |
    | fc7, ReLU: f_C       | 4096              |
    | fc8                  | outputs           |

    Batch norm and ReLU after every convolution (in place of local response norm; no groups, no dropout). Parameters:
    29,971,168 + 4097 x outputs. Initialised by Kaiming's rule; fc8 N(0, 0.01^2) as AlexNet's.

    Args:
        image_size: 128.
        outputs: columns of y.
        width: channels of the first convolution, 96 as published; the others follow in proportion.
    """

    def __init__(self, image_size: int, outputs: int, width: int = 96) -> None:
        super().__init__()
        check_size(image_size)
        two, three, five, hidden = (c * width // 96 for c in (256, 384, 256, 4096))
        self.one = NormedConv(3, width, 11, 4, 2)
        self.two = NormedConv(width, two, 5)
        self.rest = nn.Sequential(NormedConv(two, three, 3), NormedConv(three, three, 3), NormedConv(three, five, 3))
        self.fc6 = nn.Linear(five * 9, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, outputs)
        initialise_he(self)
        nn.init.normal_(self.fc8.weight, std=0.01)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = F.max_pool2d(self.one(images), 3, 2)  # [B, 96, 15, 15]
        h = F.max_pool2d(self.two(h), 3, 2)  # [B, 256, 7, 7]
        h = F.max_pool2d(self.rest(h), 3, 2).flatten(1)  # [B, 256 * 9]
        features = F.relu(self.fc7(F.relu(self.fc6(h))))  # [B, 4096]
        return self.fc8(features), features


PAPER: dict[str, Build] = SMALL | {
    "encoder": GoogLeNetEncoder,
    "generator": DeconvolutionalGenerator,
    "discriminator": DcganDiscriminator,
    "classifier": AlexNetClassifier,
}

KINDS: dict[str, dict[str, Build]] = {"small": SMALL, "paper": PAPER}


def networks_of(recipe: Recipe, schema: Schema, names: Iterable[str]) -> dict[str, nn.Module]:
    """Build the named networks of a recipe, in the order of the names, with fresh weights from torch's own generator.

    Args:
        recipe: says which set and how large; the published networks are those of the recipe cvae-gan-paper.
        schema: of the data.
        names: of "encoder", "generator", "discriminator", "classifier", "code_discriminator", "code_classifier",
            "prior".

    Raises:
        AttrimorphError: the set has no networks for images of that size, or sizes do not go together.
    """
    method, options = METHODS[recipe.method], recipe.networks
    size, attributes, latent = recipe.data.image_size, schema.width, options.latent
    condition = attributes if method.conditional else 0
    arguments: dict[str, tuple[int, ...]] = {
        "encoder": (size, condition, latent, options.encoder_width),
        "generator": (size, condition, latent, options.generator_width),
        "discriminator": (size, attributes if method.judged_with_condition else 0, options.discriminator_width),
        "classifier": (size, attributes, options.classifier_width),
        "code_discriminator": (latent,),
        "code_classifier": (latent, attributes),
        "prior": (latent,),
    }
    heads = {
        "outputs": attributes if method.class_head else 0,
        "kernels": options.minibatch_kernels,
        "components": method.components,
        "layers": options.feature_layers,
    }
    named = {"discriminator": heads}
    return {name: KINDS[options.kind][name](*arguments[name], **named.get(name, {})) for name in names}


def kept_networks(recipe: Recipe, schema: Schema, found: Collection[str]) -> dict[str, nn.Module]:
    """Build the networks that a model file of the family must hold; `found` are those that it holds."""
    # A model that was saved before its codes were looked at has no prior.
    held = {*METHODS[recipe.method].networks, *(set(found) & {"prior"})}
    return networks_of(recipe, schema, [name for name in NETWORKS if name in held])
