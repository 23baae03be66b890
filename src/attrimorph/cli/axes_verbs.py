"""axes fit, axes add, axes show."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from attrimorph.cli.app import USE, Device, Whole, app, chosen
from attrimorph.errors import AttrimorphError

axes_app = App(name="axes", help="Find latent directions (axes) that change one attribute each.", group=USE)
app.command(axes_app)

Generator = Annotated[str, Parameter(help="A run folder, a model file, a shipped model, or a .pt2 or .onnx file.")]
JudgeName = Annotated[
    str | None, Parameter(help="An attribute classifier (judge) or a model with one; by default the shipped one.")
]
Pack = Annotated[Path | None, Parameter(help="The axis pack; by default beside the model, or in runs/axes.")]
Values = Annotated[
    Literal["-1..1", "0..1", "0..255"], Parameter(help="The range of the images of a .pt2 or .onnx file.")
]


@axes_app.command
def fit(
    model: Generator,
    /,
    *,
    attributes: str | None = None,
    judge: JudgeName = None,
    labels: Path | None = None,
    samples: Whole = 50_000,
    method: Literal["linear", "ridge", "logistic"] = "linear",
    link: Literal["arctanh", "none"] = "arctanh",
    seed: Whole = 0,
    out: Pack = None,
    values: Values = "-1..1",
    device: Device = "auto",
) -> None:
    """Draw codes, generate, judge, and fit one axis for each attribute, a straight and a curved one.

    Interrupted while it draws, the same command goes on.

    Parameters
    ----------
    attributes
        Which, with commas: Smiling,Young; by default all that the attribute classifier knows and sees vary.
    labels
        A table of labels that people gave to drawn pictures, in place of a judge.
    samples
        How many codes are drawn.
    method
        Least squares, ridge regression, or logistic regression.
    link
        What least squares and ridge aim at: arctanh of the classifier's outputs, as in TL-GAN, or the outputs.
    seed
        Of the codes.
    """
    from attrimorph.applications.axes.choosing import generator_named, judge_named, pack_path
    from attrimorph.applications.axes.fitting import FitOptions, fit_axes, judged_by, labelled, with_curved
    from attrimorph.applications.axes.pack import save_pack
    from attrimorph.console import Meter, table
    from attrimorph.requests import parse_names
    from attrimorph.unfinished import beside

    if labels is not None and judge is not None:
        raise AttrimorphError("either --judge or --labels must be given, not both; leave one out")
    generator, path = generator_named(model, chosen(device), values=values), out or pack_path(model)
    if labels is not None:
        judged = labelled(generator, labels, seed=seed)
    else:
        who = judge_named(judge, generator)
        with Meter("drawing and judging") as meter:
            judged = judged_by(generator, who, count=samples, seed=seed, progress=meter.update, result=path)
    names = None if attributes is None else parse_names(attributes)
    pack = fit_axes(generator, judged, names, FitOptions(method, link))
    try:
        with Meter("fitting curved axes", "epochs") as meter:
            pack = with_curved(pack, judged, progress=meter.update)
    except AttrimorphError as error:
        # The straight ones are whole without them.
        print(f"no curved axes: {error}")
    except KeyboardInterrupt:
        save_pack(pack, path)
        print(f"the straight axes are in {path}", file=sys.stderr)
        raise
    save_pack(pack, path)
    beside(path).unlink(missing_ok=True)
    rows: list[tuple[str, ...]] = [
        (f"{axis.facts['expected when set']:.0%}", f"{axis.facts['expected when taken away']:.0%}", name)
        for name, axis in pack.axes.items()
    ]
    print(table(rows, ("set", "taken away", "attribute (expected to be seen so)")))
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in pack.about["seconds"].items())
    print(f"{spent}; {pack.about['samples']:,} pictures")
    if pack.curved is not None:
        print(f"the curved axes tell {pack.curved.explained:.0%} of the variance of what is said of others")
    print(path)


@axes_app.command
def add(
    model: Generator,
    name: str,
    /,
    *,
    examples: Path | None = None,
    positive: list[Path] | None = None,
    negative: list[Path] | None = None,
    judge: JudgeName = None,
    by: Literal["features", "codes"] = "features",
    samples: Whole = 4_000,
    axes: Pack = None,
    values: Values = "-1..1",
    device: Device = "auto",
) -> None:
    """Add an axis from a few labelled pictures, ten of each kind will do, and say how sure it is.

    Parameters
    ----------
    name
        Of the new attribute.
    examples
        A folder with two folders: with and without.
    positive
        Pictures with the attribute, or a folder of them.
    negative
        Pictures without it, or a folder of them.
    judge
        Whose features tell the examples apart.
    by
        features: the examples teach a probe that judges drawn pictures; codes: their own codes are separated.
    samples
        How many pictures are drawn for the probe.
    """
    from attrimorph.applications.axes.choosing import examples_in, find_pack, generator_named, pack_path, pictures_of
    from attrimorph.applications.axes.examples import sentence
    from attrimorph.applications.axes.pack import AxisPack, load_pack, save_pack

    generator = generator_named(model, chosen(device), values=values)
    path = axes or pack_path(model)
    try:
        pack = load_pack(axes or find_pack(model))
    except AttrimorphError:
        if (axes or path).exists():
            raise
        pack = AxisPack(generator.hash, generator.recipe.name, {})
    pack.check(generator)
    if (examples is None) == (positive is None and negative is None):
        raise AttrimorphError("examples are given by --examples FOLDER, or by --positive and --negative; give one")
    if examples is not None:
        some, others = examples_in(examples)
    else:
        some, others = pictures_of(positive or []), pictures_of(negative or [])
    axis = _axis(generator, name, some, others, judge, by, samples)
    save_pack(pack.with_axis(axis), path)
    print(sentence(axis))
    print(path)


def _axis(  # type: ignore[no-untyped-def]
    generator, name: str, some: list[Path], others: list[Path], judge: str | None, by: str, samples: int
):
    from attrimorph.applications.axes.choosing import judge_named
    from attrimorph.applications.axes.examples import axis_from_codes, axis_from_examples, draw_pool
    from attrimorph.applications.inputs import encoder
    from attrimorph.console import Meter

    positive, negative = generator.prepared(some), generator.prepared(others)
    if by == "codes":
        return axis_from_codes(generator, name, encoder(generator, "axes add --by codes").encode, positive, negative)
    who = judge_named(judge, generator)
    named = f"features of {who.name}"
    with Meter("drawing and judging") as meter:
        pool = draw_pool(generator, who.features, by=named, count=samples, progress=meter.update)
    return axis_from_examples(generator, name, who.features, positive, negative, by=named, pool=pool)


@axes_app.command
def show(
    model: Generator,
    /,
    *,
    axes: Pack = None,
    lock: str | None = None,
    judge: JudgeName = None,
    out: Path = Path("runs/axes"),
    values: Values = "-1..1",
    device: Device = "auto",
) -> None:
    """Write a page: overlap before and after untangling, response of each axis, strips of pictures.

    Parameters
    ----------
    lock
        Attributes that are locked, with commas; by default all but the edited one.
    out
        The folder of the page.
    """
    from attrimorph.applications.axes.choosing import find_pack, generator_named, judge_named
    from attrimorph.applications.axes.pack import load_pack
    from attrimorph.console import Meter
    from attrimorph.reproductions.axes_report import write_axes_report
    from attrimorph.requests import parse_names

    generator = generator_named(model, chosen(device), values=values)
    pack = load_pack(axes or find_pack(model))
    locks = None if lock is None else parse_names(lock)
    pack.rows(locks or [])
    with Meter("moving along axes", "axes") as meter:
        page = write_axes_report(
            generator, pack, judge_named(judge, generator), out, locks=locks, progress=meter.update
        )
    print(page)
