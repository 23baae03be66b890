"""The judge: a network that tells attributes, trained apart from every method and never part of one.

The shipped ones learned from drawn faces, `train_judge` in `training` makes one from any prepared data. Its
probabilities are calibrated: see `calibration`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from attrimorph.data import Schema, attributes_csv, raw_table
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges
from attrimorph.evaluators.evaluator import BATCH, Evaluator, TrunkNetwork, batched
from attrimorph.files import refuse_foreign, write_bytes
from attrimorph.models.model import Model, answers, decisions
from attrimorph.networks.convolutional import Stages
from attrimorph.pictures import png_bytes, sheet

Who = TypeVar("Who", bound=Judges)
CLIPPED = 4.0  # logits, of an attribute's score


class JudgeNetwork(TrunkNetwork):
    """Images [B, 3, S, S] in [-1, 1] -> logits [B, W] (does it hold?) and degrees [B, W] (how much, 0..1) or None.

    Args:
        image_size: S, a power of two in 16..1024.
        outputs: W.
        stages: of the trunk; the usual ones by default.
        degrees: whether it tells degrees as well.
        dropout: of the features, in training.
    """

    kind = "judge"
    down: ClassVar[Stages] = ((48, 4, 2), (48, 3, 1), (96, 4, 2), (96, 3, 1), (128, 4, 2))

    def __init__(
        self, image_size: int, outputs: int, stages: Stages = (), *, degrees: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__(image_size, stages, dropout)
        self.degrees, self.shape = degrees, {"stages": self.stages, "degrees": degrees}
        self.last = nn.Linear(self.trunk.features, outputs * (2 if degrees else 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.last(self.dropout(self.trunk(images)))
        if not self.degrees:
            return found, None
        logits, degrees = found.chunk(2, dim=1)
        return logits, degrees.sigmoid()

    def logits(self, images: Tensor) -> Tensor:
        """Return logits alone, [B, W]."""
        found: Tensor = self(images)[0]
        return found


@dataclass(frozen=True)
class Judge(Evaluator):
    """A trained judge.

    Attributes:
        name: e.g. "judge drawn-faces-64".
        schema: the attributes it knows.
        image_size: of the images it takes.
        network: in eval mode.
        temperature: divides the logits; fitted on images that were not trained on.
        recipe: how it was trained.
        accuracies: binary or categorical attribute -> share of right decisions on unseen images.
        calibration: attribute -> expected calibration error on the same images.
        trained_on: the data: fingerprint, splits and how many images of each.
        calibration_error: of all attributes' answers together; None when it was not measured.
        scales: attribute -> (what the network says, the degree that this means on average), both never falling; in
            between the scale is straight, what is not named is taken as it is.
    """

    kind: ClassVar[str] = JudgeNetwork.kind
    versions: ClassVar[tuple[str, ...]] = ("1", "2")  # 1: drawn faces only, always with degrees
    name: str
    schema: Schema
    image_size: int
    network: JudgeNetwork
    temperature: float
    recipe: dict[str, Any]
    accuracies: dict[str, float]
    calibration: dict[str, float] = field(default_factory=dict)
    trained_on: dict[str, Any] = field(default_factory=dict)
    calibration_error: float | None = None
    scales: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Tensor:
        """Tell attributes.

        Args:
            images: [B, 3, S, S] in [-1, 1].

        Returns:
            [B, W]: the probability of each binary attribute, probabilities over the values of a categorical one, the
            expected (standardised) value of a real one.
        """
        return answers(self.logits(images), self.schema, self.temperature)

    def logits(self, images: Tensor) -> Tensor:
        """Return what the network says before any temperature, [B, W]."""
        return self.through(self.network.logits, images)

    def degrees(self, images: Tensor) -> Tensor:
        """Return how much each attribute holds: the drawn face's degree, by the judge's scales, [B, W] in 0..1.

        Raises:
            AttrimorphError: this judge learned from data without factors.
        """
        if not self.network.degrees:
            raise AttrimorphError(
                f"{self.name} must have learned degrees from drawn faces to tell them; it did not; "
                "take a shipped judge or the probabilities"
            )
        degrees = self.through(lambda part: self.network(part)[1], images)
        for name, (at, degree) in self.scales.items():
            column = self.schema.columns(name).start
            scaled = np.interp(degrees[:, column].double().cpu().numpy(), at, degree)
            degrees[:, column] = torch.from_numpy(scaled).to(degrees)
        return degrees

    def features(self, images: Tensor) -> Tensor:
        """Return the input of the last linear layer, [B, F]."""
        return self.through(self.network.trunk, images)

    @classmethod
    def rebuilt(cls, words: dict[str, Any]) -> dict[str, Any]:
        """See `Evaluator`."""
        size, schema = words["image_size"], Schema.from_json(words["schema"])
        network = JudgeNetwork(size, schema.width, words.get("stages", ()), degrees=words.get("degrees", True))
        scales = {name: (at, degree) for name, (at, degree) in words.get("scales", {}).items()}
        return {"schema": schema, "network": network, "scales": scales}

    def means(self) -> dict[str, float]:
        """Return the figures of all attributes together, by key."""
        overall = [] if self.calibration_error is None else [self.calibration_error]
        found = {
            "judge.accuracy": [*self.accuracies.values()],
            "judge.calibration_error": [*self.calibration.values()],
            "judge.calibration_error_overall": overall,
        }
        return {key: fmean(values) for key, values in found.items() if values}


def attribute_loss(logits: Tensor, labels: Tensor, schema: Schema, temperature: float = 1.0) -> Tensor:
    """Return the loss of a judge: cross-entropies and squared errors, mean over attributes and known labels.

    Args:
        logits: [B, W].
        labels: [B, W]; NaN = missing, left out.
        schema: of the columns.
        temperature: divides the logits of binary and categorical attributes.
    """
    total = logits.new_zeros(())
    for kind, start, stop in schema.blocks:
        found, true = logits[:, start:stop], labels[:, start:stop]
        known = ~true.isnan()
        if not bool(known.any()):
            continue
        if kind == "categorical":
            rows = known.all(1)
            total = total + cross_entropy(found[rows] / temperature, true[rows])
        elif kind == "binary":
            total = total + (stop - start) * binary_cross_entropy_with_logits(found[known] / temperature, true[known])
        else:
            total = total + (stop - start) * (found[known] - true[known]).square().mean()
    return total / len(schema.names)


@dataclass(frozen=True)
class OwnClassifier:
    """A model's own classifier as a judge: it judged this generator in training, so it is easily pleased.

    Attributes:
        model: with a classifier.
    """

    model: Model

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        return f"classifier of {self.model.recipe.name}"

    @property
    def schema(self) -> Schema:
        """The attributes it knows."""
        return self.model.schema

    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities [B, W] of images [B, 3, S, S]."""
        return batched(self.model.classify, images)

    def logits(self, images: Tensor) -> Tensor:
        """Return logits [B, W] with gradients."""
        logits: Tensor = self.model.networks["classifier"](images.to(self.model.device))[0]
        return logits.float()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the input of the classifier's last layer, [B, F] on the CPU."""
        _, features = self.model.networks["classifier"](images.to(self.model.device))
        found: Tensor = features.float().cpu()
        return found


