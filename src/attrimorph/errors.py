"""The one error that users meet."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from reprlib import Repr
from typing import Any


class AttrimorphError(Exception):
    """Bad input, told in one sentence: what, the rule, the value, the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Import packages in this; of what cannot be imported it tells which extra brings it.

    Args:
        name: of the extra.
        what: needs it, as a sentence begins.

    Raises:
        AttrimorphError: a package is missing, or does not load.
    """
    try:
        yield
    except ImportError as error:
        raise AttrimorphError(
            f"{what} needs the extra `{name}` ({error}); run: pip install 'attrimorph[{name}]'"
        ) from error


def shown(value: Any) -> str:
    """Show a value in few words; a small file of aliases can stand for a list of a thousand million entries."""
    short = Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 2, 80, 80, 80
    return short.repr(value)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like one, if any is; case, spaces, hyphens and underscores do not count."""
    plain = {_plain(name): name for name in known}
    found = get_close_matches(_plain(word), plain, n=1, cutoff=0.5)
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter not in " -_")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the tail of an error about an unknown word: the nearest known one, or all of them."""
    known = list(known)
    if near := nearest(word, known):
        return f"did you mean {near!r}?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"known are: {shown}" if known else "there are none"


def sentence_of(errors: Sequence[Any]) -> str:
    """Say what is wrong with the form of what pydantic refused: the first of its errors, by its place."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    got = (
        "" if first["type"] in ("missing", "extra_forbidden", "json_invalid") else f"; got {shown(first.get('input'))}"
    )
    return " ".join(f"{place}: {message}{got}".removeprefix(": ").split())
