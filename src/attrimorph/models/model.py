"""Models: codes, what a model can do as one protocol each, what is known of its attributes, what all models have."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, overload, runtime_checkable

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attrimorph.console import table
from attrimorph.data import Changes, Kind, Schema
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.models import Header, Strengths, model_bytes
from attrimorph.pictures import Pictures, Source, grid, is_shown, png_bytes, prepared

if TYPE_CHECKING:
    from attrimorph.photographs.fields import Fields

SET, TAKEN_AWAY = "edit.reached_when_set", "edit.reached_when_taken_away"
"""Keys of an evaluation; of one attribute they go on with its name."""
MOST_SAMPLES = 4096
SHOWN = 4  # attributes that a sample sheet of edits shows
AUTOENCODER = "use a conditional autoencoder, for example drawn-faces-64"


@dataclass(frozen=True)
class Code:
    """What an image is decoded from: z [B, ...] and attributes [B, W]."""

    z: Tensor
    attributes: Tensor

    @staticmethod
    def joined(codes: Iterable["Code"]) -> "Code":
        """Return the rows of several codes as one."""
        parts = list(codes)
        return Code(torch.cat([part.z for part in parts]), torch.cat([part.attributes for part in parts]))


@dataclass(frozen=True)
class Sample:
    """New images.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        code: what they were decoded from.
    """

    images: Tensor
    code: Code

    def _repr_png_(self) -> bytes:
        return png_bytes(grid(self.images))


@runtime_checkable
class Decodes(Protocol):
    """Images from codes."""

    def decode(self, code: Code) -> Tensor:
        """Code -> images [B, 3, S, S] in [-1, 1]."""


@runtime_checkable
class Generates(Protocol):
    """Images from z and y, with gradients."""

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """z [B, Z] and attributes [B, W] -> images [B, 3, S, S] in [-1, 1]."""


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


class EditsAnySource(Protocol):
    """An `edit` of tensors and of photographs; see `any_source`."""

    @overload
    def __call__(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures: ...

    @overload
    def __call__(self, images: Source, changes: Changes, attributes: Tensor | None = None, **words: Any) -> Any: ...


def any_source(edit: Callable[..., Pictures]) -> EditsAnySource:
    """Let the `edit` of a method take photographs too.

    A tensor [B, 3, S, S] of the model's own size comes back as the model's own picture. A path, a PIL picture, an array
    or a tensor of another size, and whatever comes with words such as `face="all"`, is a photograph: `attrimorph.edit`
    finds the face, and gives the photograph back, changed there.
    """

    @wraps(edit)
    def either(model: Any, images: Source, changes: Changes, attributes: Tensor | None = None, **words: Any) -> Any:
        if is_shown(images, model.image_size) and not words:
            return edit(model, images, changes, attributes)
        # By its public name: models know nothing of what is made of them.
        return import_module("attrimorph").edit(model, images, changes, attributes, **words)

    return cast(EditsAnySource, either)


@runtime_checkable
class TellsFields(Protocol):
    """Edits told as fields: how the pixels of pictures change."""

    def fields(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> "Fields":
        """Images [B, 3, S, S] and strengths by attribute name -> fields at S."""


@runtime_checkable
class Chains(Protocol):
    """Images changed one attribute after another."""

    @property
    def links(self) -> Mapping[str, Any]:
        """Attribute -> the model that changes it, in their order."""

    def stages(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> list[Tensor]:
        """Images [B, 3, S, S] and strengths by attribute name -> images before, between and after the changes."""


@dataclass(frozen=True)
class ImageLayers:
    """Images and what they are made of.

    Attributes:
        foreground: [B, 3, S, S] in [-1, 1], black where it is not.
        gate: [B, 1 or 3, S, S] in [0, 1], 1 where the background shows.
        background: [B, 3, S, S] in [-1, 1], also behind the foreground.
        composite: [B, 3, S, S] in [-1, 1].
    """

    foreground: Tensor
    gate: Tensor
    background: Tensor
    composite: Tensor


@runtime_checkable
class PaintsLayers(Encodes, Decodes, Protocol):
    """Images made of a foreground and a background."""

    def layers_of(self, code: Code) -> ImageLayers:
        """Code -> what its images are made of."""

    def with_background(self, code: Code, other: Code) -> Code:
        """Codes, and one of other images or one for each -> codes with the backgrounds of the others'."""


