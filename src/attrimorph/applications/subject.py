"""A subject: one picture as a model holds it, edited again and again, for pages and programs that edit live.

The state of an edit is the subject and a wish. Where a model decodes what it edits, a subject is its code, and many
wishes are decoded together; other models keep the picture itself, and those that put an edit back into it keep both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.pack import Axis, AxisPack
from attrimorph.applications.coding import code_of
from attrimorph.applications.inputs import attributes_of, editor
from attrimorph.applications.locks import logits_of, with_locks
from attrimorph.applications.options import Search
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.models.codes import Code, Composes, Edits, Encodes, Generates, Groups, PaintsLayers
from attrimorph.models.model import Model, Moves


@dataclass(frozen=True, eq=False)
class Subject:
    """One picture as a model holds it.

    Attributes:
        image: as the model is shown it, [1, 3, S, S] in [-1, 1]; None of a sample.
        code: one row; None of a model that has none.
        attributes: [1, W]; NaN where nobody knows.
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
        group: what it belongs to by the model's own groups; None where it has none.
        least, most, step: of its strengths.
    """

    name: str
    kind: str
    group: str | None = None
    least: float = -1.0
    most: float = 1.0
    step: float = 0.01


def sliders(model: Model) -> list[Slider]:
    """Return what can be changed with the model, in the order of its schema, or of its axes."""
    if isinstance(model, Moves):
        return [Slider(name, "binary") for name in model.axis_names]
    if not (isinstance(model, Edits) or moves_codes(model)):
        return []
    found = []
    for name in model.schema.column_names:
        kind = model.schema.find(name)[0].kind
        far = 3.0 if kind == "real" else 1.0
        found.append(Slider(name, kind, least=-far, most=far))
    if not model.knows_strengths:
        return [replace(each, step=1.0) for each in found if each.name in model.editable]
    if isinstance(model, Groups):
        groups = {name: group for group, names in model.groups.items() for name in names}
        pairs = [(each, groups.get(each.name.partition("=")[0])) for each in found]
        return [replace(each, group=group) for each, group in pairs if group is not None]
    return found


def has_codes(model: Model) -> bool:
    """Tell whether a subject of the model is a code."""
    return isinstance(model, Moves | Generates | Composes)


def moves_codes(model: Model) -> bool:
    """Tell whether an edit of the model is a code moved, by its attributes or along axes, and decoded."""
    return isinstance(model, Moves) or (model.conditional and has_codes(model))


def subject_of(model: Model, image: Image.Image, known: Mapping[str, float] | None = None) -> Subject:
    """Take a photograph as a subject; a model without an encoder looks for its code.

    Args:
        model: one that edits or decodes.
        image: any picture.
        known: attribute -> 0 or 1, put over what the model guesses.

    Raises:
        AttrimorphError: the model does not edit photographs, or finds no face in it.
    """
    seen = model.prepared(image)
    if not has_codes(model):
        editor(model, "editing a photograph")
        return Subject(seen, None, attributes_of(model, seen, known))
    search = None if isinstance(generator_of(model), Encodes) else Search()
    with torch.enable_grad():
        code, _ = code_of(model, seen, None, "editing a photograph", known=known, invert=search)
    return Subject(seen, code, attributes_told(model, code))


def generator_of(model: Model) -> Model:
    """Return what decodes: the model itself, or that of an editor along axes."""
    return model.model if isinstance(model, Moves) else model


def attributes_told(model: Model, code: Code) -> Tensor:
    """Return a code's attributes [B, W] on the CPU, NaN where the model's pictures do not depend on them."""
    y = code.attributes.cpu()
    return y if model.conditional else torch.full_like(y, torch.nan)


def sampled_subjects(model: Model, count: int, seed: int, changes: Mapping[str, float] | None = None) -> list[Subject]:
    """Draw subjects: those of `sample`, with the same arguments.

    Raises:
        AttrimorphError: the model draws no pictures, or an argument is out of range.
    """
    from attrimorph.applications.sample import sample

    along = isinstance(model, Moves)
    code = sample(generator_of(model), count, seed=seed, changes=None if along else changes).code
    if isinstance(model, Moves):
        code = model.own(model.move(code, changes or {}))
    y = attributes_told(model, code)
    rows = [Code(code.z[row : row + 1], code.attributes[row : row + 1]) for row in range(count)]
    return [Subject(None, each, y[row : row + 1]) for row, each in enumerate(rows)]


def moved_code(
    model: Model, subject: Subject, wish: Wish, judge: Judges | None = None, before: Tensor | None = None
) -> Code:
    """Return a subject's code as a wish moves it, one row.

    Args:
        model: one of which `has_codes` holds.
        subject: with a code.
        wish: what shall become of it.
        judge: who sees to the locks; None where there are none. Along axes nobody is needed: locked scores stay.
        before: the judge's logits of the subject without any change, [1, W]; looked for where None.

    Raises:
        AttrimorphError: there is no such attribute or axis, a strength is out of range, or a lock has no judge.
    """
    assert subject.code is not None
    taught = {axis.name: axis for axis in wish.axes}
    if isinstance(model, Moves):
        along = model.with_axes(taught, photographs=subject.image is not None)
        return along.own(along.move(subject.code, wish.changes, wish.locks))
    own = {name: strength for name, strength in wish.changes.items() if name not in taught}
    if own and not model.conditional:
        raise AttrimorphError(
            f"the model {model.recipe.name!r} has no attributes to change; find some with `attrimorph axes fit`, "
            "or teach it one by examples"
        )
    code = Code(subject.code.z, model.moved(subject.code.attributes, own))
    moving = {name: strength for name, strength in wish.changes.items() if name in taught and strength}
    if moving:
        pack = AxisPack(model.hash, model.recipe.name, taught)
        locked = [name for name in wish.locks if name in taught]
        far = AxisEditor(model, pack).move(code, moving, locked)
        code = Code(far.z.to(code.z.device), far.attributes[:, : model.schema.width].to(code.attributes.device))
    locks = [name for name in wish.locks if name not in taught]
    if not locks or not any(wish.changes.values()):
        return code
    for name in locks:
        model.schema.attribute(name)
    if judge is None:
        raise AttrimorphError(
            "somebody must see whether locked attributes stay; this model has no attribute classifier (judge); "
            "unlock them"
        )

    def decode(codes: Code) -> Tensor:
        return decoded(model, codes, subject.image)

    seen = logits_of(judge, decode(subject.code)) if before is None else before
    return with_locks(model, judge, seen, code, locks, wish.changes, decode=decode)


def decoded(model: Model, code: Code, images: Tensor | None) -> Tensor:
    """Return pictures of codes [B, 3, S, S]; some models put them back into the images that they began with.

    Args:
        model: one of which `has_codes` holds.
        code: B rows.
        images: [B or 1, 3, S, S]; None of samples.
    """
    if isinstance(model, Composes):
        assert images is not None
        return model.composed(images.expand(len(code.z), -1, -1, -1), code)
    return model.decode(code)


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
        images = [each.image for each in subjects if each.image is not None]
        return decoded(model, together, torch.cat(images) if len(images) == len(subjects) else None).cpu()
    pictures = []
    for subject, wish in zip(subjects, wishes, strict=True):
        assert subject.image is not None
        if wish.locks:
            raise AttrimorphError(
                f"the model {model.recipe.name!r} changes one attribute as a whole and cannot lock others; unlock all"
            )
        pictures.append(editor(model, "edit").edit(subject.image, wish.changes, subject.attributes).cpu())
    return torch.cat(pictures)


def picture_of(model: Model, subject: Subject, wish: Wish, judge: Judges | None = None) -> Tensor:
    """Return the picture of one wish, decoded alone, [1, 3, S, S]: what is saved and what a replay makes again."""
    code = moved_code(model, subject, wish, judge) if subject.code is not None else None
    return rendered(model, [subject], [code], [wish])


def can(model: Model) -> dict[str, bool]:
    """Tell what a model can do, for pages that show only what works."""
    return {
        "edit": isinstance(model, Edits) or moves_codes(model),
        "photograph": isinstance(model, Edits) or has_codes(model),
        "encode": isinstance(generator_of(model), Encodes),
        "search": has_codes(model) and not isinstance(generator_of(model), Encodes),
        "sample": samples(model),
        "lock": moves_codes(model),
        "teach": isinstance(generator_of(model), Generates),
        "layers": isinstance(model, PaintsLayers),
    }


def samples(model: Model) -> bool:
    """Tell whether the model draws pictures of its own."""
    try:
        model.sample_codes(1, torch.Generator().manual_seed(0))
    except AttrimorphError:
        return False
    return True
