"""Edits measured: every attribute flipped on many images, judged, and held against the truth.

The truth is the true counterfactual of drawn faces; the person and the background are held against those before.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.drawn import TrueLayers, faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges, binary_names
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.metrics.similarity import maps_distance, psnr
from attrimorph.metrics.skin import skin, skin_lightness
from attrimorph.models.batches import RepeatedEdits, shared
from attrimorph.models.model import Edits, TellsFields, decisions
from attrimorph.photographs.fields import composed as put_into
from attrimorph.pictures import sheet

BATCH = 128
SHOWN = 4
PEOPLE = ("Male", "Young", "Pale_Skin")  # whoever has one of these is a person


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
class AttributeEdits:
    """Edits of one attribute in one direction, an image a row.

    Attributes:
        name: of the attribute.
        goal: True where it was set, False where it was taken away.
        rows: the images edited, [n].
        wrong: bool [n, A], judged other than it truly should be; the column of the attribute itself holds the misses.
        moved: bool [n, A], judged other than it would be had only the edit changed anything the judge saw before.
        own: the column of the attribute itself.
        figures: what was measured closely on the first m of the edits, by its key: [m] each.
        shown: a few of the edits, row by row: input, edited and, where it is known, the truth.
    """

    name: str
    goal: bool
    rows: Tensor
    wrong: Tensor
    moved: Tensor
    own: int
    figures: dict[str, Tensor]
    shown: Tensor

    @property
    def reached(self) -> Tensor:
        """1 where the edit reached its goal, float64 [n]."""
        return (~self.wrong[:, self.own]).double()

    @property
    def leaked(self) -> Tensor:
        """Share of the other attributes that are not as they should be, float64 [n]."""
        return self._others(self.wrong)

    @property
    def drifted(self) -> Tensor:
        """Share of the other attributes that are judged other than before the edit, float64 [n]."""
        return self._others(self.moved)

    def _others(self, changed: Tensor) -> Tensor:
        count = changed.sum(1) - changed[:, self.own].long()
        return count.double() / max(1, changed.shape[1] - 1)


@dataclass(frozen=True)
class EditMeasures:
    """All edits of a model: a table of attributes and directions.

    Attributes:
        judged: the binary attributes that the judge tells, the columns of what is [n, A].
        edits: one for each attribute and direction that has an image, those of one attribute together.
        seconds: of editing and judging, in all.
        composed: the same edits as people see them, put into the images; None where nobody asked.
    """

    judged: tuple[str, ...]
    edits: list[AttributeEdits]
    seconds: float
    composed: "EditMeasures | None" = None

    @property
    def names(self) -> list[str]:
        """The attributes that could be edited."""
        return list(dict.fromkeys(each.name for each in self.edits))

    @property
    def count(self) -> int:
        """How many edits there are."""
        return sum(len(each.rows) for each in self.edits)

    def of(self, name: str) -> list[AttributeEdits]:
        """Return the edits of one attribute, one or both directions."""
        return [each for each in self.edits if each.name == name]

    def joined(self, part: Callable[[AttributeEdits], Tensor], name: str | None = None) -> Tensor:
        """Return a part of all edits, or of those of one attribute, [n, ...]."""
        return torch.cat([part(each) for each in self.edits if name in (None, each.name)])

    def mean(self, part: Callable[[AttributeEdits], Tensor], name: str | None = None) -> float:
        """Return the mean over the edits of one attribute, or over the attributes the mean of those; NaN of none."""
        means = [float(self.joined(part, each).double().mean()) for each in ([name] if name else self.names)]
        return sum(means) / len(means) if means else float("nan")

    def figure(self, key: str, name: str | None = None) -> Tensor:
        """Return a figure that was measured closely, of all edits or of those of one attribute, [m]; empty if none."""
        kept = [each.figures[key] for each in self.edits if name in (None, each.name) and key in each.figures]
        return torch.cat([torch.zeros(0), *kept])

    def picture(self, name: str) -> Image.Image:
        """A few of the edits of an attribute, to look at."""
        shown = [each.shown for each in self.of(name)]
        words = ["input", "edited", "truth"][: shown[0].shape[1]]
        return sheet([each.flatten(0, 1) for each in shown], columns=words * 4, cell=96, clear=True)


def judged_otherwise(judged: Tensor, expected: Tensor, schema: Schema) -> Tensor:
    """Return which binary attributes are decided other than expected, bool [n, A], of decisions [n, width]."""
    return (judged != expected)[:, [schema.columns(name).start for name in binary_names(schema)]]


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
    composed: bool = False,
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
        composed: whether the edits are measured put into the images too, as `photographs.fields.composed` does
            (those of a model that tells fields are so already); drifts of those are counted from the images.
        progress: gets a line of text after each attribute.
    """
    begin, schema = time.perf_counter(), judge.schema
    names = binary_names(schema) if names is None else names
    labels = torch.where(unseen.labels.isnan(), before, unseen.labels)

    edited_to = RepeatedEdits(model, unseen.images, labels)
    binary, people = binary_names(schema), not {*PEOPLE}.isdisjoint(schema.names)
    unedited = unseen.images if unseen.reconstructions is None else unseen.reconstructions
    images = replace(unseen, reconstructions=None)
    seen = decisions(judge(unseen.images), schema) if composed else before

    def one_way(name: str, goal: bool, rows: Tensor) -> list[AttributeEdits]:
        change = {name: 1.0 if goal else -1.0}
        expected, few = schema.edit(labels[rows], change), rows[: max(SHOWN, counterfactuals)]
        truth, of_truth = None, dict[str, Tensor]()
        if unseen.factors is not None:
            truth = faces.render_layers(faces.set_attribute(unseen.factors[few], name, goal), unseen.images.shape[-1])
            wrong = decisions(judge(truth.image), schema) != expected[: len(few)]
            of_truth[JUDGE_ERROR] = wrong.double().mean(1)
            if identity_encoder is not None:
                of_truth[TRUE_IDENTITY] = identity_drift(identity_encoder, unseen.images[few], truth.image)

        def measured(unseen: EvaluationSet, before: Tensor, edited: Tensor) -> AttributeEdits:
            judged, unmoved = decisions(judge(edited), schema), schema.edit(before[rows], change)
            close = (unseen, few, edited[: len(few)], truth, identity_encoder, extractor)
            figures = close_figures(*close, people=people) | of_truth
            shown = [unseen.images[few[:SHOWN]], edited[:SHOWN]]
            shown += [] if truth is None else [truth.image[:SHOWN]]
            wrong, moved = (judged_otherwise(judged, goals, schema) for goals in (expected, unmoved))
            return AttributeEdits(name, goal, rows, wrong, moved, binary.index(name), figures, torch.stack(shown, 1))

        parts = shared(lambda part: edited_to(change, part), torch.split(rows, BATCH))
        found = [measured(unseen, before, torch.cat(parts))]
        if composed and isinstance(model, TellsFields):
            # Its pictures are the images' own pixels already.
            found.append(found[0])
        elif composed:
            pairs = zip(parts, torch.split(rows, BATCH), strict=True)
            put = [put_into(unseen.images[part], unedited[part], edited) for edited, part in pairs]
            found.append(measured(images, seen, torch.cat(put)))
        return found

    edits: list[list[AttributeEdits]] = []
    for number, name in enumerate(names, start=1):
        sides = directions(unseen.labels, schema, name, drawn=unseen.factors is not None)
        edits += [one_way(name, goal, rows) for goal, rows in sides if len(rows)]
        if progress is not None:
            progress(f"edited {name} ({number} of {len(names)}), {time.perf_counter() - begin:.0f} s")
    seconds = time.perf_counter() - begin
    put = EditMeasures(binary, [each[1] for each in edits], seconds) if composed else None
    return EditMeasures(binary, [each[0] for each in edits], seconds, put)


