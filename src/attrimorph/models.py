"""A trained thing and what it can do: decode, encode, edit. One file holds it: model.safetensors.

The file's header carries format version, recipe, attribute schema, preprocessing and images seen, so that the file
alone loads, serves and is shared. Nothing in it is code.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from attrimorph.algorithms.terms import METHODS
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.networks.sets import build_networks
from attrimorph.recipes.options import Recipe
from attrimorph.recipes.reading import read_recipe

FORMAT = 1
LARGEST_FILE = 4 * 2**30
NETWORKS = ("encoder", "generator", "classifier", "prior")


@dataclass(frozen=True)
class Code:
    """What an image is decoded from: z [B, Z] and attributes [B, W]."""

    z: Tensor
    attributes: Tensor


@runtime_checkable
class Decodes(Protocol):
    """Images from codes."""

    def decode(self, code: Code) -> Tensor:
        """Code -> images [B, 3, S, S] in [-1, 1]."""


@runtime_checkable
class Encodes(Protocol):
    """Codes from images."""

    def encode(self, images: Tensor, attributes: Tensor | None = None) -> Code:
        """Images [B, 3, S, S] in [-1, 1] and their attributes [B, W] (guessed where None) -> Code."""


@runtime_checkable
class Edits(Protocol):
    """Images with other attributes."""

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Images [B, 3, S, S] and strengths by attribute name -> images."""


class Model:
    """A trained generator: it decodes and samples.

    Args:
        networks: by name; put into evaluation mode.
        header: what the file carries.
        device: where it runs.
        digest: sha256 of the file, in hexadecimal.

    Attributes:
        schema: its attributes; recipe: how it was trained; image_size: S; images_seen: in training.
    """

    def __init__(self, networks: Mapping[str, nn.Module], header: Mapping[str, Any], device: str, digest: str) -> None:
        self.header, self.device, self.hash = dict(header), device, digest
        self.recipe = family_recipe(header)
        self.schema = Schema.from_json(header["schema"])
        self.image_size = self.recipe.data.image_size
        self.images_seen = int(header["images_seen"])
        self.card: dict[str, Any] = dict(header.get("card", {}))
        self.conditional = METHODS[self.recipe.method].conditional
        self.networks = {
            name: network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
            for name, network in networks.items()
        }

    def _shown(self, attributes: Tensor) -> Tensor:
        """What the networks see of y: missing values blanked; nothing where the method is unconditional."""
        y = attributes.to(self.device)
        return torch.where(torch.isnan(y), self.schema.blank.to(y), y)[:, : None if self.conditional else 0]

    @torch.no_grad()
    def decode(self, code: Code) -> Tensor:
        """Return G(z, y).

        Args:
            code: z [B, Z], attributes [B, W].

        Returns:
            float32 [B, 3, S, S] in [-1, 1].
        """
        images: Tensor = self.networks["generator"](code.z.to(self.device), self._shown(code.attributes))
        return images.float().contiguous()

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes.

        z comes from the Gaussian fitted to the training images' codes, or from N(0, I) where there is none; y as given,
        or drawn from the training data's own combinations.

        Args:
            count: B.
            generator: a CPU generator.
            attributes: [B, W] or [1, W].

        Returns:
            Code of B rows.
        """
        z = torch.randn(count, self.recipe.networks.latent, generator=generator)
        if "prior" in self.networks:
            z = self.networks["prior"](z.to(self.device)).cpu()
        if attributes is None:
            known = torch.tensor(self.header["examples"], dtype=torch.float32).reshape(-1, self.schema.width)
            attributes = known[torch.randint(len(known), (count,), generator=generator)]
        return Code(z, attributes.expand(count, -1).clone())

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Return the probabilities (real attributes: values) that the model's own classifier gives, [B, W].

        Raises:
            AttrimorphError: the method has no classifier.
        """
        if "classifier" not in self.networks:
            raise AttrimorphError(
                f"the model {self.recipe.name!r} ({self.recipe.method}) has no classifier to guess attributes with; "
                "give the image's attributes, or use a model that has one"
            )
        logits, _ = self.networks["classifier"](images.to(self.device))
        parts = []
        for kind, start, stop in self.schema.blocks:
            part = logits.float()[:, start:stop]
            parts.append(part.sigmoid() if kind == "binary" else part.softmax(1) if kind == "categorical" else part)
        return torch.cat(parts, dim=1)

    def guess_attributes(self, images: Tensor) -> Tensor:
        """Return the classifier's decisions, [B, W]: binary and categorical ones as 0 or 1."""
        guess = self.classify(images)
        for kind, start, stop in self.schema.blocks:
            part = guess[:, start:stop]
            if kind == "binary":
                guess[:, start:stop] = (part > 0.5).float()
            elif kind == "categorical":
                guess[:, start:stop] = nn.functional.one_hot(part.argmax(1), stop - start).float()
        return guess

    def to_bytes(self) -> bytes:
        """Return the content of the model's file."""
        return model_bytes(self.networks, self.header)