@dataclass(frozen=True)
class AttributeScore:
    """How much each attribute holds, 0..1, as a judge sees it.

    A judge of drawn faces tells the degree itself. Of any other the logits are taken, cut off and scaled: its
    probabilities jump where the evidence grows evenly.

    Attributes:
        judge: whose.
    """

    judge: Judges

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        if isinstance(self.judge, Judge) and self.judge.network.degrees:
            return f"degrees of {self.judge.name}"
        return f"logits of {self.judge.name}, cut at {CLIPPED:g}"

    def __call__(self, images: Tensor, name: str) -> Tensor:
        """Return how much the attribute holds in images [B, 3, S, S] in [-1, 1], float64 [B] in 0..1."""
        column = self.judge.schema.columns(name).start
        if isinstance(self.judge, Judge) and self.judge.network.degrees:
            return self.judge.degrees(images)[:, column].double().cpu()
        logits = self.judge(images)[:, column].double().cpu().logit()
        return logits.clamp(-CLIPPED, CLIPPED) / (2 * CLIPPED) + 0.5


Gauge = AttributeScore  # its name before


def load_judge(source: str | Path, device: str = "cpu") -> Judge:
    """Read a judge from a file, or the shipped one by the name of its data ("drawn-faces-64"), to run on a device.

    Raises:
        AttrimorphError: there is none, or the file is no judge.
    """
    return Judge.load(source, device)


def judge_for(schema: Schema, image_size: int, device: str = "cpu") -> Judge | None:
    """Return the shipped judge that knows these attributes at this size, or None where there is none."""
    try:
        return in_schema(load_judge(f"drawn-faces-{image_size}", device), schema, "the model")
    except AttrimorphError:
        return None


def in_schema(judge: Who, schema: Schema, own: str) -> Who:
    """Return a judge whose answers stand in the columns of a schema.

    Args:
        judge: who knows the same attributes, by name, kind and values.
        schema: whose columns are wanted.
        own: whose it is.

    Raises:
        AttrimorphError: it knows others, or reals on another scale; or its answers cannot be put in another order.
    """
    if judge.schema.attributes == schema.attributes:
        return judge
    schema.check_same(judge.schema, own, judge.name)
    reals = [each for each in schema.attributes if each.kind == "real" and each not in judge.schema.attributes]
    if reals or not isinstance(judge, Judge):
        what = f"{reals[0].name} on the scale" if reals else "the attributes in the order"
        raise AttrimorphError(f"{judge.name} must tell {what} of {own}; it does not; train one with attrimorph judge")
    places = torch.tensor([judge.schema.column_names.index(name) for name in schema.column_names])
    network, width = copy.deepcopy(judge.network), len(places)
    if network.degrees:
        places = torch.cat([places, places + width])
    network.last.weight, network.last.bias = (
        nn.Parameter(each[places], requires_grad=False) for each in (network.last.weight, network.last.bias)
    )
    return cast(Who, replace(judge, schema=schema, network=network))


