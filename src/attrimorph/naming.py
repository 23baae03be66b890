"""Where results go when the user does not say exactly, and words like Smiling=1."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

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
        return out
    folder = RESULTS if out is None else out
    stem = "-".join([verb, *[path.stem for path in inputs[:1]]])
    for number in count(1):
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        if not path.exists() and not path.with_suffix(".json").exists():
            return path
    raise AssertionError("count() does not end")


def parse_settings(words: Sequence[str], option: str = "--set") -> dict[str, float]:
    """Read Name=number words; a categorical value is written Name=value=number.

    Raises:
        AttrimorphError: a word has another form, or an attribute stands twice.
    """
    result: dict[str, float] = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        if not equals or not name:
            raise AttrimorphError(f"{option} takes Name=number; got {word!r}; write for example {option} Smiling=1")
        try:
            value = float(text)
        except ValueError as error:
            raise AttrimorphError(
                f"{option} {name} must be a number, 1 to set it and -1 to take it away; got {text!r}"
            ) from error
        if name in result:
            raise AttrimorphError(f"{option} {name} stands twice; keep one of them")
        result[name] = value
    return result


def parse_names(words: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in words.split(",") if name.strip()]
