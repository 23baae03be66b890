"""Errors as answers: a status, and one sentence."""

import sys
import traceback

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from attrimorph.errors import AttrimorphError, sentence_of


class Refused(AttrimorphError):
    """A request that is answered by a status of its own, and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def fault_of(error: Exception) -> tuple[int, str]:
    """Return what a client is told of an error; a fault of ours is printed on the server."""
    if isinstance(error, ValidationError | RequestValidationError):
        return 422, sentence_of(error.errors())
    if isinstance(error, AttrimorphError):
        return error.status if isinstance(error, Refused) else 400, " ".join(str(error).split())
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return 503, "the studio is out of memory; ask for less at a time"
    traceback.print_exception(error, file=sys.stderr)
    return 500, "something went wrong inside the studio; the window in which it was started tells what"
