"""A PNG that carries its receipt inside, so that it alone can be made again, without the photograph that it began with.

The verbs are called "studio", "studio-inpaint" and "studio-layers": pages and programs that edit live save this way.
What is repeated of an edit is the code that was decoded; the sliders are told beside it.
"""

import base64
import binascii
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from attrimorph.applications.axes.pack import Axis
from attrimorph.applications.inpaint import inpaint
from attrimorph.applications.inputs import encoder
from attrimorph.applications.layers import layers
from attrimorph.applications.provenance import xmp_of
from attrimorph.applications.receipt import (
    BACKGROUND,
    CARRIED,
    FILL,
    FORMAT,
    FORMAT_VERSION,
    Receipt,
    Written,
    model_reference,
    tag_of,
    write_result,
)
from attrimorph.applications.subject import Subject, Wish, moved_code, rendered
from attrimorph.data.images import decoded_image
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.models.codes import Code, Composes
from attrimorph.models.model import Model
from attrimorph.models.pictures import pixels_of
from attrimorph.pictures import TAG, XMP, pixels_sha256, to_pil
from attrimorph.version import __version__

LARGEST_CODE = 2**22  # numbers


def saved_png(
    model: Model, subject: Subject, wish: Wish, judge: Judges | None, *, named: str | Path, label: bool = True
) -> bytes:
    """Return the picture of a wish as a PNG with its receipt.

    Args:
        model: of the subject.
        subject: what was edited.
        wish: how.
        judge: who saw to the locks.
        named: the model as the user named it.
        label: whether a text tag and XMP say that attrimorph edited or generated the picture.
    """
    final = moved_code(model, subject, wish, judge) if subject.code is not None else None
    picture = to_pil(rendered(model, [subject], [final], [wish]))[0]
    # Where an edit is put back into its image, that image tells the code, and is smaller.
    whole = final is not None and not isinstance(model, Composes)
    arguments = {
        "start": _written(subject.code) if whole else None,
        "code": _written(final) if whole else None,
        "picture": None if whole or subject.image is None else _png(subject.image),
        "own": _numbers(subject.attributes),
        "moved": None if whole or final is None else _numbers(final.attributes),
        "changes": dict(wish.changes),
        "locks": list(wish.locks),
        "axes": [axis_json(axis) for axis in wish.axes if axis.name in wish.changes],
    }
    beginning = "a sample of the model" if subject.image is None else "a photograph"
    facts = {"judge": None if judge is None else judge.name, "began with": beginning}
    return _with_receipt(model, "studio", picture, arguments, facts, named, label, subject.image is not None)


def inpainted_png(
    model: Model,
    image: Tensor,
    hole: Tensor,
    times: int,
    feather: int,
    known: Mapping[str, float],
    *,
    photograph: bool,
    named: str | Path,
    label: bool = True,
) -> bytes:
    """Return a picture whose hole is filled, as a PNG with its receipt.

    Args:
        model: one that encodes.
        image: as the model is shown it, [1, 3, S, S] in [-1, 1].
        hole: [1, 1, S, S], 1 = hole.
        times, feather, known: see `inpaint`.
        photograph: whether the image is one, or a sample.
        named, label: see `saved_png`.
    """
    arguments = {
        "picture": _png(image), "mask": _png(2 * hole.expand(-1, 3, -1, -1) - 1), "times": times, "feather": feather,
        "known": dict(known),
    }  # fmt: skip
    return _with_receipt(model, FILL, _filled(model, arguments), arguments, {}, named, label, photograph)


def layered_png(
    model: Model,
    image: Tensor,
    attributes: Tensor,
    behind: Tensor,
    changes: Mapping[str, float],
    *,
    photograph: bool,
    named: str | Path,
    label: bool = True,
) -> bytes:
    """Return a picture in front of another's background, as a PNG with its receipt.

    Args:
        model: one that paints in layers.
        image, behind: both as the model is shown them, [1, 3, S, S] in [-1, 1].
        attributes: of the image, [1, W].
        changes: attribute -> strength.
        photograph, named, label: see `inpainted_png`.
    """
    arguments = {
        "picture": _png(image), "own": _numbers(attributes), "behind": _png(behind), "changes": dict(changes),
    }  # fmt: skip
    return _with_receipt(model, BACKGROUND, _in_front(model, arguments), arguments, {}, named, label, photograph)


