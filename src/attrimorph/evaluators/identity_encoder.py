"""The identity encoder: who is it, and are these two the same person? A network with a cosine-softmax head.

It is trained apart from every method (`training`); its features have unit length, so that the cosine of two
images is their likeness, also for people it never saw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.data.images import read_pixels
from attrimorph.data.readers import people
from attrimorph.data.readers.raw import read_lines
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.evaluator import Evaluator, TrunkNetwork
from attrimorph.networks.convolutional import Stages

# --- verification: do two pictures show one person? Accuracy with folds, true accepts at false accepts, area

FOLDS = 10
FALSE_ACCEPTS = (0.01, 0.1)  # false accept rates to report true accept rates at
BATCH = 256


@dataclass(frozen=True)
class Verification:
    """What similarities of pairs are worth.

    Attributes:
        accuracy: share of right decisions, mean over the folds, each with the threshold that was best on the others.
        error: standard error of that mean over the folds, as LFW reports it.
        thresholds: of each fold.
        area: under the receiver operating characteristic: the chance that a pair of one person is more alike than
            a pair of two.
        accepted: false accept rate -> true accept rate at most at that false accept rate.
    """

    accuracy: float
    error: float
    thresholds: tuple[float, ...]
    area: float
    accepted: dict[float, float]


def even_folds(same: Tensor, folds: int = FOLDS) -> Tensor:
    """Deal pairs into folds in their order, those of one person and those of two each evenly, [N]."""
    result = torch.empty(len(same), dtype=torch.long)
    for kind in (True, False):
        rows = (same.bool() == kind).nonzero()[:, 0]
        result[rows] = torch.arange(len(rows)) % folds
    return result


def verification(similarities: Tensor, same: Tensor, folds: Tensor | None = None) -> Verification:
    """Measure how well similarities tell pairs of one person from pairs of two.

    LFW's protocol (Huang et al. 2007, view 2): the threshold for a fold is chosen on the other folds only.

    Args:
        similarities: [N], larger = more alike.
        same: [N], whether a pair shows one person.
        folds: [N] integers; ten even folds in the pairs' order when None.
    """
    same = same.bool().cpu()
    values = similarities.double().cpu()
    if values.dim() != 1 or values.shape != same.shape or not bool(values.isfinite().all()):
        raise AttrimorphError(
            "similarities must be finite and [N], with one answer each; "
            f"got {tuple(values.shape)} and {tuple(same.shape)} answers"
        )
    folds = even_folds(same) if folds is None else folds.cpu()
    names = torch.unique(folds).tolist()
    if len(names) < 2 or not bool(same.any()) or bool(same.all()):
        raise AttrimorphError(
            "verification needs pairs of one person and of two, in at least 2 folds; "
            f"got {int(same.sum())} and {int((~same).sum())} pairs in {len(names)} folds; name more pairs"
        )
    thresholds, shares = [], []
    for name in names:
        here = folds == name
        threshold = best_threshold(values[~here], same[~here])
        thresholds.append(threshold)
        shares.append(float(((values[here] >= threshold) == same[here]).double().mean()))
    accuracy = torch.tensor(shares, dtype=torch.float64)
    return Verification(
        accuracy=float(accuracy.mean()),
        error=float(accuracy.std(correction=1)) / len(names) ** 0.5,
        thresholds=tuple(thresholds),
        area=area_under_curve(values, same),
        accepted={rate: true_accepts(values, same, rate) for rate in FALSE_ACCEPTS},
    )


def best_threshold(similarities: Tensor, same: Tensor) -> float:
    """Return the threshold with the most right decisions, "at least the threshold" meaning one person.

    It lies midway between two similarities; among equally good ones it is the highest.
    """
    values, order = similarities.sort(descending=True)
    answers = same[order]
    # Accepting the first n: right are the accepted pairs of one person and the rejected pairs of two.
    right = torch.cat([torch.zeros(1, dtype=torch.long), answers.cumsum(0) - (~answers).cumsum(0)])
    borders = torch.cat([values[:1] + 1, (values[1:] + values[:-1]) / 2, values[-1:] - 1])
    # Between equal similarities there is no threshold.
    right[1:-1] = torch.where(values[1:] == values[:-1], torch.iinfo(torch.long).min, right[1:-1])
    return float(borders[right.argmax()])


def area_under_curve(similarities: Tensor, same: Tensor) -> float:
    """Return the chance that a pair of one person is more alike than one of two, ties counting one half."""
    values, other = similarities[same], similarities[~same].sort().values
    below = torch.searchsorted(other, values, right=False).double()
    up_to = torch.searchsorted(other, values, right=True).double()
    return float((below + up_to).mean() / 2 / len(other))


def true_accepts(similarities: Tensor, same: Tensor, false_accept_rate: float) -> float:
    """Return the largest share of pairs of one person accepted by a threshold with at most that false accept rate."""
    other = similarities[~same].sort(descending=True).values
    allowed = int(false_accept_rate * len(other) + 1e-9)
    if allowed >= len(other):
        return 1.0
    # Everything above the first similarity that must be rejected is accepted.
    return float((similarities[same] > other[allowed]).double().mean())


def lfw_folds(folder: Path) -> Tensor | None:
    """Return the fold of each pair of an LFW folder's pairs.txt, [N], or None where the file has no folds.

    Its first line says "folds pairs": each fold has that many pairs of one person, then as many of two.
    """
    words = read_lines(folder / "pairs.txt")[0].split()
    count = len(people.read_pairs(folder))
    folds, pairs = map(int, words) if len(words) == 2 and all(word.isdigit() for word in words) else (0, 0)
    return torch.arange(count) // (2 * pairs) if folds > 1 and count == 2 * folds * pairs else None


def verify_lfw(features: Callable[[Tensor], Tensor], folder: Path, image_size: int) -> tuple[Verification, str]:
    """Measure an extractor on the pairs of a folder in LFW's layout.

    Args:
        features: images [B, 3, S, S] in [-1, 1] -> [B, F]; pairs are compared by the cosine.
        folder: with pairs.txt.
        image_size: S; images are cropped as `data prepare` does.

    Returns:
        The outcome and its protocol in words.
    """
    pairs = people.read_pairs(Path(folder))
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    seen = []
    for start in range(0, len(paths), BATCH):
        pixels = np.stack([read_pixels(path, image_size, people.LFW_CROP) for path in paths[start : start + BATCH]])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        seen.append(torch.nn.functional.normalize(features(images).double(), dim=1))
    rows, places = torch.cat(seen), {path: row for row, path in enumerate(paths)}
    first = torch.tensor([places[pair.first] for pair in pairs])
    second = torch.tensor([places[pair.second] for pair in pairs])
    folds, same = lfw_folds(Path(folder)), torch.tensor([pair.same for pair in pairs])
    words = f"{FOLDS} even folds" if folds is None else f"{len(torch.unique(folds))} folds"
    found = verification((rows[first] * rows[second]).sum(1), same, folds)
    return found, f"{len(pairs)} LFW pairs, {words} of pairs.txt, {image_size} px"


# --- the network

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


def load_identity_encoder(source: str | Path, device: str = "cpu") -> IdentityEncoder:
    """Read an identity encoder from a file, or the shipped one by the name of its data, to run on a device.

    Raises:
        AttrimorphError: there is none, or the file is no identity encoder.
    """
    return IdentityEncoder.load(source, device)


def identity_encoder_for(schema: Schema, image_size: int, device: str = "cpu") -> IdentityEncoder | None:
    """Return the shipped identity encoder of drawn people at this size, or None for other images."""
    drawn = schema.attributes == faces.SCHEMA.attributes
    try:
        return load_identity_encoder(f"drawn-faces-{image_size}", device) if drawn else None
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
