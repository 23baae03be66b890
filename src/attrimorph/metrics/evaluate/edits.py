"""The groups of figures about edits: what each reaches, what it changes besides, for whom, and how it grows."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from attrimorph.evaluators import Judges, binary_names, editable_names
from attrimorph.evaluators.judge import AttributeScore
from attrimorph.metrics import responses as shapes
from attrimorph.metrics.edits import (
    BACKGROUND_DRIFT,
    DISTANCE,
    DISTANCE_REST,
    DISTANCE_TARGET,
    IDENTITY,
    JUDGE_ERROR,
    PEOPLE,
    PSNR,
    PSNR_REST,
    PSNR_TARGET,
    SKIN_DRIFT,
    TRUE_IDENTITY,
    EditMeasures,
)
from attrimorph.metrics.evaluate.images import EvaluationContext
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.metrics.figures import Evaluation, of_mean, wilson
from attrimorph.metrics.responses import MOST, STRENGTHS, Response, measure_responses, rows_of
from attrimorph.metrics.similarity import perceptual_embedding
from attrimorph.metrics.skin import skin_lightness
from attrimorph.models.model import Edits

FIFTHS = 5
RESAMPLES = 500
SEED = 3
INTERVAL = 0.95
LEAST = 2  # images of a group in a cell

DIRECTIONS = (("edit.reached_when_set", True), ("edit.reached_when_taken_away", False))

# What is looked at closely, and how its protocol begins.
CLOSE = {
    PSNR: "",
    PSNR_TARGET: "",
    PSNR_REST: "",
    DISTANCE: "{by.name}; ",
    DISTANCE_TARGET: "{by.name}; ",
    DISTANCE_REST: "{by.name}; ",
    IDENTITY: "1 - cosine, reconstruction to edit, {identity_encoder.name}; ",
    TRUE_IDENTITY: "1 - cosine, input to true counterfactual, {identity_encoder.name}; ",
    BACKGROUND_DRIFT: "mean absolute change outside the person, reconstruction to edit; ",
    SKIN_DRIFT: "mean absolute change of the skin's mean L*, reconstruction to edit; ",
    JUDGE_ERROR: "share of all attributes misjudged; {judge.name}; ",
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
    unseen, schema = context.edited_images, context.judge.schema
    groups = {name: unseen.labels[:, schema.columns(name).start] for name in PEOPLE if name in binary_names(schema)}
    if groups:
        groups |= fifths_of_skin(unseen.images)
    evaluation.parts["fairness"] = fairness_sheet(context.edit_measures, groups)


def fifths_of_skin(images: Tensor) -> dict[str, Tensor]:
    """Return who belongs to each fifth of people by the lightness of their skin, [B] in {0, 1}, NaN where none is seen.

    Args:
        images: aligned faces, [B, 3, S, S] in [-1, 1].
    """
    tone = skin_lightness(images)
    order = tone.nan_to_num(torch.inf).argsort().argsort() * FIFTHS // max(1, int(tone.isfinite().sum()))
    names = ("darkest", "second", "third", "fourth", "lightest")
    return {
        f"skin: {name} fifth": torch.where(tone.isfinite(), (order == place).to(tone), torch.nan)
        for place, name in enumerate(names)
    }


def put_edits(evaluation: Evaluation, context: EvaluationContext, judge: Judges, measures: EditMeasures) -> None:
    """Put the figures, those of single attributes, the leakage and the pictures of all edits into an evaluation."""
    put_means(evaluation, context, judge, measures, "edit", CLOSE)
    for key, goal in DIRECTIONS:
        reached = [float(each.reached.mean()) for each in measures.edits if each.goal == goal]
        words = f"{judge.name}; {measures.count} edits of strength 1 on {context.edited_images.words}"
        evaluation.put(key, f"mean over attributes; {words}", finite_mean(torch.tensor(reached, dtype=torch.float64)))
    evaluation.put("edit.count", words, measures.count)
    if measures.composed is not None:
        close = {key: begin.replace("reconstruction to", "input to") for key, begin in CLOSE.items() if "edit." in key}
        put_means(evaluation, context, judge, measures.composed, "composed", close)
    evaluation.about["edits judged per second"] = round(measures.count / measures.seconds, 1)
    unseen = context.edited_images
    for name in measures.names:
        evaluation.pictures[f"edit {name}"] = measures.picture(name)
        shares = measures.joined(lambda each: each.wrong, name).double().mean(0).tolist()
        evaluation.leakage[name] = dict(zip(measures.judged, shares, strict=True))
        put_attribute(evaluation, measures, name, f"{judge.name}; {unseen.words}")


def put_means(
    evaluation: Evaluation,
    context: EvaluationContext,
    judge: Judges,
    measures: EditMeasures,
    prefix: str,
    close: Mapping[str, str],
) -> None:
    """Put what all edits together come to into an evaluation, under keys that begin with `prefix` for "edit"."""
    unseen, rows = context.edited_images, measures.joined(lambda each: each.rows)
    words = f"{judge.name}; {measures.count} edits of strength 1 on {unseen.words}"
    for key, protocol, part in (
        ("target_reached", "mean over attributes", lambda each: each.reached),
        ("leakage", "share of the other attributes that are not as they truly should be", lambda each: each.leaked),
    ):
        mean = measures.mean(part)
        interval = over_images(mean, measures.joined(part), rows)
        evaluation.put(f"{prefix}.{key}", f"{protocol}; {words}", mean, interval)
    moved = f"share of the other attributes judged other than before the edit; {words}"
    evaluation.put(f"{prefix}.drift", moved, measures.mean(lambda each: each.drifted))
    for key, begin in close.items():
        values = measures.figure(key)
        if len(values):
            by = begin.format(judge=judge, identity_encoder=context.identity_encoder, by=context.maps)
            whole = f"{by}{len(values)} edits, {unseen.words}"
            evaluation.put(key.replace("edit.", f"{prefix}."), whole, finite_mean(values))


def put_attribute(evaluation: Evaluation, measures: EditMeasures, name: str, words: str) -> None:
    """Put the figures of one attribute's edits into an evaluation; a direction that nobody needed has none."""
    edits = len(measures.joined(lambda each: each.rows, name))
    directed = {each.goal: each.reached for each in measures.of(name)}
    for key, value, count in (
        ("edit.target_reached", measures.mean(lambda each: each.reached, name), edits),
        *((key, float(directed[goal].mean()), len(directed[goal])) for key, goal in DIRECTIONS if goal in directed),
        ("edit.leakage", measures.mean(lambda each: each.leaked, name), None),
        ("edit.count", edits, None),
        ("edit.psnr", finite_mean(measures.figure(PSNR, name)), None),
    ):
        if value == value:  # not NaN
            interval = None if count is None else wilson(value, count)
            evaluation.put(f"{key}.{name}", f"{count or edits} edits of strength 1; {words}", value, interval)


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


