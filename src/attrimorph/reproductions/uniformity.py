"""How evenly an attribute grows with its strength: HomoInterpGAN, a straight line through its features, CVAE-GAN.

The report on HomoInterpGAN (figure 11) shows that a straight line through features does nothing for a long way and then
jumps, and that its interpolator goes evenly.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from attrimorph.applications.charts import lines
from attrimorph.evaluators.judge import AttributeScore
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.metrics.responses import (
    DEVIATION,
    JUMP,
    LEAST_SPAN,
    SINGLE,
    STRENGTHS,
    Response,
    measure_responses,
    normalised,
    rows_of,
)
from attrimorph.models.codes import Edits
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.editors import Place, cvae_gan, interpolator, place_of, plain
from attrimorph.reproductions.outcome import Outcome, Request
from attrimorph.strength import Strengths

NAME = "uniformity"
SLIDER, FOLLOWING, STRAIGHT, CVAE = (
    "HomoInterpGAN, sliders",
    "HomoInterpGAN, towards references",
    "straight line through its features, towards the same references",
    "CVAE-GAN, sliders",
)
LEARNED = "{}, as learned, without the calibration of strengths"
SHORT = {SLIDER: "sliders", FOLLOWING: "references", STRAIGHT: "straight line", CVAE: "CVAE-GAN"}
SHORT |= {LEARNED.format(name): f"{SHORT[name]}, learned" for name in (SLIDER, FOLLOWING, CVAE)}
TRUTH = "true counterfactuals"
OF_STRAIGHT, OF_CVAE = 1 / 3, 1 / 2
SHOWN = ("Smiling", "Blond_Hair", "Young", "Male")
Edit = tuple[str, bool]  # an attribute, and whether it is set
SOURCE = "our bar; the shape is the report's figure 11"


class Towards:
    """An editor that goes to references with the attribute (without it, for strengths below 0).

    Args:
        model: whose features.
        place: where the references are.
        straight: F_a + v (F_b - F_a) in place of the interpolator's branch of the attribute's group.
    """

    def __init__(self, model: InterpolationModel, place: Place, *, straight: bool) -> None:
        self.model, self.place, self.straight = model, place, straight

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Go towards a reference for each image, always the same one for images in the same order."""
        ((name, strength),) = changes.items()
        chosen = self.place.with_label(name, strength > 0)
        references = chosen[torch.arange(len(images)) % len(chosen)]
        if not self.straight:
            return self.model.follow(images, references, {name: abs(strength)})
        a, b = self.model.features(images), self.model.features(references)
        return self.model.render(a + abs(strength) * (b - a))


def run(request: Request) -> Outcome:
    """Measure the responses of every method on the same images, and compare how straight they are."""
    place = place_of(request, "homointerp-drawn-64")
    model = interpolator(place)
    other = cvae_gan(place)
    names = [name for name in model.editable if all(len(place.with_label(name, holds)) for holds in (False, True))]
    methods: dict[str, Edits] = {
        SLIDER: model,
        FOLLOWING: Towards(model, place, straight=False),
        STRAIGHT: Towards(model, place, straight=True),
    }
    if other is not None:
        methods[CVAE] = other
    if model.strengths.positions:
        methods[LEARNED.format(SLIDER)] = model.with_strengths(Strengths())
        methods[LEARNED.format(FOLLOWING)] = Towards(model.with_strengths(Strengths()), place, straight=False)
    if other is not None and other.strengths.positions:
        methods[LEARNED.format(CVAE)] = other.with_strengths(Strengths())
    found = {method: responses(place, editor, names, method) for method, editor in methods.items()}
    common = moved_by_all(found.values())
    figures = {method: shape(each, common) for method, each in found.items()}
    outcome = Outcome(
        name=NAME,
        title="Does half the strength go half the way?",
        lead="An attribute should grow evenly with the strength of an edit, not wait and then jump.",
        protocol={
            **place.protocol({"HomoInterpGAN": model, "CVAE-GAN": other}),
            "response": f"{AttributeScore(place.judge).name} at strengths 0, 0.1, ..., 1; "
            f"attributes: {', '.join(names)}",
            "deviation": "mean distance of the mean response, scaled to 0..1, from the straight line, of the "
            f"{len(common)} attributes and directions that every method moves the right way by {LEAST_SPAN:g} at least",
            "references": f"{place.references.words}; image i goes to the same one at every strength",
        },
        claims=claims(figures),
        figures={
            "methods": {method: plain(each) for method, each in figures.items()},
            "curves": {method: mean_curve(each, common) for method, each in found.items()},
        }
        | {"responses": {method: rows_of(each) for method, each in found.items()}},
    )
    show(outcome, place, methods, found, common)
    return outcome


