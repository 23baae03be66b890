"""Trainings over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints

from attrimorph.methods.recipes import RECIPES
from attrimorph.studio.api import FAULTS
from attrimorph.studio.messages import Fault, Message
from attrimorph.studio.runs import Run, Runs

Folder = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Fields = dict[Annotated[str, StringConstraints(max_length=100)], Annotated[str, StringConstraints(max_length=200)]]


Point = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Images seen, value."""


class CurvesResponse(BaseModel):
    """What a run's log and samples hold."""

    curves: dict[str, list[Point]]
    sheets: list[str]


class RecipeResponse(BaseModel):
    """One recipe."""

    name: str
    about: str


class StartRequest(Message):
    """A training to begin."""

    recipe: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    name: Annotated[str, StringConstraints(max_length=200)]
    """Letters, digits, '.', '_' and '-'."""
    fields: Fields = Field(default={}, max_length=50)
    """Dotted fields of the recipe -> values as words."""
    data: Folder | None = None
    """A folder on the studio's machine; faces are drawn where it is left out."""


class ResumeRequest(Message):
    """A training to go on with."""

    data: Folder | None = None


def runs_router(runs: Runs) -> APIRouter:
    """Return the routes of the trainings in a folder."""
    router = APIRouter(
        prefix="/api", responses=FAULTS | {404: {"model": Fault, "description": "There is no such run."}}
    )

    @router.get("/recipes")
    def recipes() -> list[RecipeResponse]:
        """Tell which recipes there are."""
        return [RecipeResponse(name=name, about=make().about) for name, make in RECIPES.items()]

    @router.get("/runs")
    def all_runs() -> list[Run]:
        """Tell of all runs, the newest first."""
        return runs.all()

    @router.get("/runs/{name}")
    def one(name: str) -> CurvesResponse:
        """Return a run's curves and the names of its sample sheets."""
        return CurvesResponse(
            curves={key: [list(point) for point in points] for key, points in runs.curves(name).items()},
            sheets=runs.sheets(name),
        )

    @router.get("/runs/{name}/sheets/{sheet}", response_class=Response)
    def sheet(name: str, sheet: str) -> Response:
        """Return a sample sheet, a PNG."""
        return Response(runs.sheet(name, sheet), media_type="image/png")

    @router.post("/runs")
    def start(request: StartRequest) -> None:
        """Start a training in a new folder."""
        runs.start(request.recipe, request.name, request.fields, request.data)

    @router.post("/runs/{name}/stop")
    def stop(name: str) -> None:
        """Interrupt a training that this studio started."""
        runs.stop(name)

    @router.post("/runs/{name}/resume")
    def resume(name: str, request: ResumeRequest) -> None:
        """Go on with a training."""
        runs.resume(name, request.data)

    return router
