"""sample, reconstruct, edit, morph, transfer, replay."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from attrimorph.cli.app import USE, Along, Inverting, Known, Set, Using, Whole, app, tell
from attrimorph.cli.moving import edit_along, edit_folder, morph_along
from attrimorph.errors import AttrimorphError

DEFAULT = Using()
ENCODING = Inverting()
STRAIGHT = Along()
PathName = Literal["linear", "slerp", "uniform", "pixel", "bilinear", "homomorphic", "cyclegan-chain"]


@app.command(group=USE)
def sample(*, count: Whole = 16, set_: Set = None, seed: Whole = 0, using: Using = DEFAULT) -> None:
    """Generate new images.

    Parameters
    ----------
    count
        How many.
    seed
        The same seed gives the same images.
    """
    from attrimorph.naming import result_path

    changes, _ = using.asked(set_)
    out = result_path(using.out, "sample")
    from attrimorph.applications.sample import write_sample

    tell(write_sample(using.load(), out, named=using.model, count=count, seed=seed, changes=changes))


@app.command(group=USE)
def reconstruct(
    image: Path, /, *images: Path, known: Known = None, inverting: Inverting = ENCODING, using: Using = DEFAULT
) -> None:
    """Show how the model sees images.

    Parameters
    ----------
    image
        A picture; its largest centred square is taken.
    images
        More of them.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import result_path

    _, facts = using.asked(known=known, pictures=[image, *images])
    out = result_path(using.out, "reconstruct", [image])
    from attrimorph.applications.reconstruct import write_reconstruct

    search, model = inverting.search(), using.load()
    with Meter("inverting", "steps") as meter:
        written = write_reconstruct(
            model, [image, *images], out, named=using.model, known=facts, invert=search, progress=meter.update
        )
    tell(written)


