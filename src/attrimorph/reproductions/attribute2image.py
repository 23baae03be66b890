"""Attribute2Image: a disCVAE's layers against the true ones, what edits do to the background, wrong masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from attrimorph.applications.inputs import editor
from attrimorph.applications.layers import as_picture, layered
from attrimorph.data.drawn import faces
from attrimorph.data.masks import SHARE, WAYS, spoiled
from attrimorph.data.masks import wrong_masks as spoil
from attrimorph.evaluators import binary_names
from attrimorph.evaluators.judge import Judge, judge_for
from attrimorph.methods.attribute2image.layering import Composition
from attrimorph.methods.attribute2image.model import LayeredModel, LowerBound
from attrimorph.methods.attribute2image.recipe import CVAE, DISCVAE
from attrimorph.methods.attribute2image.step import overlap
from attrimorph.metrics.edits import background_drift, directions
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Code, Edits, ImageLayers, Model, decisions
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import BATCH, face_model, reconstructed, training_faces, turning
from attrimorph.reproductions.frame import (
    BySeed,
    Claim,
    Outcome,
    Request,
    by_seed,
    claim,
    describe,
    listed,
    outcome_of,
    spread,
)

# --- a disCVAE's layers against the true ones, which the renderer of drawn faces knows

GATE, HIDDEN, BACKGROUND = "gate's IoU", "background behind the face", "background, the whole layer"
FOREGROUND, INSIDE, COMPOSITE = "foreground layer on black", "foreground inside the true mask", "reconstruction"
BARS = {GATE: 0.95, HIDDEN: 20.0, FOREGROUND: 22.0}
PROGRESSED = ("Smiling", "Male", "Young", "Eyeglasses", "Wearing_Hat", "Blond_Hair")
SHOWN, SAMPLED, STEPS = 6, 7, 7


def layers(request: Request) -> Outcome:
    """Take unseen faces apart, and hold every layer against the true one."""
    model = layered(face_model(request, request.model, DISCVAE), "the experiment layers")
    unseen = drawn_images(request.form.unseen, model.image_size)
    request.say(f"taking {len(unseen.images):,} unseen faces apart")
    figures = layer_figures(model, unseen)
    bounds = {
        words: {name: value for name, value in lower_bound(model, unseen, masks).means().items() if value == value}
        for words, masks in (("masks seen", unseen.masks), ("no mask", None))
    }
    outcome = outcome_of(
        "layers", layer_claims(figures), {"layers": figures, "lower bound": bounds},
        model=describe(model, seen=True), unseen=unseen, deviation=model.recipe.losses.deviation,
    )  # fmt: skip
    outcome.pieces += [
        report.figures({name: {"IoU or PSNR in dB": value} for name, value in figures.items()}, ".3f", "layer"),
        report.heading("Lower bound", "Its terms, to be added up, in nats of an image."),
        report.figures(bounds, ",.0f", "the encoders see"),
    ]
    show_layers(outcome, model, unseen.first(SHOWN))
    return outcome


def true_layers(unseen: EvaluationSet) -> faces.TrueLayers:
    """Return the true layers of drawn faces."""
    assert unseen.factors is not None
    return faces.render_layers(unseen.factors, unseen.images.shape[-1])


def layers_of(model: LayeredModel, unseen: EvaluationSet) -> ImageLayers:
    """Return the layers that a model sees, on the CPU."""
    parts = zip(torch.split(unseen.images, BATCH), torch.split(unseen.labels, BATCH), strict=True)
    found = [model.layers(images, labels) for images, labels in parts]
    names = ("foreground", "gate", "background", "composite")
    return ImageLayers(*(torch.cat([getattr(layers, name).cpu() for layers in found]) for name in names))


def layer_figures(model: LayeredModel, unseen: EvaluationSet) -> dict[str, float]:
    """Measure the layers of unseen drawn faces against the true ones."""
    true, found = true_layers(unseen), layers_of(model, unseen)
    gate, everywhere = found.gate.mean(1, keepdim=True), torch.ones(len(unseen.images), dtype=torch.bool)
    front = on_black(true)
    return {
        GATE: float(overlap(gate < 0.5, true.mask > 0.5, everywhere)),
        HIDDEN: float(psnr(found.background, true.background, true.mask).mean()),
        BACKGROUND: float(psnr(found.background, true.background).mean()),
        FOREGROUND: float(psnr(found.foreground, front).mean()),
        INSIDE: float(psnr(found.foreground, front, true.mask).mean()),
        COMPOSITE: float(psnr(found.composite, unseen.images).mean()),
    }


def on_black(true: faces.TrueLayers) -> Tensor:
    """Return the true foreground on black, as a disCVAE paints it, [N, 3, S, S] in [-1, 1]."""
    return (true.foreground + 1) * true.mask - 1


def lower_bound(model: LayeredModel, unseen: EvaluationSet, masks: Tensor | None) -> LowerBound:
    """Evaluate the bound of all faces; arguments as of `LayeredModel.lower_bound`."""
    generator = torch.Generator().manual_seed(0)
    found = [
        model.lower_bound(
            unseen.images[rows], unseen.labels[rows], generator, None if masks is None else masks[rows]
        ).terms
        for rows in torch.split(torch.arange(len(unseen.images)), BATCH)
    ]
    return LowerBound({name: torch.cat([terms[name].cpu() for terms in found]) for name in found[0]})


def layer_claims(figures: Mapping[str, float]) -> list[Claim]:
    """Return the bars, held against the figures."""
    return [claim("layers", name, figures[name], bar) for name, bar in BARS.items()]


def show_layers(outcome: Outcome, model: LayeredModel, few: EvaluationSet) -> None:
    """Show a few faces taken apart, before each other's backgrounds, with attributes that grow, and sampled anew."""
    true, found, generator = true_layers(few), layers_of(model, few), torch.Generator().manual_seed(1)
    columns = {
        "face": few.images,
        "composite": found.composite,
        "foreground": found.foreground,
        "gate": as_picture(found.gate),
        "background": found.background,
        "true front": on_black(true),
        "true gate": as_picture(1 - true.mask),
        "true back": true.background,
    }
    rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
    caption = "Unseen faces, what they were taken for, and the true layers."
    outcome.sheet("layers", rows, caption, columns=list(columns))
    code = model.encode(few.images, few.labels)
    rows = [model.layers_of(code).background.cpu()]
    for row in range(len(few.images)):
        front = Code(code.z[row].expand_as(code.z), code.attributes[row].expand_as(code.attributes))
        rows.append(model.decode(model.with_background(front, code)).cpu())
    labels = ["background", *(f"face {number}" for number in range(1, len(rows)))]
    outcome.sheet("swapped", rows, "One face a row, one background a column: z_B changed places.", labels=labels)
    rows, share = [], torch.linspace(0, 1, STEPS)[:, None]
    for row, name in enumerate(PROGRESSED[: len(few.images)]):
        absent, present = (model.schema.edit(few.labels[row : row + 1], {name: goal}) for goal in (-1.0, 1.0))
        made = model.decode(Code(code.z[row].expand(STEPS, -1), (1 - share) * absent + share * present))
        rows.append(torch.cat([few.images[row : row + 1], made.cpu()]))
    outcome.sheet(
        "progression",
        rows,
        "One attribute a row, from absent to present; z is kept.",
        columns=["face", *(f"{100 * step / (STEPS - 1):.0f} %" for step in range(STEPS))],
        labels=PROGRESSED[: len(rows)],
    )
    rows = [
        torch.cat([image[None], model.decode(model.sample_codes(SAMPLED, generator, y[None])).cpu()])
        for image, y in zip(few.images, few.labels, strict=True)
    ]
    columns_ = ["attributes", *(str(number) for number in range(1, SAMPLED + 1))]
    outcome.sheet("samples", rows, "The attributes of the face on the left, and drawn codes.", columns=columns_)