Cell = tuple[Tensor, Tensor]
"""The edits of one attribute in one direction: the images edited, and a figure of each, [m]; NaN where it was not to be
had."""


def cells_of(measures: EditMeasures) -> dict[str, list[Cell]]:
    """Return every figure that was measured edit by edit: its name -> one cell for each attribute and direction."""
    found: dict[str, list[Cell]] = {}
    # The truth's own drift and the judge's own error say nothing of the model.
    own = (TRUE_IDENTITY, JUDGE_ERROR)
    for each in measures.edits:
        figures = {"edit.target_reached": each.reached, "edit.leakage": each.leaked}
        figures |= {name: values for name, values in each.figures.items() if name not in own}
        for name, values in figures.items():
            found.setdefault(name, []).append((each.rows[: len(values)], values.double()))
    return found


def fairness_sheet(
    measures: EditMeasures,
    groups: Mapping[str, Tensor],
    *,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Return one row for each group and figure.

    The gap is the mean over cells, attribute by attribute and direction by direction, of the difference between those
    who have the group's attribute and those who have not: the two are compared in the same edits only, so that it does
    not count against women that moustaches are only set on them. The interval is a bootstrap over images.

    Args:
        measures: of edits.
        groups: who belongs to each, [N] in {0, 1}; NaN = unknown, and left out.
        resamples: of the bootstrap.

    Returns:
        Rows with the keys group, figure (its key), with, without (means over the cells that both share), gap, low,
        high, edits, cells; plain values for JSON. Figures without a shared cell are left out.
    """
    rows = []
    found = cells_of(measures)
    for group, has in groups.items():
        weights = resampled(len(has), resamples)
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
    for images, figures in cells:
        known = figures.isfinite() & ~has[images].isnan()
        rows, values = images[known], figures[known]
        belongs = has[rows] > 0.5
        if min(int(belongs.sum()), int((~belongs).sum())) < LEAST:
            continue
        edits += len(rows)
        # The weighted means of both sides under each row of weights; NaN where all weights are 0.
        sides = ((weights[:, rows[part]], values[part]) for part in (belongs, ~belongs))
        means.append(torch.stack([(times @ some) / times.sum(1) for times, some in sides]))
    if not means:
        return None
    # A resample that lacks a group in some cell takes the mean of the other cells.
    every = torch.stack(means)
    both = every.isfinite().all(1, keepdim=True).expand_as(every)
    having, lacking = torch.where(both, every, torch.nan).nanmean(0)
    gaps = having - lacking
    low, high = gaps[1:].nanquantile(torch.tensor([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], dtype=gaps.dtype)).tolist()
    return {
        "with": float(having[0]),
        "without": float(lacking[0]),
        "gap": float(gaps[0]),
        "low": low,
        "high": high,
        "edits": edits,
        "cells": len(means),
    }


# --- how edits grow with their strength, evenly or in jumps

ROOT = "root of the perceptual distance"


def measure_response_group(context: EvaluationContext, evaluation: Evaluation) -> None:
    """Edit at every strength, on so many images that there are at most `subject.edits` edits."""
    names = editable_names(context.model)
    if not getattr(context.model, "knows_strengths", True):
        evaluation.notes.append("The model knows no strength between 0 and 1: responses were not measured.")
        return
    if not isinstance(context.model, Edits) or context.judge is None or not names:
        evaluation.notes.append("Responses need a model that edits binary attributes, and a judge: not measured.")
        return
    extractor = context.maps
    score = AttributeScore(context.judge)
    found = measure_responses(
        context.model,
        context.unseen,
        score,
        names=names,
        most=max(1, min(MOST, context.edits // (2 * len(names) * len(STRENGTHS)))),
        embedding=None if extractor is None else perceptual_embedding(extractor),
        progress=context.progress,
    )
    put_responses(evaluation, found, score, context.unseen, extractor)


def put_responses(
    evaluation: Evaluation,
    found: Sequence[Response],
    score: AttributeScore,
    unseen: EvaluationSet,
    extractor: SeesMaps | None,
) -> None:
    """Put the mean figures and the rows of all responses into an evaluation."""
    rows = rows_of(found)
    images = max((len(response.measured) for response in found), default=0)
    words = (
        f"mean over {len(found)} attributes and directions, {len(STRENGTHS)} strengths, "
        f"at most {images} images of each, {unseen.words}"
    )
    by = f"{score.name}; {words}"
    seen = "" if extractor is None else f"{extractor.name}; {words}"
    for name, figure, protocol in (
        ("deviation", shapes.DEVIATION, by),
        ("largest_jump", shapes.JUMP, f"in slopes of the straight line; {by}"),
        ("deviation_single", shapes.SINGLE, by),
        ("rising_steps", shapes.RISING, by),
        ("rank_correlation", shapes.RANK, by),
        ("unevenness", shapes.UNEVENNESS, f"coefficient of variation, {ROOT}, {seen}"),
        ("longest_step", shapes.LONGEST, f"over the mean one, {ROOT}, {seen}"),
    ):
        _put(evaluation, f"response.{name}", protocol, rows, figure)
        _put(evaluation, f"truth.{name}", f"of the true counterfactuals; {protocol}", rows, f"{figure} of the truth")
    _put(evaluation, "response.deviation_from_truth", by, rows, shapes.DEVIATION_FROM_TRUTH)
    truth = "between the ends, against the dialled truth"
    _put(evaluation, "response.psnr", f"{truth}; {words}", rows, shapes.PSNR_ON_THE_WAY)
    _put(evaluation, "response.perceptual_distance", f"{truth}; {seen}", rows, shapes.DISTANCE_ON_THE_WAY)
    evaluation.parts["responses"] = rows


def _put(evaluation: Evaluation, key: str, protocol: str, rows: Sequence[dict[str, Any]], figure: str) -> None:
    """Put the mean of a figure over the rows that have it; figures that nothing has are left out."""
    values = [row[figure] for row in rows if row.get(figure) is not None]
    if values:
        silent = len(rows) - len(values)
        evaluation.put(key, protocol + (f"; {silent} that hardly move left out" if silent else ""), fmean(values))
