"""Photographs through inversion and axes: target reached, identity kept, and how far from the true counterfactual."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.choosing import judge_named
from attrimorph.applications.axes.editor import AxisEditor, Remembered
from attrimorph.applications.axes.seen import REACH, picture_gram
from attrimorph.applications.detail import blended
from attrimorph.applications.inversion.invert import inversion
from attrimorph.applications.options import Search
from attrimorph.data.drawn import faces
from attrimorph.data.prepare import open_or_prepare
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import binary_names, decisions
from attrimorph.evaluators.default_evaluators import identity_encoder_for
from attrimorph.evaluators.judge import Judge
from attrimorph.loading import load
from attrimorph.metrics.counterfactuals import BACKGROUND_DRIFT, DISTANCE, IDENTITY, PSNR, TRUE_IDENTITY
from attrimorph.metrics.edits import SHOWN, EditMeasures, measure_edits
from attrimorph.metrics.evaluation_set import EvaluationSet, held_out_images
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.reconstruction import psnr
from attrimorph.models.codes import Code
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.axes_place import SOURCE, Place, place_of, plain
from attrimorph.reproductions.claims import Claim, at_least, more
from attrimorph.reproductions.face_models import told, unseen_faces
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "photographs"
FACES, STEPS, CLOSE = 200, 200, 40
LOCKS = ("Male", "Young")
FOUND, COMPOSED = "the generator's picture", "put back into the photograph"
IN_CODES = "put back, the shortest way of codes"
REACHED, CHANGED, WRONG, NOTHING = "target reached", "others changed", "others wrong", "PSNR of no edit"
LEAST_REACHED, DRIFT = 0.8, 0.1
PICTURES = ("Smiling", "Eyeglasses", "No_Beard", "Young", "Gray_Hair", "Wearing_Hat")


@dataclass(frozen=True)
class Composed:
    """Edits of photographs along axes, the change put back into the photograph.

    Attributes:
        editor: along axes.
    """

    editor: AxisEditor

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Return the photographs edited; see `AxisEditor.edit`."""
        found = self.editor.decode(self.editor.encode(images)).cpu()
        return blended(images, found, self.editor.edit(images, changes).cpu())


def run(request: Request) -> Outcome:
    """Invert unseen faces, turn every attribute over along its axis, and hold the results against the truth."""
    place, unseen = subjects(request)
    pack = place.pack()
    drawn = unseen.factors is not None
    request.say(f"inverting {len(unseen.images)} photographs")
    code, found, seconds = invert(place, unseen)
    locks = [name for name in LOCKS if name in pack.names]
    known = Remembered(unseen.images, code)
    editor = AxisEditor(place.model, pack, locks=locks, invert=known, gram=picture_gram(place.model))
    plainly = AxisEditor(place.model, pack, locks=locks, invert=known)
    names = [name for name in binary_names(place.judge.schema) if name in pack.names]
    # What a change is counted from: the generator's picture of the photograph, or the photograph.
    measures = {
        FOUND: measured(place, unseen, editor, found, names),
        COMPOSED: measured(place, unseen, Composed(editor), unseen.images, names),
        IN_CODES: measured(place, unseen, Composed(plainly), unseen.images, names),
    }
    figures = {words: summary(place, unseen, each) for words, each in measures.items()}
    outcome = Outcome(
        name=NAME,
        title="Photographs along axes",
        lead="A photograph becomes a code by inversion, moves along an axis, and gets its own detail back.",
        protocol={
            **place.protocol(),
            "photographs": unseen.words,
            "axes": f"{len(pack.names)}, from {pack.about['samples']:,} judged samples",
            "inversion": f"{STEPS} steps of Adam, attributes unknown; {seconds:.1f} s; PSNR "
            f"{float(psnr(found, unseen.images).mean()):.2f} dB",
            "edits": "every attribute set where it is absent (strength 1), taken away where it is present (-1), "
            f"{' and '.join(locks) or 'nothing'} locked; the first {CLOSE} of each are held against the truth",
            CHANGED: "share of the other binary attributes that the judge sees otherwise than before the edit",
            WRONG: "share of them that are not as they truly should be",
            FOUND: "before is the picture of the code, not the photograph",
            "the way": f"the one that changes the picture least, {REACH:g} times as far as among drawn pictures; "
            f"'{IN_CODES}': the plain one",
        },
        claims=claims(figures, drawn, int(measures[COMPOSED].truth.edits.sum())),
        figures={"ways": {words: plain(each) for words, each in figures.items()}}
        | {"attributes": {words: by_attribute(each) for words, each in measures.items()}}
        | {"inversion": {"PSNR": float(psnr(found, unseen.images).mean()), "seconds": seconds}},
    )
    outcome.pieces += [table(figures), attributes_table(measures)]
    if drawn:
        # Photographs of people are told of as aggregates alone.
        outcome.show("found", found_sheet(unseen, found), "Photographs, and the nearest pictures of the generator.")
        for name in PICTURES:
            picture = edits_sheet(measures, name)
            if picture is not None:
                outcome.show(f"edit-{name}", picture, name)
    return outcome


