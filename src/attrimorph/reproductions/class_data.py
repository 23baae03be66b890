"""Images of which each has one class, from any labelled images: the data of the class-conditional experiments."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepare import open_or_prepare
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.readers import lfw
from attrimorph.data.schema import Attribute, Schema
from attrimorph.data.source import Source
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.reproductions.outcome import Request

ATTRIBUTE = "class"
LEAST = 20  # images that a class must have
HELD_OUT = 0.1  # of every class's images in the valid split, and as many in the test split
DRAWN_SEED = 7
CHUNK = 512


def class_data(request: Request, size: int) -> PreparedData:
    """Return data whose schema is one categorical attribute, "class", split by image within every class.

    It is written into OUT/data once and read from there the next time.

    Args:
        request: says where the images come from and what their classes are.
        size: of the images.

    Raises:
        AttrimorphError: the data has no classes with enough images.
    """
    if request.data is None:
        people, count = request.form.people, request.form.people * request.form.images
        name = f"drawn-{people}-people-{count}-{size}"
        source = write_faces(
            request.out / "data" / f"{name}-as-drawn",
            count=count,
            size=size,
            seed=DRAWN_SEED,
            identities=people,
            progress=lambda done, total: request.progress("drawing faces", done, total),
        )
    else:
        named = Source.of(request.data)
        if named.recognised and lfw.sign(named.path):
            # A table of scores beside the photographs names no classes, and covers only a part of them.
            named = Source(named.path, "lfw-people")
        source = open_or_prepare(named, size, progress=lambda done, total: request.progress("preparing", done, total))
        name = f"{source.fingerprint}-{request.classes or 'classes'}"
    folder = request.out / "data" / name
    if not (folder / "schema.json").is_file():
        write_class_data(folder, source, *classes_of(source, request.classes))
    return open_prepared(folder)


def classes_of(
    data: PreparedData, wished: str | None = None, least: int = LEAST
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the classes that have at least `least` images, and the class of every image, -1 for none of them.

    Args:
        data: with a categorical attribute, or with identities.
        wished: the attribute to take; None = the first categorical one, or else the identities.
        least: images of a class.

    Raises:
        AttrimorphError: there is no such attribute, or there are fewer than two such classes.
    """
    categorical = [attribute for attribute in data.schema.attributes if attribute.kind == "categorical"]
    if wished is not None and wished not in [attribute.name for attribute in categorical]:
        known = [*(attribute.name for attribute in categorical), "identity"]
        if wished != "identity":
            raise AttrimorphError(f"there is no categorical attribute {wished!r} here; {suggestion(wished, known)}")
    chosen = next((a for a in categorical if wished in (None, a.name)), None)
    if chosen is None:
        numbers = data.identity.numpy()
        names = {int(number): str(number) for number in np.unique(numbers[numbers >= 0])}
    else:
        y = data.attributes[:, data.schema.columns(chosen.name)]
        numbers = torch.where(y.isnan().any(1), -1, y.nan_to_num().argmax(1)).numpy()
        names = dict(enumerate(chosen.values))
    kept = [number for number in names if int((numbers == number).sum()) >= least]
    if len(kept) < 2:
        raise AttrimorphError(
            f"the data must have at least two classes with {least} images each; it has {len(kept)} such classes "
            f"({'identities' if chosen is None else chosen.name}); name another attribute with --classes"
        )
    labels = np.full(len(data), -1, np.int64)
    for label, number in enumerate(kept):
        labels[numbers == number] = label
    return [names[number] for number in kept], labels


def write_class_data(out: Path, data: PreparedData, classes: list[str], labels: NDArray[np.int64]) -> None:
    """Write the images that have a class, with a new split within every class."""
    rows = np.flatnonzero(labels >= 0)
    labels = labels[rows]
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels), len(classes)).float()
    write_prepared(
        out,
        (np.asarray(data.images[rows[start : start + CHUNK]]) for start in range(0, len(rows), CHUNK)),
        Schema((Attribute(ATTRIBUTE, "categorical", tuple(classes)),)),
        one_hot,
        files=[data.files[row] for row in rows],
        split=split_within(labels).tolist(),
        identity=torch.from_numpy(labels),
        factors=None if data.factors is None else data.factors[rows],
        factor_names=data.factor_names,
        preprocessing=data.preprocessing,
    )


def split_within(labels: NDArray[np.int64]) -> NDArray[np.str_]:
    """Divide the images of every class into train, valid and test, at random but always alike."""
    random = np.random.default_rng(0)
    split = np.full(len(labels), "train", dtype="<U5")
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        held_out = max(1, round(HELD_OUT * len(rows)))
        split[rows[:held_out]], split[rows[held_out : 2 * held_out]] = "test", "valid"
    return split


def labels_of(data: PreparedData, rows: NDArray[np.int64]) -> torch.Tensor:
    """Return the classes of some rows of class data, int64 [B]."""
    return data.attributes[torch.from_numpy(rows)].argmax(1)
