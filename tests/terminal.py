"""Commands as a person runs them: under a pseudo-terminal, in a process of its own, what the screen got read back."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


class Screen(NamedTuple):
    """What a terminal got.

    Attributes:
        code: the exit code; minus the signal's number when a signal ended it.
        text: everything that was written, colours and moves of the cursor taken out; a line that was written
            over another stands behind a carriage return, as it came.
    """

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        """What stands on the screen at the end: of lines written over each other the last."""
        rows = (re.split(r"\r+", line.rstrip("\r")) for line in self.text.split("\n"))
        return [next((part.rstrip() for part in reversed(row) if part.strip()), "") for row in rows]

    @property
    def frames(self) -> list[str]:
        """Every line as it was drawn, those that were written over included."""
        return [frame.rstrip() for frame in re.split(r"[\r\n]+", self.text) if frame.strip()]


def run(
    words: Sequence[str],
    *,
    columns: int = 80,
    term: str = "xterm-256color",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 280,
    during: Callable[[int, str], bool] | None = None,
) -> Screen:
    """Run `attrimorph WORDS` with stdin, stdout and stderr on a pseudo-terminal.

    The child is a fork of this process, so that torch is not imported again; nothing else is shared.

    Args:
        words: behind `attrimorph`.
        columns: the terminal's width.
        term: TERM.
        folder: where to run; by default here.
        environment: variables to set besides.
        seconds: after which the child is killed (the code is then -9).
        during: called as text arrives, with the child's process number and all text so far, until it returns True.
    """
    import attrimorph.cli

    child, master = pty.fork()
    if child == 0:
        try:
            os.environ.update({"TERM": term, **(environment or {})})
            for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
                os.environ.pop(name, None)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.stdin, sys.stdout, sys.stderr = (
                os.fdopen(number, mode, buffering=1, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w"))
            )
            os.chdir(folder or Path.cwd())
            # The size is set by the parent; wait for it.
            while os.get_terminal_size(0).columns != columns:
                time.sleep(0.001)
            code = attrimorph.cli.run(list(words))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        except BaseException:
            os._exit(99)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    got, ends, watching = b"", time.monotonic() + seconds, during
    while True:
        if not select.select([master], [], [], max(0.0, ends - time.monotonic()))[0]:
            os.kill(child, signal.SIGKILL)
            break
        try:
            part = os.read(master, 65536)
        except OSError:  # the child has closed its end
            break
        if not part:
            break
        got += part
        if watching is not None and watching(child, got.decode(errors="replace")):
            watching = None
    os.close(master)
    status = os.waitpid(child, 0)[1]
    return Screen(os.waitstatus_to_exitcode(status), ESCAPES.sub("", got.decode(errors="replace")))
