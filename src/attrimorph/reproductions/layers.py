"""Attribute2Image's disCVAE: its layers against the true ones, which the renderer of drawn faces knows."""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.layers import as_picture, layered
from attrimorph.data.drawn import faces
from attrimorph.methods.attribute2image.model import LayeredModel, LowerBound
from attrimorph.methods.attribute2image.recipe import DISCVAE
from attrimorph.methods.attribute2image.step import overlap
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.reconstruction import psnr
from attrimorph.models.codes import Code, ImageLayers
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, at_least
from attrimorph.reproductions.face_models import BATCH, face_model, told, unseen_faces
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "layers"
GATE, HIDDEN, BACKGROUND = "gate's IoU", "background behind the face", "background, the whole layer"
FOREGROUND, INSIDE, COMPOSITE = "foreground layer on black", "foreground inside the true mask", "reconstruction"
BARS = {GATE: 0.95, HIDDEN: 20.0, FOREGROUND: 22.0}
PROGRESSED = ("Smiling", "Male", "Young", "Eyeglasses", "Wearing_Hat", "Blond_Hair")
SHOWN, SAMPLED, STEPS = 6, 7, 7


def run(request: Request) -> Outcome:
    """Take unseen faces apart, and hold every layer against the true one."""
    model = layered(face_model(request, request.model, DISCVAE), f"the experiment {NAME}")
    unseen = unseen_faces(request, model.image_size)
    request.say(f"taking {len(unseen.images):,} unseen faces apart")
    figures = layer_figures(model, unseen)
    bounds = {
        words: {name: value for name, value in lower_bound(model, unseen, masks).means().items() if value == value}
        for words, masks in (("masks seen", unseen.masks), ("no mask", None))
    }
    outcome = Outcome(
        name=NAME,
        title="Layers",
        lead="A disCVAE takes faces apart that it never saw: what is in front, where it is, and what is behind it.",
        protocol={
            "model": told(model),
            "images": unseen.words,
            "codes": "means of q(z_F, z_B | x, y) with the true attributes, and without any mask",
            "gate's IoU": "gate below one half against true mask above one half, mean over images",
            "PSNR": "data range 1, in dB, mean over images; behind the face: weighted with the true mask",
            "lower bound": "nats of an image, one draw of the codes, densities on the scale of [-1, 1], deviation "
            f"{model.recipe.losses.deviation:g}",
        },
        claims=claims(figures),
        figures={"layers": figures, "lower bound": bounds},
    )
    rows = [[report.text(name), f"{value:.3f}"] for name, value in figures.items()]
    outcome.pieces += [report.table(["layer", "IoU or PSNR in dB"], rows, numbers=(1,)), bound_table(bounds)]
    outcome.show("layers", taken_apart(model, unseen), "Unseen faces, what they were taken for, and the true layers.")
    outcome.show("swapped", swapped(model, unseen), "One face a row, one background a column: z_B changed places.")
    outcome.show("progression", progression(model, unseen), "One attribute a row, from absent to present; z is kept.")
    outcome.show("samples", sampled(model, unseen), "The attributes of the face on the left, and drawn codes.")
    return outcome


def true_layers(unseen: EvaluationSet) -> faces.Layers:
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


def on_black(true: faces.Layers) -> Tensor:
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


def claims(figures: Mapping[str, float]) -> list[Claim]:
    """Return the bars, held against the figures."""
    words = {
        GATE: "The gate is where the person is",
        HIDDEN: "The background behind the face is made up well",
        FOREGROUND: "The foreground is that of the person",
    }
    return [
        at_least(words[name], [figures[name]], bar, source="ours", name=name, form=".2f" if bar < 1 else ".1f")
        for name, bar in BARS.items()
    ]


def bound_table(bounds: Mapping[str, Mapping[str, float]]) -> str:
    """Return the lower bound term by term; a term that is not there has no figure."""
    names = list(next(iter(bounds.values())))
    rows = [
        [report.text(way), *(f"{means[name]:,.0f}" if name in means else "–" for name in names)]
        for way, means in bounds.items()
    ]
    return report.heading("Lower bound", "Its terms, to be added up, in nats of an image.") + report.table(
        ["the encoders see", *names], rows, numbers=range(1, len(names) + 1)
    )


def taken_apart(model: LayeredModel, unseen: EvaluationSet) -> Image.Image:
    """Return faces with their layers, found and true."""
    few = unseen.first(SHOWN)
    true, found = true_layers(few), layers_of(model, few)
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
    return _sheet(columns)


def swapped(model: LayeredModel, unseen: EvaluationSet) -> Image.Image:
    """Return every face before every background."""
    few = unseen.first(SHOWN)
    code = model.encode(few.images, few.labels)
    rows = [model.layers_of(code).background]
    for row in range(len(few.images)):
        front = Code(code.z[row].expand_as(code.z), code.attributes[row].expand_as(code.attributes))
        rows.append(model.decode(model.with_background(front, code)))
    words = ["background", *(f"face {number}" for number in range(1, len(rows)))]
    return sheet([row.cpu() for row in rows], labels=words, cell=64, clear=True)


def progression(model: LayeredModel, unseen: EvaluationSet) -> Image.Image:
    """Return one attribute going from absent to present, on one face each."""
    few = unseen.first(len(PROGRESSED))
    code = model.encode(few.images, few.labels)
    rows = []
    for row, name in enumerate(PROGRESSED[: len(few.images)]):
        y = few.labels[row : row + 1]
        absent, present = model.schema.edit(y, {name: -1.0}), model.schema.edit(y, {name: 1.0})
        share = torch.linspace(0, 1, STEPS)[:, None]
        way = model.decode(Code(code.z[row].expand(STEPS, -1), (1 - share) * absent + share * present))
        rows.append(torch.cat([few.images[row : row + 1], way.cpu()]))
    words = ["face", *(f"{100 * step / (STEPS - 1):.0f} %" for step in range(STEPS))]
    return sheet(rows, columns=words, labels=PROGRESSED[: len(rows)], cell=64, clear=True)


def sampled(model: LayeredModel, unseen: EvaluationSet) -> Image.Image:
    """Return samples with the attributes of faces."""
    few, generator = unseen.first(SHOWN), torch.Generator().manual_seed(1)
    rows = [
        torch.cat([image[None], model.decode(model.sample_codes(SAMPLED, generator, y[None])).cpu()])
        for image, y in zip(few.images, few.labels, strict=True)
    ]
    return sheet(rows, columns=["attributes", *(str(number) for number in range(1, SAMPLED + 1))], cell=64, clear=True)


def _sheet(columns: Mapping[str, Tensor]) -> Image.Image:
    rows: Sequence[Tensor] = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
    return sheet(rows, columns=list(columns), cell=64, clear=True)
