"""Attribute2Image's posterior inference by optimisation, against an encoder alone, and for a GAN that has none."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.inversion.invert import inversion
from attrimorph.applications.options import Search
from attrimorph.errors import AttrimorphError
from attrimorph.loading import parse_header
from attrimorph.methods.attribute2image.recipe import DISCVAE
from attrimorph.methods.cvae_gan.model import Autoencoder, Sampler
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.reconstruction import psnr
from attrimorph.models.codes import Encodes
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, at_least, at_most
from attrimorph.reproductions.face_models import BATCH, face_model, told, unseen_faces
from attrimorph.reproductions.outcome import Outcome, Request, machine

NAME = "inversion"
STEPS = (10, 25, 50, 100)
TIMED, SIZE = 16, 64  # images that are timed, and their size
GAIN, ALONE, SECONDS = 2.0, 18.0, 20.0  # bars: dB, dB, s
STANDS_IN = "drawn-faces-64"
SHOWN = 6


@dataclass(frozen=True)
class Found:
    """Images as they were found.

    Attributes:
        start, pictures: [N, 3, S, S]: of the codes that the search began with, and of those that it found.
    """

    start: Tensor
    pictures: Tensor


def run(request: Request) -> Outcome:
    """Look for the codes of unseen faces, with an encoder and without one."""
    model = face_model(request, request.model, DISCVAE)
    if not isinstance(model, Encodes):
        raise AttrimorphError(
            f"the experiment {NAME} compares with an encoder; {model.recipe.name!r} ({model.recipe.method}) has none; "
            "name it with --other-model, and with --model one that encodes"
        )
    gan, whose = without_encoder(face_model(request, request.other_model or STANDS_IN, DISCVAE))
    unseen, others = unseen_faces(request, model.image_size), unseen_faces(request, gan.image_size)
    quality: dict[str, dict[str, float]] = {"given": {}, "unknown": {}}
    for steps in STEPS:
        found = look_for(request, model, unseen, Search(steps), given=True)
        quality["given"] |= {"0": mean_psnr(found.start, unseen), str(steps): mean_psnr(found.pictures, unseen)}
    free = look_for(request, model, unseen, Search(STEPS[-1]), given=False)
    quality["unknown"] = {"0": mean_psnr(free.start, unseen), str(STEPS[-1]): mean_psnr(free.pictures, unseen)}
    alone = look_for(request, gan, others, Search(STEPS[-1]), given=False)
    quality["no encoder"] = {"0": mean_psnr(alone.start, others), str(STEPS[-1]): mean_psnr(alone.pictures, others)}
    seconds = {"with encoder": timed(model, unseen), "without encoder": timed(gan, others)}
    size = max(model.image_size, gan.image_size)
    outcome = Outcome(
        name=NAME,
        title="Inversion",
        lead="The code whose image comes nearest to a photograph is found by optimisation through the generator.",
        protocol={
            "model with an encoder": told(model),
            "model without": f"{told(gan)}; {whose}",
            "images": unseen.words,
            "images without encoder": others.words,
            "search": f"Adam, at most {STEPS[-1]} steps, settings as of attrimorph invert; prior {Search().prior:g}; "
            f"without encoder from the best of {Search().candidates} samples, attributes unknown",
            "PSNR": "of the images decoded from the codes, data range 1, in dB, mean over images",
            "seconds": f"of {TIMED} images of {size}x{size} together, {STEPS[-1]} steps, attributes unknown; "
            f"{machine()}",
        },
        claims=claims(quality, seconds, size),
        figures={"PSNR by step": quality, "seconds": seconds},
    )
    outcome.pieces += [table(quality, seconds), chart(quality)]
    outcome.show("found", pictures(found, unseen, "encoder"), "With an encoder, attributes given.")
    outcome.show("found-without-encoder", pictures(alone, others, "best sample"), f"Without one: {whose}.")
    return outcome


def without_encoder(model: Model) -> tuple[Model, str]:
    """Return a model that has no encoder, and in words where it comes from.

    Raises:
        AttrimorphError: the model's encoder cannot be left out.
    """
    if not isinstance(model, Encodes):
        return model, "a model without encoder"
    if not isinstance(model, Autoencoder):
        raise AttrimorphError(
            f"--other-model must be a GAN; {model.recipe.name!r} ({model.recipe.method}) encodes; "
            "train gan, wgan-gp or pggan-drawn-64 on drawn faces"
        )
    kept = {name: network for name, network in model.networks.items() if name != "encoder"}
    plain = Sampler(kept, parse_header(model.header), model.device, model.hash)
    return plain, f"the generator of {model.recipe.name}, its encoder withheld: it is no GAN that never had one"


def look_for(request: Request, model: Model, unseen: EvaluationSet, search: Search, *, given: bool) -> Found:
    """Invert faces; `given`: with their true attributes, which otherwise are looked for too."""
    y = unseen.labels if given else None
    words = f"inverting, {search.steps} steps"
    done = inversion(
        model,
        unseen.images,
        y,
        search=search,
        progress=lambda step, steps: request.progress(words, step, steps),
    )
    parts = [
        torch.cat([model.decode(type(code)(code.z[rows], code.attributes[rows])).cpu() for rows in batches(unseen)])
        for code in (done.start, done.code)
    ]
    return Found(*parts)


def batches(unseen: EvaluationSet) -> tuple[Tensor, ...]:
    """Return the rows of the faces in batches."""
    return torch.split(torch.arange(len(unseen.images)), BATCH)


def mean_psnr(images: Tensor, unseen: EvaluationSet) -> float:
    """Return the mean PSNR against the faces, in dB."""
    return float(psnr(images, unseen.images).mean())


def timed(model: Model, unseen: EvaluationSet) -> float:
    """Return how long the inversion of a few faces takes, in seconds."""
    return inversion(model, unseen.first(TIMED).images, search=Search(STEPS[-1])).seconds


def claims(quality: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float], size: int) -> list[Claim]:
    """Return the bars, held against the figures; that of time is for images of 64x64."""
    last = str(STEPS[-1])
    gains = {way: quality[way][last] - quality[way]["0"] for way in ("given", "unknown")}
    slowest = max(seconds.values()) if size == SIZE else float("nan")
    return [
        *(
            at_least(
                f"{last} steps come nearer than the encoder alone, attributes {way}",
                [gain],
                GAIN,
                source="ours",
                name="gain in dB",
                form=".2f",
            )
            for way, gain in gains.items()
        ),
        at_least(
            "A generator without encoder is inverted",
            [quality["no encoder"][last]],
            ALONE,
            source="ours",
            name="PSNR in dB",
            form=".2f",
        ),
        at_most(
            f"{TIMED} images of {SIZE}x{SIZE}, {last} steps, take at most {SECONDS:g} s on two cores",
            [slowest],
            SECONDS,
            source="ours",
            name=", ".join(f"{way} {value:.1f} s" for way, value in seconds.items())
            + f" with {torch.get_num_threads()} threads; the slowest in s",
            form=".1f",
        ),
    ]


def table(quality: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float]) -> str:
    """Return the PSNR before and after."""
    words = {
        "given": "with encoder, attributes given",
        "unknown": "with encoder, attributes unknown",
        "no encoder": "without encoder, attributes unknown",
    }
    rows = [
        [
            report.text(words[way]),
            f"{values['0']:.2f}",
            *(f"{values[str(step)]:.2f}" if str(step) in values else "" for step in STEPS),
        ]
        for way, values in quality.items()
    ]
    head = ["PSNR in dB", "start", *(f"{step} steps" for step in STEPS)]
    spent = ", ".join(f"{way} {value:.1f} s" for way, value in seconds.items())
    return report.table(head, rows, numbers=range(1, len(head))) + report.heading(
        "Time", f"{TIMED} images, {STEPS[-1]} steps: {spent}.", level=3
    )


def chart(quality: Mapping[str, Mapping[str, float]]) -> str:
    """Return PSNR over the steps, each length a search of its own."""
    points = [(float(step), value) for step, value in quality["given"].items()]
    return report.curves([report.chart("PSNR in dB, attributes given", {"found": points}, x_label="steps")])


def pictures(found: Found, unseen: EvaluationSet, began: str) -> Image.Image:
    """Return faces, where the search began, and what it found."""
    rows = [each[:SHOWN] for each in (unseen.images, found.start, found.pictures)]
    return sheet(rows, labels=["face", began, "found"], cell=64, clear=True)