class Autoencoder(Model):
    """A model with an encoder: it encodes too."""

    @torch.no_grad()
    def encode(self, images: Tensor, attributes: Tensor | None = None) -> Code:
        """Return the mean of q(z | x, y), and y.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            attributes: [B, W]; guessed by the classifier where None.
        """
        if images.shape[-1] != self.image_size or images.shape[-2] != self.image_size:
            raise AttrimorphError(
                f"this model takes images of {self.image_size}x{self.image_size}; "
                f"got {images.shape[-1]}x{images.shape[-2]}; resize them first"
            )
        if attributes is None:
            attributes = (
                self.guess_attributes(images)
                if self.conditional
                else torch.full((len(images), self.schema.width), torch.nan)
            )
        shown = self._shown(attributes)
        mean, _ = self.networks["encoder"](images.to(self.device), shown)
        return Code(mean.float(), attributes.to(self.device))


class Editor(Autoencoder):
    """A conditional autoencoder: it edits images by attribute."""

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Return G(E(x, y), y'), y' = y moved by the strengths of `changes`.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: attribute -> strength; 0 = unchanged, 1 = set, -1 = taken away.
            attributes: [B, W]; guessed by the classifier where None.

        Returns:
            [B, 3, S, S] in [-1, 1]; no changes give the reconstruction.
        """
        code = self.encode(images, attributes)
        return self.decode(Code(code.z, self.schema.edit(code.attributes, changes)))


def model_bytes(networks: Mapping[str, nn.Module], header: Mapping[str, Any]) -> bytes:
    """Return the content of a model file: the networks that a model needs, and the header."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous().clone()
        for name in NETWORKS
        if name in networks
        for key, value in networks[name].state_dict().items()
    }
    # Keys are sorted by safetensors and the header is written in one order: equal weights give equal files.
    return serialise(tensors, {"attrimorph": json.dumps({"format": FORMAT, **header}, sort_keys=True)})


def assemble(networks: Mapping[str, nn.Module], header: Mapping[str, Any], device: str, digest: str) -> Model:
    """Return the kind of model that the networks make."""
    conditional = METHODS[family_recipe(header).method].conditional
    kind = Model if "encoder" not in networks else Editor if conditional else Autoencoder
    return kind(networks, header, device, digest)


