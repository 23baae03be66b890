"""Experiments b, c and g of the CVAE-GAN paper: Table 1 with Figure 5, and the ablation of three losses."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from attrimorph.methods.cvae_gan.recipe import TABLE_ONE as METHODS
from attrimorph.metrics.distribution import diversity, inception_style_score
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.metrics.similarity import perceptual_distance, psnr
from attrimorph.models.model import Model
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import ClassContext, class_context, reconstructed, samples
from attrimorph.reproductions.frame import BySeed, Claim, Outcome, Request, by_seed, claim, listed, outcome_of, spread
from attrimorph.reproductions.one_model import sharpness

WORDS = {"real": "real images", "cvae": "CVAE", "cgan": "CGAN", "fm-cgan": "FM-CGAN", "cvae-gan": "CVAE-GAN"}
PUBLISHED = {
    "real": (0.9961, 20.85),
    "cvae": (0.0809, 10.29),
    "cgan": (0.6197, 15.79),
    "fm-cgan": (0.7976, 19.40),
    "cvae-gan": (0.9778, 19.03),
}
"""Top-1 accuracy and Inception-style score: 53,000 samples of FaceScrub's 530 people, 128x128."""
ROWS, COLUMNS = 6, 10  # of the grids: classes, samples
ALIKE = 0.9  # of real images' diversity within a class


def run(request: Request) -> Outcome:
    """Train every method with every seed on the same images and measure samples of every class."""
    context = class_context(request)
    images, _ = context.images()
    real = measured_real(context)

    def sampled(model: Model) -> dict[str, float]:
        return measure(context, samples(model, context.every_class), context.every_class, images)

    trained, models = request.each_seed(METHODS, context.trained, sampled, "table-one", context.protocol())
    figures = {"real": [real] * len(request.seeds), **trained}
    recipe = models["cvae-gan"].recipe
    outcome = outcome_of(
        "table-one",
        table_claims(figures, len(context.every_class), len(images)),
        {"by seed": figures, "published": {m: {"top-1": a, "score": b} for m, (a, b) in PUBLISHED.items()}},
        context.protocol(),
        classes=len(context.classes), training=recipe.training, seeds=listed(request.seeds, "d"),
    )  # fmt: skip
    outcome.pieces += [
        report.heading("Table 1", "Means over the seeds, and their range; the paper's numbers beside."),
        table(figures),
        report.heading("Samples", "One class a row. z is the same for every method."),
    ]
    chosen = torch.linspace(0, len(context.classes) - 1, min(ROWS, len(context.classes))).long()
    labels = [context.classes[int(label)][:14] for label in chosen]
    train, theirs = context.images("train")
    outcome.sheet("samples-real", [train[theirs == label][:COLUMNS] for label in chosen], WORDS["real"], labels=labels)
    for method, model in models.items():
        made = torch.split(samples(model, chosen.repeat_interleave(COLUMNS)), COLUMNS)
        outcome.sheet(f"samples-{method}", made, WORDS[method], labels=labels)
    return outcome


def measured_real(context: ClassContext) -> dict[str, float]:
    """Measure held-out real images; their Frechet distance is that to others."""
    images, classes = context.images()
    return measure(context, images, classes, context.images("valid")[0])


def measure(
    context: ClassContext, images: torch.Tensor, classes: torch.Tensor, others: torch.Tensor
) -> dict[str, float]:
    """Measure images of known classes; the Frechet distance is that to `others`."""
    identity_encoder = context.identity_encoder
    return {
        "top-1": context.top_1(images, classes),
        "score": inception_style_score(identity_encoder(images)),
        "frechet": frechet_distance(identity_encoder.features(others), identity_encoder.features(images)),
        "diversity": diversity(images, classes, perceptual_distance(identity_encoder)),
    }


def table_claims(figures: BySeed, sampled: int, held_out: int) -> list[Claim]:
    """Return what the paper's Table 1 says, held against the measured one, which counts so many images."""
    accuracy, score, various = (by_seed(figures, name) for name in ("top-1", "score", "diversity"))
    found = [
        claim("table-one", "recognised", accuracy[high], accuracy[low], counted=sampled, high=WORDS[high],
              low=WORDS[low])
        for low, high in pairwise(METHODS)
    ]  # fmt: skip
    for column, (name, values) in enumerate((("top-1", accuracy), ("Inception-style score", score))):
        published = PUBLISHED["cvae-gan"][column] / PUBLISHED["real"][column]
        bound, counted = int(published * 100) / 100, None if column else (sampled, held_out)
        found.append(
            claim("table-one", "published", values["cvae-gan"], values["real"], counted=counted, times=bound,
                  name=name, bound=bound, published=published)
        )  # fmt: skip
    # One image of each person, again and again, would be recognised as well.
    return [*found, claim("table-one", "various", various["cvae-gan"], various["real"], times=ALIKE, alike=ALIKE)]


