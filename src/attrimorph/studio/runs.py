"""Trainings on this machine: what their folders tell, and starting, stopping and going on by the command itself.

A training is a process of its own: it goes on when the studio ends, and writes what `attrimorph train` writes.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from attrimorph.errors import AttrimorphError
from attrimorph.files import is_locked, locked_by, opened_within, read_within
from attrimorph.methods import read_recipe
from attrimorph.methods.recipes import RECIPES
from attrimorph.recipe import files_of, find_recipe, override
from attrimorph.studio.api import FAULTS
from attrimorph.studio.messages import Answer, Fault, Message
from attrimorph.studio.model_store import Refused
from attrimorph.training.folder import read_log

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHEET = re.compile(r"[0-9][A-Za-z0-9._-]{0,63}\.png")
MOST_RUNS = 200
MOST_BYTES = 2**20  # of a recipe
SHEET_BYTES = 32 * 2**20
LOG_BYTES = 16 * 2**20
POINTS = 300  # of one curve
NO_CURVES = ("images_seen", "images_per_second", "waited_seconds", "guard")
Folder = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Fields = dict[Annotated[str, StringConstraints(max_length=100)], Annotated[str, StringConstraints(max_length=200)]]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Images seen, value."""


class CurvesResponse(Answer):
    """What a run's log and samples hold."""

    curves: dict[str, list[Point]]
    sheets: list[str]


class RecipeResponse(Answer):
    """One recipe."""

    name: str
    about: str


class ResumeRequest(Message):
    """A training to go on with.

    Attributes:
        data: A folder on the studio's machine, in one that was named at its start; where it is left out, faces are
            drawn, and a run goes on with its own data.
    """

    data: Folder | None = None


class StartRequest(ResumeRequest):
    """A training to begin.

    Attributes:
        name: Letters, digits, '.', '_' and '-'.
        fields: Dotted fields of the recipe -> values as words; no files.
    """

    recipe: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    name: Annotated[str, StringConstraints(max_length=200)]
    fields: Fields = Field(default={}, max_length=50)


@dataclass(frozen=True)
class RunStatus:
    """One run.

    Attributes:
        name: of its folder; method.
        images_seen, images: the clock and its end.
        images_per_second, seconds_left: by the newest line of its log; None before the first, or when it does not run.
        state: what it does.
        stoppable: whether it runs and can be stopped here.
        said: the newest line that it printed, when this studio started it.
    """

    name: str
    method: str
    images_seen: int
    images: int
    images_per_second: float | None
    seconds_left: float | None
    state: Literal["runs", "done", "stopped"]
    stoppable: bool
    said: str


class Started:
    """A training that this studio started, and the newest lines that it printed."""

    def __init__(self, words: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "attrimorph", "train", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,
        )  # fmt: skip
        self.lines: deque[str] = deque(maxlen=5)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.strip() for line in self.process.stdout)

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


