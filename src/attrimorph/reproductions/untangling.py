"""Correlated attributes untangled: what a beard does to Male and grey hair to age, locked in several ways."""

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.choosing import guide_of
from attrimorph.applications.axes.curved import Curved, fit_curved
from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.linear import conditional_projection
from attrimorph.applications.axes.pack import AxisPack
from attrimorph.applications.axes.path import Guide, follow
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import binary_names, decisions
from attrimorph.models.codes import Code
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.axes_place import SOURCE, Place, Witness, phi, place_of, plain, witness_of
from attrimorph.reproductions.claims import Claim, at_least, more
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "untangling"
PAIRS = {"No_Beard": "Male", "Gray_Hair": "Young"}
"""Edited attribute -> the one that goes with it."""
ALONE, ONE, ALL, IN_TURN, BACKWARDS, FOLLOWED, CURVED = (
    "nothing locked", "it locked", "all others locked", "all others, conditional projection",
    "all others, conditional projection, order reversed", "it locked, the judge followed", "it locked, curved",
)  # fmt: skip
REACHED, LEAK, CHANGE, OTHERS = "target reached", "leakage", "change of its probability", "other attributes changed"
WITNESSED, WITNESSED_LEAK = "target reached, the witness", "leakage, the witness"
KEYS = (REACHED, LEAK, CHANGE, OTHERS, WITNESSED, WITNESSED_LEAK)
PART, LEAST_REACHED = 0.2, 0.8
FOLLOWING = 100  # codes at most for which the judge is followed
SHOWN = 5
Moves = Callable[[Code, float], Code]
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]


def run(request: Request) -> Outcome:
    """Edit drawn codes in every way, and count what the judge sees change."""
    place = place_of(request)
    pack, witness = place.pack(), witness_of(place)
    for name in (word for pair in PAIRS.items() for word in pair):
        if name not in pack.names:
            raise AttrimorphError(
                f"the experiment {NAME} needs pictures with and without {name}; the judge sees it in all or none of "
                f"{place.model.recipe.name}'s; train longer, or name another --model"
            )
    judged = place.judged()
    curved = fit_curved(judged.coordinates, judged.said, judged.names)
    code = place.codes(request.form.unseen)
    before = place.seen(code)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for edited, other in PAIRS.items():
        figures[edited] = {}
        for words, moves in ways(place, pack, curved, edited, other).items():
            request.say(f"{edited}: {words}")
            few = FOLLOWING if words == FOLLOWED else len(before)
            figures[edited][words] = measured(place, code, before, moves, edited, other, few, witness)
    correlations = {
        f"{edited} and {other}": {
            "as the judge sees drawn pictures": phi(
                before[:, place.column(edited)] > 0.5, before[:, place.column(other)] > 0.5
            ),
            "cosine of the axes": float(pack.axis(edited).direction @ pack.axis(other).direction),
        }
        for edited, other in PAIRS.items()
    }
    outcome = Outcome(
        name=NAME,
        title="Untangled",
        lead="An edit of one attribute should leave the other one alone, although the two go together in the pictures.",
        protocol={
            **place.protocol(),
            "correlations": "; ".join(
                f"{pair}: {each['as the judge sees drawn pictures']:+.2f}, cosine {each['cosine of the axes']:+.2f}"
                for pair, each in correlations.items()
            ),
            "samples for the axes": f"{pack.about['samples']:,}",
            "edits": f"of {len(before)} other drawn codes, each attribute set where it is absent (strength 1), taken "
            f"away where it is present (-1); {FOLLOWED}: the first {FOLLOWING} of them",
            LEAK: "share of edits after which the judge sees the other attribute otherwise than before",
            OTHERS: "share of the remaining binary attributes that it sees otherwise",
            IN_TURN: "as InterFaceGAN does it (Shen et al. 2020): one condition after another; for a single condition "
            "it is the same as ours",
            "witness": "nobody"
            if witness is None
            else f"{witness.name}: no axis was fitted to it, and it was not followed, so it cannot be pleased",
            CURVED: "a small network from codes to the judge's verdicts is followed; it tells "
            f"{curved.told:.0%} of the variance of held-out logits",
            "goal": "the same score along the edited axis in every straight way",
        },
        claims=claims(figures),
        figures={"ways": {edited: {w: plain(f) for w, f in each.items()} for edited, each in figures.items()}}
        | {"correlations": {pair: plain(each) for pair, each in correlations.items()}},
    )
    for edited, other in PAIRS.items():
        outcome.pieces += [report.heading(f"{edited}, {other} to stay"), table(figures[edited])]
        outcome.show(f"{edited}", pictures(place, pack, curved, code, before, edited, other), f"{edited} turned over.")
    return outcome


def ways(place: Place, pack: AxisPack, curved: Curved, edited: str, other: str) -> dict[str, Moves]:
    """Return every way to edit an attribute: codes and a strength of 1 or -1 -> codes."""
    rivals = AxisEditor(place.model, pack).mutually_exclusive(edited)
    # What must give way to it is no lock: neither way is asked for the impossible.
    rest = [name for name in pack.names if name != edited and name not in rivals]

    def straight(locks: Sequence[str]) -> Moves:
        editor = AxisEditor(place.model, pack, locks=locks)
        return lambda code, strength: editor.own(editor.move(code, {edited: strength}))

    def following(guide: Guide) -> Moves:
        return lambda code, strength: follow(place.model, guide, code, {edited: strength}, locks=[other])[-1]

    return {
        ALONE: straight([]),
        ONE: straight([other]),
        ALL: straight(rest),
        IN_TURN: projected(place, pack, edited, rest),
        BACKWARDS: projected(place, pack, edited, rest[::-1]),
        FOLLOWED: following(guide_of(place.judge, place.model)),
        CURVED: following(curved),
    }