@runtime_checkable
class Groups(Protocol):
    """Attributes that change together, and follow another face.

    Attributes:
        groups: name -> its attributes.
    """

    groups: Mapping[str, tuple[str, ...]]

    def follow(self, images: Tensor, references: Tensor, strengths: Mapping[str, float]) -> Tensor:
        """Images [B, 3, S, S], references [B or 1, 3, S, S], and how far each group goes towards them -> images."""


@dataclass(frozen=True)
class AttributeFacts:
    """One attribute of a model.

    Attributes:
        name: as changes name it; a value of a categorical attribute is named "name=value".
        kind: "binary", "categorical" or "real".
        values: the names of a categorical attribute's values; empty otherwise.
        edits: whether the model changes it in given pictures.
        samples: whether the model's samples can be asked to have it.
        reached_when_set: share of edits of strength 1 that reached it, in 0..1; None where nobody measured.
        reached_when_taken_away: the same of strength -1.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    edits: bool = False
    samples: bool = False
    reached_when_set: float | None = None
    reached_when_taken_away: float | None = None


@dataclass(frozen=True, repr=False)
class Attributes(Mapping[str, AttributeFacts]):
    """A model's attributes by name, in the order of its schema; printed, they are a table.

    Attributes:
        facts: one for each.
    """

    facts: tuple[AttributeFacts, ...]

    def __getitem__(self, name: str) -> AttributeFacts:
        """Return the attribute of that name.

        Raises:
            KeyError: there is none; the sentence names the nearest.
        """
        for fact in self.facts:
            if fact.name == name:
                return fact
        raise KeyError(f"there is no attribute {name!r}; {suggestion(name, list(self))}")

    def __iter__(self) -> Iterator[str]:
        return (fact.name for fact in self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        head = ("attribute", "edits", "samples", "reached when set", "when taken away", "kind")
        rows: list[tuple[str, ...]] = [
            (
                fact.name,
                "yes" if fact.edits else "no",
                "yes" if fact.samples else "no",
                share(fact.reached_when_set),
                share(fact.reached_when_taken_away),
                f"one of {', '.join(fact.values)}" if fact.values else fact.kind,
            )
            for fact in self.facts
        ]
        return table(rows, head)


def share(value: float | None) -> str:
    """Write a share as a person reads it."""
    return "not measured" if value is None else f"{value:.1%}"


class Model:
    """What every kind of model has: what its file says of it, its networks, and its classifier where it has one.

    Args:
        networks: by name; put into evaluation mode.
        header: what the file carries.
        device: where it runs.
        digest: sha256 of the file, in hexadecimal.

    Attributes:
        schema: its attributes; recipe: how it was trained; image_size: S; images_seen: in training.
        conditional: whether its images depend on attributes that one can choose.
        strengths: how far it goes for a strength, calibrated or not.
        knows_strengths: whether it goes part of the way; else strengths are 1 and -1.
        samples: whether it draws images of its own.
        straight: so many numbers at the end of a code's z are no place in a space, and go straight on every path.
    """

    conditional = True
    knows_strengths = True
    samples = False
    straight = 0

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        self.header, self.device, self.hash = header.json, device, digest
        self.recipe, self.schema, self.strengths = header.recipe, header.schema, header.strengths
        self.image_size = self.recipe.data.image_size
        self.images_seen: int = self.header["images_seen"]
        self.card: dict[str, Any] = dict(self.header.get("card", {}))
        self.networks = {
            name: network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
            for name, network in networks.items()
        }

    @property
    def changeable(self) -> tuple[str, ...]:
        """The attributes that a change can be asked of, by name."""
        return self.schema.names

    @property
    def editable(self) -> tuple[str, ...]:
        """The binary ones among those that a change can be asked of."""
        return tuple(name for name in self.changeable if self.schema.attribute(name).kind == "binary")

    @property
    def asked_of_samples(self) -> tuple[str, ...]:
        """The attributes that samples can be asked to have, by name."""
        return self.schema.names if self.samples and self.conditional else ()

    @property
    def attributes(self) -> Attributes:
        """What is known of each attribute: kind, values, whether the model edits it, and how well."""
        return attributes_of(self)

    @property
    def can(self) -> tuple[str, ...]:
        """What it does, as verbs."""
        verbs = {"encode": isinstance(self, Encodes), "edit": isinstance(self, Edits), "sample": self.samples}
        return tuple(verb for verb, able in verbs.items() if able)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("edit", "encode"):
                raise AttributeError(
                    f"{self.recipe.name!r} ({self.recipe.method}) does not {name}; {AUTOENCODER}, or give it "
                    "directions to go along: attrimorph.AxisEditor"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        count = len(self.schema.names)
        return (
            f"<{self.recipe.name}: {self.recipe.method}, images {self.image_size}x{self.image_size}, "
            f"{count} attribute{'s' * (count != 1)}; can {', '.join(self.can) or 'do nothing by attribute'}; "
            f"{self.images_seen:,} images seen; sha256 {self.hash[:12]}>"
        )

    def prepared(self, images: Source) -> Tensor:
        """Return pictures as the model's training images were made, [B, 3, S, S] in [-1, 1].

        Args:
            images: a path, a PIL picture, pixels or floats in -1..1, or a list of these; floats of the model's size
                stay as they are.

        Raises:
            AttrimorphError: a picture that cannot be read, or of another form or range; or none.
        """
        return prepared(images, self.image_size, self.header.get("preprocessing") or {})

    def decode(self, code: Code) -> Pictures:
        """Return images float32 [B, 3, S, S] in [-1, 1] of a code.

        Raises:
            AttrimorphError: this kind of model has no codes.
        """
        raise self._without_codes()

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes.

        Args:
            count: B.
            generator: a CPU generator.
            attributes: [B, W] or [1, W]; drawn from the training data's own combinations where None.

        Returns:
            Code of B rows.

        Raises:
            AttrimorphError: this kind of model has no codes.
        """
        raise self._without_codes()

    def draw(self, count: int = 16, changes: Changes | None = None, *, seed: int = 0) -> Code:
        """Draw codes, with changes put on each.

        Args:
            count: how many.
            changes: attribute -> strength; 1 sets it, -1 takes it away.
            seed: the same seed gives the same codes.

        Raises:
            AttrimorphError: a number out of range, no such attribute, or a model that cannot.
        """
        if not 1 <= count <= MOST_SAMPLES:
            raise AttrimorphError(f"count must lie in 1..{MOST_SAMPLES}; got {count}; choose fewer and another seed")
        if not 0 <= seed < 2**63:
            raise AttrimorphError(f"seed must lie in 0..2**63 - 1; got {seed}; choose a smaller one")
        code = self.sample_codes(count, torch.Generator().manual_seed(seed))
        if not changes:
            return code
        if not self.conditional:
            raise AttrimorphError(
                f"the samples of {self.recipe.name!r} ({self.recipe.method}) do not depend on attributes; got changes "
                f"of {', '.join(changes)}; leave them out, or edit along axes"
            )
        return Code(code.z, self.moved(code.attributes, changes))

    def sample(self, count: int = 16, changes: Changes | None = None, *, seed: int = 0) -> Pictures:
        """Return new images; arguments and errors as of `draw`."""
        return self.decode(self.draw(count, changes, seed=seed))

    def unable(self, verb: str, ability: str, remedy: str) -> AttrimorphError:
        """Return the error of a verb that needs what this model does not do, such as "edits"."""
        return AttrimorphError(
            f"{verb} needs a model that {ability}; {self.recipe.name!r} ({self.recipe.method}) does not; {remedy}"
        )

    def _without_codes(self) -> AttrimorphError:
        return AttrimorphError(
            f"the model {self.recipe.name!r} ({self.recipe.method}) has no codes to make images from; it only edits; "
            "use a model that samples"
        )

    def draw_attributes(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw attributes [B, W] of training images, whole combinations."""
        if not self.schema.width:
            return torch.zeros(count, 0)
        known = torch.tensor(self.header["examples"], dtype=torch.float32).reshape(-1, self.schema.width)
        return known[torch.randint(len(known), (count,), generator=generator)]

    def with_strengths(self, strengths: Strengths) -> Self:
        """Return the same model, calibrated otherwise; with `Strengths()` not at all."""
        other = copy.copy(self)
        other.strengths = strengths
        return other

    def moved(self, attributes: Tensor, changes: Changes) -> Tensor:
        """Return attributes [B, W] moved by calibrated strengths; see `Schema.edit`."""
        return self.schema.edit(attributes, self.strengths.calibrated(self.changes(changes)))

    def changes(self, changes: Changes) -> dict[str, float]:
        """Return changes with every key a name or "name=value" and every strength a number; see `Schema.changes`."""
        return self.schema.changes(changes)

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return the rows that a sample sheet shows of held-out images, each [B, 3, S, S]; none without an encoder.

        Args:
            images: [B, 3, S, S] in [-1, 1]; attributes: [B, W]; masks: [B, 1, S, S] in 0..1 where the data have them.
        """
        if not isinstance(self, Encodes):
            return []
        return [images, self.decode(self.encode(images, attributes)).cpu()]

    def reversed_rows(self, images: Tensor, y: Tensor) -> list[Tensor]:
        """Return images [B, 3, S, S] of attributes y [B, W], each of the first that the model edits reversed."""
        assert isinstance(self, Edits)
        rows = []
        for name in self.editable[:SHOWN]:
            sets, takes = (self.edit(images, {name: strength}, y).cpu() for strength in (1.0, -1.0))
            has = y[:, self.schema.columns(name)].amax(1) > 0.5
            rows.append(torch.where(has[:, None, None, None], takes, sets))
        return rows

    def known(self, attributes: Tensor) -> Tensor:
        """Return attributes with the missing values (NaN) blanked, on the model's device."""
        y = attributes.to(self.device)
        return torch.where(torch.isnan(y), self.schema.fill_value.to(y), y)

    @torch.no_grad()
    def classify(self, images: Source) -> Tensor:
        """Return the probabilities (real attributes: values) that the model's own classifier gives, [B, W].

        Raises:
            AttrimorphError: the method has no classifier.
        """
        if "classifier" not in self.networks:
            raise AttrimorphError(
                f"the model {self.recipe.name!r} ({self.recipe.method}) has no classifier to guess attributes with; "
                "give the image's attributes, or use a model that has one"
            )
        return answers(self.networks["classifier"](self.prepared(images).to(self.device))[0].float(), self.schema)

    def guess_attributes(self, images: Source) -> Tensor:
        """Return the classifier's decisions, [B, W]; see `decided`."""
        return decided(self.classify(images), self.schema)

    def to_bytes(self) -> bytes:
        """Return the content of the model's file."""
        return model_bytes(self.networks, self.header)


def answers(logits: Tensor, schema: Schema, temperature: float = 1.0) -> Tensor:
    """Turn logits [B, W] into what a classifier answers: sigmoid, softmax, or as they stand for real attributes."""
    parts = []
    for kind, start, stop in schema.blocks:
        part = logits[:, start:stop]
        if kind != "real":
            part = (part / temperature).sigmoid() if kind == "binary" else (part / temperature).softmax(1)
        parts.append(part)
    return torch.cat(parts, dim=1)


def decisions(probabilities: Tensor, schema: Schema) -> Tensor:
    """Decide every attribute: binary at one half, categorical by the largest, real as it stands.

    Members of an exclusive group are decided one by one, because none of them may hold.

    Args:
        probabilities: [B, width].

    Returns:
        [B, width]; 0 or 1 in binary and categorical columns.
    """
    y = probabilities.clone()
    for kind, start, stop in schema.blocks:
        part = probabilities[:, start:stop]
        if kind == "binary":
            y[:, start:stop] = (part > 0.5).to(y.dtype)
        elif kind == "categorical":
            y[:, start:stop] = torch.zeros_like(part).scatter_(1, part.argmax(1, keepdim=True), 1)
    return y


def decided(probabilities: Tensor, schema: Schema) -> Tensor:
    """Decide every attribute as a training label would; see `decisions`.

    Where several members of an exclusive group come out, only the likeliest stays.

    Args:
        probabilities: [B, width].

    Returns:
        [B, width].
    """
    y = decisions(probabilities, schema)
    for group in schema.exclusive:
        members = [schema.columns(name).start for name in group]
        part = torch.where(y[:, members] > 0, probabilities[:, members], -1.0)
        y[:, members] *= torch.zeros_like(part).scatter_(1, part.argmax(1, keepdim=True), 1)
    return y


def attributes_of(model: Model, figures: Mapping[str, float] | None = None) -> Attributes:
    """Return what is known of a model's attributes.

    Args:
        model: any.
        figures: of an evaluation, by key; those of the model's card where None.
    """
    if figures is None:
        figures = model.card.get("figures", {})
    edits = model.changeable if isinstance(model, Edits) else ()
    return Attributes(
        tuple(
            AttributeFacts(
                attribute.name,
                attribute.kind,
                attribute.values,
                attribute.name in edits,
                attribute.name in model.asked_of_samples,
                figures.get(f"{SET}.{attribute.name}"),
                figures.get(f"{TAKEN_AWAY}.{attribute.name}"),
            )
            for attribute in model.schema.attributes
        )
    )


@runtime_checkable
class Moves(Protocol):
    """Codes moved along axes.

    Attributes:
        model: the generator whose codes they are.
        invert: how a picture becomes a code, where the generator's own encoder is not asked.
        axis_names: what it can move along.
    """

    model: Model
    invert: Callable[[Tensor, Tensor | None], Code] | None
    axis_names: tuple[str, ...]

    def move(self, code: Code, changes: Mapping[str, float], locks: Sequence[str] | None = None) -> Code:
        """Codes, strengths by attribute name, and names whose scores stay -> codes."""

    def own(self, code: Code) -> Code:
        """Codes as they are moved -> codes as the generator takes them."""

    def with_axes(self, axes: Mapping[str, Any], *, photographs: bool = False) -> "Moves":
        """More axes by name; for photographs moves keep most of the picture."""


class CodedModel(Model, ABC):
    """A model whose pictures are made of z and attributes: it decodes and samples."""

    samples = True

    @property
    def latent(self) -> int:
        """Columns of z."""
        columns: int = self.recipe.networks.latent  # type: ignore[attr-defined]
        return columns

    def shown(self, attributes: Tensor) -> Tensor:
        """Return what the networks see of y: nothing where the model is unconditional."""
        return self.known(attributes)[:, : None if self.conditional else 0]

    @abstractmethod
    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return G(z, y) as `decode` does, with gradients towards z and y where they want any."""

    @torch.no_grad()
    def decode(self, code: Code) -> Pictures:
        """Return G(z, y).

        Args:
            code: z [B, Z], attributes [B, W].

        Returns:
            float32 [B, 3, S, S] in [-1, 1].
        """
        return self.generate(code.z, code.attributes).as_subclass(Pictures)

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
        z = torch.randn(count, self.latent, generator=generator)
        if "prior" in self.networks:
            with torch.no_grad():
                z = self.networks["prior"](z.to(self.device)).cpu()
        if attributes is None:
            attributes = self.draw_attributes(count, generator)
        return Code(z, attributes.expand(count, -1).clone())


class CodedEncoder(CodedModel):
    """One that finds the codes of pictures too."""

    @abstractmethod
    def posterior(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | x, y), each [B, Z]; y without NaN, all on the model's device."""

    @torch.no_grad()
    def encode(self, images: Source, attributes: Tensor | None = None) -> Code:
        """Return the mean of q(z | x, y), and y.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            attributes: [B, W]; guessed by the classifier where None, unless they do not matter.
        """
        images = self.prepared(images)
        if attributes is None and self.conditional:
            attributes = self.guess_attributes(images)
        elif attributes is None:
            attributes = torch.full((len(images), self.schema.width), torch.nan)
        mean, _ = self.posterior(images.to(self.device), self.shown(attributes))
        return Code(mean, attributes.to(self.device))


class CodedEditor(CodedEncoder):
    """One that edits pictures by their attributes."""

    @any_source
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Return G(E(x, y), y'), y' = y moved by the calibrated strengths of `changes`.

        Args:
            images: [B, 3, S, S] in [-1, 1]; any other picture is edited as a photograph, see `any_source`.
            changes: attribute -> strength; 0 = unchanged, 1 = set, -1 = taken away, 0.5 = half-way as far as the model
                was calibrated.
            attributes: [B, W]; guessed by the classifier where None.

        Returns:
            [B, 3, S, S] in [-1, 1]; no changes give the reconstruction.
        """
        code = self.encode(images, attributes)
        return self.decode(Code(code.z, self.moved(code.attributes, changes)))


class Unfilled(TorchFunctionMode):
    """New weights stay as they come: to fill them on the meta device would import all of torch._dynamo and sympy."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Leave out what every initialiser is made of."""
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def weights_in(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a model file by name, floats in float32.

    Args:
        content: of the file; path: its own.

    Raises:
        AttrimorphError: there is NaN or infinity among them.
    """
    tensors = {
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype)
        for name, value in safetensors.torch.load(content).items()
    }
    # 0 times NaN or infinity is NaN: ten times as fast as isfinite.
    if odd := [key for key, value in tensors.items() if (value * 0).sum() != 0]:
        raise AttrimorphError(f"the weights in {path} hold NaN or infinity ({odd[0]}); it is damaged, get it again")
    return tensors


def fill(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors, named NETWORK.PARAMETER, into networks built on the meta device.

    Raises:
        AttrimorphError: some are missing, left over, or of another shape.
    """
    try:
        for name, network in networks.items():
            wanted = {f"{name}.{key}": each.dtype for key, each in network.state_dict().items()}
            if odd := [key for key, kind in wanted.items() if key in tensors and tensors[key].dtype != kind]:
                raise RuntimeError(f"{odd[0]} is of {tensors[odd[0]].dtype}")
            part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            network.load_state_dict(part, assign=True)
    except RuntimeError as error:
        raise AttrimorphError(
            f"the weights in {path} do not fit its recipe ({str(error).splitlines()[-1].strip()[:120]}); "
            "it is damaged, get it again"
        ) from error
