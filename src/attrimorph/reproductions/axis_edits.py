"""TL-GAN's axes at work: correlated attributes untangled, and photographs edited by way of inversion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications import Search
from attrimorph.applications.axes import AxisPack
from attrimorph.applications.axes.choosing import guide_of, judge_named
from attrimorph.applications.axes.curved import Curved, fit_curved
from attrimorph.applications.axes.editor import AxisEditor, Remembered
from attrimorph.applications.axes.space import REACH, picture_gram
from attrimorph.applications.axes.trajectory import Guide, follow
from attrimorph.applications.edit import Composed
from attrimorph.applications.gallery import open_data
from attrimorph.applications.inversion import inversion
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import binary_names
from attrimorph.evaluators.identity_encoder import identity_encoder_for
from attrimorph.evaluators.judge import Judge, judge_for
from attrimorph.loading import load
from attrimorph.metrics.edits import (
    BACKGROUND_DRIFT,
    DISTANCE,
    IDENTITY,
    PSNR,
    SHOWN,
    TRUE_IDENTITY,
    EditMeasures,
    measure_edits,
)
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images, held_out_images
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Code, Edits, decisions
from attrimorph.reproductions import report
from attrimorph.reproductions.axes import AxesContext, axes_context, needing
from attrimorph.reproductions.contexts import decoded
from attrimorph.reproductions.frame import Claim, Figures, Outcome, Request, claim, outcome_of, plain

# --- what a beard does to Male and grey hair to age, locked in several ways

PAIRS = {"No_Beard": "Male", "Gray_Hair": "Young"}
"""Edited attribute -> the one that goes with it."""
ALONE, ONE, FLAT, ALL, FOLLOWED, CURVED = (
    "nothing locked", "it locked", "it locked, straight on", "all others locked", "it locked, the judge followed",
    "it locked, curved",
)  # fmt: skip
REACHED, LEAK, CHANGE, OTHERS = "target reached", "leakage", "change of its probability", "other attributes changed"
WITNESSED, WITNESSED_LEAK = "target reached, the witness", "leakage, the witness"
KEYS = (REACHED, LEAK, CHANGE, OTHERS, WITNESSED, WITNESSED_LEAK)
PART, LEAST_REACHED = 0.2, 0.8
FOLLOWING = 100  # codes at most for which the judge is followed
DRAWN = 5  # shown
Moves = Callable[[Code, float], Code]


class Witness:
    """A judge of pictures of half the size, which nobody followed and no axis was fitted to."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.schema, self.name = judge, judge.schema, f"{judge.name} at half the size"

    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities [B, W] for images [B, 3, S, S]."""
        return self.judge(avg_pool2d(images, 2))


def untangling(request: Request) -> Outcome:
    """Edit drawn codes in every way, and count what the judge sees change."""
    context = axes_context(request)
    pack, half = context.pack(), judge_for(context.judge.schema, context.model.image_size // 2, request.device)
    witness = None if half is None else Witness(half)
    for name in (word for pair in PAIRS.items() for word in pair):
        if name not in pack.names:
            raise AttrimorphError(
                f"the experiment untangling needs pictures with and without {name}; the judge sees it in all or none "
                f"of {context.model.recipe.name}'s; train longer, or name another --model"
            )
    judged = context.judged()
    curved = fit_curved(judged.coordinates, judged.probabilities, judged.names)
    code = context.codes(request.form.unseen)
    before = context.seen(code)
    moves = {edited: ways(context, pack, curved, edited, other) for edited, other in PAIRS.items()}
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for edited, other in PAIRS.items():
        figures[edited] = {}
        for words, move in moves[edited].items():
            request.say(f"{edited}: {words}")
            few = FOLLOWING if words == FOLLOWED else len(before)
            pair = context.column(edited), context.column(other)
            figures[edited][words] = measured(context, code, before[:few], move, pair, witness)
    seen = {name: before[:, context.column(name)] > 0.5 for pair in PAIRS.items() for name in pair}
    correlations = {
        f"{edited} and {other}": {
            "as the judge sees drawn pictures": phi(seen[edited], seen[other]),
            "cosine of the axes": float(pack.axis(edited).direction @ pack.axis(other).direction),
        }
        for edited, other in PAIRS.items()
    }
    outcome = outcome_of(
        "untangling",
        untangling_claims(figures),
        {
            "ways": {edited: {w: plain(f) for w, f in each.items()} for edited, each in figures.items()},
            "correlations": {pair: plain(each) for pair, each in correlations.items()},
        },
        context.protocol(),
        correlations="; ".join(
            f"{pair}: {each['as the judge sees drawn pictures']:+.2f}, cosine {each['cosine of the axes']:+.2f}"
            for pair, each in correlations.items()
        ),
        samples=pack.about["samples"], edited=len(before), followed=FOLLOWING, explained=curved.explained,
        witness="nobody"
        if witness is None
        else f"{witness.name}: no axis was fitted to it, and it was not followed, so it cannot be pleased",
    )  # fmt: skip
    for edited, other in PAIRS.items():
        rows = {words: {key: each[key] for key in KEYS} for words, each in figures[edited].items()}
        outcome.pieces += [report.heading(f"{edited}, {other} to stay"), report.figures(rows, "%")]
        absent = (before[:, context.column(edited)] < 0.5).nonzero()[:DRAWN, 0]
        some = Code(code.z[absent], code.attributes[absent])
        shown = {"drawn": some, **{words: move(some, 1.0) for words, move in moves[edited].items()}}
        pictures = [decoded(context.model, each) for each in shown.values()]
        outcome.sheet(edited, pictures, f"{edited} turned over.", labels=list(shown))
    return outcome


def ways(context: AxesContext, pack: AxisPack, curved: Curved, edited: str, other: str) -> dict[str, Moves]:
    """Return every way to edit an attribute: codes and a strength of 1 or -1 -> codes."""
    exclusive = AxisEditor(context.model, pack).mutually_exclusive(edited)
    # What must give way to it is no lock: neither way is asked for the impossible.
    rest = [name for name in pack.names if name != edited and name not in exclusive]

    def straight(locks: Sequence[str], sphere: bool = True) -> Moves:
        editor = AxisEditor(context.model, pack, locks=locks, sphere=sphere)
        return lambda code, strength: editor.own(editor.move(code, {edited: strength}))

    def following(guide: Guide) -> Moves:
        return lambda code, strength: follow(context.model, guide, code, {edited: strength}, locks=[other])[-1]

    return {
        ALONE: straight([]),
        ONE: straight([other]),
        FLAT: straight([other], sphere=False),
        ALL: straight(rest),
        FOLLOWED: following(guide_of(context.judge, context.model)),
        CURVED: following(curved),
    }


def phi(a: Tensor, b: Tensor) -> float:
    """Return the correlation of two rows of 0 and 1; NaN where one never varies."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    below = float((a.square().sum() * b.square().sum()).sqrt())
    return float((a * b).sum()) / below if below > 0 else float("nan")


