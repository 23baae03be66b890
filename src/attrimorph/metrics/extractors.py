"""Extractors: what turns images into features. Their names stand in the names of all figures measured with them."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.judge import Judge, answers
from attrimorph.networks.inception import Inception
from attrimorph.networks.vgg import Vgg19

BATCH = 64
STANDARD_INCEPTION = "6726825d"  # how the sha256 of the weights begins that everybody's FID is measured with
STANDARD_VGG = "dcbb9e9d"
CACHED = {"inception": "pt_inception-2015-12-05-*.pth", "vgg19": "vgg19-*.pth"}
Network = TypeVar("Network", bound=nn.Module)


class Extracts(Protocol):
    """Features of images."""

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return features [B, F] of images [B, 3, S, S] in [-1, 1]."""


@runtime_checkable
class SeesMaps(Protocol):
    """Feature maps of images."""

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return feature maps, each [B, C, H, W], of images [B, 3, S, S] in [-1, 1]."""


@dataclass(frozen=True)
class JudgeFeatures:
    """What a judge sees: the input of its last layer, and its trunk's feature maps.

    Attributes:
        judge: whose.
    """

    judge: Judge

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        return f"features of {self.judge.name}"

    def __call__(self, images: Tensor) -> Tensor:
        """Return features [B, F]."""
        return self.judge.features(images)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of all stages, the finest first."""
        return self.judge.maps(images)

    @torch.no_grad()
    def judged(self, features: Tensor) -> Tensor:
        """Return what the judge says of images with these features, [B, width]: its last layer alone."""
        found = self.judge.network.last(features)
        logits = found.chunk(2, dim=1)[0] if self.judge.network.degrees else found
        return answers(logits, self.judge.schema, self.judge.temperature)


@dataclass(frozen=True)
class InceptionFeatures:
    """The 2048 features that FID is measured with; images are scaled to 299 pixels.

    Attributes:
        network: in eval mode.
        name: says whether the weights are the standard ones.
    """

    network: Inception
    name: str

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return features [B, 2048]."""
        return torch.cat([self.network(part.float()) for part in torch.split(images.cpu(), BATCH)])


@dataclass(frozen=True)
class VggFeatures:
    """VGG-19: its feature maps, and the means of the deepest as features.

    Attributes:
        network: in eval mode.
        name: says whether the weights are the usual ImageNet ones.
    """

    network: Vgg19
    name: str

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the mean of relu5_4 over all places, [B, 512]."""
        return torch.cat([self.network(part.float())[-1].mean((2, 3)) for part in torch.split(images.cpu(), BATCH)])

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return relu1_2, relu2_2, relu3_4, relu4_4, relu5_4."""
        found = [self.network(part.float()) for part in torch.split(images.cpu(), BATCH)]
        return [torch.cat(layer) for layer in zip(*found, strict=True)]


Extractor = JudgeFeatures | InceptionFeatures | VggFeatures


def load_extractor(source: str | Path) -> InceptionFeatures | VggFeatures:
    """Load Inception or VGG-19 from weights that the user has.

    Args:
        source: "inception" or "vgg19", whose weights are looked for where torch's hub keeps them, or the path of a
            state dict (.pth, .pt) or a safetensors file of either.

    Raises:
        AttrimorphError: there are no such weights, or they are of another network.
    """
    path = cached(str(source)) if str(source) in CACHED else Path(source)
    state, digest = read_weights(path)
    if "Mixed_5b.branch1x1.conv.weight" in state:
        rows = len(state["fc.weight"]) if "fc.weight" in state else 0
        if rows != 1008:
            raise AttrimorphError(
                f"Inception weights must be of the graph of 2015 with 1008 classes, which FID is measured with; {path} "
                f"has {rows}; get pt_inception-2015-12-05-{STANDARD_INCEPTION}.pth"
            )
        standard = digest.startswith(STANDARD_INCEPTION)
        name = "Inception" if standard else f"Inception with weights {digest[:8]}"
        return InceptionFeatures(_filled(Inception(), state, path), name)
    if "features.34.weight" in state:
        standard = digest.startswith(STANDARD_VGG)
        return VggFeatures(_filled(Vgg19(), state, path), "VGG-19" if standard else f"VGG-19 with weights {digest[:8]}")
    raise AttrimorphError(
        f"{path} must hold the weights of Inception v3 or VGG-19 under their usual names; it holds "
        f"{', '.join(list(state)[:3]) or 'none'}; name another file"
    )


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


def _filled(network: Network, state: Mapping[str, Tensor], path: Path) -> Network:
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
