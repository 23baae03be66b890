"""Experiments b and c, Figure 5 and Table 1 of the CVAE-GAN paper: samples of a class, and who recognises them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from PIL import Image

from attrimorph.loading import load
from attrimorph.methods.cvae_gan.recipe import TABLE_ONE as METHODS
from attrimorph.metrics.distribution import diversity, inception_style_score
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.metrics.perceptual import perceptual_distance
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, listed, more, spread
from attrimorph.reproductions.class_models import (
    SAMPLE_SEED,
    Setting,
    by_seed,
    every_class,
    real_images,
    remembered,
    samples,
    setting,
    top_1,
    trained,
)
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "table-one"
WORDS = {"real": "real images", "cvae": "CVAE", "cgan": "CGAN", "fm-cgan": "FM-CGAN", "cvae-gan": "CVAE-GAN"}
PUBLISHED = {
    "real": (0.9961, 20.85),
    "cvae": (0.0809, 10.29),
    "cgan": (0.6197, 15.79),
    "fm-cgan": (0.7976, 19.40),
    "cvae-gan": (0.9778, 19.03),
}
"""Top-1 accuracy and Inception-style score: 53,000 samples of FaceScrub's 530 people, 128x128."""
SOURCE = "paper, Table 1"
ROWS, COLUMNS = 6, 10  # of the grids: classes, samples

Figures = Mapping[str, Sequence[Mapping[str, float]]]


def run(request: Request) -> Outcome:
    """Train every method with every seed on the same images and measure samples of every class."""
    place = setting(request)
    models: dict[str, Model] = {}
    figures: dict[str, list[dict[str, float]]] = {"real": [measure_real(place)] * len(request.seeds)}
    for method in METHODS:
        figures[method] = []
        for seed in request.seeds:
            folder = trained(request, place, method, seed)
            model = load(folder, request.device)
            models.setdefault(method, model)
            key = {"model": model.hash, **place.protocol()}
            figures[method].append(remembered(folder, NAME, key, lambda model=model: measure(place, model)))
    recipe = models["cvae-gan"].recipe
    outcome = Outcome(
        name=NAME,
        title="Table 1: who is it?",
        lead=(
            f"Four methods with equal networks learn {len(place.classes)} classes from the same images. A recogniser "
            "that was trained on the real ones looks at their samples."
        ),
        protocol={
            **place.protocol(),
            "training": f"{recipe.training.images:,} images each, batches of {recipe.training.batch_size}, seeds "
            f"{listed(request.seeds, 'd')}; all fields: attrimorph recipes identities-cvae-gan",
        },
        claims=claims(figures, len(every_class(place)), len(place.data.indices("test"))),
        figures={"by seed": figures, "published": {m: {"top-1": a, "score": b} for m, (a, b) in PUBLISHED.items()}},
    )
    outcome.pieces += [
        report.heading("Table 1", "Means over the seeds, and their range; the paper's numbers beside."),
        table(figures),
    ]
    outcome.pieces.append(report.heading("Samples", "One class a row. z is the same for every method."))
    for name, picture in grids(place, models).items():
        outcome.show(f"samples-{name}", picture, WORDS[name])
    return outcome


def measure(place: Setting, model: Model) -> dict[str, float]:
    """Measure samples of every class."""
    labels = every_class(place)
    images = samples(model, labels)
    real, _ = real_images(place)
    recogniser = place.recogniser
    probabilities = recogniser(images)
    return {
        "top-1": float((probabilities.argmax(1) == labels).double().mean()),
        "score": inception_style_score(probabilities),
        "frechet": frechet_distance(recogniser.features(real), recogniser.features(images)),
        "diversity": diversity(images, labels, perceptual_distance(recogniser)),
    }


def measure_real(place: Setting) -> dict[str, float]:
    """Measure held-out real images; their Frechet distance is that to training images."""
    images, labels = real_images(place)
    recogniser = place.recogniser
    other, _ = real_images(place, "valid")
    return {
        "top-1": top_1(place, images, labels),
        "score": inception_style_score(recogniser(images)),
        "frechet": frechet_distance(recogniser.features(images), recogniser.features(other)),
        "diversity": diversity(images, labels, perceptual_distance(recogniser)),
    }


def claims(figures: Figures, sampled: int, held_out: int) -> list[Claim]:
    """Return what the paper's Table 1 says, held against the measured one, which counts so many images."""
    accuracy, score = by_seed(figures, "top-1"), by_seed(figures, "score")
    found = [
        more(
            f"{WORDS[high]}'s samples are recognised more often than {WORDS[low]}'s",
            accuracy[high],
            accuracy[low],
            source=SOURCE,
            names=(WORDS[high], WORDS[low]),
            form=".1%",
            counted=sampled,
        )
        for low, high in pairwise(METHODS)
    ]
    for column, (name, values) in enumerate((("top-1", accuracy), ("Inception-style score", score))):
        published = PUBLISHED["cvae-gan"][column] / PUBLISHED["real"][column]
        bound = int(published * 100) / 100
        found.append(
            more(
                f"CVAE-GAN's {name} is {bound:.2f} of that of real images (published {published:.4f})",
                values["cvae-gan"],
                values["real"],
                source=SOURCE,
                names=(f"{name} of CVAE-GAN's samples", "of real images"),
                form=".3f",
                counted=None if column else (sampled, held_out),
                times=bound,
            )
        )
    return found


def table(figures: Figures) -> str:
    """Return Table 1 with the published numbers beside."""
    accuracy, score = by_seed(figures, "top-1"), by_seed(figures, "score")
    distance, variety = by_seed(figures, "frechet"), by_seed(figures, "diversity")
    rows = [
        [
            report.text(WORDS[method]),
            spread(accuracy[method], ".1%"),
            f"{PUBLISHED[method][0]:.2%}",
            spread(score[method], ".2f"),
            f"{PUBLISHED[method][1]:.2f}",
            spread(distance[method], ".4f"),
            spread(variety[method], ".3f"),
        ]
        for method in figures
    ]
    head = ["", "top-1", "published", "Inception-style score", "published", "Frechet distance", "diversity in a class"]
    return report.table(head, rows, numbers=(1, 2, 3, 4, 5, 6))


def grids(place: Setting, models: Mapping[str, Model]) -> dict[str, Image.Image]:
    """Return a grid of each method, and one of real images: a class a row."""
    chosen = torch.linspace(0, len(place.classes) - 1, min(ROWS, len(place.classes))).long()
    images, labels = real_images(place, "train")
    names = [place.classes[int(label)][:14] for label in chosen]
    rows = [images[labels == label][:COLUMNS] for label in chosen]
    found = {"real": sheet(rows, labels=names, cell=64, clear=True)}
    for method, model in models.items():
        made = torch.split(samples(model, chosen.repeat_interleave(COLUMNS), SAMPLE_SEED), COLUMNS)
        found[method] = sheet(made, labels=names, cell=64, clear=True)
    return found
