"""Replay: make a result again from its receipt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attrimorph.applications.axes.choosing import generator_named
from attrimorph.applications.axes.write import AxisEdit, write_axis_edit, write_axis_morph
from attrimorph.applications.carried import write_carried
from attrimorph.applications.edit import write_edit
from attrimorph.applications.edit_folder import VERB as FOLDER
from attrimorph.applications.edit_folder import Change, write_edit_folder
from attrimorph.applications.inpaint import write_inpaint
from attrimorph.applications.inversion.invert import write_invert
from attrimorph.applications.latent_map import write_latent_map
from attrimorph.applications.layers import write_layers
from attrimorph.applications.neighbours import write_neighbours
from attrimorph.applications.options import AxisOptions, Search
from attrimorph.applications.receipt import MADE, Receipt, Written, file_sha256, read_receipt
from attrimorph.applications.reconstruct import write_reconstruct
from attrimorph.applications.retrieve import write_retrieve
from attrimorph.applications.sample import write_sample
from attrimorph.applications.superresolve import write_superresolve
from attrimorph.applications.transfer import write_transfer
from attrimorph.applications.write_augmented import Wish, write_augment
from attrimorph.applications.write_morph import write_morph
from attrimorph.data.source import Source
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.loading import load
from attrimorph.models.model import Model


@dataclass(frozen=True)
class Replayed:
    """A result made again.

    Attributes:
        written: the new files.
        identical: whether every picture has the very pixels of the first time, and every table its words.
    """

    written: Written
    identical: bool


def replay(path: str | Path, out: str | Path | None = None, *, model: Model | None = None) -> Replayed:
    """Make a result again.

    Args:
        path: the receipt, a JSON beside a result, or a picture that carries its receipt inside.
        out: the new main picture; by default NAME.again.png beside the receipt.
        model: the model, already loaded; by default the one that the receipt names.

    Raises:
        AttrimorphError: the model or an input is gone or has changed, or the file is no receipt.
    """
    path = Path(path)
    receipt = read_receipt(path)
    _check_inputs(receipt)
    model = model or _model_of(receipt)
    if model.hash != receipt.model_sha256:
        raise AttrimorphError(
            f"the model {receipt.model} must be the one of the receipt ({receipt.model_sha256[:12]}); "
            f"it has changed ({model.hash[:12]}); restore it, or repeat the command to use the new one"
        )
    if out is None:
        out = (
            path.parent.with_name(f"{path.parent.absolute().name}.again")
            if receipt.verb == FOLDER
            else (path.with_name(f"{path.stem}.again.png"))
        )
    written = _repeat(receipt, model, Path(out))
    return Replayed(written, _hashes(receipt) == _hashes(read_receipt(written.receipt)))


def _check_inputs(receipt: Receipt) -> None:
    for item in receipt.inputs:
        if file_sha256(Path(item["path"])) != item["sha256"]:
            raise AttrimorphError(
                f"the input {item['path']} must be the file of the receipt; it has changed; restore it"
            )


def _model_of(receipt: Receipt) -> Model:
    along = receipt.arguments.get("along")
    return load(receipt.model) if along is None else generator_named(receipt.model, values=along["values"])


def _repeat(receipt: Receipt, model: Model, out: Path) -> Written:
    words, named = receipt.arguments, receipt.model
    paths = [Path(item["path"]) for item in receipt.inputs]
    invert = Search.from_json(words["invert"]) if "invert" in words else None
    if receipt.verb == FOLDER:
        return _repeat_folder(receipt, model, out)
    if "along" in words:
        return _repeat_along(receipt, model, out)
    match receipt.verb:
        case "sample":
            return write_sample(
                model, out, named=named, count=words["count"], seed=words["seed"], changes=words["changes"]
            )
        case "reconstruct":
            return write_reconstruct(model, paths, out, named=named, known=words["known"], invert=invert)
        case "edit":
            count = len(paths) - words.get("like", 0)
            return write_edit(
                model,
                paths[:count],
                words["changes"],
                out,
                named=named,
                known=words["known"],
                calibrated=words.get("calibrated", True),
                like=paths[count:],
                invert=invert,
            )
        case "morph":
            options = {name: words[name] for name in ("path", "steps", "groups", "changes", "mp4")}
            return write_morph(model, paths, out, named=named, invert=invert, **options)
        case "transfer":
            return write_transfer(model, paths[0], paths[1], out, named=named, only=words["only"], known=words["known"])
        case "inpaint":
            mask = paths[1] if words["hole"] is None else _rectangle(words["hole"])
            options = {name: words[name] for name in ("times", "fill", "feather", "known")}
            return write_inpaint(model, paths[0], mask, out, named=named, invert=invert, **options)
        case "superresolve":
            options = {name: words[name] for name in ("times_larger", "rounds", "known")}
            return write_superresolve(model, paths[0], out, named=named, invert=invert, **options)
        case "retrieve":
            options = {name: value for name, value in words.items() if name not in ("among", "format", "table")}
            among = Source.from_json({**words, "data": words["among"]})
            return write_retrieve(model, paths[0], among, out, named=named, **options)
        case "layers":
            others = paths[-1:] if words["other"] else []
            options = {name: words[name] for name in ("known", "changes", "backgrounds", "seed")}
            own = paths[: len(paths) - len(others)]
            return write_layers(model, own, out, named=named, background=others[0] if others else None, **options)
        case "invert":
            masks = paths[-1:] if words["mask"] else []
            return write_invert(
                model,
                paths[: len(paths) - len(masks)],
                out,
                named=named,
                mask=masks[0] if masks else None,
                search=Search.from_json(words),
                **{name: words[name] for name in ("known", "compared", "factor")},
            )
        case "studio" | "studio-inpaint" | "studio-layers":
            return write_carried(model, receipt, out)
        case "neighbours" | "latent-map" | "augment":
            return _repeat_on_data(receipt, model, out)
        case verb:
            raise AttrimorphError(
                f"the receipt's verb must be one that attrimorph knows; got {verb!r}; {suggestion(verb, MADE)}"
            )


def _repeat_along(receipt: Receipt, model: Model, out: Path) -> Written:
    """Repeat a move along axes, without looking at drawn pictures again."""
    words, named = receipt.arguments, receipt.model
    *paths, pack = [Path(item["path"]) for item in receipt.inputs]
    axis_edit = AxisEdit(model, AxisOptions.from_json(pack, words["along"]))
    invert = Search.from_json(words["invert"]) if "invert" in words else None
    known = words.get("known", {})
    if receipt.verb == "edit":
        return write_axis_edit(axis_edit, paths, words["changes"], out, named=named, known=known, invert=invert)
    options = {name: words[name] for name in ("steps", "mp4")}
    return write_axis_morph(axis_edit, paths, words["changes"], out, named=named, known=known, invert=invert, **options)


def _repeat_folder(receipt: Receipt, model: Model, out: Path) -> Written:
    """Edit the pictures of a folder again, those that were edited."""
    words, folder = receipt.arguments, Path(receipt.arguments["folder"])
    if not receipt.outputs:
        raise AttrimorphError(
            f"the edit of {folder} must have come to its end to be made again; it did not; repeat its command to go on"
        )
    paths = [Path(item["path"]) for item in receipt.inputs]
    references = paths[: words["like"] + ("along" in words)]
    axis_edit = AxisEdit(model, AxisOptions.from_json(references[-1], words["along"])) if "along" in words else None
    invert = Search.from_json(words["invert"]) if "invert" in words else None
    change = Change(
        words["changes"],
        words["known"],
        words["calibrated"],
        invert,
        references[0] if words["like"] else None,
        axis_edit,
    )
    only = [path.relative_to(folder).as_posix() for path in paths[len(references) :]]
    return write_edit_folder(model, folder, change, out, named=receipt.model, only=only)


def _rectangle(values: Sequence[int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = values
    return left, top, right, bottom


def _repeat_on_data(receipt: Receipt, model: Model, out: Path) -> Written:
    """Repeat what was made of a whole data set."""
    words, named, data = receipt.arguments, receipt.model, Source.from_json(receipt.arguments)
    fingerprint = words["fingerprint"]
    if receipt.verb == "neighbours":
        options = {name: words[name] for name in ("count", "seed", "judge")}
        return write_neighbours(model, data, out, named=named, fingerprint=fingerprint, **options)
    if receipt.verb == "latent-map":
        return write_latent_map(model, data, out, named=named, attribute=words["attribute"], fingerprint=fingerprint)
    names = ("identities", "each", "way", "seed")
    wish = Wish(tuple(words["balance"]), **{name: words[name] for name in names}, judge=words.get("judge"))
    return write_augment(model, data, out, named=named, wish=wish, real=words["real"], fingerprint=fingerprint)


def _hashes(receipt: Receipt) -> list[str]:
    # Animations are left out: their frames follow from the same codes, their compression from the machine.
    still = [item for item in receipt.outputs if not item["file"].endswith((".gif", ".mp4"))]
    return [item["pixels_sha256"] or item["sha256"] for item in still]
