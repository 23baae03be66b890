"""A process that has imported torch and all of attrimorph, and done nothing with it: commands are forked from it.

A fork of the tests' own process would have locks and pools of torch whose threads are gone, and could wait for ever.
"""

import fcntl
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import termios
import traceback
from typing import Any

import attrimorph
from attrimorph.training import FastPath, trainer

LATER = ("torch._dynamo", "rich.progress", "rich.table", "yaml")
"""What commands import when they first need it: of torch's optimisers that takes seconds."""


def plain_path(precision: str, memory_format: str, *_: Any, **__: Any) -> FastPath:
    """Stand in for the measuring of what a training is fastest on, which takes longer than a tiny training."""
    half, last = precision == "bfloat16", memory_format == "channels_last"
    return FastPath("bfloat16" if half else "float32", "channels_last" if last else "contiguous", {})


def command(wanted: dict[str, Any], tty: int) -> int:
    """Be the command: its own session, the pseudo-terminal as its terminal."""
    os.setsid()
    fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(tty, number)
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, buffering=1, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    if wanted["program"]:
        os.execv(wanted["program"][0], wanted["program"])
    if wanted["before"]:
        module, _, name = wanted["before"].partition(":")
        vars(importlib.import_module(module))[name]()
    from attrimorph.cli import run

    code = run(wanted["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    own = (module.name for module in pkgutil.walk_packages(attrimorph.__path__, "attrimorph."))
    for name in (*own, *LATER):
        if not name.endswith("__main__"):
            importlib.import_module(name)
    trainer.choose_fast_path = plain_path
    gc.freeze()  # no command looks through all of this for garbage
    for line in sys.stdin:
        wanted = json.loads(line)
        if wanted["before"]:
            importlib.import_module(wanted["before"].partition(":")[0])
        tty = os.open(wanted["tty"], os.O_RDWR | os.O_NOCTTY)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = command(wanted, tty)
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        os.close(tty)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
