"""What the command line shows while it works: a live bar on a terminal, plain lines elsewhere; and signals held back.

rich is imported once there is something to show: most edits are done before. A signal must not tear a step apart:
Ctrl+C, SIGTERM and a closed terminal are held back until what was reached is written. The work looks at
`DeferredSignal.number` where it can stop, writes what it has, and raises `Interrupted`. Nothing stays behind: the
handlers of before are put back.
"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 10.0
FIGURES = 6  # the most that stand below a bar
ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Letters that move a terminal's cursor or turn its direction; lines may end, and be indented."""
NAMES = {
    signal.SIGINT: "stopped by Ctrl+C",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped as the terminal was closed",
}
"""The signals that are held, and what is said of each."""


class Meter:
    """Progress of one long job, on stderr so that stdout stays clean for results.

    Args:
        title: what is being done.
        unit: what is counted ("images").
    """

    def __init__(self, title: str, unit: str = "images") -> None:
        self.title, self.unit = title, unit
        self._task: TaskID | None = None
        self._began = self._shown = time.monotonic()
        self._first: int | None = None
        self._done, self._timed = 0, title  # what the clock was started for

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if (bar := vars(self).get("_bar")) is not None:
            bar.stop()

    @cached_property
    def _bar(self) -> "Progress | None":
        """The bar, where there is a terminal for one; begun once there is something to show."""
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column
        from rich.text import Text

        class Bar(Progress):
            """The bar, and below it as many whole figures as the terminal is wide."""

            def get_renderables(self) -> Iterable[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                for task in self.tasks:
                    shown: list[str] = task.fields["figures"]
                    while len("  ".join(shown)) >= self.console.width:
                        shown = shown[:-1]
                    if shown:
                        yield Text("  ".join(shown), no_wrap=True)

        console = Console(stderr=True, highlight=False)
        if not console.is_interactive:  # a dumb terminal cannot move its cursor back: it gets plain lines
            return None
        # One line, whatever the terminal's width: the bar shrinks first.
        whole = Column(no_wrap=True)
        bar = Bar(
            TextColumn("{task.description}", markup=False, table_column=whole),
            BarColumn(bar_width=None, table_column=Column(min_width=8, max_width=40, ratio=1)),
            *(TextColumn(f"{{task.fields[{name}]}}", table_column=whole) for name in ("count", "rate", "left")),
            console=console,
            expand=True,
        )
        bar.start()
        return bar

    def stage(self, title: str, done: int, total: int, unit: str = "images") -> None:
        """Show how far one part of the job is, and which."""
        self.title, self.unit = title, unit
        self.update(done, total)

    def update(self, done: int, total: int, values: Mapping[str, float] | None = None, rate: float = 0.0) -> None:
        """Show how far the job is.

        Args:
            done: units done in all, those of an earlier, interrupted run included.
            total: units to do in all.
            values: figures to show with it, the most telling first (losses).
            rate: units a second, where the job knows; otherwise the average so far.
        """
        bar, now = self._bar, time.monotonic()
        if self._first is None or self.title != self._timed or done < self._done:  # another stage has its own speed
            self._first, self._began, self._timed = done, now, self.title
        self._done = done
        rate = rate or (done - self._first) / max(now - self._began, 1e-6)
        figures = [f"{name} {value:.3g}" for name, value in (values or {}).items()][:FIGURES]
        count = f"{done:,}/{total:,}"
        speed = f"{rate:{',.0f' if rate >= 10 else '.2g'}} {self.unit}/s" if rate else ""
        left = f"{duration((total - done) / rate)} left" if rate and done < total else ""
        if bar is not None:
            shown: dict[str, Any] = {"count": count, "rate": speed, "left": left, "figures": figures}
            # Added once there is something to count: a task without a total cannot be drawn.
            if self._task is None:
                self._task = bar.add_task(self.title, total=total, **shown)
            bar.update(self._task, description=self.title, completed=done, total=total, **shown)
        elif now - self._shown >= SECONDS_BETWEEN_LINES or done >= total:
            self._shown = now
            parts = [f"{self.title}: {count} {self.unit}", speed, left, "  ".join(figures)]
            print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        if self._bar is not None:
            self._bar.console.print(plain(line), markup=False, highlight=False)
        else:
            print(plain(line), file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Return a text without what would move a terminal's cursor; names of files and attributes may be a stranger's."""
    return ODD.sub("?", text)


def duration(seconds: float) -> str:
    """Write seconds as a person says them: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = ()) -> str:
    """Lay rows of words out in columns."""
    every = [head, *rows] if head else rows
    if not every:
        return ""
    widths = [max(len(row[column]) for row in every) for column in range(len(every[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in every
    )


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
