"""Where results go when the user does not say exactly, and words like Smiling=1."""

import os
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path
from shlex import quote

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError

RESULTS = Path("runs/results")


def result_path(out: Path | None, verb: str, inputs: Sequence[Path] = ()) -> Path:
    """Return the picture to write: `out` when it names a .png, else a name in that folder that is not taken.

    Args:
        out: a file, a folder, or None for `runs/results`.
        verb: what is done; the name begins with it.
        inputs: the first picture's name follows.
    """
    if out is not None and out.suffix and not out.is_dir():
        _check_place(out, (".png", ".gif", ".mp4") if verb == "morph" else (".png",))
        return out
    folder = RESULTS if out is None else out
    stem = "-".join([verb, *[path.stem for path in inputs[:1]]])
    for number in count(1):
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        if not path.exists() and not path.with_suffix(".json").exists():
            _check_place(path, (".png",))
            return path
    raise AssertionError("count() does not end")


def _check_place(path: Path, suffixes: Collection[str]) -> None:
    """Refuse what could not be written, before anything is made for it.

    Raises:
        AttrimorphError: another kind of file, or a folder that is none or may not be written.
    """
    if path.suffix.lower() not in suffixes:
        raise AttrimorphError(
            f"the result must be a {' or '.join(suffixes)} file; got {path.name!r}; try {path.stem}.png"
        )
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        reason = "it may not be written" if nearest.is_dir() else "it is a file, no folder"
        raise AttrimorphError(f"cannot write {path} in {nearest}: {reason}; choose another folder with --out")


def parse_settings(
    words: Sequence[str], schema: Schema | None, option: str = "--set", groups: Collection[str] = ()
) -> dict[str, float]:
    """Read Name=number words; a categorical value is set by Name=value, and goes part of the way by Name=value=number.

    Args:
        words: as they were typed.
        schema: what there is; its names and values may hold "=" themselves. None: who uses the names looks them up.
        option: how errors call them.
        groups: names besides that take a number.

    Raises:
        AttrimorphError: a word has another form, names what there is not, or an attribute stands twice.
    """
    known = () if schema is None else schema.attributes
    values = {f"{attribute.name}={value}" for attribute in known for value in attribute.values}
    result: dict[str, float] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        if word in values or (schema is None and name and not _is_number(text)):
            name, text = word, "1"
        elif schema is not None and name not in values and name not in groups:
            _look_up(word, schema, option, groups)
        if not name or not _is_number(text):
            raise AttrimorphError(
                f"{option} {name or 'Name'} must be a number, 1 to set it and -1 to take it away; got {text!r}"
            )
        if name in result:
            raise AttrimorphError(f"{option} {name} stands twice; keep one of them")
        result[name] = float(text)
    return result


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _look_up(word: str, schema: Schema, option: str, groups: Collection[str]) -> None:
    """See that a word is the name of a number and a number, as far as the name goes."""
    if (word in schema.names and not schema.attribute(word).values) or word in groups:
        raise AttrimorphError(f"{option} {word} takes a number; got none; write {option} {quote(f'{word}=1')}")
    name = word.rpartition("=")[0]
    if name in schema.names and not schema.attribute(name).values:
        return
    first = word.partition("=")[0]
    known = first in schema.names  # a categorical one: what follows is no value of it
    try:
        schema.find((name if word.count("=") > 1 else word) if known else first)
    except AttrimorphError as error:
        more = f"; groups are: {', '.join(groups)}" if groups and not known else ""
        raise AttrimorphError(f"{option} {word}: {error}{more}") from error


def parse_names(words: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in words.split(",") if name.strip()]
