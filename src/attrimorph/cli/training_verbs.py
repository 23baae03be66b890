"""recipes, train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import LAYOUT, MAKE, Device, Layout, app, chosen, speaks, tell_stand_in
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.data.prepared import PreparedData
    from attrimorph.recipe import AnyRecipe
    from attrimorph.training.trainer import Progress

NEXT = {
    "cyclegan": "attrimorph edit PICTURE --set ATTRIBUTE=1",
    "homointerp": "attrimorph edit PICTURE --set ATTRIBUTE=1",
}
"""What a run that does not sample is good for; others sample."""
OPTIONS = ("data", "format", "table", "out", "dry-run", "explain", "device")


@app.command(group=MAKE)
def recipes(name: str | None = None, /) -> None:
    """List the recipes, or print one with what its fields mean: a YAML file that `train` takes.

    Parameters
    ----------
    name
        A recipe, a YAML or JSON file, or a run folder.
    """
    from attrimorph.console import table
    from attrimorph.methods import read_recipe
    from attrimorph.methods.recipes import RECIPES
    from attrimorph.overrides import find_recipe, to_yaml

    if name is None:
        print(table([(each, make().about) for each, make in RECIPES.items()]))
    else:
        print(to_yaml(find_recipe(name, RECIPES, read_recipe)))


@app.command(group=MAKE)
def train(
    recipe: str | None = None,
    /,
    *overrides: Annotated[str, Parameter(allow_leading_hyphen=True)],
    data: Path | None = None,
    layout: Layout = LAYOUT,
    out: Path | None = None,
    dry_run: bool = False,
    explain: bool = False,
    device: Device = "auto",
) -> None:
    """Train a recipe; the same command, or `train RUN` alone, goes on with an interrupted run.

    Parameters
    ----------
    recipe
        A recipe's name (`attrimorph recipes` lists them), a YAML or JSON file, or a run folder: to go on with it, or
        with --out to begin another with its recipe and its data.
    overrides
        Any field of the recipe: --training.batch-size 32 --losses.kl 1. A run that is gone on with may get another
        length (--training.images), and write more or less often.
    data
        A prepared folder or a folder of images in any known layout; by default a run's own, or else synthetic faces.
    out
        The run folder; by default runs/RECIPE, or the run that was named.
    dry_run
        Print the whole recipe and stop.
    explain
        Print what the figures of the log mean, of the recipe or of all, and stop.
    """
    from attrimorph.methods import read_recipe
    from attrimorph.methods.logged import FIGURES, explanation, in_words, logged
    from attrimorph.methods.recipes import RECIPES
    from attrimorph.overrides import find_recipe, override, parse_words, to_yaml

    if recipe is None:
        if not explain:
            raise AttrimorphError("train needs a recipe or a run folder; `attrimorph recipes` lists the recipes")
        print(explanation(FIGURES))
        return
    layout.needs(data)
    value = override(find_recipe(recipe, RECIPES, read_recipe), parse_words(overrides, OPTIONS))
    if explain:
        print(explanation(logged(value.method)))
        return
    if dry_run:
        print(to_yaml(value))
        return
    from attrimorph.console import Meter
    from attrimorph.training.folder import check_recipe
    from attrimorph.training.trainer import train as run

    named = None if recipe in RECIPES or not Path(recipe).is_dir() else Path(recipe)
    target = out or named or Path("runs") / value.name
    check_recipe(target, value)  # before any image is read
    prepared = _data(value, data, layout, named, target)
    with Meter(f"training {value.name}") as meter:

        def show(progress: "Progress") -> None:
            if progress.message:
                meter.say(progress.message)
            else:
                values = in_words(progress.values)
                meter.update(progress.images_seen, progress.images, values, rate=progress.images_per_second)

        folder = run(value, prepared, target, progress=show, device=chosen(device))
    if speaks():
        verb = NEXT.get(value.method, "attrimorph sample")
        print(f"the run is in {folder}" + ("" if value.method == "pix2pix" else f"; next: {verb} --model {folder}"))


def _data(value: "AnyRecipe", data: Path | None, layout: Layout, named: Path | None, target: Path) -> "PreparedData":
    """Open the data that were named, or those of the run that was named, or draw faces."""
    from attrimorph.console import Meter
    from attrimorph.data.drawn.synthetic import drawn_faces
    from attrimorph.training.folder import data_of, data_words, is_begun, reopened
    from attrimorph.training.trainer import check_labels

    size = value.data.image_size
    if data is not None:
        return layout.open(data, size, lambda schema: check_labels(value, schema))
    if named is not None:
        with Meter("preparing") as meter:
            return reopened(target if is_begun(target) else named, size, meter.update)
    if (words := data_words(target)) and "drawn" not in words:
        raise AttrimorphError(
            f"{target} holds a run on {data_of(target)}; go on with `attrimorph train {target}`, or choose another "
            "folder with --out"
        )
    tell_stand_in(data)
    with Meter("drawing faces") as meter:
        return drawn_faces(size, progress=meter.update)
