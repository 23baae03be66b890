"""Experiment i of the CVAE-GAN paper: the z of one image decoded under other classes."""

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import one_hot

from attrimorph.models.codes import Code, Encodes
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions.claims import Claim, at_least, more
from attrimorph.reproductions.class_models import (
    Setting,
    class_model,
    every_class,
    real_images,
    samples,
    setting,
    top_1,
)
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "transferring"
SOURCES = 300  # images whose z is measured
SHOWN = 8
KEPT = 0.95  # of the samples' top-1 that transferred images must keep
SOURCE = "paper, attribute transfer"


def run(request: Request) -> Outcome:
    """Decode held-out images under another class each, and see what is kept."""
    place = setting(request)
    model = class_model(request, place)
    images, labels = real_images(place, most=SOURCES)
    random = torch.Generator().manual_seed(0)
    targets = (labels + torch.randint(1, len(place.classes), labels.shape, generator=random)) % len(place.classes)
    made = transferred(model, place, images, labels, targets)
    classes = every_class(place)
    figures = {
        "top-1 of the target class": top_1(place, made, targets),
        "top-1 of the source's class": top_1(place, made, labels),
        "top-1 of samples": top_1(place, samples(model, classes), classes),
        "finds its source": found_again(made, images),
        "finds its source by chance": 1 / len(images),
    }
    outcome = Outcome(
        name=NAME,
        title="Attribute transfer",
        lead="The latent vector of one image, decoded under other classes: the class changes, pose and the like stay.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "transfers": f"{len(images)} held-out images, each to one other class drawn at random",
            "finds its source": "share of transferred images nearest, in pixels, to their own source among all sources",
        },
        claims=claims(figures, len(images), len(classes)),
        figures=figures,
    )
    outcome.show("transfers", picture(model, place, images, labels), "The first image of a row is the source.")
    return outcome


def transferred(model: Model, place: Setting, images: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return G(E(x, c), c'), [N, 3, S, S]."""
    assert isinstance(model, Encodes)
    count = len(place.classes)
    code = model.encode(images, one_hot(labels, count).float())
    return model.decode(Code(code.z, one_hot(targets, count).float())).cpu()


def found_again(made: Tensor, sources: Tensor) -> float:
    """Return the share of images whose nearest source in pixel L2 is their own."""
    nearest = torch.cdist(made.flatten(1), sources.flatten(1)).argmin(1)
    return float((nearest == torch.arange(len(made))).double().mean())


def picture(model: Model, place: Setting, images: Tensor, labels: Tensor) -> Image.Image:
    """Draw some images under several classes."""
    rows = []
    classes = torch.linspace(0, len(place.classes) - 1, min(SHOWN, len(place.classes))).long()
    for row in range(0, len(images), max(1, len(images) // SHOWN))[:SHOWN]:
        many = len(classes)
        made = transferred(model, place, images[row].expand(many, -1, -1, -1), labels[row].expand(many), classes)
        rows.append(torch.cat([images[row : row + 1], made]))
    return sheet(rows, columns=["source", *(place.classes[int(label)][:12] for label in classes)], cell=64, clear=True)


def claims(figures: dict[str, float], transfers: int, sampled: int) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model on so many images and samples."""
    return [
        more(
            "A transferred image is of the new class, as surely as a sample of it",
            [figures["top-1 of the target class"]],
            [figures["top-1 of samples"]],
            source=SOURCE,
            names=("top-1 of the new class", "of samples"),
            form=".1%",
            counted=(transfers, sampled),
            times=KEPT,
        ),
        at_least(
            "What does not belong to the class is kept: the source is found again, far more often than by chance",
            [figures["finds its source"]],
            10 * figures["finds its source by chance"],
            source=SOURCE,
            name="found again",
            form=".3f",
            counted=transfers,
        ),
    ]
