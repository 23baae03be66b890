"""Edits measured: every attribute flipped on many images, judged, and held against the truth."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.data.schema import Schema
from attrimorph.evaluators.attributes import EditCounts, Judges, binary_names, count_edits, decisions
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.metrics.counterfactuals import JUDGE_ERROR, Instruments, close_figures, judge_error
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.models.codes import Edits
from attrimorph.pictures import sheet

BATCH = 128
SHOWN = 4


@dataclass(frozen=True)
class Way:
    """Edits of one attribute in one direction.

    Attributes:
        goal: True where it was set, False where it was taken away.
        rows: the images edited, [n].
        judged: decisions on the edited images, [n, width].
        expected: what they should be: the true labels after the edit.
        unmoved: what they would be had only the edit changed anything the judge saw before.
        reached: [n] 1 where the edit reached its goal.
        leaked: [n] share of the other binary attributes that are not as they should be.
        figures: what was measured closely on the first m of the edits, by the names in `counterfactuals`: [m] each.
        shown: a few of the edits, row by row.
    """

    goal: bool
    rows: Tensor
    judged: Tensor
    expected: Tensor
    unmoved: Tensor
    reached: Tensor
    leaked: Tensor
    figures: dict[str, Tensor]
    shown: Tensor


@dataclass(frozen=True)
class Flips:
    """Every edit of one attribute: set where it is absent, taken away where it is present.

    Attributes:
        name: of the attribute.
        ways: one for each direction that has an image.
    """

    name: str
    ways: list[Way]

    @property
    def judged(self) -> Tensor:
        """Decisions on the edited images, [n, width]."""
        return torch.cat([way.judged for way in self.ways])

    @property
    def expected(self) -> Tensor:
        """What they should be, [n, width]."""
        return torch.cat([way.expected for way in self.ways])

    @property
    def unmoved(self) -> Tensor:
        """What they would be had only the edit changed anything, [n, width]."""
        return torch.cat([way.unmoved for way in self.ways])

    @property
    def set_reached(self) -> float:
        """Share of the edits that set it and reached their goal; NaN without any."""
        return self._reached(True)

    @property
    def removed_reached(self) -> float:
        """Share of the edits that took it away and reached their goal; NaN without any."""
        return self._reached(False)

    def _reached(self, goal: bool) -> float:
        found = [float(way.reached.mean()) for way in self.ways if way.goal == goal]
        return found[0] if found else float("nan")

    def figure(self, name: str) -> Tensor:
        """Return one of the figures measured closely, of all edits, [m]; empty where it was not measured."""
        return torch.cat([torch.zeros(0), *(way.figures[name] for way in self.ways if name in way.figures)])

    @property
    def picture(self) -> Image.Image:
        """A few of the edits, to look at."""
        words = ["input", "edited", "truth"][: self.ways[0].shown.shape[1]]
        return sheet([way.shown.flatten(0, 1) for way in self.ways], columns=words * 4, cell=96, clear=True)


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
    unseen: EvaluationSet,
    judge: Judges,
    before: Tensor,
    *,
    names: Sequence[str] | None = None,
    counterfactuals: int = 200,
    identity_encoder: IdentityEncoder | None = None,
    extractor: SeesMaps | None = None,
    reconstructions: Tensor | None = None,
    progress: Callable[[str], None] | None = None,
) -> EditMeasures:
    """Flip attributes of every image.

    Args:
        model: one that edits.
        unseen: images and their labels.
        judge: who decides.
        before: its decisions before the edit (on the reconstructions, where there are any), [N, width].
        names: binary attributes to flip; all when None.
        counterfactuals: edits of each attribute and direction that are looked at closely: compared with the true
            picture, with the person and the background before.
        identity_encoder: who tells people; without one no identity drift is measured.
        extractor: whose feature maps are compared; without one no perceptual distance is measured.
        reconstructions: the images as the model makes them without an edit, [N, 3, S, S]; drifts are counted from
            them, from the images themselves where None.
        progress: gets a line of text after each attribute.
    """
    begin = time.perf_counter()
    names = binary_names(judge.schema) if names is None else names
    tools = Instruments(judge, identity_encoder, extractor)
    flips = []
    for number, name in enumerate(names, start=1):
        flip = flip_attribute(model, unseen, tools, before, name, counterfactuals, reconstructions)
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
    model: Edits,
    unseen: EvaluationSet,
    tools: Instruments,
    before: Tensor,
    name: str,
    counterfactuals: int,
    reconstructions: Tensor | None = None,
) -> Flips | None:
    """Edit one attribute of all images, either way, and let the judge look; None if no image can be edited."""
    drawn = unseen.factors is not None
    ways = [
        edit_one_way(model, unseen, tools, before, name, goal, rows, counterfactuals, reconstructions)
        for goal, rows in directions(unseen.labels, tools.judge.schema, name, drawn=drawn)
        if len(rows)
    ]
    return Flips(name, ways) if ways else None


def edit_one_way(
    model: Edits,
    unseen: EvaluationSet,
    tools: Instruments,
    before: Tensor,
    name: str,
    goal: bool,
    rows: Tensor,
    counterfactuals: int,
    reconstructions: Tensor | None,
) -> Way:
    """Set an attribute of some images, or take it away, and measure; arguments as of `flip_attribute`."""
    schema = tools.judge.schema
    labels = torch.where(unseen.labels.isnan(), before, unseen.labels)
    change = {name: 1.0 if goal else -1.0}
    edited = torch.cat(
        [model.edit(unseen.images[part], change, labels[part]).cpu() for part in torch.split(rows, BATCH)]
    )
    judged, expected = decisions(tools.judge(edited), schema), schema.edit(labels[rows], change)
    column = schema.columns(name).start
    others = [schema.columns(other).start for other in binary_names(schema) if other != name]
    few = rows[: max(SHOWN, counterfactuals)]
    plain = (unseen.images if reconstructions is None else reconstructions)[few]
    factors = None if unseen.factors is None else faces.set_attribute(unseen.factors[few], name, goal)
    figures, true = close_figures(unseen, few, plain, edited[: len(few)], factors, tools)
    columns = [unseen.images[few[:SHOWN]], edited[:SHOWN]]
    if true is not None:
        figures[JUDGE_ERROR] = judge_error(tools.judge, true, expected[: len(few)])
        columns.append(true[:SHOWN])
    return Way(
        goal=goal,
        rows=rows,
        judged=judged,
        expected=expected,
        unmoved=schema.edit(before[rows], change),
        reached=(judged[:, column] == float(goal)).double(),
        leaked=(judged[:, others] != expected[:, others]).double().sum(1) / max(1, len(others)),
        figures=figures,
        shown=torch.stack(columns, 1),
    )
