"""The receipt: a JSON beside every result that says how it was made, well enough to make it again."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, write_bytes, write_json
from attrimorph.models.finding import named_parts
from attrimorph.models.model import Model
from attrimorph.pictures import MOST_SHOWN, gif_bytes, mp4_bytes, pixels_sha256, write_png
from attrimorph.version import __version__

FORMAT = "attrimorph receipt"
FORMAT_VERSION = 1
CARRIED = "attrimorph receipt"
"""The text chunk of a PNG that carries its receipt inside."""
FILL, BACKGROUND = "studio-inpaint", "studio-layers"
"""Verbs of the studio's other tabs whose pictures carry their receipts."""
MADE = {
    "sample": "generated",
    "reconstruct": "reconstructed",
    "edit": "edited",
    "edit-folder": "edited",
    "morph": "generated",
    "transfer": "edited",
    "inpaint": "edited",
    "superresolve": "edited",
    "retrieve": "found",
    "neighbours": "measured",
    "latent-map": "measured",
    "augment": "generated",
    "layers": "edited",
    "invert": "reconstructed",
    "studio": "edited",
    FILL: "edited",
    BACKGROUND: "edited",
}


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


@dataclass(frozen=True)
class Receipt:
    """What `write_result` stored.

    Attributes:
        verb: one of `MADE`.
        model: how the user named the model: a path (absolute) or the name of a shipped model.
        model_sha256: of the model file.
        arguments: every argument of the verb, seed included.
        inputs: absolute path and sha256 of every picture read.
        outputs: file name (beside the receipt), sha256 of the file and sha256 of its pixels.
        facts: figures for the reader; a repetition does not need them.
    """

    verb: str
    model: str
    model_sha256: str
    arguments: dict[str, Any]
    inputs: tuple[dict[str, str], ...]
    outputs: tuple[dict[str, str], ...]
    facts: dict[str, Any]


def file_sha256(path: Path) -> str:
    """Hash a file.

    Raises:
        AttrimorphError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def model_reference(name: str | Path) -> str:
    """Return how a receipt names the model: an absolute path where there is one, else the shipped name.

    Several names with commas, a chain, become several of these.
    """
    return ",".join(str(Path(part).resolve()) if Path(part).exists() else part for part in named_parts(name))


def write_result(
    out: Path,
    verb: str,
    model: Model,
    pictures: Mapping[str, Image.Image],
    *,
    named: str | Path,
    arguments: Mapping[str, Any],
    inputs: Sequence[Path] = (),
    facts: Mapping[str, Any] | None = None,
    animation: Sequence[Image.Image] = (),
    mp4: bool = False,
    tables: Mapping[str, str] | None = None,
) -> Written:
    """Write the pictures of one result and its receipt.

    Args:
        out: the main picture, e.g. smile.png; other pictures and the receipt are named after it.
        verb: what was done.
        model: what it was done with.
        pictures: suffix -> picture; the suffix "" is `out` itself, "edited" is smile.edited.png. Without "", a sheet
            that would be too long (`sheet_of`), that is noted.
        named: the model as the user named it.
        arguments: all arguments of the verb; plain JSON values.
        inputs: the pictures that were read.
        facts: figures worth reading.
        animation: frames of a GIF beside the main picture.
        mp4: whether they make an MP4 as well.
        tables: suffix -> content of a CSV beside it, named as pictures are.

    Raises:
        AttrimorphError: a result would take the place of an input, or `out` is no PNG; nothing is written then.
    """
    out = _picture_path(Path(out))
    films = {".gif": gif_bytes, **({".mp4": mp4_bytes} if mp4 else {})} if animation else {}
    places = {suffix: out if not suffix else out.with_name(f"{out.stem}.{suffix}{out.suffix}") for suffix in pictures}
    _spare(inputs, [*places.values(), *(out.with_suffix(suffix) for suffix in films)])
    tag = tag_of(verb, model, named)
    written, outputs = [], []
    for suffix, picture in pictures.items():
        path = places[suffix]
        write_png(path, picture, tag)
        written.append(path)
        outputs.append({"file": path.name, "sha256": file_sha256(path), "pixels_sha256": pixels_sha256(picture)})
    for suffix, encoded in films.items():
        path = out.with_suffix(suffix)
        write_bytes(path, encoded(animation, tag=tag))
        written.append(path)
        outputs.append({"file": path.name, "sha256": file_sha256(path), "pixels_sha256": ""})
    listed = []
    for suffix, content in (tables or {}).items():
        path = out.with_name(f"{out.stem}.{suffix}.csv" if suffix else f"{out.stem}.csv")
        write_bytes(path, content.encode("utf-8", "surrogateescape"))
        listed.append(path)
        outputs.append({"file": path.name, "sha256": file_sha256(path), "pixels_sha256": ""})
    receipt = out.with_suffix(".json")
    read = [{"path": str(Path(path).resolve()), "sha256": file_sha256(path)} for path in inputs]
    write_json(receipt, receipt_of(verb, model, named, arguments, read, outputs, facts))
    notes = (
        () if "" in pictures else (f"no sheet of all: it shows at most {MOST_SHOWN} pictures, each is written alone",)
    )
    return Written(tuple(written), receipt, tuple(listed), notes)


def receipt_of(
    verb: str,
    model: Model,
    named: str | Path,
    arguments: Mapping[str, Any],
    inputs: Sequence[Mapping[str, str]],
    outputs: Sequence[Mapping[str, str]] = (),
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a receipt as it is written; arguments as of `Receipt`."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "attrimorph": __version__,
        "verb": verb,
        "model": {"name": model_reference(named), "sha256": model.hash},
        "arguments": dict(arguments),
        "inputs": list(inputs),
        "outputs": list(outputs),
        "facts": dict(facts or {}),
    }


def tag_of(verb: str, model: Model, named: str | Path) -> str:
    """Return what a picture's text tag says of how it was made."""
    names = ",".join(Path(part).name for part in named_parts(model_reference(named)))
    return f"{MADE[verb]} by attrimorph {__version__}; verb {verb}; model {names} {model.hash[:12]}"


