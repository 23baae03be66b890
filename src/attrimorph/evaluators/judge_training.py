"""Training judges: on any prepared data, or on drawn faces for those that ship.

    python -m attrimorph.evaluators.judge_training --size 64      trains the judge that ships with the package

On drawn faces a judge learns from attributes that are independent of each other (correlation 0), so that it reads the
moustache off the lip and not off the chin. Photographs offer no such choice: there a judge also learns what goes with
what. One half of every batch is blurred, faded or noisy, so that it keeps its eye on generated images. In most of the
drawn faces some attributes are dialled to anywhere between absent and present: degrees that are only learned at the
ends say nothing of what lies between.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attrimorph.console import Meter
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attribute_score import isotonic
from attrimorph.evaluators.attributes import attribute_accuracy
from attrimorph.evaluators.calibration import TEMPERATURES, calibration_errors, pooled_calibration_error
from attrimorph.evaluators.fitting import (
    BATCH,
    Fitting,
    Progress,
    Read,
    channels_last,
    fit,
    from_bytes,
    photographs,
    rows_of,
)
from attrimorph.evaluators.judge import Judge, JudgeNetwork, answers, attribute_loss, save_judge
from attrimorph.evaluators.trunk import SHIPPED

LEAST_IMAGES = 20  # of a train split that a judge learns from
DIALLED = 8  # attributes of a dialled face
SCALED, KNOTS = 400, 20  # faces that a scale of degrees is measured on, and its knots
UNCLEAR = 0.2  # of the degree, either side of one half: neither clearly absent nor clearly present
HELD_OUT = 0.1  # of the train split, where there is no valid split


@dataclass(frozen=True)
class JudgeRecipe:
    """How a judge of prepared data is trained.

    Attributes:
        presentations: images seen in all, repetitions counted.
        batch_size: images a step.
        learning_rate: the highest; one cycle, AdamW.
        weight_decay: of AdamW.
        dropout: of the features.
        seed: of weights, order and augmentation.
        precision: "float32", or "bfloat16" where the processor has it.
    """

    presentations: int = 200_000
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.5
    seed: int = 770_001
    precision: str = "float32"


@dataclass(frozen=True)
class DrawnJudgeRecipe:
    """How a judge of drawn faces was trained.

    Attributes:
        image_size: of the faces.
        images: different faces drawn for it.
        presentations: faces seen in all, repetitions counted.
        batch_size: faces a step.
        learning_rate: the highest; one cycle, AdamW.
        seed: of faces, weights and order.
        correlation: of the faces' attributes.
        dialled: share of the faces in which some attributes lie anywhere between absent and present.
        unseen: faces it is measured on; half as many others set its temperature.
    """

    image_size: int = 64
    images: int = 32_000
    presentations: int = 160_000
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 770_001
    correlation: float = 0.0
    dialled: float = 0.75
    unseen: int = 2_000


def train_judge(
    data: PreparedData,
    recipe: JudgeRecipe | None = None,
    *,
    name: str = "",
    progress: Progress | None = None,
    result: Path | None = None,
) -> Judge:
    """Train a judge on the train split; valid chooses and calibrates it, test measures it.

    Without a valid split a tenth of the train split takes its place, without a test split valid does.

    Args:
        data: with labels, of a size that is a power of two.
        recipe: amounts, rates, seed.
        name: it becomes "judge NAME"; by default that of the data's folder.
        progress: called with (images seen, images in all, figures).
        result: the file that it will be saved in; see `fit`.

    Raises:
        AttrimorphError: another size, too few images, or an attribute without labels.
    """
    recipe = recipe or JudgeRecipe()
    schema, size = data.schema, data.image_size
    if not schema.attributes:
        raise AttrimorphError(
            "a judge learns to tell attributes, and these images have no labels; put them into one folder for each "
            "class, or name a CSV of labels with --table"
        )
    parts, words = divide(data, recipe.seed)
    train, valid, test = parts
    labels = data.attributes[torch.from_numpy(train)]
    _check_labels(labels, schema)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = channels_last(JudgeNetwork(size, schema.width, dropout=recipe.dropout))
        fitting = Fitting(
            recipe.presentations, recipe.batch_size, recipe.learning_rate, recipe.weight_decay,
            augment=photographs(schema), seed=recipe.seed, precision=recipe.precision,
        )  # fmt: skip

        def loss(images: Tensor, rows: Tensor) -> Tensor:
            return attribute_loss(network(images)[0].float(), labels[rows], schema)

        truth = data.attributes[torch.from_numpy(valid)]
        read = rows_of(data, valid)

        def look() -> float:
            return float(attribute_loss(_logits(network, read, len(valid)), truth, schema))

        key = {"kind": "attributes", "data": data.fingerprint}
        fit(
            network,
            rows_of(data, train),
            len(train),
            loss,
            fitting,
            look=look,
            progress=progress,
            result=result,
            key=key,
        )
    temperature = temperature_of(_logits(network, read, len(valid)), truth, schema)
    truth = data.attributes[torch.from_numpy(test)]
    said = answers(_logits(network, rows_of(data, test), len(test)), schema, temperature)
    return Judge(
        f"judge {name or (data.path.name if data.path else data.fingerprint)}",
        schema,
        size,
        network,
        temperature,
        asdict(recipe),
        attribute_accuracy(said, truth, schema),
        calibration_errors(said, truth, schema),
        {"fingerprint": data.fingerprint, **words},
        pooled_calibration_error(said, truth, schema),
    )


def divide(data: PreparedData, seed: int) -> tuple[list[np.ndarray[Any, Any]], dict[str, Any]]:
    """Return the rows to train, choose and measure on, and their description.

    Raises:
        AttrimorphError: there are too few images to train on.
    """
    train, valid, test = (data.indices(split) for split in ("train", "valid", "test"))
    words = {"train": "train", "choose": "valid", "measure": "test"}
    if not len(valid):
        mixed = np.random.default_rng(seed).permutation(train)
        count = max(1, round(HELD_OUT * len(train)))
        train, valid = np.sort(mixed[count:]), np.sort(mixed[:count])
        words["choose"] = "train, left out of the training"
    if not len(test):
        test, words["measure"] = valid, words["choose"]
    if len(train) < LEAST_IMAGES:
        raise AttrimorphError(
            f"the train split must have at least {LEAST_IMAGES} images to learn from; it has {len(train)}; add some"
        )
    rows = [train, valid, test]
    described = {use: {"split": words[use], "images": len(part)} for use, part in zip(words, rows, strict=True)}
    return rows, described


def _check_labels(labels: Tensor, schema: Schema) -> None:
    for name in schema.names:
        if bool(labels[:, schema.columns(name)].isnan().all()):
            raise AttrimorphError(
                f"every attribute must have a label in the train split; {name!r} has none; "
                "prepare the data without it (--attributes)"
            )


@torch.no_grad()
def _logits(network: JudgeNetwork, read: Read, count: int) -> Tensor:
    return torch.cat([network(read(rows))[0] for rows in torch.split(torch.arange(count), BATCH)])


def temperature_of(logits: Tensor, labels: Tensor, schema: Schema) -> float:
    """Return the one temperature under which the loss of all binary and categorical attributes is least."""
    low, high = (torch.tensor(edge).log10() for edge in TEMPERATURES)
    candidates = torch.logspace(float(low), float(high), 201).tolist()
    losses = [float(attribute_loss(logits, labels, schema, candidate)) for candidate in candidates]
    return float(candidates[int(np.argmin(losses))])


def drawn_faces(
    count: int, size: int, seed: int, *, correlation: float = 0.0, dialled: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Draw faces as (images uint8 [N, 3, S, S], factors [N, F]); seeds give unrelated faces.

    Args:
        count, size, seed, correlation: as of `faces.draw`.
        dialled: share of the faces, the first ones, in which `DIALLED` random attributes are dialled to anywhere.
    """
    if not dialled:
        chunks = list(faces.draw(count, size, seed, correlation=correlation))
        images = torch.cat([chunk.images for chunk in chunks]).permute(0, 3, 1, 2)
        return images, torch.cat([chunk.factors for chunk in chunks])
    generator = torch.Generator().manual_seed(seed)
    factors = faces.sample_factors(count, generator, correlation=correlation)
    some = round(dialled * count)
    names = faces.SCHEMA.names
    for _ in range(DIALLED):
        chosen = torch.randint(len(names), (some,), generator=generator)
        position = torch.rand(some, generator=generator)
        for column, name in enumerate(names):
            rows = (chosen == column).nonzero()[:, 0]
            factors[rows] = faces.dial(factors[rows], name, position[rows])
    parts = [faces.to_bytes(faces.render(part, size)) for part in torch.split(factors, BATCH)]
    return torch.cat(parts), factors


