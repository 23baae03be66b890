"""What every kind of model has."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from attrimorph.data.schema import Changes, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.attributes import SET, TAKEN_AWAY, AttributeFacts, Attributes
from attrimorph.models.codes import Code, Edits, Encodes
from attrimorph.models.header import Header, model_bytes
from attrimorph.models.pictures import Pictures, Source, prepared
from attrimorph.strength import Strengths

MOST_SAMPLES = 4096


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
                    f"{self.recipe.name!r} ({self.recipe.method}) does not {name}; use a conditional autoencoder, for "
                    "example drawn-faces-64, or give it directions to go along: attrimorph.AxisEditor"
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
        logits = self.networks["classifier"](self.prepared(images).to(self.device))[0].float()
        parts = []
        for kind, start, stop in self.schema.blocks:
            part = logits[:, start:stop]
            parts.append(part.sigmoid() if kind == "binary" else part.softmax(1) if kind == "categorical" else part)
        return torch.cat(parts, dim=1)

    def guess_attributes(self, images: Source) -> Tensor:
        """Return the classifier's decisions, [B, W]; see `decided`."""
        return decided(self.classify(images), self.schema)

    def to_bytes(self) -> bytes:
        """Return the content of the model's file."""
        return model_bytes(self.networks, self.header)


def decided(probabilities: Tensor, schema: Schema) -> Tensor:
    """Decide every attribute as a training label would: binary at one half, categorical one-hot.

    Where several members of an exclusive group come out, only the likeliest stays.

    Args:
        probabilities: [B, width].

    Returns:
        [B, width].
    """
    y = probabilities.clone()
    for kind, start, stop in schema.blocks:
        part = probabilities[:, start:stop]
        if kind == "binary":
            y[:, start:stop] = (part > 0.5).to(y.dtype)
        elif kind == "categorical":
            y[:, start:stop] = torch.zeros_like(part).scatter_(1, part.argmax(1, keepdim=True), 1)
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
