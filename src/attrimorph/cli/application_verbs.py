"""inpaint, superresolve, retrieve, neighbours, latent-map, augment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from attrimorph.cli.app import (
    DEFAULT_MODEL,
    FIND,
    LAYOUT,
    USE,
    Device,
    Inverting,
    Known,
    Layout,
    ModelName,
    Out,
    Set,
    Using,
    Whole,
    app,
    chosen,
    tell,
)
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.applications.receipt import Written
    from attrimorph.applications.write_augmented import Wish
    from attrimorph.data.source import Source
    from attrimorph.models.model import Model

DEFAULT = Using()
ENCODING = Inverting()


@app.command(group=USE)
def inpaint(
    image: Path,
    /,
    *,
    mask: Path | None = None,
    hole: str | None = None,
    times: Whole = 10,
    fill: Literal["border", "mean"] = "border",
    feather: Whole = 4,
    known: Known = None,
    inverting: Inverting = ENCODING,
    using: Using = DEFAULT,
) -> None:
    """Fill a hole of an image; what lies outside stays to the last bit.

    Parameters
    ----------
    image
        A picture; its largest centred square is taken.
    mask
        A picture of the same size, white where the hole is.
    hole
        In place of a mask: left,top,right,bottom in the picture's pixels.
    times
        How often the model looks at the filled image; not with --invert.
    fill
        What the hole holds at first: its border's colours spread inwards, or the mean colour.
    feather
        Pixels inside the hole over which the seam is evened out.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import result_path

    if (mask is None) == (hole is None):
        raise AttrimorphError("inpaint needs either --mask or --hole; give one of them, such as --hole 20,24,44,36")
    place = mask if mask is not None else _rectangle(str(hole))
    _, facts = using.asked(known=known, pictures=[image, mask])
    out = result_path(using.out, "inpaint", [image])
    from attrimorph.applications.inpaint import write_inpaint

    search, model = inverting.search(), using.load()
    with Meter("inverting", "steps") as meter:
        written = write_inpaint(
            model,
            image,
            place,
            out,
            named=using.model,
            times=times,
            fill=fill,
            feather=feather,
            known=facts,
            invert=search,
            progress=meter.update,
        )
    tell(written)


def _rectangle(words: str) -> tuple[int, int, int, int]:
    try:
        left, top, right, bottom = (int(word) for word in words.split(","))
    except ValueError:
        raise AttrimorphError(
            f"a hole must be four whole numbers, left,top,right,bottom; got {words!r}; try --hole 20,24,44,36"
        ) from None
    return left, top, right, bottom


@app.command(group=USE)
def superresolve(
    image: Path,
    /,
    *,
    times_larger: Whole | None = None,
    rounds: Whole = 5,
    known: Known = None,
    inverting: Inverting = ENCODING,
    using: Using = DEFAULT,
) -> None:
    """Enlarge a small image to the model's size, with detail that agrees with every pixel of it.

    Parameters
    ----------
    image
        A small square picture, of the model's size divided by a whole number; or any picture with --times-larger.
    times_larger
        Shrink the picture first, so that the result is so many times larger.
    rounds
        How often the model looks at the image; not with --invert.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import result_path

    _, facts = using.asked(known=known, pictures=[image])
    out = result_path(using.out, "superresolve", [image])
    from attrimorph.applications.superresolve import write_superresolve

    search, model = inverting.search(), using.load()
    with Meter("inverting", "steps") as meter:
        written = write_superresolve(
            model,
            image,
            out,
            named=using.model,
            times_larger=times_larger,
            rounds=rounds,
            known=facts,
            invert=search,
            progress=meter.update,
        )
    tell(written)


@app.command(group=USE)
def retrieve(
    image: Path,
    /,
    *,
    among: Path,
    set_: Set = None,
    same: str | None = None,
    other_identity: bool = False,
    count: Whole = 5,
    known: Known = None,
    layout: Layout = LAYOUT,
    using: Using = DEFAULT,
) -> None:
    """Find the images most like one, with the attributes that --set asks for; writes a row, a table, and keeps codes.

    Parameters
    ----------
    image
        A picture.
    among
        A prepared folder, a labelled one, or any folder of images.
    same
        Attributes that must be as in the image, with commas: Male,Young.
    other_identity
        Leave out the person of the image.
    count
        How many.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import parse_names, parse_settings, result_path

    # The images sought may have attributes that the model does not know.
    wanted = parse_settings(set_ or [], None)
    _, facts = using.asked(known=known, pictures=[image])
    out = result_path(using.out, "retrieve", [image])
    from attrimorph.applications.retrieve import write_retrieve

    with Meter("encoding") as meter:
        written = write_retrieve(
            using.load(),
            image,
            layout.of(among),
            out,
            named=using.model,
            count=count,
            wanted=wanted,
            same=parse_names(same or ""),
            other_identity=other_identity,
            known=facts,
            progress=meter.update,
        )
    tell(written)


