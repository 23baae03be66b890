"""recipes, train."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import LAYOUT, MAKE, Device, Layout, app, chosen

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
