"""Experiment j of the CVAE-GAN paper: the nearest in z among images of other classes."""

import torch
from torch import Tensor

from attrimorph.applications.nearest import nearest
from attrimorph.data.drawn.factors import PICTURE
from attrimorph.data.prepared import PreparedData
from attrimorph.pictures import sheet
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.class_models import class_model, codes_of, setting
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "retrieval"
QUERIES = 200
FOUND = 5  # for each query, as in the paper
SHOWN = 6
SOURCE = "paper, retrieval"


def run(request: Request) -> Outcome:
    """Take held-out images and find those training images of other classes whose z is nearest."""
    place = setting(request)
    model = class_model(request, place)
    queries, gallery = place.data.indices("test")[:QUERIES], place.data.indices("train")
    images, labels, z = codes_of(model, place, queries)
    base, base_labels, base_z = codes_of(model, place, gallery)
    found = of_other_classes(z, labels, base_z, base_labels)
    drawn = torch.randint(0, len(base), found.shape, generator=torch.Generator().manual_seed(0))
    figures = {
        "difference of pixels, retrieved": difference(images, base[found]),
        "difference of pixels, drawn at random": difference(images, base[drawn]),
    }
    if (factors := picture_factors(place.data)) is not None:
        mine, theirs = factors[torch.from_numpy(queries)], factors[torch.from_numpy(gallery)]
        figures["difference of factors, retrieved"] = difference(mine, theirs[found])
        figures["difference of factors, drawn at random"] = difference(mine, theirs[drawn])
    outcome = Outcome(
        name=NAME,
        title="Retrieval",
        lead="The nearest latent vectors of other classes belong to images that are alike in all but the class.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "search": f"{len(queries)} held-out images among {len(gallery):,} of the train split, Euclidean distance "
            f"of the means of q(z | x, class), the {FOUND} nearest of other classes",
            "difference": "root mean square; of factors: those of drawn faces that belong to the one picture (pose, "
            "light, background, clothes), each in 0..1",
        },
        claims=claims(figures),
        figures=figures,
    )
    rows = [torch.cat([images[row : row + 1], base[found[row]]]) for row in range(min(SHOWN, len(images)))]
    words = ["query", *(str(rank) for rank in range(1, FOUND + 1))]
    outcome.show("retrieved", sheet(rows, columns=words, cell=64, clear=True), "All of other classes than the query.")
    return outcome


def of_other_classes(z: Tensor, labels: Tensor, base: Tensor, base_labels: Tensor) -> Tensor:
    """Return the rows of the nearest codes whose class is another, int64 [Q, FOUND]."""
    found = torch.empty(len(z), FOUND, dtype=torch.long)
    for label in torch.unique(labels):
        mine, others = labels == label, (base_labels != label).nonzero()[:, 0]
        found[mine] = others[nearest(z[mine], base[others], FOUND).rows]
    return found


def difference(one: Tensor, others: Tensor) -> float:
    """Return the root mean squared difference of each, [Q, ...], to its others, [Q, K, ...], mean over all pairs."""
    return float((one[:, None] - others).square().flatten(2).mean(2).sqrt().mean())


def picture_factors(data: PreparedData) -> Tensor | None:
    """Return those factors of drawn faces that belong to the picture and not to the person, [N, F], or None."""
    if data.factors is None or not set(PICTURE) <= set(data.factor_names):
        return None
    columns = [data.factor_names.index(name) for name in PICTURE]
    return torch.from_numpy(data.factors[:, columns])


def claims(figures: dict[str, float]) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model."""
    found = [
        more(
            "Retrieved images look more like the query than others do",
            [figures["difference of pixels, drawn at random"]],
            [figures["difference of pixels, retrieved"]],
            source=SOURCE,
            names=("difference of pixels from images drawn at random", "from those retrieved"),
        )
    ]
    if "difference of factors, retrieved" in figures:
        found.append(
            more(
                "Retrieved images share what belongs to no class: pose, light, background, clothes",
                [figures["difference of factors, drawn at random"]],
                [figures["difference of factors, retrieved"]],
                source=SOURCE,
                names=("difference of factors from images drawn at random", "from those retrieved"),
            )
        )
    return found