def measured(
    context: AxesContext, code: Code, before: Tensor, move: Moves, pair: tuple[int, int], witness: Witness | None
) -> dict[str, float]:
    """Edit the codes that need it, and count as the judge sees it, and as a witness does.

    Args:
        context: with the generator and the judge.
        code: drawn ones.
        before: what the judge says of the first of them, [n, W]: those that are edited.
        move: the edit.
        pair: the columns of the edited attribute, and of the one that is to stay.
        witness: who also looks.
    """
    (target, kept), schema = pair, context.judge.schema
    rest = [column for column in map(context.column, binary_names(schema)) if column not in pair]
    seen: dict[str, list[Tensor]] = {name: [] for name in ("then", "after", "goals", "began", "ended")}
    for strength, rows in needing((before > 0.5).double(), target):
        still = Code(code.z[rows], code.attributes[rows])
        moved = move(still, strength)
        seen["then"].append(before[rows])
        seen["after"].append(context.seen(moved))
        seen["goals"].append(torch.full((len(rows),), float(strength > 0), dtype=torch.float64))
        if witness is not None:
            seen["began"].append(context.seen(still, witness))
            seen["ended"].append(context.seen(moved, witness))
    then, after, goals = (torch.cat(seen[name]) for name in ("then", "after", "goals"))
    changed = decisions(after, schema) != decisions(then, schema)
    found = {
        REACHED: float(((after[:, target] > 0.5).double() == goals).double().mean()),
        LEAK: float(changed[:, kept].double().mean()),
        CHANGE: float((after[:, kept] - then[:, kept]).abs().mean()),
        OTHERS: float(changed[:, rest].double().mean()),
        WITNESSED: float("nan"),
        WITNESSED_LEAK: float("nan"),
        "edits": float(len(after)),
    }
    if witness is not None:
        began, ended = ((torch.cat(seen[name]) > 0.5).double() for name in ("began", "ended"))
        found[WITNESSED] = float((ended[:, target] == goals).double().mean())
        found[WITNESSED_LEAK] = float((ended[:, kept] != began[:, kept]).double().mean())
    return found