def subjects(request: Request) -> tuple[Place, EvaluationSet]:
    """Return the generator with its judge, and the photographs: drawn ones, or those of a data set held out.

    Raises:
        AttrimorphError: other data without a model of them.
    """
    if request.data is None:
        place = place_of(request)
        # Not the first ones: on some of those PLAIN and REACH of `axes.seen` were chosen.
        return place, unseen_faces(request, place.model.image_size).last(FACES)
    if request.model is None:
        raise AttrimorphError("photographs of other data need a generator of such data; name one with --model")
    model = load(request.model, request.device)
    data = open_or_prepare(
        request.data, model.image_size, progress=lambda done, total: request.progress("preparing", done, total)
    )
    judge = judge_named(request.other_model, model)
    unseen = held_out_images(data, min(FACES, request.form.unseen))
    if data.schema != judge.schema:
        raise AttrimorphError(
            f"the data must have the attributes that {judge.name} knows; they have others; name a judge with "
            "--other-model"
        )
    if data.schema != faces.SCHEMA:
        unseen = replace(unseen, factors=None, masks=None)
    return Place(request, model, judge, told(model)), unseen


def invert(place: Place, unseen: EvaluationSet) -> tuple[Code, Tensor, float]:
    """Return the photographs' codes, the generator's pictures of them, and the seconds that it took."""
    request = place.request
    found = inversion(
        place.model,
        unseen.images,
        search=Search(STEPS, within=1.0),
        progress=lambda done, total: request.progress("inverting", done, total),
    )
    parts = zip(torch.split(found.code.z, 100), torch.split(found.code.attributes, 100), strict=True)
    pictures = torch.cat([place.model.decode(Code(z, y)).cpu() for z, y in parts])
    return Code(found.code.z.cpu(), found.code.attributes.cpu()), pictures, found.seconds


def measured(
    place: Place, unseen: EvaluationSet, editor: AxisEditor | Composed, before: Tensor, names: list[str]
) -> EditMeasures:
    """Turn every attribute over; `before` [N, 3, S, S] is without an edit."""
    schema = place.judge.schema
    return measure_edits(
        editor,
        unseen,
        place.judge,
        decisions(place.judge(before).cpu(), schema),
        names=names,
        counterfactuals=CLOSE,
        identity_encoder=identity_encoder_for(schema, place.model.image_size),
        extractor=JudgeFeatures(place.judge) if isinstance(place.judge, Judge) else None,
        reconstructions=before,
        progress=place.request.say,
    )


def summary(place: Place, unseen: EvaluationSet, measures: EditMeasures) -> dict[str, float]:
    """Return means over the attributes; NaN for what nobody could measure."""
    found = {
        REACHED: float(measures.truth.target_reached.mean()),
        CHANGED: float(measures.drift.leakage.mean()),
        WRONG: float(measures.truth.leakage.mean()),
    }
    for name in (PSNR, DISTANCE, IDENTITY, TRUE_IDENTITY, BACKGROUND_DRIFT):
        values = torch.cat([flip.figure(name).double() for flip in measures.flips])
        found[name] = float(values.nanmean()) if len(values) else float("nan")
    return found | nothing_done(unseen, measures)


def nothing_done(unseen: EvaluationSet, measures: EditMeasures) -> dict[str, float]:
    """Return the PSNR against the truth of the photographs as they are, over the same edits."""
    if unseen.factors is None:
        return {NOTHING: float("nan")}
    values = []
    for flip in measures.flips:
        for each in flip.ways:
            rows = each.rows[: max(SHOWN, CLOSE)]
            true = faces.render(
                faces.set_attribute(unseen.factors[rows], flip.name, each.goal), unseen.images.shape[-1]
            )
            values.append(psnr(unseen.images[rows], true).double())
    return {NOTHING: float(torch.cat(values).mean())}


