"""Edit: the same image with attributes changed. The command, the studio's sliders and a replay come here.

What is edited is a source: one picture, or several, as a model holds them. Where a model decodes what it edits, that is
a code, and the codes of many edits are decoded together; other models keep the picture itself. What the edit changes in
the model's picture is then changed in the input's own pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications import Composition, Search
from attrimorph.applications.inputs import attributes_of, code_of, editor
from attrimorph.applications.photograph import photographs, put_together
from attrimorph.data import Changes
from attrimorph.errors import AttrimorphError
from attrimorph.models import Strengths
from attrimorph.models.model import Code, Encodes, Generates, Model, Moves, TellsFields
from attrimorph.photographs.fields import changed
from attrimorph.pictures import MOST_SHOWN, Pictures, Source, png_bytes, save_pictures, sheet, to_pil

if TYPE_CHECKING:
    from attrimorph.applications.axes.pack import Axis
    from attrimorph.applications.inversion import Inversion, Progress
    from attrimorph.evaluators.attributes import Judges
    from attrimorph.photographs.fields import Fields


@dataclass(frozen=True, eq=False)
class EditSource:
    """Pictures as a model holds them.

    Attributes:
        image: as the model is shown them, [B, 3, S, S] in [-1, 1]; None of samples.
        code: B rows; None of a model that has none.
        attributes: [B, W]; NaN where nobody knows.
        inversion: how the code was found; None where the encoder told it, or it was drawn.
    """

    image: Tensor | None
    code: Code | None
    attributes: Tensor
    inversion: "Inversion | None" = None


@dataclass(frozen=True)
class EditTarget:
    """What shall become of a source.

    Attributes:
        changes: attribute, or the name of a taught axis -> strength.
        locks: attributes that stay as a judge sees them.
        axes: taught ones that `changes` may name.
    """

    changes: Mapping[str, float] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    axes: "tuple[Axis, ...]" = ()


@dataclass(frozen=True)
class Edit:
    """Edited images.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1].
        reconstructions: without any change, or None of a model that does not encode.
        edited: with the changes.
        fields: how they change the inputs' own pixels, at any size; None where the model's own picture is shown.
        given: the model, and the pictures as it was given them.
        before, after: attributes, [B, width].
        inversion: how the codes were found; None where they are the encoder's.
    """

    images: Tensor
    reconstructions: Tensor | None
    edited: Tensor
    before: Tensor
    after: Tensor
    inversion: "Inversion | None" = None
    fields: "Fields | None" = None
    given: tuple[Model, Source] | None = None

    @cached_property
    def photographs(self) -> list[Image.Image]:
        """The pictures given, upright and at their own size, edited; the model's own where nothing is put in."""
        if self.fields is None or self.given is None:
            return to_pil(self.edited)
        return photographs(*self.given, self.fields)

    def save(self, path: str | Path) -> list[Path]:
        """Write `photographs` to a file, or to NAME-1.png, NAME-2.png, ...; see `Pictures.save`."""
        return save_pictures(self.photographs, path)

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
    progress: "Progress | None" = None,
    composition: Composition = "fields",
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
        composition: "fields": the images' own pixels, changed where and as the model changes its reconstruction;
            "whole face": the model's own picture.

    Raises:
        AttrimorphError: the model does not edit, or there is no such attribute.
    """
    model = model if calibrated else model.with_strengths(Strengths())
    if not changes:
        raise AttrimorphError("an edit must change at least one attribute; got none; add --set Smiling=1")
    given = (model, images)
    images, target = model.prepared(images), EditTarget(model.changes(changes))
    _refuse(model, target, invert)
    source = edit_source(model, images, attributes, known=model.schema.facts(known or {}), invert=invert,
                         progress=progress)  # fmt: skip
    before = source.attributes.cpu()
    if composition == "fields" and isinstance(model, TellsFields):
        own = model.fields(images, target.changes, before)
        after, shown = model.schema.edit(before, target.changes), changed(images, own).cpu()
        return Edit(images, None, shown.as_subclass(Pictures), before, after, None, own, given)
    if source.code is None:
        edited = rendered(model, [source], [None], [target])
        reconstructions = model.decode(model.encode(images, before)) if isinstance(model, Encodes) else None
        after = model.schema.edit(before, target.changes)
        edited, fields = put_together(
            model, images, images if reconstructions is None else reconstructions, edited, composition
        )
        return Edit(images, reconstructions, edited, before, after, None, fields, given)
    if isinstance(model, Moves):  # with the locks and the length of ways that it has itself
        moved = model.move(source.code, target.changes)
        after = moved.attributes.cpu()
    else:
        found = moved_code(model, source, target)
        assert found is not None
        moved, after = found, model.schema.edit(before, target.changes)
    reconstructions = model.decode(source.code)
    edited, fields = put_together(model, images, reconstructions, model.decode(moved), composition)
    return Edit(images, reconstructions, edited, before, after, source.inversion, fields, given)


def _refuse(model: Model, target: EditTarget, invert: Search | None) -> None:
    """Refuse what could not be edited, before a long search."""
    if isinstance(model, Moves):
        model.move(model.sample_codes(1, torch.Generator().manual_seed(0)), target.changes)
        return
    if invert is not None and not model.conditional:
        raise AttrimorphError(
            f"an edit needs a model whose images depend on attributes; those of {model.recipe.name!r} "
            f"({model.recipe.method}) do not; use a conditional model, or fit axes to this one with axes fit"
        )
    model.schema.edit(model.schema.fill_value[None], target.changes)
    if invert is None:
        editor(model, "edit", invertible=isinstance(model, Generates) and model.conditional)


def has_codes(model: Model) -> bool:
    """Tell whether a source of the model is a code."""
    return isinstance(model, Moves | Generates | Encodes)


def moves_codes(model: Model) -> bool:
    """Tell whether an edit of the model is a code moved, by its attributes or along axes, and decoded."""
    return isinstance(model, Moves) or (model.conditional and has_codes(model))


def generator_of(model: Model) -> Model:
    """Return what decodes: the model itself, or that of an editor along axes."""
    return model.model if isinstance(model, Moves) else model


def edit_source(
    model: Model,
    images: Source,
    attributes: Tensor | None = None,
    *,
    known: Changes | None = None,
    invert: Search | None = None,
    progress: "Progress | None" = None,
) -> EditSource:
    """Take photographs as a source; arguments and errors as of `edit`."""
    images = model.prepared(images)
    if not has_codes(model):
        editor(model, "edit")
        return EditSource(images, None, attributes_of(model, images, known) if attributes is None else attributes)
    code, found = code_of(model, images, attributes, "edit", known=known, invert=invert, progress=progress)
    return EditSource(images, code, code.attributes.cpu(), found)


def found_source(model: Model, image: Source, known: Changes | None = None) -> EditSource:
    """Take a photograph as a source as pages do: a model without an encoder looks for its code, and what its pictures
    do not depend on nobody knows.

    Args:
        model: one that edits or decodes.
        image: any picture.
        known: attribute -> 0 or 1, put over what the model guesses.

    Raises:
        AttrimorphError: the model does not edit photographs, or finds no face in it.
    """
    search = Search() if has_codes(model) and not isinstance(generator_of(model), Encodes) else None
    with torch.enable_grad():
        source = edit_source(model, image, known=known, invert=search)
    return (
        source if source.code is None else EditSource(source.image, source.code, _attributes_told(model, source.code))
    )


def sampled_sources(
    model: Model, count: int, seed: int, changes: Mapping[str, float] | None = None
) -> list[EditSource]:
    """Draw sources: those of `sample`, with the same arguments.

    Raises:
        AttrimorphError: the model draws no pictures, or an argument is out of range.
    """
    along = isinstance(model, Moves)
    code = generator_of(model).draw(count, None if along else changes, seed=seed)
    if isinstance(model, Moves):
        code = model.own(model.move(code, changes or {}))
    y = _attributes_told(model, code)
    rows = [Code(code.z[row : row + 1], code.attributes[row : row + 1]) for row in range(count)]
    return [EditSource(None, each, y[row : row + 1]) for row, each in enumerate(rows)]


def _attributes_told(model: Model, code: Code) -> Tensor:
    """Return a code's attributes [B, W] on the CPU, NaN where the model's pictures do not depend on them."""
    y = code.attributes.cpu()
    return y if model.conditional else torch.full_like(y, torch.nan)


def moved_code(
    model: Model, source: EditSource, target: EditTarget, judge: "Judges | None" = None, before: Tensor | None = None
) -> Code | None:
    """Return a source's code as a target wants it; None of a source that has none.

    Args:
        model: of the source.
        source: one row where there are locks.
        target: what shall become of it.
        judge: who sees to the locks; None where there are none. Along axes nobody is needed: locked scores stay.
        before: the judge's logits of the source without any change, [1, W]; looked for where None.

    Raises:
        AttrimorphError: there is no such attribute or axis, a strength is out of range, or a lock has no judge.
    """
    if source.code is None:
        return None
    changes, taught = target.changes, {axis.name: axis for axis in target.axes}
    if isinstance(model, Moves):
        along = model.with_axes(taught, photographs=source.image is not None)
        return along.own(along.move(source.code, changes, target.locks))
    own = {name: strength for name, strength in changes.items() if name not in taught}
    if own and not model.conditional:
        raise AttrimorphError(
            f"the model {model.recipe.name!r} has no attributes to change; find some with `attrimorph axes fit`, "
            "or teach it one by examples"
        )
    code = Code(source.code.z, model.moved(source.code.attributes, own))
    moving = {name: strength for name, strength in changes.items() if name in taught and strength}
    if moving:
        from attrimorph.applications.axes.editor import AxisEditor
        from attrimorph.applications.axes.pack import AxisPack

        pack = AxisPack(model.hash, model.recipe.name, taught)
        far = AxisEditor(model, pack).move(code, moving, [name for name in target.locks if name in taught])
        code = Code(far.z.to(code.z.device), far.attributes[:, : model.schema.width].to(code.attributes.device))
    locks = [name for name in target.locks if name not in taught]
    if not locks or not any(changes.values()):
        return code
    for name in locks:
        model.schema.attribute(name)
    if judge is None:
        raise AttrimorphError(
            "somebody must see whether locked attributes stay; this model has no attribute classifier (judge); "
            "unlock them"
        )

    from attrimorph.applications.locks import logits_of, with_locks

    seen = logits_of(judge, model.decode(source.code)) if before is None else before
    return with_locks(model, judge, seen, code, locks, changes)


def rendered(
    model: Model, sources: Sequence[EditSource], codes: Sequence[Code | None], targets: Sequence[EditTarget]
) -> Tensor:
    """Return the model's own pictures of targets, [B, 3, S, S] in [-1, 1] on the CPU; codes are decoded together.

    Args:
        model: of all.
        sources: of B rows in all.
        codes: what `moved_code` made of each.
        targets: one of each.
    """
    rows = [code for code in codes if code is not None]
    if len(rows) == len(codes):
        together = Code(torch.cat([row.z for row in rows]), torch.cat([row.attributes.to(rows[0].z) for row in rows]))
        return model.decode(together).cpu()
    pictures = []
    for source, target in zip(sources, targets, strict=True):
        assert source.image is not None
        if target.locks:
            raise AttrimorphError(
                f"the model {model.recipe.name!r} changes one attribute as a whole and cannot lock others; unlock all"
            )
        pictures.append(editor(model, "edit").edit(source.image, target.changes, source.attributes).cpu())
    return torch.cat(pictures)
