"""Retrieve: the images whose codes are nearest to that of a picture, with the attributes one asks for."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attrimorph.applications.detail import edited_with_detail
from attrimorph.applications.gallery import Codes, Gallery, Progress, encode_gallery, holding, open_gallery, unchanged
from attrimorph.applications.inputs import attributes_of, encoder, photographs
from attrimorph.applications.nearest import nearest
from attrimorph.applications.receipt import Written, write_result
from attrimorph.data.schema import Schema
from attrimorph.data.source import Source
from attrimorph.errors import AttrimorphError
from attrimorph.models.codes import Edits
from attrimorph.models.model import Model
from attrimorph.pictures import MOST_SHOWN, sheet

MOST = 1000
SAME_PIXELS = 2.5 / 255  # largest difference, in [-1, 1], of two readings of one picture


@dataclass(frozen=True)
class Retrieval:
    """What was found, the nearest first.

    Attributes:
        rows: int64 [K], places in the gallery.
        distances: float64 [K], Euclidean, between codes z.
        searched: how many images had what was asked for.
    """

    rows: Tensor
    distances: Tensor
    searched: int


def retrieve(
    model: Model,
    image: Tensor,
    gallery: Gallery,
    *,
    count: int = 5,
    wanted: Mapping[str, float] | None = None,
    same: Sequence[str] = (),
    other_identity: bool = False,
    attributes: Tensor | None = None,
    codes: Codes | None = None,
) -> Retrieval:
    """Find the nearest images by L2 in z (Bao et al. 2017, section 5.5): exact, in chunks.

    z holds what the attributes leave open, so "this face, with glasses" is the same z among images with glasses.

    Args:
        model: one that encodes.
        image: [1, 3, S, S] in [-1, 1].
        gallery: what to search.
        count: K; fewer where fewer images have what is asked for.
        wanted: attribute (or "name=value") -> 1 must hold, 0 or -1 must not.
        same: attributes that must be as those of the image.
        other_identity: leave out everybody who is as the image; it must be in the gallery.
        attributes: [1, W] of the image; guessed by the model when None.
        codes: of the gallery; computed when None.

    Raises:
        AttrimorphError: no image has what is asked for, or an argument is out of range.
    """
    encodes = encoder(model, "retrieve")
    check_wishes(gallery.schema or model.schema, count, wanted or {}, same)
    codes = encode_gallery(model, gallery) if codes is None else codes
    y = attributes_of(model, image) if attributes is None else attributes
    z = encodes.encode(image, y).z.flatten(1).cpu()
    schema, labels = _labels(model, gallery, codes)
    allowed = holding(schema, labels, wanted or {}) & _alike(schema, labels, _in_schema(model, y, schema), same)
    if other_identity:
        allowed &= gallery.identity != _identity_of(image, gallery, nearest(z, codes.z).rows[0])
    rows = allowed.nonzero()[:, 0]
    if not len(rows):
        asked = ", ".join([*(f"{name}={value:g}" for name, value in (wanted or {}).items()), *same]) or "another person"
        raise AttrimorphError(f"some image must have what is asked for ({asked}); none of {len(gallery)} has; ask less")
    found = nearest(z, codes.z[rows], count)
    return Retrieval(rows[found.rows[0]], found.distances[0], len(rows))


def check_wishes(schema: Schema, count: int, wanted: Mapping[str, float], same: Sequence[str]) -> None:
    """Refuse what no gallery with these attributes could answer; arguments and errors as of `retrieve`."""
    if not 1 <= count <= MOST:
        raise AttrimorphError(f"count must lie in 1..{MOST}; got {count}; try 5")
    nobody = torch.zeros(0, schema.width)
    holding(schema, nobody, wanted)
    _alike(schema, nobody, torch.zeros(1, schema.width), same)


def _labels(model: Model, gallery: Gallery, codes: Codes) -> tuple[Schema, Tensor]:
    """Return the labels that the images came with, or else what the model sees."""
    if gallery.schema is None or gallery.labels is None:
        return model.schema, codes.attributes
    return gallery.schema, gallery.labels


def _in_schema(model: Model, y: Tensor, schema: Schema) -> Tensor:
    """Return the attributes of the image [1, W] in the columns of a gallery's schema; NaN where the model has none."""
    found = torch.full((1, schema.width), torch.nan)
    for column, name in enumerate(schema.column_names):
        if name in model.schema.column_names:
            found[:, column] = y[:, model.schema.column_names.index(name)].cpu()
    return found


