"""TL-GAN's axes: from a trained generator to twenty of them, timed; one more; axes from a few labelled pictures."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from attrimorph.applications.axes import Axis, AxisPack
from attrimorph.applications.axes.choosing import judge_named
from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.examples import DRAWN, Pool, axis_from_examples, draw_pool
from attrimorph.applications.axes.fitting import FitOptions, Judged, fit_axes, judged_by
from attrimorph.applications.axes.linear import cosines
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.data.drawn import faces
from attrimorph.evaluators import Judges, binary_names
from attrimorph.evaluators.identity_encoder import identity_encoder_for
from attrimorph.evaluators.judge import Judge, OwnClassifier
from attrimorph.files import write_bytes
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.models import shipped
from attrimorph.models.model import Code, Model, decisions
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import BATCH, decoded, face_model
from attrimorph.reproductions.frame import (
    FULL,
    Claim,
    Figures,
    Outcome,
    Request,
    claim,
    describe,
    machine,
    outcome_of,
    plain,
)

PGGAN = "pggan-drawn-64"
FRESH = 7_001  # seed of the codes that are edited: none of these fitted an axis


@dataclass(frozen=True)
class AxesContext:
    """A generator and who judges it.

    Attributes:
        request: of the experiment.
        model: the generator.
        judge: who judged the pictures that axes are fitted to, and who judges edits.
    """

    request: Request
    model: Model
    judge: Judge | OwnClassifier

    def protocol(self) -> dict[str, Any]:
        """Return what every page tells."""
        return {"generator": describe(self.model, seen=True), "judge": self.judge.name}

    def judge_codes(self) -> Judged:
        """Draw codes and have their pictures judged."""
        progress = self.request.counting("drawing and judging")
        return judged_by(self.model, self.judge, count=self.request.form.codes, progress=progress)

    def judged(self) -> Judged:
        """Return drawn codes and what the judge says of them; kept in OUT/axes."""
        path = self.request.out / "axes" / f"{self.model.hash[:16]}-{self.request.form.codes}.safetensors"
        if path.exists():
            known = load_file(path)
            return Judged(known["coordinates"], known["said"], self.judge.schema.column_names, self.judge.name)
        judged = self.judge_codes()
        write_bytes(
            path, save({"coordinates": judged.coordinates.contiguous(), "said": judged.probabilities.contiguous()})
        )
        return judged

    def pack(self) -> AxisPack:
        """Return the generator's axes."""
        return fit_axes(self.model, self.judged())

    def codes(self, count: int) -> Code:
        """Return drawn codes to edit."""
        return Code.joined(drawn_codes(self.model, count, FRESH))

    @torch.no_grad()
    def seen(self, code: Code, by: Judges | None = None) -> Tensor:
        """Return what the judge, or somebody else, says of a code's pictures: probabilities [B, W] float64."""
        pairs = zip(torch.split(code.z, BATCH), torch.split(code.attributes, BATCH), strict=True)
        judge = by or self.judge
        return torch.cat([judge(self.model.decode(Code(z, y))).double().cpu() for z, y in pairs])

    def decided(self, code: Code) -> Tensor:
        """Return the judge's decisions, [B, W]."""
        return decisions(self.seen(code), self.judge.schema)

    def column(self, name: str) -> int:
        """Return where an attribute stands among what the judge says."""
        return int(self.judge.schema.columns(name).start)


def axes_context(request: Request) -> AxesContext:
    """Return the generator that is looked at, and its judge.

    It is the one that was named; else the shipped `pggan-drawn-64`; else one that is trained now, on tied faces as that
    one was.
    """
    name = request.model or (PGGAN if PGGAN in shipped() else None)
    model = face_model(request, name, PGGAN, tied=True)
    return AxesContext(request, model, judge_named(None, model))


def needing(before: Tensor, column: int) -> list[tuple[float, Tensor]]:
    """Return both edits of an attribute: the strength, 1 (set) or -1 (taken away), and the rows that need it."""
    rows = {strength: (before[:, column] != float(strength > 0)).nonzero()[:, 0] for strength in (1.0, -1.0)}
    return [(strength, each) for strength, each in rows.items() if len(each)]