def projected(place: Place, pack: AxisPack, edited: str, conditions: Sequence[str]) -> Moves:
    """Return InterFaceGAN's way: along the axis with one condition after another taken out, to the same score."""
    editor, axis = AxisEditor(place.model, pack), pack.axis(edited)
    direction = conditional_projection(axis.direction, pack.rows(conditions))
    blank = place.model.schema.fill_value

    def move(code: Code, strength: float) -> Code:
        here = editor.space.coordinates(code, blank)
        score = here @ axis.direction
        wanted = (axis.high - score).clamp(min=0) if strength > 0 else (axis.low - score).clamp(max=0)
        there = here + (wanted / (direction @ axis.direction))[:, None] * direction
        return editor.space.code(there, code, blank)

    return move


def measured(
    place: Place,
    code: Code,
    before: Tensor,
    moves: Moves,
    edited: str,
    other: str,
    most: int,
    witness: Witness | None = None,
) -> dict[str, float]:
    """Edit the codes that need it, and count as the judge sees it, and as a witness does."""
    target, kept = place.column(edited), place.column(other)
    schema = place.judge.schema
    rest = [schema.columns(name).start for name in binary_names(schema) if name not in (edited, other)]
    old, now, goals = [], [], []
    began, ended = [], []
    for goal in (1.0, 0.0):
        rows = ((before[:most, target] > 0.5).double() != goal).nonzero()[:, 0]
        if len(rows):
            plain_code = Code(code.z[rows], code.attributes[rows])
            moved = moves(plain_code, 1.0 if goal else -1.0)
            if witness is not None:
                began.append(place.seen(plain_code, witness))
                ended.append(place.seen(moved, witness))
            old.append(before[rows])
            now.append(place.seen(moved))
            goals.append(torch.full((len(rows),), goal, dtype=torch.float64))
    then, after, goal_of = torch.cat(old), torch.cat(now), torch.cat(goals)
    changed = decisions(after, schema) != decisions(then, schema)
    seen = {WITNESSED: float("nan"), WITNESSED_LEAK: float("nan")}
    if witness is not None:
        first, last = ((torch.cat(each) > 0.5).double() for each in (began, ended))
        seen = {
            WITNESSED: float((last[:, target] == goal_of).double().mean()),
            WITNESSED_LEAK: float((last[:, kept] != first[:, kept]).double().mean()),
        }
    return seen | {
        REACHED: float(((after[:, target] > 0.5).double() == goal_of).double().mean()),
        LEAK: float(changed[:, kept].double().mean()),
        CHANGE: float((after[:, kept] - then[:, kept]).abs().mean()),
        OTHERS: float(changed[:, rest].double().mean()),
        "edits": float(len(after)),
    }


def claims(figures: Figures) -> list[Claim]:
    """Return the bars, held against the figures."""
    found = []
    for edited, other in PAIRS.items():
        each = figures[edited]
        for words, way_of in ((ONE, "straight"), (CURVED, "curved")):
            found += [
                more(
                    f"{edited}, {way_of}: with {other} locked, at most a fifth of the edits change {other} that did "
                    "straight without",
                    [each[ALONE][LEAK]],
                    [each[words][LEAK]],
                    source=SOURCE,
                    names=(f"{LEAK} without the lock", "with it"),
                    form=".1%",
                    counted=(int(each[ALONE]["edits"]), int(each[words]["edits"])),
                    times=1 / PART,
                ),
                at_least(
                    f"{edited}, {way_of}: with {other} locked at least 80 % of the edits reach their target",
                    [each[words][REACHED]],
                    LEAST_REACHED,
                    source=SOURCE,
                    name=REACHED,
                    form=".1%",
                    counted=int(each[words]["edits"]),
                ),
            ]
        found.append(
            more(
                f"{edited}: a witness sees the target of the straight way reached more often than that of the judge "
                "followed",
                [each[ONE][WITNESSED]],
                [each[FOLLOWED][WITNESSED]],
                source=SOURCE,
                names=("straight", "followed"),
                form=".1%",
                counted=(int(each[ONE]["edits"]), int(each[FOLLOWED]["edits"])),
            )
        )
    changed = [sum(figures[edited][words][OTHERS] for edited in PAIRS) / len(PAIRS) for words in (IN_TURN, ALL)]
    found.append(
        more(
            "With all others locked, one QR changes fewer of them than conditional projection",
            changed[:1],
            changed[1:],
            source=SOURCE,
            names=(f"{OTHERS} by projection", "by one QR"),
            form=".2%",
            counted=int(sum(figures[edited][ALL]["edits"] for edited in PAIRS)),
        )
    )
    return found


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures of one pair."""
    rows = [
        [report.text(words), *(report.percent(plain(each)[key]) for key in KEYS)] for words, each in figures.items()
    ]
    return report.table(["", *KEYS], rows, numbers=range(1, len(KEYS) + 1))


def pictures(
    place: Place, pack: AxisPack, curved: Curved, code: Code, before: Tensor, edited: str, other: str
) -> Image.Image:
    """Return a few drawn pictures, and what each way makes of them."""
    absent = (before[:, place.column(edited)] < 0.5).nonzero()[:SHOWN, 0]
    few = Code(code.z[absent], code.attributes[absent])
    rows, labels = [place.model.decode(few).cpu()], ["drawn"]
    for words, moves in ways(place, pack, curved, edited, other).items():
        rows.append(place.model.decode(moves(few, 1.0)).cpu())
        labels.append(words)
    return sheet(rows, labels=labels, cell=64, clear=True)
