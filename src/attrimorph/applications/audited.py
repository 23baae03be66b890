"""What an audit takes its pictures from: a folder, a data set, or drawn faces; with the attributes of each."""

from pathlib import Path

import torch
from torch import Tensor

from attrimorph.applications.inputs import attributes_of
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.data.readers.raw import IMAGE_SUFFIXES
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.evaluation_set import drawn_images, held_out_images
from attrimorph.models.model import Model

SEED = 990_004  # set aside for audits
Audited = tuple[Tensor, Tensor, list[str]]


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
    if data.image_size != model.image_size or data.schema.names != model.schema.names:
        raise AttrimorphError(
            f"the data must have {model.image_size} px and the model's attributes; got {data.image_size} px and "
            f"{len(data.schema.names)} attributes; prepare it again for this model"
        )
    unseen = held_out_images(data, count)
    split = "test" if len(data.indices("test")) else "valid"
    return unseen.images, unseen.labels, [data.files[row] for row in data.indices(split)[:count].tolist()]


def drawn(model: Model, count: int) -> Audited:
    """Draw faces.

    Raises:
        AttrimorphError: the model is not one of drawn faces.
    """
    _check(count)
    if model.schema.names != faces.SCHEMA.names:
        raise AttrimorphError(
            "only a model of drawn faces is audited without pictures; this one has other attributes; add --images or "
            "--data"
        )
    unseen = drawn_images(count, model.image_size, SEED)
    return unseen.images, unseen.labels.to(torch.float32), [f"drawn face {number}" for number in range(1, count + 1)]


def _check(count: int) -> None:
    if count < 1:
        raise AttrimorphError(f"count must be at least 1; got {count}; try 100")
