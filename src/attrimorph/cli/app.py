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
    from attrimorph.applications.options import Search
    from attrimorph.applications.receipt import Written
    from attrimorph.data.prepared import PreparedData
    from attrimorph.data.readers import RawData
    from attrimorph.data.schema import Schema
    from attrimorph.data.source import Source
    from attrimorph.models.model import Model

DEFAULT_MODEL = "drawn-faces-64"

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
Set = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        help="An attribute and how far: Smiling=1 sets it, -1 takes it away, 0.5 is half-way; class=smiling, a value.",
    ),
]
Known = Annotated[
    list[str] | None,
    Parameter(name="--known", help="An attribute of the input that you know: Male=0; the others are guessed."),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Using:
    """What every verb that uses a model takes."""

    model: Annotated[
        str, Parameter(help="A run folder, a model file or a shipped model; several CycleGANs with commas.")
    ] = DEFAULT_MODEL
    out: Out = None
    device: Device = "auto"

    def asked(
        self,
        set_: Sequence[str] | None = None,
        known: Sequence[str] | None = None,
        pictures: Sequence[Path | None] = (),
        *,
        names: Sequence[str] = (),
        groups: bool = False,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return --set and --known as the header of the model's file knows them; all is looked at without torch.

        Args:
            set_, known: as they were typed.
            pictures: files that must be images; None for one that was not given.
            names: of attributes, which other options hold.
            groups: whether --set may name the model's groups of attributes.

        Raises:
            AttrimorphError: no such model, attribute, value or picture, or a number out of range.
        """
        from attrimorph.data.images import check_image
        from attrimorph.loading import groups_of, schema_of
        from attrimorph.naming import parse_settings

        schema = schema_of(self.model)
        if not schema.names:  # of images without labels: what cannot be asked, the model tells
            changes, facts = parse_settings(set_ or [], None), parse_settings(known or [], None, "--known")
        else:
            for name in names:
                schema.attribute(name)
            other = groups_of(self.model) if groups else ()
            changes = parse_settings(set_ or [], schema, groups=other)
            schema.changes({name: strength for name, strength in changes.items() if name not in other})
            facts = schema.facts(parse_settings(known or [], schema, "--known"))
        for picture in pictures:
            if picture is not None:
                check_image(picture)
        return changes, facts

    def load(self) -> "Model":
        """Load the model."""
        from attrimorph.loading import load

        return load(self.model, chosen(self.device))


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
        from attrimorph.data.source import Source

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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Inverting:
    """What every verb takes that can look for the code of an image."""

    invert: Annotated[
        bool,
        Parameter(help="Look for the code by optimisation through the generator; any model that generates will do."),
    ] = False
    invert_steps: Annotated[Whole | None, Parameter(help="With --invert: steps of the search; by default 100.")] = None
    invert_seconds: Annotated[float | None, Parameter(help="With --invert: a budget of time.")] = None
    invert_candidates: Annotated[
        Whole | None,
        Parameter(help="With --invert: samples among which a start is looked for, without an encoder; by default 256."),
    ] = None
    invert_seed: Annotated[Whole | None, Parameter(help="With --invert: of those samples; by default 0.")] = None

    def search(self) -> "Search | None":
        """Return how to look for the code, None where the encoder tells it.

        Raises:
            AttrimorphError: options of a search without one, or a number out of range.
        """
        words = {"steps": self.invert_steps, "seconds": self.invert_seconds}
        words |= {"candidates": self.invert_candidates, "seed": self.invert_seed}
        given = {name: value for name, value in words.items() if value is not None}
        if not self.invert:
            if given:
                name = next(iter(given))
                raise AttrimorphError(f"--invert-{name} tells how to invert; got it without --invert; add --invert")
            return None
        from attrimorph.applications.options import Search

        return Search(**given)  # type: ignore[arg-type]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Along:
    """What `edit` and `morph` take to go along axes."""

    axes: Annotated[
        str | None,
        Parameter(
            help="Go along latent directions (axes): a pack of them; own: those beside the model. --lock, --seed: own."
        ),
    ] = None
    lock: Annotated[str | None, Parameter(help="Attributes that stay, with commas, all at once: Male,Young.")] = None
    seed: Annotated[Whole | None, Parameter(help="Edit pictures that the model draws, those of sample.")] = None
    count: Annotated[Whole | None, Parameter(help="With --seed: how many; by default 1.")] = None
    follow: Annotated[
        Literal["curved", "judge"] | None,
        Parameter(help="In place of straight directions: the pack's curved ones, or the judge's own gradient."),
    ] = None
    judge: Annotated[
        str | None, Parameter(help="Who tells what an edit along axes does besides; by default the one that suits.")
    ] = None
    values: Annotated[
        Literal["-1..1", "0..1", "0..255"], Parameter(help="The range of the images of a .pt2 or .onnx file.")
    ] = "-1..1"

    @property
    def wished(self) -> bool:
        """Whether axes were asked for.

        Raises:
            AttrimorphError: options of a move along axes without one.
        """
        if self.axes is not None or self.lock is not None or self.seed is not None:
            if self.count is not None and self.seed is None:
                raise AttrimorphError("--count tells how many pictures --seed draws; got it alone; add --seed 0")
            return True
        alone = {"count": self.count is not None, "follow": self.follow is not None, "judge": self.judge is not None}
        for name, given in {**alone, "values": self.values != "-1..1"}.items():
            if given:
                raise AttrimorphError(f"--{name} belongs to an edit along axes; got it without; add --axes own")
        return False


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
