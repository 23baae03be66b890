"""experiment, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import LAYOUT, MAKE, Device, Layout, Whole, app, chosen
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.data.prepared import PreparedData
    from attrimorph.metrics.judge import Judge

Seeds = Annotated[Whole, Parameter(help="How many seeds each training is repeated with.")]


@app.command(group=MAKE)
def experiment(
    name: str | None = None,
    /,
    *,
    quick: bool = False,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    classes: str | None = None,
    model: str | None = None,
    other_model: str | None = None,
    seeds: Whole | None = None,
    images: Whole | None = None,
    out: Path = Path("runs/experiments"),
    device: Device = "auto",
) -> None:
    """Repeat a figure or table of a paper: its picture, its numbers beside the published ones or our bars, verdicts.

    The same command goes on with an interrupted experiment.

    Parameters
    ----------
    name
        Which, by name or letter; without it they are listed. A paper's name, or all: one after another.
    quick
        The small form: minutes on two cores.
    data
        A prepared folder or a folder of images in any known layout; by default people are drawn. Attribute2Image's
        train on drawn faces, these or others.
    classes
        The attribute that tells the classes, or identity; by default the first categorical one, or the identities.
    model
        A model of such data to look at, where one is needed, in place of training it; several with commas, where
        methods are compared.
    other_model
        A second one, where two are compared: the CVAE (drift), the GAN (inversion), the CVAE-GAN (completion), the
        GAN and the WGAN-GP with a comma (growing); who judges photographs of other data (photographs).
    seeds
        How many; by default 3, quick 1.
    images
        Length of every training in place of the recipe's.
    out
        The folder; results go to OUT/NAME, data and models that experiments share beside it.
    """
    from attrimorph.console import Meter, table
    from attrimorph.experiments.catalogue import EXPERIMENTS, named

    if name is None:
        print(table([(each.paper, each.letter, key, each.about) for key, each in EXPERIMENTS.items()]))
        return
    names = named(name)
    from attrimorph.experiments.outcome import FULL, QUICK, Request, write_outcome
    from attrimorph.experiments.runs import RUNS

    for each in names:
        with Meter(each) as meter:

            def show(what: str, done: int, total: int, meter: Meter = meter) -> None:
                meter.title = what
                meter.update(done, total)

            request = Request(
                out=out,
                data=None if data is None else layout.of(data),
                classes=classes,
                model=model,
                other_model=other_model,
                seeds=_seeds(seeds or (1 if quick else 3)),
                form=QUICK if quick else FULL,
                images=images,
                device=chosen(device),
                say=meter.say,
                progress=show,
            )
            outcome = RUNS[each](request)
            page = write_outcome(outcome, out)
        print(table([(claim.verdict, claim.words, claim.evidence) for claim in outcome.claims]))
        print(page)


@app.command(group=MAKE)
def compare(
    recipe: str,
    /,
    *recipes: str,
    budget: str | None = None,
    images: Whole | None = None,
    seeds: Seeds = 3,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    judge: str | None = None,
    count: Whole = 500,
    size: Whole | None = None,
    out: Path = Path("runs/comparison"),
    device: Device = "auto",
) -> None:
    """Train several recipes on the same data and seeds, each as long, and write one report.

    The same command goes on with an interrupted comparison.

    Parameters
    ----------
    recipe
        A recipe's name, a YAML or JSON file, or a run folder.
    recipes
        More of them.
    budget
        Wall clock of each training: 90s, 10min, 2h.
    images
        Images seen in each training, in place of a budget.
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
    """
    from attrimorph.console import Meter
    from attrimorph.data.synthetic import drawn_faces
    from attrimorph.experiments.comparing import compare as run
    from attrimorph.experiments.comparison import Contest, entrants, parse_budget
    from attrimorph.metrics.judge import load_judge
    from attrimorph.overrides import find_recipe
    from attrimorph.recipes import RECIPES, read_recipe

    if (budget is None) == (images is None):
        raise AttrimorphError(
            "a comparison needs either --budget or --images; give one of them, such as --budget 10min"
        )
    if images is not None and images < 1:
        raise AttrimorphError(f"images must be at least 1; got {images}")
    seconds = None if budget is None else parse_budget(budget)
    by_name = entrants([find_recipe(each, RECIPES, read_recipe) for each in (recipe, *recipes)], size)
    named = None if judge is None else load_judge(judge)  # before anything is drawn
    numbers, pixels = _seeds(seeds), by_name[next(iter(by_name))].data.image_size
    prepared = None if data is None else layout.open(data, pixels)
    with Meter("drawing faces") as meter:
        training = prepared or drawn_faces(pixels, progress=meter.update)
    with Meter("comparing") as meter:

        def show(what: str, done: int, total: int) -> None:
            meter.title = what
            meter.update(done, total)

        contest = Contest(
            recipes=by_name,
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
        page = run(contest)
    print(out / "results.json")
    print(page)


def _seeds(count: int) -> tuple[int, ...]:
    if count < 1:
        raise AttrimorphError(f"seeds must be at least 1; got {count}")
    return tuple(range(count))


def _suitable(judge: "Judge | None", data: "PreparedData") -> "Judge | None":
    """Return the judge that was named, or the shipped one that knows the data's attributes at its size, or None."""
    from attrimorph.metrics.suitable import judge_for

    if judge is None:
        return judge_for(data.schema, data.image_size)
    if (judge.schema.names, judge.image_size) != (data.schema.names, data.image_size):
        raise AttrimorphError(
            f"the judge must know the {len(data.schema.names)} attributes of the data at {data.image_size} px; "
            f"{judge.name} knows {len(judge.schema.names)} at {judge.image_size} px; train one on the data with "
            "attrimorph judge"
        )
    return judge
