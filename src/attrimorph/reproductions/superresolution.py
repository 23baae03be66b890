"""Experiment l of the CVAE-GAN paper: small images enlarged by a model that knows what they show."""

from collections.abc import Mapping

from torch.nn.functional import interpolate, one_hot

from attrimorph.applications.superresolve import averaged, superresolve
from attrimorph.metrics.reconstruction import psnr
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.ablation import sharpness
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.class_models import class_model, real_images, setting, top_1
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "superresolution"
IMAGES = 200
TIMES = 4  # larger
SHOWN = 8
SOURCE = "paper, super-resolution"
WAYS = {"bicubic": "bicubic interpolation", "model": "the model"}


def run(request: Request) -> Outcome:
    """Shrink held-out images, enlarge them again, and compare with the images and with bicubic interpolation."""
    place = setting(request)
    model = class_model(request, place)
    images, labels = real_images(place, most=IMAGES)
    done = superresolve(model, averaged(images, images.shape[-1] // TIMES), one_hot(labels, len(place.classes)).float())
    made = {"bicubic": done.bicubic, "model": done.images}
    figures = {
        way: {
            "top-1": top_1(place, each, labels),
            "PSNR": float(psnr(images, each).mean()),
            "sharpness": float(sharpness(each).mean() / sharpness(images).mean()),
        }
        for way, each in made.items()
    }
    figures["real"] = {"top-1": top_1(place, images, labels)}
    outcome = Outcome(
        name=NAME,
        title="Super-resolution",
        lead=f"Images {TIMES} times as small, enlarged by the model, which is told the class.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "images": f"{len(images)} held-out ones, shrunk by averages of {TIMES}x{TIMES} pixels; results average "
            f"down to the same small images within {float(done.disagreement.max()):.2f} levels of 255",
        },
        claims=claims(figures, len(images)),
        figures=figures,
    )
    outcome.pieces.append(table(figures))
    small = interpolate(done.low, scale_factor=TIMES, mode="nearest")
    rows = [each[:SHOWN] for each in (small, *made.values(), images)]
    outcome.show("enlarged", sheet(rows, labels=["small image", *WAYS.values(), "image"], cell=64, clear=True))
    return outcome


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures of both ways."""
    rows = [
        [report.text(WAYS[way]), *(f"{figures[way][name]:.3f}" for name in ("top-1", "PSNR", "sharpness"))]
        for way in WAYS
    ]
    return report.table(["enlarged by", "top-1", "PSNR in dB", "sharpness (image = 1)"], rows, numbers=(1, 2, 3))


def claims(figures: Mapping[str, Mapping[str, float]], counted: int) -> list[Claim]:
    """Return what is claimed, held against the figures of the one model on so many images."""
    return [
        more(
            words,
            [figures["model"][name]],
            [figures["bicubic"][name]],
            source=source,
            names=(f"{name} of the model's images", "of bicubic interpolation's"),
            form=".3f",
            counted=counted if name == "top-1" else None,
        )
        for words, name, source in (
            ("Enlarged images are recognised more often than interpolated ones", "top-1", SOURCE),
            ("Enlarged images are sharper than interpolated ones", "sharpness", SOURCE),
            ("Enlarged images are nearer to the image than interpolated ones", "PSNR", "ours"),
        )
    ]