# --- labels of pictures that have none, as a judge tells them; what it is not sure of is missing

SHOWN = 4  # pictures of each kind and attribute on a sheet
KINDS = ("surely with", "hardly with", "hardly without", "surely without")


@dataclass(frozen=True)
class Labels:
    """What a judge tells of data.

    Attributes:
        data: the pictures.
        judge: who tells.
        probabilities: [N, W]; of a real attribute its value.
        y: [N, W] in the judge's schema; NaN where it is not sure.
    """

    data: PreparedData
    judge: Judge
    probabilities: Tensor
    y: Tensor

    @property
    def told(self) -> dict[int, str]:
        """The names of the columns that are not real, by their places."""
        schema = self.judge.schema
        return {place: name for place, name in enumerate(schema.column_names) if schema.find(name)[0].kind != "real"}

    def table(self) -> bytes:
        """Return a CSV file that `data prepare --table` reads: file, split, identity, and every attribute."""
        identity = [None if number < 0 else number for number in self.data.identity.tolist()]
        values = raw_table(self.judge.schema, self.y).values()
        return attributes_csv(self.judge.schema, [self.data.files, self.data.split.tolist(), identity, *values])

    def sheet(self) -> Image.Image:
        """Return one row for each binary attribute or value: the surest and the least sure pictures, with and without.

        Looked at by a person, it says which labels to trust.
        """
        rows = []
        for column in self.told:
            order = self.probabilities[:, column].argsort(descending=True)
            held = int((self.probabilities[:, column] > 0.5).sum())
            with_it, without = order[:held], order[held:]
            chosen = [with_it[:SHOWN], with_it[-SHOWN:], without[:SHOWN], without[-SHOWN:]]
            places = torch.cat([part.new_full((SHOWN,), -1).scatter(0, torch.arange(len(part)), part)
                                for part in chosen])  # fmt: skip
            pictures = self.data.batch(places.clamp(min=0).numpy())[0]
            rows.append(torch.where(places[:, None, None, None] < 0, 1.0, pictures))
        words = [kind if place == 0 else "" for kind in KINDS for place in range(SHOWN)]
        return sheet(rows, columns=words, labels=list(self.told.values()), cell=64)

    def save(self, out: Path) -> tuple[Path, ...]:
        """Write the table, and the sheet beside it where there is something to see; return what was written."""
        picture = out.with_suffix(".png")
        refuse_foreign([picture] if self.told else [])
        write_bytes(out, self.table())
        if not self.told:
            return (out,)
        write_bytes(picture, png_bytes(self.sheet(), "made by attrimorph"))
        return out, picture

    def counts(self) -> list[tuple[str, int, int, int]]:
        """Return for each column that is not real how many have it, have it not, and are left out."""
        columns = {name: self.y[:, column] for column, name in self.told.items()}
        return [(name, int((y == 1).sum()), int((y == 0).sum()), int(y.isnan().sum())) for name, y in columns.items()]


def label(
    judge: Judge, data: PreparedData, threshold: float, progress: Callable[[int, int], None] | None = None
) -> Labels:
    """Let a judge label data.

    Args:
        judge: of the data's image size.
        data: to label; labels of its own stay out of it.
        threshold: probability, 0.5..1, that a value must have to be written; a real value is always.
        progress: called with (done, total).

    Raises:
        AttrimorphError: a threshold out of range, or pictures of another size.
    """
    if not 0.5 <= threshold <= 1:
        raise AttrimorphError(f"threshold must lie in 0.5..1; got {threshold:g}; 0.5 keeps every label, try 0.9")
    if data.image_size != judge.image_size:
        raise AttrimorphError(
            f"{judge.name} looks at pictures of {judge.image_size} pixels; these have {data.image_size}; prepare them "
            f"with --image-size {judge.image_size}, or name the folder that they come from"
        )
    told = []
    for start in range(0, len(data), BATCH):
        told.append(judge(data.batch(np.arange(start, min(start + BATCH, len(data))))[0]))
        if progress:
            progress(min(start + BATCH, len(data)), len(data))
    probabilities = torch.cat(told)
    return Labels(data, judge, probabilities, sure(probabilities, judge.schema, threshold))


def sure(probabilities: Tensor, schema: Schema, threshold: float) -> Tensor:
    """Return y [N, W]: what probabilities decide, NaN where the likeliest value's lies below a threshold."""
    y = decisions(probabilities, schema)
    for attribute in schema.attributes:
        columns = schema.columns(attribute.name)
        part = probabilities[:, columns]
        if attribute.kind == "binary":
            y[:, columns] = torch.where(torch.maximum(part, 1 - part) < threshold, torch.nan, y[:, columns])
        elif attribute.kind == "categorical":
            y[:, columns] = torch.where(part.amax(1, keepdim=True) < threshold, torch.nan, y[:, columns])
    return y
