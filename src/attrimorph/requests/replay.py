"""Replay: make a result again from its receipt."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.requests import Request
from attrimorph.requests.edit import Edit
from attrimorph.requests.edit_folder import EditFolder
from attrimorph.requests.generating import Inpaint, Invert, Layers, Reconstruct, Sample, Superresolve, Transfer
from attrimorph.requests.morph import Morph
from attrimorph.requests.on_data import Augment, LatentMap, Neighbours, Retrieve
from attrimorph.requests.receipt import InputFile, Receipt, Written, damaged, file_sha256, read_receipt
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


@dataclass(frozen=True)
class Replayed:
    """A result made again.

    Attributes:
        written: the new files.
        identical: whether every picture has the very pixels of the first time, and every table its words.
    """

    written: Written
    identical: bool


def replay(path: str | Path, out: str | Path | None = None, *, model: "Model | None" = None) -> Replayed:
    """Make a result again.

    Args:
        path: the receipt, a JSON beside a result, or a picture that holds its receipt.
        out: the new main picture; by default NAME.again.png beside the receipt.
        model: the model, already loaded; by default the one that the receipt names.

    Raises:
        AttrimorphError: the model or an input is gone or has changed, or the file is no receipt.
    """
    path = Path(path)
    receipt = read_receipt(path)
    receipt = receipt.model_copy(update={"inputs": [_found(item, path.parent) for item in receipt.inputs]})
    if receipt.verb not in REQUESTS:
        raise AttrimorphError(
            f"the receipt's verb must be one that attrimorph knows; got {receipt.verb!r}; "
            f"{suggestion(receipt.verb, REQUESTS)}"
        )
    try:
        request = REQUESTS[receipt.verb].from_receipt(receipt)
    except AttrimorphError as error:
        raise damaged(path, str(error)) from error
    for item in receipt.inputs:
        if file_sha256(Path(item.path)) != item.sha256:
            raise AttrimorphError(f"the input {item.path} must be the file of the receipt; it has changed; restore it")
    model = model or request.load()
    if model.hash != receipt.model.sha256:
        raise AttrimorphError(
            f"the model {receipt.model.name} must be the one of the receipt ({receipt.model.sha256[:12]}); "
            f"it has changed ({model.hash[:12]}); restore it, or repeat the command to use the new one"
        )
    written = request.write(out or request.place_again(path), model)
    return Replayed(written, _hashes(receipt) == _hashes(read_receipt(written.receipt)))


def _found(item: InputFile, folder: Path) -> InputFile:
    """Return where an input is: where it was, or beside the receipt under the same name."""
    for place in (Path(item.path), folder / Path(item.path).name):
        if place.is_file() and file_sha256(place) == item.sha256:
            return InputFile(path=str(place.resolve()), sha256=item.sha256)
    return item


def _hashes(receipt: Receipt) -> list[str]:
    # Animations are left out: their frames follow from the same codes, their compression from the machine.
    still = [item for item in receipt.outputs if not item.file.endswith((".gif", ".mp4"))]
    return [item.pixels_sha256 or item.sha256 for item in still]
