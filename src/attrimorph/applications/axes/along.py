"""Along axes: photographs, or pictures that the generator draws, moved; and what to expect, told before it is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.path import STEPS, Guide, follow
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.applications.inputs import code_of
from attrimorph.applications.inversion.search import Inversion, Progress
from attrimorph.applications.options import Search
from attrimorph.applications.sample import sample
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.models.codes import Code

COUNT, SEED = 64, 1  # drawn codes on which an edit is tried beforehand, and their seed
NOTED = 0.01  # smaller side effects are not told
MOST_NOTED = 6


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


@dataclass(frozen=True)
class Effect:
    """What a move does to one attribute of drawn pictures, on average.

    Attributes:
        name: of the attribute.
        role: "reached" where it is edited (figures are the mean probability that it is seen as wished), else "gives
            way", "locked" or "free" (figures are the mean change of its probability, sizes alone).
        predicted: by the linear model; None on a way that is not straight.
        measured: by the judge; None where it does not know the attribute.
    """

    name: str
    role: str
    predicted: float | None
    measured: float | None

    def cells(self) -> tuple[str, str, str, str]:
        """Return it as words of a table."""
        told = ["–" if value is None else f"{value:.1%}" for value in (self.predicted, self.measured)]
        return self.role, told[0], told[1], self.name


def start_of(
    editor: AxisEditor,
    images: Tensor,
    *,
    known: Mapping[str, float] | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Start:
    """Return the codes of photographs, the encoder's or those that an inversion finds; see `coding.code_of`."""
    code, found = code_of(editor, images, None, "edit", known=known, invert=invert, progress=progress)
    return Start(images, editor.decode(code).cpu(), code, found)


def drawn_start(editor: AxisEditor, count: int, seed: int) -> Start:
    """Return pictures that the generator draws: those of `sample` with the same count and seed."""
    drawn = sample(editor, count, seed=seed)
    images = drawn.images.cpu()
    return Start(images, images, drawn.code)


def trajectory(
    editor: AxisEditor, code: Code, changes: Mapping[str, float], steps: int, guide: Guide | None = None
) -> list[Code]:
    """Return the codes on the way of a move, even shares of it, the start and the end counted.

    Args:
        editor: with its locks.
        code: B rows.
        changes: attribute -> strength; straight: see `AxisEditor.move`; with a guide: see `path.follow`.
        steps: codes, at least 2.
        guide: who is followed; None = go straight.
    """
    if not changes:
        raise AttrimorphError("an edit must change at least one attribute; got none; add --set Smiling=1")
    if guide is None:
        return [editor.move(code, {n: s * step / (steps - 1) for n, s in changes.items()}) for step in range(steps)]
    locks, own = editor.free_locks(changes), editor.own(code)
    passed = follow(editor.model, guide, own, changes, locks=locks, steps=max(STEPS, steps - 1))
    return [passed[round(step * (len(passed) - 1) / (steps - 1))] for step in range(steps)]


@torch.no_grad()
def effects(
    editor: AxisEditor,
    judge: Judges | None,
    changes: Mapping[str, float],
    *,
    guide: Guide | None = None,
    count: int = COUNT,
    seed: int = SEED,
) -> list[Effect]:
    """Try a move on drawn codes: what the linear model says of it, and what a judge sees.

    Args:
        editor: with its locks.
        judge: who looks; None = nobody, the linear model alone is told.
        changes: the move.
        guide: of a way that is not straight.
        count: drawn codes.
        seed: of these.

    Returns:
        What is edited, what is locked, and other attributes that change by more than a hundredth, most first.
    """
    code = _joined(list(drawn_codes(editor, count, seed)))
    moved = trajectory(editor, code, changes, 2, guide)[-1]
    predicted = _predicted(editor, code, moved) if guide is None else {}
    measured = {} if judge is None else _measured(editor, judge, code, moved)
    found = []
    for name in dict.fromkeys([*editor.pack.names, *predicted, *measured]):
        role = _role(editor, changes, name)
        shares: list[float | None] = []
        for before, after in (each.get(name, (None, None)) for each in (predicted, measured)):
            if before is None or after is None:
                shares.append(None)
            elif role == "reached":
                shares.append(float((after if changes[name] > 0 else 1 - after).mean()))
            else:
                shares.append(float((after - before).abs().mean()))
        found.append(Effect(name, role, *shares))
    return _noted(found, changes)


def _role(editor: AxisEditor, changes: Mapping[str, float], name: str) -> str:
    if name in changes:
        return "reached"
    if name in editor.free_locks(changes):
        return "locked"
    rivals = {
        rival for edited, strength in changes.items() if strength > 0 for rival in editor.mutually_exclusive(edited)
    }
    return "gives way" if name in rivals else "free"


def _noted(found: Sequence[Effect], changes: Mapping[str, float]) -> list[Effect]:
    def size(effect: Effect) -> float:
        return max(effect.predicted or 0.0, effect.measured or 0.0)

    told = [effect for name in changes for effect in found if effect.name == name]
    told += [effect for effect in found if effect.role == "locked"]
    others = [each for each in found if each.role in ("gives way", "free") and size(each) > NOTED]
    return told + sorted(others, key=size, reverse=True)[:MOST_NOTED]


def _predicted(editor: AxisEditor, code: Code, moved: Code) -> dict[str, tuple[Tensor, Tensor]]:
    """Return P(seen) by the linear model before and after, [N] each, for every axis."""
    blank, names = editor.model.schema.fill_value, editor.pack.names
    rows = editor.pack.rows(names)
    scores = [editor.space.coordinates(editor.own(each), blank) @ rows.T for each in (code, moved)]
    axes = [editor.pack.axis(name) for name in names]
    slopes, shifts = torch.tensor([[axis.slope, axis.intercept] for axis in axes], dtype=torch.float64).T
    before, after = ((score * slopes + shifts).sigmoid() for score in scores)
    return {name: (before[:, place], after[:, place]) for place, name in enumerate(names)}


def _measured(editor: AxisEditor, judge: Judges, code: Code, moved: Code) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the judge's probabilities before and after, [N] each, for every binary column that it knows."""
    before, after = (judge(editor.decode(each)).double().cpu() for each in (code, moved))
    kinds = {name: judge.schema.find(name)[0].kind for name in judge.schema.column_names}
    return {
        name: (before[:, place], after[:, place])
        for place, name in enumerate(judge.schema.column_names)
        if kinds[name] != "real"
    }


def _joined(codes: Sequence[Code]) -> Code:
    return Code(torch.cat([code.z for code in codes]), torch.cat([code.attributes for code in codes]))


way = trajectory  # its name before
