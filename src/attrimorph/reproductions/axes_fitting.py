"""TL-GAN's five steps, timed: from a trained generator to twenty axes, and one attribute more."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.examples import DRAWN, axis_from_examples, draw_pool
from attrimorph.applications.axes.fitting import FitOptions, Judged, fit_axes, judged_by
from attrimorph.applications.axes.linear import cosines
from attrimorph.applications.axes.pack import Axis, AxisPack
from attrimorph.data.drawn import faces
from attrimorph.evaluators.attributes import binary_names
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.models.codes import Code
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.axes_place import SOURCE, Place, place_of, plain
from attrimorph.reproductions.claims import Claim, at_most
from attrimorph.reproductions.outcome import FULL, Outcome, Request, machine

NAME = "axes"
AXES, SIZE = 20, 64
MOST_SECONDS, MOST_SECONDS_MORE = 300.0, 60.0
EXAMPLES = 10  # of each kind
COMPARED = 10_000  # rows on which the fits are compared
FITS = {
    "linear, arctanh": FitOptions(),
    "linear, probabilities": FitOptions(link="none"),
    "ridge, arctanh": FitOptions("ridge"),
    "logistic": FitOptions("logistic"),
}
STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SHOWN = ("Smiling", "Male", "Eyeglasses", "No_Beard")


@dataclass(frozen=True)
class Fitted:
    """Axes, and how long each step took.

    Attributes:
        pack: the axes.
        judged: what they were fitted to.
        seconds: by step, and of all together.
    """

    pack: AxisPack
    judged: Judged
    seconds: Mapping[str, float]


def run(request: Request) -> Outcome:
    """Fit twenty axes, add one, and see how well each way of fitting does."""
    place = place_of(request)
    fitted = fit_timed(place)
    axis, more = add_timed(place)
    reached = reach(place, fitted.pack)
    fits = compared(place, fitted)
    count, seconds = len(fitted.judged.said), sum(fitted.seconds.values())
    outcome = Outcome(
        name=NAME,
        title="Axes, timed",
        lead="Draw codes, generate, judge, fit: the generator is never trained again.",
        protocol={
            **place.protocol(),
            "samples": f"{count:,}, seed 0",
            "axes": ", ".join(fitted.pack.names),
            "one more": f"{axis.name}, from {EXAMPLES} unseen faces with and {EXAMPLES} without it, by way of "
            f"{place.judge.name}'s features of {DRAWN:,} drawn pictures",
            "reached": f"of {request.form.unseen} other drawn codes, those that are not yet as wished: share that the "
            "judge sees so at strength 1 (set) or -1 (taken away)",
            "machine": machine(),
        },
        claims=claims(place, len(fitted.pack.names), count, seconds, fitted.seconds, more),
        figures={
            "seconds": dict(fitted.seconds),
            "seconds for one more": more,
            "samples": count,
            "reached": reached,
            "fits": fits,
        },
    )
    outcome.pieces += [split_table(fitted.seconds, count), axes_table(fitted.pack, reached), fits_table(fits)]
    outcome.show("strips", strips(place, fitted.pack), "Strengths -1 to 1, nothing locked.")
    return outcome


def fit_timed(place: Place) -> Fitted:
    """Go the five steps for the first twenty attributes that vary."""
    request = place.request
    begin = time.perf_counter()
    judged = judged_by(
        place.model,
        place.judge,
        count=request.form.codes,
        progress=lambda done, total: request.progress("drawing and judging", done, total),
    )
    spent = time.perf_counter() - begin
    shares = (judged.said > 0.5).double().mean(0)
    varied = [name for name, share in zip(judged.names, shares.tolist(), strict=True) if 0 < share < 1]
    begin = time.perf_counter()
    pack = fit_axes(place.model, judged, varied[:AXES])
    seconds = {name: judged.seconds[name] for name in ("generate", "judge")}
    rest = max(0.0, spent - sum(seconds.values()))
    return Fitted(pack, judged, {"draw": rest, **seconds, "fit": time.perf_counter() - begin})


def add_timed(place: Place, name: str = "Wavy_Hair") -> tuple[Axis, float]:
    """Teach one attribute from a few labelled faces, and return its axis and the seconds that it took."""
    some, others = examples(place.model.image_size, name, EXAMPLES, 0)
    begin = time.perf_counter()
    features = place.judge.features
    pool = draw_pool(place.model, features, by=place.judge.name, count=min(DRAWN, place.request.form.codes))
    axis = axis_from_examples(place.model, name, features, some, others, by=place.judge.name, pool=pool)
    return axis, time.perf_counter() - begin


def examples(size: int, name: str, each: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return unseen drawn faces with an attribute and without it, `each` of both; other ones for every seed."""
    unseen = drawn_images(100 + 8 * each, size, 995_001 + seed)
    column = faces.SCHEMA.columns(name).start
    found = [unseen.images[(unseen.labels[:, column] == value).nonzero()[:each, 0]] for value in (1, 0)]
    return found[0], found[1]


