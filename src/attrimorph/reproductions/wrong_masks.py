"""Attribute2Image: disCVAE taught with wrong masks; the paper's composition against the convex one."""

from collections.abc import Mapping, Sequence
from typing import get_args

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.layers import as_picture, layered
from attrimorph.data.wrong_masks import SHARE, WAYS, spoiled, wrong_masks
from attrimorph.loading import load
from attrimorph.methods.attribute2image.layering import Composition
from attrimorph.methods.attribute2image.model import LayeredModel
from attrimorph.methods.attribute2image.recipe import DISCVAE
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, listed, more, spread
from attrimorph.reproductions.class_models import by_seed, remembered
from attrimorph.reproductions.face_models import recipe_for, trained, training_faces, unseen_faces
from attrimorph.reproductions.layers import (
    BACKGROUND,
    COMPOSITE,
    FOREGROUND,
    GATE,
    HIDDEN,
    INSIDE,
    layer_figures,
    layers_of,
)
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "wrong-masks"
SHORT = {"data.image_size": 32, "training.images": 40_000}
COMPOSITIONS: tuple[Composition, ...] = get_args(Composition)
WORDS = {"sum": "x_F + x_B g", "convex": "x_F (1 - g) + x_B g"}
CLAIMED = {COMPOSITE: "reconstruction", BACKGROUND: "background", FOREGROUND: "foreground"}
SHOWN = 4
Figures = Mapping[str, Sequence[Mapping[str, float]]]


def run(request: Request) -> Outcome:
    """Train both compositions with right and with wrong masks, and measure all against the true layers."""
    if request.model is not None:
        request.say(f"{NAME} compares trainings of its own; --model plays no part")
    size = recipe_for(request, DISCVAE, 0, SHORT).data.image_size
    # At this size for itself: data that were named may have another one.
    right = training_faces(Request(request.out, form=request.form, progress=request.progress), size)
    data = {"right": right, "wrong": wrong_masks(right)}
    unseen = unseen_faces(request, size)
    figures: dict[str, list[dict[str, float]]] = {}
    models: dict[str, LayeredModel] = {}
    for composition in COMPOSITIONS:
        for masks, each in data.items():
            name = f"{composition}, {masks} masks"
            figures[name] = []
            for seed in request.seeds:
                recipe = recipe_for(request, DISCVAE, seed, {**SHORT, "losses.composition": composition})
                folder = trained(request, recipe, each, f"{DISCVAE} {composition}")
                model = layered(load(folder, request.device), NAME)
                models.setdefault(name, model)
                key = {"model": model.hash, "images": unseen.words}
                figures[name].append(remembered(folder, NAME, key, lambda model=model: layer_figures(model, unseen)))
    outcome = Outcome(
        name=NAME,
        title="Wrong masks",
        lead="A disCVAE that was taught with wrong masks, of which it cannot know, is asked for the right layers.",
        protocol={
            "wrong masks": f"a third eroded and a third dilated by {SHARE:.0%} of the foreground's area, a third "
            f"shifted by {SHARE:.0%} of its root, all that a run is taught with; the row tells which "
            "mask is wrong how",
            "training": f"{recipe.training.images:,} of {len(right.indices('train')):,} drawn faces of {size} px for "
            f"each run, seeds {listed(request.seeds, 'd')}; else as recipe {DISCVAE}",
            "images": unseen.words,
            "codes": "with the true attributes, and without any mask",
            "loss": "a run's figure with right masks less that with wrong ones, of the same composition and seed",
        },
        claims=claims(figures),
        figures={"by seed": figures, "losses": {c: losses(figures, c) for c in COMPOSITIONS}},
    )
    outcome.pieces += [table(figures), loss_table(figures)]
    outcome.show("masks", spoiled_ones(unseen), "True masks, and how they were spoiled.")
    outcome.show("layers", compared(models, unseen), "Background, gate and composite of the four.")
    return outcome


def losses(figures: Figures, composition: str) -> dict[str, list[float]]:
    """Return what wrong masks cost a composition, by figure, a value for each seed."""
    right, wrong = figures[f"{composition}, right masks"], figures[f"{composition}, wrong masks"]
    return {name: [a[name] - b[name] for a, b in zip(right, wrong, strict=True)] for name in right[0]}


def claims(figures: Figures) -> list[Claim]:
    """Return that the paper's composition loses less, held against the figures."""
    convex, ours = losses(figures, "convex"), losses(figures, "sum")
    return [
        more(
            f"The {words} loses less by wrong masks with the paper's composition than with the convex one",
            convex[name],
            ours[name],
            source="paper, section 3.2",
            names=("loss of the convex one in dB", "of the paper's"),
            form=".3f",
        )
        for name, words in CLAIMED.items()
    ]


def table(figures: Figures) -> str:
    """Return the figures of the runs."""
    names = (COMPOSITE, GATE, BACKGROUND, HIDDEN, FOREGROUND, INSIDE)
    columns = [by_seed(figures, name) for name in names]
    rows = [[report.text(run), *(spread(column[run], ".2f" if name != GATE else ".3f") for name, column in
             zip(names, columns, strict=True))] for run in figures]  # fmt: skip
    head = ["composition, masks", *names]
    return report.heading("Figures", "PSNR in dB, IoU of the gate.") + report.table(
        head, rows, numbers=range(1, len(head))
    )


def loss_table(figures: Figures) -> str:
    """Return what wrong masks cost."""
    found = {composition: losses(figures, composition) for composition in COMPOSITIONS}
    rows = [
        [report.text(name), *(spread(found[composition][name]) for composition in COMPOSITIONS)]
        for name in found[COMPOSITIONS[0]]
    ]
    head = ["lost by wrong masks", *(f"{composition}: {WORDS[composition]}" for composition in COMPOSITIONS)]
    return report.table(head, rows, numbers=range(1, len(head)))


def spoiled_ones(unseen: EvaluationSet) -> Image.Image:
    """Return true and spoiled masks."""
    assert unseen.masks is not None
    true = unseen.masks[:SHOWN, 0]
    rows = [true, *(spoiled(true, way, turns=torch.arange(len(true))) for way in WAYS)]
    return sheet([_grey(row) for row in rows], labels=["true", *WAYS], cell=64, clear=True)


def _grey(masks: Tensor) -> Tensor:
    return as_picture(masks[:, None])


def compared(models: Mapping[str, LayeredModel], unseen: EvaluationSet) -> Image.Image:
    """Return a few faces' layers as each model sees them."""
    few = unseen.first(SHOWN)
    rows = [torch.cat([few.images] * 3)]
    for model in models.values():
        found = layers_of(model, few)
        rows.append(torch.cat([found.background, as_picture(found.gate), found.composite]))
    return sheet(rows, labels=["face", *models], cell=64, clear=True)
