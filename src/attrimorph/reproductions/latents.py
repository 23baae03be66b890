"""Experiment h of the CVAE-GAN paper: all latent vectors in the plane of their two principal components."""

import torch
from torch import Tensor

from attrimorph.applications.gallery import gallery_of
from attrimorph.applications.latent_map import latent_map, thumbnails
from attrimorph.applications.nearest import nearest
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.class_models import class_model, codes_of, setting
from attrimorph.reproductions.outcome import Outcome, Request
from attrimorph.reproductions.retrieval import difference

NAME = "latents"
SOURCE = "paper, distribution of z"


def run(request: Request) -> Outcome:
    """Project the latent vectors of training images, and see what neighbours in the plane share."""
    place = setting(request)
    model = class_model(request, place)
    images, labels, z = codes_of(model, place, place.data.indices("train"))
    held_out, held_out_labels, held_out_z = codes_of(model, place, place.data.indices("test"))
    found = latent_map(z)
    near = nearest(found.points, found.points, 2).rows
    # The nearest of all is the point itself, but for equal points.
    neighbour = torch.where(near[:, 0] == torch.arange(len(near)), near[:, 1], near[:, 0])
    drawn = torch.randint(0, len(z), (len(z), 1), generator=torch.Generator().manual_seed(0))
    figures = {
        "variance in the plane": float(found.plane.explained.sum()),
        "axes that the variance spreads over": found.spread,
        "difference of pixels, neighbours in the plane": difference(images, images[neighbour[:, None]]),
        "difference of pixels, drawn at random": difference(images, images[drawn]),
        "class told from z": by_centre(z, labels, held_out_z, held_out_labels),
        "class told from pixels": by_centre(images.flatten(1), labels, held_out.flatten(1), held_out_labels),
        "class told by chance": 1 / len(place.classes),
    }
    outcome = Outcome(
        name=NAME,
        title="The latent plane",
        lead="Latent vectors tell how a picture looks, not whom it shows.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "codes": f"means of q(z | x, class) of {len(z):,} images of the train split",
            "class told": "share of held-out images whose z (or pixels) is nearest to the centre of their class in the "
            "train split",
        },
        claims=claims(figures, len(held_out)),
        figures=figures,
    )
    outcome.show("plane", thumbnails(found.points, gallery_of(place.data, "train")), "At each place an image nearby.")
    return outcome


def by_centre(train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """Return the accuracy of the nearest class centre."""
    kinds = torch.unique(labels)
    centres = torch.stack([train[labels == kind].mean(0) for kind in kinds])
    return float((kinds[nearest(test, centres).rows[:, 0]] == test_labels).double().mean())


def claims(figures: dict[str, float], held_out: int) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model on so many held-out images."""
    return [
        more(
            "Neighbours in the plane look alike",
            [figures["difference of pixels, drawn at random"]],
            [figures["difference of pixels, neighbours in the plane"]],
            source=SOURCE,
            names=("difference of pixels between images drawn at random", "between neighbours"),
        ),
        more(
            "z tells less of the class than the pixels do",
            [figures["class told from pixels"]],
            [figures["class told from z"]],
            source=SOURCE,
            names=("class told from pixels", "from z"),
            form=".1%",
            counted=held_out,
        ),
    ]
