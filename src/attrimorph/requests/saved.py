"""A PNG with its receipt inside, so that it alone can be made again, without the photograph that it began with.

Pages and programs that edit live save this way. What is repeated of an edit is the code that was decoded; the sliders
are told beside it. Pictures within a receipt are PNGs in base64, codes and attributes float32 in base64.
"""

import base64
import binascii
import io
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from attrimorph.applications.axes import Axis
from attrimorph.applications.edit import (
    EditSource,
    EditTarget,
    generator_of,
    moved_code,
    put_together,
    rendered,
    shown_in,
    told_edit,
)
from attrimorph.applications.filling import inpaint
from attrimorph.applications.inputs import encoder
from attrimorph.applications.layers import layers
from attrimorph.applications.provenance import xmp_of
from attrimorph.data.images import Affine, Frame, decoded_image
from attrimorph.errors import AttrimorphError, shown
from attrimorph.evaluators import Judges
from attrimorph.models.model import Code, Model
from attrimorph.photographs.fields import Fields, apply
from attrimorph.photographs.file import Photograph, read_photograph
from attrimorph.pictures import pixels_of, pixels_sha256, png_bytes, to_pil
from attrimorph.requests import Composing, Fact, Facts, Name, Request, Result, Strength, Work
from attrimorph.requests.receipt import (
    EMBEDDED,
    InputFile,
    ModelNamed,
    OutputFile,
    Receipt,
    model_reference,
    tag_of,
    with_receipt,
)

LARGEST_CODE = 2**22  # numbers


class SavedCode(BaseModel):
    """A code of one row, z of `shape`."""

    model_config = ConfigDict(extra="forbid")
    z: str
    shape: list[int]
    attributes: str

    @classmethod
    def of(cls, code: Code | None) -> Self | None:
        """Return a code as text; None of none."""
        if code is None:
            return None
        return cls(z=_numbers(code.z), shape=list(code.z.shape[1:]), attributes=_numbers(code.attributes))

    def read(self, model: Model) -> Code:
        """Return the code.

        Raises:
            AttrimorphError: it does not fit the model.
        """
        z, y = _read_numbers(self.z), _read_numbers(self.attributes)
        like = model.sample_codes(1, torch.Generator().manual_seed(0))
        if list(like.z.shape[1:]) != self.shape or z.numel() != like.z.numel() or y.numel() != model.schema.width:
            raise AttrimorphError(
                f"the receipt's code must fit the model, z {list(like.z.shape[1:])}; it has {shown(self.shape)}; it is "
                "damaged"
            )
        if not bool(z.isfinite().all()) or bool(y.isinf().any()):  # attributes may be missing, NaN
            raise AttrimorphError("the receipt's code must be finite numbers; it holds others; it is damaged")
        return Code(z.view(1, *self.shape), y[None])