def responses(place: Place, editor: Edits, names: Sequence[str], method: str) -> list[Response]:
    """Measure one method."""
    place.request.say(f"responses of {method}")
    # A mean over few images strays from its line by chance: over 20, by 0.03, as far as a calibrated editor does.
    most = max(2, place.request.form.per_class // 2)
    # The truth is the same for all of them: it is drawn once.
    truths = method == SLIDER
    return measure_responses(editor, place.unseen, AttributeScore(place.judge), names=names, most=most, truths=truths)


def moves(response: Response) -> bool:
    """Return whether the mean response goes the right way, far enough to have a shape."""
    mean = response.measured.double().mean(0)
    return float(mean[-1] - mean[0]) * response.sign >= LEAST_SPAN


def moved_by_all(found: Iterable[Sequence[Response]]) -> set[Edit]:
    """Return what every method moves: what only one of them can move would be compared with nothing."""
    return set.intersection(*({(each.name, each.goal) for each in method if moves(each)} for method in found))


def shape(found: Sequence[Response], common: set[Edit]) -> dict[str, float]:
    """Return the mean figures of the common responses, and how many responses move at all."""
    rows = rows_of([each for each in found if (each.name, each.goal) in common])
    figures: dict[str, float] = {"responses": len(found), "that move": sum(map(moves, found))}
    for name in (DEVIATION, JUMP, SINGLE):
        figures[name] = fmean(row[name] for row in rows) if rows else float("nan")
    return figures


def mean_curve(found: Sequence[Response], common: set[Edit], *, truth: bool = False) -> list[tuple[float, float]]:
    """Return the mean of the common responses, each scaled to go from 0 to 1: (strength, share of the way)."""
    chosen = [each for each in found if (each.name, each.goal) in common]
    measured = [each.truth.measured for each in chosen if each.truth] if truth else [each.measured for each in chosen]
    curves = [curve for curve in map(normalised, measured) if not bool(curve.isnan().any())]
    if not curves:
        return []
    return list(zip(STRENGTHS, torch.stack(curves).mean(0).tolist(), strict=True))


def claims(figures: Mapping[str, Mapping[str, float]]) -> list[Claim]:
    """Return the bars, held against the measured deviations."""
    found = []
    for method, against, bound in (
        (FOLLOWING, STRAIGHT, OF_STRAIGHT),
        (SLIDER, STRAIGHT, OF_STRAIGHT),
        (SLIDER, CVAE, OF_CVAE),
        (LEARNED.format(FOLLOWING), STRAIGHT, OF_STRAIGHT),
        (LEARNED.format(SLIDER), STRAIGHT, OF_STRAIGHT),
        (LEARNED.format(SLIDER), LEARNED.format(CVAE), OF_CVAE),
    ):
        if method not in figures:
            continue
        measured = against in figures
        found.append(
            more(
                f"{method}: the response deviates from the straight line at most {bound:.2f} times as much as that of: "
                f"{against}",
                [figures[against][DEVIATION]] if measured else [],
                [figures[method][DEVIATION]] if measured else [],
                source=SOURCE,
                names=("deviation of that", "of the first"),
                form=".3f",
                times=1 / bound,
            )
        )
    return found


def show(
    outcome: Outcome,
    place: Place,
    methods: Mapping[str, Edits],
    found: Mapping[str, Sequence[Response]],
    common: set[Edit],
) -> None:
    """Put the figure, the table and edits of rising strength on the page."""
    curves = {method: mean_curve(each, common) for method, each in found.items()}
    curves[TRUTH] = mean_curve(found[SLIDER], common, truth=True)
    curves = {name: points for name, points in curves.items() if points}
    if curves:
        caption = "Mean response over strength, of what every method moves: as figure 11 of the report."
        outcome.show("responses", lines(curves, "strength", "share of the way"), caption)
    rows: list[list[str]] = [
        [report.text(method), *(cell(figures, name) for name in (DEVIATION, JUMP, SINGLE, "that move", "responses"))]
        for method, figures in outcome.figures["methods"].items()
    ]
    head = ["", "deviation", "largest jump", "deviation of single images", "responses that move", "of"]
    outcome.pieces.append(report.table(head, rows, numbers=(1, 2, 3, 4, 5)))
    for name in SHOWN:
        if name in editable_names(methods[SLIDER]) and (strip := strengths_of(place, methods, name)) is not None:
            outcome.show(f"strengths-{name}", strip, f"{name}, strengths 0 to 1, one method a row.")


def editable_names(editor: Edits) -> tuple[str, ...]:
    """Return what a HomoInterpGAN moves."""
    return editor.editable if isinstance(editor, InterpolationModel) else ()


def strengths_of(place: Place, methods: Mapping[str, Edits], name: str) -> Any:
    """Return a picture of one image, edited ever more strongly by every method; None where no image lacks it."""
    column = place.judge.schema.columns(name).start
    absent = (place.unseen.labels[:, column] == 0).nonzero()[:1, 0]
    if not len(absent) or not len(place.with_label(name, True)):
        return None
    image, labels = place.unseen.images[absent], place.unseen.labels[absent].nan_to_num(0.0)
    steps = STRENGTHS[::2]
    rows = [torch.cat([editor.edit(image, {name: s}, labels).cpu() for s in steps]) for editor in methods.values()]
    columns = [f"{s:g}" for s in steps]
    return sheet(rows, columns=columns, labels=[SHORT[method] for method in methods], cell=80, clear=True)


def cell(figures: Mapping[str, float | None], name: str) -> str:
    """Write one figure."""
    value = figures[name]
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