def table(figures: BySeed) -> str:
    """Return Table 1 with the published numbers beside."""
    columns = {name: by_seed(figures, name) for name in ("top-1", "score", "frechet", "diversity")}
    rows = [
        [
            report.text(WORDS[method]),
            spread(columns["top-1"][method], ".1%"),
            f"{PUBLISHED[method][0]:.2%}",
            spread(of_real(columns["top-1"], method), ".3f"),
            spread(of_real(columns["diversity"], method), ".3f"),
            spread(columns["score"][method], ".2f"),
            f"{PUBLISHED[method][1]:.2f}",
            spread(columns["frechet"][method], ".4f"),
        ]
        for method in figures
    ]
    head = ["", "top-1", "published", "share of real's", "diversity in a class, share of real's",
            "Inception-style score", "published", "Frechet distance"]  # fmt: skip
    return report.table(head, rows, numbers=range(1, 8))


def of_real(column: dict[str, list[float]], method: str) -> list[float]:
    """Return a figure as a share of that of real images, a value for each seed."""
    return [mine / real for mine, real in zip(column[method], column["real"], strict=True)]


# --- is there a setting with both published ends?

ENDS = ("cvae", "cvae-gan")
RISING = 24_000  # images of the recipe's 48,000, over which an annealed weight rises
PUBLISHED_CLASSES = 530
SETTINGS: dict[str, dict[str, Any]] = {
    f"weight of L_KL {weight:g}, {latent} columns of z{', annealed' if annealed else ''}": {
        "losses.kl": weight, "networks.latent": latent, "losses.kl_images": annealed
    }
    for weight, latent, annealed in (
        (3.0, 64, 0), (3.0, 64, RISING), (1.0, 64, 0), (0.2, 64, 0), (3.0, 16, 0), (3.0, 256, 0), (0.2, 256, 0)
    )
}  # fmt: skip
OWN = next(iter(SETTINGS.values()))
PRIORS = {"N(0, I)": False, "the fitted Gaussian": True}


def search(request: Request) -> Outcome:
    """Train the two ends of Table 1 in every setting, and sample from N(0, I) and from the Gaussian of the codes."""
    context = class_context(request)
    images, _ = context.images()
    real, every, many = measured_real(context), context.every_class, len(context.classes)
    figures: dict[str, dict[str, list[dict[str, float]]]] = {}
    for words, changes in SETTINGS.items():
        # The first is Table 1's own: its runs are the table's.
        run = "-".join(f"{value:g}" for value in changes.values()) if changes is not OWN else ""

        def trained(method: str, seed: int, changes: dict[str, Any] = changes, run: str = run) -> Path:
            return context.trained(method, seed, changes, run)

        def measured(model: Model) -> dict[str, float]:
            return {
                f"{name}, {prior}": value
                for prior, fitted in PRIORS.items()
                for name, value in measure(context, samples(model, every, fitted=fitted), every, images).items()
            }

        found, _ = request.each_seed(ENDS, trained, measured, "search", context.protocol())
        for prior in PRIORS:
            figures[f"{words}; z from {prior}"] = {
                method: [{name: one[f"{name}, {prior}"] for name in real} for one in each]
                for method, each in found.items()
            }
    best = min(figures, key=lambda setting: missed(figures[setting], real["top-1"], many, 0))
    shown = {
        setting: {
            f"{WORDS[method]}, {name} (share of real's)": spread([one[key] / real[key] for one in each], ".3f")
            for method, each in found.items()
            for name, key in (("top-1", "top-1"), ("diversity in a class", "diversity"))
        }
        for setting, found in figures.items()
    }
    outcome = outcome_of(
        "table-one-search", search_claims(figures[best], real["top-1"], many, len(every), len(images)),
        {"by setting": figures, "real": real, "best": best}, context.protocol(),
        per_class=request.form.per_class, seeds=listed(request.seeds, "d"), best=best,
    )  # fmt: skip
    outcome.pieces += [report.heading("Settings", f"The best one: {best}."), report.figures(shown, corner="setting")]
    return outcome