# --- what edits of attributes do to the background: disCVAE, which paints it apart, against CVAE

EACH = 50  # edits of each attribute and direction
TIMES = 5.0  # how many times CVAE's drift must be that of disCVAE
DRIFTING = ("Smiling", "Wearing_Hat", "Male", "Young", "Eyeglasses", "Blond_Hair")
BRIGHTER = 4  # times, in pictures of differences
WORDS = {"cvae": "CVAE", "discvae": "disCVAE"}


@dataclass(frozen=True)
class TrueEdit:
    """One edit of some faces.

    Attributes:
        name: the attribute; goal: whether it is set, or taken away.
        rows: the faces, [n].
        masks: [n, 1, S, S], the person before or after the true edit.
    """

    name: str
    goal: bool
    rows: Tensor
    masks: Tensor


def drift(request: Request) -> Outcome:
    """Edit unseen faces with both models and measure what changes outside the person."""
    models = {
        "cvae": face_model(request, request.other_model, CVAE),
        "discvae": face_model(request, request.model, DISCVAE),
    }
    edits = {which: editor(model, "the experiment drift") for which, model in models.items()}
    figures, reached, similarity = {}, {}, {}
    for which, model in models.items():
        unseen = drawn_images(request.form.unseen, model.image_size)
        request.say(f"editing with {WORDS[which]}")
        before = reconstructed(model, unseen.images, unseen.labels)
        similarity[which] = float(psnr(before, unseen.images).mean())
        judge = judge_for(model.schema, model.image_size, model.device)
        figures[which], reached[which] = drifts(edits[which], unseen, before, true_edits(unseen), judge)
    means = {which: sum(values.values()) / len(values) for which, values in figures.items()}
    outcome = outcome_of(
        "drift",
        drift_claims(means),
        {
            "mean drift": means,
            "drift by attribute": figures,
            "edits that reached their goal": {which: x if x == x else None for which, x in reached.items()},
            "PSNR of reconstructions": similarity,
        },
        unseen=unseen, attributes=len(figures["cvae"]), each=EACH,
        cvae=describe(models["cvae"], seen=True), discvae=describe(models["discvae"], seen=True),
    )  # fmt: skip
    rows: dict[str, dict[str, float | str]] = {
        name: {WORDS[which]: figures[which][name] for which in WORDS} for name in figures["cvae"]
    }
    rows["mean of the attributes"] = {WORDS[which]: report.bold(f"{means[which]:.3f}") for which in WORDS}
    rows["edits that reached their goal"] = {WORDS[which]: f"{reached[which]:.1%}" for which in WORDS}
    rows["PSNR of reconstructions in dB"] = {WORDS[which]: f"{similarity[which]:.2f}" for which in WORDS}
    outcome.pieces.append(report.figures(rows, ".3f", "drift in 1/255"))
    if len({model.image_size for model in models.values()}) == 1:
        show_drift(outcome, models, edits, unseen.first(len(DRIFTING)))
    return outcome


