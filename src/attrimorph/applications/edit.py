"""Edit: the same image with attributes changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.coding import code_of, told
from attrimorph.applications.inputs import attributes_of, editor, photographs
from attrimorph.applications.inversion.search import Inversion, Progress
from attrimorph.applications.options import Search
from attrimorph.applications.paths import crossfade
from attrimorph.applications.receipt import Written, write_result
from attrimorph.applications.references import numbered, write_edit_like
from attrimorph.data.schema import Changes
from attrimorph.errors import AttrimorphError
from attrimorph.models.codes import Chains, Code, Encodes, Generates
from attrimorph.models.model import Model, Moves
from attrimorph.models.pictures import Source
from attrimorph.pictures import MOST_SHOWN, png_bytes, sheet, sheet_of, to_pil
from attrimorph.strength import Strengths


@dataclass(frozen=True)
class Edit:
    """Edited images.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1].
        reconstructions: without any change, or None of a model that does not encode.
        edited: with the changes.
        before, after: attributes, [B, width].
        inversion: how the codes were found; None where they are the encoder's.
    """

    images: Tensor
    reconstructions: Tensor | None
    edited: Tensor
    before: Tensor
    after: Tensor
    inversion: Inversion | None = None

    def _repr_png_(self) -> bytes:
        shown = {"input": self.images, "reconstruction": self.reconstructions, "edited": self.edited}
        columns = {word: batch.cpu() for word, batch in shown.items() if batch is not None}
        rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
        return png_bytes(sheet(rows[:MOST_SHOWN], columns=list(columns)))


def edit(
    model: Model,
    images: Source,
    changes: Changes,
    attributes: Tensor | None = None,
    *,
    calibrated: bool = True,
    known: Changes | None = None,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Edit:
    """Change attributes of images.

    Args:
        model: one that edits; with `invert`, one that generates images with attributes; an editor along axes.
        images: files, PIL pictures, pixels, or [B, 3, S, S] in [-1, 1]; see `Model.prepared`.
        changes: attribute (or "name=value") -> strength: 0 unchanged, 1 set, -1 taken away; or a categorical
            attribute -> its value; see `Schema.edit`.
        attributes: [B, width] of the inputs; guessed by the model when None, with `invert` looked for.
        calibrated: whether 0.5 means half-way, as far as the model's file knows how; else strengths are taken as they
            stand.
        known: attribute -> 0 or 1, put over what is guessed, and not looked for.
        invert: how to look for the codes; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).

    Raises:
        AttrimorphError: the model does not edit, or there is no such attribute.
    """
    model = model if calibrated else model.with_strengths(Strengths())
    if not changes:
        raise AttrimorphError("an edit must change at least one attribute; got none; add --set Smiling=1")
    images, changes = model.prepared(images), model.changes(changes)
    known = model.schema.facts(known or {})
    if isinstance(model, Moves):
        # Refused before a long search.
        model.move(model.sample_codes(1, torch.Generator().manual_seed(0)), changes)
        code, found = code_of(model, images, attributes, "edit", known=known, invert=invert, progress=progress)
        moved = model.move(code, changes)
        before, after = code.attributes.cpu(), moved.attributes.cpu()
        return Edit(images, model.decode(code), model.decode(moved), before, after, found)
    if invert is not None:
        return _edit_found(model, images, changes, attributes, known, invert, progress)
    edits = editor(model, "edit", invertible=isinstance(model, Generates) and model.conditional)
    before = attributes_of(model, images, known) if attributes is None else attributes
    edited = edits.edit(images, changes, before)
    after = model.schema.edit(before, changes)
    reconstructions = None
    if isinstance(model, Encodes):
        reconstructions = model.decode(model.encode(images, before))
    return Edit(images, reconstructions, edited, before, after)


def _edit_found(
    model: Model,
    images: Tensor,
    changes: Mapping[str, float],
    attributes: Tensor | None,
    known: Mapping[str, float] | None,
    invert: Search,
    progress: Progress | None,
) -> Edit:
    """Edit the codes that an inversion finds; arguments as of `edit`."""
    if not model.conditional:
        raise AttrimorphError(
            f"an edit needs a model whose images depend on attributes; those of {model.recipe.name!r} "
            f"({model.recipe.method}) do not; use a conditional model, or fit axes to this one with axes fit"
        )
    # Refused before a long search.
    model.schema.edit(model.schema.fill_value[None], changes)
    code, found = code_of(model, images, attributes, "edit", known=known, invert=invert, progress=progress)
    before, moved = code.attributes.cpu(), model.moved(code.attributes, changes)
    edited = model.decode(Code(code.z, moved))
    return Edit(images, model.decode(code), edited, before, model.schema.edit(before, changes), found)


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
    invert: Search | None = None,
    progress: Progress | None = None,
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
        invert, progress: see `edit`.
    """
    if like:
        if known or invert is not None:
            raise AttrimorphError("--known and --invert do nothing in an edit with references; leave them out")
        return write_edit_like(model, paths, like, changes, out, named=named, calibrated=calibrated)
    images = photographs(model, paths)
    result = edit(model, images, changes, calibrated=calibrated, known=known, invert=invert, progress=progress)
    wish = " ".join(f"{name} {strength:+g}" for name, strength in changes.items())
    shown = {"input": result.images, "reconstruction": result.reconstructions, wish: result.edited}
    columns = {word: batch.cpu() for word, batch in shown.items() if batch is not None}
    animation: list[Image.Image] = []
    if isinstance(model, Chains):
        from attrimorph.applications.write_morph import frames

        passed = [stage.cpu() for stage in model.stages(images, changes, result.before)]
        columns = dict(zip(["input", *(f"{name} {s:+g}" for name, s in changes.items())], passed, strict=True))
        animation = frames(crossfade([stage[0] for stage in passed], 12 * len(changes) + 1))
    rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
    alone = to_pil(result.edited)
    suffixes = numbered("edited", len(alone))
    return write_result(
        out,
        "edit",
        model,
        {
            **sheet_of(len(alone), rows, columns=list(columns), cell=max(128, model.image_size)),
            **dict(zip(suffixes, alone, strict=True)),
        },
        named=named,
        arguments={
            "changes": dict(changes),
            "known": dict(known or {}),
            "calibrated": calibrated,
            **told(invert, result.inversion),
        },
        inputs=paths,
        animation=animation,
        facts={
            "position of each strength": model.strengths.calibrated(changes) if calibrated else dict(changes),
            "attributes before": [model.schema.describe(row) for row in result.before.cpu()],
            "attributes after": [model.schema.describe(row) for row in result.after.cpu()],
        },
    )
