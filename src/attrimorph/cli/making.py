"""data check, data prepare, data synthetic, data mask, data label; recipes, train; judge."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from attrimorph.cli.app import DATA, LAYOUT, MAKE, Device, Layout, Whole, app, chosen, speaks, tell_stand_in
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.data.prepared import PreparedData
    from attrimorph.recipe import AnyRecipe
    from attrimorph.training.trainer import Progress

data_app = App(name="data", help="Check, prepare and draw data.", group=DATA)
app.command(data_app)
EDITORS = ("cyclegan", "homointerp", "retouch", "stargan", "attgan", "stgan")
"""The methods whose models edit and do not sample."""
OPTIONS = ("data", "format", "table", "out", "dry-run", "explain", "device")


@data_app.command
def check(path: Path, /, *, out: Path | None = None, layout: Layout = LAYOUT) -> None:
    """Report what training would trip over: broken files, duplicates, missing labels, imbalance.

    Parameters
    ----------
    path
        A folder of images in any known layout, or a prepared folder.
    out
        A JSON file for the whole report, every file named.
    """
    from attrimorph.console import Meter
    from attrimorph.data.check import check as examine
    from attrimorph.files import write_json

    with Meter("checking") as meter:
        report = examine(layout.of(path), progress=meter.update)
    print("\n".join(report.lines()))
    if out is not None:
        write_json(out, report.to_json())
    if report.errors:
        raise AttrimorphError(f"{path} is not fit for training: mend its {len(report.errors)} errors first")


@data_app.command
def prepare(
    path: Path,
    /,
    *,
    out: Path,
    image_size: Whole = 64,
    crop: str = "",
    align: bool = False,
    attributes: str | None = None,
    layout: Layout = LAYOUT,
    workers: Whole | None = None,
    part: str = "1/1",
) -> None:
    """Decode a folder of images once into arrays that training reads by index; interrupted, it goes on.

    Parameters
    ----------
    path
        A folder of images in any known layout.
    out
        The prepared folder.
    image_size
        Side of the square images, in pixels.
    crop
        centre, a size in pixels, or left,top,right,bottom; by default what is usual for the data set.
    align
        Turn and scale faces so that the eyes lie alike.
    attributes
        Which to keep, with commas; by default all.
    workers
        How many images are decoded at once, of many by processes; by default one for each core.
    part
        2/8 decodes the second of eight shares; machines that share the folder decode the others. The last joins them.
    """
    from attrimorph.console import Meter
    from attrimorph.data.folder import parse_part
    from attrimorph.data.images import parse_crop
    from attrimorph.data.prepared import prepare as run
    from attrimorph.requests import parse_names

    with Meter("preparing") as meter:
        summary = run(
            layout.of(path),
            out,
            image_size,
            crop=parse_crop(crop),
            align=align,
            attributes=None if attributes is None else parse_names(attributes),
            workers=workers,
            progress=meter.update,
            part=parse_part(part),
        )
    print("\n".join(summary.lines()))


@data_app.command
def synthetic(
    out: Path,
    /,
    *,
    kind: Literal["faces", "tied-faces", "shapes", "ring"] = "faces",
    count: Whole = 10_000,
    size: Whole = 64,
    seed: Whole = 0,
    correlation: float | None = None,
    identities: Whole | None = None,
) -> None:
    """Draw a labelled data set whose true counterfactuals are known.

    Parameters
    ----------
    out
        The prepared folder.
    kind
        faces; tied-faces, where beards go with Male (correlation 0.8) and grey hair with age (0.6); shapes, a
        discontinuous domain; ring, the paper's points.
    count
        How many images.
    size
        Side of the images, in pixels.
    seed
        The same seed draws the same data.
    correlation
        Of faces: how strongly attributes go together (beards with Male), 0 to 1; by default 0.5.
    identities
        Of faces: how many different people; by default nearly every face is another.
    """
    from attrimorph.console import Meter
    from attrimorph.data.drawn.synthetic import write_faces, write_ring, write_shapes, write_tied_faces

    if kind != "faces" and (correlation is not None or identities is not None):
        raise AttrimorphError(f"--correlation and --identities belong to --kind faces; got {kind}; leave them out")

    if kind == "ring":
        print(f"{count} points in {write_ring(out, count=count, seed=seed)}")
        return
    with Meter("drawing") as meter:
        if kind == "faces":
            write_faces(
                out,
                count=count,
                size=size,
                seed=seed,
                correlation=0.5 if correlation is None else correlation,
                identities=identities,
                progress=meter.update,
            )
        else:
            write = write_shapes if kind == "shapes" else write_tied_faces
            write(out, count=count, size=size, seed=seed, progress=meter.update)
    print(f"{count} images in {out}")


@data_app.command
def mask(
    path: Path, /, *, where: Literal["face", "centre"] = "face", again: bool = False, workers: Whole | None = None
) -> None:
    """Make masks of the foreground for prepared images that have none (GrabCut, extra `masks`).

    Parameters
    ----------
    path
        The prepared folder.
    where
        The foreground is a face (head and shoulders), or something in the centre.
    again
        Make those anew that are there.
    workers
        How many images are worked on at once; by default one for each core.
    """
    from attrimorph.console import Meter
    from attrimorph.data.masks import make_masks

    with Meter("masking") as meter:
        summary = make_masks(path, where=where, again=again, workers=workers, progress=meter.update)
    print("\n".join(summary.lines()))


@data_app.command
def label(
    path: Path,
    /,
    *,
    judge: str,
    out: Path,
    threshold: float = 0.9,
    layout: Layout = LAYOUT,
    device: Device = "auto",
) -> None:
    """Label pictures by an attribute classifier (judge): a table for `data prepare --table`, and a sheet to look at.

    The sheet, beside the table, shows the surest and the least sure pictures of each attribute.

    Parameters
    ----------
    path
        A folder of images in any known layout, or a prepared folder of the judge's image size.
    judge
        The file of an attribute classifier, or a shipped one.
    out
        The CSV file.
    threshold
        Probability that a label must have, 0.5 to 1; what is less sure is left empty.
    """
    from attrimorph.console import Meter, table
    from attrimorph.evaluators.judge import label as run
    from attrimorph.evaluators.judge import load_judge

    if out.suffix.lower() != ".csv":
        raise AttrimorphError(f"--out must be a CSV file; got {out}; name it labels.csv")
    found = load_judge(judge, chosen(device))
    data = layout.open(path, found.image_size)
    with Meter("labelling") as meter:
        labels = run(found, data, threshold, meter.update)
    written = labels.save(out)
    rows = [(str(has), str(lacks), str(unsure), name) for name, has, lacks, unsure in labels.counts()]
    print(table(rows, ("with", "without", "unsure", "attribute")))
    print("\n".join(map(str, written)))


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
    from attrimorph.recipe import find_recipe, to_yaml

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
    from attrimorph.models import shipped
    from attrimorph.recipe import files_of, find_recipe, override, parse_words, to_yaml

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
    new = check_recipe(target, value) is None  # before any image is read
    for name, files in files_of(value).items() if new else ():
        if lost := [file for file in files if file not in shipped() and not Path(file).exists()]:
            raise AttrimorphError(f"{name} must name what is there; {lost[0]} is not; name another, or make it first")
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
        verb = "attrimorph edit PICTURE --set ATTRIBUTE=1" if value.method in EDITORS else "attrimorph sample"
        print(f"the run is in {folder}" + ("" if value.method == "pix2pix" else f"; next: {verb} --model {folder}"))


def _data(value: "AnyRecipe", data: Path | None, layout: Layout, named: Path | None, target: Path) -> "PreparedData":
    """Open the data that were named, or those of the run that was named, or draw faces."""
    from attrimorph.console import Meter
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
    from attrimorph.data.drawn.synthetic import drawn_faces

    tell_stand_in(data)
    with Meter("drawing faces") as meter:
        return drawn_faces(size, progress=meter.update)


@app.command(group=MAKE)
def judge(
    data: Path,
    /,
    *,
    layout: Layout = LAYOUT,
    out: Path,
    kind: Literal["attributes", "identity"] = "attributes",
    least: Whole = 10,
    size: Whole = 64,
    images: Whole | None = None,
    seed: Whole | None = None,
    device: Device = "auto",
) -> None:
    """Train an attribute classifier (judge) on data, to measure models with.

    One that teaches a Retouch (losses.teacher) should not measure it.

    Interrupted, the same command goes on.

    Parameters
    ----------
    data
        A prepared folder or a folder of images in any known layout.
    out
        The file to write.
    kind
        attributes: a classifier of all attributes of the data; identity: an identity encoder (recogniser).
    least
        Images in the train split that a person must have to be learned.
    size
        Pixels to prepare a folder of images at; a prepared folder has its own.
    images
        How many images it is shown, repetitions counted.
    seed
        Of weights, order and augmentation.
    """
    from attrimorph.console import Meter, table
    from attrimorph.data.prepared import open_prepared
    from attrimorph.evaluators.training import IdentityRecipe, JudgeRecipe, train_identity_encoder, train_judge
    from attrimorph.files import key_of
    from attrimorph.metrics.figures import new_key, words
    from attrimorph.training import choose_fast_path, keep_memory

    prepared = open_prepared(data) if layout.of(data).prepared else layout.open(data, size)
    keep_memory()
    # Which is faster is measured once: unfinished work goes on as it began.
    precision = key_of(out).get("precision") or choose_fast_path(device=chosen(device)).precision
    wished = {"images_seen": images, "seed": seed, "precision": precision}
    given: dict[str, Any] = {name: value for name, value in wished.items() if value is not None}
    with Meter("training the attribute classifier") as meter:
        rest: dict[str, Any] = {"name": out.stem, "progress": meter.update, "result": out, "device": chosen(device)}
        if kind == "identity":
            encoder = train_identity_encoder(prepared, IdentityRecipe(**given), least=least, **rest)
            encoder.save(out)
            measures = [(name.removesuffix(")").partition(" ("), value) for name, value in encoder.measures.items()]
            told = [table([(f"{value:.4f}", new_key(key), protocol) for (key, _, protocol), value in measures])]
        else:
            found = train_judge(prepared, JudgeRecipe(**given), **rest)
            found.save(out)
            accuracies, errors = found.accuracies, found.calibration
            names = sorted(accuracies, key=lambda name: accuracies[name])
            rows = [(f"{accuracies[name]:.1%}", f"{errors[name]:.3f}", name) for name in names]
            told = [table(rows, ("right", "calibration error", "attribute"))] if rows else []
            measured = found.trained_on["measure"]
            on = f"on {measured['images']:,} images ({measured['split']})"
            means = found.means().items()
            told.append(table([(f"{value:.4f}", key, f"{words(key)[2]}, {on}") for key, value in means]))
    print("\n".join([*told, str(out)]))
