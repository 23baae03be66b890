"""Errors as answers: a status, and one sentence."""

import sys
import traceback
from collections.abc import Sequence
from typing import Any

from attrimorph.errors import AttrimorphError, shown
from attrimorph.studio.caches import Gone
from attrimorph.studio.runs import NoRun


def fault_of(error: Exception) -> tuple[int, str]:
    """Return what a client is told of an error; a fault of ours is printed on the server."""
    if isinstance(error, Gone):
        return (
            410,
            "this photograph or taught slider is no longer kept; open or teach it again",
        )
    if isinstance(error, NoRun):
        return 404, " ".join(str(error).split())
    if isinstance(error, AttrimorphError):
        return 400, " ".join(str(error).split())
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return 503, "the studio is out of memory; ask for less at a time"
    traceback.print_exception(error, file=sys.stderr)
    return 500, "something went wrong inside the studio; the window in which it was started tells what"


def sentence_of(errors: Sequence[Any]) -> str:
    """Say what is wrong with a request's form: the first fault, by its place."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    got = (
        "" if first["type"] in ("missing", "extra_forbidden", "json_invalid") else f"; got {shown(first.get('input'))}"
    )
    return " ".join(f"{place}: {message}{got}".removeprefix(": ").split())
