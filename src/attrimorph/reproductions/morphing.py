"""Experiment d of the CVAE-GAN paper: from one image of a class to another, z = (1 - a) z1 + a z2."""

from itertools import pairwise

import torch
from torch import Tensor

from attrimorph.applications.paths import linear
from attrimorph.metrics.perceptual import perceptual_distance
from attrimorph.models.codes import Code, Encodes
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.ablation import sharpness
from attrimorph.reproductions.claims import Claim, at_most, more
from attrimorph.reproductions.class_models import Setting, class_model, real_images, setting, top_1
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "morphing"
STEPS = 9
PAIRS = 200  # that are measured
SHOWN = 6
KEPT = 0.95  # of the ends' top-1 that images on the way must keep
JUMP = 2.0  # the longest step, in mean steps, that still is gradual
SOURCE = "paper, attribute morphing"


def run(request: Request) -> Outcome:
    """Go from one held-out image to another of its class, through z and, for comparison, through pixels."""
    place = setting(request)
    model = class_model(request, place)
    first, second, labels = pairs(place)
    way = frames(model, first, second, labels, place)
    share = torch.linspace(0, 1, STEPS)[:, None, None, None, None]
    pixels = (1 - share) * way[:1] + share * way[-1:]
    figures = {
        "top-1 along the way": [top_1(place, step, labels) for step in way],
        "top-1 along the way through pixels": [top_1(place, step, labels) for step in pixels],
        "sharpness along the way": [float(sharpness(step).mean()) for step in way],
        "sharpness along the way through pixels": [float(sharpness(step).mean()) for step in pixels],
        "perceptual length of each step": steps(place, way),
    }
    outcome = Outcome(
        name=NAME,
        title="Morphing",
        lead="Between two images of one class the class is kept, and all else changes little by little.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "pairs": f"{len(labels)} of held-out images of one class, {STEPS} steps; z = mean of q(z | x, class)",
            "perceptual distance": f"by {place.recogniser.name}",
        },
        claims=claims(figures, len(labels)),
        figures=figures,
    )
    rows, words = [], []
    for pair in range(min(SHOWN, len(labels))):
        rows += [way[:, pair], pixels[:, pair]]
        words += ["through z", "through pixels"]
    outcome.show("morphs", sheet(rows, labels=words, cell=64, clear=True), "One pair in two rows.")
    shares = [step / (STEPS - 1) for step in range(STEPS)]
    outcome.pieces.append(
        report.curves(
            [
                report.chart(
                    what,
                    {
                        "z": list(zip(shares, figures[f"{what} along the way"], strict=True)),
                        "pixels": list(zip(shares, figures[f"{what} along the way through pixels"], strict=True)),
                    },
                    x_label="share of the way",
                )
                for what in ("top-1", "sharpness")
            ]
        )
    )
    return outcome


def pairs(place: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Return held-out images, another one of its class for each, and the classes; an image stands in one pair."""
    images, labels = real_images(place)
    first, second = [], []
    for label in range(len(place.classes)):
        rows = (labels == label).nonzero()[:, 0].tolist()
        first += rows[0 : len(rows) // 2 * 2 : 2]
        second += rows[1::2]
    return images[first[:PAIRS]], images[second[:PAIRS]], labels[first[:PAIRS]]


def frames(model: Model, first: Tensor, second: Tensor, labels: Tensor, place: Setting) -> Tensor:
    """Return the ways, [STEPS, N, 3, S, S]."""
    assert isinstance(model, Encodes)
    y = torch.nn.functional.one_hot(labels, len(place.classes)).float()
    one, two = model.encode(first, y).z, model.encode(second, y).z
    way = linear(one, two, STEPS)
    return torch.stack([model.decode(Code(z, y)).cpu() for z in way])


def steps(place: Setting, way: Tensor) -> list[float]:
    """Return the mean perceptual length of each step."""
    distance = perceptual_distance(place.recogniser)
    return [float(distance(a, b).mean()) for a, b in pairwise(way)]


def claims(figures: dict[str, list[float]], pairs: int) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model on so many pairs."""
    recognised, lengths = figures["top-1 along the way"], figures["perceptual length of each step"]
    ends = (recognised[0] + recognised[-1]) / 2
    middle = STEPS // 2
    mixed = figures["sharpness along the way through pixels"]
    through = figures["sharpness along the way"]
    longest = max(lengths) / (sum(lengths) / len(lengths))
    return [
        more(
            "On the way the class is kept",
            [min(recognised)],
            [ends],
            source=SOURCE,
            names=("the least top-1 on the way", "of the ends"),
            form=".1%",
            counted=(pairs, 2 * pairs),
            times=KEPT,
        ),
        at_most(
            "The change is gradual: no step is much longer than the others",
            [longest],
            JUMP,
            source=SOURCE,
            name="the longest step in mean steps",
            form=".2f",
        ),
        more(
            "Half-way the image is sharper than a mixture of pixels",
            [through[middle] / through[0]],
            [mixed[middle] / mixed[0]],
            source="ours",
            names=("sharpness half-way (ends = 1) through z", "through pixels"),
            form=".3f",
        ),
    ]