def published_shares(real: float, classes: int) -> dict[str, float]:
    """Return the published ends as shares of real images' top-1 here.

    What counts is what lies beyond chance, (top-1 - chance) / (real - chance): of a few classes one is often guessed.
    """
    chance, theirs = 1 / classes, 1 / PUBLISHED_CLASSES
    beyond = {method: (PUBLISHED[method][0] - theirs) / (PUBLISHED["real"][0] - theirs) for method in ENDS}
    return {method: (chance + share * (real - chance)) / real for method, share in beyond.items()}


def missed(figures: BySeed, real: float, classes: int, seed: int) -> float:
    """Return how far a setting's two shares of real images' top-1 lie on the wrong side of the published ones."""
    shares, wanted = {method: figures[method][seed]["top-1"] / real for method in ENDS}, published_shares(real, classes)
    return max(0.0, shares["cvae"] - wanted["cvae"]) + max(0.0, wanted["cvae-gan"] - shares["cvae-gan"])


def search_claims(figures: BySeed, real: float, classes: int, sampled: int, held_out: int) -> list[Claim]:
    """Return both ends, held against the best setting's other seeds."""
    accuracy = {method: [one["top-1"] for one in each[1:]] for method, each in figures.items()}
    theirs, wanted = [real] * (len(figures["cvae"]) - 1), published_shares(real, classes)
    low, high = wanted["cvae"], wanted["cvae-gan"]
    return [
        claim("table-one-search", "cvae", theirs, accuracy["cvae"], counted=(held_out, sampled), times=1 / low,
              share=low),
        claim("table-one-search", "cvae-gan", accuracy["cvae-gan"], theirs, counted=(sampled, held_out), times=high,
              share=high),
    ]  # fmt: skip


# --- g: what L_img, L_featD and L_featC each give

LOSSES = {
    "cvae-gan": "all losses",
    "cvae-gan-without-image": "without L_img",
    "cvae-gan-without-feature-d": "without L_featD",
    "cvae-gan-without-feature-c": "without L_featC",
}
SHOWN = 10


def ablation(request: Request) -> Outcome:
    """Train CVAE-GAN with all its losses and without each of three, and measure what is missing then."""
    context = class_context(request)
    images, classes = context.images()
    y = context.labels(classes)

    def measured(model: Model) -> dict[str, float]:
        made, drawn = reconstructed(model, images, y), samples(model, context.every_class)
        real = sharpness(images).mean()
        return {
            "PSNR": float(psnr(images, made).mean()),
            "perceptual distance": float(perceptual_distance(context.identity_encoder)(images, made).mean()),
            "sharpness of reconstructions": float(sharpness(made).mean() / real),
            "sharpness of samples": float(sharpness(drawn).mean() / real),
            "top-1 of reconstructions": context.top_1(made, classes),
            "top-1 of samples": context.top_1(drawn, context.every_class),
        }

    figures, models = request.each_seed(LOSSES, context.trained, measured, "ablation", context.protocol())
    outcome = outcome_of(
        "ablation", ablation_claims(figures, len(context.every_class), len(images)), {"by seed": figures},
        context.protocol(),
        images=models["cvae-gan"].recipe.training.images, seeds=listed(request.seeds, "d"),
    )  # fmt: skip
    rows = {LOSSES[method]: {name: spread([one[name] for one in each]) for name in each[0]}
            for method, each in figures.items()}  # fmt: skip
    outcome.pieces += [
        report.heading("Figures", "Means over the seeds, and their range."),
        report.figures(rows),
        report.heading("Held-out images and their reconstructions"),
    ]
    made = [reconstructed(model, images[:SHOWN], y[:SHOWN]) for model in models.values()]
    outcome.sheet("reconstructions", [images[:SHOWN], *made], labels=["real", *LOSSES.values()])
    outcome.pieces.append(report.heading("Samples", "The same z and the same classes for all."))
    drawn = [samples(model, torch.arange(SHOWN) % len(context.classes)) for model in models.values()]
    outcome.sheet("samples", drawn, labels=list(LOSSES.values()))
    return outcome


def ablation_claims(figures: BySeed, sampled: int, held_out: int) -> list[Claim]:
    """Return what the paper's ablation says, held against the figures, which count so many images."""
    return [
        claim("ablation", name, values["cvae-gan"], values[f"cvae-gan-without-{without}"], counted=counted)
        for without, name, counted in (
            ("feature-d", "sharpness of reconstructions", None), ("image", "PSNR", None),
            ("feature-c", "top-1 of samples", sampled), ("feature-c", "top-1 of reconstructions", held_out),
        )
        for values in (by_seed(figures, name),)
    ]  # fmt: skip