def reached_by(context: AxesContext, editor: AxisEditor, code: Code, before: Tensor, name: str) -> float:
    """Return the share of needed edits along one axis that reach their target; NaN where no code needs an edit."""
    column, found = context.column(name), []
    for strength, rows in needing(before, column):
        moved = editor.move(Code(code.z[rows], code.attributes[rows]), {name: strength})
        found.append(context.decided(editor.own(moved))[:, column] == float(strength > 0))
    return float(torch.cat(found).double().mean()) if found else float("nan")


# --- twenty axes, and one more, timed

AXES, SIZE = 20, 64
MOST_SECONDS, MOST_SECONDS_MORE = 300.0, 60.0
LABELLED = 10  # of each kind, for one more
ONE_MORE = "Wavy_Hair"
COMPARED = 10_000  # rows on which the fits are compared
FITS = {
    "linear, arctanh": FitOptions(),
    "linear, probabilities": FitOptions(link="none"),
    "ridge, arctanh": FitOptions("ridge"),
    "logistic": FitOptions("logistic"),
}
STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
STRIPS = ("Smiling", "Male", "Eyeglasses", "No_Beard")


def run(request: Request) -> Outcome:
    """Go the five steps for the first twenty attributes that vary, add one, and compare the ways of fitting."""
    context = axes_context(request)
    begin = time.perf_counter()
    judged = context.judge_codes()
    spent = time.perf_counter() - begin
    begin = time.perf_counter()
    pack = fit_axes(context.model, judged, varied(judged)[:AXES])
    seconds = {name: judged.seconds[name] for name in ("generate", "judge")}
    seconds = {"draw": max(0.0, spent - sum(seconds.values())), **seconds, "fit": time.perf_counter() - begin}
    begin = time.perf_counter()
    look = Look(context, context.judge.name, context.judge.features)
    look.axis(ONE_MORE, LABELLED, 0)
    one_more, count, total = time.perf_counter() - begin, len(judged.probabilities), sum(seconds.values())
    code, editor = context.codes(request.form.unseen), AxisEditor(context.model, pack)
    before, known = context.decided(code), set(binary_names(context.judge.schema))
    reached = {name: reached_by(context, editor, code, before, name) for name in pack.names if name in known}
    fits = compared(context, pack, judged)
    outcome = outcome_of(
        "axes",
        claims(context.model.image_size, len(pack.names), count, seconds, one_more),
        {
            "seconds": seconds,
            "seconds for one more": one_more,
            "samples": count,
            "reached": plain(reached),
            "fits": fits,
        },
        context.protocol(),
        count=count, axes=", ".join(pack.names), more=ONE_MORE, labelled=LABELLED, judge=context.judge, drawn=DRAWN,
        edited=request.form.unseen, machine=machine(),
    )  # fmt: skip
    times = {
        step: {"s": value, "share": value / total, "ms a picture": f"{1000 * value / count:.3f}"}
        for step, value in [*seconds.items(), ("all", total)]
    }
    promises = {
        name: {
            "present": axis.facts["present"],
            "told by the score": axis.facts["told by the score"],
            "expected to be reached": (axis.facts["expected when set"] + axis.facts["expected when taken away"]) / 2,
            "reached": reached.get(name),
        }
        for name, axis in pack.axes.items()
    }
    below = f"On {COMPARED:,} samples at most; the cosine is that to the axes above."
    outcome.pieces += [
        report.heading("Time"),
        report.figures(times, ".2f", "step", {"share": "%"}),
        report.heading("Axes"),
        report.figures(promises, "%", "attribute"),
        report.heading("Fits", below),
        report.figures(fits, "%", "fit", {"seconds": ".2f", "cosine": ".3f"}),
    ]
    one, shown = context.codes(1), [name for name in STRIPS if name in pack.names] or list(pack.names[:4])
    rows = [torch.cat([decoded(editor, editor.move(one, {name: each})) for each in STRENGTHS]) for name in shown]
    columns = [f"{strength:+g}" for strength in STRENGTHS]
    outcome.sheet("strips", rows, "Strengths -1 to 1, nothing locked.", labels=shown, columns=columns, cell=80)
    return outcome


