"""Evaluate: what a model can do, in figures that carry their protocol in their names.

On drawn faces everything is known: the right attributes of every edit and the right picture (the true counterfactual).
On other data edits are only judged by a classifier that the caller names.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.sample import sample
from attrimorph.data import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.attributes import Judges, attribute_accuracy, decisions
from attrimorph.metrics.edits import BATCH, EditMeasures, measure_edits
from attrimorph.metrics.reconstruction import psnr, ssim
from attrimorph.metrics.unseen import SEED, Unseen, drawn_images, held_out_images
from attrimorph.models import Edits, Encodes, Model
from attrimorph.pictures import grid, sheet

MOST = 50_000  # images: all of them are held in memory
Progress = Callable[[str], None]


@dataclass(frozen=True)
class ModelJudge:
    """The classifier inside a trained model, as a judge: it trained with that model, and its name says so.

    Attributes:
        model: one that classifies.
        label: the model's name.
    """

    model: Model
    label: str

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        return f"classifier of {self.label}, trained with that model"

    @property
    def schema(self) -> Schema:
        """The attributes it knows."""
        return self.model.schema

    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities [B, width]."""
        return torch.cat([self.model.classify(part).cpu() for part in torch.split(images, BATCH)])


@dataclass
class Evaluation:
    """The outcome.

    Attributes:
        figures: "name (protocol)" -> value.
        attributes: one row of figures for each edited attribute.
        leakage: edited attribute -> judged attribute -> share of edits after which it is not as it should be.
        pictures: name -> picture to look at.
        notes: sentences that a reader of the figures must know.
        about: what was evaluated, and on what.
    """

    figures: dict[str, float] = field(default_factory=dict)
    attributes: list[dict[str, Any]] = field(default_factory=list)
    leakage: dict[str, dict[str, float]] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """Return the figure whose name, without its protocol, is `name`; None if it was not measured."""
        return next((value for key, value in self.figures.items() if key.partition(" (")[0] == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures."""
        return {
            "figures": self.figures,
            "attributes": self.attributes,
            "leakage": self.leakage,
            "notes": self.notes,
            "about": self.about,
        }


@torch.no_grad()
def evaluate(
    model: Model,
    data: PreparedData | None = None,
    judge: Judges | None = None,
    *,
    count: int = 1000,
    seed: int = SEED,
    counterfactuals: int = 200,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model.

    Args:
        model: any; what it cannot do is left out and noted.
        data: held-out images with labels; None = fresh drawn faces, for models of drawn faces only.
        judge: who tells the attributes of edited images; without one no edit is measured.
        count: images.
        seed: of fresh drawn faces.
        counterfactuals: edits of each attribute and direction that are compared with the true counterfactual.
        progress: gets a line of text now and then.

    Raises:
        AttrimorphError: the data, the judge and the model do not go together.
    """
    if not 1 <= count <= MOST:
        raise AttrimorphError(f"count must lie in 1..{MOST}; got {count}; try 1000")
    if data is None and model.schema.names != faces.SCHEMA.names:
        raise AttrimorphError(
            "only a model of drawn faces is evaluated without data; this one has other attributes; add --data"
        )
    unseen = drawn_images(count, model.image_size, seed) if data is None else held_out_images(data, count)
    _check(model, unseen, judge)
    evaluation = Evaluation(
        about={
            "images": unseen.words,
            "model sha256": model.hash,
            "judge": None if judge is None else judge.name,
        }
    )
    evaluation.pictures["samples"] = grid(sample(model, 40, seed=1).images, columns=10, clear=True)
    _measure_classifier(model, unseen, evaluation)
    seen = unseen.images
    if isinstance(model, Encodes):
        seen = _measure_reconstructions(model, unseen, judge, evaluation)
    else:
        evaluation.notes.append("The model does not encode: no reconstruction was measured.")
    if not isinstance(model, Edits):
        evaluation.notes.append("The model does not edit: no edit was measured.")
    elif judge is None:
        evaluation.notes.append(
            "No judge of these attributes was given: no edit was measured. The attribute accuracy is that of the "
            "model's own classifier on held-out images."
        )
    else:
        before = decisions(judge(seen), model.schema)
        measures = measure_edits(model, unseen, judge, before, counterfactuals=counterfactuals, progress=progress)
        _put_edits(evaluation, measures, unseen, judge)
    return evaluation


def _check(model: Model, unseen: Unseen, judge: Judges | None) -> None:
    if unseen.images.shape[-1] != model.image_size or unseen.labels.shape[1] != model.schema.width:
        raise AttrimorphError(
            f"the data must have {model.image_size} px and {model.schema.width} attribute columns like the model; "
            f"got {unseen.images.shape[-1]} px and {unseen.labels.shape[1]}; prepare it again for this model"
        )
    if judge is not None and judge.schema.names != model.schema.names:
        raise AttrimorphError(
            f"a judge must know the very attributes of the model; {judge.name} knows others; leave it out"
        )


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


def _measure_classifier(model: Model, unseen: Unseen, evaluation: Evaluation) -> None:
    try:
        guesses = torch.cat([model.classify(part).cpu() for part in torch.split(unseen.images, BATCH)])
    except AttrimorphError as error:
        evaluation.notes.append(f"No classifier was measured: {error}.")
        return
    if accuracy := attribute_accuracy(guesses, unseen.labels, model.schema):
        evaluation.figures[f"classifier accuracy (the model's own classifier; {unseen.words})"] = _mean(accuracy)
        evaluation.about["classifier accuracy"] = accuracy


def _measure_reconstructions(model: Model, unseen: Unseen, judge: Judges | None, evaluation: Evaluation) -> Tensor:
    """Return the reconstructions, [N, 3, S, S]."""
    assert isinstance(model, Encodes)
    labels = unseen.labels.nan_to_num(0.0)
    begin = time.perf_counter()
    parts = zip(torch.split(unseen.images, BATCH), torch.split(labels, BATCH), strict=True)
    made = torch.cat([model.decode(model.encode(images, y)).cpu() for images, y in parts])
    evaluation.about["reconstructions per second"] = round(len(made) / (time.perf_counter() - begin), 1)
    figures, words = evaluation.figures, unseen.words
    figures[f"reconstruction PSNR in dB (mean over images, data range 1; {words})"] = float(
        psnr(unseen.images, made).mean()
    )
    figures[f"reconstruction SSIM (Gaussian window of 11 px; {words})"] = float(ssim(unseen.images, made).mean())
    if judge is not None:
        for name, batch in (("reconstructions", made), ("the images themselves", unseen.images)):
            accuracy = attribute_accuracy(judge(batch), unseen.labels, model.schema)
            figures[f"attribute accuracy of {name} ({judge.name}; {words})"] = _mean(accuracy)
    evaluation.pictures["reconstructions"] = sheet(
        [unseen.images[:9], made[:9]], labels=["input", "reconstruction"], cell=96, clear=True
    )
    return made


def _put_edits(evaluation: Evaluation, measures: EditMeasures, unseen: Unseen, judge: Judges) -> None:
    figures, truth, flips = evaluation.figures, measures.truth, measures.flips
    edits = int(truth.edits.sum())
    words = f"{judge.name}; {edits} edits of strength 1 on {unseen.words}"
    figures[f"edit target reached (mean over attributes; {words})"] = float(truth.target_reached.mean())
    figures[f"edit leakage (share of the other attributes that are not as they truly should be; {words})"] = float(
        truth.leakage.mean()
    )
    figures[f"edit drift (share of the other attributes judged other than before the edit; {words})"] = float(
        measures.drift.leakage.mean()
    )
    if unseen.factors is not None:
        for name, parts in (
            ("edit PSNR against the true counterfactual in dB", [flip.psnr for flip in flips]),
            ("edit PSNR in dB where the truth differs from the input", [flip.psnr_inside for flip in flips]),
            ("edit PSNR in dB elsewhere", [flip.psnr_outside for flip in flips]),
        ):
            values = torch.cat(parts)
            figures[f"{name} ({len(values)} edits, {unseen.words})"] = _finite_mean(values)
        values = torch.cat([flip.judge_error for flip in flips])
        protocol = f"share of all attributes misjudged; {judge.name}; {len(values)} counterfactuals, {unseen.words}"
        figures[f"the judge's own error on true edits ({protocol})"] = _finite_mean(values)
    evaluation.about["edits judged per second"] = round(edits / measures.seconds, 1)
    for row, flip in enumerate(flips):
        evaluation.pictures[f"edit {flip.name}"] = flip.picture
        evaluation.leakage[flip.name] = dict(zip(truth.others, truth.leakage_matrix[row].tolist(), strict=True))
        evaluation.attributes.append(
            {
                "attribute": flip.name,
                "edits": int(truth.edits[row]),
                "target reached": float(truth.target_reached[row]),
                "reached when set": _or_none(flip.set_reached),
                "reached when taken away": _or_none(flip.removed_reached),
                "leakage": float(truth.leakage[row]),
                "PSNR against the truth": _or_none(_finite_mean(flip.psnr)),
            }
        )


def _finite_mean(values: Tensor) -> float:
    """Mean over the edits that have the area in question."""
    values = values[values.isfinite()]
    return float(values.mean()) if len(values) else float("nan")


def _or_none(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if value != value else value
