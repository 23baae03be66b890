"""CycleGAN as an editor, one model for each attribute, beside HomoInterpGAN, one model for all groups."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import decisions
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.translation.model import Chain, CycleGANModel
from attrimorph.models.codes import Edits
from attrimorph.models.finding import named_parts
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.comparison import seconds_of
from attrimorph.reproductions.editors import Place, edited, interpolator, megabytes, place_of, plain, trained
from attrimorph.reproductions.group_edits import CHANGED, ERROR, FAR, REACHED, WRONG, figures_of, measured, number
from attrimorph.reproductions.outcome import Outcome, Request
from attrimorph.training.log import read_log

NAME = "translation"
ATTRIBUTES = ("Male", "Blond_Hair", "Young")
CYCLE, HOMO = "CycleGANs", "HomoInterpGAN"
ALL, ALONE = "all changes reached", "each change reached"
SIZE, SIZE_OF_ALL, TIME, TRAINING = (
    "MB for these attributes",
    "MB for all attributes",
    "milliseconds an image and change",
    "seconds of training",
)
TIMED, SHOWN = 64, 6


def run(request: Request) -> Outcome:
    """Measure CycleGANs one by one and in a chain, and HomoInterpGAN on the same images."""
    place = place_of(request, "homointerp-drawn-64")
    model, links, seconds = both(place)
    chain = Chain(links)
    names = [link.attribute for link in links]
    editors: dict[str, Edits] = {CYCLE: chain, HOMO: model}
    goals = chain_goals(place, names)
    figures = {name: measure(place, editor, names, model, goals) for name, editor in editors.items()}
    attributes = len(model.editable)
    figures[CYCLE] |= {SIZE: megabytes(links), SIZE_OF_ALL: megabytes(links) / len(links) * attributes}
    figures[HOMO] |= {SIZE: megabytes([model]), SIZE_OF_ALL: megabytes([model])}
    for name in editors:
        figures[name][TRAINING] = seconds[name]
    outcome = Outcome(
        name=NAME,
        title="One model for each attribute, or one for all",
        lead="CycleGAN learns one attribute a model, all or nothing; several make a chain. HomoInterpGAN moves every "
        "group with one model.",
        protocol={
            **place.protocol({HOMO: model}),
            **{f"CycleGAN {link.attribute}": f"{link.recipe.name}, sha256 {link.hash[:16]}" for link in links},
            "chain": f"all of {', '.join(names)} turned the other way, one after another, on {len(goals)} images",
            SIZE_OF_ALL: f"{attributes} attributes, one CycleGAN each, against the one model",
            TRAINING: "of the runs named, all CycleGANs together; their logs tell it, pauses left out",
        },
        claims=claims(figures, len(goals)),
        figures={name: plain(each) for name, each in figures.items()},
    )
    head = ["", *figures[CYCLE]]
    rows = [[report.text(name), *(number(value) for value in plain(each).values())] for name, each in figures.items()]
    outcome.pieces.append(report.table(head, rows, numbers=range(1, len(head))))
    show(outcome, place, chain, model, goals)
    return outcome


def both(place: Place) -> tuple[InterpolationModel, list[CycleGANModel], dict[str, float]]:
    """Return HomoInterpGAN, the CycleGANs, and how long each method trained; those that were named, or trained.

    Raises:
        AttrimorphError: models were named, no CycleGAN among them.
    """
    runs: dict[str, list[Path]] = {CYCLE: [], HOMO: []}
    if place.given:
        named = zip(place.given, map(Path, named_parts(str(place.request.model))), strict=True)
        links = []
        for model, path in named:
            if isinstance(model, CycleGANModel):
                links.append(model)
                runs[CYCLE].append(path)
            elif isinstance(model, InterpolationModel):
                runs[HOMO].append(path)
        if not links:
            raise AttrimorphError("some of the models must be CycleGANs; got none; add them, with commas")
    else:
        runs[CYCLE] = [
            trained(place, "cyclegan-64", name=f"cyclegan-{name}", domains__attribute=name) for name in ATTRIBUTES
        ]
        loaded = [load(run, place.request.device) for run in runs[CYCLE]]
        links = [link for link in loaded if isinstance(link, CycleGANModel)]
    seconds = {name: sum(seconds_of_run(run) for run in each) or float("nan") for name, each in runs.items()}
    return interpolator(place), links, seconds


def seconds_of_run(run: Path) -> float:
    """Return how long a run trained; NaN of a model file without its run."""
    lines = [line for line in read_log(run) if "images_per_second" in line] if run.is_dir() else []
    return seconds_of(lines)[-1] if lines else float("nan")


def chain_goals(place: Place, names: Sequence[str]) -> Tensor:
    """Return the images whose chain is measured: those where all of these attributes can be turned, [N] rows.

    A member of an exclusive group is only set: a chain starts where it is absent.
    """
    labels, schema = place.unseen.labels, place.judge.schema
    rows = torch.ones(len(labels), dtype=torch.bool)
    for name in names:
        column = labels[:, schema.columns(name).start]
        rows &= ~column.isnan()
        if any(name in group for group in schema.exclusive):
            rows &= column == 0
    return rows.nonzero()[:, 0]


def turned(place: Place, editor: Edits, names: Sequence[str], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Turn attributes of some images the other way, all in one edit: (images, goals [N, names] in {0, 1})."""
    labels, schema = place.unseen.labels.nan_to_num(0.0), place.judge.schema
    goals = torch.stack([1 - labels[rows, schema.columns(name).start] for name in names], 1)
    made = torch.empty(len(rows), 3, place.size, place.size)
    for goal in torch.unique(goals, dim=0):
        chosen = (goals == goal).all(1)
        changes = {name: 1.0 if value else -1.0 for name, value in zip(names, goal.tolist(), strict=True)}
        made[chosen] = edited(editor, place.unseen.images[rows[chosen]], changes, labels[rows[chosen]])
    return made, goals


