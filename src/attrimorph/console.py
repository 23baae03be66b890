"""What the command line shows while it works: a live bar on a terminal, plain lines elsewhere.

rich is imported once there is something to show: most edits are done before.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 10.0
FIGURES = 6  # the most that stand below a bar


class Meter:
    """Progress of one long job, on stderr so that stdout stays clean for results.

    Args:
        title: what is being done.
        unit: what is counted ("images").
    """

    def __init__(self, title: str, unit: str = "images") -> None:
        self.title, self.unit = title, unit
        self._stack = ExitStack()
        self._open = False
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._began = self._shown = time.monotonic()
        self._first: int | None = None
        self._done, self._timed = 0, title  # what the clock was started for

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _begin(self) -> None:
        """Open the bar, where there is a terminal for one."""
        if self._open:
            return
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

        self._open = True
        console = Console(stderr=True, highlight=False)
        if console.is_interactive:  # a dumb terminal cannot move its cursor back: it gets plain lines
            # One line, whatever the terminal's width: the bar shrinks first.
            self._progress = self._stack.enter_context(
                Bar(
                    TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
                    BarColumn(bar_width=None, table_column=Column(min_width=8, max_width=40, ratio=1)),
                    TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
                    TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True)),
                    TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
                    console=console,
                    expand=True,
                )
            )

    def update(self, done: int, total: int, values: Mapping[str, float] | None = None, rate: float = 0.0) -> None:
        """Show how far the job is.

        Args:
            done: units done in all, those of an earlier, interrupted run included.
            total: units to do in all.
            values: figures to show with it, the most telling first (losses).
            rate: units a second, where the job knows; otherwise the average so far.
        """
        self._begin()
        now = time.monotonic()
        if self._first is None or self.title != self._timed or done < self._done:  # another stage has its own speed
            self._first, self._began, self._timed = done, now, self.title
        self._done = done
        rate = rate or (done - self._first) / max(now - self._began, 1e-6)
        figures = [f"{name} {value:.3g}" for name, value in (values or {}).items()][:FIGURES]
        speed = f"{rate:,.0f} {self.unit}/s" if rate else ""
        left = f"{duration((total - done) / rate)} left" if rate and done < total else ""
        if self._progress is not None:
            # Added once there is something to count: a task without a total cannot be drawn.
            if self._task is None:
                self._task = self._progress.add_task(self.title, total=total, count="", rate="", left="", figures=[])
            self._progress.update(
                self._task,
                description=self.title,
                completed=done,
                total=total,
                count=f"{done:,}/{total:,}",
                rate=speed,
                left=left,
                figures=figures,
            )
        elif now - self._shown >= SECONDS_BETWEEN_LINES or done >= total:
            self._shown = now
            parts = [f"{self.title}: {done:,}/{total:,} {self.unit}", speed, left, "  ".join(figures)]
            print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        self._begin()
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Write seconds as a person says them: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(rows: list[tuple[str, ...]], head: tuple[str, ...] = ()) -> str:
    """Lay rows of words out in columns."""
    every = [head, *rows] if head else rows
    if not every:
        return ""
    widths = [max(len(row[column]) for row in every) for column in range(len(every[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in every
    )
