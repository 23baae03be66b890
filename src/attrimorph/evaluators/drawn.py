"""The judges and identity encoders that ship: they learned from drawn faces.

    python -m attrimorph.evaluators.drawn judge --size 64       trains the judge of 64 pixels
    python -m attrimorph.evaluators.drawn identity --size 64    trains the identity encoder of 64 pixels

A judge learns from attributes that are independent of each other (correlation 0), so that it reads the moustache off
the lip and not off the chin. In most of the faces some attributes are dialled to anywhere between absent and present:
degrees that are only learned at the ends say nothing of what lies between. People are drawn with correlation 0 too, so
that beards and make-up, which come and go, say nothing of who it is.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from attrimorph.console import Meter
from attrimorph.data.drawn import faces
from attrimorph.evaluators import isotonic
from attrimorph.evaluators.evaluator import SHIPPED, EvaluatorRecipe, Progress, batched, fit, of_bytes
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.judge import Judge, JudgeNetwork, attribute_loss
from attrimorph.evaluators.training import IdentityRecipe, divide_classes, fit_identity_encoder, measured, verified

DIALLED = 8  # attributes of a dialled face
KNOTS = 20  # of a scale of degrees
UNCLEAR = 0.2  # of the degree, either side of one half: neither clearly absent nor clearly present


@dataclass(frozen=True)
class DrawnJudgeRecipe(EvaluatorRecipe):
    """How a judge of drawn faces was trained; the amounts and rates are those of `EvaluatorRecipe`.

    Attributes:
        image_size: of the faces.
        images: different faces drawn for it.
        correlation: of the faces' attributes.
        dialled: share of the faces in which some attributes lie anywhere between absent and present.
        unseen: faces it is measured on; half as many others set its temperature.
        scaled: faces that the scale of each attribute's degrees is measured on.
    """

    images_seen: int = 160_000
    seed: int = 770_001
    image_size: int = 64
    images: int = 32_000
    correlation: float = 0.0
    dialled: float = 0.75
    unseen: int = 2_000
    scaled: int = 400


def drawn_faces(
    count: int, size: int, seed: int, *, correlation: float = 0.0, dialled: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Draw faces as (images uint8 [N, 3, S, S], factors [N, F]); seeds give unrelated faces.

    Args:
        count, size, seed, correlation: as of `faces.draw`.
        dialled: share of the faces, the first ones, in which `DIALLED` random attributes are dialled to anywhere.
    """
    if not dialled:
        factors = faces.factors_of(count, seed, correlation=correlation)
        return _pictures(factors, size), factors
    generator = torch.Generator().manual_seed(seed)
    factors = faces.sample_factors(count, generator, correlation=correlation)
    some = round(dialled * count)
    for _ in range(DIALLED):
        chosen = torch.randint(len(faces.SCHEMA.names), (some,), generator=generator)
        position = torch.rand(some, generator=generator)
        for column, name in enumerate(faces.SCHEMA.names):
            rows = (chosen == column).nonzero()[:, 0]
            factors[rows] = faces.dial(factors[rows], name, position[rows])
    return _pictures(factors, size), factors


def _pictures(factors: Tensor, size: int) -> Tensor:
    """Return the faces of factors [N, F] as uint8 [N, 3, S, S]."""
    return batched(lambda part: faces.to_bytes(faces.render(part, size)), factors)


def degree_scales(judge: Judge, seed: int, each: int) -> dict[str, tuple[list[float], list[float]]]:
    """Measure what a judge's degrees mean: the mean true degree at each that it tells, one attribute dialled a face.

    Args:
        judge: without scales.
        seed: of faces that it did not learn from.
        each: faces for each attribute, dialled to anywhere.

    Returns:
        As in `Judge.scales`: KNOTS quantiles of what it tells, and the isotonic regression of the degree there.
    """
    generator, scales = torch.Generator().manual_seed(seed), {}
    for column, name in enumerate(faces.SCHEMA.names):
        factors = faces.sample_factors(each, generator, correlation=0.0)
        factors = faces.dial(factors, name, torch.rand(each, generator=generator))
        seen, order = judge.degrees(faces.render(factors, judge.image_size))[:, column].double().sort()
        true = isotonic(faces.degrees(factors)[order, column].double())
        parts = zip(seen.tensor_split(KNOTS), true.tensor_split(KNOTS), strict=True)
        means = [(float(at.mean()), float(degree.mean())) for at, degree in parts]
        scales[name] = ([at for at, _ in means], [degree for _, degree in means])
    return scales


def labels_of(factors: Tensor) -> Tensor:
    """Return the labels of drawn faces, [N, A]: NaN where an attribute is neither clearly absent nor present."""
    return torch.where((faces.degrees(factors) - 0.5).abs() < UNCLEAR, torch.nan, faces.attributes(factors))


