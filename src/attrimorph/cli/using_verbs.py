"""sample, reconstruct, edit, morph, transfer, replay."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from attrimorph.cli.app import USE, Known, Set, Using, Whole, app, tell

DEFAULT = Using()


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
    from attrimorph.applications.sample import write_sample
    from attrimorph.naming import parse_settings, result_path

    changes = parse_settings(set_ or [])
    out = result_path(using.out, "sample")
    tell(write_sample(using.load(), out, named=using.model, count=count, seed=seed, changes=changes))


@app.command(group=USE)
def reconstruct(image: Path, /, *images: Path, known: Known = None, using: Using = DEFAULT) -> None:
    """Show how the model sees images.

    Parameters
    ----------
    image
        A picture; its largest centred square is taken.
    images
        More of them.
    """
    from attrimorph.applications.reconstruct import write_reconstruct
    from attrimorph.naming import parse_settings, result_path

    facts = parse_settings(known or [], "--known")
    out = result_path(using.out, "reconstruct", [image])
    tell(write_reconstruct(using.load(), [image, *images], out, named=using.model, known=facts))


@app.command(group=USE)
def edit(
    image: Path, /, *images: Path, set_: Set = None, known: Known = None, raw: bool = False, using: Using = DEFAULT
) -> None:
    """Change attributes of images: --set Smiling=1 --set Blond_Hair=0.5.

    Parameters
    ----------
    image
        A picture; its largest centred square is taken.
    images
        More of them.
    raw
        Take strengths as they stand, although the model is calibrated.
    """
    from attrimorph.applications.edit import write_edit
    from attrimorph.naming import parse_settings, result_path

    changes, facts = parse_settings(set_ or []), parse_settings(known or [], "--known")
    out = result_path(using.out, "edit", [image])
    pictures = [image, *images]
    tell(write_edit(using.load(), pictures, changes, out, named=using.model, known=facts, calibrated=not raw))


@app.command(group=USE)
def morph(
    first: Path,
    second: Path,
    /,
    *,
    steps: Whole = 8,
    slerp: bool = False,
    uniform: bool = False,
    using: Using = DEFAULT,
) -> None:
    """Go from one image to another; writes a strip and an animation.

    Parameters
    ----------
    first
        The picture at the start.
    second
        The picture at the end.
    steps
        Images on the way, both ends counted.
    slerp
        Go along the arc instead of the straight line.
    uniform
        Stop where all steps look equally large.
    """
    from attrimorph.applications.morph import write_morph
    from attrimorph.naming import result_path

    out = result_path(using.out, "morph", [first, second])
    model = using.load()
    tell(write_morph(model, first, second, out, named=using.model, steps=steps, slerp=slerp, uniform=uniform))


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
    from attrimorph.applications.transfer import write_transfer
    from attrimorph.naming import parse_names, parse_settings, result_path

    only = None if attributes is None else parse_names(attributes)
    facts = parse_settings(known or [], "--known")
    out = result_path(using.out, "transfer", [image])
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
