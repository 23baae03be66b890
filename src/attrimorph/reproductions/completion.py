"""Attribute2Image's completion by inversion: a hidden half, eyes, mouth; against iterated inpainting and the mean."""

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.inpaint import inpaint, mean_filled, spread
from attrimorph.applications.inputs import encoder
from attrimorph.applications.options import Search
from attrimorph.errors import AttrimorphError
from attrimorph.methods.attribute2image.recipe import DISCVAE
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.reconstruction import psnr
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.face_models import face_model, told, unseen_faces
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "completion"
IMAGES = 100  # that are measured
STEPS, TIMES = 100, 10  # of an inversion; iterations
HOLES = {"half": (32, 0, 64, 64), "eyes": (14, 24, 50, 36), "mouth": (20, 42, 44, 54)}
"""left, top, right, bottom in 64ths of the image."""
INVERTED, ITERATED, OTHER, MEAN, BORDER = (
    "by inversion", "CVAE-GAN, iterated", "CVAE-GAN, by inversion", "mean colour", "border spread",
)  # fmt: skip
SHOWN = 4
Figures = Mapping[str, Mapping[str, float]]


def run(request: Request) -> Outcome:
    """Hide parts of unseen faces, complete them in several ways, and measure what stands in the holes."""
    model = face_model(request, request.model, DISCVAE)
    other = face_model(request, request.other_model or "drawn-faces-64", "drawn-faces-64")
    encoder(other, f"the experiment {NAME}")
    if model.image_size != other.image_size:
        raise AttrimorphError(
            f"both models must make images of one size; they make {model.image_size} and {other.image_size} pixels; "
            "name another --other-model"
        )
    unseen = unseen_faces(request, model.image_size).first(IMAGES)
    completed = {name: complete(request, model, other, unseen, name) for name in HOLES}
    figures = {
        name: {way: float(psnr(unseen.images, images, hole(name, unseen)).mean()) for way, images in ways.items()}
        for name, ways in completed.items()
    }
    outcome = Outcome(
        name=NAME,
        title="Completion",
        lead="What is hidden is what the nearest image that a model can make, judged by the rest, shows there.",
        protocol={
            "model": told(model),
            "CVAE-GAN": told(other),
            "images": unseen.words,
            "holes": ", ".join(f"{name} {'x'.join(map(str, sides(box)))}" for name, box in HOLES.items())
            + " in 64ths of the image",
            INVERTED: f"min over z and y of the squared error over the known pixels, {STEPS} steps of Adam",
            ITERATED: f"x <- M G(E(x, y), y) + (1 - M) x, {TIMES} times, from the border spread inwards",
            "attributes": "unknown; where it is said they are given",
            "PSNR": "in the hole, against the truth, data range 1, in dB, mean over images",
        },
        claims=claims(figures),
        figures=figures,
    )
    outcome.pieces.append(table(figures))
    for name, ways in completed.items():
        outcome.show(name, picture(unseen, name, ways), f"Hidden: {name}.")
    return outcome


def sides(box: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return width and height of a hole."""
    return box[2] - box[0], box[3] - box[1]


def hole(name: str, unseen: EvaluationSet) -> Tensor:
    """Return the mask of a hole, [N, 1, S, S], 1 = hidden."""
    size = unseen.images.shape[-1]
    left, top, right, bottom = (round(place * size / 64) for place in HOLES[name])
    mask = torch.zeros(len(unseen.images), 1, size, size)
    mask[:, :, top:bottom, left:right] = 1
    return mask


def complete(request: Request, model: Model, other: Model, unseen: EvaluationSet, name: str) -> dict[str, Tensor]:
    """Return the faces completed in every way, [N, 3, S, S]."""
    images, masks = unseen.images, hole(name, unseen)

    def found(by: Model, attributes: Tensor | None) -> Tensor:
        return inpaint(
            by,
            images,
            masks,
            attributes,
            invert=Search(STEPS),
            progress=lambda done, steps: request.progress(f"completing {name}", done, steps),
        ).inpainted

    return {
        INVERTED: found(model, None),
        f"{INVERTED}, attributes given": found(model, unseen.labels),
        ITERATED: inpaint(other, images, masks, None, TIMES).inpainted,
        f"{ITERATED}, attributes given": inpaint(other, images, masks, unseen.labels, TIMES).inpainted,
        OTHER: found(other, None),
        BORDER: spread(images, masks),
        MEAN: mean_filled(images, masks),
    }


def claims(figures: Figures) -> list[Claim]:
    """Return what is claimed of every hole, held against the figures."""
    return [
        more(
            f"{name}: the completion by inversion is nearer to the truth than {words}",
            [figures[name][INVERTED]],
            [figures[name][way]],
            source="ours",
            names=("PSNR in the hole in dB", words),
            form=".2f",
        )
        for way, words in ((MEAN, "the mean colour"), (ITERATED, "CVAE-GAN's iterated inpainting"))
        for name in HOLES
    ]


def table(figures: Figures) -> str:
    """Return PSNR in the holes."""
    ways = list(next(iter(figures.values())))
    rows = [[report.text(way), *(f"{figures[name][way]:.2f}" for name in HOLES)] for way in ways]
    return report.table(["PSNR in the hole, dB", *HOLES], rows, numbers=range(1, len(HOLES) + 1))


def picture(unseen: EvaluationSet, name: str, ways: Mapping[str, Tensor]) -> Image.Image:
    """Return faces, without what is hidden, and completed."""
    holed = torch.where(hole(name, unseen) > 0, torch.zeros(()), unseen.images)
    shown = {"face": unseen.images, "known": holed, **{way: ways[way] for way in (INVERTED, ITERATED, OTHER, MEAN)}}
    return sheet([each[: 2 * SHOWN] for each in shown.values()], labels=list(shown), cell=64, clear=True)
