"""The app that the verbs are put into, and the options that several of them share.

torch takes seconds to import: everything that needs it is imported inside the verbs.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter, Token

from attrimorph.errors import AttrimorphError
from attrimorph.version import __version__

if TYPE_CHECKING:
    from attrimorph.data import Schema
    from attrimorph.data.prepared import PreparedData
    from attrimorph.data.readers import RawData, Source
    from attrimorph.models.model import Model
    from attrimorph.requests.receipt import Written

DATA = Group("Data", sort_key=1)
MAKE = Group("Training and judging", sort_key=2)
USE = Group("Using a model", sort_key=3)
FIND = Group("Finding out", sort_key=4)

app = App(
    name="attrimorph",
    help="Generate and edit images by attribute. Start with `attrimorph quickstart`.",
    version=f"attrimorph {__version__}",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
app["--help"].group = FIND
app["--version"].group = FIND


def whole_number(_: type, tokens: Sequence[Token]) -> int:
    """Read a whole number; left to itself, the parser would round 2.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'it must be a whole number; got "{tokens[0].value}"') from None


Whole = Annotated[int, Parameter(converter=whole_number)]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Where to compute.")]
ModelName = Annotated[str, Parameter(help="A run folder, a model file or a shipped model.")]
Out = Annotated[Path | None, Parameter(help="The picture, or a folder for it; by default runs/results.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Layout:
    """What every verb takes that reads folders of images: how, where that is not recognised."""

    format: Annotated[
        str,
        Parameter(
            help="How a folder of images is laid out, where that is not recognised: classes, images (without labels), "
            "table, celeba, lfw, utkface, cub, flowers, unpaired."
        ),
    ] = "auto"
    table: Annotated[
        Path | None, Parameter(help="A CSV file of any name with the labels: a column of file names, others for each.")
    ] = None

    def needs(self, data: Path | None) -> None:
        """Refuse words on how to read data that were not named.

        Raises:
            AttrimorphError: there are some.
        """
        given = {"--format": self.format != "auto", "--table": self.table is not None}
        if data is None and any(given.values()):
            name = next(name for name in given if given[name])
            raise AttrimorphError(f"{name} tells how --data is read; got it without; add --data FOLDER")

    def of(self, folder: Path) -> "Source":
        """Return where the images are and how they are read."""
        from attrimorph.data.readers import Source

        return Source(folder, self.format, self.table)

    def open(self, folder: Path, size: int, accepts: "Callable[[Schema], None] | None" = None) -> "PreparedData":
        """Open a prepared folder, or say how a folder of images is read and prepare it.

        Args:
            folder: the user's.
            size: of the images, in pixels.
            accepts: may refuse the labels before any image is decoded.
        """
        from attrimorph.console import Meter
        from attrimorph.data.prepare import open_or_prepare

        with Meter("preparing") as meter:

            def found(raw: "RawData") -> None:
                if speaks():
                    meter.say("\n".join(raw.describe()))
                if accepts is not None:
                    accepts(raw.schema)

            return open_or_prepare(self.of(folder), size, progress=meter.update, found=found)

    def open_for(self, model: "Model", folder: Path) -> "PreparedData":
        """Open data as `open` does, as large as the model's own and aligned like them."""
        from attrimorph.applications.gallery import open_data
        from attrimorph.console import Meter

        with Meter("preparing") as meter:
            return open_data(model, self.of(folder), meter.update, lambda raw: meter.say("\n".join(raw.describe())))


LAYOUT = Layout()


def chosen(device: str) -> str:
    """Return the accelerator where there is one, or what the user named."""
    from attrimorph.training.hardware import checked_device, default_device

    return default_device() if device == "auto" else checked_device(device)


def seed_numbers(count: int) -> tuple[int, ...]:
    """Return 0, 1, ..., as many as the user wants.

    Raises:
        AttrimorphError: less than one.
    """
    if count < 1:
        raise AttrimorphError(f"seeds must be at least 1; got {count}")
    return tuple(range(count))


def speaks() -> bool:
    """Whether this process prints: under torchrun one speaks for all."""
    return os.environ.get("RANK", "0") == "0"


STAND_IN = "synthetic faces are used since no --data was given; for your own pictures: --data FOLDER"


def tell_stand_in(data: Path | None) -> None:
    """Say so where synthetic faces stand in for data that were not named."""
    if data is None and speaks():
        print(STAND_IN, file=sys.stderr)


def tell(written: "Written") -> None:
    """Print where the results are, and what was left out."""
    for note in written.notes:
        print(note, file=sys.stderr)
    for path in (*written.pictures, *written.tables):
        print(path)
    print(f"{written.receipt}  (attrimorph replay makes the same again)")
