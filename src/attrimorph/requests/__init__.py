"""Requests: what a person asked of a verb, said once, in one class for each verb.

Its fields are the options of the command and the arguments of the receipt; what a class says of its attributes is the
command's help. No torch here, nor in any request, before one is answered.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)

from attrimorph.applications import Composition, Search, checked_seed
from attrimorph.data import LONGEST_NAME, STRONGEST, Schema
from attrimorph.errors import AttrimorphError, sentence_of, shown

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from attrimorph.applications.inversion import Inversion
    from attrimorph.data.images import Frame
    from attrimorph.models.model import Model
    from attrimorph.photographs.fields import Fields
    from attrimorph.photographs.file import Photograph
    from attrimorph.requests.receipt import Receipt, Written

DEFAULT_MODEL, AUTO = "drawn-faces-64", "auto"
Progress = Callable[[int, int], None]
EARLIER = {
    "aligned", "along", "box", "calibrated", "face", "format", "frames", "invert", "judge", "known", "label_rate",
    "like", "moved", "no_location", "numbers", "rate", "seconds", "table",
}  # fmt: skip
"""Arguments that a receipt leaves out where nobody wished for them, or that receipts of earlier versions lack."""
Named = Annotated[str, BeforeValidator(str)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=2 * LONGEST_NAME + 1)]
Strength = Annotated[float, Field(ge=-STRONGEST, le=STRONGEST, allow_inf_nan=False, strict=True)]
Seed = Annotated[int, AfterValidator(checked_seed)]
Fact = Annotated[float, Field(allow_inf_nan=False, strict=True)]
RESULTS = Path("runs/results")


Picture = TypeVar("Picture")


class Option(NamedTuple):
    """How a field is typed on a command line.

    Attributes:
        name: of the option; the field's own where it is ""; "-": it is none.
        kind: the type of what is typed; the field's own where None.
        read: what is typed -> the field's value.
        schema: whether what is typed is read with the attributes of the model.
    """

    name: str = ""
    kind: Any = None
    read: Callable[[Any], Any] | None = None
    schema: bool = False


def _search(value: Any) -> Any:
    """Read what a receipt says of an inversion: `of` steps, which ended after `steps`."""
    if not isinstance(value, Mapping):
        return value
    if "of" not in value or "steps" not in value:
        raise ValueError("must tell how many steps it took, of how many")
    words = {name: each for name, each in value.items() if name != "of"}
    return words | {"steps": value["of"], "stop": value.get("steps")}


Changes = Annotated[dict[Name, Strength], Field(max_length=200), Option("--set", list[str] | None, schema=True)]
Facts = Annotated[dict[Name, Fact], Field(max_length=200), Option("--known", list[str] | None, schema=True)]
Names = Annotated[tuple[str, ...], Option(kind=str | None, read=lambda words: tuple(parse_names(words or "")))]
Invert = Annotated[
    Search, BeforeValidator(_search), PlainSerializer(lambda search: search.to_json(search.steps), dict[str, Any])
]


@dataclass(frozen=True)
class Result:
    """What answers a request, before it is written.

    Attributes:
        pictures: suffix -> picture, or a photograph, which is written as its file was; "" is the main one, "edited" is
            smile.edited.png of smile.png. Without "", a sheet that would be too long (`sheet_of`): that is noted.
        facts: figures worth reading.
        arguments: those of the receipt that are known only now: how long an inversion took, which data there was.
        animation: frames of a GIF, and with `mp4` of an MP4, beside the main picture.
        tables: suffix -> content of a CSV, named as pictures are.
        fields: file -> the fields of an edit and their frame, to be kept there.
        no_location: whether photographs' files lose where they were taken.
    """

    pictures: "Mapping[str, Image.Image | Photograph]"
    facts: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    animation: "Sequence[Image.Image]" = ()
    mp4: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)
    fields: "Mapping[Path, tuple[Fields, Frame]]" = field(default_factory=dict)
    no_location: bool = False


@dataclass(frozen=True)
class Work:
    """What a request is given while it is answered.

    Attributes:
        out: the main picture to write.
        progress: called with (done, in all).
        say: gets sentences worth reading while it works; None: nobody reads them.
    """

    out: Path
    progress: Progress | None = None
    say: Callable[[str], None] | None = None


class Request(BaseModel):
    """What a person asked of a verb.

    Attributes:
        model: A run folder, a model file or a shipped model; several CycleGANs with commas.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    verb: ClassVar[str]
    pictures: ClassVar[tuple[str, ...]] = ()
    """The fields that are files to be read, in the order of a receipt's inputs; a list that comes first takes all that
    the others leave."""
    endings: ClassVar[tuple[str, ...]] = (".png",)
    """Of what may be asked for as the result."""
    meter: ClassVar[tuple[str, str]] = ("inverting", "steps")
    """What is being done meanwhile, and what is counted."""

    model: Named = DEFAULT_MODEL

    @classmethod
    def checked(cls, **words: Any) -> Self:
        """Return the request that says this.

        Raises:
            AttrimorphError: a word is none of its, or of the wrong form.
        """
        try:
            return cls(**words)
        except ValidationError as error:
            raise AttrimorphError(sentence_of(error.errors())) from error

    @classmethod
    def typed_first(cls) -> tuple[str, ...]:
        """Return the fields that a command takes without an option's name."""
        return cls.pictures[:1]

    def load(self, device: str = "cpu") -> "Model":
        """Load the model."""
        from attrimorph.loading import load

        return load(self.model, device)

    if TYPE_CHECKING:  # EditFolder has none: it writes many results, each by an edit of its own

        def result(self, model: Model, work: Work) -> Result:
            """Answer.

            Raises:
                AttrimorphError: the model cannot, or something does not go together.
            """
            ...

    def write(
        self,
        out: str | Path,
        model: "Model | None" = None,
        *,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> "Written":
        """Answer, and write the pictures and the receipt.

        Args:
            out: the main picture, a PNG; all else is named after it.
            model: loaded already; by default the one that is named.
            progress, say: see `Work`.

        Raises:
            AttrimorphError: see `result`; a result would take the place of an input or, beside `out`, of a file that is
                not of the result that was there before, or `out` is no PNG, and nothing is written; or a file cannot be
                written there.
        """
        from PIL import Image

        from attrimorph.files import refuse_foreign, write_bytes, write_json
        from attrimorph.pictures import MOST_SHOWN, gif_bytes, mp4_bytes, pixels_sha256, png_bytes
        from attrimorph.requests.receipt import (
            ModelNamed,
            OutputFile,
            Receipt,
            Written,
            earlier_outputs,
            input_files,
            model_reference,
            tag_of,
        )

        out = asked = Path(out)
        if out.suffix.lower() not in ("", *self.endings):
            raise AttrimorphError(f"the result must be a .png file; got {out.name!r}; try {out.stem}.png")
        before = earlier_outputs(out.with_suffix(".json"))
        model = model or self.load()
        result = self.result(model, Work(out, progress, say))
        out, inputs = out if out.suffix.lower() == ".png" else out.with_suffix(".png"), self.inputs
        films = {".gif": gif_bytes, **({".mp4": mp4_bytes} if result.mp4 else {})} if result.animation else {}
        places = {
            suffix: out.with_name(f"{out.stem}.{suffix}{getattr(picture, 'suffix', out.suffix)}") if suffix else out
            for suffix, picture in result.pictures.items()
        }
        sheets = {suffix: out.with_name(f"{out.stem}{suffix and '.'}{suffix}.csv") for suffix in result.tables}
        written = [*places.values(), *(out.with_suffix(suffix) for suffix in films), *sheets.values()]
        refuse_taken(written, inputs, before, None if self.verb == "augment" else asked)
        refuse_foreign(result.fields)
        tag, outputs = tag_of(self.verb, model, self.model), []

        def put(path: Path, content: bytes, pixels: str = "") -> Path:
            write_bytes(path, content)
            outputs.append(OutputFile(file=path.name, sha256=hashlib.sha256(content).hexdigest(), pixels_sha256=pixels))
            return path

        pictures = [
            put(places[suffix], png_bytes(picture, tag), pixels_sha256(picture))
            if isinstance(picture, Image.Image)
            else put(places[suffix], picture.bytes(no_location=result.no_location, tag=tag), picture.pixels_sha256())
            for suffix, picture in result.pictures.items()
        ]
        pictures += [put(out.with_suffix(suffix), film(result.animation, tag=tag)) for suffix, film in films.items()]
        tables = [
            put(sheets[suffix], content.encode("utf-8", "surrogateescape")) for suffix, content in result.tables.items()
        ]
        for path, (fields, frame) in result.fields.items():
            fields.save(path, frame)
        receipt = Receipt(
            verb=self.verb,
            model=ModelNamed(name=model_reference(self.model), sha256=model.hash),
            arguments={**self.arguments(), **result.arguments},
            inputs=input_files(inputs),
            outputs=outputs,
            facts=dict(result.facts),
        )
        write_json(out.with_suffix(".json"), receipt.model_dump())
        notes = (
            [] if "" in places else [f"no sheet of all: it shows at most {MOST_SHOWN} pictures, each is written alone"]
        )
        return Written(tuple(pictures), out.with_suffix(".json"), (*tables, *result.fields), tuple(notes))

    def place_again(self, receipt: Path) -> Path:
        """Return where a result is written that is made again from a receipt: a name that is not taken."""
        for number in count(1):
            path = receipt.with_name(f"{receipt.stem}.again{f'-{number}' if number > 1 else ''}.png")
            if not path.exists() and not path.with_suffix(".json").exists():
                return path
        raise AssertionError("count() does not end")

    @property
    def files(self) -> list[Path]:
        """The pictures that are read."""
        found: list[Path] = []
        for name in self.pictures:
            value = getattr(self, name)
            found += value if isinstance(value, list) else [] if value is None else [value]
        return found

    @property
    def inputs(self) -> list[Path]:
        """The files that are read."""
        along = getattr(self, "along", None)
        return self.files if along is None else [*self.files, along.pack]

    def arguments(self) -> dict[str, Any]:
        """Return what a receipt says of the fields, the pictures aside; of those that may be left out, how many."""
        words = self.model_dump(mode="json", exclude={"model", *self.pictures})
        for name in self.pictures:
            if name != "images" and not type(self).model_fields[name].is_required():
                value = getattr(self, name)
                words[name] = len(value) if isinstance(value, list) else value is not None
        if words.get("along"):
            del words["along"]["pack"]
        left_out = {"along": None, "invert": None, "like": 0, "format": "auto", "table": None, "seconds": None,
                    "face": "largest", "box": None, "aligned": False, "frames": None, "numbers": False,
                    "no_location": False}  # fmt: skip
        return {name: value for name, value in words.items() if name not in left_out or value != left_out[name]}

    @classmethod
    def from_receipt(cls, receipt: "Receipt") -> Self:
        """Return the request that a receipt tells of.

        Raises:
            AttrimorphError: an argument or an input is missing or wrong.
        """
        words, paths = cls.earlier(dict(receipt.arguments)), [Path(each.path) for each in receipt.inputs]
        # What a person alone may say (where else to write, that a program is run) is in no receipt.
        known = {name for name, each in cls.model_fields.items() if not each.exclude} - {"model"}
        several = {name for name in cls.pictures if isinstance(cls.model_fields[name].default, list)}
        required = {name for name in cls.pictures if name == "images" or cls.model_fields[name].is_required()}
        if foreign := words.keys() - (known - required):
            raise AttrimorphError(f"it has an argument {shown(min(foreign))}, which {cls.verb} has not")
        if lost := known - words.keys() - {*cls.pictures, *EARLIER}:
            raise AttrimorphError(f"its argument {min(lost)!r} is missing or wrong")
        if isinstance(words.get("along"), dict):
            words["along"] = {"sphere": False, **words["along"], "pack": _last(paths)}
        for name in reversed(cls.pictures):
            if name == "images":
                words[name], paths = paths, []
                continue
            count = 1 if name in required else words.pop(name, 0)
            if not isinstance(count, int) or not 0 <= count <= len(paths) or (count > 1 and name not in several):
                raise AttrimorphError(f"its argument {name!r} is wrong, or an input is missing")
            taken = [_last(paths) for _ in range(count)][::-1]
            if name in several:
                words[name] = taken
            elif taken:
                words[name] = taken[0]
        if len(paths) > (words.get("judge") is not None):  # whose file is an input, too
            raise AttrimorphError(f"it has {len(paths)} inputs more than {cls.verb} reads")
        try:
            return cls(model=receipt.model.name, **words)
        except ValidationError as error:
            name = shown(error.errors()[0]["loc"][0])
            wrong = "wrong" if name.strip("'") in EARLIER else "missing or wrong"
            raise AttrimorphError(f"its argument {name} is {wrong}") from error

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a receipt, those that an earlier version wrote otherwise as they are said now."""
        return words


def _last(paths: list[Path]) -> Path:
    """Take the last input of a receipt."""
    if not paths:
        raise AttrimorphError("an input is missing")
    return paths.pop()


class Fitting(Request):
    """A request that takes the shipped model that fits its pictures, where none is named.

    Attributes:
        model: A run folder, a model file or a shipped model (several CycleGANs with commas); auto: the shipped one that
            fits the pictures, drawn faces or photographs.
        fits: Whether it is.
    """

    model: Named = AUTO
    fits: Annotated[bool, Option("-")] = Field(default=False, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _fitted(cls, words: Any) -> Any:
        return fitted(words) if isinstance(words, Mapping) and words.get("model", AUTO) == AUTO else words


def fitted(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words of a request with the model that fits its pictures."""
    from attrimorph.models import model_for

    named = [words[name] for name in ("images", "folder", "source") if words.get(name)]
    return {**words, "model": model_for(named[0] if named else []), "fits": bool(named)}


class Composing(Request):
    """A request that shows edits of pictures.

    Attributes:
        composition: Show the model's own picture, in place of yours changed where the model changes its own.
    """

    composition: Annotated[
        Composition,
        Option("--whole-face", bool, lambda whole: "whole face" if whole else "fields"),
    ] = "fields"

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Read a receipt that says nothing of a composition."""
        return {"composition": "earlier", **super().earlier(words)}


class Inputs(Request):
    """A request that begins with pictures.

    Attributes:
        known: An attribute of the input that you know: Male=0; the others are guessed.
    """

    known: Facts = {}


class Inverting(Inputs):
    """A request that can look for the codes of its pictures.

    Attributes:
        invert: Look for the code by optimisation through the generator; any model that generates will do.
    """

    invert: Invert | None = None


def inversion_arguments(search: Search | None, found: "Inversion | None") -> dict[str, Any]:
    """Return what a receipt says of an inversion; nothing where there was none."""
    return {} if search is None or found is None else {"invert": search.to_json(found.steps)}


def decibels(pictures: "Tensor", images: "Tensor") -> list[float]:
    """Return the PSNR of each picture, data range 1."""
    from attrimorph.metrics.similarity import psnr

    return [round(value, 3) for value in psnr(pictures.cpu(), images.cpu()).tolist()]


def numbered(word: str, pictures: "Sequence[Picture]") -> "dict[str, Picture]":
    """Return a suffix for each of several pictures: a word, with numbers where there are more than one."""
    if len(pictures) == 1:
        return {word: pictures[0]}
    return {f"{word}-{number}": picture for number, picture in enumerate(pictures, 1)}


def refuse_taken(
    written: Sequence[Path], inputs: Sequence[Path], before: Mapping[str, str], named: Path | None
) -> None:
    """Refuse to write over what a result is made from, or over what is not of the result that was there before.

    Args:
        written: where it goes.
        inputs: what it is made from.
        before: the files of the result that was there -> their SHA-256.
        named: what the user named, which may be written over.

    Raises:
        AttrimorphError: a file would be lost.
    """
    from attrimorph.files import file_sha256

    read = {path.resolve() for path in inputs}
    for path in written:
        if path.resolve() in read:
            raise AttrimorphError(
                f"a result must not take the place of a picture that it is made from; {path} would; "
                "choose another name with --out"
            )
    for path in written:
        if path != named and path.exists() and before.get(path.name) != file_sha256(path):
            raise AttrimorphError(
                f"{path} would be written over, and is not of the result that was there before; move it away, or "
                "choose another --out"
            )


def result_path(out: Path | None, verb: str, inputs: Sequence[Path] = ()) -> Path:
    """Return the picture to write: `out` when it names a .png, else a name in that folder that is not taken.

    Args:
        out: a file, a folder, or None for `runs/results`.
        verb: what is done; the name begins with it.
        inputs: the first picture's name follows.
    """
    if out is not None and out.suffix and not out.is_dir():
        _check_place(out, (".png", ".gif", ".mp4") if verb == "morph" else (".png",))
        return out
    folder = RESULTS if out is None else out
    stem = "-".join([verb, *[path.stem for path in inputs[:1]]])
    for number in count(1):
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        if not path.exists() and not path.with_suffix(".json").exists():
            _check_place(path, (".png",))
            return path
    raise AssertionError("count() does not end")


def _check_place(path: Path, suffixes: Collection[str]) -> None:
    """Refuse what could not be written, before anything is made for it.

    Raises:
        AttrimorphError: another kind of file, or a folder that is none or may not be written.
    """
    if path.suffix.lower() not in suffixes:
        raise AttrimorphError(
            f"the result must be a {' or '.join(suffixes)} file; got {path.name!r}; try {path.stem}.png"
        )
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        reason = "it may not be written" if nearest.is_dir() else "it is a file, no folder"
        raise AttrimorphError(f"cannot write {path} in {nearest}: {reason}; choose another folder with --out")


def parse_settings(
    words: Sequence[str], schema: Schema | None, option: str = "--set", groups: Collection[str] = ()
) -> dict[str, float]:
    """Read Name=number words; a categorical value is set by Name=value, and goes part of the way by Name=value=number.

    Args:
        words: as they were typed.
        schema: what there is; its names and values may hold "=" themselves. None: who uses the names looks them up.
        option: how errors call them.
        groups: names besides that take a number.

    Raises:
        AttrimorphError: a word has another form, names what there is not, or an attribute stands twice.
    """
    known = () if schema is None else schema.attributes
    values = {f"{attribute.name}={value}" for attribute in known for value in attribute.values}
    result: dict[str, float] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        if word in values or (schema is None and name and not _is_number(text)):
            name, text = word, "1"
        elif schema is not None and name not in values and name not in groups:
            _look_up(word, schema, option, groups)
        if not name or not _is_number(text):
            raise AttrimorphError(
                f"{option} {name or 'Name'} must be a number, 1 to set it and -1 to take it away; got {text!r}"
            )
        if name in result:
            raise AttrimorphError(f"{option} {name} stands twice; keep one of them")
        result[name] = float(text)
    return result


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _look_up(word: str, schema: Schema, option: str, groups: Collection[str]) -> None:
    """See that a word is the name of a number and a number, as far as the name goes."""
    if (word in schema.names and not schema.attribute(word).values) or word in groups:
        raise AttrimorphError(f"{option} {word} takes a number; got none; write {option} {quote(f'{word}=1')}")
    name = word.rpartition("=")[0]
    if name in schema.names and not schema.attribute(name).values:
        return
    first = word.partition("=")[0]
    known = first in schema.names  # a categorical one: what follows is no value of it
    try:
        schema.find((name if word.count("=") > 1 else word) if known else first)
    except AttrimorphError as error:
        more = f"; groups are: {', '.join(groups)}" if groups and not known else ""
        raise AttrimorphError(f"{option} {word}: {error}{more}") from error


def parse_names(words: str) -> list[str]:
    """Read names with commas between them."""
    return [name.strip() for name in words.split(",") if name.strip()]
