"""edit and morph along axes: what to expect is printed before anything is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrimorph.cli.app import Along, Using, chosen, tell

if TYPE_CHECKING:
    from attrimorph.applications.axes.along import Effect
    from attrimorph.applications.axes.write_along import Along as Way
    from attrimorph.applications.axes.write_along import Mover
    from attrimorph.applications.hunt import Search


def edit_along(
    along: Along,
    pictures: Sequence[Path],
    changes: Mapping[str, float],
    known: Mapping[str, float],
    invert: "Search | None",
    using: Using,
) -> None:
    """Edit along axes; arguments as the verb reads them."""
    from attrimorph.applications.axes.write_along import write_edit_along
    from attrimorph.console import Meter
    from attrimorph.naming import result_path

    out = result_path(using.out, "edit", pictures)
    way, mover = _mover(along, using)
    expected = mover.effects(changes)
    _print(mover, expected)
    with Meter("inverting", "steps") as meter:
        written = write_edit_along(
            mover.model, way, pictures, changes, out, named=using.model, known=known, invert=invert,
            progress=meter.update, mover=mover, expected=expected,
        )  # fmt: skip
    tell(written)


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
    from attrimorph.applications.axes.write_along import write_morph_along
    from attrimorph.console import Meter
    from attrimorph.naming import result_path

    out = result_path(using.out, "morph", pictures)
    way, mover = _mover(along, using)
    expected = mover.effects(changes)
    _print(mover, expected)
    with Meter("inverting", "steps") as meter:
        written = write_morph_along(
            mover.model, way, pictures, changes, out, named=using.model, known=known, invert=invert, steps=steps,
            mp4=mp4, progress=meter.update, mover=mover, expected=expected,
        )  # fmt: skip
    tell(written)


def _mover(along: Along, using: Using) -> "tuple[Way, Mover]":
    from attrimorph.applications.axes.choosing import generator_named
    from attrimorph.applications.axes.write_along import OWN, Mover, pack_named
    from attrimorph.applications.axes.write_along import Along as Way
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
    return way, Mover(generator_named(using.model, chosen(using.device), values=along.values), way)


def _print(mover: "Mover", expected: "Sequence[Effect]") -> None:
    from attrimorph.console import table

    judge = "no judge at hand" if mover.judge is None else mover.judge.name
    print("on drawn pictures:")
    print(table([each.cells() for each in expected], ("", "linear model", judge, "attribute")), flush=True)
