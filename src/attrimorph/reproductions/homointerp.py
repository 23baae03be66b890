"""HomoInterpGAN: how evenly an attribute grows with its strength, and the four known faults, before and after mending.

The report on HomoInterpGAN (figure 11) shows that a straight line through features does nothing for a long way and then
jumps, and that its interpolator goes evenly. The faults are position, background, gaps in the domain, references.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from attrimorph.applications.calibrate import evened, images_for
from attrimorph.charts import lines
from attrimorph.data.drawn import faces, shapes
from attrimorph.data.drawn.synthetic import write_shapes
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import AttributeScore
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.edits import background_drift, directions
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
from attrimorph.models import Strengths
from attrimorph.models.model import Edits, Model, decisions
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
    Values,
    claim,
    decide,
    describe,
    outcome_of,
    plain,
)

# --- does half the strength go half the way?

SLIDER, FOLLOWING, STRAIGHT, CVAE = (
    "HomoInterpGAN, sliders",
    "HomoInterpGAN, towards references",
    "straight line through its features, towards the same references",
    "CVAE-GAN, sliders",
)
LEARNED = "{}, as learned, without the calibration of strengths"
SHORT = {SLIDER: "sliders", FOLLOWING: "references", STRAIGHT: "straight line", CVAE: "CVAE-GAN"}
SHORT |= {LEARNED.format(name): f"{words}, learned" for name, words in SHORT.items()}
TRUTH = "true counterfactuals"
OF_STRAIGHT, OF_CVAE = 0.6, 0.5
SHOWN = ("Smiling", "Blond_Hair", "Young", "Male")


class Towards:
    """An editor that goes to references with the attribute (without it, for strengths below 0).

    Args:
        model: whose features.
        context: where the references are.
        straight: F_a + v (F_b - F_a) in place of the interpolator's branch of the attribute's group.
    """

    def __init__(self, model: InterpolationModel, context: EditContext, *, straight: bool) -> None:
        self.model, self.context, self.straight = model, context, straight

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Go towards a reference for each image, always the same one for images in the same order."""
        if not changes:
            return self.model.render(self.model.features(images))
        ((name, strength),) = changes.items()
        chosen = self.context.with_label(name, strength > 0)
        references = chosen[torch.arange(len(images)) % len(chosen)]
        if not self.straight:
            return self.model.follow(images, references, {name: abs(strength)})
        a, b = self.model.features(images), self.model.features(references)
        return self.model.render(a + abs(strength) * (b - a))


