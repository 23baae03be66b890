"""A subject: one picture as a model holds it, edited again and again, for pages and programs that edit live.

The state of an edit is the subject and a wish. Where a model decodes what it edits, a subject is its code, and many
wishes are decoded together; other models keep the picture itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.pack import Axis, AxisPack
from attrimorph.applications.holding import held, logits_of
from attrimorph.applications.inputs import attributes_of, editor, prepared
from attrimorph.errors import AttrimorphError
from attrimorph.kinds.attribute2image import Attribute2ImageModel, LayeredModel
from attrimorph.kinds.interpolation import InterpolationModel
from attrimorph.kinds.translation import CycleGANModel
from attrimorph.metrics.attributes import Judges
from attrimorph.models import Code, Edits, Encodes, Model, Sampler


@dataclass(frozen=True, eq=False)
class Subject:
    """One picture as a model holds it.

    Attributes:
        image: as the model is shown it, [1, 3, S, S] in [-1, 1]; None of a sample.
        code: one row; None of a model that keeps the picture instead.
        attributes: [1, W].
    """

    image: Tensor | None
    code: Code | None
    attributes: Tensor


@dataclass(frozen=True)
class Wish:
    """What shall become of a subject.

    Attributes:
        changes: attribute, or the name of a taught axis -> strength.
        locks: attributes that stay as a judge sees them.
        axes: taught ones that `changes` may name.
    """

    changes: Mapping[str, float] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()


@dataclass(frozen=True)
class Slider:
    """One attribute, or one value of a categorical one, that a model can change.

    Attributes:
        name: as `changes` names it.
        kind: binary, categorical or real.
        least, most, step: of its strengths.
    """

    name: str
    kind: str
    least: float = -1.0
    most: float = 1.0
    step: float = 0.01


def sliders(model: Model) -> list[Slider]:
    """Return what can be changed with the model, in the order of its schema."""
    if not (isinstance(model, Edits) or moves_codes(model)):
        return []
    found = []
    for name in model.schema.column_names:
        kind = model.schema.attribute(name.partition("=")[0]).kind
        far = 3.0 if kind == "real" else 1.0
        found.append(Slider(name, kind, -far, far))
    if isinstance(model, CycleGANModel):
        return [replace(each, step=1.0) for each in found if each.name == model.attribute]
    if isinstance(model, InterpolationModel):
        members = {name for group in model.groups.values() for name in group}
        return [each for each in found if each.name.partition("=")[0] in members]
    return found


def moves_codes(model: Model) -> bool:
    """Tell whether an edit of the model is its code with moved attributes, decoded."""
    return model.conditional and isinstance(model, Sampler | Attribute2ImageModel)


def subject_of(model: Model, image: Image.Image, known: Mapping[str, float] | None = None) -> Subject:
    """Take a photograph as a subject.

    Args:
        model: one that edits.
        image: any picture.
        known: attribute -> 0 or 1, put over what the model guesses.

    Raises:
        AttrimorphError: the model does not edit photographs, or finds no face in it.
    """
    editor(model, "editing a photograph")
    seen = prepared(model, image)
    y = attributes_of(model, seen, known)
    code = model.encode(seen, y) if moves_codes(model) and isinstance(model, Encodes) else None
    return Subject(seen, code, y)


def sampled_subjects(model: Model, count: int, seed: int, changes: Mapping[str, float] | None = None) -> list[Subject]:
    """Draw subjects: those of `sample`, with the same arguments.

    Raises:
        AttrimorphError: the model draws no pictures, or an argument is out of range.
    """
    from attrimorph.applications.sample import sample

    drawn = sample(model, count, seed=seed, changes=changes)
    y = drawn.code.attributes
    if moves_codes(model):
        rows = [Code(drawn.code.z[row : row + 1], y[row : row + 1]) for row in range(count)]
        return [Subject(None, code, code.attributes) for code in rows]
    return [Subject(drawn.images[row : row + 1].cpu(), None, y[row : row + 1]) for row in range(count)]


def moved_code(
    model: Model, subject: Subject, wish: Wish, judge: Judges | None = None, before: Tensor | None = None
) -> Code:
    """Return a subject's code as a wish moves it, one row.

    Args:
        model: one of which `moves_codes` holds.
        subject: with a code.
        wish: what shall become of it.
        judge: who sees to the locks; None where there are none.
        before: the judge's logits of the subject without any change, [1, W]; looked for where None.

    Raises:
        AttrimorphError: there is no such attribute or axis, a strength is out of range, or a lock has no judge.
    """
    assert subject.code is not None
    taught = {axis.name: axis for axis in wish.axes}
    own = {name: strength for name, strength in wish.changes.items() if name not in taught}
    code = Code(subject.code.z, model.moved(subject.code.attributes, own))
    along = {name: strength for name, strength in wish.changes.items() if name in taught and strength}
    if along:
        pack = AxisPack(model.hash, model.recipe.name, taught)
        locked = [name for name in wish.locks if name in taught]
        far = AxisEditor(model, pack).move(code, along, locked)
        code = Code(far.z.to(code.z.device), far.attributes[:, : model.schema.width].to(code.attributes.device))
    locks = [name for name in wish.locks if name not in taught]
    if not locks or not any(wish.changes.values()):
        return code
    for name in locks:
        model.schema.attribute(name)
    if judge is None:
        raise AttrimorphError("somebody must see whether locked attributes stay; this model has no judge; unlock them")
    seen = logits_of(judge, model.decode(subject.code)) if before is None else before
    return held(model, judge, seen, code, locks, wish.changes)


def rendered(model: Model, subjects: Sequence[Subject], codes: Sequence[Code | None], wishes: Sequence[Wish]) -> Tensor:
    """Return the pictures of wishes, [B, 3, S, S] in [-1, 1] on the CPU; those that have codes are decoded together.

    Args:
        model: of all.
        subjects: B.
        codes: what `moved_code` made of those that have one.
        wishes: B.
    """
    if all(code is not None for code in codes):
        rows = [code for code in codes if code is not None]
        together = Code(torch.cat([row.z for row in rows]), torch.cat([row.attributes.to(rows[0].z) for row in rows]))
        return model.decode(together).cpu()
    pictures = []
    for subject, wish in zip(subjects, wishes, strict=True):
        assert subject.image is not None
        if wish.locks:
            raise AttrimorphError(f"the model {model.recipe.name!r} edits without codes and cannot lock; unlock all")
        pictures.append(editor(model, "edit").edit(subject.image, wish.changes, subject.attributes).cpu())
    return torch.cat(pictures)


def picture_of(model: Model, subject: Subject, wish: Wish, judge: Judges | None = None) -> Tensor:
    """Return the picture of one wish, decoded alone, [1, 3, S, S]: what is saved and what a replay makes again."""
    code = moved_code(model, subject, wish, judge) if subject.code is not None else None
    return rendered(model, [subject], [code], [wish])


def can(model: Model) -> dict[str, bool]:
    """Tell what a model can do, for pages that show only what works."""
    decodes = moves_codes(model)
    return {
        "edit": isinstance(model, Edits) or decodes,
        "photograph": isinstance(model, Edits),
        "encode": isinstance(model, Encodes),
        "sample": samples(model),
        "lock": decodes,
        "teach": decodes,
        "layers": isinstance(model, LayeredModel),
    }


def samples(model: Model) -> bool:
    """Tell whether the model draws pictures of its own."""
    try:
        model.sample_codes(1, torch.Generator().manual_seed(0))
    except AttrimorphError:
        return False
    return True
