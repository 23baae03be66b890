"""The command line: parse, call, print. What the verbs do is done elsewhere."""

import io
import os
import re
import shlex
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from attrimorph.cli import making, measuring, using  # noqa: F401 - which put their verbs into the app
from attrimorph.cli.app import app, speaks
from attrimorph.errors import AttrimorphError
from attrimorph.interruption import Interrupted

__all__ = ["app", "main", "run"]

TRACEBACK = "ATTRIMORPH_TRACEBACK"
OUT_OF_MEMORY = "out of memory; use fewer or smaller images, or smaller batches"
BAD_INPUT, INTERNAL, INTERRUPTED, CLOSED_PIPE = 2, 1, 130, 141
SIGNALLED = 128  # plus the signal's number, as shells count


def main() -> None:
    """Run the command line and exit."""
    # A file's name need not be UTF-8; it is printed as the bytes that it is.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run one command.

    Returns:
        The exit code: 0 well, 1 a fault of ours, 2 bad input, 130 interrupted, 143 ended by SIGTERM, 129 by a closed
        terminal, 141 nobody reads the output.
    """
    try:
        app(list(words), exit_on_error=False, print_error=False, result_action="return_none")
        sys.stdout.flush()
    except AttrimorphError as error:
        return _complain(str(error), BAD_INPUT, error)
    except CycloptsError as error:
        return _complain(_sentence(error, words), BAD_INPUT, error)
    except Interrupted as stopped:
        if speaks():
            again = "the same torchrun command" if "RANK" in os.environ else f"attrimorph {shlex.join(words)}"
            _complain(f"{stopped}; go on with: {again}", INTERRUPTED, None)
        return SIGNALLED + stopped.number
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on where it can", INTERRUPTED, None)
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go: the exit must not try to flush it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except OSError as error:
        if error.filename is None:
            return _internal(error)
        return _complain(f"{error.filename}: {error.strerror}; check the path", BAD_INPUT, error)
    except MemoryError as error:
        return _complain(OUT_OF_MEMORY, BAD_INPUT, error)
    except Exception as error:
        return _internal(error)
    return 0


def _internal(error: Exception) -> int:
    # torch is not imported for this: the class is known by its name.
    if type(error).__name__ == "OutOfMemoryError":
        return _complain("out of GPU memory; lower --training.batch-size, or use --device cpu", BAD_INPUT, error)
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return _complain(OUT_OF_MEMORY, BAD_INPUT, error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return _complain(f"internal error ({text}); please report it, run with {TRACEBACK}=1", INTERNAL, error)


def _complain(sentence: str, code: int, error: BaseException | None) -> int:
    if error is not None and os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    # One line, whatever the names of files and attributes hold.
    print("attrimorph:", re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", sentence), file=sys.stderr)
    return code


def _sentence(error: CycloptsError, words: Sequence[str]) -> str:
    """Say a parsing error in one sentence of the usual form."""
    text = " ".join(str(error).split()).partition(" Available commands:")[0].rstrip(".")
    if "Did you mean" in text:
        return re.sub(r"\.? Did you mean", "; did you mean", text)
    text = text.replace(". Choose from", "; choose from")
    names: list[str] = []
    level = app
    for word in words:
        if word.startswith("-") or word not in list(level):
            break
        level = level[word]
        names.append(word)
    return f"{text}; see `{' '.join(['attrimorph', *names, '--help'])}`"
