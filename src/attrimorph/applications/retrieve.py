"""Retrieve: the images whose codes are nearest to that of a picture, with the attributes one asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.applications.gallery import Codes, Gallery, encode_gallery, holding
from attrimorph.applications.inputs import attributes_of, encoder
from attrimorph.applications.nearest import nearest
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.tables import to_csv
from attrimorph.models.model import Model

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


def retrieval_table(gallery: Gallery, result: Retrieval) -> str:
    """Write rank, distance, identity, file as CSV."""
    found = enumerate(zip(result.rows.tolist(), result.distances.tolist(), strict=True), 1)
    rows = [[rank, f"{far:.6f}", int(gallery.identity[row]), gallery.names[row]] for rank, (row, far) in found]
    return to_csv(["rank", "distance", "identity", "file"], rows)