def claims(figures: Mapping[str, Mapping[str, float]], drawn: bool, edits: int) -> list[Claim]:
    """Return the bars, held against the figures of so many edits."""
    mine = figures[COMPOSED]
    found = [
        at_least(
            f"{'Drawn faces' if drawn else 'Photographs'}: at least 80 % of the edits reach their target",
            [mine[REACHED]],
            LEAST_REACHED,
            source=SOURCE,
            name=REACHED,
            form=".1%",
            counted=edits,
        )
    ]
    if not drawn:
        return found
    return [
        *found,
        more(
            "The edited photograph is nearer to the true counterfactual than the photograph as it is",
            [mine[PSNR]],
            [mine[NOTHING]],
            source=SOURCE,
            names=("PSNR in dB", "without an edit"),
        ),
        more(
            "Put back into the photograph an edit is nearer to the truth than the generator's picture",
            [mine[PSNR]],
            [figures[FOUND][PSNR]],
            source=SOURCE,
            names=("PSNR in dB", "the generator's"),
        ),
        more(
            "The way that changes the picture least is nearer to the truth than the shortest way of codes",
            [mine[PSNR]],
            [figures[IN_CODES][PSNR]],
            source=SOURCE,
            names=("PSNR in dB", "the shortest way of codes"),
        ),
        more(
            "The person stays: a recogniser's features move hardly further (0.1 of a cosine) than with the truth",
            [mine[TRUE_IDENTITY]],
            [mine[IDENTITY]],
            source=SOURCE,
            names=("identity drift of the truth", "of the edit"),
            grace=DRIFT,
        ),
    ]


KEYS = (REACHED, CHANGED, WRONG)
FIGURES = (PSNR, NOTHING, DISTANCE, IDENTITY, TRUE_IDENTITY, BACKGROUND_DRIFT)


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return the means."""
    rows = []
    for words, each in figures.items():
        known = plain(each)
        numbers = ["–" if (value := known[key]) is None else f"{value:.3g}" for key in FIGURES]
        rows.append([report.text(words), *(report.percent(known[key]) for key in KEYS), *numbers])
    return report.table(["", *KEYS, *FIGURES], rows, numbers=range(1, 10))


def by_attribute(measures: EditMeasures) -> dict[str, Any]:
    """Return target reached and leakage of every attribute."""
    return {
        flip.name: {
            REACHED: float(measures.truth.target_reached[row]),
            CHANGED: float(measures.drift.leakage[row]),
        }
        for row, flip in enumerate(measures.flips)
    }


def attributes_table(measures: Mapping[str, EditMeasures]) -> str:
    """Return what was reached, attribute by attribute."""
    tables = {words: by_attribute(each) for words, each in measures.items()}
    names = list(tables[COMPOSED])
    rows = [
        [
            report.text(name),
            *(report.percent(tables[words][name][key]) for words in tables for key in (REACHED, CHANGED)),
        ]
        for name in names
    ]
    head = ["attribute", *(f"{key}, {words}" for words in tables for key in (REACHED, CHANGED))]
    return report.heading("By attribute") + report.table(head, rows, numbers=range(1, 7))


def found_sheet(unseen: EvaluationSet, found: Tensor) -> Image.Image:
    """Return photographs above what was found."""
    return sheet([unseen.images[:8], found[:8]], labels=["photograph", "found"], cell=64, clear=True)


def edits_sheet(measures: Mapping[str, EditMeasures], name: str) -> Image.Image | None:
    """Return the first edits of one attribute: photograph, the generator's, put back, the truth."""
    shown = (measures[words].flips for words in (FOUND, COMPOSED))
    flips = [next((flip for flip in each if flip.name == name), None) for each in shown]
    rows = []
    for first, second in zip(*(flip.ways if flip else [] for flip in flips), strict=True):
        columns = [first.shown[:, 0], first.shown[:, 1], second.shown[:, 1], *second.shown[:, 2:].unbind(1)]
        rows.append(torch.stack(columns, 1).flatten(0, 1))
    if not rows:
        return None
    return sheet(rows, columns=["input", "found", "put back", "truth"] * SHOWN, cell=80, clear=True)
