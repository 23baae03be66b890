"""A PNG that carries its receipt inside, so that it alone can be made again, without the photograph that it began with.

The verb is called "studio": pages and programs that edit live save this way. What is repeated is the code that was
decoded; the sliders are told beside it.
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

import attrimorph
from attrimorph.applications.axes.pack import Axis
from attrimorph.applications.provenance import xmp_of
from attrimorph.applications.receipt import (
    CARRIED,
    FORMAT,
    FORMAT_VERSION,
    Receipt,
    Written,
    model_reference,
    tag_of,
    write_result,
)
from attrimorph.applications.subject import Subject, Wish, moved_code, rendered
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.attributes import Judges
from attrimorph.models import Code, Model
from attrimorph.pictures import TAG, XMP, pixels_sha256, to_pil

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
    arguments = {
        "start": _written(subject.code),
        "code": _written(final),
        "picture": None if subject.code is not None or subject.image is None else _png(subject.image),
        "own": _numbers(subject.attributes),
        "changes": dict(wish.changes),
        "locks": list(wish.locks),
        "axes": [axis_json(axis) for axis in wish.axes if axis.name in wish.changes],
    }
    receipt = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "attrimorph": attrimorph.__version__,
        "verb": "studio",
        "model": {"name": model_reference(named), "sha256": model.hash},
        "arguments": arguments,
        "inputs": [],
        "outputs": [{"file": "", "sha256": "", "pixels_sha256": pixels_sha256(picture)}],
        "facts": {"judge": None if judge is None else judge.name, "began with": _beginning(subject)},
    }
    info = PngInfo()
    if label:
        info.add_itxt(TAG, tag_of("studio", model, named))
        info.add_itxt(XMP, xmp_of(photograph=subject.image is not None))
    info.add_itxt(CARRIED, json.dumps(receipt))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _beginning(subject: Subject) -> str:
    return "a sample of the model" if subject.image is None else "a photograph"


def write_carried(model: Model, receipt: Receipt, out: Path) -> Written:
    """Make the picture of a carried receipt again, with a receipt of its own beside it.

    Raises:
        AttrimorphError: the receipt does not fit the model.
    """
    words = receipt.arguments
    wish = Wish({name: float(value) for name, value in words["changes"].items()})
    code = None if words["code"] is None else _read(words["code"], model)
    if code is not None:
        picture = to_pil(model.decode(code))[0]
    else:
        subject = Subject(_read_png(words["picture"], model), None, _read_numbers(words["own"])[None])
        picture = to_pil(rendered(model, [subject], [None], [wish]))[0]
    return write_result(out, "studio", model, {"": picture}, named=receipt.model, arguments=words, facts=receipt.facts)


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


def _read_png(text: Any, model: Model) -> Tensor:
    from attrimorph.applications.inputs import pixels_of
    from attrimorph.data.images import decoded_image

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