def train_drawn_judge(recipe: DrawnJudgeRecipe, *, progress: Progress | None = None) -> Judge:
    """Train a judge from scratch on drawn faces, of degrees as well.

    Args:
        recipe: size, amounts, seed.
        progress: called with (faces seen, faces in all, figures).
    """
    size, schema = recipe.image_size, faces.SCHEMA
    with torch.device("meta"):
        JudgeNetwork(size, schema.width, degrees=True)  # refuses a size before faces are drawn
    images, factors = drawn_faces(
        recipe.images, size, recipe.seed, correlation=recipe.correlation, dialled=recipe.dialled
    )

    def loss(network: JudgeNetwork, batch: Tensor, truth: Tensor) -> Tensor:
        logits, seen = network(batch)
        labels, degrees = truth.chunk(2, dim=1)
        far: Tensor = (seen - degrees).square().mean()
        return attribute_loss(logits, labels, schema) + 2 * far

    truth = torch.cat([labels_of(factors), faces.degrees(factors)], 1)
    learn = of_bytes(images, truth)
    network = fit(lambda: JudgeNetwork(size, schema.width, degrees=True), learn, loss, recipe, progress=progress)
    judge = Judge(f"judge drawn-faces-{size}", schema, size, network, 1.0, asdict(recipe), {})
    judge = replace(
        judge, scales=degree_scales(judge, recipe.seed + 3, recipe.scaled), trained_on={"drawn faces": recipe.images}
    )
    sets = [drawn_faces(few, size, recipe.seed + more) for few, more in ((recipe.unseen // 2, 1), (recipe.unseen, 2))]
    choose, measure = (of_bytes(drawn, faces.attributes(factors)) for drawn, factors in sets)
    return measured(judge, choose, measure)


def drawn_people(people: Tensor, size: int, seed: int, *, correlation: float = 0.0) -> Tensor:
    """Draw one face for each entry of `people`, identities [N], as uint8 [N, 3, S, S]."""
    generator = torch.Generator().manual_seed(seed)
    factors = faces.sample_factors(len(people), generator, correlation=correlation, identities=people)
    return _pictures(factors, size)


def train_drawn_identity_encoder(
    size: int,
    *,
    people: int = 1_000,
    images: int = 30,
    recipe: IdentityRecipe | None = None,
    unseen: int = 500,
    progress: Progress | None = None,
) -> IdentityEncoder:
    """Train an identity encoder on drawn people, and measure verification on others.

    Args:
        size: of the images, in pixels.
        people: identities 0 .. people - 1.
        images: of each.
        recipe: amounts, rates, seed.
        unseen: people to verify, four images of each.
        progress: called with (images seen, images in all, figures).
    """
    recipe = recipe or IdentityRecipe(dropout=0.0)
    labels = torch.arange(people).repeat_interleave(images)
    parts = divide_classes(of_bytes(drawn_people(labels, size, recipe.seed), labels), recipe.seed)
    found = fit_identity_encoder(parts, range(people), recipe, size, f"drawn-faces-{size}", progress=progress)
    found.trained_on["drawn people"] = people
    measures = dict(found.measures)
    for correlation in (0.0, 0.5):
        others = (people + torch.arange(unseen)).repeat_interleave(4)
        drawn = drawn_people(others, size, recipe.seed + 1, correlation=correlation)
        words = f"unseen drawn people, correlation {correlation:g}"
        measures |= verified(found, of_bytes(drawn, others, words))
    return replace(found, measures=measures)


def main() -> None:
    """Train the judge or the identity encoder of one size and write it where the package looks for it."""
    parser = argparse.ArgumentParser(description="Train on drawn faces what ships with the package.")
    parser.add_argument("kind", choices=["judge", "identity"])
    parser.add_argument("--size", type=int, default=64, help="a power of two from 16 on")
    parser.add_argument("--images-seen", "--presentations", type=int, help="images seen in all")
    parser.add_argument("--images", type=int, help="faces of a judge; of each person, for an identity encoder")
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    asked = {name: getattr(words, name) for name in ("images_seen", "seed", "precision")}
    given = {name: value for name, value in asked.items() if value is not None}
    found: Judge | IdentityEncoder
    what = {"judge": "judge", "identity": "identity encoder"}[words.kind]
    with Meter(f"training the {what} of {words.size} px", "faces") as meter:
        if words.kind == "judge":
            images = words.images or DrawnJudgeRecipe.images
            found = train_drawn_judge(
                DrawnJudgeRecipe(image_size=words.size, images=images, **given), progress=meter.update
            )
            figures = found.accuracies | found.means()
        else:
            recipe, images = IdentityRecipe(dropout=0.0, **given), words.images or 30
            found = train_drawn_identity_encoder(
                words.size, people=words.people, images=images, recipe=recipe, progress=meter.update
            )
            figures = found.measures
    found.save(out := words.out or SHIPPED / f"{found.kind}-drawn-faces-{words.size}.safetensors")
    for name, value in sorted(figures.items(), key=lambda item: item[1]):
        print(f"{value:.4f}  {name}")
    print(f"temperature {found.temperature:.3f}; wrote {out}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
