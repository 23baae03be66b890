"""Experiment k of the CVAE-GAN paper: the training images nearest to samples, to see that samples are no copies."""

import torch
from torch import Tensor

from attrimorph.applications.nearest import Nearest, nearest_images
from attrimorph.pictures import sheet, to_bytes
from attrimorph.reproductions.claims import Claim, at_least
from attrimorph.reproductions.class_models import class_model, real_images, samples, setting
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "copies"
SAMPLES = 200
FOUND = 5
SHOWN = 6
COPY = 0.5  # a copy lies less than this share as far from its original as from the next image
SOURCE = "paper, nearest neighbours"


def run(request: Request) -> Outcome:
    """Search the train split for the images nearest to samples, and, for comparison, to held-out images."""
    place = setting(request)
    model = class_model(request, place)
    labels = torch.arange(SAMPLES) % len(place.classes)
    made, (real, _) = samples(model, labels), real_images(place, most=SAMPLES)
    rows = place.data.indices("train")
    near = {
        name: nearest_images(to_bytes(images), place.data.images, rows, FOUND)
        for name, images in (("samples", made), ("held-out images", real))
    }
    figures = {f"{what}, {name}": value for name, found in near.items() for what, value in measured(found).items()}
    outcome = Outcome(
        name=NAME,
        title="No copies",
        lead="Beside each sample the training images nearest to it: alike, never the same.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "search": f"exact, {len(rows):,} images of the train split, root mean squared difference in levels of 255",
            "ratio": "distance to the nearest image as a share of that to the second nearest; a copy's is near 0",
        },
        claims=claims(figures),
        figures=figures,
    )
    lines = []
    for sample in range(SHOWN):
        found, _ = place.data.batch(rows[near["samples"].rows[sample].numpy()])
        lines.append(torch.cat([made[sample : sample + 1], found]))
    words = ["sample", *(str(rank) for rank in range(1, FOUND + 1))]
    outcome.show("nearest", sheet(lines, columns=words, cell=64, clear=True))
    return outcome


def measured(found: Nearest) -> dict[str, float]:
    """Return the median distance to the nearest image, and the least and the median ratio to the second nearest."""
    ratio = ratios(found.distances)
    return {
        "median distance": float(found.distances[:, 0].median()),
        "least ratio": float(ratio.min()),
        "median ratio": float(ratio.median()),
    }


def ratios(distances: Tensor) -> Tensor:
    """Return the distance to the nearest as a share of that to the second nearest, [Q]; 0 where an image is equal."""
    return distances[:, 0] / distances[:, 1].clamp_min(1e-9)


def claims(figures: dict[str, float]) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model."""
    least = figures["least ratio, samples"]
    return [
        at_least(
            "No sample is a copy of a training image",
            [least],
            COPY,
            source=SOURCE,
            name=f"median distance {figures['median distance, samples']:.1f} levels of 255, of held-out images "
            f"{figures['median distance, held-out images']:.1f}; least distance to the nearest as a share of that to "
            f"the second nearest, of held-out images {figures['least ratio, held-out images']:.3f}, of samples",
            form=".3f",
        )
    ]
