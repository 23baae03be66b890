"""An edit along axes: who looks, what is followed, and the photograph with the change put back into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications import AxisOptions, Composition, Search
from attrimorph.applications.axes import load_pack
from attrimorph.applications.axes.choosing import find_pack, guide_of, judge_named
from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.space import picture_gram
from attrimorph.applications.axes.trajectory import COUNT, Effect, Guide, effects, trajectory
from attrimorph.applications.edit import Looked, blended, put_back, put_together
from attrimorph.applications.generating import sample
from attrimorph.applications.inputs import code_of
from attrimorph.applications.inversion import Inversion, Progress
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge, OwnClassifier, load_judge
from attrimorph.models.model import Code, Model
from attrimorph.photographs.fields import Fields
from attrimorph.photographs.file import Photograph
from attrimorph.pictures import to_pil

FEW = 16  # drawn codes on which a way is tried that follows a judge: it is slow
OWN = "own"
"""The word for the axes that lie beside a generator, or came with it."""


def pack_named(axes: str, model: str) -> Path:
    """Return the pack that the words of a command mean.

    Args:
        axes: a file, or "own": those beside the generator, or that came with it.
        model: the generator as the user named it.

    Raises:
        AttrimorphError: there are none.
    """
    return find_pack(model) if axes == OWN else Path(axes)


@dataclass(frozen=True)
class Start:
    """Where a move begins.

    Attributes:
        images: photographs as the model is shown them, [B, 3, S, S]; of drawn pictures `found` again.
        found: what the generator makes of the codes, [B, 3, S, S] on the CPU.
        code: B rows.
        inversion: how they were found; None where the encoder told them, or they were drawn.
    """

    images: Tensor
    found: Tensor
    code: Code
    inversion: Inversion | None = None


class AxisEdit:
    """A generator, its axes, and who looks: everything that an edit needs but its pictures.

    Args:
        model: the generator.
        along: how.

    Raises:
        AttrimorphError: the pack is of another generator, a lock has no axis, or there is nothing to follow.
    """

    def __init__(self, model: Model, along: AxisOptions) -> None:
        self.model, self.along = model, along
        pack = load_pack(along.pack)
        # Drawn pictures go the shortest way of codes, as published; photographs the one that keeps most of the picture.
        gram = picture_gram(model) if along.seed is None and along.follow is None else None
        self.editor = AxisEditor(model, pack, locks=along.locks, gram=gram, sphere=along.sphere)
        self.judge = self._judge()
        self.guide = self._guide()
        self.expected: list[Effect] = []

    def _guide(self) -> Guide | None:
        if self.along.follow == "judge":
            assert self.judge is not None
            return guide_of(self.judge, self.model)
        if self.along.follow == "curved" and self.editor.pack.curved is None:
            raise AttrimorphError(
                f"--follow curved needs a pack with curved axes; {self.along.pack} has none; fit it anew with "
                "`attrimorph axes fit`, or leave --follow out"
            )
        return self.editor.pack.curved if self.along.follow == "curved" else None

    def _judge(self) -> Judge | OwnClassifier | None:
        try:
            return judge_named(self.along.judge, self.model)
        except AttrimorphError as error:
            if self.along.judge is not None:
                raise
            refused = error
        try:
            # Who judged when the axes were fitted: a generator from outside has no attributes of its own.
            return load_judge(str(self.editor.pack.about.get("by", "")).removeprefix("judge "), self.model.device)
        except AttrimorphError:
            # Nobody at hand is no fault, unless somebody is to be followed.
            if self.along.follow == "judge":
                raise refused from None
            return None

    def effects(self, changes: Mapping[str, float]) -> list[Effect]:
        """Return what the edit does to drawn pictures, and keep it in `expected`; see `trajectory.effects`."""
        if not changes:
            raise AttrimorphError("an edit must change at least one attribute; got none; add --set Smiling=1")
        count = FEW if self.along.follow == "judge" else COUNT
        self.expected = effects(self.editor, self.judge, changes, guide=self.guide, count=count)
        return self.expected

    def start(
        self,
        paths: Sequence[Path] | Tensor,
        changes: Mapping[str, float],
        known: Mapping[str, float] | None,
        invert: Search | None,
        progress: Progress | None,
    ) -> Start:
        """Return where the move begins, a bad wish being refused before a long search."""
        if self.along.seed is None:
            one = self.editor.sample_codes(1, torch.Generator().manual_seed(0))
            self.editor.move(one, changes)
            if self.guide is not None:
                trajectory(self.editor, one, changes, 2, self.guide)
            images = self.model.prepared(paths)
            code, found = code_of(self.editor, images, None, "edit", known=known, invert=invert, progress=progress)
            return Start(images, self.editor.decode(code).cpu(), code, found)
        if len(paths) or invert is not None or known:
            raise AttrimorphError(
                "--seed edits pictures that the model draws; got a photograph, --known or --invert besides; leave "
                "either out"
            )
        drawn = sample(self.editor, self.along.count, seed=self.along.seed)
        images = drawn.images.cpu()
        return Start(images, images, drawn.code)

    def pictures(self, start: Start, changes: Mapping[str, float], steps: int) -> list[Tensor]:
        """Return the generator's pictures on the way, `steps` of [B, 3, S, S] on the CPU."""
        codes = trajectory(self.editor, start.code, changes, steps, self.guide)
        return [start.found, *(self.editor.decode(code).cpu() for code in codes[1:])]


@dataclass(frozen=True)
class EditedPhotographs:
    """Photographs that were edited along axes.

    Attributes:
        start: where the move began.
        edited: the generator's pictures at its end, [B, 3, S, S] in [-1, 1].
        shown: what the generator was shown of the photographs, with the change, [B, 3, S, S].
        pictures: the whole photographs, as large as they are, with it; the generator's own where nothing else is asked.
        fields: the change; None where there are none.
    """

    start: Start
    edited: Tensor
    shown: Tensor
    pictures: Sequence[Image.Image | Photograph]
    fields: Fields | None


def edit_photographs(
    axis_edit: AxisEdit,
    paths: Sequence[Path],
    changes: Mapping[str, float],
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
    composition: Composition = "fields",
    looked: Looked | None = None,
) -> EditedPhotographs:
    """Move photographs along axes.

    Args:
        axis_edit: the generator, and how it goes.
        paths: of the photographs.
        changes: attribute -> strength: 0 unchanged, 1 set, -1 taken away.
        known: attributes of the photographs that are known, for a conditional generator.
        invert: how to look for their codes; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).
        composition: as of `applications.edit.edit`.
        looked: what the generator is shown of the photographs; None: whole squares, as earlier versions showed it.
    """
    start = axis_edit.start(paths if looked is None else looked.images, changes, known, invert, progress)
    edited = axis_edit.pictures(start, changes, 2)[-1]
    if composition == "earlier":
        shown = blended(start.images, start.found, edited)
        changed = zip(paths, shown - start.images, strict=True)
        pictures = [put_back(axis_edit.model, Path(path), change) for path, change in changed]
        return EditedPhotographs(start, edited, shown, pictures, None)
    shown, fields = put_together(start.images, start.found, edited, composition)
    whole = to_pil(shown) if fields is None or looked is None else looked.changed(fields)
    return EditedPhotographs(start, edited, shown, whole, fields)