def reach(place: Place, pack: AxisPack, count: int | None = None) -> dict[str, float]:
    """Return for each axis the share of needed edits of drawn codes that reach their target, nothing locked."""
    code = place.codes(count or place.request.form.unseen)
    before, editor = place.decided(code), AxisEditor(place.model, pack)
    known = set(binary_names(place.judge.schema))
    return {name: reached_by(place, editor, code, before, name) for name in pack.names if name in known}


def reached_by(place: Place, editor: AxisEditor, code: Code, before: Tensor, name: str) -> float:
    """Return that share for one axis; NaN where no code needs an edit."""
    column, found = place.column(name), []
    for goal in (1.0, 0.0):
        rows = (before[:, column] != goal).nonzero()[:, 0]
        if len(rows):
            moved = editor.move(Code(code.z[rows], code.attributes[rows]), {name: 1.0 if goal else -1.0})
            found.append(place.decided(editor.own(moved))[:, column] == goal)
    return float(torch.cat(found).double().mean()) if found else float("nan")


def compared(place: Place, fitted: Fitted) -> dict[str, dict[str, float]]:
    """Fit in every way on the same rows: seconds, how well scores tell, and the cosine to the usual axes."""
    judged = fitted.judged
    few = Judged(judged.coordinates[:COMPARED], judged.said[:COMPARED], judged.names, judged.by, judged.seconds)
    names = [
        name for name in fitted.pack.names if 0 < float((few.said[:, few.names.index(name)] > 0.5).double().mean()) < 1
    ]
    found = {}
    for words, options in FITS.items():
        begin = time.perf_counter()
        pack = fit_axes(place.model, few, names, options)
        told = [float(axis.facts["told by the score"]) for axis in pack.axes.values()]
        near = cosines(pack.rows(names), fitted.pack.rows(names)).diagonal()
        found[words] = {
            "seconds": time.perf_counter() - begin,
            "told by the score": sum(told) / len(told),
            "cosine": float(near.mean()),
        }
    return found


def claims(place: Place, axes: int, count: int, seconds: float, split: Mapping[str, float], more: float) -> list[Claim]:
    """Return the bars; those of time are for 64x64, and the first one for 50,000 samples."""
    right = place.model.image_size == SIZE
    whole = seconds if count == FULL.codes and axes >= AXES else float("nan")
    steps = ", ".join(f"{name} {value:.1f} s" for name, value in split.items())
    return [
        at_most(
            f"From a trained generator to {AXES} axes with {FULL.codes:,} samples at {SIZE}x{SIZE} within "
            f"{MOST_SECONDS / 60:g} minutes on two cores",
            [whole if right else float("nan")],
            MOST_SECONDS,
            source=SOURCE,
            name=f"{axes} axes, {count:,} samples ({steps}) with {torch.get_num_threads()} threads: s in all",
            form=".1f",
        ),
        at_most(
            f"One more attribute within {MOST_SECONDS_MORE:g} s, the generator as it is",
            [more if right else float("nan")],
            MOST_SECONDS_MORE,
            source=SOURCE,
            name="s",
            form=".1f",
        ),
    ]


def split_table(seconds: Mapping[str, float], count: int) -> str:
    """Return where the time went."""
    total = sum(seconds.values())
    rows = [
        [name, f"{value:.2f}", report.percent(value / total), f"{1000 * value / count:.3f}"]
        for name, value in [*seconds.items(), ("all", total)]
    ]
    return report.heading("Time") + report.table(["step", "s", "share", "ms a picture"], rows, numbers=(1, 2, 3))


def axes_table(pack: AxisPack, reached: Mapping[str, float]) -> str:
    """Return what each axis promises and keeps."""
    known = plain(reached)
    rows = [
        [
            report.text(name),
            report.percent(axis.facts["present"]),
            report.percent(axis.facts["told by the score"]),
            report.percent((axis.facts["expected when set"] + axis.facts["expected when taken away"]) / 2),
            report.percent(known.get(name)),
        ]
        for name, axis in pack.axes.items()
    ]
    head = ["attribute", "present", "told by the score", "expected to be reached", "reached"]
    return report.heading("Axes") + report.table(head, rows, numbers=range(1, 5))


def fits_table(fits: Mapping[str, Mapping[str, float]]) -> str:
    """Return how the ways of fitting compare."""
    rows = [
        [words, f"{each['seconds']:.2f}", report.percent(each["told by the score"]), f"{each['cosine']:.3f}"]
        for words, each in fits.items()
    ]
    below = f"On {COMPARED:,} samples at most; the cosine is that to the axes above."
    return report.heading("Fits", below) + report.table(
        ["fit", "s", "told by the score", "cosine"], rows, numbers=(1, 2, 3)
    )


def strips(place: Place, pack: AxisPack, names: Sequence[str] = SHOWN) -> Image.Image:
    """Return pictures moved along a few axes."""
    editor, code = AxisEditor(place.model, pack), place.codes(1)
    shown = [name for name in names if name in pack.names] or list(pack.names[:4])
    rows = [
        torch.cat([editor.decode(editor.move(code, {name: strength})).cpu() for strength in STRENGTHS])
        for name in shown
    ]
    return sheet(rows, labels=shown, columns=[f"{strength:+g}" for strength in STRENGTHS], cell=80, clear=True)
