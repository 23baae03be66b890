"""Edits of HomoInterpGAN, CVAE-GAN and a chain of CycleGANs on faces that nobody trained on, held to the truth."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.translation.model import Chain, CycleGANModel
from attrimorph.metrics.edits import DISTANCE, PSNR, SHOWN, EditMeasures, measure_edits
from attrimorph.metrics.evaluate.edits import finite_mean
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.models import named_parts
from attrimorph.models.model import Edits, decisions
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import (
    BACK,
    DECODED,
    EditContext,
    both_ways,
    edit_context,
    edited,
    one_of_each,
    turning,
)
from attrimorph.reproductions.frame import (
    Claim,
    Figures,
    Outcome,
    Request,
    claim,
    describe,
    outcome_of,
    plain,
    seconds_of,
)
from attrimorph.training.folder import read_log

# --- single groups

HOMO, CVAE = "HomoInterpGAN", "CVAE-GAN"
REACHED, CHANGED, WRONG, OWN = "target reached", "other groups changed", "other groups wrong", "own group wrong"
ERROR, FAR, SECONDS = (
    "PSNR against the true counterfactual in dB",
    "perceptual distance from it",
    "seconds an edit, judged",
)
SHARES = dict.fromkeys((REACHED, CHANGED, WRONG, OWN), "%")
LEAST_REACHED, MOST_CHANGED = 0.9, 0.05

Groups = Mapping[str, Sequence[str]]


def run(request: Request) -> Outcome:
    """Turn every attribute of the same images the other way with both methods."""
    context = edit_context(request)
    model, other = context.interpolator(), context.cvae_gan()
    editors = both_ways({HOMO: model, **({} if other is None else {CVAE: other})})
    measures = {name: measured(context, editor, model.editable) for name, editor in editors.items()}
    figures = {name: summary(each, model.groups) for name, each in measures.items()}
    outcome = outcome_of(
        "group-edits",
        claims(figures, measures[BACK.format(HOMO)].count),
        {
            "methods": {name: plain(each) for name, each in figures.items()},
            "attributes": {
                name: {edited: plain(figures_of(each, edited, model.groups)) for edited in each.names}
                for name, each in measures.items()
            },
        },
        context.protocol({HOMO: model, CVAE: other}),
        mine=model.images_seen, theirs=other.images_seen if other else 0, attributes=", ".join(model.editable),
        groups="; ".join(f"{name}: {', '.join(group)}" for name, group in model.groups.items()),
    )  # fmt: skip
    outcome.pieces.append(report.figures(figures, forms=SHARES))
    words = ["input", *measures, *(["truth"] if context.unseen.factors is not None else [])]
    for name in (name for name in measures[BACK.format(HOMO)].names if name in one_of_each(model)):
        rows = []
        for sides in zip(*(each.of(name) for each in measures.values()), strict=True):
            first = sides[0].shown
            columns = [first[:, 0], *(side.shown[:, 1] for side in sides), *first[:, 2:].unbind(1)]
            rows.append(torch.stack(columns, 1).flatten(0, 1))
        outcome.sheet(f"edit-{name}", rows, name, columns=words * SHOWN, cell=80)
    return outcome


def measured(context: EditContext, editor: Edits, names: Sequence[str]) -> EditMeasures:
    """Edit every attribute of all images, either way, and let the judge look."""
    unseen = context.unseen
    labels = unseen.labels.nan_to_num(0.0)
    unchanged = edited(editor, unseen.images, {}, labels)
    return measure_edits(
        editor,
        replace(unseen, reconstructions=unchanged),
        context.judge,
        decisions(context.judge(unchanged), context.judge.schema),
        names=names,
        counterfactuals=context.request.form.close,
        extractor=JudgeFeatures(context.judge),
        progress=context.request.say,
    )


def summary(measures: EditMeasures, groups: Groups) -> dict[str, float]:
    """Return the mean figures over attributes."""
    rows = [figures_of(measures, name, groups) for name in measures.names]
    means = {key: float(torch.tensor([row[key] for row in rows]).nanmean()) for key in rows[0]}
    return means | {SECONDS: measures.seconds / max(1, measures.count)}


def figures_of(measures: EditMeasures, name: str, groups: Groups) -> dict[str, float]:
    """Return the figures of one attribute's edits; NaN where there is no such attribute or no truth."""
    group = next((group for group in groups.values() if name in group), (name,))
    others = [column for column, other in enumerate(measures.judged) if other not in group]
    rest = [column for column, other in enumerate(measures.judged) if other in group and other != name]
    wrong, moved = (measures.joined(part, name).double() for part in (lambda each: each.wrong, lambda each: each.moved))
    return {
        REACHED: measures.mean(lambda each: each.reached, name),
        CHANGED: float(moved[:, others].mean()),
        WRONG: float(wrong[:, others].mean()),
        OWN: float(wrong[:, rest].mean()),
        ERROR: finite_mean(measures.figure(PSNR, name)),
        FAR: finite_mean(measures.figure(DISTANCE, name)),
    }


