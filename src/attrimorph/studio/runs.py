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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from attrimorph.errors import AttrimorphError
from attrimorph.files import is_locked, locked_by
from attrimorph.methods import read_recipe
from attrimorph.methods.recipes import RECIPES
from attrimorph.recipe import find_recipe, override
from attrimorph.studio.api import FAULTS
from attrimorph.studio.messages import Answer, Fault, Message
from attrimorph.studio.model_store import Refused
from attrimorph.training.folder import read_log

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_RUNS = 200
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
        data: A folder on the studio's machine; faces are drawn where it is left out.
    """

    data: Folder | None = None


class StartRequest(ResumeRequest):
    """A training to begin.

    Attributes:
        name: Letters, digits, '.', '_' and '-'.
        fields: Dotted fields of the recipe -> values as words.
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
        folder: where runs are; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._started: dict[str, Started] = {}
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
        found = [path.parent for path in self.folder.glob("*/recipe.json") if NAME.fullmatch(path.parent.name)]
        found.sort(key=lambda path: -(path / "recipe.json").stat().st_mtime)
        names = {path.name for path in found}
        fresh = [
            RunStatus(name, "", 0, 0, None, None, "runs" if one.runs else "stopped", one.runs, self._said(name))
            for name, one in self._started.items()
            if name not in names
        ]
        return [*fresh, *(run for path in found[:MOST_RUNS] if (run := self._described(path)) is not None)]

    def _described(self, path: Path) -> RunStatus | None:
        try:
            recipe = read_recipe(json.loads((path / "recipe.json").read_text(encoding="utf-8"))["recipe"])
            lines = read_log(path)
        except (AttrimorphError, OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        name, images = path.name, recipe.training.images
        seen = max((line["images_seen"] for line in lines), default=0)
        # A process that is about to begin or to end holds no lock.
        runs = self._ours(name) or is_locked(path)
        speeds = [line["images_per_second"] for line in lines[-3:] if isinstance(line.get("images_per_second"), float)]
        speed = sum(speeds) / len(speeds) if speeds and runs else None
        left = (images - seen) / speed if speed else None
        state: Literal["runs", "done", "stopped"] = "runs" if runs else "done" if seen >= images else "stopped"
        stoppable = self._ours(name) or locked_by(path) not in (None, os.getpid())
        return RunStatus(name, recipe.method, seen, images, speed, left, state, stoppable, self._said(name))

    def _ours(self, name: str) -> bool:
        return name in self._started and self._started[name].runs

    def _said(self, name: str) -> str:
        lines = self._started[name].lines if name in self._started else ()
        return next((line for line in reversed(lines) if line), "")

    def one(self, name: str) -> CurvesResponse:
        """Return a run's curves, thinned to about 300 points each, and the names of its sample sheets."""
        if name in self._started and not (self.folder / name / "recipe.json").exists():
            return CurvesResponse(curves={}, sheets=[])
        curves: dict[str, list[list[float]]] = {}
        for line in read_log(self._path(name)):
            for key, value in line.items():
                if key not in NO_CURVES and isinstance(value, int | float) and value == value:
                    curves.setdefault(key, []).append([line["images_seen"], float(value)])
        thinned = {key: points[:: max(1, len(points) // POINTS)] for key, points in curves.items()}
        return CurvesResponse(curves=thinned, sheets=self._sheets(name))

    def _sheets(self, name: str) -> list[str]:
        return sorted(path.name for path in (self._path(name) / "samples").glob("[0-9]*.png"))

    def sheet(self, name: str, sheet: str) -> Response:
        """Return a sample sheet, a PNG."""
        if sheet not in self._sheets(name):
            raise Refused(404, f"the run {name} has no sample sheet {sheet!r}; ask for those that it has")
        return Response((self._path(name) / "samples" / sheet).read_bytes(), media_type="image/png")

    def start(self, request: StartRequest) -> None:
        """Start a training in a new folder."""
        recipe, name = request.recipe, request.name
        if recipe not in RECIPES:
            raise AttrimorphError(f"there is no recipe {recipe!r}; choose one of the list")
        if not NAME.fullmatch(name):
            raise AttrimorphError(
                f"a run's name must be letters, digits, '.', '_' and '-', at most 64; got {name!r}; rename it"
            )
        if (self.folder / name).exists() or self._ours(name):
            raise AttrimorphError(f"there is a run {name!r} already; go on with it, or choose another name")
        override(find_recipe(recipe, RECIPES, read_recipe), request.fields)
        self._begin(name, [recipe, *(f"--{key}={value}" for key, value in request.fields.items())], request.data)

    def resume(self, name: str, request: ResumeRequest) -> None:
        """Go on with a training."""
        path = self._path(name)
        if is_locked(path) or self._ours(name):
            raise AttrimorphError(f"the run {name!r} runs already; wait for it, or stop it")
        self._begin(name, [str(path)], request.data)

    def _begin(self, name: str, words: list[str], data: str | None) -> None:
        if data is not None and not Path(data).is_dir():
            raise AttrimorphError(f"the data must be a folder on this machine; {data!r} is none; check the path")
        more = [] if data is None else [f"--data={data}"]
        self._started[name] = Started([*words, f"--out={self.folder / name}", *more])

    def stop(self, name: str) -> None:
        """Interrupt a training on this machine; it can be gone on with from its newest checkpoint."""
        with suppress(ProcessLookupError):  # a run may end at any moment
            # SIGINT would be ignored where the studio itself runs in the background.
            if self._ours(name):
                self._started[name].process.terminate()
                return
            process = locked_by(self._path(name))
            if process is None or process == os.getpid():
                raise AttrimorphError(f"the run {name!r} does not run on this machine; see the list of runs")
            try:
                os.kill(process, signal.SIGTERM)
            except PermissionError as error:
                raise AttrimorphError(f"the run {name!r} is another user's; stop it where it was started") from error

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not NAME.fullmatch(name) or not (path / "recipe.json").is_file():
            raise Refused(404, f"there is no run {name!r} in {self.folder.name}; see the list of runs")
        return path
