"""Edit: the same image with attributes changed. The command, the studio's sliders and a replay come here.

What is edited is a source: one picture, or several, as a model holds them. Where a model decodes what it edits, that is
a code, and the codes of many edits are decoded together; other models keep the picture itself. What the edit changes in
the model's picture is then changed in the input's own pixels.

Locked attributes stay as a judge sees them while others are edited. A generator that is given y learned from data in
which attributes go together, so that an edit of one may show in another. The judge sees it, and the lock mends it with
the locked attributes' own columns of y: one damped Gauss-Newton step whose derivatives are measured by decoding, so
that any model whose codes have attributes can hold.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications import LARGEST, Composition, Meant, Search
from attrimorph.applications.inputs import attributes_of, code_of, editor
from attrimorph.data import Changes, Schema
from attrimorph.data.images import (
    DRAWN_EYES,
    EYES,
    Affine,
    Frame,
    aligned_frame,
    fit,
    largest_face,
    looks_drawn,
    open_image,
    placed,
)
from attrimorph.errors import AttrimorphError
from attrimorph.models import DRAWN, PHOTOGRAPHS, Strengths, shipped
from attrimorph.models.batches import RepeatedEdits
from attrimorph.models.model import Code, Edits, Encodes, Generates, Model, Moves, TellsFields
from attrimorph.photographs.faces import frames_of, square_frame
from attrimorph.photographs.fields import Fields, apply, apply_to_whole, changed, composed, explain
from attrimorph.photographs.file import Photograph, photograph_of, read_photograph
from attrimorph.pictures import (
    MOST_SHOWN,
    Pictures,
    Source,
    crop_for,
    given,
    is_shown,
    pixels_of,
    places_of,
    png_bytes,
    save_pictures,
    sheet,
    to_bytes,
    to_pil,
)

if TYPE_CHECKING:
    from attrimorph.applications.axes import Axis
    from attrimorph.applications.inversion import Inversion, Progress
    from attrimorph.evaluators import Judges

# --- photographs, where in them a model is shown a square, and what an edit there makes of them


@dataclass(frozen=True, eq=False)
class Looked:
    """Photographs, and what a model is shown of them.

    Attributes:
        photographs: as their files hold them.
        frames: of each, where faces are that are meant.
        images: what lies in the frames, [N, 3, S, S] in [-1, 1], photograph after photograph.
        said: sentences worth reading.
    """

    photographs: Sequence[Photograph]
    frames: Sequence[Sequence[Frame]]
    images: Tensor
    said: Sequence[str]

    @classmethod
    def together(cls, parts: "Sequence[Looked]") -> "Looked":
        """Join several."""
        return cls(
            [each for part in parts for each in part.photographs],
            [each for part in parts for each in part.frames],
            torch.cat([part.images for part in parts]),
            [each for part in parts for each in part.said],
        )

    def changed(self, fields: Fields) -> list[Photograph]:
        """Return the photographs as fields, N of them, change them within their frames."""
        side = self.images.shape[-1]
        whole = [[Frame((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), side)]] * len(self.photographs)
        kinds = {(each.pixels.shape, each.pixels.dtype.name) for each in self.photographs}
        if fields.flow is None and list(self.frames) == whole and kinds == {((side, side, 3), "uint8")}:
            edited = apply_to_whole(np.stack([each.pixels for each in self.photographs]), fields)
            return [each.with_pixels(pixels) for each, pixels in zip(self.photographs, edited, strict=True)]
        found, row = [], 0
        for photograph, frames in zip(self.photographs, self.frames, strict=True):
            pixels = photograph.pixels
            for frame in frames:
                pixels = apply(pixels, frame, fields[row])
                row += 1
            found.append(photograph.with_pixels(pixels))
        return found


def look(
    model: Model, source: Source, meant: Meant = LARGEST, known: Sequence[Sequence[Affine]] | None = None
) -> Looked:
    """Open photographs and find what a model is shown of them.

    Args:
        model: whose pictures are like what is looked for.
        source: files, or pictures in memory.
        meant: which faces.
        known: the frames' matrices for each photograph, where they were found before.

    Raises:
        AttrimorphError: a file cannot be read, or a face that is meant is not there.
    """
    photographs, frames, said = [], [], []
    images: list[Tensor] = []
    named = list(_read(source))
    if known is not None and (len(known) != len(named) or not all(known)):
        raise AttrimorphError(f"there must be frames of each of {len(named)} pictures; got {[*map(len, known)][:9]}")
    for row, (called, photograph) in enumerate(named):
        image, name = photograph.rgb(), f"{called}: " if len(named) > 1 else ""
        whole = whole_frame(model, image)
        found = [Frame(matrix, whole.side) for matrix in known[row]] if known is not None else []
        for frame in found:
            frame.check(image.size)
        if known is None:
            found, sentences = frames_of(
                image, whole, meant.face, box=meant.box, aligned=meant.aligned, **trained_on(model)
            )
            said += [f"{name}{sentence}" for sentence in (*photograph.notes, *misfit(model, image), *sentences)]
        images += [shown_in(model, image, frame) for frame in found]
        photographs.append(photograph)
        frames.append(found)
    if not images:
        raise AttrimorphError("at least one picture must be given; got none; name a file")
    return Looked(photographs, frames, torch.cat(images).as_subclass(Pictures), said)


def _read(source: Any) -> Iterator[tuple[str, Photograph]]:
    """Yield photographs, and what they are called."""
    for each in source if isinstance(source, list | tuple) else [source]:
        if isinstance(each, str | Path):
            path = each if isinstance(each, Path) else Path(each)  # one in an archive knows where it lies
            yield path.name, read_photograph(path)
        else:
            for picture in given(each):
                yield "a picture", photograph_of(picture)


def trained_on(model: Model) -> dict[str, Any]:
    """Return what `frames_of` needs to know of a model's pictures."""
    preprocessing = dict(model.header.get("preprocessing") or {})
    places = DRAWN_EYES if preprocessing.get("drawn") == "faces" else EYES
    return {"needed": bool(preprocessing.get("align")), "places": places}