def claims(figures: Figures, edits: int) -> list[Claim]:
    """Return the bars, held against the figures of so many edits."""
    mine = figures[BACK.format(HOMO)]

    def pair(way: str, key: str) -> tuple[list[float], list[float]]:
        homo, cvae = (way.format(name) for name in (HOMO, CVAE))
        return ([figures[homo][key]], [figures[cvae][key]]) if cvae in figures else ([], [])

    found = [
        claim("group-edits", "reached", mine[REACHED], LEAST_REACHED, counted=edits),
        claim("group-edits", "others", mine[CHANGED], MOST_CHANGED, counted=edits),
    ]
    for way, words in ((BACK, "Put back"), (DECODED, "As decoded")):
        found.append(claim("group-edits", "pixels", *pair(way, ERROR), way=words))
        found.append(claim("group-edits", "judged", *pair(way, FAR)[::-1], way=words))
    return found


# --- one model for each attribute, or one for all

ATTRIBUTES = ("Male", "Blond_Hair", "Young")
CYCLE = "CycleGANs"
ALL, ALONE = "all changes reached", "each change reached"
SIZE, SIZE_OF_ALL, TIME, TRAINING = (
    "MB for these attributes",
    "MB for all attributes",
    "milliseconds an image and change",
    "seconds of training",
)
TIMED, CHAINS = 64, 6
ALIKE = 0.1  # of the longer training: so much longer is as long


def translation(request: Request) -> Outcome:
    """Measure CycleGANs one by one and in a chain, and HomoInterpGAN on the same images."""
    context = edit_context(request)
    model, links, seconds = both(context)
    chain, names = Chain(links), [link.attribute for link in links]
    goals, attributes = chain_goals(context, names), len(model.editable)
    size, sizes = (sum(len(each.to_bytes()) for each in parts) / 1e6 for parts in ([model], links))
    costs = {
        CYCLE: {SIZE: sizes, SIZE_OF_ALL: sizes / len(links) * attributes, TRAINING: seconds[CYCLE]},
        HOMO: {SIZE: size, SIZE_OF_ALL: size, TRAINING: seconds[HOMO]},
    }
    editors = both_ways({CYCLE: chain, HOMO: model})
    figures = {
        way.format(name): measure(context, editors[way.format(name)], names, model, goals) | cost
        for way in (DECODED, BACK)
        for name, cost in costs.items()
    }
    images = {CYCLE: sum(link.images_seen for link in links), HOMO: model.images_seen}
    fair = alike(*images.values()) or alike(*seconds.values())
    outcome = outcome_of(
        "translation",
        translation_claims(figures, len(goals), fair),
        {name: plain(each) for name, each in figures.items()},
        {**context.protocol({HOMO: model}), **{f"CycleGAN {link.attribute}": describe(link) for link in links}},
        names=", ".join(names), goals=len(goals), attributes=attributes, theirs=images[CYCLE], mine=images[HOMO],
        fair="yes" if fair else "no: no verdict on what they learned", alike=ALIKE,
    )  # fmt: skip
    outcome.pieces.append(report.figures(figures))
    show_chains(outcome, context, editors, names, goals)
    return outcome