def untangling_claims(figures: Mapping[str, Figures]) -> list[Claim]:
    """Return the bars, held against the figures."""
    found = []
    for edited, other in PAIRS.items():
        each = figures[edited]
        counted = {words: int(row["edits"]) for words, row in each.items()}
        for words, how in ((ONE, "straight"), (CURVED, "curved")):
            cases = (counted[ALONE], counted[words])
            found += [
                claim("untangling", "leaks", each[ALONE][LEAK], each[words][LEAK], counted=cases, times=1 / PART,
                      edited=edited, other=other, how=how),
                claim("untangling", "reached", each[words][REACHED], LEAST_REACHED, counted=counted[words],
                      edited=edited, other=other, how=how),
            ]  # fmt: skip
        values, cases = (each[ONE][WITNESSED], each[FOLLOWED][WITNESSED]), (counted[ONE], counted[FOLLOWED])
        found.append(claim("untangling", "witness", *values, counted=cases, edited=edited))
    on, off = (sum(each[words][REACHED] for each in figures.values()) / len(PAIRS) for words in (ONE, FLAT))
    return [*found, claim("untangling", "sphere", on, off, counted=int(figures[edited][ONE]["edits"]))]


# --- photographs through inversion and axes: target reached, identity kept, and how far from the true counterfactual

FACES = 200
LOCKS = ("Male", "Young")
FOUND, COMPOSED = "the generator's picture", "put back into the photograph"
IN_CODES = "put back, the shortest way of codes"
CHANGED, WRONG, NOTHING = "others changed", "others wrong", "PSNR of no edit"
DRIFT = 0.1
PICTURES = ("Smiling", "Eyeglasses", "No_Beard", "Young", "Gray_Hair", "Wearing_Hat")


def photographs(request: Request) -> Outcome:
    """Invert unseen faces, turn every attribute over along its axis, and hold the results against the truth."""
    context, unseen = subjects(request)
    pack, drawn = context.pack(), unseen.factors is not None
    request.say(f"inverting {len(unseen.images)} photographs")
    steps, close, progress = 2 * request.form.search[-1], request.form.close, request.counting("inverting", "steps")
    inverted = inversion(context.model, unseen.images, search=Search(steps, within=1.0), progress=progress)
    code = Code(inverted.code.z.cpu(), inverted.code.attributes.cpu())
    found = decoded(context.model, inverted.code)
    nearness = float(psnr(found, unseen.images).mean())
    locks, known = [name for name in LOCKS if name in pack.names], Remembered(unseen.images, code)
    editor = AxisEditor(context.model, pack, locks=locks, invert=known, gram=picture_gram(context.model))
    plainly = AxisEditor(context.model, pack, locks=locks, invert=known)
    # What a change is counted from: the generator's picture of the photograph, or the photograph.
    measures = {
        FOUND: photographed(context, unseen, editor, found, pack),
        COMPOSED: photographed(context, unseen, Composed(editor), unseen.images, pack),
        IN_CODES: photographed(context, unseen, Composed(plainly), unseen.images, pack),
    }
    figures = {words: summary(unseen, each, close) for words, each in measures.items()}
    attributes = {
        words: {
            name: {
                REACHED: each.mean(lambda one: one.reached, name),
                CHANGED: each.mean(lambda one: one.drifted, name),
            }
            for name in each.names
        }
        for words, each in measures.items()
    }
    outcome = outcome_of(
        "photographs",
        photograph_claims(figures, drawn, measures[COMPOSED].count),
        {
            "ways": {words: plain(each) for words, each in figures.items()},
            "attributes": attributes,
            "inversion": {"PSNR": nearness, "seconds": inverted.seconds},
        },
        context.protocol(),
        unseen=unseen, axes=len(pack.names), samples=pack.about["samples"], steps=steps, seconds=inverted.seconds,
        nearness=nearness, locks=" and ".join(locks) or "nothing", close=close, reach=REACH,
    )  # fmt: skip
    rows = {
        name: {f"{key}, {words}": each[name][key] for words, each in attributes.items() for key in (REACHED, CHANGED)}
        for name in attributes[COMPOSED]
    }
    outcome.pieces += [
        report.figures(figures, forms=dict.fromkeys((REACHED, CHANGED, WRONG), "%")),
        report.heading("By attribute"),
        report.figures(rows, "%", "attribute"),
    ]
    if drawn:
        # Photographs of people are told of as aggregates alone.
        caption = "Photographs, and the nearest pictures of the generator."
        outcome.sheet("found", [unseen.images[:8], found[:8]], caption, labels=["photograph", "found"])
        for name in PICTURES:
            show_edits(outcome, measures, name)
    return outcome


