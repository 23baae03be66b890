"""The group of figures about strength: how edits grow with it, evenly or in jumps."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from attrimorph.evaluators.attributes import editable_names
from attrimorph.evaluators.judge import AttributeScore
from attrimorph.metrics import responses as shapes
from attrimorph.metrics.evaluate.context import EvaluationContext
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.metrics.figures import Evaluation
from attrimorph.metrics.responses import MOST, STRENGTHS, Response, measure_responses, rows_of
from attrimorph.metrics.similarity import perceptual_embedding
from attrimorph.models.model import Edits

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