def both(context: EditContext) -> tuple[InterpolationModel, list[CycleGANModel], dict[str, float]]:
    """Return HomoInterpGAN, the CycleGANs, and how long each method trained; those that were named, or trained.

    Trained ones see as many images together as HomoInterpGAN alone.

    Raises:
        AttrimorphError: models were named, no CycleGAN among them.
    """
    if context.given:
        runs = [Path(part) for part in named_parts(str(context.request.model))]
        given = list(zip(context.given, runs, strict=True))
    else:
        whole = context.interpolator().images_seen
        context = replace(context, request=replace(context.request, images=whole // len(ATTRIBUTES)))
        runs = [context.trained("cyclegan-64", f"cyclegan-{name}", {"domains.attribute": name}) for name in ATTRIBUTES]
        given = [(load(run, context.request.device), run) for run in runs]
    links = [model for model, _ in given if isinstance(model, CycleGANModel)]
    if not links:
        raise AttrimorphError("some of the models must be CycleGANs; got none; add them, with commas")
    seconds = {
        name: sum(seconds_of_run(run) for model, run in given if isinstance(model, kind)) or float("nan")
        for name, kind in ((CYCLE, CycleGANModel), (HOMO, InterpolationModel))
    }
    return context.interpolator(), links, seconds


def seconds_of_run(run: Path) -> float:
    """Return how long a run trained; NaN of a model file without its run."""
    lines = [line for line in read_log(run) if "images_per_second" in line] if run.is_dir() else []
    return seconds_of(lines)[-1] if lines else float("nan")


def chain_goals(context: EditContext, names: Sequence[str]) -> Tensor:
    """Return the images whose chain is measured: those where all of these attributes can be turned, [N] rows.

    A member of an exclusive group is only set: a chain starts where it is absent.
    """
    labels, schema = context.unseen.labels, context.judge.schema
    rows = torch.ones(len(labels), dtype=torch.bool)
    for name in names:
        column = labels[:, schema.columns(name).start]
        rows &= ~column.isnan()
        if any(name in group for group in schema.exclusive):
            rows &= column == 0
    return rows.nonzero()[:, 0]


def turned(context: EditContext, editor: Edits, names: Sequence[str], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Turn attributes of some images the other way, all in one edit: (images, goals [N, names] in {0, 1})."""
    labels, schema = context.unseen.labels.nan_to_num(0.0), context.judge.schema
    goals = torch.stack([1 - labels[rows, schema.columns(name).start] for name in names], 1)
    made = torch.empty(len(rows), 3, context.size, context.size)
    for goal in torch.unique(goals, dim=0):
        chosen = (goals == goal).all(1)
        changes = {name: 1.0 if value else -1.0 for name, value in zip(names, goal.tolist(), strict=True)}
        made[chosen] = edited(editor, context.unseen.images[rows[chosen]], changes, labels[rows[chosen]])
    return made, goals


def measure(
    context: EditContext, editor: Edits, names: Sequence[str], model: InterpolationModel, rows: Tensor
) -> dict[str, float]:
    """Measure single edits of the attributes, all of them at once, and the time that an edit takes."""
    measures = measured(context, editor, names)
    each = [figures_of(measures, name, model.groups) for name in measures.names]
    figures = {
        key: float(torch.tensor([one[key] for one in each]).nanmean()) for key in (REACHED, CHANGED, WRONG, ERROR, FAR)
    }
    if len(rows):
        made, goals = turned(context, editor, names, rows)
        columns = [context.column(name) for name in names]
        right = decisions(context.judge(made), context.judge.schema)[:, columns] == goals
        figures |= {ALL: float(right.all(1).double().mean()), ALONE: float(right.double().mean())}
    else:
        figures |= {ALL: float("nan"), ALONE: float("nan")}
    images, labels = context.unseen.images[:TIMED], context.unseen.labels[:TIMED].nan_to_num(0.0)
    begin = time.perf_counter()
    for name in names:
        # Labels that lack the attribute make every image change.
        asked = labels.clone()
        asked[:, context.column(name)] = 0
        edited(editor, images, {name: 1.0}, asked)
    return figures | {TIME: 1e3 * (time.perf_counter() - begin) / (len(images) * len(names))}


def alike(one: float, other: float) -> bool:
    """Return whether two lengths of training are equal enough to compare what was learned; never where one is NaN."""
    return abs(one - other) <= ALIKE * max(one, other)


def translation_claims(figures: Figures, counted: int, fair: bool) -> list[Claim]:
    """Return what one model for all promises, held against the figures.

    Args:
        figures: by method and way.
        counted: images of which they are shares.
        fair: whether the methods were trained equally long: else there is no verdict on what they learned.
    """
    found = []
    for way, words in ((DECODED, "As decoded"), (BACK, "Put back")):
        mine, theirs = figures[way.format(HOMO)], figures[way.format(CYCLE)]
        for key, name in (("single", REACHED), ("chain", ALL), ("others", CHANGED)):
            values = ([mine[name]], [theirs[name]]) if fair else ([], [])
            # Of changes in other groups CycleGANs' are to be more.
            pair = values[::-1] if key == "others" else values
            found.append(claim("translation", key, *pair, counted=counted, way=words))
    sizes = (figures[DECODED.format(name)][SIZE_OF_ALL] for name in (CYCLE, HOMO))
    return [*found, claim("translation", "size", *sizes)]


def show_chains(
    outcome: Outcome, context: EditContext, editors: Mapping[str, Edits], names: Sequence[str], rows: Tensor
) -> None:
    """Put the in-between images of chains on the page, beside what HomoInterpGAN makes of the same changes."""
    labels = context.unseen.labels.nan_to_num(0.0)
    published = {"Male": 1.0, "Blond_Hair": 0.0, "Young": 0.0}  # (man, not blond, not young): such come first

    def distance(row: int) -> float:
        return sum(abs(float(labels[row, context.column(name)]) - published.get(name, 0.0)) for name in names)

    for order, row in enumerate(sorted(rows.tolist(), key=distance)[:CHAINS], 1):
        image, y = context.unseen.images[row : row + 1], labels[row : row + 1]
        changes = {name: turning(float(y[0, context.column(name)]) > 0.5) for name in names}
        asked = [dict(list(changes.items())[:count]) for count in range(len(names) + 1)]
        lines = {
            way: torch.cat([editor.edit(image, some, y).cpu() for some in asked]) for way, editor in editors.items()
        }
        if context.unseen.factors is not None:
            factors = [context.unseen.factors[row : row + 1]]
            for name, strength in changes.items():
                factors.append(faces.set_attribute(factors[-1], name, strength > 0))
            lines["truth"] = torch.cat([faces.render(each, context.size) for each in factors])
        columns = ["input", *(f"{name} {strength:+g}" for name, strength in changes.items())]
        caption = ", then ".join(columns[1:])
        outcome.sheet(f"chain-{order}", list(lines.values()), caption, columns=columns, labels=list(lines), cell=96)