def subjects(request: Request) -> tuple[AxesContext, EvaluationSet]:
    """Return the generator with its judge, and the photographs: drawn ones, or those of a data set held out.

    Raises:
        AttrimorphError: other data without a model of them.
    """
    if request.data is None:
        context = axes_context(request)
        # Not the first ones: on some of those PLAIN and REACH of `axes.space` were chosen.
        return context, drawn_images(request.form.unseen, context.model.image_size).last(FACES)
    if request.model is None:
        raise AttrimorphError("photographs of other data need a generator of such data; name one with --model")
    model = load(request.model, request.device)
    data = open_data(model, request.data, request.counting("preparing"))
    judge = judge_named(request.other_model, model)
    data = data.with_schema(judge.schema, judge.name)
    unseen = held_out_images(data, min(FACES, request.form.unseen))
    if data.schema != faces.SCHEMA:
        unseen = replace(unseen, factors=None, masks=None)
    return AxesContext(request, model, judge), unseen


def photographed(
    context: AxesContext, unseen: EvaluationSet, editor: Edits, before: Tensor, pack: AxisPack
) -> EditMeasures:
    """Turn every attribute that has an axis over; `before` [N, 3, S, S] is without an edit."""
    judge, schema = context.judge, context.judge.schema
    return measure_edits(
        editor,
        replace(unseen, reconstructions=before),
        judge,
        decisions(judge(before).cpu(), schema),
        names=[name for name in binary_names(schema) if name in pack.names],
        counterfactuals=context.request.form.close,
        identity_encoder=identity_encoder_for(schema, context.model.image_size, context.model.device),
        extractor=JudgeFeatures(judge) if isinstance(judge, Judge) else None,
        progress=context.request.say,
    )


def summary(unseen: EvaluationSet, measures: EditMeasures, close: int) -> dict[str, float]:
    """Return means over the attributes; NaN for what nobody could measure; `close` edits are held to the truth."""
    found = {
        REACHED: measures.mean(lambda each: each.reached),
        CHANGED: measures.mean(lambda each: each.drifted),
        WRONG: measures.mean(lambda each: each.leaked),
    }
    closely = (PSNR, DISTANCE, IDENTITY, TRUE_IDENTITY, BACKGROUND_DRIFT)
    values = {name: [measures.figure(name).double()] for name in closely}
    # The photographs as they are, against the truth, over the same edits.
    values[NOTHING] = []
    for side in measures.edits:
        if unseen.factors is not None:
            rows = side.rows[: max(SHOWN, close)]
            true = faces.set_attribute(unseen.factors[rows], side.name, side.goal)
            values[NOTHING].append(psnr(unseen.images[rows], faces.render(true, unseen.images.shape[-1])).double())
    return found | {name: float(torch.cat([torch.zeros(0), *each]).nanmean()) for name, each in values.items()}


def photograph_claims(figures: Figures, drawn: bool, edits: int) -> list[Claim]:
    """Return the bars, held against the figures of so many edits."""
    mine, who = figures[COMPOSED], "Drawn faces" if drawn else "Photographs"
    reached = claim("photographs", "reached", mine[REACHED], LEAST_REACHED, counted=edits, who=who)
    if not drawn:
        return [reached]
    return [
        reached,
        claim("photographs", "photograph", mine[PSNR], mine[NOTHING]),
        claim("photographs", "generator", mine[PSNR], figures[FOUND][PSNR]),
        claim("photographs", "codes", mine[PSNR], figures[IN_CODES][PSNR]),
        claim("photographs", "person", mine[TRUE_IDENTITY], mine[IDENTITY], grace=DRIFT),
    ]


def show_edits(outcome: Outcome, measures: Mapping[str, EditMeasures], name: str) -> None:
    """Show the first edits of one attribute: photograph, the generator's, put back, the truth."""
    rows = []
    for first, second in zip(*(measures[words].of(name) for words in (FOUND, COMPOSED)), strict=True):
        columns = [first.shown[:, 0], first.shown[:, 1], second.shown[:, 1], *second.shown[:, 2:].unbind(1)]
        rows.append(torch.stack(columns, 1).flatten(0, 1))
    if rows:
        outcome.sheet(f"edit-{name}", rows, name, columns=["input", "found", "put back", "truth"] * SHOWN, cell=80)
