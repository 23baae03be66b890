"""Edits measured: every attribute flipped on many images, judged, and held against the truth."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from attrimorph.data import faces
from attrimorph.data.schema import Schema
from attrimorph.metrics.attributes import EditCounts, Judges, binary_names, count_edits, decisions
from attrimorph.metrics.reconstruction import psnr
from attrimorph.metrics.unseen import Unseen
from attrimorph.models import Edits
from attrimorph.pictures import sheet

BATCH = 128


@dataclass(frozen=True)
class Flips:
    """Every edit of one attribute: set where it is absent, taken away where it is present.

    Attributes:
        name: of the attribute.
        judged: decisions on the edited images, [n, width].
        expected: what they should be: the true labels after the edit.
        unmoved: what they would be had only the edit changed anything the judge saw before.
        set_reached, removed_reached: share of edits of either kind that reached their goal; NaN without any.
        psnr, psnr_inside, psnr_outside: against the true counterfactual, in dB [m]: everywhere, where the truth
            differs from the input, and elsewhere; empty where no truth is known.
        judge_error: share of the attributes that the judge gets wrong on the true counterfactuals themselves, [m]:
            what remains of the leakage of a perfect edit.
        picture: a few of the edits, to look at.
    """

    name: str
    judged: Tensor
    expected: Tensor
    unmoved: Tensor
    set_reached: float
    removed_reached: float
    psnr: Tensor
    psnr_inside: Tensor
    psnr_outside: Tensor
    judge_error: Tensor
    picture: Image.Image


@dataclass(frozen=True)
class EditMeasures:
    """All edits of a model.

    Attributes:
        flips: one for each attribute that could be edited.
        truth: counts against the true labels after the edit.
        drift: counts against what the judge saw before the edit.
        seconds: of editing and judging, in all.
    """

    flips: list[Flips]
    truth: EditCounts
    drift: EditCounts
    seconds: float


def directions(labels: Tensor, schema: Schema, name: str, *, drawn: bool) -> Iterator[tuple[bool, Tensor]]:
    """Yield the two kinds of edit of a binary attribute: (goal, rows to edit).

    Set (goal True) where it is absent, taken away (goal False) where it is present; rows without the label are left
    out. Outside drawn faces a member of an exclusive group is not taken away: what takes its place ("not blond,
    but?") is not defined. On drawn faces it is, the renderer knows.

    Args:
        labels: [N, width], NaN = missing.
        schema: of the labels.
        name: the attribute.
        drawn: whether the images are drawn faces.
    """
    column = labels[:, schema.columns(name).start]
    yield True, (column == 0).nonzero()[:, 0]
    if drawn or not any(name in group for group in schema.exclusive):
        yield False, (column == 1).nonzero()[:, 0]


def measure_edits(
    model: Edits,
    unseen: Unseen,
    judge: Judges,
    before: Tensor,
    *,
    names: Sequence[str] | None = None,
    counterfactuals: int = 200,
    progress: Callable[[str], None] | None = None,
) -> EditMeasures:
    """Flip attributes of every image.

    Args:
        model: one that edits.
        unseen: images and their labels.
        judge: who decides.
        before: its decisions before the edit (on the reconstructions, where there are any), [N, width].
        names: binary attributes to flip; all when None.
        counterfactuals: edits of each attribute and direction that are compared with the true picture.
        progress: gets a line of text after each attribute.
    """
    begin = time.perf_counter()
    names = binary_names(judge.schema) if names is None else names
    flips = []
    for number, name in enumerate(names, start=1):
        flip = flip_attribute(model, unseen, judge, before, name, counterfactuals)
        if flip is not None:
            flips.append(flip)
        if progress is not None:
            progress(f"edited {name} ({number} of {len(names)}), {time.perf_counter() - begin:.0f} s")
    edited = [flip.name for flip in flips]
    judged = [flip.judged for flip in flips]
    return EditMeasures(
        flips,
        count_edits(edited, judged, [flip.expected for flip in flips], judge.schema),
        count_edits(edited, judged, [flip.unmoved for flip in flips], judge.schema),
        time.perf_counter() - begin,
    )


def flip_attribute(
    model: Edits, unseen: Unseen, judge: Judges, before: Tensor, name: str, counterfactuals: int
) -> Flips | None:
    """Edit one attribute of all images, either way, and let the judge look; None if no image can be edited."""
    schema = judge.schema
    labels = torch.where(unseen.labels.isnan(), before, unseen.labels)
    column = schema.columns(name).start
    judged, expected, unmoved, shown = [], [], [], []
    reached = {True: float("nan"), False: float("nan")}
    errors: list[tuple[Tensor, ...]] = []
    for goal, rows in directions(unseen.labels, schema, name, drawn=unseen.factors is not None):
        if not len(rows):
            continue
        change = {name: 1.0 if goal else -1.0}
        edited = torch.cat(
            [model.edit(unseen.images[part], change, labels[part]).cpu() for part in torch.split(rows, BATCH)]
        )
        judged.append(decisions(judge(edited), schema))
        expected.append(schema.edit(labels[rows], change))
        unmoved.append(schema.edit(before[rows], change))
        reached[goal] = float((judged[-1][:, column] == float(goal)).double().mean())
        few = rows[: max(4, counterfactuals)]
        columns = [unseen.images[few[:4]], edited[:4]]
        if unseen.factors is not None:
            true = faces.render(faces.set_attribute(unseen.factors[few], name, goal), unseen.images.shape[-1])
            wrong = decisions(judge(true), schema) != expected[-1][: len(few)]
            psnrs = counterfactual_psnr(unseen.images[few], edited[: len(few)], true)
            errors.append((*psnrs, wrong.double().mean(1)))
            columns.append(true[:4])
        shown.append(torch.stack(columns, 1).flatten(0, 1))
    if not judged:
        return None
    words = ["input", "edited", "truth"] if errors else ["input", "edited"]
    everywhere, inside, outside, judge_error = (
        [torch.cat(part) for part in zip(*errors, strict=True)] if errors else [torch.zeros(0)] * 4
    )
    return Flips(
        name=name,
        judged=torch.cat(judged),
        expected=torch.cat(expected),
        unmoved=torch.cat(unmoved),
        set_reached=reached[True],
        removed_reached=reached[False],
        psnr=everywhere,
        psnr_inside=inside,
        psnr_outside=outside,
        judge_error=judge_error,
        picture=sheet(shown, columns=words * 4, cell=96, clear=True),
    )


def counterfactual_psnr(images: Tensor, edited: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """PSNR of edits against the truth: everywhere, where the truth differs from the input, and elsewhere.

    Args:
        images, edited, true: [B, 3, S, S] in [-1, 1].

    Returns:
        Three of [B] in dB; NaN where there is no such area.
    """
    inside = ((true - images).abs().amax(1, keepdim=True) > 0.04).float()
    return psnr(edited, true), psnr(edited, true, inside), psnr(edited, true, 1 - inside)