class SavedAxis(BaseModel):
    """An axis that an edit went along; see `Axis`."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    direction: list[Fact]
    slope: Fact
    intercept: Fact
    low: Fact
    high: Fact


Asked = Annotated[dict[Name, Strength], Field(max_length=200)]


class Saved(Request):
    """What a saved picture can be made of again."""

    @abstractmethod
    def made(self, model: Model) -> Tensor:
        """Return the picture, [1, 3, S, S] in [-1, 1].

        Raises:
            AttrimorphError: the receipt does not fit the model.
        """

    def result(self, model: Model, work: Work) -> Result:
        """Return the picture."""
        return Result({"": to_pil(self.made(model))[0]})

    def receipt(self, model: Model, pixels: list[str], *inputs: InputFile, **facts: Any) -> Receipt:
        """Return the receipt of pictures whose hashed `pixels` were made of inputs; facts are figures worth reading."""
        return Receipt(
            verb=self.verb,
            model=ModelNamed(name=model_reference(self.model), sha256=model.hash),
            arguments=self.arguments(),
            inputs=list(inputs),
            outputs=[OutputFile(file="", sha256="", pixels_sha256=each) for each in pixels],
            facts=facts,
        )

    def png(self, model: Model, made: Tensor, *, photograph: bool, label: bool, **facts: Any) -> bytes:
        """Return the picture that was `made` as a PNG with its receipt.

        Args:
            model: what it was made with.
            made: [1, 3, S, S] in [-1, 1].
            photograph: whether of a photograph, or of a sample.
            label: whether a text tag and XMP say that attrimorph edited or generated it.
            facts: figures worth reading.
        """
        picture = to_pil(made)[0]
        receipt = self.receipt(model, [pixels_sha256(picture)], **facts)
        tag, xmp = (tag_of(self.verb, model, self.model), xmp_of(photograph)) if label else (None, None)
        return png_bytes(picture, tag, xmp, {EMBEDDED: receipt.model_dump_json()})


class SavedEdit(Saved, Composing):
    """An edit.

    Attributes:
        images, frames: a photograph that is changed where a face is, at its own size; none of what is a face already.
        start, code: of the source, and what was decoded; None where the picture tells them.
        picture: what is a face already.
        own, moved: attributes of the source, and as they were decoded where an edit is put back into the picture.
        changes, locks, axes: what was asked.
    """

    verb = "studio"
    pictures = ("images",)
    images: list[Path] = []
    frames: list[list[Affine]] | None = None
    start: SavedCode | None
    code: SavedCode | None
    picture: str | None
    own: str
    moved: str | None = None
    changes: Asked
    locks: list[Name]
    axes: list[SavedAxis] = []

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what does not go together."""
        # The studio has frames before anybody knows where the photograph will lie.
        counts = [len(each) for each in self.frames or ()]
        if len(self.images) > 1 or counts not in ([], [1]) or (self.images and not counts):
            raise AttrimorphError("a saved photograph must be one, with one frame; the receipt tells of others")

    def made(self, model: Model) -> Tensor:
        """Return the picture."""
        return self._edited(model, None)[0]

    def result(self, model: Model, work: Work) -> Result:
        """Return the picture; of a photograph what `whole` returns."""
        if not self.images:
            return super().result(model, work)
        face, edited = self.whole(model, read_photograph(self.images[0]))
        return Result({"": face, "edited": edited})

    def whole(self, model: Model, photograph: Photograph) -> tuple[Image.Image, Photograph]:
        """Return what the model shows of a photograph, and the photograph, edited: a receipt's pictures."""
        frame = Frame((self.frames or [[]])[0][0], model.image_size)
        frame.check((photograph.pixels.shape[1], photograph.pixels.shape[0]))
        shown, fields = self._edited(model, shown_in(model, photograph.rgb(), frame))
        assert fields is not None
        pixels = apply(photograph.pixels, frame, fields)
        return to_pil(shown)[0], photograph.with_pixels(pixels)

    def _edited(self, model: Model, image: Tensor | None) -> tuple[Tensor, Fields | None]:
        """Return the picture and its fields; where they are not None they change the image, or `picture`."""
        before: Tensor
        after: Tensor
        image = _read_png(self.picture, model) if image is None and self.picture is not None else image
        if self.code is not None:
            after = model.decode(self.code.read(model))
            if image is None or self.start is None:
                return after, None
            before = model.decode(self.start.read(model))
        else:
            image = _read_png(self.picture, model) if image is None else image
            own = _read_attributes(self.own, model)
            if (told := told_edit(model, image, self.changes, own, self.composition, self.locks)) is not None:
                return told
            if self.moved is None:
                source = EditSource(image, None, own)
                before, after = (
                    rendered(model, [source], [None], [EditTarget(changes)]) for changes in ({}, self.changes)
                )
            else:
                z = encoder(model, "this picture").encode(image, own).z
                moved = _read_attributes(self.moved, model)
                before, after = (generator_of(model).decode(Code(z, y)) for y in (own, moved))
        return put_together(image, before, after, self.composition)


class SavedInpaint(Saved):
    """A picture whose hole is filled; arguments as of `inpaint`."""

    verb = "studio-inpaint"
    picture: str
    mask: str
    times: int
    feather: int
    known: Facts

    def made(self, model: Model) -> Tensor:
        """Return the picture."""
        hole = (_read_png(self.mask, model)[:, :1] > 0).float()
        image = _read_png(self.picture, model)
        return inpaint(model, image, hole, times=self.times, feather=self.feather, known=self.known).inpainted


class SavedBackground(Saved):
    """A picture, of attributes `own`, in front of the background of another."""

    verb = "studio-layers"
    picture: str
    own: str
    behind: str
    changes: Asked

    def made(self, model: Model) -> Tensor:
        """Return the picture."""
        image, behind = (_read_png(each, model) for each in (self.picture, self.behind))
        own = _read_attributes(self.own, model)
        found = layers(model, image, own, changes=self.changes, background=behind)
        return list(found.variants.values())[-1]


def saved_png(
    model: Model, source: EditSource, target: EditTarget, judge: Judges | None, *, model_name: str, label: bool = True
) -> bytes:
    """Return the picture of a target as a PNG with its receipt.

    Args:
        model: of the source.
        source: what was edited.
        target: what became of it.
        judge: who saw to the locks.
        model_name: the model as the user named it.
        label: see `Saved.png`.
    """
    picture = None if source.image is None else _png(source.image)
    request, facts = _saved_edit(model, source, target, judge, model_name, picture=picture)
    return request.png(model, request.made(model), photograph=source.image is not None, label=label, **facts)


def saved_photograph(
    model: Model,
    source: EditSource,
    target: EditTarget,
    judge: Judges | None,
    photograph: Photograph,
    frame: Frame,
    file: InputFile,
    *,
    model_name: str,
    label: bool = True,
) -> bytes:
    """Return a photograph's file, edited, with its receipt.

    Args:
        model, source, target, judge, model_name, label: as of `saved_png`.
        photograph: whole; frame: where in it the source lies.
        file: that it came from: its name, and its hash.
    """
    request, facts = _saved_edit(
        model, source, target, judge, model_name, picture=None, frames=[[frame.matrix]]
    )  # fmt: skip
    face, edited = request.whole(model, photograph)
    receipt = request.receipt(model, [pixels_sha256(face), edited.pixels_sha256()], file, **facts)
    return with_receipt(edited, receipt, tag_of("edit", model, model_name) if label else "")