def whole_frame(model: Model, image: Image.Image) -> Frame:
    """Return where the square lies that the model is shown of a picture that is a face already."""
    crop = crop_for(image.size, model.image_size, model.header.get("preprocessing") or {})
    return square_frame(placed(image.size, crop, model.image_size), model.image_size)


def shown_in(model: Model, image: Image.Image, frame: Frame) -> Pictures:
    """Return what a model is shown of a photograph's frame, [1, 3, S, S] in [-1, 1]."""
    if frame != whole_frame(model, image):
        return pixels_of(frame.cut(image)).as_subclass(Pictures)
    # What is a face already goes the way of the training images.
    crop = crop_for(image.size, model.image_size, model.header.get("preprocessing") or {})
    return pixels_of(fit(image, frame.side, crop)).as_subclass(Pictures)


def frame_of(model: Model, image: Image.Image) -> Frame:
    """Return where the square lies that earlier versions showed a model of a photograph.

    Raises:
        AttrimorphError: the model's images were aligned, and there is no face in the photograph.
    """
    if (model.header.get("preprocessing") or {}).get("align"):
        return aligned_frame(largest_face(image).eyes, model.image_size)
    return whole_frame(model, image)


def put_together(
    images: Tensor, before: Tensor, after: Tensor, composition: Composition = "fields"
) -> tuple[Pictures, Fields | None]:
    """Return what an edit shows of images, [B, 3, S, S] on the CPU, and the fields that make it, where they do.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        before, after: what the model makes of them, unedited and edited.
        composition: see `Composition`.
    """
    if composition == "fields":
        fields = explain(before, after)
        return changed(images, fields).cpu().as_subclass(Pictures), fields
    return after.as_subclass(Tensor).cpu().as_subclass(Pictures), None


def told_edit(
    model: Model,
    images: Tensor | None,
    changes: Mapping[str, float],
    attributes: Tensor | None,
    composition: Composition = "fields",
    locks: Sequence[str] = (),
) -> tuple[Pictures, Fields] | None:
    """Return what an edit shows of images and its fields as the model itself tells them; None of one that tells none.

    Args:
        model: the editor.
        images, composition: as of `put_together`; other compositions have no use for fields.
        changes, attributes: as of `edited_images`.
        locks: there may be none.
    """
    if composition != "fields" or not isinstance(model, TellsFields) or images is None:
        return None
    _refuse_locks(model, locks)
    fields = model.fields(images, changes, attributes)
    return changed(images, fields).cpu().as_subclass(Pictures), fields


