"""Calibrate: make a strength of one half go half the way, for every attribute and either direction.

And what calibrations and audits take their pictures from: a folder, a data set, or drawn faces.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attrimorph.applications.inputs import attributes_of, editor
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.data.readers.raw import IMAGE_SUFFIXES
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges, editable_names, isotonic
from attrimorph.evaluators.judge import AttributeScore, in_schema
from attrimorph.files import write_bytes
from attrimorph.loading import load, read_header
from attrimorph.metrics.evaluation_set import EvaluationSet, calibration_images, drawn_images, held_out_images
from attrimorph.metrics.responses import LEAST_SPAN, Response, measure_responses
from attrimorph.models import SET, TAKEN_AWAY, Strengths, find, shipped, with_header
from attrimorph.models.model import Edits, Model

# Set aside for calibration, and for audits: nothing trains or is evaluated on faces of these seeds.
SEED, AUDIT_SEED = 990_002, 990_004
DRAWN, PREPARED = 400, 2_000  # images among which those of each attribute and direction are sought
MOST = 24
KNOTS = 9
PASSES = 2
Audited = tuple[Tensor, Tensor, list[str]]
"""Pictures [N, 3, S, S] in [-1, 1], their attributes [N, W], and what each is called."""


class CalibratedModel(NamedTuple):
    """What `write_calibrated` made.

    Attributes:
        model: loaded from the file that was written.
        path: of the file.
    """

    model: Model
    path: Path


def images_for(model: Model, data: PreparedData | None = None) -> EvaluationSet:
    """Return images to calibrate on: fresh drawn faces, or the validation (else training) images of data.

    Raises:
        AttrimorphError: the model's images are not drawn faces, and no data is given or it does not fit.
    """
    if data is None:
        if model.schema.attributes != faces.SCHEMA.attributes:
            raise AttrimorphError(
                "only a model of drawn faces is calibrated without data; this one has other attributes; add --data"
            )
        return drawn_images(DRAWN, model.image_size, SEED)
    return calibration_images(fitting(model, data), PREPARED)


def fitting(model: Model, data: PreparedData) -> PreparedData:
    """Return data with the model's attributes in the model's order.

    Raises:
        AttrimorphError: they have others, or another size.
    """
    if data.image_size != model.image_size:
        raise AttrimorphError(
            f"the data must have {model.image_size} px like the model; got {data.image_size}; prepare it again for "
            "this model"
        )
    return data.with_schema(model.schema, "the model")


def calibrate(
    model: Model,
    judge: Judges,
    unseen: EvaluationSet,
    *,
    names: Sequence[str] | None = None,
    most: int = MOST,
    progress: Callable[[str], None] | None = None,
) -> Strengths:
    """Measure how edits grow with their strength, and return the maps that make them grow evenly.

    Two passes: the second measures at the positions that the first found, so that a jump between two strengths of the
    first is looked at closely.

    Args:
        model: one that edits; its own calibration plays no part.
        judge: who measures how much an attribute holds.
        unseen: images to edit; not those that the model is evaluated on.
        names: binary attributes to calibrate; all when None.
        most: images of each attribute and direction.
        progress: gets a line of text after each attribute.

    Raises:
        AttrimorphError: the model does not edit, or the judge knows other attributes.
    """
    editor(model, "calibrate")
    judge = in_schema(judge, model.schema, "the model")
    if not model.knows_strengths:
        raise AttrimorphError(
            f"{model.recipe.name!r} ({model.recipe.method}) knows no strength but 1 and -1: there is "
            "nothing to calibrate; use HomoInterpGAN or CVAE-GAN for what lies between"
        )
    names = editable_names(model) if names is None else names

    def calibrated(strengths: Strengths) -> Edits:
        return editor(model.with_strengths(strengths), "calibrate")

    return evened(calibrated, AttributeScore(judge), unseen, names, most, progress)


def evened(
    calibrated: Callable[[Strengths], Edits],
    score: AttributeScore,
    unseen: EvaluationSet,
    names: Sequence[str],
    most: int = MOST,
    progress: Callable[[str], None] | None = None,
) -> Strengths:
    """Return the maps that make the edits of anybody grow evenly; see `calibrate`.

    Args:
        calibrated: who edits by given maps.
        score: how much an attribute holds.
        unseen, names, most, progress: as of `calibrate`.
    """
    found = Strengths()
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in range(1, PASSES + 1):
        say = None if progress is None else _numbered(number, progress)
        attempt = calibrated(found)
        responses = measure_responses(attempt, unseen, score, names=names, most=most, truths=False, progress=say)
        positions: dict[str, dict[str, tuple[float, ...]]] = {}
        for response in responses:
            edit = response.name, SET if response.goal else TAKEN_AWAY
            points.setdefault(edit, []).extend(measured_points(response, found))
            if knots := even_positions(points[edit]):
                positions.setdefault(edit[0], {})[edit[1]] = knots
        found = Strengths(positions)
    about = {"measured by": score.name, "on": f"{unseen.words}, at most {most} of each attribute and direction"}
    return Strengths(found.positions, about)


def _numbered(number: int, progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: progress(f"pass {number} of {PASSES}: {line}")


def measured_points(response: Response, strengths: Strengths) -> list[tuple[float, float]]:
    """Return (position, mean degree in the direction of the edit) of a response measured under some calibration."""
    mean = response.measured.double().mean(0) * response.sign
    signed = [strength * response.sign for strength in response.strengths]
    return [(abs(strengths.position(response.name, s)), value) for s, value in zip(signed, mean.tolist(), strict=True)]


def even_positions(points: Sequence[tuple[float, float]], knots: int = KNOTS) -> tuple[float, ...]:
    """Return the positions where a response has gone 1 / (knots + 1), 2 / (knots + 1), ... of its way.

    Args:
        points: (position, degree); the degree rises from the first position to the last but for noise.
        knots: how many.

    Returns:
        Positions in 0..1, never falling; none where the response hardly moves.
    """
    ordered = np.array(sorted(points))
    level = isotonic(torch.from_numpy(ordered[:, 1])).numpy()
    if level[-1] - level[0] < LEAST_SPAN:
        return ()
    # The middle of a level stretch stands for all of it, so that the position is a function of the level.
    levels = np.unique(level)
    at = np.array([ordered[level == each, 0].mean() for each in levels])
    share = (levels - levels[0]) / (levels[-1] - levels[0])
    found = np.interp(np.arange(1, knots + 1) / (knots + 1), share, at)
    return tuple(round(value, 4) for value in found.tolist())


def write_calibrated(source: str | Path, strengths: Strengths, out: Path | None = None) -> CalibratedModel:
    """Write a model file with these strengths; its weights stay as they are.

    Args:
        source: a run folder (its newest model), a model file or a shipped model.
        strengths: from `calibrate`.
        out: the file to write; by default the model's own, which a shipped model has not.

    Raises:
        AttrimorphError: a shipped model without `out`.
    """
    path = refuse_shipped(source, out)
    target = path if out is None else out
    write_bytes(target, with_header(path, {**read_header(path).json, "strength": strengths.to_json()}))
    return CalibratedModel(load(target), target)


def refuse_shipped(source: str | Path, out: Path | None) -> Path:
    """Return the model's file; a shipped one is not written over.

    Raises:
        AttrimorphError: a shipped model without another file to write.
    """
    path = find(source)
    if out is None and path in shipped().values():
        raise AttrimorphError(
            f"a shipped model stays as it is; got {path.stem} and no other file; add --out {path.stem}.safetensors"
        )
    return path


def from_folder(model: Model, folder: Path, count: int) -> Audited:
    """Read the first `count` pictures of a folder; the model guesses their attributes.

    Raises:
        AttrimorphError: there is none.
    """
    _check(count)
    if not folder.is_dir():
        raise AttrimorphError(f"--images must be a folder of pictures; {folder} is none; check the path")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[:count]
    if not paths:
        raise AttrimorphError(f"{folder} must hold pictures; it holds none; name another folder")
    images = model.prepared(paths)
    return images, attributes_of(model, images), [path.name for path in paths]


def from_data(model: Model, data: PreparedData, count: int) -> Audited:
    """Take the first `count` held-out images of a data set, with their labels.

    Raises:
        AttrimorphError: the data does not fit the model.
    """
    _check(count)
    unseen = held_out_images(fitting(model, data), count)
    split = "test" if len(data.indices("test")) else "valid"
    return unseen.images, unseen.labels, [data.files[row] for row in data.indices(split)[:count].tolist()]


def drawn(model: Model, count: int) -> Audited:
    """Draw faces.

    Raises:
        AttrimorphError: the model is not one of drawn faces.
    """
    _check(count)
    if model.schema.attributes != faces.SCHEMA.attributes:
        raise AttrimorphError(
            "only a model of drawn faces is audited without pictures; this one has other attributes; add --images or "
            "--data"
        )
    unseen = drawn_images(count, model.image_size, AUDIT_SEED)
    return unseen.images, unseen.labels.to(torch.float32), [f"drawn face {number}" for number in range(1, count + 1)]


def _check(count: int) -> None:
    if count < 1:
        raise AttrimorphError(f"count must be at least 1; got {count}; try 100")
