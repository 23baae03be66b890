"""layers, invert, data mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from attrimorph.cli.app import USE, Known, Set, Using, Whole, app, tell
from attrimorph.cli.data_verbs import data_app

DEFAULT = Using()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class UsingLayers(Using):
    """What a verb takes that needs a model with layers."""

    model: Annotated[str, Parameter(help="A run folder, a model file or a shipped model that has layers.")] = (
        "discvae-drawn-64"
    )


LAYERED = UsingLayers()


@app.command(group=USE)
def layers(
    image: Path,
    /,
    *images: Path,
    set_: Set = None,
    known: Known = None,
    background: Annotated[Path | None, Parameter(name="--background-from")] = None,
    backgrounds: Whole = 0,
    seed: Whole = 0,
    using: UsingLayers = LAYERED,
) -> None:
    """Take images apart into foreground, gate and background, and put them together again otherwise.

    Parameters
    ----------
    image
        A picture; its largest centred square is taken.
    images
        More of them.
    background
        A picture whose background is put behind the others' foregrounds.
    backgrounds
        Draw so many backgrounds, the foregrounds staying as they are.
    seed
        Of the drawn backgrounds.
    """
    from attrimorph.naming import result_path

    changes, facts = using.asked(set_, known, [image, *images, background])
    out = result_path(using.out, "layers", [image])
    from attrimorph.applications.layers import write_layers

    tell(
        write_layers(
            using.load(),
            [image, *images],
            out,
            named=using.model,
            known=facts,
            changes=changes,
            background=background,
            backgrounds=backgrounds,
            seed=seed,
        )
    )


@app.command(group=USE)
def invert(
    image: Path,
    /,
    *images: Path,
    known: Known = None,
    distance: Literal["pixel", "perceptual"] = "pixel",
    mask: Path | None = None,
    factor: Whole = 1,
    steps: Whole = 100,
    seconds: float | None = None,
    prior: float | None = None,
    candidates: Whole = 256,
    starts: Whole = 1,
    seed: Whole = 0,
    using: Using = DEFAULT,
) -> None:
    """Find the codes of images by optimisation through the model's generator; any model that generates will do.

    Parameters
    ----------
    image
        A picture; its largest centred square is taken.
    images
        More of them.
    distance
        What is compared: pixels, or what the model's classifier sees too.
    mask
        A picture, white where the images are known, black where they are to be completed.
    factor
        Compare so many times smaller images: what lies between is made up.
    steps
        Of the search.
    seconds
        A budget of time; the search ends with the best it has found.
    prior
        How much an unlikely code costs; 0 allows any.
    candidates
        Samples among which a start is looked for, where there is no encoder.
    starts
        Follow the best so many of them.
    seed
        Of the samples.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import result_path

    _, facts = using.asked(known=known, pictures=[image, *images])
    from attrimorph.applications.inversion.invert import write_invert
    from attrimorph.applications.options import PRIOR, Search

    search = Search(
        steps,
        prior=PRIOR if prior is None else prior,
        candidates=candidates,
        starts=starts,
        seed=seed,
        seconds=seconds,
    )
    out = result_path(using.out, "invert", [image])
    with Meter("inverting", "steps") as meter:
        written = write_invert(
            using.load(),
            [image, *images],
            out,
            named=using.model,
            known=facts,
            compared=distance,
            mask=mask,
            factor=factor,
            search=search,
            progress=meter.update,
        )
    tell(written)


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
