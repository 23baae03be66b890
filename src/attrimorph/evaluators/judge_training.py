"""Training a judge on any prepared data; those that ship learned from drawn faces, see `drawn`.

One half of every batch is blurred, faded or noisy, so that a judge keeps its eye on generated images. Photographs offer
no attributes that are independent of each other: there a judge also learns what goes with what.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import attribute_accuracy
from attrimorph.evaluators.calibration import calibration_errors, fitted_temperature, pooled_calibration_error
from attrimorph.evaluators.fitting import Fitting, Labelled, Progress, channels_last, fit, photographs, rows_of
from attrimorph.evaluators.judge import Judge, JudgeNetwork, answers, attribute_loss

LEAST_IMAGES = 20  # of a train split that a judge learns from
HELD_OUT = 0.1  # of the train split, where there is no valid split


@dataclass(frozen=True)
class JudgeRecipe(Fitting):
    """How a judge of prepared data is trained; the amounts and rates are those of `Fitting`.

    Attributes:
        dropout: of the features.
    """

    presentations: int = 200_000
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
) -> Judge:
    """Train a judge on the train split; valid chooses and calibrates it, test measures it.

    Without a valid split a tenth of the train split takes its place, without a test split valid does.

    Args:
        data: with labels, of a size that is a power of two.
        recipe: amounts, rates, seed.
        name: it becomes "judge NAME"; by default that of the data's folder.
        progress: called with (images seen, images in all, figures).
        result: the file that it will be saved in: a signal keeps beside it how far this came.

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
    rows, words = divide(data, recipe.seed)
    train, choose, measure = (rows_of(data, part, data.attributes[torch.from_numpy(part)]) for part in rows)
    for attribute in schema.names:
        if bool(train.labels[:, schema.columns(attribute)].isnan().all()):
            raise AttrimorphError(
                f"every attribute must have a label in the train split; {attribute!r} has none; "
                "prepare the data without it (--attributes)"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = channels_last(JudgeNetwork(size, schema.width, dropout=recipe.dropout))

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            return attribute_loss(network(images)[0].float(), labels, schema)

        fit(
            network,
            train,
            loss,
            recipe,
            augment=photographs(schema),
            look=lambda: float(attribute_loss(choose.through(lambda part: network(part)[0]), choose.labels, schema)),
            progress=progress,
            keep=None if result is None else (result, {"kind": "attributes", "data": data.fingerprint}),
        )
    name = f"judge {name or (data.path.name if data.path else data.fingerprint)}"
    trained_on = {"fingerprint": data.fingerprint, **words}
    judge = Judge(name, schema, size, network, 1.0, asdict(recipe), {}, trained_on=trained_on)
    return measured(judge, choose, measure)


def measured(judge: Judge, choose: Labelled, measure: Labelled) -> Judge:
    """Return a judge with the temperature under which its loss on `choose` is least, and with its figures on `measure`.

    Args:
        judge: without a temperature.
        choose, measure: images that it did not learn from, with their attributes [N, W].
    """
    schema = judge.schema
    logits, other = (part.through(lambda images: judge.network(images)[0]) for part in (choose, measure))
    temperature = fitted_temperature(lambda one: attribute_loss(logits, choose.labels, schema, one))
    answered = answers(other, schema, temperature), measure.labels, schema
    return replace(
        judge,
        temperature=temperature,
        accuracies=attribute_accuracy(*answered),
        calibration=calibration_errors(*answered),
        calibration_error=pooled_calibration_error(*answered),
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