def true_edits(unseen: EvaluationSet, each: int = EACH) -> list[TrueEdit]:
    """Return all edits of drawn faces, with true masks."""
    assert unseen.factors is not None
    assert unseen.masks is not None
    found = []
    for name in binary_names(faces.SCHEMA):
        for goal, every in directions(unseen.labels, faces.SCHEMA, name, drawn=True):
            rows = every[:each]
            if len(rows):
                factors = faces.set_attribute(unseen.factors[rows], name, goal)
                after = faces.render_layers(factors, unseen.images.shape[-1]).mask
                found.append(TrueEdit(name, goal, rows, torch.maximum(unseen.masks[rows], after)))
    return found


def drifts(
    model: Edits, unseen: EvaluationSet, before: Tensor, edits: Sequence[TrueEdit], judge: Judge | None
) -> tuple[dict[str, float], float]:
    """Measure edits.

    Args:
        model: who edits.
        unseen: faces and their attributes.
        before: their reconstructions, [N, 3, S, S].
        edits: what is edited.
        judge: who tells whether an edit reached its goal, or None.

    Returns:
        The mean drift of each attribute in 1/255, and the share of edits that reached their goal, NaN without a judge.
    """
    drift: dict[str, list[Tensor]] = {}
    reached = []
    for each in edits:
        strength = 1.0 if each.goal else -1.0
        edited = model.edit(unseen.images[each.rows], {each.name: strength}, unseen.labels[each.rows]).cpu()
        drift.setdefault(each.name, []).append(background_drift(before[each.rows], edited, each.masks))
        if judge is not None:
            seen = decisions(judge(edited), judge.schema)[:, judge.schema.columns(each.name).start]
            reached.append((seen == float(each.goal)).double())
    means = {name: float(torch.cat(parts).nanmean()) for name, parts in drift.items()}
    return means, float(torch.cat(reached).mean()) if reached else float("nan")


def drift_claims(means: Mapping[str, float]) -> list[Claim]:
    """Return the bar, held against the mean drifts."""
    return [claim("drift", "less", means["cvae"], means["discvae"], times=TIMES, ratio=TIMES)]


def show_drift(outcome: Outcome, models: Mapping[str, Model], edits: Mapping[str, Edits], few: EvaluationSet) -> None:
    """Show an edit a row: reconstruction, edit and their difference, of both models."""
    rows, labels = [], []
    for row, name in enumerate(DRIFTING[: len(few.images)]):
        image, y = few.images[row : row + 1], few.labels[row : row + 1]
        change = {name: turning(float(y[0, faces.SCHEMA.columns(name).start]))}
        cells = [image]
        for which, model in models.items():
            before, after = reconstructed(model, image, y), edits[which].edit(image, change, y).cpu()
            cells += [before, after, (BRIGHTER * (after - before).abs() - 1).clamp(max=1)]
        rows.append(torch.cat(cells))
        labels.append(f"{'with' if change[name] > 0 else 'without'} {name}")
    columns = ["face", *(word for which in models for word in (WORDS[which], "edited", "difference"))]
    caption = f"Differences are {BRIGHTER} times as bright as they are."
    outcome.sheet("drift", rows, caption, columns=columns, labels=labels)


