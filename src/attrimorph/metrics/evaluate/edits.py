"""The groups of figures about edits: what each attribute's edit reaches, and what it changes besides."""

import torch
from torch import Tensor

from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.metrics import counterfactuals
from attrimorph.metrics.chance import of_mean, wilson
from attrimorph.metrics.counterfactuals import Instruments
from attrimorph.metrics.edits import EditMeasures, Flips
from attrimorph.metrics.evaluate.context import EvaluationContext
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.metrics.fairness import fairness_sheet
from attrimorph.metrics.figures import Evaluation
from attrimorph.models.codes import Edits

# What is looked at closely, and how its protocol begins.
CLOSE = {
    counterfactuals.PSNR: "",
    counterfactuals.PSNR_TARGET: "",
    counterfactuals.PSNR_REST: "",
    counterfactuals.DISTANCE: "{by}; ",
    counterfactuals.DISTANCE_TARGET: "{by}; ",
    counterfactuals.DISTANCE_REST: "{by}; ",
    counterfactuals.IDENTITY: "1 - cosine, reconstruction to edit, {identity_encoder}; ",
    counterfactuals.TRUE_IDENTITY: "1 - cosine, input to true counterfactual, {identity_encoder}; ",
    counterfactuals.BACKGROUND_DRIFT: "mean absolute change outside the person, reconstruction to edit; ",
    counterfactuals.JUDGE_ERROR: "share of all attributes misjudged; {judge}; ",
}


def measure_edit_group(context: EvaluationContext, evaluation: Evaluation) -> None:
    """Set and take away every binary attribute, on so many images that there are at most `subject.edits` edits."""
    if not isinstance(context.model, Edits):
        evaluation.notes.append("The model does not edit: no edit was measured.")
    elif context.judge is None:
        evaluation.notes.append(
            "No judge of these attributes was given: no edit was measured. The attribute accuracy is that of the "
            "model's own classifier on held-out images."
        )
    elif context.edit_measures is None:
        evaluation.notes.append("No image has a binary attribute that can be edited: no edit was measured.")
    else:
        put_edits(evaluation, context.edit_measures, context.edited_images, context.instruments(context.judge))


def measure_fairness_group(context: EvaluationContext, evaluation: Evaluation) -> None:
    """Break the same edits down by group: a sheet among the evaluation's parts."""
    if not isinstance(context.model, Edits) or context.judge is None or context.edit_measures is None:
        evaluation.notes.append("A fairness sheet needs a model that edits, and a judge: not made.")
        return
    labels = context.edited_images.labels
    evaluation.parts["fairness"] = fairness_sheet(context.edit_measures, labels, context.judge.schema)


def put_edits(evaluation: Evaluation, measures: EditMeasures, unseen: EvaluationSet, tools: Instruments) -> None:
    """Put the figures, those of single attributes, the leakage and the pictures of all edits into an evaluation."""
    truth, flips = measures.truth, measures.flips
    edits = int(truth.edits.sum())
    words = f"{tools.judge.name}; {edits} edits of strength 1 on {unseen.words}"
    ways = [way for flip in flips for way in flip.ways]
    rows = torch.cat([way.rows for way in ways])
    for key, protocol, value, every in (
        ("edit.target_reached", "mean over attributes", truth.target_reached, [way.reached for way in ways]),
        ("edit.leakage", "share of the other attributes that are not as they truly should be", truth.leakage,
         [way.leaked for way in ways]),
    ):  # fmt: skip
        mean = float(value.mean())
        evaluation.put(key, f"{protocol}; {words}", mean, over_images(mean, torch.cat(every), rows))
    moved = f"share of the other attributes judged other than before the edit; {words}"
    evaluation.put("edit.drift", moved, float(measures.drift.leakage.mean()))
    for key, each in (
        ("edit.reached_when_set", [flip.set_reached for flip in flips]),
        ("edit.reached_when_taken_away", [flip.removed_reached for flip in flips]),
    ):
        evaluation.put(key, f"mean over attributes; {words}", float(torch.tensor(each, dtype=torch.float64).nanmean()))
    evaluation.put("edit.count", words, edits)
    for key, begin in CLOSE.items():
        values = torch.cat([flip.figure(key) for flip in flips])
        if len(values):
            said = begin.format(
                judge=tools.judge.name, identity_encoder=named(tools.identity_encoder), by=named(tools.extractor)
            )
            evaluation.put(key, f"{said}{len(values)} edits, {unseen.words}", finite_mean(values))
    evaluation.about["edits judged per second"] = round(edits / measures.seconds, 1)
    for row, flip in enumerate(flips):
        evaluation.pictures[f"edit {flip.name}"] = flip.picture
        evaluation.leakage[flip.name] = dict(zip(truth.others, truth.leakage_matrix[row].tolist(), strict=True))
        put_attribute(evaluation, flip, float(truth.leakage[row]), f"{tools.judge.name}; {unseen.words}")


def put_attribute(evaluation: Evaluation, flip: Flips, leakage: float, words: str) -> None:
    """Put the figures of one attribute's edits into an evaluation; a direction that nobody needed has none."""
    counts = {way.goal: len(way.rows) for way in flip.ways}
    edits, hits = sum(counts.values()), sum(float(way.reached.sum()) for way in flip.ways)
    for key, value, count in (
        ("edit.target_reached", hits / edits, edits),
        ("edit.reached_when_set", flip.set_reached, counts.get(True)),
        ("edit.reached_when_taken_away", flip.removed_reached, counts.get(False)),
        ("edit.leakage", leakage, None),
        ("edit.count", edits, None),
        ("edit.psnr", finite_mean(flip.figure(counterfactuals.PSNR)), None),
    ):
        if value == value:  # not NaN
            interval = None if count is None else wilson(value, count)
            words_of = f"{count or edits} edits of strength 1; {words}"
            evaluation.put(f"{key}.{flip.name}", words_of, value, interval)


def over_images(mean: float, values: Tensor, rows: Tensor) -> tuple[float, float]:
    """Return the 95 % interval of a mean over edits: edits of one image are alike, images are drawn at random.

    Args:
        mean: the figure.
        values: of every edit, [n].
        rows: the image of every edit, [n].
    """
    images, place = torch.unique(rows, return_inverse=True)
    sums = torch.zeros(len(images), dtype=torch.float64).index_add_(0, place, values.double())
    means = sums / torch.bincount(place, minlength=len(images))
    low, high = of_mean(means.tolist())
    return max(0.0, mean - (high - low) / 2), min(1.0, mean + (high - low) / 2)


def finite_mean(values: Tensor) -> float:
    """Return the mean over the edits that have the area in question, NaN without any."""
    values = values[values.isfinite()]
    return float(values.mean()) if len(values) else float("nan")


def named(tool: IdentityEncoder | SeesMaps | None) -> str:
    """Return how a tool stands in a protocol."""
    return "" if tool is None else tool.name
