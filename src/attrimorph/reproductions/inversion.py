"""Attribute2Image's inference by optimisation: codes of faces, with an encoder and without; hidden parts completed."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.applications import Search
from attrimorph.applications.filling import inpaint, mean_filled, spread
from attrimorph.applications.inputs import encoder
from attrimorph.applications.inversion import inversion as invert
from attrimorph.charts import chart
from attrimorph.errors import AttrimorphError
from attrimorph.loading import parse_header
from attrimorph.methods.attribute2image.recipe import DISCVAE
from attrimorph.methods.cvae_gan.model import Autoencoder, Sampler
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Encodes, Model
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import SHIPPED, decoded, face_model
from attrimorph.reproductions.frame import Claim, Figures, Outcome, Request, claim, describe, machine, outcome_of

# --- codes by optimisation, against an encoder alone, and for a GAN that has none

TIMED, SIZE = 16, 64  # images that are timed, and their size
GAIN, ALONE, SECONDS = 2.0, 18.0, 20.0  # bars: dB, dB, s
SHOWN = 6
BEGINNINGS = {
    "given": "with encoder, attributes given",
    "unknown": "with encoder, attributes unknown",
    "no encoder": "without encoder, attributes unknown",
}


@dataclass(frozen=True)
class Inverted:
    """Images as they were found.

    Attributes:
        start, pictures: [N, 3, S, S]: of the codes that the search began with, and of those that it found.
    """

    start: Tensor
    pictures: Tensor

    def quality(self, unseen: EvaluationSet, steps: int) -> dict[str, float]:
        """Return the mean PSNR against the faces, in dB, after 0 steps and after all."""
        ends = {"0": self.start, str(steps): self.pictures}
        return {step: float(psnr(images, unseen.images).mean()) for step, images in ends.items()}


def run(request: Request) -> Outcome:
    """Look for the codes of unseen faces, with an encoder and without one."""
    model = face_model(request, request.model, DISCVAE)
    if not isinstance(model, Encodes):
        raise AttrimorphError(
            f"the experiment inversion compares with an encoder; {model.recipe.name!r} ({model.recipe.method}) has "
            "none; name it with --other-model, and with --model one that encodes"
        )
    gan, whose = without_encoder(face_model(request, request.other_model or SHIPPED, DISCVAE))
    unseen, others = (drawn_images(request.form.unseen, each.image_size) for each in (model, gan))
    given: dict[str, float] = {}
    *_, last = request.form.search
    for steps in request.form.search:
        found = look_for(request, model, unseen, steps, given=True)
        given |= found.quality(unseen, steps)
    alone = look_for(request, gan, others, last, given=False)
    quality = {
        "given": {"0": given.pop("0"), **given},
        "unknown": look_for(request, model, unseen, last, given=False).quality(unseen, last),
        "no encoder": alone.quality(others, last),
    }
    seconds = {
        words: invert(each, images.first(TIMED).images, search=Search(last)).seconds
        for words, each, images in (("with encoder", model, unseen), ("without encoder", gan, others))
    }
    size = max(model.image_size, gan.image_size)
    outcome = outcome_of(
        "inversion", claims(quality, seconds, size, str(last)), {"PSNR by step": quality, "seconds": seconds},
        model=describe(model, seen=True), gan=describe(gan, seen=True), whose=whose, unseen=unseen, others=others,
        steps=last, search=Search(), timed=TIMED, size=size, machine=machine(),
    )  # fmt: skip
    words = {"0": "start", **{str(step): f"{step} steps" for step in request.form.search}}
    rows = {BEGINNINGS[how]: {words[step]: values.get(step, "") for step in words} for how, values in quality.items()}
    points = [(float(step), value) for step, value in quality["given"].items()]
    spent = ", ".join(f"{how} {value:.1f} s" for how, value in seconds.items())
    outcome.pieces += [
        report.figures(rows, ".2f", "PSNR in dB"),
        report.heading("Time", f"{TIMED} images, {last} steps: {spent}.", level=3),
        report.curves([chart("PSNR in dB, attributes given", {"found": points}, x_label="steps")]),
    ]
    for name, each, images, began, caption in (
        ("found", found, unseen, "encoder", "With an encoder, attributes given."),
        ("found-without-encoder", alone, others, "best sample", f"Without one: {whose}."),
    ):
        shown = [part[:SHOWN] for part in (images.images, each.start, each.pictures)]
        outcome.sheet(name, shown, caption, labels=["face", began, "found"])
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


def look_for(request: Request, model: Model, unseen: EvaluationSet, steps: int, *, given: bool) -> Inverted:
    """Invert faces; `given`: with their true attributes, which otherwise are looked for too."""
    progress = request.counting("inverting", "steps")
    y = unseen.labels if given else None
    done = invert(model, unseen.images, y, search=Search(steps), progress=progress)
    return Inverted(decoded(model, done.start), decoded(model, done.code))


def claims(quality: Figures, seconds: Mapping[str, float], size: int, last: str) -> list[Claim]:
    """Return the bars, held against the figures after the `last` step; that of time is for images of 64x64."""
    slowest = max(seconds.values()) if size == SIZE else float("nan")
    spent = ", ".join(f"{how} {value:.1f} s" for how, value in seconds.items())
    return [
        *(claim("inversion", "encoder", quality[how][last] - quality[how]["0"], GAIN, steps=last, how=how)
          for how in ("given", "unknown")),
        claim("inversion", "alone", quality["no encoder"][last], ALONE),
        claim("inversion", "time", slowest, SECONDS, timed=TIMED, size=SIZE, steps=last, seconds=SECONDS, spent=spent,
              threads=torch.get_num_threads()),
    ]  # fmt: skip


# --- a hidden half, eyes, mouth: completed by inversion, by iterated inpainting, by the mean

IMAGES = 100  # that are measured
TIMES = 10  # iterations
HOLES = {"half": (32, 0, 64, 64), "eyes": (14, 24, 50, 36), "mouth": (20, 42, 44, 54)}
"""left, top, right, bottom in 64ths of the image."""
INVERTED, ITERATED, OTHER, MEAN, BORDER = (
    "by inversion", "CVAE-GAN, iterated", "CVAE-GAN, by inversion", "mean colour", "border spread",
)  # fmt: skip


def completion(request: Request) -> Outcome:
    """Hide parts of unseen faces, complete them in several ways, and measure what stands in the holes."""
    model = face_model(request, request.model, DISCVAE)
    other = face_model(request, request.other_model or SHIPPED, SHIPPED)
    encoder(other, "the experiment completion")
    if model.image_size != other.image_size:
        raise AttrimorphError(
            f"both models must make images of one size; they make {model.image_size} and {other.image_size} pixels; "
            "name another --other-model"
        )
    unseen = drawn_images(request.form.unseen, model.image_size).first(IMAGES)
    completed = {name: complete(request, model, other, unseen, name) for name in HOLES}
    figures = {
        name: {how: float(psnr(unseen.images, images, hole(name, unseen)).mean()) for how, images in each.items()}
        for name, each in completed.items()
    }
    sizes = (f"{name} {right - left}x{bottom - top}" for name, (left, top, right, bottom) in HOLES.items())
    outcome = outcome_of(
        "completion",
        [
            claim("completion", "nearer", figures[name][INVERTED], figures[name][how], name=name, rival=rival)
            for how, rival in ((MEAN, "the mean colour"), (ITERATED, "CVAE-GAN's iterated inpainting"))
            for name in HOLES
        ],
        figures,
        model=describe(model, seen=True), other=describe(other, seen=True), unseen=unseen, holes=", ".join(sizes),
        steps=request.form.search[-1], times=TIMES,
    )  # fmt: skip
    rows = {how: {name: figures[name][how] for name in HOLES} for how in figures["half"]}
    outcome.pieces.append(report.figures(rows, ".2f", "PSNR in the hole, dB"))
    for name, each in completed.items():
        holed = torch.where(hole(name, unseen) > 0, torch.zeros(()), unseen.images)
        shown = {"face": unseen.images, "known": holed, **{how: each[how] for how in (INVERTED, ITERATED, OTHER, MEAN)}}
        outcome.sheet(name, [part[:8] for part in shown.values()], f"Hidden: {name}.", labels=list(shown))
    return outcome


def hole(name: str, unseen: EvaluationSet) -> Tensor:
    """Return the mask of a hole, [N, 1, S, S], 1 = hidden."""
    size = unseen.images.shape[-1]
    left, top, right, bottom = (round(place * size / 64) for place in HOLES[name])
    mask = torch.zeros(len(unseen.images), 1, size, size)
    mask[:, :, top:bottom, left:right] = 1
    return mask


def complete(request: Request, model: Model, other: Model, unseen: EvaluationSet, name: str) -> dict[str, Tensor]:
    """Return the faces completed in every way, [N, 3, S, S]."""
    images, masks, progress = unseen.images, hole(name, unseen), request.counting(f"completing {name}", "steps")
    search = Search(request.form.search[-1])

    def found(by: Model, attributes: Tensor | None) -> Tensor:
        return inpaint(by, images, masks, attributes, invert=search, progress=progress).inpainted

    return {
        INVERTED: found(model, None),
        f"{INVERTED}, attributes given": found(model, unseen.labels),
        ITERATED: inpaint(other, images, masks, None, TIMES).inpainted,
        f"{ITERATED}, attributes given": inpaint(other, images, masks, unseen.labels, TIMES).inpainted,
        OTHER: found(other, None),
        BORDER: spread(images, masks),
        MEAN: mean_filled(images, masks),
    }