def _with_receipt(
    model: Model,
    verb: str,
    picture: Image.Image,
    arguments: Mapping[str, Any],
    facts: Mapping[str, Any],
    named: str | Path,
    label: bool,
    photograph: bool,
) -> bytes:
    receipt = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "attrimorph": __version__,
        "verb": verb,
        "model": {"name": model_reference(named), "sha256": model.hash},
        "arguments": arguments,
        "inputs": [],
        "outputs": [{"file": "", "sha256": "", "pixels_sha256": pixels_sha256(picture)}],
        "facts": facts,
    }
    info = PngInfo()
    if label:
        info.add_itxt(TAG, tag_of(verb, model, named))
        info.add_itxt(XMP, xmp_of(photograph))
    info.add_itxt(CARRIED, json.dumps(receipt))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def write_carried(model: Model, receipt: Receipt, out: Path) -> Written:
    """Make the picture of a carried receipt again, with a receipt of its own beside it.

    Raises:
        AttrimorphError: the receipt does not fit the model.
    """
    makers = {"studio": _edited, FILL: _filled, BACKGROUND: _in_front}
    picture = makers[receipt.verb](model, receipt.arguments)
    return write_result(
        out, receipt.verb, model, {"": picture}, named=receipt.model, arguments=receipt.arguments, facts=receipt.facts
    )


def _edited(model: Model, words: Mapping[str, Any]) -> Image.Image:
    if words["code"] is not None:
        return to_pil(model.decode(_read(words["code"], model)))[0]
    image, own = _read_png(words["picture"], model), _attributes(words["own"], model)
    wish = Wish({name: float(value) for name, value in words["changes"].items()})
    subject = Subject(image, None, own)
    if words.get("moved") is None:
        return to_pil(rendered(model, [subject], [None], [wish]))[0]
    code = encoder(model, "this picture").encode(image, own)
    return to_pil(rendered(model, [subject], [Code(code.z, _attributes(words["moved"], model))], [wish]))[0]


def _filled(model: Model, words: Mapping[str, Any]) -> Image.Image:
    hole = (_read_png(words["mask"], model)[:, :1] > 0).float()
    options = {name: words[name] for name in ("times", "feather", "known")}
    return to_pil(inpaint(model, _read_png(words["picture"], model), hole, **options).inpainted)[0]


def _in_front(model: Model, words: Mapping[str, Any]) -> Image.Image:
    image, behind = (_read_png(words[name], model) for name in ("picture", "behind"))
    found = layers(model, image, _attributes(words["own"], model), changes=words["changes"], background=behind)
    return to_pil(list(found.variants.values())[-1])[0]


def axis_json(axis: Axis) -> dict[str, Any]:
    """Return an axis as plain values."""
    numbers = {name: float(vars(axis)[name]) for name in ("slope", "intercept", "low", "high")}
    return {"name": axis.name, "direction": axis.direction.tolist(), **numbers}


def _written(code: Code | None) -> dict[str, Any] | None:
    if code is None:
        return None
    return {"z": _numbers(code.z), "shape": list(code.z.shape[1:]), "attributes": _numbers(code.attributes)}


def _numbers(values: Tensor) -> str:
    return base64.b64encode(values.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes()).decode()


def _png(image: Tensor) -> str:
    buffer = io.BytesIO()
    to_pil(image)[0].save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _read(value: Mapping[str, Any], model: Model) -> Code:
    """Read a code that fits the model."""
    z, y = _read_numbers(value["z"]), _read_numbers(value["attributes"])
    shape = [int(number) for number in value["shape"]]
    like = model.sample_codes(1, torch.Generator().manual_seed(0))
    if list(like.z.shape[1:]) != shape or z.numel() != like.z.numel() or y.numel() != model.schema.width:
        raise AttrimorphError(
            f"the receipt's code must fit the model, z {list(like.z.shape[1:])}; it has {shape}; it is damaged"
        )
    return Code(z.view(1, *shape), y[None])


def _read_numbers(text: Any) -> Tensor:
    try:
        content = base64.b64decode(text, validate=True)
        if not content or len(content) % 4 or len(content) > 4 * LARGEST_CODE:
            raise ValueError("a wrong length")
    except (TypeError, ValueError, binascii.Error) as error:
        raise AttrimorphError(f"the receipt's numbers are damaged ({error}); save the picture again") from error
    return torch.frombuffer(bytearray(content), dtype=torch.float32)


def _attributes(text: Any, model: Model) -> Tensor:
    """Read attributes that fit the model, [1, W]."""
    y = _read_numbers(text)
    if y.numel() != model.schema.width:
        raise AttrimorphError(
            f"the receipt must tell the model's {model.schema.width} attributes; it tells {y.numel()}; it is damaged"
        )
    return y[None]


def _read_png(text: Any, model: Model) -> Tensor:
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise AttrimorphError("the receipt's picture is damaged; save the picture again") from error
    image = decoded_image(io.BytesIO(content), "the receipt's picture")
    if image.size != (model.image_size, model.image_size):
        raise AttrimorphError(
            f"the receipt's picture must have the model's {model.image_size} pixels; it has {image.width}; "
            "save the picture again"
        )
    return pixels_of(image)


def carried_text(content: bytes) -> str | None:
    """Return the receipt inside a PNG's bytes, or None."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.load()
            text = image.info.get(CARRIED)
    except Exception:  # decoders of damaged files raise nearly everything
        return None
    return text if isinstance(text, str) else None
