"""edit and morph along axes: what to expect is printed before anything is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrimorph.cli.app import Along, Using, chosen, tell
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.applications.axes.along import Effect
    from attrimorph.applications.axes.write import AxisEdit
    from attrimorph.applications.options import Search


def edit_along(
    along: Along,
    pictures: Sequence[Path],
    changes: Mapping[str, float],
    known: Mapping[str, float],
    invert: "Search | None",
    using: Using,
) -> None:
    """Edit along axes; arguments as the verb reads them."""
    from attrimorph.applications.axes.write import write_axis_edit
    from attrimorph.console import Meter

    given = _given(along, pictures, changes, using, "edit")
    with Meter("inverting", "steps") as meter:
        tell(write_axis_edit(**given, known=known, invert=invert, progress=meter.update))


def morph_along(
    along: Along,
    pictures: Sequence[Path],
    changes: Mapping[str, float],
    known: Mapping[str, float],
    invert: "Search | None",
    using: Using,
    *,
    steps: int,
    mp4: bool,
) -> None:
    """Morph along axes; arguments as the verb reads them."""
    from attrimorph.applications.axes.write import write_axis_morph
    from attrimorph.console import Meter

    given = _given(along, pictures, changes, using, "morph")
    with Meter("inverting", "steps") as meter:
        tell(write_axis_morph(**given, known=known, invert=invert, steps=steps, mp4=mp4, progress=meter.update))


def edit_folder(
    pictures: Sequence[Path],
    changes: Mapping[str, float],
    known: Mapping[str, float],
    like: Sequence[Path],
    raw: bool,
    along: Along,
    search: "Search | None",
    using: Using,
) -> None:
    """Edit a whole folder; arguments as the verb reads them."""
    from attrimorph.applications.edit_folder import Change, check_places, write_edit_folder
    from attrimorph.console import Meter

    folder = pictures[0]
    if len(pictures) > 1 or len(like) > 1 or along.seed is not None:
        raise AttrimorphError("edit takes one folder alone, at most one --like, and no --seed; leave the others out")
    if using.out is None:
        raise AttrimorphError(f"the results of a folder need a folder of their own; add --out {folder.name}-edited")
    check_places(folder, using.out)
    axis_edit = None
    if along.wished:
        axis_edit = _axis_edit(along, using)
        _print(axis_edit, axis_edit.effects(changes))
    change = Change(changes, known, not raw, search, like[0] if like else None, axis_edit)
    model = using.load() if axis_edit is None else axis_edit.model
    with Meter("editing") as meter:
        written = write_edit_folder(
            model, folder, change, using.out, named=using.model, progress=meter.update, say=meter.say
        )
    tell(written)


def _given(
    along: Along, pictures: Sequence[Path], changes: Mapping[str, float], using: Using, verb: str
) -> dict[str, Any]:
    """Print what the move does, and return what either verb's writer is given."""
    from attrimorph.naming import result_path

    out = result_path(using.out, verb, pictures)
    axis_edit = _axis_edit(along, using)
    expected = axis_edit.effects(changes)
    _print(axis_edit, expected)
    return {"axis_edit": axis_edit, "paths": pictures, "changes": changes, "out": out, "named": using.model,
            "expected": expected}  # fmt: skip


def _axis_edit(along: Along, using: Using) -> "AxisEdit":
    from attrimorph.applications.axes.choosing import generator_named
    from attrimorph.applications.axes.write import OWN, AxisEdit, pack_named
    from attrimorph.applications.options import AxisOptions as Way
    from attrimorph.naming import parse_names

    way = Way(
        pack_named(along.axes or OWN, using.model),
        tuple(parse_names(along.lock or "")),
        along.judge,
        along.follow,
        along.seed,
        along.count or 1,
        along.values,
    )
    return AxisEdit(generator_named(using.model, chosen(using.device), values=along.values), way)


def _print(axis_edit: "AxisEdit", expected: "Sequence[Effect]") -> None:
    from attrimorph.console import table

    judge = "no judge at hand" if axis_edit.judge is None else axis_edit.judge.name
    print("on drawn pictures:")
    print(table([each.cells() for each in expected], ("", "linear model", judge, "attribute")), flush=True)
