"""Edits measured: every attribute flipped on many images, judged, and held against the truth."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges, binary_names, decisions
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.metrics.counterfactuals import JUDGE_ERROR, close_figures
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.models.model import Edits
from attrimorph.pictures import sheet

BATCH = 128
SHOWN = 4


@dataclass(frozen=True)
class FunctionEditor:
    """An editor made of a function.

        def edit(images, changes):                     # [B, 3, 64, 64] in [-1, 1], {"Smiling": 1.0}
            return peer(images, changes)               # [B, 3, 64, 64] in [-1, 1]

        editor = FunctionEditor(edit, schema, 64, "their model")

    Strengths mean what they mean here: 0 = unchanged, 1 = set, -1 = taken away. The function may be asked for no change
    at all, and for several at once.

    Attributes:
        function: images [B, 3, S, S] in [-1, 1] and strengths by attribute -> images of the same shape.
        schema: the attributes that it knows.
        image_size: S.
        name: how it stands in the names of figures.
    """

    function: Callable[[Tensor, Mapping[str, float]], Tensor]
    schema: Schema
    image_size: int
    name: str

    @torch.no_grad()
    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Return the function's images; the attributes of the input are not passed on.

        Raises:
            AttrimorphError: an attribute that it does not know, images of another size, or an answer of another form.
        """
        changes = self.schema.changes(changes)
        shape = (len(images), 3, self.image_size, self.image_size)
        if tuple(images.shape) != shape:
            raise AttrimorphError(f"{self.name} takes images {list(shape)}; got {list(images.shape)}; resize them")
        made = self.function(images, dict(changes))
        if not isinstance(made, Tensor) or tuple(made.shape) != shape or not bool(made.isfinite().all()):
            form = f"{list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise AttrimorphError(
                f"the function of {self.name} must return finite images {list(shape)} in -1..1; got {form}; mend it"
            )
        return made.detach().float().cpu().clamp(-1, 1)


@dataclass(frozen=True)
class EditCounts:
    """What a judge found after editing attribute t of many images, for every t in `targets`.

    Attributes:
        targets: edited attributes, the rows of the tensors.
        others: judged binary attributes, the columns.
        edits: [T] number of edits.
        changed: [T, A] edits after which attribute a is judged to be other than it should be; the column of the
            target itself holds the edits that missed.
    """

    targets: tuple[str, ...]
    others: tuple[str, ...]
    edits: Tensor
    changed: Tensor

    @property
    def leakage_matrix(self) -> Tensor:
        """[T, A] share of edits after which attribute a is not as it should be."""
        return self.changed / self.edits[:, None].clamp(min=1)

    def _own(self) -> Tensor:
        own = [[other == name for other in self.others] for name in self.targets]
        return torch.tensor(own, dtype=torch.bool).view(len(self.targets), len(self.others))

    @property
    def target_reached(self) -> Tensor:
        """[T] share of edits that reached their target."""
        return 1 - self.leakage_matrix[self._own()]

    @property
    def leakage(self) -> Tensor:
        """[T] share of the other attributes that are not as they should be, mean over edits and attributes."""
        return self.leakage_matrix.masked_fill(self._own(), 0).sum(1) / max(1, len(self.others) - 1)


def count_edits(
    targets: Sequence[str], judged: Sequence[Tensor], expected: Sequence[Tensor], schema: Schema
) -> EditCounts:
    """Count, for each edited attribute, where the judge's decisions differ from what they should be.

    Args:
        targets: edited attributes, binary.
        judged: for each target, decisions on the edited images [n_t, width].
        expected: for each target, what they should be [n_t, width], the goal of the target included.
    """
    names = binary_names(schema)
    columns = [schema.columns(name).start for name in names]
    changed = torch.zeros(len(targets), len(names), dtype=torch.float64)
    for row, (found, goal) in enumerate(zip(judged, expected, strict=True)):
        changed[row] = (found[:, columns] != goal[:, columns]).sum(0)
    edits = torch.tensor([len(found) for found in judged], dtype=torch.float64)
    return EditCounts(tuple(targets), names, edits, changed)


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

    def joined(self, part: Callable[[Way], Tensor]) -> Tensor:
        """Return a part of all edits, [n, ...]."""
        return torch.cat([part(way) for way in self.ways])

    def reached(self, goal: bool) -> float:
        """Return the share of the edits in one direction that reached their goal; NaN without any."""
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
    progress: Callable[[str], None] | None = None,
) -> EditMeasures:
    """Flip attributes of every image.

    Args:
        model: one that edits.
        unseen: images and their labels; drifts are counted from its reconstructions, from the images where it has none.
        judge: who decides.
        before: its decisions before the edit (on the reconstructions, where there are any), [N, width].
        names: binary attributes to flip; all when None.
        counterfactuals: edits of each attribute and direction that are looked at closely: compared with the true
            picture, with the person and the background before.
        identity_encoder: who tells people; without one no identity drift is measured.
        extractor: whose feature maps are compared; without one no perceptual distance is measured.
        progress: gets a line of text after each attribute.
    """
    begin, schema = time.perf_counter(), judge.schema
    names = binary_names(schema) if names is None else names
    labels = torch.where(unseen.labels.isnan(), before, unseen.labels)

    def one_way(name: str, goal: bool, rows: Tensor) -> Way:
        change = {name: 1.0 if goal else -1.0}
        parts = [model.edit(unseen.images[part], change, labels[part]).cpu() for part in torch.split(rows, BATCH)]
        edited = torch.cat(parts)
        judged, expected = decisions(judge(edited), schema), schema.edit(labels[rows], change)
        others = [schema.columns(other).start for other in binary_names(schema) if other != name]
        few = rows[: max(SHOWN, counterfactuals)]
        factors = None if unseen.factors is None else faces.set_attribute(unseen.factors[few], name, goal)
        figures, true = close_figures(unseen, few, edited[: len(few)], factors, identity_encoder, extractor)
        shown = [unseen.images[few[:SHOWN]], edited[:SHOWN]]
        if true is not None:
            figures[JUDGE_ERROR] = (decisions(judge(true), schema) != expected[: len(few)]).double().mean(1)
            shown.append(true[:SHOWN])
        return Way(
            goal=goal,
            rows=rows,
            judged=judged,
            expected=expected,
            unmoved=schema.edit(before[rows], change),
            reached=(judged[:, schema.columns(name).start] == float(goal)).double(),
            leaked=(judged[:, others] != expected[:, others]).double().sum(1) / max(1, len(others)),
            figures=figures,
            shown=torch.stack(shown, 1),
        )

    flips = []
    for number, name in enumerate(names, start=1):
        sides = directions(unseen.labels, schema, name, drawn=unseen.factors is not None)
        if ways := [one_way(name, goal, rows) for goal, rows in sides if len(rows)]:
            flips.append(Flips(name, ways))
        if progress is not None:
            progress(f"edited {name} ({number} of {len(names)}), {time.perf_counter() - begin:.0f} s")
    edited, judged = [flip.name for flip in flips], [flip.joined(lambda way: way.judged) for flip in flips]
    return EditMeasures(
        flips,
        count_edits(edited, judged, [flip.joined(lambda way: way.expected) for flip in flips], schema),
        count_edits(edited, judged, [flip.joined(lambda way: way.unmoved) for flip in flips], schema),
        time.perf_counter() - begin,
    )
