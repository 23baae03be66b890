"""The receipt: a JSON beside every result, or inside a saved picture, that says how it was made, to make it again."""

import io
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from attrimorph.data.images import MOST_PIXELS, decoded_image
from attrimorph.errors import AttrimorphError, sentence_of, shown
from attrimorph.files import check_plain, file_sha256, read_json, reading
from attrimorph.models import named_parts
from attrimorph.version import __version__

if TYPE_CHECKING:
    from attrimorph.models.model import Model
    from attrimorph.photographs.file import Photograph

FORMAT: Literal["attrimorph receipt"] = "attrimorph receipt"
FORMAT_VERSION: Literal[1] = 1
EMBEDDED = "attrimorph receipt"
"""The text chunk of a PNG that holds its receipt."""
HEAD = b'{"format":"attrimorph receipt"'
LARGEST_PICTURE = 2**30  # bytes
LONGEST_PATH = 8192
LONGEST = 60_000  # bytes of a receipt inside a photograph: a JPEG's comment holds hardly more
MADE = {
    "sample": "generated", "reconstruct": "reconstructed", "morph": "generated", "retrieve": "found",
    "neighbours": "measured", "latent-map": "measured", "augment": "generated", "invert": "reconstructed",
}  # fmt: skip
"""What a verb's pictures are called in their text tag; all others are edited."""


@dataclass(frozen=True)
class Written:
    """What one verb wrote.

    Attributes:
        pictures: the result pictures, the one to look at first.
        receipt: the JSON that repeats them.
        tables: CSV files beside them.
        notes: sentences about what was left out.
    """

    pictures: tuple[Path, ...]
    receipt: Path
    tables: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def _path(told: str) -> str:
    """Refuse what can be the path of no file."""
    if len(told) > LONGEST_PATH or "\0" in told:
        raise ValueError(f"must be a path of at most {LONGEST_PATH} letters")
    try:
        os.fsencode(told)
    except UnicodeEncodeError as error:
        raise ValueError("must be a path that a file can have") from error
    return told


# Not by pydantic's own constraints: names of files need not be UTF-8.
Words = Annotated[str, AfterValidator(_path)]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A part of a receipt; what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelNamed(Part):
    """A model: as the user named it, a path (absolute) or the name of a shipped one; and the sha256 of its file."""

    name: Words
    sha256: Digest


class InputFile(Part):
    """A file that was read: its absolute path, and its sha256."""

    path: Words
    sha256: Digest


class OutputFile(Part):
    """A file that was written: its name beside the receipt, its sha256, and that of its pixels ("" of no picture)."""

    file: Words
    sha256: Digest | Literal[""]
    pixels_sha256: Digest | Literal[""]


class Receipt(Part):
    """How a result was made.

    Attributes:
        format, format_version: of this file.
        attrimorph: the version that wrote it.
        verb: one of `replay.REQUESTS`.
        model: what it was made with.
        arguments: every argument of the verb, seed included.
        inputs: every picture read.
        outputs: every file written.
        facts: figures for the reader; a repetition does not need them.
    """

    format: Literal["attrimorph receipt"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    attrimorph: str = __version__
    verb: str
    model: ModelNamed
    arguments: dict[str, Any]
    inputs: list[InputFile] = []
    outputs: list[OutputFile] = []
    facts: dict[str, Any] = {}


def model_reference(name: str | Path) -> str:
    """Return how a receipt names the model: an absolute path where there is one, else the shipped name.

    Several names with commas, a chain, become several of these.
    """
    return ",".join(str(Path(part).resolve()) if Path(part).exists() else part for part in named_parts(name))


def earlier_outputs(path: Path) -> dict[str, str]:
    """Return name -> sha256 of what the result wrote whose receipt lies where a new one is to be; {} without any.

    Raises:
        AttrimorphError: another file lies there.
    """
    if not path.exists():
        return {}
    try:
        return {output.file: output.sha256 for output in read_receipt(path).outputs}
    except AttrimorphError as error:
        raise AttrimorphError(
            f"the receipt would be written over {path}, which is none; move it away, or choose another name with --out"
        ) from error


def input_files(paths: list[Path]) -> list[InputFile]:
    """Return what a receipt says of files that are read; errors as of `file_sha256`."""
    return [InputFile(path=str(path.resolve()), sha256=file_sha256(path)) for path in paths]


def tag_of(verb: str, model: "Model", model_name: str | Path) -> str:
    """Return what a picture's text tag says of how it was made."""
    names = ",".join(Path(part).name for part in named_parts(model_reference(model_name)))
    return f"{MADE.get(verb, 'edited')} by attrimorph {__version__}; verb {verb}; model {names} {model.hash[:12]}"


def read_receipt(path: Path) -> Receipt:
    """Read a receipt: the JSON beside a result, or a picture that holds its receipt.

    Raises:
        AttrimorphError: the file is no receipt, or of a newer format.
    """
    value = read_json(path) if path.suffix.lower() == ".json" else _read_embedded(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise AttrimorphError(f"{path} must be the receipt beside a result; it is none; name the right JSON file")
    if value.get("format_version") != FORMAT_VERSION:
        raise AttrimorphError(
            f"{path} must have receipt format {FORMAT_VERSION}; got {shown(value.get('format_version'))}; "
            f"use attrimorph {shown(value.get('attrimorph'))}"
        )
    try:
        return Receipt.model_validate(value)
    except ValidationError as error:
        raise damaged(path, f"its {sentence_of(error.errors())}") from error


def damaged(path: Path, reason: str) -> AttrimorphError:
    """Return the error of a receipt that cannot be followed."""
    return AttrimorphError(f"the receipt {path} is damaged ({reason}); make the result again")


def _read_embedded(path: Path) -> Any:
    check_plain(path, LARGEST_PICTURE)
    with reading(path):
        content = path.read_bytes()
    text = embedded_text(content)
    if text is None:
        decoded_image(io.BytesIO(content), str(path))
        raise AttrimorphError(
            f"{path} must be a picture that the studio saved; it holds no receipt; name the JSON beside it"
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AttrimorphError(f"{path} is no readable picture with a receipt; it is damaged; get it again") from error


def embedded_text(content: bytes) -> str | None:
    """Return the receipt inside a picture's bytes, or None."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.width * image.height <= MOST_PIXELS:
                image.load()  # texts may come after the pixels
            text = image.info.get(EMBEDDED)
    except Exception:  # decoders of damaged files raise nearly everything
        text = None
    place = content.rfind(HEAD)  # of a photograph in any format, plain within its last text
    if isinstance(text, str) or place < 0:
        return text if isinstance(text, str) else None
    text = content[place : place + LONGEST].decode("ascii", "replace")
    with suppress(ValueError, RecursionError):
        return text[: json.JSONDecoder().raw_decode(text)[1]]
    return text


def with_receipt(photograph: "Photograph", receipt: Receipt, tag: str) -> bytes:
    """Return a photograph's file with a tag and its receipt; BMP and PPM have no place for them."""
    words = json.dumps(receipt.model_dump(), separators=(",", ":"))
    content = photograph.bytes(tag=f"{tag} {words}".strip() if len(words) < LONGEST else tag)
    if photograph.format == "WEBP":  # a chunk that no reader knows
        words += " " * (len(words) % 2)
        content += b"note" + len(words).to_bytes(4, "little") + words.encode()
        return content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:]
    if photograph.format == "AVIF":  # a box that every reader leaves out
        return content + (len(words) + 8).to_bytes(4, "big") + b"free" + words.encode()
    return content
