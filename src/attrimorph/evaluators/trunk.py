"""What judges and identity encoders share: the trunk of their networks, and their files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.fitting import BATCH

SHIPPED = Path(__file__).parents[1] / "shipped"

# (channels, kernel, stride) before the trunk proper, which goes down to 4x4; few channels where the image is large.
FIRST = {16: (), 32: ((24, 3, 1),), 64: ((24, 4, 2),), 128: ((16, 4, 2), (24, 4, 2))}
LARGEST = 128  # larger images are shrunk to it: no attribute needs more
SIZES = (16, 32, 64, 128, 256, 512, 1024)

Stages = Sequence[Sequence[int]]


def check_size(image_size: int, kind: str) -> None:
    """Refuse image sizes that the trunk cannot halve down.

    Raises:
        AttrimorphError: it is no such size.
    """
    if image_size not in SIZES:
        raise AttrimorphError(
            f"a {kind}'s image_size must be a power of two in {SIZES[0]}..{SIZES[-1]}; got {image_size}; "
            "prepare the images at such a size"
        )


class Trunk(nn.Module):
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
        h = images if self.shrink == 1 else avg_pool2d(images, self.shrink)
        found = []
        for layer in self.layers:
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                found.append(h)
        return found


def parts(images: Tensor, image_size: int, name: str) -> Iterator[Tensor]:
    """Yield batches of images laid out channels last; refuse those of another size.

    Raises:
        AttrimorphError: the images are not [B, 3, S, S].
    """
    if images.dim() != 4 or images.shape[1:] != (3, image_size, image_size):
        raise AttrimorphError(
            f"{name} takes images [B, 3, {image_size}, {image_size}]; got {tuple(images.shape)}; resize them first"
        )
    for part in torch.split(images, BATCH):
        yield part.to(memory_format=torch.channels_last)


def halves(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state in float16, without the counters of batch norm."""
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put a state that `halves` returned back.

    Raises:
        KeyError, RuntimeError: it does not fit.
    """
    network.load_state_dict(tensors, strict=False)
    if missing := [key for key in network.state_dict() if key not in tensors and "batches" not in key]:
        raise KeyError(missing[0])
    if odd := [key for key, value in tensors.items() if not value.isfinite().all()]:
        raise ValueError(f"{odd[0]} holds NaN or infinity")


def find_shipped(source: str | Path, kind: str) -> Path:
    """Return the file of a judge or identity encoder: a shipped one's by name, or any other by path.

    Raises:
        AttrimorphError: there is none.
    """
    shipped = SHIPPED / f"{kind}-{source}.safetensors"
    path = shipped if shipped.is_file() else Path(source)
    if not path.is_file():
        known = sorted(file.stem.removeprefix(f"{kind}-") for file in SHIPPED.glob(f"{kind}-*.safetensors"))
        raise AttrimorphError(
            f"there is no {kind} {str(source)!r}; shipped are: {', '.join(known) or 'none'}; name one or a file"
        )
    return path


def read_trained(path: Path, form: str, versions: Sequence[str], kind: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return header and tensors, float32, of a judge's or identity encoder's file.

    Raises:
        AttrimorphError: the file is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise damaged(path, kind, error) from error
    if header.get("format") != form or header.get("format_version") not in versions:
        raise AttrimorphError(f"{path} must be a {kind} of format {versions[-1]}; it is none; train one")
    return header, tensors


def damaged(path: Path, kind: str, error: Exception) -> AttrimorphError:
    """Return the error about a file that cannot be what it says."""
    return AttrimorphError(f"the {kind} {path} is damaged ({error}); train or fetch it again")
