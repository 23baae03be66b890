"""Evaluate: what a model can do, in figures that carry extractor and protocol in their names.

On drawn faces everything is known: the right attributes of every edit and the right picture (the true counterfactual).
On other data edits are only judged by a classifier that the caller names.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.evaluators import Judges
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.judge import Judge, in_schema
from attrimorph.metrics.evaluate.edits import measure_edit_group, measure_fairness_group, measure_response_group
from attrimorph.metrics.evaluate.images import (
    COUNTERFACTUALS,
    EDITS,
    SAMPLE_SEED,
    EvaluationContext,
    Progress,
    measure_disentanglement,
    measure_distribution,
    measure_diversity,
    measure_identity,
    measure_reconstruction,
)
from attrimorph.metrics.evaluation_set import SEED, EvaluationSet, drawn_images, held_out_images
from attrimorph.metrics.extractors import Extractor, JudgeFeatures
from attrimorph.metrics.figures import Evaluation
from attrimorph.models.model import Model
from attrimorph.pictures import grid

__all__ = ["EDITS", "GROUPS", "Evaluation", "chosen_groups", "evaluate"]

MOST = 50_000  # images: all of them are held in memory


class Group(NamedTuple):
    """Figures that are measured together.

    Attributes:
        about: what they tell.
        measure: puts them into an evaluation.
    """

    about: str
    measure: Callable[[EvaluationContext, Evaluation], None]


# What `metrics` may name, in the order of the page.
GROUPS = {
    "reconstruction": Group("PSNR, SSIM, MS-SSIM, perceptual distance, attribute accuracy", measure_reconstruction),
    "edits": Group("target reached, leakage, drift, error against the true counterfactual", measure_edit_group),
    "responses": Group("how evenly edits grow with their strength", measure_response_group),
    "fairness": Group("the same edits by sex, age and the lightness of skin", measure_fairness_group),
    "distribution": Group(
        "Frechet and kernel distance, precision, recall, Inception-style score, accuracy of samples",
        measure_distribution,
    ),
    "diversity": Group("how different samples of equal attributes are", measure_diversity),
    "disentanglement": Group("MIG, SAP, DCI of codes against the factors of drawn faces", measure_disentanglement),
    "identity": Group("whether an identity encoder takes a reconstruction for the same person", measure_identity),
}


def chosen_groups(metrics: Sequence[str] | None) -> list[str]:
    """Return the groups to measure, in their order; all when None.

    Raises:
        AttrimorphError: there is no group of that name, or none was named.
    """
    if metrics is None:
        return list(GROUPS)
    if not metrics:
        raise AttrimorphError(f"metrics must name at least one group; known are: {', '.join(GROUPS)}")
    for name in metrics:
        if name not in GROUPS:
            raise AttrimorphError(f"there is no group of metrics {name!r}; {suggestion(name, GROUPS)}")
    return [name for name in GROUPS if name in metrics]


@torch.no_grad()
def evaluate(
    model: Model,
    data: PreparedData | None = None,
    judge: Judges | None = None,
    *,
    metrics: Sequence[str] | None = None,
    identity_encoder: IdentityEncoder | None = None,
    extractor: Extractor | None = None,
    count: int = 1000,
    seed: int = SEED,
    edits: int = EDITS,
    counterfactuals: int = COUNTERFACTUALS,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model.

    Args:
        model: any; what it cannot do is left out and noted.
        data: held-out images with labels; None = fresh drawn faces, for models of drawn faces only.
        judge: who tells the attributes of edited images; without one no edit is measured.
        metrics: names of `GROUPS`; all when None.
        identity_encoder: who tells people; without one no identity is measured.
        extractor: whose features sets of images are compared in, and whose feature maps two images; by default the
            judge's.
        count: images.
        seed: of fresh drawn faces.
        edits: the most edits in all; as many images are edited as that allows, and the figures' names say how many.
        counterfactuals: edits of each attribute and direction that are looked at closely, beside the true picture.
        progress: gets a line of text now and then.

    Raises:
        AttrimorphError: the data, the judge and the model do not go together.
    """
    groups = chosen_groups(metrics)
    if not 1 <= count <= MOST:
        raise AttrimorphError(f"count must lie in 1..{MOST}; got {count}; try 1000")
    if data is None and model.schema.attributes != faces.SCHEMA.attributes:
        raise AttrimorphError(
            "only a model of drawn faces is evaluated without data; this one has other attributes; add --data"
        )
    begin = time.perf_counter()
    judge = None if judge is None else in_schema(judge, model.schema, "the model")
    if data is None:
        unseen = drawn_images(count, model.image_size, seed)
    else:
        unseen = held_out_images(data.with_schema(model.schema, "the model"), count)
    _check(model, unseen, judge, identity_encoder)
    if extractor is None and isinstance(judge, Judge):
        extractor = JudgeFeatures(judge)
    context = EvaluationContext(model, unseen, judge, identity_encoder, extractor, edits, counterfactuals, progress)
    seconds = {"images": round(time.perf_counter() - begin, 2)}
    evaluation = Evaluation(
        about={
            "images": unseen.words,
            "model sha256": model.hash,
            "judge": None if judge is None else judge.name,
            "recogniser": None if identity_encoder is None else identity_encoder.name,
            "extractor": None if extractor is None else extractor.name,
            "weights": context.weights(),
            "groups": groups,
            "seconds": seconds,
        }
    )
    for name in groups:
        if progress is not None:
            progress(f"measuring {name}: {GROUPS[name].about}")
        begin = time.perf_counter()
        GROUPS[name].measure(context, evaluation)
        seconds[name] = round(time.perf_counter() - begin, 2)
    if context.generates:
        code = model.sample_codes(40, torch.Generator().manual_seed(SAMPLE_SEED))
        evaluation.pictures["samples"] = grid(context.decoded(code), columns=10, clear=True)
    return evaluation


def _check(model: Model, unseen: EvaluationSet, judge: Judges | None, identity_encoder: IdentityEncoder | None) -> None:
    if unseen.images.shape[-1] != model.image_size:
        raise AttrimorphError(
            f"the data must have {model.image_size} px like the model; got {unseen.images.shape[-1]}; prepare it again "
            "for this model"
        )
    sizes = {
        each.name: each.image_size for each in (judge, identity_encoder) if isinstance(each, Judge | IdentityEncoder)
    }
    for name, size in sizes.items():
        if size != model.image_size:
            raise AttrimorphError(
                f"judge and identity encoder must take images of {model.image_size} px like the model; {name} takes "
                f"{size}; train one at that size"
            )