@dataclass(frozen=True)
class Calibrated:
    """An editor by calibrated strengths.

    Attributes:
        editor: whose.
        strengths: the maps.
    """

    editor: Edits
    strengths: Strengths

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Return the images edited as far as the maps say."""
        return self.editor.edit(images, self.strengths.calibrated(changes), attributes)


def calibrated(context: EditContext, editor: Edits, names: Sequence[str], method: str) -> Calibrated:
    """Calibrate a method, on images and by a judge that do not measure it."""
    context.request.say(f"calibrating {method}")
    images = images_for(context.interpolator(), None if context.request.data is None else context.data)
    return Calibrated(
        editor, evened(lambda strengths: Calibrated(editor, strengths), context.calibrator, images, names)
    )


def uniformity(request: Request) -> Outcome:
    """Measure the responses of every method on the same images, and compare how straight they are."""
    context = edit_context(request)
    model, other = context.interpolator(), context.cvae_gan()
    names = [name for name in model.editable if all(len(context.with_label(name, holds)) for holds in (False, True))]
    learned = model.with_strengths(Strengths())
    as_learned: dict[str, Edits] = {
        SLIDER: learned,
        FOLLOWING: Towards(learned, context, straight=False),
        STRAIGHT: Towards(learned, context, straight=True),
    }
    if other is not None:
        as_learned[CVAE] = other.with_strengths(Strengths())
    # All of them or none: what one calibration gives to every method alike is no merit of any.
    methods: dict[str, Edits] = {name: calibrated(context, editor, names, name) for name, editor in as_learned.items()}
    methods |= {LEARNED.format(name): editor for name, editor in as_learned.items()}
    found = {method: responses(context, editor, names, method) for method, editor in methods.items()}
    common = moved_by_all(found.values())
    figures = {method: shape(each, common) for method, each in found.items()}
    curves = {method: mean_curve(each, common) for method, each in found.items()}
    outcome = outcome_of(
        "uniformity",
        uniformity_claims(figures),
        {
            "methods": {method: plain(each) for method, each in figures.items()},
            "curves": curves,
            "responses": {method: rows_of(each) for method, each in found.items()},
        },
        context.protocol({"HomoInterpGAN": model, "CVAE-GAN": other}),
        score=AttributeScore(context.judge), names=", ".join(names), common=len(common), least=LEAST_SPAN,
        calibrator=context.calibrator, references=context.references,
    )  # fmt: skip
    drawn = {SHORT[method]: points for method, points in curves.items()}
    drawn[TRUTH] = mean_curve(found[SLIDER], common, truth=True)
    if any(drawn.values()):
        caption = "Mean response over strength, of what every method moves: as figure 11 of the report."
        series = {name: points for name, points in drawn.items() if points}
        outcome.show("responses", lines(series, "strength", "share of the way"), caption)
    head = {DEVIATION: "deviation", JUMP: "largest jump", SINGLE: "deviation of single images",
            "that move": "responses that move", "responses": "of"}  # fmt: skip
    rows = {method: {words: each[key] for key, words in head.items()} for method, each in figures.items()}
    outcome.pieces.append(report.figures(rows, ".3f", forms={"responses that move": ".0f", "of": ".0f"}))
    labels, steps = context.unseen.labels.nan_to_num(0.0), STRENGTHS[::2]
    for name in SHOWN:
        absent = (context.unseen.labels[:, context.column(name)] == 0).nonzero()[:1, 0]
        if name in model.editable and len(absent) and len(context.with_label(name, True)):
            image, y = context.unseen.images[absent], labels[absent]
            strips = [torch.cat([each.edit(image, {name: s}, y).cpu() for s in steps]) for each in methods.values()]
            words = [SHORT[method] for method in methods]
            caption, columns = f"{name}, strengths 0 to 1, one method a row.", [f"{s:g}" for s in steps]
            outcome.sheet(f"strengths-{name}", strips, caption, columns=columns, labels=words, cell=80)
    return outcome


def responses(context: EditContext, editor: Edits, names: Sequence[str], method: str) -> list[Response]:
    """Measure one method."""
    context.request.say(f"responses of {method}")
    # A mean over few images strays from its line by chance: over 20, by 0.03, as far as a calibrated editor does.
    most = max(2, context.request.form.per_class // 2)
    # The truth is the same for all of them: it is drawn once.
    truths = method == SLIDER
    return measure_responses(
        editor, context.unseen, AttributeScore(context.judge), names=names, most=most, truths=truths
    )


def moves(response: Response) -> bool:
    """Return whether the mean response goes the right way, far enough to have a shape."""
    mean = response.measured.double().mean(0)
    return float(mean[-1] - mean[0]) * response.sign >= LEAST_SPAN


def moved_by_all(found: Iterable[Sequence[Response]]) -> set[tuple[str, bool]]:
    """Return what every method moves: what only one of them can move would be compared with nothing."""
    return set.intersection(*({(each.name, each.goal) for each in method if moves(each)} for method in found))


def shape(found: Sequence[Response], common: set[tuple[str, bool]]) -> dict[str, float]:
    """Return the mean figures of the common responses, and how many responses move at all."""
    rows = rows_of([each for each in found if (each.name, each.goal) in common])
    figures: dict[str, float] = {"responses": len(found), "that move": sum(map(moves, found))}
    for name in (DEVIATION, JUMP, SINGLE):
        figures[name] = fmean(row[name] for row in rows) if rows else float("nan")
    return figures


def mean_curve(
    found: Sequence[Response], common: set[tuple[str, bool]], *, truth: bool = False
) -> list[tuple[float, float]]:
    """Return the mean of the common responses, each scaled to go from 0 to 1: (strength, share of the way)."""
    chosen = [each for each in found if (each.name, each.goal) in common]
    measured = [each.truth.measured for each in chosen if each.truth] if truth else [each.measured for each in chosen]
    curves = [curve for curve in map(normalised, measured) if not bool(curve.isnan().any())]
    if not curves:
        return []
    return list(zip(STRENGTHS, torch.stack(curves).mean(0).tolist(), strict=True))


def uniformity_claims(figures: Figures) -> list[Claim]:
    """Return the bars, held against the measured deviations."""
    found = []
    for word in ("{}", LEARNED):
        for mine, against, bound in ((FOLLOWING, STRAIGHT, OF_STRAIGHT), (SLIDER, STRAIGHT, OF_STRAIGHT),
                                     (SLIDER, CVAE, OF_CVAE)):  # fmt: skip
            method, other = word.format(mine), word.format(against)
            theirs, ours = ([figures[each][DEVIATION]] if other in figures else [] for each in (other, method))
            found.append(claim("uniformity", "straighter", theirs, ours, times=1 / bound,
                               method=method, bound=bound, other=other))  # fmt: skip
    return found


# --- four faults, mended

RECIPE = "homointerp-drawn-64"
MOST_BACKGROUND, MOST_LOST, MOST_TURNED = 1.0, 3.0, 0.5
SIZES = ("kind", "channels", "encoder_width", "interpolator_width", "decoder_width", "critic_width", "classifier_width",
         "code", "groups")  # fmt: skip
SAME = (*SIZES, "perceptual_network", "warmup_images")
"""Fields of networks and losses that both sides have alike, as lengths and optimisers are; all others are published."""
BEFORE, AFTER = "published", "mended"
SHIFT = 0.05  # of the width
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
HALVES = (0.0, 0.25, 0.5, 0.75, 1.0)
SHAPES_SEED = 990_004
SHIFTED, UNSHIFTED, LOST = "target reached, face shifted", "target reached, face in place", "points lost"
BACKGROUND = "shift of a white background in 1/255"
KIND, NEAREST, BETWEEN = "shape reached", "distance from a true shape at the end", "distance from a true shape half-way"
WITH, WITHOUT = "target reached with a reference", "target reached without one"


def faults(request: Request) -> Outcome:
    """Measure each fault in a model that is as published, and in one that is mended."""
    if request.data is not None:
        raise AttrimorphError("the experiment faults draws its own faces and shapes; leave --data out")
    context = edit_context(request)
    on_faces, on_shapes = (fault_models(context, domain) for domain in ("faces", "shapes"))
    if not on_faces and not on_shapes:
        raise AttrimorphError("one of the models must be a HomoInterpGAN of drawn faces or shapes; got none; add one")
    count = 5 * request.form.per_class
    names = [
        name for name in shared(on_faces.values()) if all(len(context.with_label(name, to)) for to in (True, False))
    ]
    shown = both_ways(on_faces)
    position = {way: positions(context, editor, names) for way, editor in shown.items()}
    white = {way: background(context, editor, names) for way, editor in shown.items()}
    towards = both_ways({name: Towards(model, context, straight=False) for name, model in on_faces.items()})
    following = {
        way: {WITHOUT: position[way][UNSHIFTED], WITH: reached(context, editor, context.unseen.images, names)}
        for way, editor in towards.items()
    }
    found = {way: gaps(editor, context.size, count) for way, editor in both_ways(on_shapes).items()}
    holes = {way: each for way, (each, _) in found.items()}
    faces_told, shapes_told = equally_long(on_faces), equally_long(on_shapes)
    tables = {
        "Position": position,
        "A white background": white,
        "Edits without a reference": following,
        "A domain with gaps: drawn shapes": holes,
    }
    outcome = outcome_of(
        "faults",
        [
            each
            for way in (DECODED, BACK)
            for each in fault_claims(
                way,
                position if faces_told else {},
                white if faces_told else {},
                following if faces_told else {},
                holes if shapes_told else {},
                (count * len(names), count),
            )
        ],
        {title: {name: plain(each) for name, each in figures.items()} for title, figures in tables.items()},
        {
            **context.protocol({f"{name}, faces": on_faces.get(name) for name in (BEFORE, AFTER)}),
            **{f"{name}, shapes": describe(model) for name, model in on_shapes.items()},
        },
        seen="; ".join(
            f"{name}, {domain}: {model.images_seen:,}"
            for domain, models in (("faces", on_faces), ("shapes", on_shapes))
            for name, model in models.items()
        ),
        same=", ".join(SAME), names=", ".join(names), shift=SHIFT,
    )  # fmt: skip
    for title, figures in tables.items():
        missing = report.note("No such model was given: not measured.")
        outcome.pieces += [report.heading(title), report.figures(figures, ".3f") if figures else missing]
        if title == "A white background" and on_faces:
            show_white(outcome, context, shown, names)
    for name, (_, trajectories) in found.items():
        columns = [f"{strength:g}" for strength in HALVES]
        caption = f"From one shape to the next: {name}."
        outcome.sheet(f"shapes-{name}", list(trajectories), caption, columns=columns, cell=80)
    return outcome


def published() -> dict[str, Any]:
    """Return what the published recipe has otherwise than the mended one, weights and penalty too, but for `SAME`."""
    theirs = recipe_named("homointerp").model_dump()
    fields = [(part, name, value) for part in ("networks", "losses") for name, value in theirs[part].items()]
    return {f"{part}.{name}": value for part, name, value in fields if name not in SAME}


def equally_long(found: Mapping[str, InterpolationModel]) -> bool:
    """Return whether both sides are there and saw equally many images: between others there is no verdict."""
    return {BEFORE, AFTER} <= found.keys() and found[BEFORE].images_seen == found[AFTER].images_seen


def fault_models(context: EditContext, domain: str) -> dict[str, InterpolationModel]:
    """Return the published and the mended model of faces or shapes: those that were named, or both trained.

    A model whose branches see the face is a mended one.
    """
    request, schema = context.request, faces.SCHEMA if domain == "faces" else shapes.SCHEMA
    loaded: list[Model] = [model for model in context.given if model.schema == schema]
    if not context.given:
        data, mended = None, {"data.shift": 0.05}
        if domain == "shapes":
            count, mended = request.form.people * request.form.images, {}
            folder = request.out / "data" / f"shapes-{context.size}-{count}"
            data = write_shapes(folder, count=count, size=context.size)
        for name, changes in ((BEFORE, published()), (AFTER, mended)):
            loaded.append(load(context.trained(RECIPE, f"{domain}-{name}", changes, data), request.device))
    found: dict[str, InterpolationModel] = {}
    for model in loaded:
        if isinstance(model, InterpolationModel):
            found.setdefault(AFTER if model.recipe.networks.sees_face else BEFORE, model)
    return {name: found[name] for name in (BEFORE, AFTER) if name in found}


def shared(models: Iterable[InterpolationModel]) -> tuple[str, ...]:
    """Return the first attribute of every group of the first model that every other one edits too."""
    models = list(models)
    names = one_of_each(models[0]) if models else ()
    return tuple(name for name in names if all(name in model.editable for model in models))


def reached(context: EditContext, editor: Edits, images: Tensor, names: Sequence[str]) -> float:
    """Return the share of edits, every attribute either way, that a judge finds to have reached their target.

    Args:
        context: of the judge and the labels.
        editor: who edits.
        images: the unseen ones, perhaps moved, [N, 3, S, S].
        names: binary attributes.
    """
    labels, schema = context.unseen.labels, context.judge.schema
    shares = []
    for name in names:
        column = schema.columns(name).start
        for goal, rows in directions(labels, schema, name, drawn=context.unseen.factors is not None):
            if len(rows):
                made = edited(editor, images[rows], {name: 1.0 if goal else -1.0}, labels[rows].nan_to_num(0.0))
                judged = decisions(context.judge(made), schema)[:, column]
                shares.append(float((judged == float(goal)).double().mean()))
    return sum(shares) / max(1, len(shares))


def moved(images: Tensor, across: int, down: int) -> Tensor:
    """Move pictures by whole pixels; what comes in repeats the border."""
    reach = max(abs(across), abs(down))
    wide = pad(images, (reach, reach, reach, reach), mode="replicate")
    size = images.shape[-1]
    return wide[..., reach - down : reach - down + size, reach - across : reach - across + size].contiguous()


def positions(context: EditContext, model: Edits, names: Sequence[str]) -> dict[str, float]:
    """Return how much rarer edits reach their target when faces lie 5 % of the width elsewhere, one way or another."""
    images, step = context.unseen.images, max(1, round(SHIFT * context.size))
    elsewhere = images.clone()
    for number, (x, y) in enumerate(MOVES):
        elsewhere[number :: len(MOVES)] = moved(images[number :: len(MOVES)], x * step, y * step)
    still, away = (reached(context, model, each, names) for each in (images, elsewhere))
    return {UNSHIFTED: still, SHIFTED: away, LOST: 100 * (still - away)}


def on_white(context: EditContext) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unseen drawn faces before white, where the person is, [N, 1, S, S], and their labels."""
    assert context.unseen.factors is not None
    layers = faces.render_layers(context.unseen.factors, context.size)
    images = layers.mask * layers.foreground + (1 - layers.mask)
    return images, layers.mask, context.unseen.labels