def _saved_edit(
    model: Model, source: EditSource, target: EditTarget, judge: Judges | None, named: str, **words: Any
) -> tuple[SavedEdit, dict[str, Any]]:
    """Return an edit as it is made again, `words` being what of it the source does not tell; and facts."""
    final = moved_code(model, source, target, judge)
    # Where nothing but an image has a code, that image tells it, and is smaller.
    whole = final is not None and model.samples
    request = SavedEdit(
        model=named,
        start=SavedCode.of(source.code) if whole else None,
        code=SavedCode.of(final) if whole else None,
        own=_numbers(source.attributes),
        moved=None if whole or final is None else _numbers(final.attributes),
        changes=dict(target.changes),
        locks=list(target.locks),
        axes=[saved_axis(axis) for axis in target.axes if axis.name in target.changes],
        **words,
    )
    return request, {
        "judge": None if judge is None else judge.name,
        "began with": "a sample of the model" if source.image is None else "a photograph",
    }


def inpainted_png(
    model: Model, image: Tensor, hole: Tensor, *, model_name: str, photograph: bool, label: bool = True, **options: Any
) -> bytes:
    """Return a picture whose hole is filled, as a PNG with its receipt.

    Args:
        model: one that encodes.
        image: as the model is shown it, [1, 3, S, S] in [-1, 1].
        hole: [1, 1, S, S], 1 = hole.
        model_name: the model as the user named it.
        photograph, label: see `Saved.png`.
        options: times, feather and known of `inpaint`.
    """
    mask = 2 * hole.expand(-1, 3, -1, -1) - 1
    request = SavedInpaint(model=model_name, picture=_png(image), mask=_png(mask), **options)
    return request.png(model, request.made(model), photograph=photograph, label=label)


def layered_png(
    model: Model,
    image: Tensor,
    attributes: Tensor,
    behind: Tensor,
    changes: Mapping[str, float],
    *,
    model_name: str,
    photograph: bool,
    label: bool = True,
) -> bytes:
    """Return a picture in front of another's background, as a PNG with its receipt.

    Args:
        model: one that paints in layers.
        image, behind: both as the model is shown them, [1, 3, S, S] in [-1, 1].
        attributes: of the image, [1, W].
        changes: attribute -> strength.
        model_name: the model as the user named it.
        photograph, label: see `Saved.png`.
    """
    request = SavedBackground(
        model=model_name, picture=_png(image), own=_numbers(attributes), behind=_png(behind), changes=dict(changes)
    )
    return request.png(model, request.made(model), photograph=photograph, label=label)


def saved_axis(axis: Axis) -> SavedAxis:
    """Return an axis as a receipt tells it."""
    numbers = {name: float(vars(axis)[name]) for name in ("slope", "intercept", "low", "high")}
    return SavedAxis(name=axis.name, direction=axis.direction.tolist(), **numbers)


def _numbers(values: Tensor) -> str:
    return base64.b64encode(values.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes()).decode()


def _png(image: Tensor) -> str:
    return base64.b64encode(png_bytes(to_pil(image)[0])).decode()


def _read_numbers(text: str) -> Tensor:
    try:
        content = base64.b64decode(text, validate=True)
        if not content or len(content) % 4 or len(content) > 4 * LARGEST_CODE:
            raise ValueError("a wrong length")
    except (TypeError, ValueError, binascii.Error) as error:
        raise AttrimorphError(f"the receipt's numbers are damaged ({error}); save the picture again") from error
    return torch.frombuffer(bytearray(content), dtype=torch.float32)


def _read_attributes(text: str, model: Model) -> Tensor:
    """Read attributes that fit the model, [1, W]."""
    y = _read_numbers(text)
    if y.numel() != model.schema.width:
        raise AttrimorphError(
            f"the receipt must tell the model's {model.schema.width} attributes; it tells {y.numel()}; it is damaged"
        )
    if bool(y.isinf().any()):
        raise AttrimorphError("the receipt's attributes must be finite numbers; they are not; it is damaged")
    return y[None]


def _read_png(text: str | None, model: Model) -> Tensor:
    try:
        content = base64.b64decode(text or "", validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise AttrimorphError("the receipt's picture is damaged; save the picture again") from error
    image = decoded_image(io.BytesIO(content), "the receipt's picture")
    if image.size != (model.image_size, model.image_size):
        raise AttrimorphError(
            f"the receipt's picture must have the model's {model.image_size} pixels; it has {image.width}; "
            "save the picture again"
        )
    return pixels_of(image)