@app.command(group=FIND)
def neighbours(
    model: ModelName = DEFAULT_MODEL,
    /,
    *,
    data: Path,
    layout: Layout = LAYOUT,
    count: Whole = 200,
    seed: Whole = 0,
    judge: str | None = None,
    out: Out = None,
    device: Device = "auto",
) -> None:
    """Tell whether a model's samples are copies of its training images.

    Parameters
    ----------
    data
        What it was trained on, with images held out: a prepared folder or a labelled one.
    count
        Samples, and at most so many held-out images.
    seed
        Of the samples.
    judge
        Whose features are compared too: a file or a shipped attribute classifier (judge); by default the shipped one
        that suits the model.
    """
    from attrimorph.applications.neighbours import write_neighbours
    from attrimorph.console import Meter
    from attrimorph.loading import load
    from attrimorph.naming import result_path

    path = result_path(out, "neighbours")
    with Meter("comparing") as meter:
        written = write_neighbours(
            load(model, chosen(device)), layout.of(data), path, named=model, count=count, seed=seed, judge=judge,
            progress=meter.update,
        )  # fmt: skip
    _print_facts(written)
    tell(written)


@app.command(name="latent-map", group=FIND)
def latent_map(
    model: ModelName = DEFAULT_MODEL,
    /,
    *,
    data: Path,
    layout: Layout = LAYOUT,
    attribute: str | None = None,
    out: Out = None,
    device: Device = "auto",
) -> None:
    """Lay all codes of a data set out on the plane of their two principal axes.

    Parameters
    ----------
    data
        A prepared folder or a labelled one.
    attribute
        Whose values colour the points; by default the one that the map separates best.
    """
    from attrimorph.applications.latent_map import write_latent_map
    from attrimorph.console import Meter
    from attrimorph.loading import load
    from attrimorph.naming import result_path

    path = result_path(out, "latent-map")
    with Meter("encoding") as meter:
        written = write_latent_map(
            load(model, chosen(device)), layout.of(data), path, named=model, attribute=attribute, progress=meter.update
        )
    _print_facts(written)
    tell(written)


@app.command(group=USE)
def augment(
    *,
    data: Path,
    layout: Layout = LAYOUT,
    out: Path,
    balance: str | None = None,
    identities: Whole | None = None,
    each: Whole | None = None,
    way: Literal["auto", "edit", "sample"] = "auto",
    seed: Whole = 0,
    judge: str | None = None,
    only_generated: bool = False,
    measure: bool = False,
    seeds: Annotated[Whole, Parameter(help="With --measure: pairs of trainings.")] = 3,
    images: Annotated[Whole, Parameter(help="With --measure: images seen in each training.")] = 60_000,
    model: ModelName = DEFAULT_MODEL,
    device: Device = "auto",
) -> None:
    """Make labelled images that a data set lacks: a folder for any trainer, with a table that data prepare reads.

    Every image is confirmed before it is written: the model's own classifier, and a judge where one suits, must see the
    class that it is made for. What they do not see is left out; fewer than half confirmed is refused.

    Parameters
    ----------
    data
        The real images: a prepared folder or a labelled one, with the model's attributes.
    out
        The folder to write; a sheet, a table of origins and metadata (a receipt) are written beside it.
    balance
        Attributes whose classes become equally large, with commas: Eyeglasses,Male.
    identities
        So many new people instead, each mixed of three.
    each
        Images of each new person; alone: so many more images of every class.
    way
        How to balance: edit real images of other classes, or sample.
    seed
        Of everything drawn.
    judge
        Who confirms the images besides the model's own classifier: a file or a shipped attribute classifier; by default
        the shipped one that suits. For new people of a model without classes: an identity encoder (judge DATA --kind
        identity).
    only_generated
        Leave the real images out of the folder.
    measure
        Train a classifier with and without the generated images, and test it on held-out real ones.
    """
    from attrimorph.applications.write_augmented import Wish, write_augment
    from attrimorph.console import Meter
    from attrimorph.loading import load
    from attrimorph.naming import parse_names

    wish = Wish(tuple(parse_names(balance or "")), identities, each, way, seed, judge)
    loaded, source = load(model, chosen(device)), layout.of(data)
    with Meter("generating") as meter:
        written = write_augment(
            loaded, source, out.with_name(f"{out.name}.png"), named=model, wish=wish, real=not only_generated,
            progress=meter.update, say=meter.say,
        )  # fmt: skip
    print(out)
    tell(written)
    if measure:
        _measure(loaded, source, out, wish, seeds, images)


def _measure(model: "Model", data: "Source", out: Path, wish: "Wish", seeds: int, images: int) -> None:
    from attrimorph.applications.augmented_worth import write_worth
    from attrimorph.applications.gallery import labelled_data
    from attrimorph.console import Meter, table

    with Meter("measuring") as meter:
        path, worths = write_worth(
            labelled_data(model, data), out, wish, seeds=range(seeds), presentations=images, say=meter.say
        )
    print(table([(worth.line(), worth.name) for worth in worths], ("without -> with them", "figure")))
    print(path)


def _print_facts(written: "Written") -> None:
    from attrimorph.console import table
    from attrimorph.files import read_json

    rows: list[tuple[str, ...]] = []
    for name, value in read_json(written.receipt)["facts"].items():
        figures = value if isinstance(value, dict) else {"": value}
        rows += [(f"{name}: {inner}" if inner else name, str(figure)) for inner, figure in figures.items()]
    print(table(rows))
