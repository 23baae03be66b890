"""data check, data prepare, data synthetic, data mask."""

from pathlib import Path
from typing import Literal

from cyclopts import App

from attrimorph.cli.app import DATA, LAYOUT, Layout, Whole, app
from attrimorph.errors import AttrimorphError

data_app = App(name="data", help="Check, prepare and draw data.", group=DATA)
app.command(data_app)


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
        Turn and scale faces so that the eyes lie alike (extra `faces`).
    attributes
        Which to keep, with commas; by default all.
    workers
        How many images are decoded at once; by default one for each core.
    """
    from attrimorph.console import Meter
    from attrimorph.data.images import parse_crop
    from attrimorph.data.prepare import prepare as run
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
