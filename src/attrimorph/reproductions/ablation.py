"""Experiment g, the ablation of the CVAE-GAN paper: what L_img, L_featD and L_featC each give."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from attrimorph.loading import load
from attrimorph.metrics.perceptual import perceptual_distance
from attrimorph.metrics.reconstruction import psnr
from attrimorph.models.codes import Code, Encodes
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, listed, more, spread
from attrimorph.reproductions.class_models import (
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

NAME = "ablation"
WORDS = {
    "cvae-gan": "all losses",
    "cvae-gan-without-image": "without L_img",
    "cvae-gan-without-feature-d": "without L_featD",
    "cvae-gan-without-feature-c": "without L_featC",
}
SOURCE = "paper, combinations of losses"
SHOWN = 10
LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))

Figures = Mapping[str, Sequence[Mapping[str, float]]]


def run(request: Request) -> Outcome:
    """Train CVAE-GAN with all its losses and without each of three, and measure what is missing then."""
    place = setting(request)
    models: dict[str, Model] = {}
    figures: dict[str, list[dict[str, float]]] = {method: [] for method in WORDS}
    for method in WORDS:
        for seed in request.seeds:
            folder = trained(request, place, method, seed)
            model = load(folder, request.device)
            models.setdefault(method, model)
            key = {"model": model.hash, **place.protocol()}
            figures[method].append(remembered(folder, NAME, key, lambda model=model: measure(place, model)))
    outcome = Outcome(
        name=NAME,
        title="What each loss gives",
        lead="CVAE-GAN, and the same without one of its three losses on pairs of an image and its reconstruction.",
        protocol={
            **place.protocol(),
            "training": f"{models['cvae-gan'].recipe.training.images:,} images each, "
            f"seeds {listed(request.seeds, 'd')}",
            "reconstructions": "of the test split, from the mean of q(z | x, class)",
            "sharpness": "mean square of the Laplacian of the grey image, as a share of that of the same real images",
        },
        claims=claims(figures, len(every_class(place)), len(place.data.indices("test"))),
        figures={"by seed": figures},
    )
    outcome.pieces += [report.heading("Figures", "Means over the seeds, and their range."), table(figures)]
    outcome.pieces.append(report.heading("Held-out images and their reconstructions"))
    images, _ = real_images(place, most=SHOWN)
    rows = [images, *(reconstructed(model, place)[:SHOWN] for model in models.values())]
    outcome.show("reconstructions", sheet(rows, labels=["real", *WORDS.values()], cell=64, clear=True))
    chosen = torch.arange(SHOWN) % len(place.classes)
    rows = [samples(model, chosen) for model in models.values()]
    outcome.pieces.append(report.heading("Samples", "The same z and the same classes for all."))
    outcome.show("samples", sheet(rows, labels=list(WORDS.values()), cell=64, clear=True))
    return outcome


def measure(place: Setting, model: Model) -> dict[str, float]:
    """Measure reconstructions of held-out images, and samples."""
    images, labels = real_images(place)
    made = reconstructed(model, place)
    classes = every_class(place)
    drawn = samples(model, classes)
    return {
        "PSNR": float(psnr(images, made).mean()),
        "perceptual distance": float(perceptual_distance(place.recogniser)(images, made).mean()),
        "sharpness of reconstructions": float(sharpness(made).mean() / sharpness(images).mean()),
        "sharpness of samples": float(sharpness(drawn).mean() / sharpness(images).mean()),
        "top-1 of reconstructions": top_1(place, made, labels),
        "top-1 of samples": top_1(place, drawn, classes),
    }


def reconstructed(model: Model, place: Setting) -> Tensor:
    """Return the reconstructions of the test split."""
    assert isinstance(model, Encodes)
    rows = place.data.indices("test")
    parts = [place.data.batch(rows[start : start + 250]) for start in range(0, len(rows), 250)]
    codes: list[Code] = [model.encode(images, y) for images, y in parts]
    return torch.cat([model.decode(code).cpu() for code in codes])


def sharpness(images: Tensor) -> Tensor:
    """Return the mean square of the Laplacian of each grey image, [B]: what blur takes away first.

    Args:
        images: [B, 3, H, W] in [-1, 1].
    """
    kernel = torch.tensor(LAPLACE)[None, None]
    return conv2d(images.mean(1, keepdim=True), kernel).square().mean((1, 2, 3))


def claims(figures: Figures, sampled: int, held_out: int) -> list[Claim]:
    """Return what the paper's ablation says, held against the figures, which count so many images."""

    def values(method: str, name: str) -> list[float]:
        return by_seed(figures, name)[method]

    full = "cvae-gan"
    return [
        more(
            "Without L_featD reconstructions are blurred",
            values(full, "sharpness of reconstructions"),
            values("cvae-gan-without-feature-d", "sharpness of reconstructions"),
            source=SOURCE,
            names=("sharpness (real = 1) with all losses", "without L_featD"),
            form=".3f",
        ),
        more(
            "Without L_img details are lost: reconstructions are farther from the image",
            values(full, "PSNR"),
            values("cvae-gan-without-image", "PSNR"),
            source=SOURCE,
            names=("PSNR in dB with all losses", "without L_img"),
            form=".2f",
        ),
        more(
            "Without L_featC the class is lost: samples are recognised less often",
            values(full, "top-1 of samples"),
            values("cvae-gan-without-feature-c", "top-1 of samples"),
            source=SOURCE,
            names=("top-1 with all losses", "without L_featC"),
            form=".1%",
            counted=sampled,
        ),
        more(
            "Without L_featC the class is lost: reconstructions are recognised less often",
            values(full, "top-1 of reconstructions"),
            values("cvae-gan-without-feature-c", "top-1 of reconstructions"),
            source=SOURCE,
            names=("top-1 with all losses", "without L_featC"),
            form=".1%",
            counted=held_out,
        ),
    ]


def table(figures: Figures) -> str:
    """Return all figures of all methods."""
    names = list(next(iter(figures.values()))[0])
    rows = [
        [report.text(WORDS[method]), *(spread([one[name] for one in each]) for name in names)]
        for method, each in figures.items()
    ]
    return report.table(["", *names], rows, numbers=range(1, len(names) + 1))