# --- beside the true counterfactual of drawn faces

TARGET = 0.04  # a pixel is in the target area where the truth differs from the input by more than this
BACKGROUND = 0.1  # of the mask: its soft edge is the person's

# The keys of what is looked at closely.
PSNR, PSNR_TARGET, PSNR_REST = "edit.psnr", "edit.psnr_inside", "edit.psnr_outside"
DISTANCE = "edit.perceptual_distance"
DISTANCE_TARGET, DISTANCE_REST = f"{DISTANCE}_inside", f"{DISTANCE}_outside"
JUDGE_ERROR = "truth.judge_error"
IDENTITY, TRUE_IDENTITY = "edit.identity_drift", "truth.identity_drift"
BACKGROUND_DRIFT = "edit.background_drift"
SKIN_DRIFT = "edit.skin_drift"


def close_figures(
    unseen: EvaluationSet,
    rows: Tensor,
    edited: Tensor,
    truth: TrueLayers | None,
    identity_encoder: IdentityEncoder | None,
    extractor: SeesMaps | None,
    *,
    people: bool,
) -> dict[str, Tensor]:
    """Measure edits one by one.

    Args:
        unseen: the images, and their reconstructions, which drifts are counted from, where a model encodes.
        rows: which of them were edited, [m].
        edited: [m, 3, S, S].
        truth: the true counterfactuals of drawn faces, [m, 3, S, S], with their layers, else None.
        identity_encoder: who tells people, or None.
        extractor: whose feature maps two images are compared in, or None.
        people: whether these are faces, whose skin should stay as it is.

    Returns:
        Figures by name, each [m], NaN where there is no such area.
    """
    figures: dict[str, Tensor] = {}
    images = unseen.images[rows]
    before = images if unseen.reconstructions is None else unseen.reconstructions[rows]
    masks = None if unseen.masks is None else unseen.masks[rows]
    if truth is not None:
        masks = None if masks is None else torch.maximum(masks, truth.mask)
        figures |= zip((PSNR, PSNR_TARGET, PSNR_REST), counterfactual_psnr(images, edited, truth.image), strict=True)
        if extractor is not None:
            distances = counterfactual_distance(extractor, images, edited, truth.image)
            figures |= zip((DISTANCE, DISTANCE_TARGET, DISTANCE_REST), distances, strict=True)
    if identity_encoder is not None:
        figures[IDENTITY] = identity_drift(identity_encoder, before, edited)
    if people:
        where = skin(before)
        figures[SKIN_DRIFT] = (skin_lightness(edited, where) - skin_lightness(before, where)).abs()
    if masks is not None:
        figures[BACKGROUND_DRIFT] = background_drift(before, edited, masks)
    return figures