def _alike(schema: Schema, labels: Tensor, y: Tensor, same: Sequence[str]) -> Tensor:
    """Return which rows [N] have the named attributes as y [1, W] has them."""
    allowed = torch.ones(len(labels), dtype=torch.bool)
    for name in same:
        if schema.attribute(name).kind == "real":
            raise AttrimorphError(
                f"the same {name} must be a binary or categorical attribute; it is real; leave it out"
            )
        columns = schema.columns(name)
        allowed &= ((labels[:, columns] > 0.5) == (y[:, columns] > 0.5)).all(1) & ~labels[:, columns].isnan().any(1)
    return allowed


def _identity_of(image: Tensor, gallery: Gallery, rows: Tensor) -> Tensor:
    """Return who is in the image, which must be the one nearest image of the gallery itself."""
    row = rows.numpy()
    same = (gallery.read(row) - image.cpu()).abs().max() <= SAME_PIXELS
    if not bool(same) or int(gallery.identity[rows[0]]) < 0:
        what = "it has no identities" if same else "the image is not in it"
        raise AttrimorphError(
            f"other_identity needs the image among images whose people are known; {what}; leave it out"
        )
    return gallery.identity[rows[0]]


def write_retrieve(
    model: Model,
    path: Path,
    among: str | Path | Source,
    out: Path,
    *,
    named: str | Path,
    count: int = 5,
    wanted: Mapping[str, float] | None = None,
    same: Sequence[str] = (),
    other_identity: bool = False,
    known: Mapping[str, float] | None = None,
    fingerprint: str | None = None,
    progress: Progress | None = None,
) -> Written:
    """Retrieve images for a photograph; write the row of them, a table, and the receipt; codes are kept beside.

    Args:
        among: prepared data, a labelled folder, or a folder of images.
        fingerprint: refuse images that are not these.
        progress: called with (done, in all) while images are prepared and encoded.
    """
    image = photographs(model, [path])
    gallery = open_gallery(model, among, progress)
    unchanged(gallery.fingerprint, fingerprint, among)
    # Encoding may take minutes: what cannot be answered is refused before.
    check_wishes(gallery.schema or model.schema, count, wanted or {}, same)
    codes = encode_gallery(model, gallery, Path(out).parent, progress)
    y, place = attributes_of(model, image, known), Source.of(among).to_json()
    result = retrieve(
        model, image, gallery, count=count, wanted=wanted, same=same, other_identity=other_identity, attributes=y,
        codes=codes,
    )  # fmt: skip
    shown = {"input": image}
    asked = {key: value for key, value in (wanted or {}).items() if key in model.schema.column_names}
    if asked and isinstance(model, Edits):
        changes = {key: 1.0 if value == 1 else -1.0 for key, value in asked.items()}
        shown["as sought"] = edited_with_detail(model, image, changes, y)
    words = [f"{number}: {distance:.2f}" for number, distance in enumerate(result.distances.tolist(), 1)]
    row = torch.cat([*shown.values(), gallery.read(result.rows[:MOST_SHOWN].numpy())])
    return write_result(
        out,
        "retrieve",
        model,
        {"": sheet([row], columns=[*shown, *words][: len(row)], cell=max(128, model.image_size))},
        named=named,
        arguments={
            "among": place.pop("data"),
            **place,
            "fingerprint": gallery.fingerprint,
            "count": count,
            "wanted": dict(wanted or {}),
            "same": list(same),
            "other_identity": other_identity,
            "known": dict(known or {}),
        },
        inputs=[path],
        facts={
            "searched": result.searched,
            "found": [
                {"file": gallery.names[row], "distance": round(distance, 6)}
                for row, distance in zip(result.rows.tolist(), result.distances.tolist(), strict=True)
            ],
        },
        tables={"": _table(gallery, result)},
    )


def _table(gallery: Gallery, result: Retrieval) -> str:
    """Write rank, distance, identity, file as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "distance", "identity", "file"])
    rows = result.rows.tolist()
    for rank, (row, distance) in enumerate(zip(rows, result.distances.tolist(), strict=True), 1):
        writer.writerow([rank, f"{distance:.6f}", int(gallery.identity[row]), gallery.names[row]])
    return text.getvalue()
