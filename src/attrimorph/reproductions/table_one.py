"""Experiments b, c and g of the CVAE-GAN paper: Table 1 with Figure 5, and the ablation of three losses."""

from itertools import pairwise

import torch

from attrimorph.methods.cvae_gan.recipe import TABLE_ONE as METHODS
from attrimorph.metrics.distribution import diversity, inception_style_score
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.metrics.similarity import perceptual_distance, psnr
from attrimorph.models.model import Model
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import ClassContext, class_context, reconstructed, samples
from attrimorph.reproductions.frame import BySeed, Claim, Outcome, Request, by_seed, listed, more, spread
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


def run(request: Request) -> Outcome:
    """Train every method with every seed on the same images and measure samples of every class."""
    context = class_context(request)
    images, classes = context.images()
    # The Frechet distance of held-out real images is that to others.
    real = measure(context, images, classes, context.images("valid")[0])

    def sampled(model: Model) -> dict[str, float]:
        return measure(context, samples(model, context.every_class), context.every_class, images)

    trained, models = request.each_seed(METHODS, context.trained, sampled, "table-one", context.protocol())
    figures = {"real": [real] * len(request.seeds), **trained}
    recipe = models["cvae-gan"].recipe
    outcome = Outcome(
        "table-one",
        "Table 1: who is it?",
        f"Four methods with equal networks learn {len(context.classes)} classes from the same images. A recogniser "
        "that was trained on the real ones looks at their samples.",
        context.protocol()
        | {
            "training": f"{recipe.training.images:,} images each, batches of {recipe.training.batch_size}, seeds "
            f"{listed(request.seeds, 'd')}; all fields: attrimorph recipes identities-cvae-gan",
        },
        table_claims(figures, len(context.every_class), len(images)),
        {"by seed": figures, "published": {m: {"top-1": a, "score": b} for m, (a, b) in PUBLISHED.items()}},
    )
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
    accuracy, score, source = by_seed(figures, "top-1"), by_seed(figures, "score"), "paper, Table 1"
    found = [
        more(f"{WORDS[high]}'s samples are recognised more often than {WORDS[low]}'s", accuracy[high], accuracy[low],
             (WORDS[high], WORDS[low]), source, ".1%", counted=sampled)
        for low, high in pairwise(METHODS)
    ]  # fmt: skip
    for column, (name, values) in enumerate((("top-1", accuracy), ("Inception-style score", score))):
        published = PUBLISHED["cvae-gan"][column] / PUBLISHED["real"][column]
        bound = int(published * 100) / 100
        words = f"CVAE-GAN's {name} is {bound:.2f} of that of real images (published {published:.4f})"
        names, counted = (f"{name} of CVAE-GAN's samples", "of real images"), None if column else (sampled, held_out)
        found.append(
            more(words, values["cvae-gan"], values["real"], names, source, ".3f", counted=counted, times=bound)
        )
    return found


def table(figures: BySeed) -> str:
    """Return Table 1 with the published numbers beside."""
    columns = {name: by_seed(figures, name) for name in ("top-1", "score", "frechet", "diversity")}
    rows = [
        [
            report.text(WORDS[method]),
            spread(columns["top-1"][method], ".1%"),
            f"{PUBLISHED[method][0]:.2%}",
            spread(columns["score"][method], ".2f"),
            f"{PUBLISHED[method][1]:.2f}",
            spread(columns["frechet"][method], ".4f"),
            spread(columns["diversity"][method], ".3f"),
        ]
        for method in figures
    ]
    head = ["", "top-1", "published", "Inception-style score", "published", "Frechet distance", "diversity in a class"]
    return report.table(head, rows, numbers=range(1, 7))


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
    outcome = Outcome(
        "ablation",
        "What each loss gives",
        "CVAE-GAN, and the same without one of its three losses on pairs of an image and its reconstruction.",
        context.protocol()
        | {
            "training": f"{models['cvae-gan'].recipe.training.images:,} images each, "
            f"seeds {listed(request.seeds, 'd')}",
            "reconstructions": "of the test split, from the mean of q(z | x, class)",
            "sharpness": "mean square of the Laplacian of the grey image, as a share of that of the same real images",
        },
        ablation_claims(figures, len(context.every_class), len(images)),
        {"by seed": figures},
    )
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
    full, found = "cvae-gan", []
    for loss, without, words, name, what, form, counted in (
        ("L_featD", "feature-d", "reconstructions are blurred", "sharpness of reconstructions",
         "sharpness (real = 1)", ".3f", None),
        ("L_img", "image", "details are lost: reconstructions are farther from the image", "PSNR", "PSNR in dB", ".2f",
         None),
        ("L_featC", "feature-c", "the class is lost: samples are recognised less often", "top-1 of samples", "top-1",
         ".1%", sampled),
        ("L_featC", "feature-c", "the class is lost: reconstructions are recognised less often",
         "top-1 of reconstructions", "top-1", ".1%", held_out),
    ):  # fmt: skip
        values, names = by_seed(figures, name), (f"{what} with all losses", f"without {loss}")
        less = values[f"{full}-without-{without}"]
        source = "paper, combinations of losses"
        found.append(more(f"Without {loss} {words}", values[full], less, names, source, form, counted=counted))
    return found
