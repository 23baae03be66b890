"""recipes, train, evaluate."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import DEFAULT_MODEL, LAYOUT, MAKE, Device, Layout, Whole, app, chosen

if TYPE_CHECKING:
    from attrimorph.training.trainer import Progress

NEXT = {
    "cyclegan": "attrimorph edit PICTURE --set ATTRIBUTE=1",
    "homointerp": "attrimorph edit PICTURE --set ATTRIBUTE=1",
}
"""What a run that does not sample is good for; others sample."""
OPTIONS = ("data", "format", "table", "out", "dry-run", "device")


@app.command(group=MAKE)
def recipes(name: str | None = None, /) -> None:
    """List the recipes, or print one with what its fields mean: a YAML file that `train` takes.

    Parameters
    ----------
    name
        A recipe, a YAML or JSON file, or a run folder.
    """
    from attrimorph.console import table
    from attrimorph.overrides import find_recipe, to_yaml
    from attrimorph.recipes import RECIPES, read_recipe

    if name is None:
        print(table([(each, make().about) for each, make in RECIPES.items()]))
    else:
        print(to_yaml(find_recipe(name, RECIPES, read_recipe)))


@app.command(group=MAKE)
def train(
    recipe: str,
    /,
    *overrides: Annotated[str, Parameter(allow_leading_hyphen=True)],
    data: Path | None = None,
    layout: Layout = LAYOUT,
    out: Path | None = None,
    dry_run: bool = False,
    device: Device = "auto",
) -> None:
    """Train a recipe; the same command goes on with an interrupted run.

    Parameters
    ----------
    recipe
        A recipe's name (`attrimorph recipes` lists them), a YAML or JSON file, or a run folder.
    overrides
        Any field of the recipe: --training.batch-size 32 --losses.kl 1.
    data
        A prepared folder or a folder of images in any known layout; by default faces are drawn.
    out
        The run folder; by default runs/RECIPE.
    dry_run
        Print the whole recipe and stop.
    """
    from attrimorph.overrides import find_recipe, override, parse_words, to_yaml
    from attrimorph.recipes import RECIPES, read_recipe

    value = override(find_recipe(recipe, RECIPES, read_recipe), parse_words(overrides, OPTIONS))
    if dry_run:
        print(to_yaml(value))
        return
    from attrimorph.console import Meter
    from attrimorph.data.synthetic import drawn_faces
    from attrimorph.training.build import check_labels
    from attrimorph.training.trainer import train as run

    size = value.data.image_size
    if data is not None:
        prepared = layout.open(data, size, lambda schema: check_labels(value, schema))
    else:
        with Meter("drawing faces") as meter:
            prepared = drawn_faces(size, progress=meter.update)
    with Meter(f"training {value.name}") as meter:

        def show(progress: "Progress") -> None:
            if progress.message:
                meter.say(progress.message)
            else:
                meter.update(progress.images_seen, progress.images, progress.values, rate=progress.images_per_second)

        folder = run(value, prepared, out or Path("runs") / value.name, progress=show, device=chosen(device))
    # Under torchrun one process speaks for all.
    if os.environ.get("RANK", "0") == "0":
        verb = NEXT.get(value.method, "attrimorph sample")
        print(f"the run is in {folder}" + ("" if value.method == "pix2pix" else f"; next: {verb} --model {folder}"))


@app.command(group=MAKE)
def evaluate(
    run: str = DEFAULT_MODEL,
    /,
    *,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    metrics: str | None = None,
    judge: str | None = None,
    recogniser: str | None = None,
    extractor: str | None = None,
    against: Path | None = None,
    out: Path | None = None,
    count: Whole = 1000,
    device: Device = "auto",
) -> None:
    """Measure a model: reconstruction, samples, edits, codes; writes JSON and a page with pictures.

    Parameters
    ----------
    run
        A run folder, a model file or a shipped model.
    data
        Images to measure on, whose test split is taken; by default unseen drawn faces.
    metrics
        Groups of figures with commas between them: reconstruction, edits, responses, fairness, distribution, diversity,
        disentanglement, identity; by default all.
    judge
        Who tells attributes: a file or a shipped judge; by default the shipped one that suits the model.
    recogniser
        Who tells people: a file or a shipped recogniser; by default the shipped one that suits the model.
    extractor
        Whose features sets of images are compared in: inception or vgg19 from torch's cache, or a file of either; by
        default the judge's.
    against
        Another evaluation.json to compare with; figures that were measured otherwise are refused.
    out
        The folder for evaluation.json and evaluation.html; by default runs/evaluations/NAME.
    count
        How many images.
    """
    from attrimorph.console import Meter, table
    from attrimorph.experiments.evaluation import evaluate_model, read_evaluation
    from attrimorph.metrics.evaluate import chosen_groups
    from attrimorph.metrics.extractors import load_extractor
    from attrimorph.metrics.judge import load_judge
    from attrimorph.metrics.recogniser import load_recogniser
    from attrimorph.models import load
    from attrimorph.naming import parse_names

    groups = None if metrics is None else chosen_groups(parse_names(metrics))
    other = None if against is None else read_evaluation(against)
    model = load(run, chosen(device))
    images = None if data is None else layout.open_for(model, data)
    folder = out or Path("runs/evaluations") / Path(run).name
    with Meter("measuring") as meter:
        evaluation, comparison = evaluate_model(
            model,
            folder,
            data=images,
            judge=None if judge is None else load_judge(judge),
            recogniser=None if recogniser is None else load_recogniser(recogniser),
            extractor=None if extractor is None else load_extractor(extractor),
            metrics=groups,
            count=count,
            against=other,
            progress=meter.say,
        )
    print(table([(f"{value:.4f}", name) for name, value in evaluation.figures.items()]))
    for note in evaluation.notes:
        print(note)
    if comparison is not None:
        rows: list[tuple[str, ...]] = [
            (f"{pair.ours:.4f}", f"{pair.theirs:.4f}", f"{pair.ours - pair.theirs:+.4f}", pair.name)
            for pair in comparison.pairs
        ]
        print(table(rows, ("here", "there", "difference", f"figure, against {against}")))
        print("\n".join(comparison.refused))
    print(folder / "evaluation.html")
