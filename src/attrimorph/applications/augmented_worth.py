"""What an augmented folder is worth: its generated images, read back, on trial."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attrimorph.applications.augment import class_attribute
from attrimorph.applications.write_augmented import Wish
from attrimorph.data.images import read_pixels
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_json
from attrimorph.metrics.augmentation import Say, Worth, measure_augmentation, measure_identities

Row = dict[str, str]


def write_worth(
    data: PreparedData,
    folder: Path,
    wish: Wish,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    presentations: int = 60_000,
    say: Say | None = None,
) -> tuple[Path, list[Worth]]:
    """Measure what the generated images of a folder are worth, and write the figures as FOLDER.worth.json.

    Args:
        data: the real images that the folder was made from.
        folder: what `write_augment` wrote.
        wish: how it was made.
        seeds, presentations, say: see `measure_augmentation`.

    Returns:
        The file, and the figures.
    """
    rows = generated_rows(folder)
    images = np.stack([read_pixels(folder / row["file_name"], data.image_size) for row in rows])
    if wish.identities is None:
        name = class_attribute(data.schema)
        names = wish.balance or (() if name is None else (name,))
        worths = measure_augmentation(
            data, images, _attributes(rows, data), names, seeds=seeds, presentations=presentations, say=say
        )
    else:
        worths = measure_identities(
            data, images, _new_numbers(rows, data), seeds=seeds, presentations=presentations, say=say
        )
    path = folder.with_name(f"{folder.name}.worth.json")
    write_json(path, {"generated": len(rows), "seeds": list(seeds), **{each.name: each.to_json() for each in worths}})
    return path, worths


def generated_rows(folder: Path) -> list[Row]:
    """Return the rows of a folder's table that are generated images.

    Raises:
        AttrimorphError: there is no such table, or it names none.
    """
    try:
        with (folder / "attributes.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if Path(row["file_name"]).name.startswith("made-")]
    except (OSError, KeyError, csv.Error) as error:
        raise AttrimorphError(f"{folder} must be a folder that augment wrote; it is none ({error}); make it") from error
    if not rows:
        raise AttrimorphError(f"{folder} must hold generated images; it has none; make some with augment")
    return rows


def _attributes(rows: Sequence[Row], data: PreparedData) -> Tensor:
    return torch.from_numpy(data.schema.encode({name: [row[name] for row in rows] for name in data.schema.names}))


def _new_numbers(rows: Sequence[Row], data: PreparedData) -> Tensor:
    """Number new people after those of the data."""
    first = max(0, int(data.identity.max()) + 1)
    places: NDArray[np.int64] = np.unique([row["identity"] for row in rows], return_inverse=True)[1]
    return torch.from_numpy(places + first)
