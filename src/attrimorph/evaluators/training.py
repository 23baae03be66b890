"""Training judges and identity encoders on any prepared data; those that ship learned from drawn faces, see `drawn`.

One half of every batch is blurred, faded or noisy, so that a judge keeps its eye on generated images. Photographs offer
no attributes that are independent of each other: there a judge also learns what goes with what.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from attrimorph.data.loader import Augment
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import (
    attribute_accuracy,
    calibration_errors,
    expected_calibration_error,
    fitted_temperature,
    pooled_calibration_error,
)
from attrimorph.evaluators.evaluator import EvaluatorRecipe, Keep, Labelled, Progress, fit, photographs, rows_of
from attrimorph.evaluators.identity_encoder import (
    IdentityEncoder,
    IdentityNetwork,
    class_names,
    margin_logits,
    verification,
)
from attrimorph.evaluators.judge import Judge, JudgeNetwork, attribute_loss
from attrimorph.loading import exact_on
from attrimorph.models.model import answers

LEAST_IMAGES = 20  # of a train split that a judge learns from
LEAST = 10  # images of a class that an identity encoder learns from
HELD_OUT = 0.1  # of the train split, or of the images of every class, to choose by; of a class as many to measure on
PAIRS = 3_000  # most of each kind that verification is measured on

Parts = tuple[Labelled, Labelled, Labelled]
"""Images to train on, to choose and calibrate by, and to measure on."""


@dataclass(frozen=True)
class JudgeRecipe(EvaluatorRecipe):
    """How a judge of prepared data is trained; the amounts and rates are those of `EvaluatorRecipe`.

    Attributes:
        dropout: of the features.
    """

    images_seen: int = 200_000
    weight_decay: float = 0.05
    seed: int = 770_001
    dropout: float = 0.5


def train_judge(
    data: PreparedData,
    recipe: JudgeRecipe | None = None,
    *,
    name: str = "",
    progress: Progress | None = None,
    result: Path | None = None,
    device: str = "cpu",
) -> Judge:
    """Train a judge on the train split; valid chooses and calibrates it, test measures it.

    Without a valid split a tenth of the train split takes its place, without a test split valid does.

    Args:
        data: with labels, of a size that is a power of two.
        recipe: amounts, rates, seed.
        name: it becomes "judge NAME"; by default that of the data's folder.
        progress: called with (images seen, images in all, figures).
        result: the file that it will be saved in: a signal keeps beside it how far this came.
        device: where it learns, and is in the end.

    Raises:
        AttrimorphError: another size, too few images, or an attribute without labels.
    """
    recipe = recipe or JudgeRecipe()
    exact_on(device)
    schema, size = data.schema, data.image_size
    if not schema.attributes:
        raise AttrimorphError(
            "a judge learns to tell attributes, and these images have no labels; put them into one folder for each "
            "class, or name a CSV of labels with --table"
        )
    parts = train, choose, measure = three_splits(data, recipe.seed, device)
    for attribute in schema.names:
        if bool(train.labels[:, schema.columns(attribute)].isnan().all()):
            raise AttrimorphError(
                f"every attribute must have a label in the train split; {attribute!r} has none; "
                "prepare the data without it (--attributes)"
            )
    network = fit(
        lambda: JudgeNetwork(size, schema.width, dropout=recipe.dropout),
        train,
        lambda network, images, labels: attribute_loss(network(images)[0].float(), labels, schema),
        recipe,
        augment=photographs(schema),
        look=lambda network: float(attribute_loss(choose.through(network.logits), choose.labels, schema)),
        progress=progress,
        keep=None if result is None else (result, {"kind": "attributes", "data": data.fingerprint}),
    )
    name = f"judge {name or (data.path.name if data.path else data.fingerprint)}"
    trained_on = {"fingerprint": data.fingerprint, **described(parts)}
    judge = Judge(name, schema, size, network, 1.0, asdict(recipe), {}, trained_on=trained_on)
    return measured(judge, choose, measure)


def measured(judge: Judge, choose: Labelled, measure: Labelled) -> Judge:
    """Return a judge with the temperature under which its loss on `choose` is least, and with its figures on `measure`.

    Args:
        judge: without a temperature.
        choose, measure: images that it did not learn from, with their attributes [N, W].
    """
    schema = judge.schema
    logits, other = (part.through(judge.network.logits) for part in (choose, measure))
    temperature = fitted_temperature(lambda one: attribute_loss(logits, choose.labels, schema, one))
    answered = answers(other, schema, temperature), measure.labels, schema
    return replace(
        judge,
        temperature=temperature,
        accuracies=attribute_accuracy(*answered),
        calibration=calibration_errors(*answered),
        calibration_error=pooled_calibration_error(*answered),
    )


def three_splits(data: PreparedData, seed: int, device: str = "cpu") -> Parts:
    """Divide data by its splits; what of valid and test is missing is taken from the train split, and from valid.

    Raises:
        AttrimorphError: there are too few images to train on.
    """
    train, valid, test = (data.indices(split) for split in ("train", "valid", "test"))
    words = ["train", "valid", "test"]
    if not len(valid):
        mixed = np.random.default_rng(seed).permutation(train)
        count = max(1, round(HELD_OUT * len(train)))
        train, valid, words[1] = np.sort(mixed[count:]), np.sort(mixed[:count]), "train, left out of the training"
    if not len(test):
        test, words[2] = valid, words[1]
    if len(train) < LEAST_IMAGES:
        raise AttrimorphError(
            f"the train split must have at least {LEAST_IMAGES} images to learn from; it has {len(train)}; add some"
        )
    learn, choose, measure = (
        rows_of(data, rows, data.attributes[torch.from_numpy(rows)], word, device)
        for rows, word in zip((train, valid, test), words, strict=True)
    )
    return learn, choose, measure


def described(parts: Parts) -> dict[str, Any]:
    """Return what a network was trained, chosen and measured on, for its file."""
    uses = zip(("train", "choose", "measure"), parts, strict=True)
    return {use: {"split": part.words, "images": len(part)} for use, part in uses}


@dataclass(frozen=True)
class IdentityRecipe(EvaluatorRecipe):
    """How an identity encoder is trained; the amounts and rates are those of `EvaluatorRecipe`.

    Attributes:
        dropout: of the trunk's features.
        margin: of the cosine of the true class.
    """

    images_seen: int = 120_000
    weight_decay: float = 0.05
    seed: int = 770_002
    dropout: float = 0.2
    margin: float = 0.2


def fit_identity_encoder(
    parts: Parts,
    classes: Sequence[object],
    recipe: IdentityRecipe,
    image_size: int,
    name: str,
    *,
    augment: Augment | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> IdentityEncoder:
    """Train an identity encoder on labelled images.

    Args:
        parts: to train on, to choose and calibrate by, to measure on; labels in 0 .. len(classes) - 1.
        classes: their names.
        recipe: amounts, rates, seed.
        image_size: S.
        name: it becomes "recogniser NAME".
        augment, progress, keep: as of `fit`.

    Raises:
        AttrimorphError: labels or classes do not fit.
    """
    train, choose, measure = parts
    names = class_names(classes)
    if bool(((train.labels < 0) | (train.labels >= len(names))).any()):
        raise AttrimorphError(f"labels must lie in 0..{len(names) - 1}, the classes; some do not; mend them")
    network = fit(
        lambda: IdentityNetwork(image_size, len(names), dropout=recipe.dropout),
        train,
        lambda network, images, labels: cross_entropy(
            margin_logits(network(images)[1].float(), labels, recipe.margin), labels
        ),
        recipe,
        augment=augment,
        look=lambda network: float(cross_entropy(choose.through(network.logits), choose.labels)),
        progress=progress,
        keep=keep,
    )
    chosen, unseen = choose.through(network.logits), measure.through(network.logits)
    temperature = fitted_temperature(lambda one: cross_entropy(chosen / one, choose.labels))
    probabilities = (unseen / temperature).softmax(1)
    words = f"{len(names)} classes, {len(measure):,} unseen images"
    measures = {
        f"top-1 accuracy ({words})": float((unseen.argmax(1) == measure.labels).double().mean()),
        f"expected calibration error ({words}, 15 bins)": expected_calibration_error(probabilities, measure.labels),
    }
    name = f"recogniser {name}"
    return IdentityEncoder(name, image_size, names, network, temperature, asdict(recipe), measures, described(parts))


def divide_classes(every: Labelled, seed: int) -> Parts:
    """Divide every class: a tenth, and at least one image, to choose by; as many to measure on; the rest to train on.

    Raises:
        AttrimorphError: a class has fewer than three images.
    """
    generator = torch.Generator().manual_seed(seed)
    kept: list[list[Tensor]] = [[], [], []]
    for label in torch.unique(every.labels):
        rows = (every.labels == label).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)]
        held_out = max(1, round(HELD_OUT * len(rows)))
        if len(rows) < 3:
            raise AttrimorphError(
                f"every class must have at least 3 images, to learn, choose and measure; class {int(label)} has "
                f"{len(rows)}; leave it out"
            )
        for part, chosen in zip(kept, torch.split(rows, [len(rows) - 2 * held_out, held_out, held_out]), strict=True):
            part.append(chosen)
    words = ("train", "left out of the training", "left out of the training and the choice")
    train, choose, measure = (
        every.take(torch.cat(part).sort().values, word) for part, word in zip(kept, words, strict=True)
    )
    return train, choose, measure


def train_identity_encoder(
    data: PreparedData,
    recipe: IdentityRecipe | None = None,
    *,
    least: int = LEAST,
    name: str = "",
    progress: Progress | None = None,
    result: Path | None = None,
    device: str = "cpu",
) -> IdentityEncoder:
    """Train an identity encoder on the people of prepared data that have enough images in the train split.

    Their images in the valid and test split choose, calibrate and measure it, where there are any; otherwise some of
    the train split are left out for that. Where the test split has people that it never saw, verification is
    measured on them.

    Args:
        data: with identities, of a size that is a power of two.
        recipe: amounts, rates, seed.
        least: images in the train split that a person must have.
        name: it becomes "recogniser NAME"; by default that of the data's folder.
        progress: called with (images seen, images in all, figures).
        result: the file that it will be saved in: a signal keeps beside it how far this came.
        device: where it learns, and is in the end.

    Raises:
        AttrimorphError: another size, or fewer than two such people.
    """
    recipe = recipe or IdentityRecipe()
    exact_on(device)
    if least < 3:
        raise AttrimorphError(f"least must be at least 3 images, to learn, choose and measure; got {least}")
    identity = data.identity.numpy()
    people = people_of(data, least)
    if len(people) < 2:
        raise AttrimorphError(
            f"the data must have at least two people with {least} images each in the train split; it has "
            f"{len(people)} such; lower --least, or give data with identities"
        )
    train, choose, measure = (images_of(data, split, people, device) for split in ("train", "valid", "test"))
    found = fit_identity_encoder(
        (train, choose, measure) if len(choose) and len(measure) else divide_classes(train, recipe.seed),
        person_names(data, people),
        recipe,
        data.image_size,
        name or (data.path.name if data.path else data.fingerprint),
        augment=photographs(data.schema),
        progress=progress,
        keep=None if result is None else (result, {"kind": "identity", "data": data.fingerprint, "least": least}),
    )
    found.trained_on["fingerprint"] = data.fingerprint
    strangers = data.indices("test")
    seen = identity[data.indices("train")]
    strangers = strangers[(identity[strangers] >= 0) & ~np.isin(identity[strangers], seen)]
    unseen = rows_of(data, strangers, data.identity[torch.from_numpy(strangers)], device=device)
    return replace(found, measures={**found.measures, **verified(found, unseen)})


def people_of(data: PreparedData, least: int) -> NDArray[np.int64]:
    """Return those whom an identity encoder learns, ascending: with so many images in the train split."""
    seen, counts = np.unique(data.identity.numpy()[data.indices("train")], return_counts=True)
    return seen[(seen >= 0) & (counts >= least)]


def images_of(data: PreparedData, split: str, people: NDArray[np.int64], device: str = "cpu") -> Labelled:
    """Return the images of a split that show one of `people` (ascending), with their place among them as label."""
    rows = data.indices(split)
    rows = rows[np.isin(data.identity.numpy()[rows], people)]
    labels = np.searchsorted(people, data.identity.numpy()[rows])
    return rows_of(data, rows, torch.from_numpy(labels), split, device)


def person_names(data: PreparedData, people: NDArray[np.int64]) -> list[str]:
    """Return the values of the categorical attribute that names each person, or else their numbers."""
    identity = data.identity.numpy()
    for attribute in data.schema.attributes:
        if attribute.kind != "categorical":
            continue
        y = data.attributes[:, data.schema.columns(attribute.name)]
        numbers = [np.unique(y[torch.from_numpy(identity == person)].argmax(1).numpy()) for person in people]
        if all(len(one) == 1 for one in numbers) and len({int(one[0]) for one in numbers}) == len(people):
            return [attribute.values[int(one[0])] for one in numbers]
    return [str(person) for person in people]


def pairs(labels: Tensor, seed: int, most: int = PAIRS) -> tuple[Tensor, Tensor, Tensor]:
    """Draw pairs of rows: as many of one person as of two, at most `most` of each.

    Args:
        labels: [N], who it is.
        seed: of the draw.
        most: pairs of each kind.

    Returns:
        first [P], second [P], same bool [P]; empty where nobody stands twice, or nobody else is there.
    """
    generator = torch.Generator().manual_seed(seed)
    together = [torch.combinations((labels == label).nonzero()[:, 0]) for label in torch.unique(labels)]
    same = torch.cat([torch.zeros(0, 2, dtype=torch.long), *together])
    # Most pairs show two people: drawing four times as many finds enough, and never all of the few there may be.
    other = torch.randint(0, max(1, len(labels)), (4 * most, 2), generator=generator)[: 4 * most * (len(labels) > 0)]
    other = other[labels[other[:, 0]] != labels[other[:, 1]]]
    count = min(most, len(same), len(other))
    chosen = torch.cat([same[torch.randperm(len(same), generator=generator)[:count]], other[:count]])
    return chosen[:, 0], chosen[:, 1], torch.arange(2 * count) < count


def verified(identity_encoder: IdentityEncoder, people: Labelled) -> dict[str, float]:
    """Measure verification on people that the identity encoder never saw; nothing where no two images show one person.

    Args:
        identity_encoder: whose features are compared by their cosine.
        people: images of them, with who it is.
    """
    first, second, same = pairs(people.labels, seed=0)
    if len(same) < 20:
        return {}
    features = people.through(identity_encoder.features)
    found = verification((features[first] * features[second]).sum(1), same)
    words = f"{len(same):,} pairs of {len(torch.unique(people.labels)):,} {people.words or 'unseen people'}, cosine"
    return {
        f"verification accuracy ({words}, 10 even folds)": found.accuracy,
        f"verification area under the curve ({words})": found.area,
    }
