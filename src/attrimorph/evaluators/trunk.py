"""What judges and identity encoders share: the trunk of their networks, how images go through, and their files."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.fitting import BATCH, channels_last
from attrimorph.files import beside, write_bytes

SHIPPED = Path(__file__).parents[1] / "shipped"

# (channels, kernel, stride) before the trunk proper, which goes down to 4x4; few channels where the image is large.
FIRST = {16: (), 32: ((24, 3, 1),), 64: ((24, 4, 2),), 128: ((16, 4, 2), (24, 4, 2))}
LARGEST = 128  # larger images are shrunk to it: no attribute needs more
SIZES = (16, 32, 64, 128, 256, 512, 1024)

Stages = Sequence[Sequence[int]]


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
        h = images if self.shrink == 1 else avg_pool2d(images, self.shrink)
        found = []
        for layer in self.layers:
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                found.append(h)
        return found


class TrunkNetwork(nn.Module):
    """A network over a trunk.

    Args:
        image_size: S, a power of two in 16..1024.
        stages: of the trunk; by default the first ones of that size, then `down` to 4x4.
        dropout: of the trunk's features, in training.
    """

    kind: ClassVar[str]
    down: ClassVar[Stages]
    shape: dict[str, Any]

    def __init__(self, image_size: int, stages: Stages, dropout: float) -> None:
        super().__init__()
        if image_size not in SIZES:
            raise AttrimorphError(
                f"a {self.kind}'s image_size must be a power of two in {SIZES[0]}..{SIZES[-1]}; got {image_size}; "
                "prepare the images at such a size"
            )
        self.stages = stages or (*FIRST[min(image_size, LARGEST)], *self.down)
        self.trunk = StridedTrunk(image_size, self.stages)
        self.dropout = nn.Dropout(dropout)


class Evaluator(ABC):
    """A trained network that looks at images: a dataclass of plain values, which its file has too, and the network.

    Attributes:
        kind: "judge" or "recogniser", as formats and files call them.
        versions: of the format that are read, the newest last.
    """

    kind: ClassVar[str]
    versions: ClassVar[tuple[str, ...]]
    name: str
    image_size: int
    network: Any

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """Yield batches of images laid out channels last.

        Raises:
            AttrimorphError: the images are not [B, 3, S, S].
        """
        size = self.image_size
        if images.dim() != 4 or images.shape[1:] != (3, size, size):
            raise AttrimorphError(
                f"{self.name} takes images [B, 3, {size}, {size}]; got {tuple(images.shape)}; resize them first"
            )
        for part in torch.split(images, BATCH):
            yield part.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def through(self, call: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return what is made of images [B, 3, S, S], [B, ...], called with one batch after another."""
        return torch.cat([call(part) for part in self.batches(images)])

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the trunk's stages, each [B, C, H, W], the finest first."""
        found = [self.network.trunk.maps(part) for part in self.batches(images)]
        return [torch.cat(stage) for stage in zip(*found, strict=True)]

    def save(self, path: Path) -> None:
        """Write it as safetensors: weights in float16, everything else in the header."""
        words = {"format": f"attrimorph {self.kind}", "format_version": self.versions[-1], **self.network.shape}
        words |= {name: value for name, value in vars(self).items() if name != "network"}
        header = {
            name: value if isinstance(value, str) else json.dumps(value, default=lambda schema: schema.to_json())
            for name, value in words.items()
        }
        write_bytes(path, safetensors.torch.save(halves(self.network), header))
        beside(path).unlink(missing_ok=True)

    @classmethod
    @abstractmethod
    def rebuilt(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Return those of the fields that are no plain values, with a fresh network, from the values of a header."""

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read one from a file, or the shipped one by the name of its data ("drawn-faces-64").

        Raises:
            AttrimorphError: there is none, or the file is damaged or something else.
        """
        shipped = SHIPPED / f"{cls.kind}-{source}.safetensors"
        path = shipped if shipped.is_file() else Path(source)
        if not path.is_file():
            known = sorted(file.stem.removeprefix(f"{cls.kind}-") for file in SHIPPED.glob(f"{cls.kind}-*.safetensors"))
            raise AttrimorphError(
                f"there is no {cls.kind} {str(source)!r}; shipped are: {', '.join(known) or 'none'}; name one or a file"
            )
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                # Format 1 of judges had the layers of the trunk without their name.
                tensors = {
                    re.sub(r"^trunk\.(?=\d)", "trunk.layers.", name): file.get_tensor(name).float()
                    for name in file.keys()  # noqa: SIM118
                }
            if header.get("format") == f"attrimorph {cls.kind}" and header.get("format_version") in cls.versions:
                plain = ("format", "format_version", "name")
                words = {name: text if name in plain else json.loads(text) for name, text in header.items()}
                values = {each.name: words[each.name] for each in fields(cls) if each.name in words}  # type: ignore[arg-type]
                found = cls(**{**values, **cls.rebuilt(words)})
                fill(found.network, tensors)
                channels_last(found.network.eval())
                return found
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError, AttrimorphError) as error:
            raise AttrimorphError(f"the {cls.kind} {path} is damaged ({error}); train or fetch it again") from error
        raise AttrimorphError(f"{path} must be a {cls.kind} of format {cls.versions[-1]}; it is none; train one")


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
        KeyError, RuntimeError, ValueError: it does not fit, or holds what is no number.
    """
    network.load_state_dict(tensors, strict=False)
    if missing := [key for key in network.state_dict() if key not in tensors and "batches" not in key]:
        raise KeyError(missing[0])
    if odd := [key for key, value in tensors.items() if not value.isfinite().all()]:
        raise ValueError(f"{odd[0]} holds NaN or infinity")
