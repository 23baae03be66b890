"""Published networks and their weights, where torch's hub keeps them or the user says; no code of theirs is run.

VGG-19 (Simonyan and Zisserman 2015) up to its last convolution; and Inception v3 as the Frechet inception distance uses
it (Szegedy et al. 2016; Heusel et al. 2017): the original graph of 2015 pools without counting the padding, and its
last block takes the largest value instead of the mean. Parameters have the names of the usual weights of that graph
("Mixed_5b.branch1x1.conv.weight").
"""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate, max_pool2d

from attrimorph.errors import AttrimorphError

CACHED = {"inception": "pt_inception-2015-12-05-*.pth", "vgg19": "vgg19-*.pth"}
Network = TypeVar("Network", bound=nn.Module)
# Of VGG-19: channels, 0 = pool; and the layers whose maps are seen.
WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
SEEN = (3, 8, 17, 26, 35)  # relu1_2, relu2_2, relu3_4, relu4_4, relu5_4
SIDE = 299  # pixels that Inception was trained on
Size = int | tuple[int, int]


def cached(name: str) -> Path:
    """Return the newest file of these weights in the cache of torch's hub.

    Raises:
        AttrimorphError: there is none.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(folder.glob(CACHED[name]))
    if not found:
        raise AttrimorphError(
            f"the weights of {name} must lie in {folder} as {CACHED[name]}; they do not; put them there or name a file"
        )
    return found[-1]


def read_weights(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Read a state dict without running any code of the file, and the sha256 of the file.

    Raises:
        AttrimorphError: the file is missing, damaged, or no state dict.
    """
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        # What torch says of such a file advises to run its code.
        raise AttrimorphError(
            f"{path} must hold weights, as a state dict or safetensors; it is damaged or something else; get it again"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AttrimorphError(f"{path} must hold a state dict, names and tensors; it holds something else")
    return state, digest


def filled(network: Network, state: Mapping[str, Tensor], path: Path) -> Network:
    """Put weights into a network, in eval mode; parts that the network lacks (other heads) are left aside."""
    own = network.state_dict()
    wanted = {key: value.float() for key, value in state.items() if key in own and value.is_floating_point()}
    missing = [key for key in own if key not in wanted and not key.endswith("num_batches_tracked")]
    if missing:
        raise AttrimorphError(f"{path} must hold all weights of the network; {missing[0]} is missing; get it again")
    try:
        network.load_state_dict(wanted, strict=False)
    except RuntimeError as error:
        raise AttrimorphError(f"the weights in {path} have other shapes; get the usual file again") from error
    return network.eval().requires_grad_(False)


class Vgg19(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] -> feature maps relu1_2, relu2_2, relu3_4, relu4_4, relu5_4.

    Parameters have the names of the usual ImageNet weights, "features.0.weight" to "features.34.bias".
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)] if width else [nn.MaxPool2d(2, 2)]
            before = width or before
        self.features = nn.Sequential(*layers)
        # The training images' colours, on the scale 0..1.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        h = ((images + 1) / 2 - self.mean) / self.deviation  # [B, 3, H, W]
        found = []
        for number, layer in enumerate(self.features):
            h = layer(h)  # [B, 64, H, W] ... [B, 512, H/16, W/16]
            if number in SEEN:
                found.append(h)
        return found


class Convolution(nn.Module):
    """Convolution, batch norm, rectifier: [B, before, H, W] -> [B, after, H / stride, W / stride].

    Args:
        before, after: channels.
        kernel: one side or both.
        stride: 2 goes without a border, as published.
        padding: of each side; "same" keeps the size.
    """

    def __init__(self, before: int, after: int, kernel: Size, stride: int = 1, padding: int | str = "same") -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, 0 if stride == 2 else padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, their outputs joined: [B, before, H, W] -> [B, sum of the last channels, H', W'].

    Args:
        before: channels.
        branches: each a row of parts: a pooling; a convolution (name, channels, kernel, stride); or several of these,
            which see the same and whose outputs are joined.
    """

    def __init__(self, before: int, *branches: tuple[Any, ...]) -> None:
        super().__init__()
        self.branches = branches
        for branch in branches:
            width = before
            for part in branch:
                if not callable(part):
                    for name, after, *shape in fork(part):
                        self.add_module(name, Convolution(width, after, *shape))
                    width = after

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for branch in self.branches:
            seen = [x]
            for part in branch:
                h = seen[-1]
                seen = [part(h)] if callable(part) else [self.get_submodule(name)(h) for name, *_ in fork(part)]
            outputs += seen
        return torch.cat(outputs, 1)  # [B, C, H', W']


def fork(part: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """Return the convolutions that a part of a branch is."""
    return part if isinstance(part[0], tuple) else (part,)


def mean_pool(x: Tensor) -> Tensor:
    return avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def max_pool(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, 1, 1)


def halved(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, 2)


def block_a(before: int, pooled: int) -> Mixed:
    """35 x 35."""
    return Mixed(
        before,
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
        (mean_pool, ("branch_pool", pooled, 1)),
    )


def block_b(before: int) -> Mixed:
    """35 x 35 -> 17 x 17."""
    double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2))
    return Mixed(before, (("branch3x3", 384, 3, 2),), double, (halved,))


def block_c(before: int, width: int) -> Mixed:
    """17 x 17, with kernels of 7 in one direction."""
    double = [(f"branch7x7dbl_{n}", width, (7, 1) if n % 2 == 0 else (1, 7)) for n in (2, 3, 4)]
    return Mixed(
        before,
        (("branch1x1", 192, 1),),
        (("branch7x7_1", width, 1), ("branch7x7_2", width, (1, 7)), ("branch7x7_3", 192, (7, 1))),
        (("branch7x7dbl_1", width, 1), *double, ("branch7x7dbl_5", 192, (1, 7))),
        (mean_pool, ("branch_pool", 192, 1)),
    )


def block_d(before: int) -> Mixed:
    """17 x 17 -> 8 x 8."""
    seven = (("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1)))
    three = (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2))
    return Mixed(before, three, (*seven, ("branch7x7x3_4", 192, 3, 2)), (halved,))


def block_e(before: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    """8 x 8; the last one pools by the largest value."""
    double = (("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return Mixed(
        before,
        (("branch1x1", 320, 1),),
        (("branch3x3_1", 384, 1), (("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1)))),
        (*double, (("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1)))),
        (pool, ("branch_pool", 192, 1)),
    )


class Inception(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] -> features [B, 2048] of the last pooling, for images scaled to 299 x 299.

    Args:
        classes: of the last layer; 1008 in the graph of 2015.
    """

    def __init__(self, classes: int = 1008) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padding=0)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = block_a(192, 32), block_a(256, 64), block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b, self.Mixed_6c = block_c(768, 128), block_c(768, 160)
        self.Mixed_6d, self.Mixed_6e = block_c(768, 160), block_c(768, 192)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b, self.Mixed_7c = block_e(1280, mean_pool), block_e(2048, max_pool)
        self.fc = nn.Linear(2048, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)  # [B, 3, 299, 299]
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # [B, 64, 147, 147]
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, 2)))  # [B, 192, 71, 71]
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(max_pool2d(x, 3, 2))))  # [B, 288, 35, 35]
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))  # [B, 768, 17, 17]
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # [B, 2048, 8, 8]
        return adaptive_avg_pool2d(x, 1).flatten(1)  # [B, 2048]
