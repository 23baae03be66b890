"""Edits of HomoInterpGAN on faces that nobody trained on: reached, other groups left alone, near the truth."""

from collections.abc import Mapping, Sequence

import torch

from attrimorph.evaluators.attributes import binary_names, decisions
from attrimorph.metrics.counterfactuals import DISTANCE, PSNR
from attrimorph.metrics.edits import SHOWN, EditMeasures, Flips, measure_edits
from attrimorph.metrics.evaluate.edits import finite_mean
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.models.codes import Edits
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, at_least, at_most, more
from attrimorph.reproductions.editors import Place, cvae_gan, edited, interpolator, one_of_each, place_of, plain
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "group-edits"
HOMO, CVAE = "HomoInterpGAN", "CVAE-GAN"
REACHED, CHANGED, WRONG, OWN = "target reached", "other groups changed", "other groups wrong", "own group wrong"
ERROR, FAR, SECONDS = (
    "PSNR against the true counterfactual in dB",
    "perceptual distance from it",
    "seconds an edit, judged",
)
LEAST_REACHED, MOST_CHANGED = 0.9, 0.05
CLOSE = 40  # edits of each attribute and direction that are held against the truth
SOURCE = "our bar"

Groups = Mapping[str, Sequence[str]]


def run(request: Request) -> Outcome:
    """Turn every attribute of the same images the other way with both methods."""
    place = place_of(request, "homointerp-drawn-64")
    model, other = interpolator(place), cvae_gan(place)
    names = model.editable
    editors: dict[str, Edits] = {HOMO: model, **({} if other is None else {CVAE: other})}
    measures = {name: measured(place, editor, names) for name, editor in editors.items()}
    figures = {name: summary(place, each, model.groups) for name, each in measures.items()}
    outcome = Outcome(
        name=NAME,
        title="Edits of single groups",
        lead="An edit should reach its target, leave the attributes of other groups alone, and look like the truth.",
        protocol={
            **place.protocol({HOMO: model, CVAE: other}),
            "edits": f"every attribute set where it is absent, taken away where it is present; {', '.join(names)}",
            "groups": "; ".join(f"{name}: {', '.join(group)}" for name, group in model.groups.items()),
            CHANGED: "share of the binary attributes of other groups judged otherwise than before the edit (on the "
            "image as the method makes it with no change)",
            WRONG: "share of them that are not as they are in the true counterfactual",
        },
        claims=claims(figures, int(measures[HOMO].truth.edits.sum())),
        figures={"methods": {name: plain(each) for name, each in figures.items()}}
        | {"attributes": {name: by_attribute(place, each, model.groups) for name, each in measures.items()}},
    )
    rows = [
        [report.text(name), *(report.percent(each[key]) for key in (REACHED, CHANGED, WRONG, OWN)),
         *(number(each[key]) for key in (ERROR, FAR, SECONDS))]
        for name, each in ((name, plain(each)) for name, each in figures.items())
    ]  # fmt: skip
    head = ["", REACHED, CHANGED, WRONG, OWN, ERROR, FAR, SECONDS]
    outcome.pieces.append(report.table(head, rows, numbers=range(1, len(head))))
    show(outcome, place, measures, one_of_each(model))
    return outcome


def number(value: float | None) -> str:
    """Write a figure, a dash where there is none."""
    return "–" if value is None else f"{value:.3g}"


def measured(place: Place, editor: Edits, names: Sequence[str], close: int = CLOSE) -> EditMeasures:
    """Edit every attribute of all images, either way, and let the judge look."""
    unseen = place.unseen
    labels = unseen.labels.nan_to_num(0.0)
    unchanged = edited(editor, unseen.images, {}, labels)
    return measure_edits(
        editor,
        unseen,
        place.judge,
        decisions(place.judge(unchanged), place.judge.schema),
        names=names,
        counterfactuals=close,
        extractor=JudgeFeatures(place.judge),
        reconstructions=unchanged,
        progress=place.request.say,
    )


