"""The groups of figures about edits: what each attribute's edit reaches, what it changes besides, and for whom."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.evaluators.attributes import Judges, binary_names
from attrimorph.metrics import counterfactuals
from attrimorph.metrics.chance import of_mean, wilson
from attrimorph.metrics.edits import EditMeasures, Flips
from attrimorph.metrics.evaluate.context import EvaluationContext
from attrimorph.metrics.figures import Evaluation
from attrimorph.models.model import Edits

FAIRNESS_GROUPS = ("Male", "Young", "Pale_Skin")
RESAMPLES = 500
SEED = 3
INTERVAL = 0.95
LEAST = 2  # images of a group in a cell

# What is looked at closely, and how its protocol begins.
CLOSE = {
    counterfactuals.PSNR: "",
    counterfactuals.PSNR_TARGET: "",
    counterfactuals.PSNR_REST: "",
    counterfactuals.DISTANCE: "{by.name}; ",
    counterfactuals.DISTANCE_TARGET: "{by.name}; ",
    counterfactuals.DISTANCE_REST: "{by.name}; ",
    counterfactuals.IDENTITY: "1 - cosine, reconstruction to edit, {identity_encoder.name}; ",
    counterfactuals.TRUE_IDENTITY: "1 - cosine, input to true counterfactual, {identity_encoder.name}; ",
    counterfactuals.BACKGROUND_DRIFT: "mean absolute change outside the person, reconstruction to edit; ",
    counterfactuals.JUDGE_ERROR: "share of all attributes misjudged; {judge.name}; ",
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
        put_edits(evaluation, context, context.judge, context.edit_measures)


def measure_fairness_group(context: EvaluationContext, evaluation: Evaluation) -> None:
    """Break the same edits down by group: a sheet among the evaluation's parts."""
    if not isinstance(context.model, Edits) or context.judge is None or context.edit_measures is None:
        evaluation.notes.append("A fairness sheet needs a model that edits, and a judge: not made.")
        return
    labels = context.edited_images.labels
    evaluation.parts["fairness"] = fairness_sheet(context.edit_measures, labels, context.judge.schema)


def put_edits(evaluation: Evaluation, context: EvaluationContext, judge: Judges, measures: EditMeasures) -> None:
    """Put the figures, those of single attributes, the leakage and the pictures of all edits into an evaluation."""
    truth, flips, unseen = measures.truth, measures.flips, context.edited_images
    edits = int(truth.edits.sum())
    words = f"{judge.name}; {edits} edits of strength 1 on {unseen.words}"
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
        ("edit.reached_when_set", [flip.reached(True) for flip in flips]),
        ("edit.reached_when_taken_away", [flip.reached(False) for flip in flips]),
    ):
        evaluation.put(key, f"mean over attributes; {words}", float(torch.tensor(each, dtype=torch.float64).nanmean()))
    evaluation.put("edit.count", words, edits)
    for key, begin in CLOSE.items():
        values = torch.cat([flip.figure(key) for flip in flips])
        if len(values):
            by = begin.format(judge=judge, identity_encoder=context.identity_encoder, by=context.maps)
            evaluation.put(key, f"{by}{len(values)} edits, {unseen.words}", finite_mean(values))
    evaluation.about["edits judged per second"] = round(edits / measures.seconds, 1)
    for row, flip in enumerate(flips):
        evaluation.pictures[f"edit {flip.name}"] = flip.picture
        evaluation.leakage[flip.name] = dict(zip(truth.others, truth.leakage_matrix[row].tolist(), strict=True))
        put_attribute(evaluation, flip, float(truth.leakage[row]), f"{judge.name}; {unseen.words}")


