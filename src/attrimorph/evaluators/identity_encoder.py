"""The identity encoder: who is it, and are these two the same person? A network with a cosine-softmax head.

It is trained apart from every method (`training`); its features have unit length, so that the cosine of two
images is their likeness, also for people it never saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.trunk import Evaluator, Stages, TrunkNetwork

DIMENSIONS = 64
SCALE = 24.0  # of cosines, in training


class IdentityNetwork(TrunkNetwork):
    """Images [B, 3, S, S] in [-1, 1] -> features [B, F] of unit length and their cosines with the classes [B, C].

    Args:
        image_size: S, a power of two in 16..1024.
        classes: C.
        stages: of the trunk; the usual ones by default.
        dimensions: F.
        dropout: of the trunk's features, in training.
    """

    kind = "recogniser"
    down: ClassVar[Stages] = ((48, 4, 2), (48, 3, 1), (96, 4, 2), (96, 3, 1), (64, 4, 2))

    def __init__(
        self, image_size: int, classes: int, stages: Stages = (), *, dimensions: int = DIMENSIONS, dropout: float = 0.0
    ) -> None:
        super().__init__(image_size, stages, dropout)
        self.shape = {"stages": self.stages, "dimensions": dimensions}
        self.embedding = nn.Linear(self.trunk.features, dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions)
        self.centres = nn.Parameter(torch.randn(classes, dimensions))

    def features(self, images: Tensor) -> Tensor:
        """Return features of unit length, [B, F]."""
        return normalize(self.norm(self.embedding(self.dropout(self.trunk(images)))).float(), dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images)
        return features, features @ normalize(self.centres, dim=1).T

    def logits(self, images: Tensor) -> Tensor:
        """Return the cosines, scaled, [B, C]."""
        cosines: Tensor = self(images)[1]
        return SCALE * cosines


@dataclass(frozen=True)
class IdentityEncoder(Evaluator):
    """A trained identity encoder.

    Attributes:
        name: e.g. "recogniser drawn-faces-64".
        image_size: of the images it takes.
        classes: who it knows; what is told of others is meaningless, but for the features.
        network: in eval mode.
        temperature: divides `SCALE` x cosine; fitted on images that were not trained on.
        recipe: how it was trained.
        measures: figures on unseen images, their protocol in their names.
        trained_on: the data.
    """

    kind: ClassVar[str] = IdentityNetwork.kind
    versions: ClassVar[tuple[str, ...]] = ("1",)
    name: str
    image_size: int
    classes: tuple[str, ...]
    network: IdentityNetwork
    temperature: float
    recipe: dict[str, Any]
    measures: dict[str, float] = field(default_factory=dict)
    trained_on: dict[str, Any] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the probability of every class, [B, C], for images [B, 3, S, S] in [-1, 1]."""
        return (self.cosines(images) * (SCALE / self.temperature)).softmax(1)

    def cosines(self, images: Tensor) -> Tensor:
        """Return the cosine with the centre of every class, [B, C]."""
        return self.through(lambda part: self.network(part)[1], images)

    def features(self, images: Tensor) -> Tensor:
        """Return features of unit length, [B, F]: the cosine of two is how alike the people are."""
        return self.through(self.network.features, images)

    @classmethod
    def rebuilt(cls, words: dict[str, Any]) -> dict[str, Any]:
        """See `Evaluator`."""
        classes = tuple(map(str, words["classes"]))
        network = IdentityNetwork(words["image_size"], len(classes), words["stages"], dimensions=words["dimensions"])
        return {"classes": classes, "network": network}


def load_identity_encoder(source: str | Path) -> IdentityEncoder:
    """Read an identity encoder from a file, or the shipped one by the name of its data ("drawn-faces-64").

    Raises:
        AttrimorphError: there is none, or the file is no identity encoder.
    """
    return IdentityEncoder.load(source)


def identity_encoder_for(schema: Schema, image_size: int) -> IdentityEncoder | None:
    """Return the shipped identity encoder of drawn people at this size, or None for other images."""
    try:
        return load_identity_encoder(f"drawn-faces-{image_size}") if schema.names == faces.SCHEMA.names else None
    except AttrimorphError:
        return None


def margin_logits(cosines: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return s (cos - m) for the true class and s cos for the others, [B, C].

    The additive margin: Wang et al., Additive Margin Softmax for Face Verification (2018), equation 6.

    Args:
        cosines: [B, C].
        labels: int64 [B].
        margin: m.
    """
    return SCALE * cosines.scatter_add(1, labels[:, None], cosines.new_full((len(labels), 1), -margin))


def class_names(values: Sequence[object]) -> tuple[str, ...]:
    """Return classes as words; they must differ.

    Raises:
        AttrimorphError: fewer than two, or one twice.
    """
    names = tuple(str(value) for value in values)
    if len(names) < 2 or len(set(names)) < len(names):
        raise AttrimorphError(
            f"an identity encoder must have at least two different classes; got {len(names)}, {len(set(names))} "
            "different; lower --least, or give other data"
        )
    return names


load_recogniser = load_identity_encoder  # its name before