def summary(place: Place, measures: EditMeasures, groups: Groups) -> dict[str, float]:
    """Return the mean figures over attributes."""
    rows = [figures_of(place, flip, groups) for flip in measures.flips]
    means = {key: float(torch.tensor([row[key] for row in rows]).nanmean()) for key in rows[0]}
    return means | {SECONDS: measures.seconds / max(1, int(measures.truth.edits.sum()))}


def figures_of(place: Place, flip: Flips, groups: Groups) -> dict[str, float]:
    """Return the figures of one attribute's edits; NaN where there is no such attribute or no truth."""
    schema = place.judge.schema
    own = next((group for group in groups.values() if flip.name in group), (flip.name,))
    binary = binary_names(schema)
    others = [schema.columns(name).start for name in binary if name not in own]
    rest = [schema.columns(name).start for name in binary if name in own and name != flip.name]
    target = schema.columns(flip.name).start
    judged, expected = flip.joined(lambda way: way.judged), flip.joined(lambda way: way.expected)
    unmoved = flip.joined(lambda way: way.unmoved)
    return {
        REACHED: float((judged[:, target] == expected[:, target]).double().mean()),
        CHANGED: float((judged[:, others] != unmoved[:, others]).double().mean()),
        WRONG: float((judged[:, others] != expected[:, others]).double().mean()),
        OWN: float((judged[:, rest] != expected[:, rest]).double().mean()),
        ERROR: finite_mean(flip.figure(PSNR)),
        FAR: finite_mean(flip.figure(DISTANCE)),
    }


def by_attribute(place: Place, measures: EditMeasures, groups: Groups) -> dict[str, dict[str, float | None]]:
    """Return the figures of every attribute, for results.json."""
    return {flip.name: plain(figures_of(place, flip, groups)) for flip in measures.flips}


def claims(figures: Mapping[str, Mapping[str, float]], edits: int) -> list[Claim]:
    """Return the bars, held against the figures of so many edits."""
    mine = figures[HOMO]
    theirs = [figures[CVAE]] if CVAE in figures else []
    found = [
        at_least("HomoInterpGAN's edits reach their target in at least 90 % of cases", [mine[REACHED]], LEAST_REACHED,
                 source=SOURCE, name=REACHED, form=".1%", counted=edits),
        at_most("They change at most 5 % of the attributes of other groups", [mine[CHANGED]], MOST_CHANGED,
                source=SOURCE, name=CHANGED, form=".2%", counted=edits),
    ]  # fmt: skip
    names = (HOMO, CVAE)
    for words, key, sign in (
        ("They are nearer to the true counterfactual than CVAE-GAN's, in pixels", ERROR, 1),
        ("They are nearer to the true counterfactual than CVAE-GAN's, as the judge sees it", FAR, -1),
    ):
        high, low = [mine[key] for _ in theirs], [each[key] for each in theirs]
        if sign > 0:
            found.append(more(words, high, low, source=SOURCE, names=names))
        else:
            found.append(more(words, low, high, source=SOURCE, names=names[::-1]))
    return found


def show(outcome: Outcome, place: Place, measures: Mapping[str, EditMeasures], names: Sequence[str]) -> None:
    """Put the first edits of some attributes on the page: input, each method's, the truth."""
    for flips in zip(*(each.flips for each in measures.values()), strict=True):
        if flips[0].name not in names:
            continue
        rows = []
        for ways in zip(*(flip.ways for flip in flips), strict=True):
            columns = [ways[0].shown[:, 0], *(way.shown[:, 1] for way in ways), *ways[0].shown[:, 2:].unbind(1)]
            rows.append(torch.stack(columns, 1).flatten(0, 1))
        words = ["input", *measures, "truth"][: len(measures) + (2 if place.unseen.factors is not None else 1)]
        picture = sheet(rows, columns=words * SHOWN, cell=80, clear=True)
        outcome.show(f"edit-{flips[0].name}", picture, flips[0].name)
