"""Commands as a person runs them: under a pseudo-terminal, in a process of its own, what the screen got read back."""

import fcntl
import functools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
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
    seconds: float = 120,
    during: Callable[[int, str], bool] | None = None,
    before: str = "",
    program: Sequence[str] = (),
) -> Screen:
    """Run `attrimorph WORDS` in a process of its own, with stdin, stdout and stderr on a pseudo-terminal.

    The process is forked from one that has imported torch already, see `tests.zygote`; it shares nothing with this one.

    Args:
        words: behind `attrimorph`.
        columns: the terminal's width.
        term: TERM.
        folder: where to run; by default here.
        environment: variables to set besides.
        seconds: after which the process is killed (the code is then -9).
        during: called as text arrives, with the process number and all text so far, until it returns True.
        before: "module:function" to call in the process first, to make things small.
        program: a program and its arguments in place of attrimorph.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    zygote = _zygote()
    wanted = {
        "words": [str(word) for word in words],
        "program": [str(word) for word in program],
        "before": before,
        "tty": os.ttyname(slave),
        "folder": str(folder or Path.cwd()),
        "environment": {"TERM": term, **(environment or {})},
    }
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    print(json.dumps(wanted), file=zygote.stdin, flush=True)
    child = int(zygote.stdout.readline())
    os.close(slave)
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
    code = int(zygote.stdout.readline())
    os.close(master)
    return Screen(code, ESCAPES.sub("", got.decode(errors="replace")))


@functools.cache
def _zygote() -> subprocess.Popen[str]:
    """Start the process that commands are forked from, once for all tests of this process; it ends with its stdin."""
    words = [sys.executable, "-m", "tests.zygote"]
    root = Path(__file__).parent.parent
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
