"""A whole photograph, where in it the square lies that a model is shown, and what an edit there makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from attrimorph.applications import LARGEST, Composition, Meant
from attrimorph.applications.inputs import editor
from attrimorph.data import align
from attrimorph.data.align import Affine, Frame
from attrimorph.data.images import fit, open_image, placed
from attrimorph.models.model import Edits, Encodes, Model, TellsFields
from attrimorph.photographs.faces import frames_of, square_frame
from attrimorph.photographs.fields import Fields, apply, changed, composed, explain
from attrimorph.photographs.file import Photograph, read_photograph
from attrimorph.pictures import Pictures, Source, crop_for, opened, pixels_of


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
        found, row = [], 0
        for photograph, frames in zip(self.photographs, self.frames, strict=True):
            pixels = photograph.pixels
            for frame in frames:
                pixels = apply(pixels, frame, fields[row])
                row += 1
            found.append(photograph.with_pixels(pixels))
        return found


def look(
    model: Model, paths: Sequence[Path], meant: Meant = LARGEST, known: Sequence[Sequence[Affine]] | None = None
) -> Looked:
    """Open photographs and find what a model is shown of them.

    Args:
        model: whose pictures are like what is looked for.
        paths: of the photographs.
        meant: which faces.
        known: the frames' matrices for each photograph, where they were found before.

    Raises:
        AttrimorphError: a file cannot be read, or a face that is meant is not there.
    """
    photographs, frames, images, said = [], [], [], []
    preprocessing = dict(model.header.get("preprocessing") or {})
    for row, path in enumerate(paths):
        photograph = read_photograph(path)
        image, name = photograph.rgb(), f"{path.name}: " if len(paths) > 1 else ""
        whole = whole_frame(model, image)
        found = [Frame(matrix, whole.side) for matrix in known[row]] if known is not None else []
        if known is None:
            found, sentences = frames_of(
                image, whole, meant.face, box=meant.box, aligned=meant.aligned, needed=bool(preprocessing.get("align"))
            )
            said += [f"{name}{sentence}" for sentence in (*photograph.notes, *sentences)]
        crop = crop_for(image.size, preprocessing.get("crop"))
        for frame in found:
            # What is a face already goes the way of the training images.
            images.append(pixels_of(fit(image, whole.side, crop) if frame == whole else frame.cut(image)))
        photographs.append(photograph)
        frames.append(found)
    return Looked(photographs, frames, torch.cat(images).as_subclass(Pictures), said)


def whole_frame(model: Model, image: Image.Image) -> Frame:
    """Return where the square lies that the model is shown of a picture that is a face already."""
    crop = crop_for(image.size, (model.header.get("preprocessing") or {}).get("crop"))
    return square_frame(placed(image.size, crop, model.image_size), model.image_size)


def frame_of(model: Model, image: Image.Image) -> Frame:
    """Return where the square lies that earlier versions showed a model of a photograph.

    Raises:
        AttrimorphError: the model's images were aligned, and there is no face in the photograph.
    """
    if (model.header.get("preprocessing") or {}).get("align"):
        return align.frame_of(align.largest_face(image).eyes, model.image_size)
    return whole_frame(model, image)


def photographs(model: Model, source: Source, fields: Fields) -> list[Image.Image]:
    """Return photographs, as large as they are, as fields change them.

    Args:
        model: that was shown them.
        source: B photographs, as the model was given them.
        fields: of as many.
    """
    return [
        Image.fromarray(apply(np.asarray(image), frame_of(model, image), fields[row]))
        for row, image in enumerate(opened(source))
    ]


def put_together(
    model: Model, images: Tensor, before: Tensor, after: Tensor, composition: Composition = "fields"
) -> tuple[Pictures, Fields | None]:
    """Return what an edit shows of images, [B, 3, S, S] on the CPU, and the fields that make it, where they do.

    Args:
        model: the editor.
        images: [B, 3, S, S] in [-1, 1].
        before, after: what the model makes of them, unedited and edited.
        composition: see `Composition`.
    """
    if composition == "fields":
        fields = explain(before, after)
        return changed(images, fields).cpu().as_subclass(Pictures), fields
    networks = getattr(model.recipe, "networks", None)
    if composition == "earlier" and getattr(networks, "composition", "none") == "difference":
        after = difference(images.to(after.device), before, after)
    return after.as_subclass(Tensor).cpu().as_subclass(Pictures), None


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
    if composition == "fields" and isinstance(model, TellsFields):
        return changed(images, model.fields(images, changes, attributes)).cpu()
    before, after = (editor(model, "edit").edit(images, each, attributes) for each in ({}, changes))
    shown = put_together(model, images, before, after, composition)[0]
    if composition == "earlier" and isinstance(model, Encodes):
        return with_detail(images, put_together(model, images, before, before, composition)[0], shown)
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
        before, after = (self.editor.edit(images, each, attributes) for each in ({}, changes))
        return composed(images, before, after).cpu()


# --- what receipts that say nothing of a composition are made again with

FADING = 1 / 16  # of the square's side, over which a change fades out inside a larger photograph
UNCHANGED, REPLACED = 0.12, 0.48  # on the scale -1..1: less is mixed with the input; more is shown as decoded
FAINT, PLAIN = 0.06, 0.3  # on the same scale


def difference(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Put an edit into images by how much it changes; arguments as of `put_together`."""

    def mask(amount: Tensor) -> Tensor:
        wide = max_pool2d(amount.clamp(max=1), 3, 1, 1)
        return avg_pool2d(wide, 3, 1, 1, count_include_pad=False)

    size = (after - before).abs().amax(1, keepdim=True)
    some, much = mask(size / UNCHANGED), mask(size / REPLACED)
    target = much * after + (1 - much) * (images + after - before)
    return (some * target + (1 - some) * images).clamp(-1, 1)


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
