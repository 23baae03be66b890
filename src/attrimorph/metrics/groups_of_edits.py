"""The groups of figures about edits: what each attribute's edit reaches, and what it changes besides."""

import torch
from torch import Tensor

from attrimorph.metrics import counterfactuals
from attrimorph.metrics.counterfactuals import Instruments
from attrimorph.metrics.edits import EditMeasures
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.metrics.fairness import fairness_sheet
from attrimorph.metrics.figures import Evaluation
from attrimorph.metrics.recogniser import Recogniser
from attrimorph.metrics.subject import Subject
from attrimorph.metrics.unseen import Unseen
from attrimorph.models import Edits

# The name in an evaluation -> the figure, and how its protocol begins.
CLOSE = {
    "edit PSNR against the true counterfactual in dB": (counterfactuals.PSNR, ""),
    "edit PSNR in dB where the truth differs from the input": (counterfactuals.PSNR_TARGET, ""),
    "edit PSNR in dB elsewhere": (counterfactuals.PSNR_REST, ""),
    "edit perceptual distance from the true counterfactual": (counterfactuals.DISTANCE, "{by}; "),
    "edit perceptual distance where the truth differs from the input": (counterfactuals.DISTANCE_TARGET, "{by}; "),
    "edit perceptual distance elsewhere": (counterfactuals.DISTANCE_REST, "{by}; "),
    "edit identity drift": (counterfactuals.IDENTITY, "1 - cosine, reconstruction to edit, {recogniser}; "),
    "identity drift of the true edits": (
        counterfactuals.TRUE_IDENTITY,
        "1 - cosine, input to true counterfactual, {recogniser}; ",
    ),
    "edit background drift in 1/255": (
        counterfactuals.BACKGROUND_DRIFT,
        "mean absolute change outside the person, reconstruction to edit; ",
    ),
    "the judge's own error on true edits": (
        counterfactuals.JUDGE_ERROR,
        "share of all attributes misjudged; {judge}; ",
    ),
}


def measure_edit_group(subject: Subject, evaluation: Evaluation) -> None:
    """Set and take away every binary attribute, on so many images that there are at most `subject.edits` edits."""
    if not isinstance(subject.model, Edits):
        evaluation.notes.append("The model does not edit: no edit was measured.")
    elif subject.judge is None:
        evaluation.notes.append(
            "No judge of these attributes was given: no edit was measured. The attribute accuracy is that of the "
            "model's own classifier on held-out images."
        )
    elif subject.edit_measures is None:
        evaluation.notes.append("No image has a binary attribute that can be edited: no edit was measured.")
    else:
        put_edits(evaluation, subject.edit_measures, subject.edited_images, subject.instruments(subject.judge))


def measure_fairness_group(subject: Subject, evaluation: Evaluation) -> None:
    """Break the same edits down by group: a sheet among the evaluation's parts."""
    if not isinstance(subject.model, Edits) or subject.judge is None or subject.edit_measures is None:
        evaluation.notes.append("A fairness sheet needs a model that edits, and a judge: not made.")
        return
    labels = subject.edited_images.labels
    evaluation.parts["fairness"] = fairness_sheet(subject.edit_measures, labels, subject.judge.schema)


def put_edits(evaluation: Evaluation, measures: EditMeasures, unseen: Unseen, tools: Instruments) -> None:
    """Put the figures, the table, the leakage and the pictures of all edits into an evaluation."""
    truth, flips = measures.truth, measures.flips
    edits = int(truth.edits.sum())
    words = f"{tools.judge.name}; {edits} edits of strength 1 on {unseen.words}"
    evaluation.put("edit target reached", f"mean over attributes; {words}", float(truth.target_reached.mean()))
    wrong = f"share of the other attributes that are not as they truly should be; {words}"
    evaluation.put("edit leakage", wrong, float(truth.leakage.mean()))
    moved = f"share of the other attributes judged other than before the edit; {words}"
    evaluation.put("edit drift", moved, float(measures.drift.leakage.mean()))
    for name, (figure, protocol) in CLOSE.items():
        values = torch.cat([flip.figure(figure) for flip in flips])
        if len(values):
            said = protocol.format(
                judge=tools.judge.name, recogniser=named(tools.recogniser), by=named(tools.extractor)
            )
            evaluation.put(name, f"{said}{len(values)} edits, {unseen.words}", finite_mean(values))
    evaluation.about["edits judged per second"] = round(edits / measures.seconds, 1)
    for row, flip in enumerate(flips):
        evaluation.pictures[f"edit {flip.name}"] = flip.picture
        evaluation.leakage[flip.name] = dict(zip(truth.others, truth.leakage_matrix[row].tolist(), strict=True))
        evaluation.attributes.append(
            {
                "attribute": flip.name,
                "edits": int(truth.edits[row]),
                "target reached": float(truth.target_reached[row]),
                "reached when set": or_none(flip.set_reached),
                "reached when taken away": or_none(flip.removed_reached),
                "leakage": float(truth.leakage[row]),
                "PSNR against the truth": or_none(finite_mean(flip.figure(counterfactuals.PSNR))),
            }
        )


def finite_mean(values: Tensor) -> float:
    """Return the mean over the edits that have the area in question, NaN without any."""
    values = values[values.isfinite()]
    return float(values.mean()) if len(values) else float("nan")


def or_none(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if value != value else value


def named(tool: Recogniser | SeesMaps | None) -> str:
    """Return how a tool stands in a protocol."""
    return "" if tool is None else tool.name