def background(context: EditContext, model: Edits, names: Sequence[str]) -> dict[str, float]:
    """Return the mean change of white background pixels, outside the person before and after the true edit."""
    images, masks, labels = on_white(context)
    assert context.unseen.factors is not None
    drifts = []
    for name in names:
        for goal, rows in directions(labels, context.judge.schema, name, drawn=True):
            if not len(rows):
                continue
            made = edited(model, images[rows], {name: 1.0 if goal else -1.0}, labels[rows])
            truth = faces.set_attribute(context.unseen.factors[rows], name, goal)
            person = torch.maximum(masks[rows], faces.render_layers(truth, context.size).mask)
            drifts.append(background_drift(images[rows], made, person))
    values = torch.cat(drifts)
    return {BACKGROUND: float(values[values.isfinite()].mean())}


def gaps(editor: Edits, size: int, count: int) -> tuple[dict[str, float], Tensor]:
    """Turn drawn shapes into others: a domain in which no path leads through other real pictures.

    Whether a picture shows a shape is told without a judge: by its distance from the four true pictures, which the
    renderer draws.

    Args:
        editor: one that learned drawn shapes.
        size: of its pictures.
        count: pictures.

    Returns:
        Figures, and a few trajectories [n, strengths, 3, S, S].
    """
    factors = shapes.sample_factors(count, torch.Generator().manual_seed(SHAPES_SEED))
    images, y = shapes.render(factors, size), shapes.attributes(factors)
    truths = torch.stack([shapes.render(shapes.set_attribute(factors, "Shape", kind), size) for kind in shapes.SHAPES])
    goals = (factors[:, 0].long() + 1) % len(shapes.SHAPES)
    trajectories = torch.empty(count, len(HALVES), *images.shape[1:])
    for number, kind in enumerate(shapes.SHAPES):
        rows = (goals == number).nonzero()[:, 0]
        for stop, strength in enumerate(HALVES):
            if len(rows):
                trajectories[rows, stop] = edited(editor, images[rows], {f"Shape={kind}": strength}, y[rows])
    # [kinds, N, strengths]: how far each stop is from each true shape, in 1/255.
    far = torch.stack([(trajectories - truth[:, None]).abs().mean((2, 3, 4)) * 127.5 for truth in truths])
    nearest = far.amin(0).mean(0)
    figures = {
        KIND: float((far[:, :, -1].argmin(0) == goals).double().mean()),
        NEAREST: float(nearest[-1]),
        BETWEEN: float(nearest[len(HALVES) // 2]),
    }
    return figures, trajectories[:6]


def fault_claims(
    way: str, position: Figures, white: Figures, following: Figures, holes: Figures, counts: tuple[int, int]
) -> list[Claim]:
    """Return each fault, held against the published side, and its mending; what was not measured decides nothing.

    Args:
        way: that the edits are shown, of `both_ways`.
        position, white, following, holes: by model and way; empty where the two sides are not equally long.
        counts: edits of faces, and of shapes, of which the shares are.
    """
    (counted, turned), before, after = counts, way.format(BEFORE), way.format(AFTER)

    def of(figures: Figures, which: str, name: str) -> list[float]:
        return [figures[which][name]] if which in figures else []

    def held(key: str, first: Values, second: Values, **how: Any) -> Claim:
        return claim("faults", key, first, second, way=way.removeprefix("{}, "), **how)

    lost = MOST_LOST / 100
    away, still = ([of(position, which, name) for which in (before, after)] for name in (SHIFTED, UNSHIFTED))
    without, mended = (of(following, which, WITHOUT) for which in (before, after))
    kinds = [of(holes, which, KIND) for which in (before, after)]
    return [
        *mending(
            held("position", still[0], away[0], counted=counted, grace=-lost),
            held("position mended", away[1], still[1], counted=counted, grace=lost),
        ),
        *mending(
            held("white", of(white, before, BACKGROUND), MOST_BACKGROUND),
            held("white mended", of(white, after, BACKGROUND), MOST_BACKGROUND),
        ),
        *mending(
            held("references", of(following, before, WITH), without, counted=counted),
            held("references mended", mended, without, counted=counted),
        ),
        *mending(
            held("gaps", kinds[0], MOST_TURNED, counted=turned),
            held("gaps mended", kinds[1], kinds[0], counted=turned),
        ),
    ]


def mending(fault: Claim, mended: Claim) -> list[Claim]:
    """Return a fault and its mending, which is none where the published side does not show the fault beyond chance."""
    shown = decide([fault])[0].verdict in ("seen once", "reproduced")
    nothing_to_mend = replace(mended, margins=(), counted=None, evidence=f"no fault was seen; {mended.evidence}")
    return [fault, mended if shown else nothing_to_mend]


def show_white(outcome: Outcome, context: EditContext, shown: Mapping[str, Edits], names: Sequence[str]) -> None:
    """Show a few faces before white, each with one attribute turned, one model a row."""
    images, _, labels = on_white(context)
    rows = [images[: len(names)]]
    for model in shown.values():
        made = []
        for row, name in enumerate(names):
            one, changes = slice(row, row + 1), {name: turning(float(labels[row, context.column(name)]))}
            made.append(edited(model, images[one], changes, labels[one]))
        rows.append(torch.cat(made))
    columns, caption = [name[:12] for name in names], "One edit before white, one model a row."
    outcome.sheet("white", rows, caption, columns=columns, labels=["input", *shown], cell=80)