def _spare(inputs: Sequence[Path], results: Sequence[Path]) -> None:
    """Refuse results that would take the place of what they are made from."""
    read = {Path(path).resolve() for path in inputs}
    if lost := [path for path in results if path.resolve() in read]:
        raise AttrimorphError(
            f"a result must not take the place of a picture that it is made from; {lost[0]} would; "
            "choose another name with --out"
        )


def _picture_path(out: Path) -> Path:
    if out.suffix.lower() not in ("", ".png"):
        raise AttrimorphError(f"the result must be a .png file; got {out.name!r}; try {out.stem}.png")
    return out.with_suffix(".png") if not out.suffix else out


def read_receipt(path: Path) -> Receipt:
    """Read a receipt: the JSON beside a result, or a PNG that carries its receipt inside.

    Raises:
        AttrimorphError: the file is no receipt, or of a newer format.
    """
    value = _read_carried(path) if Path(path).suffix.lower() == ".png" else read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise AttrimorphError(f"{path} must be the receipt beside a result; it is none; name the right JSON file")
    if value.get("format_version") != FORMAT_VERSION:
        raise AttrimorphError(
            f"{path} must have receipt format {FORMAT_VERSION}; got {value.get('format_version')!r}; "
            f"use attrimorph {value.get('attrimorph')}"
        )
    try:
        receipt = Receipt(
            verb=str(value["verb"]),
            model=str(value["model"]["name"]),
            model_sha256=str(value["model"]["sha256"]),
            arguments=dict(value["arguments"]),
            inputs=tuple({"path": str(item["path"]), "sha256": str(item["sha256"])} for item in value["inputs"]),
            outputs=tuple(
                {key: str(item[key]) for key in ("file", "sha256", "pixels_sha256")} for item in value["outputs"]
            ),
            facts=dict(value["facts"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AttrimorphError(f"the receipt {path} is damaged ({error!r}); make the result again") from error
    for name, fits in ARGUMENTS.get(receipt.verb, {}).items():
        if name not in receipt.arguments or not fits(receipt.arguments[name]):
            raise AttrimorphError(
                f"the receipt {path} is damaged (its argument {name!r} is missing or wrong); make the result again"
            )
    for name, fits in OPTIONAL_ARGUMENTS.get(receipt.verb, {}).items():
        if name in receipt.arguments and not fits(receipt.arguments[name]):
            raise AttrimorphError(
                f"the receipt {path} is damaged (its argument {name!r} is wrong); make the result again"
            )
    # The references of an edit are inputs too, and come last.
    if len(receipt.inputs) < INPUTS.get(receipt.verb, 0) + receipt.arguments.get("like", 0):
        raise AttrimorphError(f"the receipt {path} is damaged (an input is missing); make the result again")
    return receipt


def _read_carried(path: Path) -> Any:
    """Read the receipt inside a PNG."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            return json.loads(image.info[CARRIED])
    except FileNotFoundError as error:
        raise AttrimorphError(f"there is no file {path}; check the path") from error
    except KeyError as error:
        raise AttrimorphError(
            f"{path} must be a picture that the studio saved; it carries no receipt; name the JSON beside it"
        ) from error
    except Exception as error:  # decoders of damaged files raise nearly everything
        raise AttrimorphError(f"{path} is no readable picture with a receipt; it is damaged; get it again") from error


def _is_strengths(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _is_list_of_names(value: Any) -> bool:
    return value is not None and _is_names(value)


def _is_word(value: Any) -> bool:
    return isinstance(value, str)


def _is_word_or_none(value: Any) -> bool:
    return value is None or _is_word(value)


def _is_code(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and _is_word(value.get("z"))
        and _is_word(value.get("attributes"))
        and isinstance(value.get("shape"), list)
        and all(map(_is_whole, value["shape"]))
    )


def _is_whole_or_none(value: Any) -> bool:
    return value is None or _is_whole(value)


def _is_rectangle(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 4 and all(map(_is_whole, value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


SEARCH: dict[str, Callable[[Any], bool]] = {
    "steps": _is_whole, "of": _is_whole, "rate": _is_number, "label_rate": _is_number, "candidates": _is_whole,
    "starts": _is_whole, "prior": _is_number, "seed": _is_whole,
}  # fmt: skip
"""What is told of an inversion."""


def _is_search(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == SEARCH.keys() and all(SEARCH[k](value[k]) for k in SEARCH)


def _is_guide(value: Any) -> bool:
    return value in (None, "curved", "judge")


ALONG: dict[str, Callable[[Any], bool]] = {
    "locks": _is_list_of_names, "judge": _is_word_or_none, "follow": _is_guide, "seed": _is_whole_or_none,
    "count": _is_whole, "values": _is_word,
}  # fmt: skip
"""What is told of a move along axes; the axes are the last input."""


def _is_along(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == ALONG.keys() and all(ALONG[k](value[k]) for k in ALONG)


ARGUMENTS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "sample": {"count": _is_whole, "seed": _is_whole, "changes": _is_strengths},
    "reconstruct": {"known": _is_strengths},
    "edit": {"changes": _is_strengths, "known": _is_strengths},
    "edit-folder": {"folder": _is_word, "changes": _is_strengths, "known": _is_strengths, "calibrated": _is_flag,
                    "like": _is_flag},
    "morph": {"path": _is_word, "steps": _is_whole, "groups": _is_word, "changes": _is_strengths, "mp4": _is_flag},
    "transfer": {"only": _is_names, "known": _is_strengths},
    "inpaint": {"hole": _is_rectangle, "times": _is_whole, "fill": _is_word, "feather": _is_whole,
                "known": _is_strengths},
    "superresolve": {"times_larger": _is_whole_or_none, "rounds": _is_whole, "known": _is_strengths},
    "retrieve": {"among": _is_word, "fingerprint": _is_word, "count": _is_whole, "wanted": _is_strengths,
                 "same": _is_list_of_names, "other_identity": _is_flag, "known": _is_strengths},
    "neighbours": {"data": _is_word, "fingerprint": _is_word, "count": _is_whole, "seed": _is_whole,
                   "judge": _is_word_or_none},
    "latent-map": {"data": _is_word, "fingerprint": _is_word, "attribute": _is_word_or_none},
    "invert": {"known": _is_strengths, "compared": _is_word, "mask": _is_flag, "factor": _is_whole,
               **{name: fits for name, fits in SEARCH.items() if "rate" not in name}},
    "augment": {"data": _is_word, "fingerprint": _is_word, "balance": _is_list_of_names, "way": _is_word,
                "identities": _is_whole_or_none, "each": _is_whole_or_none, "seed": _is_whole, "real": _is_flag},
    "studio": {"start": _is_code, "code": _is_code, "picture": _is_word_or_none, "own": _is_word,
               "changes": _is_strengths, "locks": _is_list_of_names},
    FILL: {"picture": _is_word, "mask": _is_word, "times": _is_whole, "feather": _is_whole, "known": _is_strengths},
    BACKGROUND: {"picture": _is_word, "own": _is_word, "behind": _is_word, "changes": _is_strengths},
}  # fmt: skip
"""What the arguments of each verb must be like."""

OPTIONAL_ARGUMENTS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "reconstruct": {"invert": _is_search},
    "edit": {"calibrated": _is_flag, "like": _is_count, "invert": _is_search, "along": _is_along},
    "edit-folder": {"invert": _is_search, "along": _is_along},
    "morph": {"known": _is_strengths, "invert": _is_search, "along": _is_along},
    "inpaint": {"invert": _is_search},
    "superresolve": {"invert": _is_search},
    "retrieve": {"format": _is_word, "table": _is_word},
    "neighbours": {"format": _is_word, "table": _is_word},
    "latent-map": {"format": _is_word, "table": _is_word},
    "augment": {"format": _is_word, "table": _is_word, "judge": _is_word_or_none},
    "studio": {"moved": _is_word_or_none},
}
"""Arguments that are left out where nobody wished for them, or that receipts of earlier versions lack."""

INPUTS = {"reconstruct": 1, "edit": 1, "morph": 1, "transfer": 2, "inpaint": 1, "superresolve": 1, "retrieve": 1,
          "invert": 1}  # fmt: skip
"""How many pictures each verb reads at least."""
