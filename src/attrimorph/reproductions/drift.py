"""Attribute2Image: what edits of attributes do to the background; disCVAE, which paints it apart, against CVAE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.inputs import editor
from attrimorph.data.drawn import faces
from attrimorph.evaluators.attributes import binary_names, decisions
from attrimorph.evaluators.default_evaluators import judge_for
from attrimorph.evaluators.judge import Judge
from attrimorph.methods.attribute2image.recipe import CVAE, DISCVAE
from attrimorph.metrics.counterfactuals import background_drift
from attrimorph.metrics.edits import directions
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.reconstruction import psnr
from attrimorph.models.codes import Encodes
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.face_models import BATCH, face_model, told, unseen_faces
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "drift"
EACH = 50  # edits of each attribute and direction
SHARE = 5.0  # how many times CVAE's drift must be that of disCVAE
SHOWN = ("Smiling", "Wearing_Hat", "Male", "Young", "Eyeglasses", "Blond_Hair")
BRIGHTER = 4  # times, in pictures of differences
WORDS = {"cvae": "CVAE", "discvae": "disCVAE"}


@dataclass(frozen=True)
class Change:
    """One edit of some faces.

    Attributes:
        name: the attribute; goal: whether it is set, or taken away.
        rows: the faces, [n].
        masks: [n, 1, S, S], the person before or after the true edit.
    """

    name: str
    goal: bool
    rows: Tensor
    masks: Tensor

    @property
    def changes(self) -> dict[str, float]:
        """The edit as models take it."""
        return {self.name: 1.0 if self.goal else -1.0}


def run(request: Request) -> Outcome:
    """Edit unseen faces with both models and measure what changes outside the person."""
    models = {
        "cvae": face_model(request, request.other_model, CVAE),
        "discvae": face_model(request, request.model, DISCVAE),
    }
    for model in models.values():
        editor(model, f"the experiment {NAME}")
    figures, reached, reconstructed = {}, {}, {}
    for which, model in models.items():
        unseen = unseen_faces(request, model.image_size)
        request.say(f"editing with {WORDS[which]}")
        before = reconstructions(model, unseen)
        reconstructed[which] = float(psnr(before, unseen.images).mean())
        judge = judge_for(model.schema, model.image_size)
        figures[which], reached[which] = drifts(model, unseen, before, changes_of(unseen), judge)
    means = {which: sum(values.values()) / len(values) for which, values in figures.items()}
    outcome = Outcome(
        name=NAME,
        title="Background drift",
        lead="An edit of a face should leave alone what is behind it.",
        protocol={
            **{WORDS[which]: told(model) for which, model in models.items()},
            "images": unseen.words,
            "edits": f"each of {len(figures['cvae'])} attributes set where it is absent and taken away where it is "
            f"present, on at most {EACH} faces each, true attributes given",
            "drift": "mean absolute change of pixels outside the person (true masks, before and after the true edit) "
            "from the reconstruction to the edit, in 1/255; mean over the edits, then over the attributes",
            "reached": "share of edits after which the shipped judge of drawn faces sees what was wished",
        },
        claims=claims(means),
        figures={
            "mean drift": means,
            "drift by attribute": figures,
            "edits that reached their goal": {which: x if x == x else None for which, x in reached.items()},
            "PSNR of reconstructions": reconstructed,
        },
    )
    outcome.pieces.append(table(figures, means, reached, reconstructed))
    if len({model.image_size for model in models.values()}) == 1:
        outcome.show("drift", picture(models, unseen), f"Differences are {BRIGHTER} times as bright as they are.")
    return outcome


def reconstructions(model: Model, unseen: EvaluationSet) -> Tensor:
    """Return the faces as the model makes them, [N, 3, S, S], on the CPU."""
    assert isinstance(model, Encodes)
    parts = zip(torch.split(unseen.images, BATCH), torch.split(unseen.labels, BATCH), strict=True)
    return torch.cat([model.decode(model.encode(images, labels)).cpu() for images, labels in parts])


def changes_of(unseen: EvaluationSet, each: int = EACH) -> list[Change]:
    """Return all edits of drawn faces, with true masks."""
    assert unseen.factors is not None
    assert unseen.masks is not None
    found = []
    for name in binary_names(faces.SCHEMA):
        for goal, every in directions(unseen.labels, faces.SCHEMA, name, drawn=True):
            rows = every[:each]
            if len(rows):
                true = faces.render_layers(
                    faces.set_attribute(unseen.factors[rows], name, goal), unseen.images.shape[-1]
                )
                found.append(Change(name, goal, rows, torch.maximum(unseen.masks[rows], true.mask)))
    return found


def drifts(
    model: Model, unseen: EvaluationSet, before: Tensor, changes: Sequence[Change], judge: Judge | None
) -> tuple[dict[str, float], float]:
    """Measure edits.

    Args:
        model: one that edits.
        unseen: faces and their attributes.
        before: their reconstructions, [N, 3, S, S].
        changes: the edits.
        judge: who tells whether an edit reached its goal, or None.

    Returns:
        The mean drift of each attribute in 1/255, and the share of edits that reached their goal, NaN without a judge.
    """
    edits = editor(model, NAME)
    drift: dict[str, list[Tensor]] = {}
    reached = []
    for change in changes:
        edited = edits.edit(unseen.images[change.rows], change.changes, unseen.labels[change.rows]).cpu()
        drift.setdefault(change.name, []).append(background_drift(before[change.rows], edited, change.masks))
        if judge is not None:
            seen = decisions(judge(edited), judge.schema)[:, judge.schema.columns(change.name).start]
            reached.append((seen == float(change.goal)).double())
    means = {name: float(torch.cat(parts).nanmean()) for name, parts in drift.items()}
    return means, float(torch.cat(reached).mean()) if reached else float("nan")


def claims(means: Mapping[str, float]) -> list[Claim]:
    """Return the bar, held against the mean drifts."""
    return [
        more(
            f"disCVAE moves the background at most one {SHARE:g}th as much as CVAE",
            [means["cvae"]],
            [means["discvae"]],
            source="ours",
            names=("CVAE's drift in 1/255", "disCVAE's"),
            times=SHARE,
        )
    ]


def table(
    figures: Mapping[str, Mapping[str, float]],
    means: Mapping[str, float],
    reached: Mapping[str, float],
    reconstructed: Mapping[str, float],
) -> str:
    """Return the drifts of every attribute and the means, with what tells whether the models are worth comparing."""
    rows = [
        [report.text(name), *(f"{figures[which][name]:.3f}" for which in WORDS)] for name in figures["cvae"]
    ]  # fmt: skip
    rows.append(["<b>mean of the attributes</b>", *(f"<b>{means[which]:.3f}</b>" for which in WORDS)])
    rows.append(["edits that reached their goal", *(f"{reached[which]:.1%}" for which in WORDS)])
    rows.append(["PSNR of reconstructions in dB", *(f"{reconstructed[which]:.2f}" for which in WORDS)])
    return report.table(["drift in 1/255", *WORDS.values()], rows, numbers=(1, 2))


def picture(models: Mapping[str, Model], unseen: EvaluationSet) -> Image.Image:
    """Return an edit a row: reconstruction, edit and their difference, of both models."""
    few = unseen.first(len(SHOWN))
    rows, words = [], []
    for row, name in enumerate(SHOWN[: len(few.images)]):
        image, y = few.images[row : row + 1], few.labels[row : row + 1]
        column = faces.SCHEMA.columns(name).start
        change = {name: -1.0 if float(y[0, column]) else 1.0}
        cells = [image]
        for model in models.values():
            assert isinstance(model, Encodes)
            before = model.decode(model.encode(image, y)).cpu()
            after = editor(model, NAME).edit(image, change, y).cpu()
            cells += [before, after, (BRIGHTER * (after - before).abs() - 1).clamp(max=1)]
        rows.append(torch.cat(cells))
        words.append(f"{'with' if change[name] > 0 else 'without'} {name}")
    columns = ["face", *(word for which in models for word in (WORDS[which], "edited", "difference"))]
    return sheet(rows, columns=columns, labels=words, cell=64, clear=True)
