"""The app that the verbs are put into, the options that several of them share, and the verbs that are requests.

A command is made of its request's fields, its help of what the request says of them: sample, reconstruct, edit, morph,
transfer, inpaint, superresolve, retrieve, neighbours, latent-map, augment, layers, invert; and replay. torch takes
seconds to import: everything that needs it is imported inside the verbs.
"""

import codecs
import inspect
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter, Token
from pydantic.fields import FieldInfo

from attrimorph.applications import AxisOptions, Range, Search
from attrimorph.console import Interrupted, plain
from attrimorph.errors import AttrimorphError
from attrimorph.recipe import meanings_of
from attrimorph.requests import AUTO, Fitting, Option, Request, fitted, parse_names, parse_settings, result_path
from attrimorph.requests.batch import BATCHES, OnShards
from attrimorph.requests.edit import Edit
from attrimorph.requests.generating import Inpaint, Invert, Layers, Reconstruct, Sample, Superresolve, Transfer
from attrimorph.requests.morph import Morph
from attrimorph.requests.on_data import Augment, LatentMap, Neighbours, OnData, Retrieve
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
batch_app = App(name="batch", help="Work on data sets of any size, on one machine or many (Ray).", group=USE)
app.command(batch_app)
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Where to compute.")]
ModelName = Annotated[str, Parameter(help="A run folder, a model file or a shipped model.")]
Out = Annotated[Path | None, Parameter(help="The picture, or a folder for it; by default runs/results.")]
TRACEBACK = "ATTRIMORPH_TRACEBACK"
OUT_OF_MEMORY = "out of memory; use fewer or smaller images, or smaller batches"
BAD_INPUT, INTERNAL, INTERRUPTED, CLOSED_PIPE = 2, 1, 130, 141
SIGNALLED = 128  # plus the signal's number, as shells count
STAND_IN = "synthetic faces are used since no --data was given; for your own pictures: --data FOLDER"
Answer = Callable[..., None]
EMPTY = inspect.Parameter.empty
FOLDER = "The folder to write; a sheet, a table of origins and metadata (a receipt) are written beside it."
SHARDS = "The folder of shards; notes.csv there names the pictures that were left out. The same command goes on."
PLAIN: tuple[type[Request], ...] = (
    Sample, Reconstruct, Morph, Transfer, Inpaint, Superresolve, Retrieve, Layers, Invert, Neighbours, LatentMap,
)  # fmt: skip