def varied(judged: Judged) -> list[str]:
    """Return the attributes that the judge saw in some pictures and not in all."""
    shares = (judged.probabilities > 0.5).double().mean(0)
    return [name for name, share in zip(judged.names, shares.tolist(), strict=True) if 0 < share < 1]


def compared(context: AxesContext, usual: AxisPack, judged: Judged) -> dict[str, dict[str, float]]:
    """Fit in every way on the same rows: seconds, how well scores tell, and the cosine to the usual axes."""
    few = Judged(
        judged.coordinates[:COMPARED], judged.probabilities[:COMPARED], judged.names, judged.by, judged.seconds
    )
    names = [name for name in varied(few) if name in usual.names]
    found = {}
    for words, options in FITS.items():
        begin = time.perf_counter()
        pack = fit_axes(context.model, few, names, options)
        scores = [float(axis.facts["told by the score"]) for axis in pack.axes.values()]
        found[words] = {
            "seconds": time.perf_counter() - begin,
            "told by the score": sum(scores) / len(scores),
            "cosine": float(cosines(pack.rows(names), usual.rows(names)).diagonal().mean()),
        }
    return found


def claims(size: int, axes: int, count: int, seconds: Mapping[str, float], one_more: float) -> list[Claim]:
    """Return the bars; those of time are for 64x64, and the first one for 50,000 samples."""
    whole = sum(seconds.values()) if size == SIZE and count == FULL.codes and axes >= AXES else float("nan")
    steps = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    return [
        claim("axes", "twenty", whole, MOST_SECONDS, least=AXES, samples=FULL.codes, size=SIZE,
              minutes=MOST_SECONDS / 60, axes=axes, count=count, steps=steps, threads=torch.get_num_threads()),
        claim("axes", "more", one_more if size == SIZE else float("nan"), MOST_SECONDS_MORE, bound=MOST_SECONDS_MORE),
    ]  # fmt: skip


# --- an axis from twenty labelled pictures, against that from as many judged samples as one likes

TAUGHT = ("Smiling", "Male", "Young", "Eyeglasses", "No_Beard", "Wavy_Hair", "Pale_Skin", "Wearing_Hat")
EXAMPLES = (5, 10, 50)  # of each kind
FEW = 10
COSINE, REACHED, TOLD = "cosine to the judged axis", "target reached", "told when left out"
ENDLESS, EXPECTED = "cosine to the axis of many examples", "that cosine as expected"
LEAST_REACHED, NEAR, RIGHT = 0.8, 0.1, 0.1
MANY_SEED = 999  # of those: other faces than any of the few
SHOWN = 6


@dataclass
class Look:
    """Whose features tell examples apart.

    Attributes:
        context: with the generator.
        by: whose features they are.
        features: images -> features.
        pool: drawn pictures, looked at; drawn when they are wanted.
    """

    context: AxesContext
    by: str
    features: Callable[[Tensor], Tensor]
    pool: Pool | None = None

    def axis(self, name: str, each: int, seed: int) -> Axis:
        """Teach one attribute from `each` unseen drawn faces with it and as many without; others for every seed."""
        model, request = self.context.model, self.context.request
        if self.pool is None:
            count, progress = min(DRAWN, request.form.codes), request.counting(self.by)
            self.pool = draw_pool(model, self.features, by=self.by, count=count, progress=progress)
        unseen = drawn_images(100 + 8 * each, model.image_size, 995_001 + seed)
        column = unseen.labels[:, faces.SCHEMA.columns(name).start]
        some, others = (unseen.images[(column == value).nonzero()[:each, 0]] for value in (1, 0))
        return axis_from_examples(model, name, self.features, some, others, by=self.by, pool=self.pool)