def measure(
    place: Place, editor: Edits, names: Sequence[str], model: InterpolationModel, rows: Tensor
) -> dict[str, float]:
    """Measure single edits of the attributes, all of them at once, and the time that an edit takes."""
    measures = measured(place, editor, names)
    each = [figures_of(place, flip, model.groups) for flip in measures.flips]
    figures = {
        key: float(torch.tensor([one[key] for one in each]).nanmean()) for key in (REACHED, CHANGED, WRONG, ERROR, FAR)
    }
    if len(rows):
        made, goals = turned(place, editor, names, rows)
        columns = [place.judge.schema.columns(name).start for name in names]
        right = decisions(place.judge(made), place.judge.schema)[:, columns] == goals
        figures |= {ALL: float(right.all(1).double().mean()), ALONE: float(right.double().mean())}
    else:
        figures |= {ALL: float("nan"), ALONE: float("nan")}
    images, labels = place.unseen.images[:TIMED], place.unseen.labels[:TIMED].nan_to_num(0.0)
    begin = time.perf_counter()
    for name in names:
        # Labels that lack the attribute make every image change.
        asked = labels.clone()
        asked[:, place.judge.schema.columns(name).start] = 0
        edited(editor, images, {name: 1.0}, asked)
    return figures | {TIME: 1e3 * (time.perf_counter() - begin) / (len(images) * len(names))}


def claims(figures: Mapping[str, Mapping[str, float]], counted: int) -> list[Claim]:
    """Return what one model for all promises, held against the figures, which are shares of `counted` images."""
    mine, theirs = figures[HOMO], figures[CYCLE]
    names = (HOMO, CYCLE)
    found = [
        more(words, [mine[key]], [theirs[key]], source="ours", names=names, form=".1%", counted=counted)
        for words, key in (
            ("HomoInterpGAN reaches the target of single edits more often than CycleGANs", REACHED),
            ("It reaches all targets of a chain of edits more often", ALL),
        )
    ]
    for words, key, images in (
        ("It changes fewer attributes of other groups", CHANGED, counted),
        ("It is smaller than a CycleGAN for each attribute", SIZE_OF_ALL, None),
    ):
        found.append(more(words, [theirs[key]], [mine[key]], source="ours", names=names[::-1], counted=images))
    return found


def show(outcome: Outcome, place: Place, chain: Chain, model: InterpolationModel, rows: Tensor) -> None:
    """Put the in-between images of chains on the page, above what HomoInterpGAN makes of the same changes."""
    names = list(chain.links)
    labels, schema = place.unseen.labels.nan_to_num(0.0), place.judge.schema
    for order, row in enumerate(sorted(rows.tolist(), key=lambda row: _wished(labels[row], schema, names))[:SHOWN], 1):
        image, y = place.unseen.images[row : row + 1], labels[row : row + 1]
        changes = {name: -1.0 if y[0, schema.columns(name).start] > 0.5 else 1.0 for name in names}
        asked = [dict(list(changes.items())[:count]) for count in range(len(names) + 1)]
        lines = {
            CYCLE: torch.cat([stage.cpu() for stage in chain.stages(image, changes, y)]),
            HOMO: torch.cat([model.edit(image, some, y).cpu() for some in asked]),
        }
        if place.unseen.factors is not None:
            lines["truth"] = _truths(place.unseen.factors[row : row + 1], changes, place.size)
        columns = ["input", *(f"{name} {strength:+g}" for name, strength in changes.items())]
        picture = sheet(list(lines.values()), columns=columns, labels=list(lines), cell=96, clear=True)
        outcome.show(f"chain-{order}", picture, ", then ".join(columns[1:]))


def _wished(y: Tensor, schema: Any, names: Sequence[str]) -> float:
    """Return 0 for the published picture, (man, not blond, not young), more for others."""
    published = {"Male": 1.0, "Blond_Hair": 0.0, "Young": 0.0}
    return sum(abs(float(y[schema.columns(name).start]) - published.get(name, 0.0)) for name in names)


def _truths(factors: Tensor, changes: Mapping[str, float], size: int) -> Tensor:
    drawn = [faces.render(factors, size)]
    for name, strength in changes.items():
        factors = faces.set_attribute(factors, name, strength > 0)
        drawn.append(faces.render(factors, size))
    return torch.cat(drawn)