@app.command(group=USE)
def edit(
    image: Path | None = None,
    /,
    *images: Path,
    set_: Set = None,
    like: Annotated[list[Path] | None, Parameter(name="--like")] = None,
    known: Known = None,
    raw: bool = False,
    along: Along = STRAIGHT,
    inverting: Inverting = ENCODING,
    using: Using = DEFAULT,
) -> None:
    """Change attributes of images, or of all in a folder: --set Smiling=1 --set Blond_Hair=0.5.

    Of a folder --out is another folder: names and sub-folders are kept, edits.csv there tells what was done, and the
    same command goes on after an interruption.

    Several CycleGANs, named with commas after --model, change one attribute each, in the order of --set. With --axes,
    --lock or --seed codes move along axes (see axes fit), and what that does to other attributes is told first.

    Parameters
    ----------
    image
        A picture, its largest centred square is taken; or a folder of pictures. None with --seed.
    images
        More pictures.
    like
        A picture to be like in the groups that --set names, 0 to 2: --set "hair colour=1.5". Give it again for a
        second answer.
    raw
        Uncalibrated: take strengths as they stand, although the model is calibrated.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import parse_settings, result_path

    pictures = [*([] if image is None else [image]), *images]
    if along.wished and (like or raw):
        raise AttrimorphError("--like and --raw do nothing in an edit along axes; leave them out")
    if not pictures and not along.wished:
        raise AttrimorphError("edit needs an IMAGE; got none; name a picture, or draw some with --seed 0")
    if along.wished:
        changes, facts = parse_settings(set_ or [], None), parse_settings(known or [], None, "--known")
    else:
        files = [picture for picture in [*pictures, *(like or [])] if not picture.is_dir()]
        changes, facts = using.asked(set_, known, files, groups=bool(like))
    if any(picture.is_dir() for picture in pictures):
        return edit_folder(pictures, changes, facts, like or [], raw, along, inverting.search(), using)
    if along.wished:
        return edit_along(along, pictures, changes, facts, inverting.search(), using)
    out = result_path(using.out, "edit", pictures)
    from attrimorph.applications.edit import write_edit

    search, model = inverting.search(), using.load()
    with Meter("inverting", "steps") as meter:
        written = write_edit(
            model,
            pictures,
            changes,
            out,
            named=using.model,
            known=facts,
            calibrated=not raw,
            like=like or [],
            invert=search,
            progress=meter.update,
        )
    tell(written)


@app.command(group=USE)
def morph(
    image: Path | None = None,
    /,
    *images: Path,
    path: PathName = "linear",
    steps: Whole = 8,
    groups: Literal["all", "one-by-one"] = "all",
    set_: Set = None,
    mp4: bool = False,
    known: Known = None,
    along: Along = STRAIGHT,
    inverting: Inverting = ENCODING,
    using: Using = DEFAULT,
) -> None:
    """Go from one image to another; writes a strip and an animation.

    With --axes, --lock or --seed: from one image to what --set makes of it, along axes.

    Parameters
    ----------
    image
        The picture at the start; none with --seed.
    images
        The picture at the end; bilinear: three more, the square between the four is filled.
    path
        linear, slerp (on the arc) and uniform (all steps look equally large) go through codes, pixel fades, homomorphic
        goes by groups of attributes, cyclegan-chain through in-between images.
    steps
        Images on the way, both ends counted; bilinear: along each side.
    groups
        Of the path homomorphic: all at once, or one after another.
    mp4
        Write an MP4 as well; so does --out NAME.mp4.
    """
    from attrimorph.console import Meter
    from attrimorph.naming import parse_settings, result_path

    pictures = [*([] if image is None else [image]), *images]
    if along.wished:
        if path != "linear" or groups != "all":
            raise AttrimorphError("--path and --groups lead from one image to another, not along axes; leave them out")
        changes, facts = parse_settings(set_ or [], None), parse_settings(known or [], None, "--known")
        return morph_along(along, pictures, changes, facts, inverting.search(), using, steps=steps, mp4=mp4)
    if known:
        raise AttrimorphError("--known belongs to a morph along axes; got it without; leave it out")
    changes, _ = using.asked(set_, pictures=pictures)
    out = result_path(using.out, "morph", pictures)
    from attrimorph.applications.write_morph import write_morph

    search, model = inverting.search(), using.load()
    with Meter("inverting", "steps") as meter:
        written = write_morph(
            model,
            pictures,
            out,
            named=using.model,
            path=path,
            steps=steps,
            groups=groups,
            changes=changes,
            mp4=mp4,
            invert=search,
            progress=meter.update,
        )
    tell(written)


@app.command(group=USE)
def transfer(
    image: Path,
    /,
    *,
    source: Annotated[Path, Parameter(name="--from")],
    attributes: str | None = None,
    known: Known = None,
    using: Using = DEFAULT,
) -> None:
    """Give an image the attributes of another.

    Parameters
    ----------
    image
        The picture to change.
    source
        The picture whose attributes are taken.
    attributes
        Which, with commas: Eyeglasses,Smiling; by default all.
    """
    from attrimorph.naming import parse_names, result_path

    only = None if attributes is None else parse_names(attributes)
    _, facts = using.asked(known=known, pictures=[image, source], names=only or ())
    out = result_path(using.out, "transfer", [image])
    from attrimorph.applications.transfer import write_transfer

    tell(write_transfer(using.load(), image, source, out, named=using.model, only=only, known=facts))


@app.command(group=USE)
def replay(receipt: Path, /, *, out: Path | None = None) -> None:
    """Make a result again from the JSON beside it, and say whether every pixel is the same.

    Parameters
    ----------
    receipt
        The JSON, or a picture that the studio saved.
    out
        The new picture; by default NAME.again.png.
    """
    from attrimorph.applications.replay import replay as make_again

    again = make_again(receipt, out)
    tell(again.written)
    print("every pixel is the same" if again.identical else "pixels differ: another machine or version made it")