def shipped() -> dict[str, Path]:
    """Return the models that come with the package: name -> file."""
    folder = Path(str(files("attrimorph") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors")) if not path.stem.startswith("judge")}


def find(source: str | Path) -> Path:
    """Return the model file that a run folder, a hub folder, a file or the name of a shipped model stands for."""
    path = Path(source)
    if path.is_dir():
        checkpoints = sorted(path.glob("checkpoints/[0-9]*/model.safetensors"))
        for candidate in (path / "model.safetensors", *checkpoints[::-1]):
            if candidate.exists():
                return candidate
        raise AttrimorphError(f"{path} holds no model yet; train one into it, or name a run that has a checkpoint")
    if path.is_file():
        return path
    known = shipped()
    if str(source) in known:
        return known[str(source)]
    raise AttrimorphError(
        f"there is no run folder, model file or shipped model {str(source)!r}; {suggestion(str(source), known)}"
    )


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a model file.

    Raises:
        AttrimorphError: the file is damaged, too large, or none of ours.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise AttrimorphError(f"a model file must be under {LARGEST_FILE >> 30} GiB; {path} is larger")
        # Opened here first: safetensors says of a file that may not be read that there is none.
        with path.open("rb"), safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except SafetensorError as error:
        raise AttrimorphError(
            f"{path} is no readable model file ({error}); give a model.safetensors of attrimorph"
        ) from error
    try:
        header = json.loads(metadata["attrimorph"])
        version = header["format"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise AttrimorphError(
            f"{path} was not written by attrimorph: its header lacks our part; train or export it here"
        ) from error
    if version != FORMAT:
        raise AttrimorphError(f"{path} has format {version}, this program reads {FORMAT}; update attrimorph")
    if missing := [key for key in ("recipe", "schema", "images_seen", "examples") if key not in header]:
        raise AttrimorphError(f"{path} has no {missing[0]!r} in its header; it is damaged, get it again")
    _check_header(path, header)
    return dict(header)


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse a header whose parts are not what the rest of the program takes them for."""
    try:
        schema, examples = Schema.from_json(header["schema"]), header["examples"]
        read_recipe(header["recipe"])
    except AttrimorphError as error:
        raise AttrimorphError(f"the header of {path} does not fit: {error}") from error
    rules = {
        "images_seen": isinstance(header["images_seen"], int),
        "card": isinstance(header.get("card", {}), dict),
        "preprocessing": _is_preprocessing(header.get("preprocessing", {})),
        "examples": isinstance(examples, list)
        and len(examples) > 0
        and len(examples) % schema.width == 0
        and all(isinstance(value, int | float) for value in examples),
    }
    if wrong := [name for name, right in rules.items() if not right]:
        raise AttrimorphError(f"{path} has {wrong[0]!r} of a wrong form in its header; it is damaged, get it again")


def _is_preprocessing(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    crop = value.get("crop")
    if not isinstance(crop, dict):
        return crop is None or isinstance(crop, int | str)
    sides = [crop.get(name) for name in ("left", "top", "right", "bottom")]
    of = crop.get("of")
    pair = of is None or (isinstance(of, list) and len(of) == 2 and all(isinstance(n, int) and n > 0 for n in of))
    return pair and all(isinstance(side, int | float) for side in sides)


def load(source: str | Path = "drawn-faces-64", device: str = "cpu") -> Model:
    """Load a model.

    Args:
        source: a run folder (its newest checkpoint), a model file, a folder in the hub's layout, or the name
            of a shipped model.
        device: where it runs.

    Raises:
        AttrimorphError: nothing is there, or it is damaged or foreign.
    """
    path = find(source)
    header = read_header(path)
    recipe, schema = family_recipe(header), Schema.from_json(header["schema"])
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    found = {key.partition(".")[0] for key in tensors}
    # A model that was saved before its codes were looked at has no prior.
    names = [name for name in NETWORKS if name in {*METHODS[recipe.method].networks, *(found & {"prior"})}]
    if found != set(names):
        raise AttrimorphError(
            f"{path} must hold the networks {', '.join(names)} of the method {recipe.method}; it holds "
            f"{', '.join(sorted(found)) or 'none'}; it is damaged, get it again"
        )
    if odd := [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise AttrimorphError(f"the weights in {path} hold NaN or infinity ({odd[0]}); it is damaged, get it again")
    with torch.device("meta"):
        networks = networks_of(recipe, schema, names)
    try:
        for name, network in networks.items():
            part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            network.load_state_dict(
                {k: v.float() if v.is_floating_point() else v for k, v in part.items()}, assign=True
            )
    except RuntimeError as error:
        raise AttrimorphError(
            f"the weights in {path} do not fit its recipe ({str(error).splitlines()[-1].strip()[:120]}); "
            "it is damaged, get it again"
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return assemble(networks, header, device, digest)


def family_recipe(header: Mapping[str, Any]) -> Recipe:
    """Return the recipe in a model's header.

    Raises:
        AttrimorphError: it is none of the CVAE-GAN family.
    """
    recipe = read_recipe(header["recipe"])
    if not isinstance(recipe, Recipe):
        raise AttrimorphError(f"there are no models of the method {recipe.method!r} yet; update attrimorph")
    return recipe


def networks_of(recipe: Recipe, schema: Schema, names: Sequence[str]) -> dict[str, nn.Module]:
    """Build the named networks of a recipe, with fresh weights."""
    method, options = METHODS[recipe.method], recipe.networks
    return build_networks(
        names,
        kind=options.kind,
        image_size=recipe.data.image_size,
        attributes=schema.width,
        conditional=method.conditional,
        judged_with_condition=method.judged_with_condition,
        latent=options.latent,
        encoder_width=options.encoder_width,
        generator_width=options.generator_width,
        discriminator_width=options.discriminator_width,
        classifier_width=options.classifier_width,
    )