def whole_number(_: type, tokens: Sequence[Token]) -> int:
    """Read a whole number; left to itself, the parser would round 2.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'it must be a whole number; got "{tokens[0].value}"') from None


Whole = Annotated[int, Parameter(converter=whole_number)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Layout:
    """What every verb takes that reads folders of images: how, where that is not recognised."""

    format: Annotated[
        str,
        Parameter(
            help="How a folder of images is laid out, where that is not recognised: classes, images (without labels), "
            "table, shards, parquet, zip, celeba, lfw, utkface, cub, flowers, unpaired."
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
        from attrimorph.data.prepared import open_or_prepare

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
    from attrimorph.loading import checked_device, default_device

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


INVERT = {
    "invert": (bool, False, None),
    "invert_steps": (Whole | None, None, "With --invert: steps of the search; by default 100."),
    "invert_seconds": (float | None, None, "With --invert: a budget of time."),
    "invert_candidates": (
        Whole | None,
        None,
        "With --invert: samples among which a start is looked for, without an encoder; by default 256.",
    ),
    "invert_seed": (Whole | None, None, "With --invert: of those samples; by default 0."),
}
"""The options of an inversion: type, default, help where the request says none."""
ALONG = {
    "axes": (str | None, None, None),
    "lock": (str | None, None, "Attributes that stay, with commas, all at once: Male,Young."),
    "seed": (Whole | None, None, "Edit pictures that the model draws, those of sample."),
    "count": (Whole | None, None, "With --seed: how many; by default 1."),
    "follow": (
        Literal["curved", "judge"] | None,
        None,
        "In place of straight directions: the pack's curved ones, or the judge's own gradient.",
    ),
    "judge": (str | None, None, "Who tells what an edit along axes does besides; by default the one that suits."),
    "values": (Range, "-1..1", "The range of the images of a .onnx or .pt2 file."),
}
"""The options of an edit along axes."""


def verb(kind: type[Request], into: App = app) -> Callable[[Answer], Answer]:
    """Make a command of a request; the function gets the request, --out and --device, and options of its own."""

    def put(answer: Answer) -> Answer:
        more = list(inspect.signature(answer).parameters.values())[3:]
        folder = Annotated[Path, Parameter(help=FOLDER if kind is Augment else SHARDS)]
        parameters = [
            *_parameters(kind),
            _option("out", folder, EMPTY) if kind in (Augment, *BATCHES) else _option("out", Out, None),
            _option("device", Device, "auto"),
        ]
        signature = inspect.Signature(sorted([*parameters, *more], key=lambda each: each.kind))

        def command(*arguments: Any, **options: Any) -> None:
            words = signature.bind(*arguments, **options)
            words.apply_defaults()
            given = dict(words.arguments)
            rest = {each.name: given.pop(each.name) for each in more}
            out, device = given.pop("out"), given.pop("device")
            answer(read(kind, given), out, device, **rest)

        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
        about = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:")[0]
        into.command(
            command,
            name=kind.verb.rpartition(" ")[2],
            group=None if kind in BATCHES else FIND if kind in (Neighbours, LatentMap) else USE,
            help=re.sub(r"(?<!\n)\n(?!\n)", " ", about),
        )
        return answer

    return put


def _parameters(kind: type[Request]) -> list[inspect.Parameter]:
    """Return the fields of a request as a command takes them."""
    meanings, found = meanings_of(kind), []
    # A class's own fields first, then those that it has from others.
    names = [name for each in kind.__mro__ for name in inspect.get_annotations(each)]
    for name in dict.fromkeys(name for name in names if name in kind.model_fields):
        field = kind.model_fields[name]
        option = option_of(field)
        if name in ("along", "invert") and option.kind is None:
            table = ALONG if name == "along" else INVERT
            found += [
                _option(each, Annotated[type_, Parameter(help=text or meanings[name])], default)
                for each, (type_, default, text) in table.items()
            ]
        elif name in kind.typed_first():
            several = name == "images"
            found.append(
                inspect.Parameter(
                    name,
                    inspect.Parameter.VAR_POSITIONAL if several else inspect.Parameter.POSITIONAL_ONLY,
                    annotation=Annotated[Path if several else field.annotation, Parameter(help=meanings[name])],
                    default=EMPTY if several or field.is_required() else field.default,
                )
            )
        elif option.name != "-":
            wholes: dict[Any, Any] = {int: Whole, int | None: Whole | None}
            typed = option.kind or wholes.get(field.annotation, field.annotation)
            default = False if option.kind is bool else None if option.kind else field.default
            said = Parameter(name=option.name or None, help=meanings.get(name))
            found.append(_option(name, Annotated[typed, said], EMPTY if field.is_required() else default))
    return found


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def option_of(field: FieldInfo) -> Option:
    """Return how a field of a request is typed."""
    return next((each for each in field.metadata if isinstance(each, Option)), Option())


def read(kind: type[Request], words: Mapping[str, Any]) -> Request:
    """Return the request that the words of a command make; all is looked at without torch.

    Args:
        kind: of request.
        words: what was typed, by parameter.

    Raises:
        AttrimorphError: no such model, attribute, value or picture, or something does not go together.
    """
    values: dict[str, Any] = {}
    fields = kind.model_fields
    if issubclass(kind, Fitting) and words["model"] == AUTO:
        words = fitted(words)
        _refuse_lacking(words)
    if "along" in fields:
        values["along"] = axis_options(words)
    schema: Schema | None = None
    groups: tuple[str, ...] = ()
    if values.get("along") is None and any(option_of(field).schema for field in fields.values()):
        from attrimorph.loading import groups_of, schema_of

        schema = schema_of(words["model"])
        groups = groups_of(words["model"]) if words.get("like") else ()
    for name, field in fields.items():
        option = option_of(field)
        if name not in words or name in values or (name == "invert" and "invert_steps" in words):
            continue
        value = words[name] if option.read is None else option.read(words[name])
        if option.name in ("--set", "--known"):
            # Of images without labels: what cannot be asked, the model tells.
            known = schema if option.schema and schema is not None and schema.names else None
            value = parse_settings(value or [], known, option.name, groups if option.name == "--set" else ())
            if known is not None and option.name == "--set":
                known.changes({each: strength for each, strength in value.items() if each not in groups})
            elif known is not None:
                value = known.facts(value)
        elif option.schema and schema is not None:
            for each in value or ():
                schema.attribute(each)
        values[name] = list(value) if isinstance(value, tuple) else value
    if "invert_steps" in words:
        values["invert"] = search(words)
    if "images" in fields and fields["images"].is_required() and not values["images"]:
        raise AttrimorphError(f"{kind.verb} needs an IMAGE; got none; name a picture")
    request = kind.checked(**values)
    from attrimorph.data.images import check_image

    for path in request.files:
        if not (kind is Edit and path.is_dir()):
            check_image(path)
    return request


def _refuse_lacking(words: Mapping[str, Any]) -> None:
    """Refuse, where nobody named the model, what the other one that edits by default would know.

    Raises:
        AttrimorphError: there is such an attribute.
    """
    from attrimorph.loading import schema_of
    from attrimorph.models import EDITORS, shipped

    own, others = schema_of(words["model"]).names, [name for name in EDITORS if name in shipped()]
    for name in (word.partition("=")[0] for word in words.get("changes") or ()):
        if name not in own and (other := next((each for each in others if name in schema_of(each).names), None)):
            raise AttrimorphError(
                f"--set {name}: {words['model']} has no such attribute; {other}, for {EDITORS[other]}, has: add "
                f"--model {other}, or see `attrimorph attributes {words['model']}`"
            )


def search(words: Mapping[str, Any]) -> Search | None:
    """Return how to look for codes, None where the encoder tells them.

    Raises:
        AttrimorphError: options of a search without one, or a number out of range.
    """
    names = ("steps", "seconds", "candidates", "seed")
    given = {name: words[f"invert_{name}"] for name in names if words[f"invert_{name}"] is not None}
    if words["invert"]:
        return Search(**given)
    if given:
        name = next(iter(given))
        raise AttrimorphError(f"--invert-{name} tells how to invert; got it without --invert; add --invert")
    return None


def axis_options(words: Mapping[str, Any]) -> AxisOptions | None:
    """Return how to go along axes, None where nobody asked for them.

    Raises:
        AttrimorphError: options of an edit along axes without one, or there are none.
    """
    if all(words[name] is None for name in ("axes", "lock", "seed")):
        for name in ("count", "follow", "judge", "values"):
            if words[name] != ALONG[name][1]:
                raise AttrimorphError(f"--{name} belongs to an edit along axes; got it without; add --axes own")
        return None
    if words["count"] is not None and words["seed"] is None:
        raise AttrimorphError("--count tells how many pictures --seed draws; got it alone; add --seed 0")
    from attrimorph.applications.axes.edit import OWN, pack_named

    return AxisOptions(
        pack_named(words["axes"] or OWN, words["model"]),
        tuple(parse_names(words["lock"] or "")),
        words["judge"],
        words["follow"],
        words["seed"],
        words["count"] or 1,
        words["values"],
    )


def tell_fit(request: Request) -> None:
    """Print which model is taken, where nobody named one."""
    from attrimorph.models import EDITORS

    if isinstance(request, Fitting) and request.fits:
        print(f"{request.model}, for {EDITORS[request.model]}, is taken; --model names another", flush=True)


def answered(request: Request, out: Path, device: str, say: Callable[[str], None] | None = None) -> "Written":
    """Answer a request, with a bar while it takes; `say` gets what it has to say, else the bar prints it."""
    from attrimorph.console import Meter

    tell_fit(request)
    model = request.load(chosen(device))
    with Meter(*request.meter) as meter:
        return request.write(out, model, progress=meter.update, say=say or meter.say)


def answer(request: Request, out: Path | None, device: str) -> None:
    """Answer, and print where the results are."""
    place = result_path(out, request.verb, request.files)
    written = answered(request, place, device, partial(print, flush=True))
    if isinstance(request, OnData) and not request.files:
        print_facts(written)
    tell(written)


for each in PLAIN:
    verb(each)(answer)


@verb(Edit)
def edit(request: Edit, out: Path | None, device: str) -> None:
    """Edit pictures, or the one folder."""
    if not any(path.is_dir() for path in request.images):
        answer(request, out, device)
        return
    from attrimorph.requests.edit_folder import EditFolder, check_places

    whole = EditFolder.of(request)
    if out is None:
        name = whole.folder.name
        raise AttrimorphError(f"the results of a folder need a folder of their own; add --out {name}-edited")
    check_places(whole.folder, out)
    tell(answered(whole, out, device))


def batch(request: OnShards, out: Path, device: str) -> None:
    """Answer a data set on Ray, and print what came of it."""
    from attrimorph.console import Meter, table
    from attrimorph.requests.batch_job import run

    tell_fit(request)
    with Meter(*request.meter) as meter:
        done = run(request, out, device, meter.update)
    if done.figures and request.verb != "batch edit":  # which tells the labels that it set
        rows = [(f"{mean:.4f}", f"{count:,}", name) for name, (mean, count) in done.figures.items()]
        print(table(rows, ("mean", "pictures", "column")))
    if done.distance is not None:
        print(f"Frechet's distance of the edits to the pictures, in what the judge sees: {done.distance:.4f}")
    left_out = f", {done.left_out:,} left out (reasons in notes.csv)" if done.left_out else ""
    earlier = f", {done.before:,} of them before" if done.before else ""
    print(f"{done.pictures:,} pictures{left_out}; {done.shards:,} shards{earlier}")
    print(done.out)


for batch_kind in BATCHES:
    verb(batch_kind, batch_app)(batch)


@verb(Augment)
def augment(
    request: Augment,
    out: Path,
    device: str,
    *,
    measure: Annotated[
        bool, Parameter(help="Train a classifier with and without the generated images; test it on held-out real ones.")
    ] = False,
    seeds: Annotated[Whole, Parameter(help="With --measure: pairs of trainings.")] = 3,
    images: Annotated[Whole, Parameter(help="With --measure: images seen in each training.")] = 60_000,
) -> None:
    """Write the folder, and measure what it is worth."""
    from attrimorph.console import Meter, table

    written = answered(request, out.with_name(f"{out.name}.png"), device)
    print(out)
    tell(written)
    if measure:
        with Meter("measuring") as meter:
            path, worths = request.worth(request.load(chosen(device)), out, seeds, images, meter.say)
        print(table([(worth.line(), worth.name) for worth in worths], ("without -> with them", "figure")))
        print(path)


@app.command(group=USE)
def replay(receipt: Path, /, *, out: Path | None = None, program: Path | None = None) -> None:
    """Make a result again from the JSON beside it, and say whether every pixel is the same.

    A receipt of anybody's may be replayed: it cannot run a program, nor write anything but the result.

    Parameters
    ----------
    receipt
        The JSON, or a picture that the studio saved.
    out
        The new picture; by default NAME.again.png.
    program
        A .pt2 file, in place of the one that the receipt names: a program that may do whatever you may.
    """
    from attrimorph.requests.replay import replay as make_again

    again = make_again(receipt, out, program=program)
    tell(again.written)
    print("every pixel is the same" if again.identical else "pixels differ: another machine or version made it")


def print_facts(written: "Written") -> None:
    """Print the figures of a receipt as a table."""
    from attrimorph.console import table
    from attrimorph.files import read_json

    rows: list[tuple[str, ...]] = []
    for name, value in read_json(written.receipt)["facts"].items():
        figures = value if isinstance(value, dict) else {"": value}
        rows += [(f"{name}: {inner}" if inner else name, str(figure)) for inner, figure in figures.items()]
    print(table(rows))


class Terminal(io.TextIOWrapper):
    """What is printed to a person: without what would move the cursor, see `plain`."""

    def write(self, text: str, /) -> int:
        """Write a text."""
        return super().write(plain(text))


def main() -> None:
    """Run the command line and exit."""
    # A file's name need not be UTF-8; it is printed as the bytes that it is. What a terminal cannot write is escaped.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            unicode = codecs.lookup(stream.encoding).name.startswith("utf")
            stream.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out.isatty():
        sys.stdout = Terminal(out.buffer, out.encoding, out.errors, line_buffering=True)
    # Shells leave the ~ of --out=~/file as it is.
    tilde = re.compile(r"^(--[\w.-]+=)?(~[\w.-]*)(?=/)")
    words = [tilde.sub(lambda found: (found[1] or "") + os.path.expanduser(found[2]), word) for word in sys.argv[1:]]
    sys.exit(run(words))


def run(words: Sequence[str]) -> int:
    """Run one command.

    Returns:
        The exit code: 0 well, 1 a fault of ours, 2 bad input, 130 interrupted, 143 ended by SIGTERM, 129 by a closed
        terminal, 141 nobody reads the output.
    """
    try:
        app(list(words), exit_on_error=False, print_error=False, result_action="return_none")
        sys.stdout.flush()
    except AttrimorphError as error:
        return _complain(str(error), BAD_INPUT, error)
    except CycloptsError as error:
        return _complain(_sentence(error, words), BAD_INPUT, error)
    except Interrupted as stopped:
        if speaks():
            again = "the same torchrun command" if "RANK" in os.environ else f"attrimorph {shlex.join(words)}"
            _complain(f"{stopped}; go on with: {again}", INTERRUPTED, None)
        return SIGNALLED + stopped.number
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on where it can", INTERRUPTED, None)
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go: the exit must not try to flush it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except OSError as error:
        if error.filename is None:
            return _internal(error)
        return _complain(f"{error.filename}: {error.strerror}; check the path", BAD_INPUT, error)
    except MemoryError as error:
        return _complain(OUT_OF_MEMORY, BAD_INPUT, error)
    except Exception as error:
        return _internal(error)
    return 0


def _internal(error: Exception) -> int:
    # torch is not imported for this: the class is known by its name.
    if type(error).__name__ == "OutOfMemoryError":
        return _complain("out of GPU memory; lower --training.batch-size, or use --device cpu", BAD_INPUT, error)
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return _complain(OUT_OF_MEMORY, BAD_INPUT, error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return _complain(f"internal error ({text}); please report it, run with {TRACEBACK}=1", INTERNAL, error)


def _complain(sentence: str, code: int, error: BaseException | None) -> int:
    if error is not None and os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    # One line, whatever the names of files and attributes hold.
    line = plain(re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", sentence))
    line = re.sub(r"(\S{150})\S{4,}(\S{150})", r"\1...\2", line)  # a path out of a file may be endless
    print("attrimorph:", line.replace("\t", " "), file=sys.stderr)
    return code


def _sentence(error: CycloptsError, words: Sequence[str]) -> str:
    """Say a parsing error in one sentence of the usual form."""
    text = " ".join(str(error).split()).partition(" Available commands:")[0].rstrip(".")
    if "Did you mean" in text:
        return re.sub(r"\.? Did you mean", "; did you mean", text)
    text = text.replace(". Choose from", "; choose from")
    names: list[str] = []
    level = app
    for word in words:
        if word.startswith("-") or word not in list(level):
            break
        level = level[word]
        names.append(word)
    return f"{text}; see `{' '.join(['attrimorph', *names, '--help'])}`"