def edited_images(
    model: Model,
    images: Tensor,
    changes: Mapping[str, float],
    attributes: Tensor | None,
    composition: Composition = "fields",
) -> Tensor:
    """Return images as an edit changes them, [B, 3, S, S] in [-1, 1]; what the model cannot reconstruct stays.

    Args:
        model: one that edits.
        images: [B, 3, S, S] in [-1, 1].
        changes: see `Schema.edit`.
        attributes: [B, W] of the images.
        composition: see `Composition`.
    """
    if (told := told_edit(model, images, changes, attributes, composition)) is not None:
        return told[0]
    before, after = map(RepeatedEdits(editor(model, "edit"), images, attributes), ({}, changes))
    shown = put_together(images, before, after, composition)[0]
    if composition == "earlier" and isinstance(model, Encodes):
        return with_detail(images, put_together(images, before, before, composition)[0], shown)
    return shown


@dataclass(frozen=True)
class Composed:
    """An editor whose edits are put into the images, as people see them.

    Attributes:
        editor: whose.
    """

    editor: Edits

    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Return images edited, [B, 3, S, S] in [-1, 1] on the CPU; see `photographs.fields.composed`."""
        if isinstance(self.editor, TellsFields):
            return self.editor.edit(images, changes, attributes).cpu()
        before, after = map(RepeatedEdits(self.editor, images, attributes), ({}, changes))
        return composed(images, before, after).cpu()


# --- what receipts that say nothing of a composition are made again with

FADING = 1 / 16  # of the square's side, over which a change fades out inside a larger photograph
FAINT, PLAIN = 0.06, 0.3  # on the scale -1..1


def put_back(model: Model, path: Path, change: Tensor) -> Image.Image:
    """Return a whole photograph with a change [3, S, S] of its square added, edited less unedited."""
    image = open_image(path)
    frame = frame_of(model, image)
    size = frame.side
    whole = frame.matrix == (image.width / size, 0.0, 0.0, 0.0, image.height / size, 0.0)
    inward = torch.arange(size).add(0.5).minimum(size - 0.5 - torch.arange(size)) / (FADING * size)
    ramp = inward.clamp(max=1)
    levels = change.float().cpu().mul(127.5) * (1.0 if whole else ramp[:, None] * ramp[None])
    pixels = np.asarray(image).astype(np.float32)
    for channel, values in enumerate(levels):
        layer = Image.fromarray(values.contiguous().numpy())
        moved = layer.transform(image.size, Image.Transform.AFFINE, frame.inverse, Image.Resampling.BICUBIC)
        pixels[..., channel] += np.asarray(moved)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def with_detail(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Put what changed between two pictures of a model onto the images that they stand for: x + after - before.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        before, after: what the model makes of them, unedited and edited.

    Returns:
        [B, 3, S, S] in [-1, 1] on the CPU.
    """
    return (images.cpu() + after.cpu() - before.cpu()).clamp(-1, 1)