# --- disCVAE taught with wrong masks: the paper's composition against the convex one

SHORT = {"data.image_size": 32, "training.images": 40_000}
COMPOSITIONS: tuple[Composition, ...] = get_args(Composition)
FORMULAS = {"sum": "x_F + x_B g", "convex": "x_F (1 - g) + x_B g"}
CLAIMED = {COMPOSITE: "reconstruction", BACKGROUND: "background", FOREGROUND: "foreground"}
FACES = 4  # shown


def wrong_masks(request: Request) -> Outcome:
    """Train both compositions with right and with wrong masks, and measure all against the true layers."""
    if request.model is not None:
        request.say("wrong-masks compares trainings of its own; --model plays no part")
    recipe = request.recipe(DISCVAE, 0, SHORT)
    size = recipe.data.image_size
    # At this size for itself: data that were named may have another one.
    right = training_faces(Request(request.out, form=request.form, progress=request.progress), size)
    data = {"right": right, "wrong": spoil(right)}
    unseen = drawn_images(request.form.unseen, size)
    asked = {f"{composition}, {masks} masks": (composition, masks) for composition in COMPOSITIONS for masks in data}

    def trained(name: str, seed: int) -> Path:
        composition, masks = asked[name]
        whole = request.recipe(DISCVAE, seed, {**SHORT, "losses.composition": composition})
        return request.trained(f"{DISCVAE} {composition}", whole, data[masks])

    figures, models = request.each_seed(
        asked, trained, lambda model: layer_figures(layered(model, "wrong-masks"), unseen), "wrong-masks",
        {"images": unseen.words},
    )  # fmt: skip
    outcome = outcome_of(
        "wrong-masks", mask_claims(figures),
        {"by seed": figures, "losses": {c: losses(figures, c) for c in COMPOSITIONS}},
        share=SHARE, images=recipe.training.images, faces=len(right.indices("train")), size=size,
        seeds=listed(request.seeds, "d"), recipe=DISCVAE, unseen=unseen,
    )  # fmt: skip
    names = (COMPOSITE, GATE, BACKGROUND, HIDDEN, FOREGROUND, INSIDE)
    rows = {
        run: {name: spread(by_seed(figures, name)[run], ".3f" if name == GATE else ".2f") for name in names}
        for run in figures
    }
    lost = {
        name: {f"{each}: {FORMULAS[each]}": spread(losses(figures, each)[name]) for each in COMPOSITIONS}
        for name in next(iter(figures.values()))[0]
    }
    outcome.pieces += [
        report.heading("Figures", "PSNR in dB, IoU of the gate."),
        report.figures(rows, corner="composition, masks"),
        report.figures(lost, corner="lost by wrong masks"),
    ]
    few = unseen.first(FACES)
    assert few.masks is not None
    true = few.masks[:, 0]
    masks = [true, *(spoiled(true, how, turns=torch.arange(len(true))) for how in WAYS)]
    shown = [as_picture(row[:, None]) for row in masks]
    outcome.sheet("masks", shown, "True masks, and how they were spoiled.", labels=["true", *WAYS])
    shown = [torch.cat([few.images] * 3)]
    for model in models.values():
        found = layers_of(layered(model, "wrong-masks"), few)
        shown.append(torch.cat([found.background, as_picture(found.gate), found.composite]))
    outcome.sheet("layers", shown, "Background, gate and composite of the four.", labels=["face", *models])
    return outcome


def losses(figures: BySeed, composition: str) -> dict[str, list[float]]:
    """Return what wrong masks cost a composition, by figure, a value for each seed."""
    right, wrong = figures[f"{composition}, right masks"], figures[f"{composition}, wrong masks"]
    return {name: [a[name] - b[name] for a, b in zip(right, wrong, strict=True)] for name in right[0]}


def mask_claims(figures: BySeed) -> list[Claim]:
    """Return that the paper's composition loses less, held against the figures."""
    convex, ours = losses(figures, "convex"), losses(figures, "sum")
    return [claim("wrong-masks", "less", convex[name], ours[name], layer=words) for name, words in CLAIMED.items()]