def degree_scales(judge: Judge, seed: int, each: int = SCALED) -> dict[str, tuple[list[float], list[float]]]:
    """Measure what a judge's degrees mean: the mean true degree at each of what it says, one attribute dialled a face.

    Args:
        judge: without scales.
        seed: of faces that it did not learn from.
        each: faces for each attribute, dialled to anywhere.

    Returns:
        As in `Judge.scales`: KNOTS quantiles of what it says, and the isotonic regression of the degree there.
    """
    generator, scales = torch.Generator().manual_seed(seed), {}
    for column, name in enumerate(faces.SCHEMA.names):
        factors = faces.sample_factors(each, generator, correlation=0.0)
        factors = faces.dial(factors, name, torch.rand(each, generator=generator))
        said = judge.degrees(faces.render(factors, judge.image_size))[:, column].double()
        said, order = said.sort()
        true = isotonic(faces.degrees(factors)[order, column].double())
        parts = zip(said.tensor_split(KNOTS), true.tensor_split(KNOTS), strict=True)
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
    size, count, schema = recipe.image_size, len(faces.SCHEMA.names), faces.SCHEMA
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = channels_last(JudgeNetwork(size, count, degrees=True))
    images, factors = drawn_faces(
        recipe.images, size, recipe.seed, correlation=recipe.correlation, dialled=recipe.dialled
    )
    labels, degrees = labels_of(factors), faces.degrees(factors)

    def loss(batch: Tensor, rows: Tensor) -> Tensor:
        logits, seen = network(batch)
        far: Tensor = (seen - degrees[rows]).square().mean()
        return attribute_loss(logits, labels[rows], schema) + 2 * far

    fitting = Fitting(recipe.presentations, recipe.batch_size, recipe.learning_rate, seed=recipe.seed)
    fit(network, lambda rows: from_bytes(images[rows]), len(images), loss, fitting, progress=progress)
    name = f"judge drawn-faces-{size}"
    judge = Judge(name, schema, size, network, 1.0, asdict(recipe), {})
    images, factors = drawn_faces(recipe.unseen // 2, size, recipe.seed + 1)
    temperature = temperature_of(judge.logits(from_bytes(images)), faces.attributes(factors), schema)
    scales = degree_scales(judge, recipe.seed + 3)
    images, factors = drawn_faces(recipe.unseen, size, recipe.seed + 2)
    truth = faces.attributes(factors)
    said = answers(judge.logits(from_bytes(images)), schema, temperature)
    return replace(
        judge,
        temperature=temperature,
        accuracies=attribute_accuracy(said, truth, schema),
        calibration=calibration_errors(said, truth, schema),
        trained_on={"drawn faces": recipe.images},
        calibration_error=pooled_calibration_error(said, truth, schema),
        scales=scales,
    )


def main() -> None:
    """Train the judge of one size and write it where the package looks for it."""
    parser = argparse.ArgumentParser(description="Train an attribute judge on drawn faces.")
    parser.add_argument("--size", type=int, default=64, help="32, 64 or 128")
    parser.add_argument("--images", type=int, default=DrawnJudgeRecipe.images)
    parser.add_argument("--presentations", type=int, default=DrawnJudgeRecipe.presentations)
    parser.add_argument("--seed", type=int, default=DrawnJudgeRecipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    recipe = DrawnJudgeRecipe(words.size, words.images, words.presentations, seed=words.seed)
    with Meter(f"training the judge of {words.size} px", "faces") as meter:
        judge = train_drawn_judge(recipe, progress=meter.update)
    out = words.out or SHIPPED / f"judge-drawn-faces-{words.size}.safetensors"
    save_judge(judge, out)
    for name, accuracy in sorted(judge.accuracies.items(), key=lambda item: item[1]):
        print(f"{accuracy:.4f}  {name}")
    mean = sum(judge.accuracies.values()) / len(judge.accuracies)
    print(f"{mean:.4f}  mean on {recipe.unseen:,} unseen faces; temperature {judge.temperature:.3f}; wrote {out}")


if __name__ == "__main__":
    main()
