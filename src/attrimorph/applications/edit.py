"""Edit: the same image with attributes changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.inputs import attributes_of, editor, photographs
from attrimorph.applications.paths import crossfade
from attrimorph.applications.receipt import Written, write_result
from attrimorph.applications.references import numbered, write_edit_like
from attrimorph.applications.write_morph import frames
from attrimorph.errors import AttrimorphError
from attrimorph.kinds.translation import Chain
from attrimorph.models import Encodes, Model
from attrimorph.pictures import sheet, to_pil
from attrimorph.strength import Strengths


@dataclass(frozen=True)
class Edit:
    """Edited images.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1].
        reconstructions: without any change, or None of a model that does not encode.
        edited: with the changes.
        before, after: attributes, [B, width].
    """

    images: Tensor
    reconstructions: Tensor | None
    edited: Tensor
    before: Tensor
    after: Tensor


def edit(
    model: Model,
    images: Tensor,
    changes: Mapping[str, float],
    attributes: Tensor | None = None,
    *,
    calibrated: bool = True,
) -> Edit:
    """Change attributes of images.

    Args:
        model: one that edits.
        images: [B, 3, S, S] in [-1, 1].
        changes: attribute (or "name=value") -> strength: 0 unchanged, 1 set, -1 taken away; see `Schema.edit`.
        attributes: [B, width] of the inputs; guessed by the model when None.
        calibrated: whether 0.5 means half-way, as far as the model's file knows how; else strengths are taken as they
            stand.

    Raises:
        AttrimorphError: the model does not edit, or there is no such attribute.
    """
    edits = editor(model if calibrated else model.with_strengths(Strengths()), "edit")
    if not changes:
        raise AttrimorphError("an edit must change at least one attribute; got none; add --set Smiling=1")
    before = attributes_of(model, images) if attributes is None else attributes
    after = model.schema.edit(before, changes)
    edited = edits.edit(images, changes, before)
    reconstructions = None
    if isinstance(model, Encodes):
        reconstructions = model.decode(model.encode(images, before))
    return Edit(images, reconstructions, edited, before, after)


def write_edit(
    model: Model,
    paths: Sequence[Path],
    changes: Mapping[str, float],
    out: Path,
    *,
    named: str | Path,
    known: Mapping[str, float] | None = None,
    calibrated: bool = True,
    like: Sequence[Path] = (),
) -> Written:
    """Edit photographs; write a sheet (input, reconstruction, edited), each edited image alone, and the receipt.

    A chain of CycleGANs shows every in-between image, and the first photograph's way through them as an animation.

    Args:
        model: one that edits.
        paths: the photographs.
        changes: see `edit`; with references: group (or an attribute of it) -> strength 0..2.
        out: the sheet.
        named: the model as the user named it.
        known: attributes of all inputs that are known.
        calibrated: see `edit`.
        like: references, each of which gives an answer of its own.
    """
    if like:
        if known or not calibrated:
            raise AttrimorphError("--known and --raw do nothing in an edit with references; leave them out")
        return write_edit_like(model, paths, like, changes, out, named=named)
    images = photographs(model, paths)
    attributes = attributes_of(model, images, known)
    result = edit(model, images, changes, attributes, calibrated=calibrated)
    told = " ".join(f"{name} {strength:+g}" for name, strength in changes.items())
    shown = {"input": result.images, "reconstruction": result.reconstructions, told: result.edited}
    columns = {word: batch for word, batch in shown.items() if batch is not None}
    animation: list[Image.Image] = []
    if isinstance(model, Chain):
        passed = [stage.cpu() for stage in model.stages(images, changes, attributes)]
        columns = dict(zip(["input", *(f"{name} {s:+g}" for name, s in changes.items())], passed, strict=True))
        animation = frames(crossfade([stage[0] for stage in passed], 12 * len(changes) + 1))
    rows = [torch.stack([image.cpu() for image in row]) for row in zip(*columns.values(), strict=True)]
    alone = to_pil(result.edited)
    suffixes = numbered("edited", len(alone))
    return write_result(
        out,
        "edit",
        model,
        {
            "": sheet(rows, columns=list(columns), cell=max(128, model.image_size)),
            **dict(zip(suffixes, alone, strict=True)),
        },
        named=named,
        arguments={"changes": dict(changes), "known": dict(known or {}), "calibrated": calibrated},
        inputs=paths,
        animation=animation,
        facts={
            "position of each strength": model.strengths.calibrated(changes) if calibrated else dict(changes),
            "attributes before": [model.schema.describe(row) for row in result.before.cpu()],
            "attributes after": [model.schema.describe(row) for row in result.after.cpu()],
        },
    )
