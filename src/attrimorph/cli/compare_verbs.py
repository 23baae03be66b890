"""compare."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import LAYOUT, MAKE, Device, Layout, Whole, app, chosen, seed_numbers, tell_stand_in
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.data.prepared import PreparedData
    from attrimorph.evaluators.judge import Judge

OPTIONS = (
    "budget",
    "images",
    "seeds",
    "data",
    "format",
    "table",
    "judge",
    "count",
    "size",
    "out",
    "csv",
    "latex",
    "device",
)


@app.command(group=MAKE)
def compare(
    recipe: str,
    /,
    *recipes: Annotated[str, Parameter(allow_leading_hyphen=True)],
    budget: str | None = None,
    images: Whole | None = None,
    seeds: Whole = 3,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    judge: str | None = None,
    count: Whole = 500,
    size: Whole | None = None,
    out: Path = Path("runs/comparison"),
    csv: Path | None = None,
    latex: Path | None = None,
    device: Device = "auto",
) -> None:
    """Train several recipes on the same data and seeds, each as long, and write one report.

    The same command goes on with an interrupted comparison.

    Parameters
    ----------
    recipe
        A recipe's name, a YAML or JSON file, or a run folder.
    recipes
        More of them, then changes of one: --cyclegan.domains.attribute Smiling, or of all: --training.batch-size 8.
    budget
        Wall clock of each training: 90s, 10min, 2h.
    images
        Images seen in each training, in place of a budget.
    seeds
        How many seeds each training is repeated with.
    data
        A prepared folder or a folder of images in any known layout; by default faces are drawn.
    judge
        Who judges samples and edits: a file of `attrimorph judge`, or a shipped one; by default the shipped one that
        suits.
    count
        Images to measure on.
    size
        Image size of all recipes in place of their own.
    out
        The folder of everything.
    csv
        A file for all figures as a CSV table: mean and standard deviation over the seeds of each recipe.
    latex
        A file for the same as a LaTeX tabular (booktabs), without those of single attributes.
    """
    from attrimorph.reproductions.entrants import entrants, parse_budget

    layout.needs(data)
    if (budget is None) == (images is None):
        raise AttrimorphError(
            "a comparison needs either --budget or --images; give one of them, such as --budget 10min"
        )
    for name, number in (("images", images), ("count", count)):
        if number is not None and number < 1:
            raise AttrimorphError(f"{name} must be at least 1; got {number}")
    seconds = None if budget is None else parse_budget(budget)
    by_name, numbers = entrants([recipe, *recipes], size, OPTIONS), seed_numbers(seeds)

    from attrimorph.console import Meter
    from attrimorph.data.drawn.synthetic import drawn_faces, undrawn_faces
    from attrimorph.evaluators.judge import load_judge
    from attrimorph.metrics.tables import check_tables
    from attrimorph.reproductions.comparison import Benchmark, check, check_schema
    from attrimorph.reproductions.comparison_page import compare as run

    check_tables(csv, latex)
    named = None if judge is None else load_judge(judge)
    pixels = next(iter(by_name.values())).recipe.data.image_size
    prepared = None
    if data is not None:
        prepared = layout.open(data, pixels, lambda schema: check_schema(by_name, schema))
    tell_stand_in(data)
    training = prepared or undrawn_faces(pixels)
    with Meter("comparing") as meter:

        def show(what: str, done: int, total: int) -> None:
            meter.title = what
            meter.update(done, total)

        benchmark = Benchmark(
            entrants=by_name,
            out=out,
            data=prepared,
            training=training,
            seeds=numbers,
            images=images,
            seconds=seconds,
            count=count,
            judge=_suitable(named, training),
            device=chosen(device),
            say=meter.say,
            progress=show,
        )
        if prepared is None:
            check(benchmark)  # before minutes of drawing; `run` checks all
            meter.title = "drawing faces"
            benchmark = replace(benchmark, training=drawn_faces(pixels, progress=meter.update))
        page = run(benchmark, csv, latex)
    print("\n".join(str(path) for path in (out / "results.json", csv, latex, page) if path is not None))


def _suitable(judge: "Judge | None", data: "PreparedData") -> "Judge | None":
    """Return the judge that was named, or the shipped one that knows the data's attributes at its size, or None."""
    from attrimorph.evaluators.judge import judge_for

    if judge is None:
        return judge_for(data.schema, data.image_size)
    if (judge.schema.names, judge.image_size) != (data.schema.names, data.image_size):
        raise AttrimorphError(
            f"the judge must know the {len(data.schema.names)} attributes of the data at {data.image_size} px; "
            f"{judge.name} knows {len(judge.schema.names)} at {judge.image_size} px; train one on the data with "
            "attrimorph judge"
        )
    return judge
