"""The judge: a network that tells attributes, trained apart from every method and never part of one.

The shipped ones learned from drawn faces, `train_judge` in `judge_training` makes one from any prepared data. Its
probabilities are calibrated: see `calibration`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.fitting import channels_last
from attrimorph.evaluators.trunk import (
    FIRST,
    LARGEST,
    Stages,
    Trunk,
    check_size,
    damaged,
    fill,
    find_shipped,
    halves,
    parts,
    read_trained,
)
from attrimorph.files import write_bytes
from attrimorph.unfinished import beside

FORMAT = "attrimorph judge"
FORMAT_VERSION = 2
READ_VERSIONS = ("1", "2")  # 1: drawn faces only, always with degrees

# (channels, kernel, stride) after FIRST, down to 4x4.
TRUNK = ((48, 4, 2), (48, 3, 1), (96, 4, 2), (96, 3, 1), (128, 4, 2))


class JudgeNetwork(nn.Module):
    """Images [B, 3, S, S] in [-1, 1] -> logits [B, W] (does it hold?) and degrees [B, W] (how much, 0..1) or None.

    Args:
        image_size: S, a power of two in 16..1024.
        outputs: W.
        stages: of the trunk; the usual ones by default.
        degrees: whether it tells degrees as well.
        dropout: of the features, in training.
    """

    def __init__(
        self, image_size: int, outputs: int, stages: Stages = (), *, degrees: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_size(image_size, "judge")
        self.stages = stages or (*FIRST[min(image_size, LARGEST)], *TRUNK)
        self.degrees = degrees
        self.trunk = Trunk(image_size, self.stages)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(self.trunk.features, outputs * (2 if degrees else 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.last(self.dropout(self.trunk(images)))
        if not self.degrees:
            return found, None
        logits, degrees = found.chunk(2, dim=1)
        return logits, degrees.sigmoid()


@dataclass(frozen=True)
class Judge:
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

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Tell attributes.

        Args:
            images: [B, 3, S, S] in [-1, 1].

        Returns:
            [B, W]: the probability of each binary attribute, probabilities over the values of a categorical one, the
            expected (standardised) value of a real one.
        """
        return answers(self.logits(images), self.schema, self.temperature)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return what the network says before any temperature, [B, W]."""
        return torch.cat([self.network(part)[0] for part in self._parts(images)])

    @torch.no_grad()
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
        said = torch.cat([self.network(part)[1] for part in self._parts(images)])
        for name, (at, degree) in self.scales.items():
            column = self.schema.columns(name).start
            scaled = np.interp(said[:, column].double().cpu().numpy(), at, degree)
            said[:, column] = torch.from_numpy(scaled).to(said)
        return said

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the input of the last linear layer, [B, F]."""
        return torch.cat([self.network.trunk(part) for part in self._parts(images)])

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the trunk's stages, each [B, C, H, W], the finest first."""
        found = [self.network.trunk.maps(part) for part in self._parts(images)]
        return [torch.cat(stage) for stage in zip(*found, strict=True)]

    def means(self) -> dict[str, float]:
        """Return the figures of all attributes together, by key."""
        found = {}
        if self.accuracies:
            found["judge.accuracy"] = fmean(self.accuracies.values())
        if self.calibration:
            found["judge.calibration_error"] = fmean(self.calibration.values())
        if self.calibration_error is not None:
            found["judge.calibration_error_overall"] = self.calibration_error
        return found

    def _parts(self, images: Tensor) -> Iterator[Tensor]:
        return parts(images, self.image_size, self.name)


def answers(logits: Tensor, schema: Schema, temperature: float = 1.0) -> Tensor:
    """Turn logits [B, W] into what a judge says: sigmoid, softmax, or as they stand for real attributes."""
    said = logits.clone()
    for kind, start, stop in schema.blocks:
        if kind == "binary":
            said[:, start:stop] = (logits[:, start:stop] / temperature).sigmoid()
        elif kind == "categorical":
            said[:, start:stop] = (logits[:, start:stop] / temperature).softmax(1)
    return said


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
        said, true = logits[:, start:stop], labels[:, start:stop]
        known = ~true.isnan()
        if not bool(known.any()):
            continue
        if kind == "categorical":
            rows = known.all(1)
            total = total + cross_entropy(said[rows] / temperature, true[rows])
        elif kind == "binary":
            total = total + (stop - start) * binary_cross_entropy_with_logits(said[known] / temperature, true[known])
        else:
            total = total + (stop - start) * (said[known] - true[known]).square().mean()
    return total / len(schema.names)


def save_judge(judge: Judge, path: Path) -> None:
    """Write a judge as safetensors, weights in float16, everything else in the header."""
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "name": judge.name,
        "image_size": str(judge.image_size),
        "schema": json.dumps(judge.schema.to_json()),
        "stages": json.dumps(judge.network.stages),
        "degrees": json.dumps(judge.network.degrees),
        "temperature": repr(judge.temperature),
        "recipe": json.dumps(judge.recipe),
        "accuracies": json.dumps(judge.accuracies),
        "calibration": json.dumps(judge.calibration),
        "trained_on": json.dumps(judge.trained_on),
        "calibration_error": json.dumps(judge.calibration_error),
        "scales": json.dumps(judge.scales),
    }
    write_bytes(path, safetensors.torch.save(halves(judge.network), header))
    beside(path).unlink(missing_ok=True)


def load_judge(source: str | Path) -> Judge:
    """Read a judge from a file, or the shipped one by the name of its data ("drawn-faces-64").

    Raises:
        AttrimorphError: there is none, or the file is no judge.
    """
    path = find_shipped(source, "judge")
    header, tensors = read_trained(path, FORMAT, READ_VERSIONS, "judge")
    try:
        schema, size = Schema.from_json(json.loads(header["schema"])), int(header["image_size"])
        if header["format_version"] == "1":
            tensors = {key.replace("trunk.", "trunk.layers."): value for key, value in tensors.items()}
        network = JudgeNetwork(
            size,
            schema.width,
            json.loads(header.get("stages", "[]")),
            degrees=json.loads(header.get("degrees", "true")),
        )
        fill(network, tensors)
        return Judge(
            header["name"],
            schema,
            size,
            channels_last(network.eval()),
            float(header["temperature"]),
            json.loads(header["recipe"]),
            json.loads(header["accuracies"]),
            json.loads(header.get("calibration", "{}")),
            json.loads(header.get("trained_on", "{}")),
            json.loads(header.get("calibration_error", "null")),
            {name: (list(at), list(degree)) for name, (at, degree) in json.loads(header.get("scales", "{}")).items()},
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttrimorphError) as error:
        raise damaged(path, "judge", error) from error