class Runs:
    """The runs in one folder, and their routes.

    Args:
        folder: where runs are; it need not exist. No file in it is opened through a link.
        data: folders in which the data of trainings lie that are begun here.
        at_once: how many of these may run.
    """

    def __init__(self, folder: Path, data: Sequence[Path] = (), at_once: int = 2) -> None:
        self.folder, self.at_once = folder.resolve(), at_once
        self.data = [each.resolve() for each in data]
        self._started: dict[str, Started] = {}
        self._starting = threading.Lock()
        faults = FAULTS | {404: {"model": Fault, "description": "There is no such run."}}
        self.router = APIRouter(prefix="/api", responses=faults)
        self.router.get("/recipes")(self.recipes)
        self.router.get("/runs")(self.all)
        self.router.get("/runs/{name}")(self.one)
        self.router.get("/runs/{name}/sheets/{sheet}", response_class=Response)(self.sheet)
        self.router.post("/runs")(self.start)
        self.router.post("/runs/{name}/stop")(self.stop)
        self.router.post("/runs/{name}/resume")(self.resume)

    def recipes(self) -> list[RecipeResponse]:
        """Tell which recipes there are."""
        return [RecipeResponse(name=name, about=make().about) for name, make in RECIPES.items()]

    def all(self) -> list[RunStatus]:
        """Tell of all runs, the newest first; before them those that have no recipe on disk yet."""
        begun: dict[str, float] = {}
        with suppress(OSError):  # no folder yet
            for name in filter(NAME.fullmatch, os.listdir(self.folder)):
                with suppress(OSError), opened_within(self.folder, name, "recipe.json") as handle:
                    begun[name] = os.fstat(handle).st_mtime
        newest = sorted(begun, key=lambda name: -begun[name])[:MOST_RUNS]
        fresh = [
            RunStatus(name, "", 0, 0, None, None, "runs" if one.runs else "stopped", one.runs, self._said(name))
            for name, one in list(self._started.items())
            if name not in begun
        ]
        return [*fresh, *(run for name in newest if (run := self._described(name)) is not None)]

    def _described(self, name: str) -> RunStatus | None:
        path = self.folder / name
        try:
            content = read_within(self.folder, name, "recipe.json", most=MOST_BYTES)
            recipe = read_recipe(json.loads(content)["recipe"])
            images = int(float(recipe.training.images))
        except (AttrimorphError, OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None
        lines = read_log(path, 2**16)
        seen = max((line["images_seen"] for line in lines), default=0)
        # A process that is about to begin or to end holds no lock.
        runs = self._ours(name) or is_locked(path)
        speeds = [line["images_per_second"] for line in lines[-3:] if _is_finite(line.get("images_per_second"))]
        speed = sum(speeds) / len(speeds) if speeds and runs else None
        left = (images - seen) / speed if speed else None
        left = left if _is_finite(left) else None
        state: Literal["runs", "done", "stopped"] = "runs" if runs else "done" if seen >= images else "stopped"
        stoppable = self._ours(name) or locked_by(path) not in (None, os.getpid())
        return RunStatus(name, recipe.method, seen, images, speed, left, state, stoppable, self._said(name))

    def _ours(self, name: str) -> bool:
        one = self._started.get(name)
        return one is not None and one.runs

    def _said(self, name: str) -> str:
        one = self._started.get(name)
        return "" if one is None else next((line for line in reversed(one.lines) if line), "")

    def one(self, name: str) -> CurvesResponse:
        """Return a run's curves, thinned to about 300 points each, and the names of its sample sheets."""
        if name in self._started and not (self.folder / name / "recipe.json").exists():
            return CurvesResponse(curves={}, sheets=[])
        curves: dict[str, list[list[float]]] = {}
        for line in read_log(self._path(name), LOG_BYTES):
            for key, value in line.items():
                if key not in NO_CURVES and _is_finite(value):
                    curves.setdefault(key, []).append([line["images_seen"], float(value)])
        thinned = {key: points[:: max(1, len(points) // POINTS)] for key, points in curves.items()}
        return CurvesResponse(curves=thinned, sheets=self._sheets(name))

    def _sheets(self, name: str) -> list[str]:
        self._path(name)
        with suppress(OSError), opened_within(self.folder, name, "samples") as handle:
            return sorted(filter(SHEET.fullmatch, os.listdir(handle)))
        return []

    def sheet(self, name: str, sheet: str) -> Response:
        """Return a sample sheet, a PNG."""
        self._path(name)
        content = b""
        with suppress(OSError):
            if SHEET.fullmatch(sheet):
                content = read_within(self.folder, name, "samples", sheet, most=SHEET_BYTES)
        if not content.startswith(b"\x89PNG"):
            raise Refused(404, f"the run {name} has no sample sheet {sheet!r}; ask for those that it has")
        return Response(content, media_type="image/png")

    def start(self, request: StartRequest) -> None:
        """Start a training in a new folder."""
        recipe, name = request.recipe, request.name
        if recipe not in RECIPES:
            raise AttrimorphError(f"there is no recipe {recipe!r}; choose one of the list")
        if not NAME.fullmatch(name):
            raise AttrimorphError(
                f"a run's name must be letters, digits, '.', '_' and '-', at most 64; got {name!r}; rename it"
            )
        if os.path.lexists(self.folder / name) or self._ours(name):
            raise AttrimorphError(f"there is a run {name!r} already; go on with it, or choose another name")
        files = files_of(override(find_recipe(recipe, RECIPES, read_recipe), request.fields))
        for key, value in request.fields.items():
            there = os.path.lexists if key in files else os.path.isfile
            if os.sep in value or any(there(part.strip()) for part in (value, *value.split(","))):
                raise AttrimorphError(f"{key} must name no file from the page; got {value!r}; train from a terminal")
        self._begin(name, [recipe, *(f"--{key}={value}" for key, value in request.fields.items())], request.data)

    def resume(self, name: str, request: ResumeRequest) -> None:
        """Go on with a training."""
        path = self._path(name)
        if is_locked(path) or self._ours(name):
            raise AttrimorphError(f"the run {name!r} runs already; wait for it, or stop it")
        self._begin(name, [str(path)], request.data)

    def _begin(self, name: str, words: list[str], data: str | None) -> None:
        more = []
        if data is not None:
            place = Path(os.path.realpath(os.path.expanduser(data)))
            if not any(place.is_relative_to(named) for named in self.data):
                raise AttrimorphError(
                    f"the data must lie in a folder that was named when the studio was started; got {data!r}; start it "
                    "with --data FOLDER"
                )
            if not place.is_dir():
                raise AttrimorphError(f"the data must be a folder on this machine; {data!r} is none; check the path")
            more = [f"--data={place}"]
        with self._starting:
            running = [one for one in self._started.values() if one.runs]
            if len(running) >= self.at_once:
                raise AttrimorphError(
                    f"at most {self.at_once} trainings begun here run at the same time; wait for one, or stop it"
                )
            if self._ours(name):
                raise AttrimorphError(f"the run {name!r} runs already; wait for it, or stop it")
            if len(self._started) >= MOST_RUNS:
                del self._started[next(each for each, one in self._started.items() if not one.runs)]
            self._started[name] = Started([*words, f"--out={self.folder / name}", *more])

    def stop(self, name: str) -> None:
        """Interrupt a training on this machine; it can be gone on with from its newest checkpoint."""
        with suppress(ProcessLookupError):  # a run may end at any moment
            # SIGINT would be ignored where the studio itself runs in the background.
            if self._ours(name):
                self._started[name].process.terminate()
                return
            path = self._path(name)
            process = locked_by(path)
            if process is None or process == os.getpid():
                raise AttrimorphError(
                    f"the run {name!r} is not seen to run here, in a process of the studio's user; stop it where it "
                    "was started"
                )
            handle = os.pidfd_open(process)
            try:
                if locked_by(path) == process:  # still, now that the number cannot become another's
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
            finally:
                os.close(handle)

    def _path(self, name: str) -> Path:
        with suppress(OSError):
            if NAME.fullmatch(name):
                with opened_within(self.folder, name, "recipe.json"):
                    return self.folder / name
        raise Refused(404, f"there is no run {name!r} in {self.folder.name}; see the list of runs")


def _is_finite(value: object) -> bool:
    """Tell whether something out of a file is a number that JSON and a page can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
