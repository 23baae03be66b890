"""Ctrl+C, SIGTERM and a closed terminal: held back until what was reached is written.

A signal must not tear a step apart: the work looks at `DeferredSignal.number` where it can stop, writes what it has,
and raises `Interrupted`. Nothing stays behind: the handlers of before are put back.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

NAMES = {
    signal.SIGINT: "stopped by Ctrl+C",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped as the terminal was closed",
}
"""The signals that are held, and what is said of each."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work, and what was reached is on disk.

    Args:
        number: the signal.
        kept: a sentence: what is on disk, and where.
    """

    def __init__(self, number: int, kept: str) -> None:
        super().__init__(f"{NAMES[signal.Signals(number)]}: {kept}")
        self.number = number


@dataclass
class DeferredSignal:
    """The signal that came and waits, 0 for none."""

    number: int = 0


@contextmanager
def defer_signals() -> Iterator[DeferredSignal]:
    """Hold the signals back in this block; a second Ctrl+C ends at once.

    Signals that the program ignores (nohup) or handles itself are left to it, and in other threads than the main one
    there is nothing to hold: Python gives signals to the main thread.

    Raises:
        Interrupted: a signal came and the block ended by itself.
    """
    hold, before = DeferredSignal(), {}
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def take(number: int, frame: FrameType | None) -> None:
        if hold.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        hold.number = hold.number or number
        # Nothing can be written to a terminal that is gone, and trying is an error.
        for gone in terminals if number == signal.SIGHUP else ():
            if not os.isatty(gone):
                os.dup2(os.open(os.devnull, os.O_WRONLY), gone)

    if threading.current_thread() is threading.main_thread():
        for number in NAMES:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, take)
    try:
        yield hold
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if hold.number:
        raise Interrupted(hold.number, "it had come to its end")