def blended(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """As `with_detail`, but where much changes the edited picture itself: (1 - w) (x + after - before) + w after.

    What is taken away (glasses, a beard) lies elsewhere by a pixel in a picture that an inversion found; its difference
    alone would leave a ghost. w rises from 0 to 1 with the mean change of the neighbourhood, from FAINT to PLAIN.

    Arguments and result as of `with_detail`.
    """
    images, before, after = images.cpu(), before.cpu(), after.cpu()
    size = (after - before).abs().mean(1, keepdim=True)
    for _ in range(2):
        size = avg_pool2d(size, 5, 1, 2, count_include_pad=False)
    w = ((size - FAINT) / (PLAIN - FAINT)).clamp(0, 1)
    return ((1 - w) * (images + after - before) + w * after).clamp(-1, 1)


FAR, DEVIATION = 4.0, 1.5  # deviations below the mean; one in dB where a model's card tells the mean alone


def unlike(model: Model, images: Tensor, made: Tensor | None) -> list[str]:
    """Return a sentence where pictures are reconstructed far worse than those that the model was trained on.

    Far is a PSNR that lies more than FAR deviations below the mean of the model's own pictures, both from its header;
    of older files the mean from the card, and DEVIATION. Nothing where neither tells, or nothing is reconstructed.

    Args:
        model: whose.
        images, made: pictures and their reconstructions, [N, 3, S, S] in [-1, 1].
    """
    told = dict(model.header.get("reconstruction") or {})
    means = [value for name, value in model.card.items() if name.startswith("reconstruction PSNR in dB")]
    mean = told.get("psnr", next(iter(means), None))
    if made is None or mean is None:
        return []
    from attrimorph.metrics.similarity import psnr

    least = mean - FAR * told.get("deviation", DEVIATION)
    found = [
        each for each in psnr(images.as_subclass(Tensor).cpu(), made.as_subclass(Tensor).cpu()).tolist() if each < least
    ]
    if not found:
        return []
    drawn = (model.header.get("preprocessing") or {}).get("drawn")
    which = "this picture is" if len(images) == 1 else f"{len(found)} of {len(images)} pictures are"
    data = f" (drawn {drawn})" if drawn else ""
    fits = PHOTOGRAPHS if drawn == "faces" and PHOTOGRAPHS in shipped() else "a model trained on such pictures"
    return [
        f"{which} unlike what {model.recipe.name} was trained on{data}: reconstructed at {min(found):.1f} dB, its own "
        f"pictures at {mean:.1f} (at least {least:.1f}); {fits} would fit"
    ]


def misfit(model: Model, image: Image.Image) -> list[str]:
    """Return a sentence where an RGB picture looks drawn, and the model is the shipped one of photographs."""
    if model.card.get("name") != PHOTOGRAPHS or not looks_drawn(image):
        return []
    return [f"this looks like a drawn face, {PHOTOGRAPHS} was trained on photographs; {DRAWN} would fit"]


def unchanged(schema: Schema, images: Tensor, edited: Tensor, changes: Changes, known: Changes | None) -> list[str]:
    """Return a sentence where an edit changes nothing, as a picture is taken for what it should become.

    Args:
        schema: of the attributes.
        images, edited: [N, 3, S, S] in [-1, 1].
        changes: what was asked.
        known: what a person said of the pictures; of it the model guessed nothing.
    """
    categorical = [each.name for each in schema.attributes if each.values]
    told, asked = (  # hair=brown is of hair
        dict.fromkeys(next((name for name in categorical if key.startswith(f"{name}=")), key) for key in each)
        for each in (known or {}, [key for key, strength in changes.items() if strength])
    )
    names = [name for name in asked if name not in told]
    same = int((images.cpu() == edited.cpu()).flatten(1).all(1).sum()) if names else 0
    if not same:
        return []
    which = "this picture" if len(images) == 1 else f"{same} of {len(images)} pictures"
    return [
        f"nothing is changed in {which}: as the model sees it, it has what is asked of {', '.join(names)} already; if "
        f"it has not, say so with --known {names[0]}=..."
    ]


# --- edits


@dataclass(frozen=True, eq=False)
class EditSource:
    """Pictures as a model holds them.

    Attributes:
        image: as the model is shown them, [B, 3, S, S] in [-1, 1]; None of samples.
        code: B rows; None of a model that has none.
        attributes: [B, W]; NaN where nobody knows.
        inversion: how the code was found; None where the encoder told it, or it was drawn.
    """

    image: Tensor | None
    code: Code | None
    attributes: Tensor
    inversion: "Inversion | None" = None


@dataclass(frozen=True)
class EditTarget:
    """What shall become of a source.

    Attributes:
        changes: attribute, or the name of a taught axis -> strength.
        locks: attributes that stay as a judge sees them.
        axes: taught ones that `changes` may name.
    """

    changes: Mapping[str, float] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    axes: "tuple[Axis, ...]" = ()


@dataclass(frozen=True)
class Edit:
    """Edited images.

    Attributes:
        images: the inputs, [B, 3, S, S] in [-1, 1].
        reconstructions: without any change, or None where these are the inputs.
        edited: with the changes.
        fields: how they change the inputs' own pixels, at any size; None where the model's own picture is shown.
        looked: the photographs that were given, and where in them the N faces lie; None where tensors were.
        before, after: attributes, [B, width].
        inversion: how the codes were found; None where they are the encoder's.
    """

    images: Tensor
    reconstructions: Tensor | None
    edited: Tensor
    before: Tensor
    after: Tensor
    inversion: "Inversion | None" = None
    fields: "Fields | None" = None
    looked: Looked | None = None

    @cached_property
    def _changed(self) -> "list[Photograph] | None":
        return None if self.fields is None or self.looked is None else self.looked.changed(self.fields)

    @property
    def photographs(self) -> list[Image.Image]:
        """The pictures given, upright and at their own size, edited, with alpha and profile; colours of 16 bits as 8.
        The model's own where nothing is put in."""
        return to_pil(self.edited) if self._changed is None else [each.picture() for each in self._changed]

    @property
    def pixels(self) -> list[NDArray[Any]]:
        """The same as arrays [H, W, C] of uint8 or uint16, as the pictures given hold them."""
        changed = self._changed
        return list(to_bytes(self.edited)) if changed is None else [each.pixels for each in changed]

    @property
    def faces(self) -> list[list[Frame]]:
        """Of each photograph the frames that were edited; nothing of tensors."""
        return [] if self.looked is None else [list(frames) for frames in self.looked.frames]

    @property
    def mask(self) -> list[NDArray[np.bool_]]:
        """Of each photograph which pixels the edit changed, [H, W]; nothing where the model's own picture is shown."""
        if self.looked is None or self._changed is None:
            return []
        both = zip(self._changed, self.looked.photographs, strict=True)
        return [(after.pixels != before.pixels).any(2) for after, before in both]

    def save(self, path: str | Path, *, no_location: bool = False) -> list[Path]:
        """Write the photographs to a file, or to NAME-1.png, NAME-2.png, ...; endings and errors as of `Pictures.save`.

        With `no_location` nothing says where they were taken.

        Under the ending of its own format a file's photograph keeps colours, bits, layout, profile and EXIF; under
        another one, and of a picture in memory, what that format can hold; a warning says what is lost.
        """
        if self._changed is None:
            return save_pictures(to_pil(self.edited), path)
        places = places_of(path, len(self._changed))
        for place, photograph in zip(places, self._changed, strict=True):
            photograph.save(place, no_location=no_location, tag="edited by attrimorph")
        return places

    def _repr_png_(self) -> bytes:
        shown = {"input": self.images, "reconstruction": self.reconstructions, "edited": self.edited}
        columns = {word: batch.cpu() for word, batch in shown.items() if batch is not None}
        rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
        return png_bytes(sheet(rows[:MOST_SHOWN], columns=list(columns)))


def edit(
    model: Model,
    images: Source,
    changes: Changes,
    attributes: Tensor | None = None,
    *,
    calibrated: bool = True,
    known: Changes | None = None,
    invert: Search | None = None,
    progress: "Progress | None" = None,
    composition: Composition = "fields",
    face: str | int = "largest",
    box: str | None = None,
    aligned: bool = False,
) -> Edit:
    """Change attributes of images.

    Args:
        model: one that edits; with `invert`, one that generates images with attributes; an editor along axes.
        images: photographs: files, PIL pictures, pixels, floats of any size; see `Model.prepared`. The face is looked
            for, and what is worth reading of it is warned of. A tensor [B, 3, S, S] in [-1, 1] is taken as it is.
        changes: attribute (or "name=value") -> strength: 0 unchanged, 1 set, -1 taken away; or a categorical
            attribute -> its value; see `Schema.edit`.
        attributes: [B, width] of the inputs; guessed by the model when None, with `invert` looked for.
        calibrated: whether 0.5 means half-way, as far as the model's file knows how; else strengths are taken as they
            stand.
        known: attribute -> 0 or 1, put over what is guessed, and not looked for.
        invert: how to look for the codes; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).
        composition: "fields": the images' own pixels, changed where and as the model changes its reconstruction;
            "whole face": the model's own picture.
        face, box, aligned: which faces of photographs are meant, see `Meant`; with face="all", N faces of B.

    Raises:
        AttrimorphError: the model does not edit, there is no such attribute, or a face that is meant is not there.
    """
    model = model if calibrated else model.with_strengths(Strengths())
    if not changes:
        raise AttrimorphError("an edit must change at least one attribute; got none; add --set Smiling=1")
    target, looked = EditTarget(model.changes(changes)), None
    if composition != "earlier" and not is_shown(images, model.image_size):
        looked = look(model, images, Meant(str(face), box, aligned))
        for sentence in looked.said:
            warnings.warn(sentence, stacklevel=2)
    images = model.prepared(images if looked is None else looked.images)
    _refuse(model, target, invert)
    source = edit_source(model, images, attributes, known=model.schema.facts(known or {}), invert=invert,
                         progress=progress)  # fmt: skip
    before = source.attributes.cpu()
    if (told := told_edit(model, images, target.changes, before, composition)) is not None:
        after = model.schema.edit(before, target.changes)
        return _warned(model, Edit(images, None, told[0], before, after, None, told[1], looked), changes, known)
    if source.code is None:
        unedited, edited = (rendered(model, [source], [None], [each]) for each in (EditTarget(), target))
        # Most editors without codes leave a picture alone of which nothing is asked.
        reconstructions = None if torch.equal(unedited, images.cpu()) else unedited
        after = model.schema.edit(before, target.changes)
        edited, fields = put_together(images, unedited, edited, composition)
        return _warned(
            model, Edit(images, reconstructions, edited, before, after, None, fields, looked), changes, known
        )
    if isinstance(model, Moves):  # with the locks and the length of ways that it has itself
        moved = model.move(source.code, target.changes)
        after = moved.attributes.cpu()
    else:
        code = moved_code(model, source, target)
        assert code is not None
        moved, after = code, model.schema.edit(before, target.changes)
    reconstructions = model.decode(source.code)
    for sentence in unlike(model, images, reconstructions) if looked is not None else ():
        warnings.warn(sentence, stacklevel=2)
    edited, fields = put_together(images, reconstructions, model.decode(moved), composition)
    found = Edit(images, reconstructions, edited, before, after, source.inversion, fields, looked)
    return _warned(model, found, changes, known)


def _warned(model: Model, found: Edit, changes: Changes, known: Changes | None) -> Edit:
    """Warn of photographs in which an edit changes nothing."""
    for sentence in (
        unchanged(model.schema, found.images, found.edited, changes, known) if found.looked is not None else ()
    ):
        warnings.warn(sentence, stacklevel=3)
    return found


def _refuse(model: Model, target: EditTarget, invert: Search | None) -> None:
    """Refuse what could not be edited, before a long search."""
    if isinstance(model, Moves):
        model.move(model.sample_codes(1, torch.Generator().manual_seed(0)), target.changes)
        return
    if invert is not None and not model.conditional:
        raise AttrimorphError(
            f"an edit needs a model whose images depend on attributes; those of {model.recipe.name!r} "
            f"({model.recipe.method}) do not; use a conditional model, or fit axes to this one with axes fit"
        )
    model.schema.edit(model.schema.fill_value[None], target.changes)
    if invert is None:
        editor(model, "edit", invertible=isinstance(model, Generates) and model.conditional)


def has_codes(model: Model) -> bool:
    """Tell whether a source of the model is a code."""
    return isinstance(model, Moves | Generates | Encodes)


def moves_codes(model: Model) -> bool:
    """Tell whether an edit of the model is a code moved, by its attributes or along axes, and decoded."""
    return isinstance(model, Moves) or (model.conditional and has_codes(model))


def generator_of(model: Model) -> Model:
    """Return what decodes: the model itself, or that of an editor along axes."""
    return model.model if isinstance(model, Moves) else model


def edit_source(
    model: Model,
    images: Source,
    attributes: Tensor | None = None,
    *,
    known: Changes | None = None,
    invert: Search | None = None,
    progress: "Progress | None" = None,
) -> EditSource:
    """Take photographs as a source; arguments and errors as of `edit`."""
    images = model.prepared(images)
    if not has_codes(model):
        editor(model, "edit")
        if invert is not None:
            raise AttrimorphError(
                f"a search (--invert) looks for a picture's code; {model.recipe.name!r} ({model.recipe.method}) has "
                "none and changes pictures as they are; leave it out"
            )
        return EditSource(images, None, attributes_of(model, images, known) if attributes is None else attributes)
    code, found = code_of(model, images, attributes, "edit", known=known, invert=invert, progress=progress)
    return EditSource(images, code, code.attributes.cpu(), found)


def found_source(model: Model, image: Source, known: Changes | None = None) -> EditSource:
    """Take a photograph as a source as pages do: a model without an encoder looks for its code, and what its pictures
    do not depend on nobody knows.

    Args:
        model: one that edits or decodes.
        image: any picture.
        known: attribute -> 0 or 1, put over what the model guesses.

    Raises:
        AttrimorphError: the model does not edit photographs, or finds no face in it.
    """
    search = Search() if has_codes(model) and not isinstance(generator_of(model), Encodes) else None
    with torch.enable_grad():
        source = edit_source(model, image, known=known, invert=search)
    return (
        source if source.code is None else EditSource(source.image, source.code, _attributes_told(model, source.code))
    )


def sampled_sources(
    model: Model, count: int, seed: int, changes: Mapping[str, float] | None = None
) -> list[EditSource]:
    """Draw sources: those of `sample`, with the same arguments.

    Raises:
        AttrimorphError: the model draws no pictures, or an argument is out of range.
    """
    along = isinstance(model, Moves)
    code = generator_of(model).draw(count, None if along else changes, seed=seed)
    if isinstance(model, Moves):
        code = model.own(model.move(code, changes or {}))
    y = _attributes_told(model, code)
    rows = [Code(code.z[row : row + 1], code.attributes[row : row + 1]) for row in range(count)]
    return [EditSource(None, each, y[row : row + 1]) for row, each in enumerate(rows)]


def _attributes_told(model: Model, code: Code) -> Tensor:
    """Return a code's attributes [B, W] on the CPU, NaN where the model's pictures do not depend on them."""
    y = code.attributes.cpu()
    return y if model.conditional else torch.full_like(y, torch.nan)


def moved_code(
    model: Model, source: EditSource, target: EditTarget, judge: "Judges | None" = None, before: Tensor | None = None
) -> Code | None:
    """Return a source's code as a target wants it; None of a source that has none.

    Args:
        model: of the source.
        source: one row where there are locks.
        target: what shall become of it.
        judge: who sees to the locks; None where there are none. Along axes nobody is needed: locked scores stay.
        before: the judge's logits of the source without any change, [1, W]; looked for where None.

    Raises:
        AttrimorphError: there is no such attribute or axis, a strength is out of range, or a lock has no judge.
    """
    if source.code is None:
        return None
    changes, taught = target.changes, {axis.name: axis for axis in target.axes}
    if isinstance(model, Moves):
        along = model.with_axes(taught, photographs=source.image is not None)
        return along.own(along.move(source.code, changes, target.locks))
    own = {name: strength for name, strength in changes.items() if name not in taught}
    if own and not model.conditional:
        raise AttrimorphError(
            f"the model {model.recipe.name!r} has no attributes to change; find some with `attrimorph axes fit`, "
            "or teach it one by examples"
        )
    code = Code(source.code.z, model.moved(source.code.attributes, own))
    moving = {name: strength for name, strength in changes.items() if name in taught and strength}
    if moving:
        from attrimorph.applications.axes import AxisPack
        from attrimorph.applications.axes.editor import AxisEditor

        pack = AxisPack(model.hash, model.recipe.name, taught)
        far = AxisEditor(model, pack).move(code, moving, [name for name in target.locks if name in taught])
        code = Code(far.z.to(code.z.device), far.attributes[:, : model.schema.width].to(code.attributes.device))
    locks = [name for name in target.locks if name not in taught]
    if not locks or not any(changes.values()):
        return code
    for name in locks:
        model.schema.attribute(name)
    if judge is None:
        raise AttrimorphError(
            "somebody must see whether locked attributes stay; this model has no attribute classifier (judge); "
            "unlock them"
        )

    seen = logits_of(judge, model.decode(source.code)) if before is None else before
    return with_locks(model, judge, seen, code, locks, changes)


def rendered(
    model: Model, sources: Sequence[EditSource], codes: Sequence[Code | None], targets: Sequence[EditTarget]
) -> Tensor:
    """Return the model's own pictures of targets, [B, 3, S, S] in [-1, 1] on the CPU; codes are decoded together.

    Args:
        model: of all.
        sources: of B rows in all.
        codes: what `moved_code` made of each.
        targets: one of each.
    """
    rows = [code for code in codes if code is not None]
    if len(rows) == len(codes):
        together = Code(torch.cat([row.z for row in rows]), torch.cat([row.attributes.to(rows[0].z) for row in rows]))
        return model.decode(together).cpu()
    pictures = []
    for source, target in zip(sources, targets, strict=True):
        assert source.image is not None
        _refuse_locks(model, target.locks)
        pictures.append(editor(model, "edit").edit(source.image, target.changes, source.attributes).cpu())
    return torch.cat(pictures)


# --- locks, and what an edit drags along


def _refuse_locks(model: Model, locks: Sequence[str]) -> None:
    """Refuse locks with a model that has no codes."""
    if locks:
        raise AttrimorphError(f"the model {model.recipe.name!r} has no codes and cannot lock attributes; unlock all")


CLIPPED = 4.0  # logits: beyond, a judge is sure and more of it cannot be seen
STRAYED = 0.15  # logits by which a locked attribute may stray without being brought back
PROBED = 0.5  # how far a column is moved to see what it does
FARTHEST = 1.5  # how far a lock may move its column
DAMPING = 0.3
SHARES = (0.0, 1 / 3, 2 / 3, 1.0)
"""Of the step; that which leaves the least is taken, so that a lock never makes it worse."""


@runtime_checkable
class TellsLogits(Protocol):
    """A judge that says what it thinks before any sigmoid."""

    def logits(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] -> [B, W]."""


def logits_of(judge: "Judges", images: Tensor) -> Tensor:
    """Return a judge's logits [B, W] on the CPU, cut off at `CLIPPED`."""
    said = judge.logits(images) if isinstance(judge, TellsLogits) else judge(images).float().logit()
    return said.float().cpu().clamp(-CLIPPED, CLIPPED)


def lockable(schema: Schema, known: Schema) -> list[str]:
    """Return the binary attributes that a model has and a judge knows."""
    told = {a.name for a in known.attributes if a.kind == "binary"}
    return [a.name for a in schema.attributes if a.kind == "binary" and a.name in told]


def free_of(schema: Schema, locks: Sequence[str], changes: Mapping[str, float]) -> list[str]:
    """Return the locks less what is edited, and less what must give way to what is set (the other hair colours)."""
    moved = {name for name, strength in changes.items() if strength}
    giving_way = {rival for name in moved if changes[name] > 0 for rival in schema.excluded_by(name)}
    return [name for name in dict.fromkeys(locks) if name not in moved and name not in giving_way]


def with_locks(
    model: Model,
    judge: "Judges",
    before: Tensor,
    code: Code,
    locks: Sequence[str],
    changes: Mapping[str, float],
) -> Code:
    """Return an edited code whose locked attributes look to the judge as they did before.

    With r how far the locked attributes' logits strayed and J the derivatives of the logits of locked and edited
    attributes by the locked columns of y, the step is d = -(J'J + 0.3)^-1 J'(r, 0).

    Args:
        model: one whose codes have attributes.
        judge: who sees.
        before: the judge's logits of the picture without the edit, [1, V]; see `logits_of`.
        code: edited, one row.
        locks: binary attributes that model and judge know; those that `free_of` leaves are held.
        changes: what is edited.
    """
    own, seen = model.schema.column_names, judge.schema.column_names
    names = [name for name in free_of(model.schema, locks, changes) if name in own and name in seen]
    if not names:
        return code
    after = logits_of(judge, model.decode(code))
    rows = [seen.index(name) for name in names]
    strayed = (after - before)[0, rows]
    if float(strayed.abs().max()) < STRAYED:
        return code
    wished = [seen.index(name) for name in changes if name in seen]
    columns = [own.index(name) for name in names]
    probes = torch.where(strayed > 0, -PROBED, PROBED)
    tried = _with_columns(model, code, columns, torch.diag(probes))
    answers = logits_of(judge, model.decode(tried))
    jacobian = ((answers - after)[:, rows + wished] / probes[:, None]).T
    aim = torch.cat([strayed, torch.zeros(len(wished))])
    step = torch.linalg.solve(jacobian.T @ jacobian + DAMPING * torch.eye(len(names)), -jacobian.T @ aim)
    shares = torch.tensor(SHARES)[:, None] * step.clamp(-FARTHEST, FARTHEST)
    ways = _with_columns(model, code, columns, shares)
    found = logits_of(judge, model.decode(ways))
    cost = (found - before)[:, rows].square().sum(1) + 0.5 * (found - after)[:, wished].square().sum(1)
    best = int(cost.argmin())
    return Code(ways.z[best : best + 1], ways.attributes[best : best + 1])


def _with_columns(model: Model, code: Code, columns: Sequence[int], moves: Tensor) -> Code:
    """Return a row for each row of moves [R, K], its columns of y moved by them."""
    y = code.attributes.cpu()
    y = torch.where(y.isnan(), model.schema.fill_value.to(y), y).repeat(len(moves), 1)
    y[:, list(columns)] += moves
    return Code(code.z.expand(len(moves), *code.z.shape[1:]), y)


def side_effects(
    schema: Schema, before: Tensor, after: Tensor, changes: Mapping[str, float], least: float
) -> dict[str, float]:
    """Return what an edit changes besides: attribute -> change of the judge's probability, the largest first.

    Args:
        schema: of the judge.
        before, after: its probabilities, [W] each.
        changes: what was edited; it, and what it must take away or bring back, is no side effect.
        least: smaller changes are left out.
    """
    asked = {name for name, strength in changes.items() if strength}
    asked |= {rival for name in asked for rival in schema.excluded_by(name)}
    moved = {
        name: round(float(after[place] - before[place]), 3)
        for place, name in enumerate(schema.column_names)
        if name not in asked and schema.find(name)[0].kind != "real"
    }
    strong = {name: change for name, change in moved.items() if abs(change) >= least}
    return dict(sorted(strong.items(), key=lambda item: -abs(item[1])))