def put_attribute(evaluation: Evaluation, flip: Flips, leakage: float, words: str) -> None:
    """Put the figures of one attribute's edits into an evaluation; a direction that nobody needed has none."""
    counts = {way.goal: len(way.rows) for way in flip.ways}
    edits, hits = sum(counts.values()), sum(float(way.reached.sum()) for way in flip.ways)
    for key, value, count in (
        ("edit.target_reached", hits / edits, edits),
        ("edit.reached_when_set", flip.reached(True), counts.get(True)),
        ("edit.reached_when_taken_away", flip.reached(False), counts.get(False)),
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


class Cell(NamedTuple):
    """One figure of the edits of one attribute in one direction.

    Attributes:
        edit: attribute and direction.
        rows: the images edited, [m].
        values: [m]; NaN where the figure was not to be had.
    """

    edit: str
    rows: Tensor
    values: Tensor


def cells_of(measures: EditMeasures) -> dict[str, list[Cell]]:
    """Return every figure that was measured edit by edit: its name -> one cell for each attribute and direction."""
    found: dict[str, list[Cell]] = {}
    for flip in measures.flips:
        for way in flip.ways:
            edit = f"{flip.name} {'set' if way.goal else 'taken away'}"
            figures = {"edit.target_reached": way.reached, "edit.leakage": way.leaked}
            # The truth's own drift and the judge's own error say nothing of the model.
            own = (counterfactuals.TRUE_IDENTITY, counterfactuals.JUDGE_ERROR)
            figures |= {name: values for name, values in way.figures.items() if name not in own}
            for name, values in figures.items():
                found.setdefault(name, []).append(Cell(edit, way.rows[: len(values)], values.double()))
    return found


def fairness_sheet(
    measures: EditMeasures,
    labels: Tensor,
    schema: Schema,
    *,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Return one row for each group and figure.

    The gap is the mean over cells, attribute by attribute and direction by direction, of the difference between those
    who have the group's attribute and those who have not: the two are compared in the same edits only, so that it does
    not count against women that moustaches are only set on them. The interval is a bootstrap over images.

    Args:
        measures: of edits.
        labels: of the images, [N, width]; rows whose group is missing are left out.
        schema: of the labels.
        resamples: of the bootstrap.

    Returns:
        Rows with the keys group, figure (its key), with, without (means over the cells that both share), gap, low,
        high, edits, cells; plain values for JSON. Figures without a shared cell are left out.
    """
    rows = []
    found = cells_of(measures)
    weights = resampled(len(labels), resamples)
    for group in (name for name in FAIRNESS_GROUPS if name in binary_names(schema)):
        has = labels[:, schema.columns(group).start]
        for name, cells in found.items():
            row = gap_of(cells, has, weights)
            if row is not None:
                rows.append({"group": group, "figure": name, **row})
    return rows


def resampled(count: int, resamples: int) -> Tensor:
    """Return how often each image is drawn, float64 [1 + resamples, count]: once in row 0, then with replacement."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randint(count, (resamples, count), generator=generator)
    times = torch.zeros(resamples, count, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())
    return torch.cat([torch.ones(1, count, dtype=torch.float64), times])


def gap_of(cells: Sequence[Cell], has: Tensor, weights: Tensor) -> Mapping[str, float | int] | None:
    """Compare two groups in the cells that both share; None where there is no such cell.

    Args:
        cells: of one figure.
        has: whether each image belongs to the group, [N] in {0, 1}, NaN = unknown.
        weights: of the images, [1 + resamples, N]; row 0 gives the figure, the others its interval.
    """
    means, edits = [], 0
    for cell in cells:
        known = cell.values.isfinite() & ~has[cell.rows].isnan()
        rows, values = cell.rows[known], cell.values[known]
        belongs = has[rows] > 0.5
        if min(int(belongs.sum()), int((~belongs).sum())) < LEAST:
            continue
        edits += len(rows)
        means.append(torch.stack([_weighted(values[part], weights[:, rows[part]]) for part in (belongs, ~belongs)]))
    if not means:
        return None
    # A resample that lacks a group in some cell takes the mean of the other cells.
    every = torch.stack(means)
    both = every.isfinite().all(1, keepdim=True).expand_as(every)
    sides = torch.where(both, every, torch.nan).nanmean(0)
    gaps = sides[0] - sides[1]
    low, high = gaps[1:].nanquantile(torch.tensor([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], dtype=gaps.dtype)).tolist()
    return {
        "with": float(sides[0, 0]),
        "without": float(sides[1, 0]),
        "gap": float(gaps[0]),
        "low": low,
        "high": high,
        "edits": edits,
        "cells": len(means),
    }


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted means of values [m] under each row of weights [R, m]; NaN where all weights are 0."""
    return (weights @ values) / weights.sum(1)
