"""Trajectories along axes: straight, or following somebody; and what to expect of an edit, told before it is done.

The straight axis is the best one way for all codes, and a generator is not linear. A judge's gradient through it, or
that of a small network which learned what a judge says of codes (see `curved`), tells for each code where an attribute
lies. Whoever follows one goes at every step along the local gradient, that of the locked attributes taken out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.space import Space, drawn_codes
from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges
from attrimorph.evaluators.judge import Judge
from attrimorph.models.model import Code, Generates, Model

STEPS = 12
GOAL = 2.2  # logit of 0.9
LONGEST = 1.0  # a step, in standard deviations of drawn codes
STIFF = 1e-4
COUNT, SEED = 64, 1  # drawn codes on which an edit is tried beforehand, and their seed
NOTED = 0.01  # smaller side effects are not told
MOST_NOTED = 6

Reads = Callable[[Tensor], Tensor]
"""Images [B, 3, S, S] -> logits [B, W], with gradients."""


class Guide(Protocol):
    """Who is followed."""

    @property
    def goal(self) -> float:
        """The logit at which an attribute is there; minus that, at which it is not."""

    def logits(self, at: Tensor, like: Code, names: Sequence[str]) -> Tensor:
        """Return logits [B, K] of attributes, with gradients by the coordinates.

        Args:
            at: coordinates, [B, D] float64.
            like: codes, for what is no coordinate; see `Space.code`.
            names: K attributes.
        """


@dataclass(frozen=True)
class JudgeGuide:
    """A judge, followed through a generator: its gradient also finds what pleases that judge alone.

    Attributes:
        model: a generator with gradients.
        reads: the judge's logits; `logits_of(judge)`.
        schema: of the logits.
        goal: see `Guide`.
    """

    model: Model
    reads: Reads
    schema: Schema
    goal: float = GOAL

    def logits(self, at: Tensor, like: Code, names: Sequence[str]) -> Tensor:
        """Return what the judge says of the pictures at coordinates; see `Guide`."""
        moved = Space.of(self.model).code(at, like, self.model.schema.fill_value)
        images = with_gradient(self.model).generate(moved.z, moved.attributes)
        return self.reads(images)[:, [self._column(name) for name in names]]

    def _column(self, name: str) -> int:
        columns = self.schema.column_names
        return columns.index(name) if name in columns else self.schema.columns(name).start


def with_gradient(model: Model) -> Generates:
    """Return the model as one with gradients.

    Raises:
        AttrimorphError: it has none.
    """
    if isinstance(model, Generates):
        return model
    raise AttrimorphError(
        f"following the judge needs gradients through the generator; {model.recipe.name!r} ({model.recipe.method}) "
        "gives none; follow the curved axes, or take the straight ones"
    )


def logits_of(judge: Judge) -> Reads:
    """Return what a judge says before any temperature, with gradients."""

    def read(images: Tensor) -> Tensor:
        logits: Tensor = judge.network(images.to(memory_format=torch.channels_last))[0]
        return logits

    return read


def follow(
    model: Model,
    guide: Guide,
    code: Code,
    changes: Mapping[str, float],
    *,
    locks: Sequence[str] = (),
    steps: int = STEPS,
) -> list[Code]:
    """Go from codes to where the wished attributes lie, the locked ones held to first order at every step.

    At step k of n every wished logit is to go 1 / (n - k) of what it still has before it. With J the gradients of
    wished and locked logits, the move is the shortest one d with J d = (those wishes, what the locked ones strayed),
    no longer than one standard deviation.

    Args:
        model: the generator.
        guide: who is followed.
        code: B rows.
        changes: attribute -> strength; above 0 it is to be there (the guide's goal), below 0 not; its size is the share
            of the way from where it is.
        locks: attributes that are to stay.
        steps: n.

    Returns:
        The codes of the way, n + 1 of them; the first is `code`.
    """
    space, blank = Space.of(model), model.schema.fill_value
    names = [*changes, *[name for name in locks if name not in changes]]
    here = space.coordinates(code, blank)
    way, goals = [code], None
    for step in range(steps):
        logits, gradients = _slopes(guide, here, code, names)
        if goals is None:
            # Locked logits come back to where they began: what a step left of them the next one mends.
            goals = logits.clone()
            for place, strength in enumerate(changes.values()):
                sign = 1 if strength > 0 else -1
                ahead = (sign * guide.goal - logits[:, place]) * sign
                goals[:, place] += ahead.clamp(min=0) * strength
        share = torch.ones(len(names), dtype=torch.float64)
        share[: len(changes)] = 1 / (steps - step)
        here = here + shortest_step(gradients, (goals - logits) * share)
        way.append(space.code(here, code, blank))
    return way


def _slopes(guide: Guide, here: Tensor, like: Code, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the logits [B, K] and their gradients by the coordinates [B, K, D]."""
    with torch.enable_grad():
        at = here.detach().requires_grad_()
        logits = guide.logits(at, like, names)
        rows = [
            torch.autograd.grad(logits[:, place].sum(), at, retain_graph=place < len(names) - 1)[0]
            for place in range(len(names))
        ]
    return logits.detach().double().cpu(), torch.stack(rows, 1)


def shortest_step(gradients: Tensor, wanted: Tensor) -> Tensor:
    """Return the shortest moves [B, D] with gradients [B, K, D] x move = wanted [B, K], at most LONGEST long."""
    gram = gradients @ gradients.transpose(1, 2)
    # Where two gradients are nearly parallel the exact answer is a leap: a little give keeps it short.
    give = STIFF * gram.diagonal(dim1=1, dim2=2).amax(1, keepdim=True).clamp(min=1e-12)
    gram = gram + torch.diag_embed(give.expand(-1, gram.shape[1]))
    move = (gradients.transpose(1, 2) @ torch.linalg.solve(gram, wanted[..., None]))[..., 0]
    short: Tensor = move * (LONGEST / move.norm(dim=1, keepdim=True).clamp(min=LONGEST))
    return short


def trajectory(
    editor: AxisEditor, code: Code, changes: Mapping[str, float], steps: int, guide: Guide | None = None
) -> list[Code]:
    """Return the codes on the way of a move, even shares of it, the start and the end counted.

    Args:
        editor: with its locks.
        code: B rows.
        changes: attribute -> strength; straight: see `AxisEditor.move`; with a guide: see `trajectory.follow`.
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

    @property
    def size(self) -> float:
        """The larger of the two figures."""
        return max(self.predicted or 0.0, self.measured or 0.0)

    def cells(self) -> tuple[str, str, str, str]:
        """Return it as words of a table."""
        predicted, measured = ("–" if value is None else f"{value:.1%}" for value in (self.predicted, self.measured))
        return self.role, predicted, measured, self.name


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
    code = Code.joined(drawn_codes(editor, count, seed))
    moved, names, schema = trajectory(editor, code, changes, 2, guide)[-1], editor.pack.names, editor.model.schema
    seen: dict[str, list[tuple[Tensor, Tensor] | None]] = {name: [None, None] for name in names}
    if guide is None:
        axes = [editor.pack.axis(name) for name in names]
        slopes, shifts = torch.tensor([[axis.slope, axis.intercept] for axis in axes], dtype=torch.float64).T
        at = (editor.space.coordinates(editor.own(each), schema.fill_value) for each in (code, moved))
        before, after = ((each @ editor.pack.rows(names).T * slopes + shifts).sigmoid() for each in at)
        for place, name in enumerate(names):
            seen[name][0] = before[:, place], after[:, place]
    if judge is not None:
        before, after = (judge(editor.decode(each)).double().cpu() for each in (code, moved))
        for place, name in enumerate(judge.schema.column_names):
            if judge.schema.find(name)[0].kind != "real":
                seen.setdefault(name, [None, None])[1] = before[:, place], after[:, place]
    given = [name for name, strength in changes.items() if strength > 0]
    rivals = {rival for name in given for rival in editor.mutually_exclusive(name)}
    locked, found = editor.free_locks(changes), []
    for name, sides in seen.items():
        role = "locked" if name in locked else "gives way" if name in rivals else "free"
        if name in changes:
            role, wished = "reached", changes[name] > 0
            shares = [side and float((side[1] if wished else 1 - side[1]).mean()) for side in sides]
        else:
            shares = [side and float((side[1] - side[0]).abs().mean()) for side in sides]
        found.append(Effect(name, role, *shares))
    told = [effect for name in changes for effect in found if effect.name == name]
    told += [effect for effect in found if effect.role == "locked"]
    others = [each for each in found if each.role in ("gives way", "free") and each.size > NOTED]
    return told + sorted(others, key=lambda effect: effect.size, reverse=True)[:MOST_NOTED]


way = trajectory  # its name before