def target_area(images: Tensor, true: Tensor) -> Tensor:
    """Return where the truth differs from the input, float [m, 1, S, S] in {0, 1}."""
    return ((true - images).abs().amax(1, keepdim=True) > TARGET).float()


def counterfactual_psnr(images: Tensor, edited: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """PSNR of edits against the truth: everywhere, where the truth differs from the input, and elsewhere.

    Args:
        images, edited, true: [B, 3, S, S] in [-1, 1].

    Returns:
        Three of [B] in dB; NaN where there is no such area.
    """
    inside = target_area(images, true)
    return psnr(edited, true), psnr(edited, true, inside), psnr(edited, true, 1 - inside)


@torch.no_grad()
def counterfactual_distance(
    extractor: SeesMaps, images: Tensor, edited: Tensor, true: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Perceptual distance of edits from the truth: everywhere, where the truth differs from the input, and elsewhere.

    Arguments and result as of `counterfactual_psnr`.
    """
    found = []
    for parts in zip(*(torch.split(each, BATCH) for each in (images, edited, true)), strict=True):
        inside = target_area(parts[0], parts[2])
        maps, others = extractor.maps(parts[1]), extractor.maps(parts[2])
        areas = (None, inside, 1 - inside)
        found.append(torch.stack([maps_distance(maps, others, area).cpu() for area in areas]))
    everywhere, target, rest = torch.cat(found, 1)
    return everywhere, target, rest


def identity_drift(identity_encoder: IdentityEncoder, before: Tensor, after: Tensor) -> Tensor:
    """Return 1 - the cosine of an identity encoder's features, [B], 0..2; 0 = the same person.

    Args:
        identity_encoder: who tells people.
        before, after: [B, 3, S, S] in [-1, 1].
    """
    return 1 - (identity_encoder.features(before) * identity_encoder.features(after)).sum(1).cpu()


def background_drift(before: Tensor, after: Tensor, masks: Tensor) -> Tensor:
    """Return the mean absolute change of the background in 1/255, [B]; NaN where there is none.

    Args:
        before, after: [B, 3, S, S] in [-1, 1].
        masks: [B, 1, S, S] in 0..1, 1 = foreground, before or after.
    """
    background = (masks < BACKGROUND).double()
    change = (after - before).abs().double().mean(1, keepdim=True) * 127.5
    return (change * background).sum((1, 2, 3)) / background.sum((1, 2, 3))
