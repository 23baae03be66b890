"""Replay: make a result again from its receipt.

A receipt may come from anybody: what it names is looked at (plain files, their hashes) before any of it is opened, it
never leads to a program, and nothing is written before all of it fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrimorph.errors import AttrimorphError, shown, suggestion
from attrimorph.files import file_sha256
from attrimorph.models import model_sha256, named_parts
from attrimorph.requests import Request
from attrimorph.requests.edit import Edit, Moving
from attrimorph.requests.edit_folder import EditFolder
from attrimorph.requests.generating import Inpaint, Invert, Layers, Reconstruct, Sample, Superresolve, Transfer
from attrimorph.requests.morph import Morph
from attrimorph.requests.on_data import Augment, LatentMap, Neighbours, Retrieve
from attrimorph.requests.receipt import InputFile, Receipt, Written, damaged, read_receipt
from attrimorph.requests.saved import SavedBackground, SavedEdit, SavedInpaint

if TYPE_CHECKING:
    from attrimorph.models.model import Model

REQUESTS: dict[str, type[Request]] = {
    kind.verb: kind
    for kind in (
        Sample, Reconstruct, Edit, EditFolder, Morph, Transfer, Inpaint, Superresolve, Retrieve, Neighbours, LatentMap,
        Augment, Layers, Invert, SavedEdit, SavedInpaint, SavedBackground,
    )
}  # fmt: skip
"""Verb -> what a receipt of it is read as."""
PLACES = ("data", "among", "folder", "table", "judge")
"""Arguments that are paths, or may be."""
LEVELS = 5  # of folders that are looked through for what was moved together with its receipt


@dataclass(frozen=True)
class Replayed:
    """A result made again.

    Attributes:
        written: the new files.
        identical: whether every picture has the very pixels of the first time, and every table its words.
    """

    written: Written
    identical: bool


def replay(
    path: str | Path, out: str | Path | None = None, *, model: "Model | None" = None, program: Path | None = None
) -> Replayed:
    """Make a result again.

    Args:
        path: the receipt, a JSON beside a result, or a picture that holds its receipt.
        out: the new main picture; by default NAME.again.png beside the receipt.
        model: the model, already loaded; by default the one that the receipt names.
        program: a .pt2 file in place of the one that the receipt names, which alone is never opened.

    Raises:
        AttrimorphError: the model or an input is gone or has changed, or the file is no receipt.
    """
    path = Path(path)
    receipt = read_receipt(path)
    if receipt.verb not in REQUESTS:
        raise AttrimorphError(
            f"the receipt's verb must be one that attrimorph knows; got {shown(receipt.verb)}; "
            f"{suggestion(receipt.verb[:80], REQUESTS)}"
        )
    receipt = _found(receipt, path.absolute().parent)
    try:
        request = REQUESTS[receipt.verb].from_receipt(receipt)
    except AttrimorphError as error:
        raise damaged(path, str(error)) from error
    if program is not None:
        if not isinstance(request, Moving) or request.along is None:
            raise AttrimorphError(f"--program belongs to edits along axes; the receipt tells of {receipt.verb}")
        request = request.model_copy(update={"model": str(program), "program": True})
    elif Path(request.model).suffix.lower() == ".pt2":
        raise AttrimorphError(
            f"the receipt {path} asks for a .pt2 file, a program that may do whatever you may; if you would run any "
            f"program of its maker's, add --program {request.model}"
        )
    if (digest := model_sha256(request.model) if model is None else model.hash) != receipt.model.sha256:
        raise AttrimorphError(
            f"the model {request.model} must be the one of the receipt ({receipt.model.sha256[:12]}); "
            f"it has changed ({digest[:12]}); restore it, or repeat the command to use the new one"
        )
    written = request.write(out or request.place_again(path), model or request.load())
    return Replayed(written, _hashes(receipt) == _hashes(read_receipt(written.receipt)))


def _places(told: str, folder: Path) -> Iterator[Path]:
    """Yield where something may be that a receipt tells of: there, or where it lay beside a receipt that was moved.

    Args:
        told: its path; a relative one is meant from the receipt's folder.
        folder: the receipt's.
    """
    yield folder / told
    parts = Path(told).parts[-LEVELS:]
    for first in range(len(parts)):
        for above in (folder, *folder.parents[: LEVELS - 1]):
            yield above.joinpath(*parts[first:])


def _found(receipt: Receipt, folder: Path) -> Receipt:
    """Return a receipt whose paths tell where things are now.

    Raises:
        AttrimorphError: an input is gone or has changed.
    """

    def moved(told: Any) -> Any:
        if not isinstance(told, str) or not Path(told).is_absolute():
            return told  # the name of a shipped one
        return next((str(place) for place in _places(told, folder) if place.exists()), told)

    def same(item: InputFile) -> InputFile:
        places = _places(item.path, folder)
        if isinstance(before, str) and item.path.startswith(f"{before}/"):
            places = iter([Path(words["folder"] + item.path.removeprefix(before))])
        for place in places:
            if place.is_file() and file_sha256(place) == item.sha256:
                return InputFile(path=str(place), sha256=item.sha256)
        file_sha256(Path(item.path))  # which tells what cannot be read
        raise AttrimorphError(f"the input {item.path} must be the file of the receipt; it has changed; restore it")

    words = {name: moved(value) if name in PLACES else value for name, value in receipt.arguments.items()}
    before, along = receipt.arguments.get("folder"), words.get("along")
    if isinstance(along, dict) and "judge" in along:
        words["along"] = along | {"judge": moved(along["judge"])}
    name = ",".join(moved(part) for part in named_parts(receipt.model.name))
    model = receipt.model.model_copy(update={"name": name})
    return receipt.model_copy(
        update={"model": model, "arguments": words, "inputs": [same(item) for item in receipt.inputs]}
    )


def _hashes(receipt: Receipt) -> list[str]:
    # Animations are left out: their frames follow from the same codes, their compression from the machine.
    still = [item for item in receipt.outputs if not item.file.endswith((".gif", ".mp4"))]
    return [item.pixels_sha256 or item.sha256 for item in still]