def few_examples(request: Request) -> Outcome:
    """Teach attributes from a few unseen faces again and again, and compare with the axes from judged samples."""
    context = axes_context(request)
    pack, code = context.pack(), context.codes(request.form.unseen)
    taught, before = [name for name in TAUGHT if name in pack.names], context.decided(code)
    judged = {name: reached_by(context, AxisEditor(context.model, pack), code, before, name) for name in taught}
    looks = [Look(context, context.judge.name, context.judge.features)]
    # One who never learned attributes.
    model = context.model
    if (encoder := identity_encoder_for(model.schema, model.image_size, model.device)) is not None:
        looks.append(Look(context, encoder.name, encoder.features))
    found: dict[str, dict[str, dict[str, float]]] = {}
    axes: dict[str, Axis] = {}
    for look in looks:
        request.say(f"{2 * request.form.many} examples, features of {look.by}")
        endless = {name: look.axis(name, request.form.many, MANY_SEED) for name in taught}
        for each in EXAMPLES if look is looks[0] else (FEW,):
            words = f"{2 * each} examples, features of {look.by}"
            found[words] = {}
            for name in taught:
                request.say(f"{words}: {name}")
                made = [look.axis(name, each, seed) for seed in request.seeds]
                found[words][name] = figures_of(context, pack, made, endless[name], code, before)
                if look is looks[0] and each == FEW:
                    axes[name] = made[0]
    outcome = outcome_of(
        "few-examples",
        few_claims(found[f"{2 * FEW} examples, features of {context.judge.name}"], judged, len(before)),
        {
            "examples": {words: {name: plain(row) for name, row in rows.items()} for words, rows in found.items()},
            "target reached with judged samples": plain(judged),
        },
        context.protocol(),
        samples=pack.about["samples"], seeds=", ".join(map(str, request.seeds)), drawn=DRAWN,
        endless=2 * request.form.many, edited=len(before),
    )  # fmt: skip
    for words, rows in found.items():
        shown = {name: {**row, "reached with judged samples": judged[name]} for name, row in rows.items()}
        shown["mean"] = {key: mean([row[key] for row in shown.values()]) for key in next(iter(shown.values()))}
        outcome.pieces += [report.heading(words, level=3), report.figures(shown, ".3f", "attribute")]
    few = Code(code.z[:SHOWN], code.attributes[:SHOWN])
    pictures = {"drawn": decoded(context.model, few)}
    for name, axis in list(axes.items())[:4]:
        for words, one in (("judged", pack.axis(name)), ("examples", axis)):
            editor = AxisEditor(context.model, AxisPack(pack.model_sha256, pack.model, {name: one}))
            pictures[f"{name}, {words}"] = decoded(editor, editor.move(few, {name: 1.0}))
    caption = "Set along the axis from judged samples, and along that from twenty examples."
    outcome.sheet("taught", list(pictures.values()), caption, labels=list(pictures))
    return outcome


def figures_of(
    context: AxesContext, pack: AxisPack, made: Sequence[Axis], endless: Axis, code: Code, before: Tensor
) -> dict[str, float]:
    """Return means over the seeds."""
    name, rows = endless.name, []
    for axis in made:
        editor = AxisEditor(context.model, AxisPack(pack.model_sha256, pack.model, {name: axis}))
        rows.append(
            {
                COSINE: float(axis.direction @ pack.axis(name).direction),
                ENDLESS: float(axis.direction @ endless.direction),
                EXPECTED: float(axis.facts["expected cosine to the axis of endless examples"]),
                TOLD: float(axis.facts[TOLD]),
                REACHED: reached_by(context, editor, code, before, name),
            }
        )
    return {key: mean([row[key] for row in rows]) for key in rows[0]}


def few_claims(usual: Figures, many: Mapping[str, float], counted: int) -> list[Claim]:
    """Return the bars, means over the taught attributes, each of which is edited on at most `counted` codes."""
    near, reached = (mean([row[key] for row in usual.values()]) for key in (COSINE, REACHED))
    off = abs(mean([row[EXPECTED] - row[ENDLESS] for row in usual.values()]))
    return [
        claim("few-examples", "reached", reached, LEAST_REACHED, counted=counted, examples=2 * FEW, least=LEAST_REACHED,
              near=near),
        claim("few-examples", "as far", reached, mean(list(many.values())), counted=counted, grace=NEAR, fewer=NEAR),
        claim("few-examples", "sure", off, RIGHT, bound=RIGHT),
    ]  # fmt: skip


def mean(values: Sequence[float]) -> float:
    """Return the mean of the known values."""
    return float(torch.tensor(values, dtype=torch.float64).nanmean())
