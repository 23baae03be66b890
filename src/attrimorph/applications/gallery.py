"""A gallery: many images to look through, from prepared data or a plain folder, and their codes kept on disk."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attrimorph.applications.inputs import attributes_of, encoder
from attrimorph.data import Schema
from attrimorph.data.images import crop_box
from attrimorph.data.prepared import PreparedData, open_or_prepare
from attrimorph.data.readers import RawData, Source, detect
from attrimorph.data.readers.raw import check_folder, list_images
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_bytes
from attrimorph.models.model import Model
from attrimorph.pictures import crop_for, crop_of

BATCH = 64
FORMAT = "attrimorph codes"
Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Images, and what is known of them.

    Attributes:
        names: N, as the user knows them: paths of a plain folder, file names of prepared data.
        read: rows [B] -> images [B, 3, S, S] in [-1, 1].
        schema, labels: attributes, [N, W] with NaN = missing; None of a folder without labels.
        identity: int64 [N]; -1 = unknown.
        fingerprint: changes whenever the images or labels do.
    """

    names: list[str]
    read: Callable[[Rows], Tensor]
    schema: Schema | None
    labels: Tensor | None
    identity: Tensor
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Codes:
    """Codes of a gallery.

    Attributes:
        z: float32 [N, Z], flattened.
        attributes: [N, W], those that the images were encoded with: as the model sees them.
    """

    z: Tensor
    attributes: Tensor


def open_data(
    model: Model,
    source: str | Path | Source,
    progress: Progress | None = None,
    found: Callable[[RawData], None] | None = None,
    *,
    kept: bool = True,
) -> PreparedData:
    """Open prepared data, or prepare a folder of images once, at the model's size.

    Args:
        model: whose size and alignment the images get.
        source: where they are.
        progress: called with (done, in all) while they are prepared.
        found, kept: as of `open_or_prepare`.

    Raises:
        AttrimorphError: it cannot be read, or has another size.
    """
    own = model.header.get("preprocessing") or {}
    align = bool(own.get("align"))
    data = open_or_prepare(
        source,
        model.image_size,
        # What tells no crop (drawn images) takes the centred square of any folder, as it does of any picture.
        crop=None if align else crop_of(own) or "centre",
        align=align,
        progress=progress,
        found=found,
        kept=kept,
    )
    check_prepared(model, data)
    return data


def check_prepared(model: Model, data: PreparedData) -> None:
    """Refuse images that were cut out of their files otherwise than the model's, as far as both tell.

    Raises:
        AttrimorphError: they were.
    """
    own, theirs = model.header.get("preprocessing") or {}, data.preprocessing
    if "crop" not in own or "crop" not in theirs:
        return
    whose = f"the images in {data.path} must be cut out of their files as the model's were"
    if bool(own.get("align")) != bool(theirs.get("align")):
        words = ("with --align", "without") if own.get("align") else ("without --align", "with it")
        raise AttrimorphError(f"{whose}, {words[0]}; they were {words[1]}; prepare them again")
    if theirs.get("of") is None or own.get("align"):
        return
    size = tuple(theirs["of"])
    wanted, got = (crop_box(size, crop_for(size, model.image_size, each)) for each in (own, theirs))
    if max(abs(a - b) for a, b in zip(wanted, got, strict=True)) > 1 + 0.01 * min(size):
        boxes = [",".join(f"{side:g}" for side in box) for box in (wanted, got)]
        raise AttrimorphError(f"{whose}, at {boxes[0]}; they were at {boxes[1]}; prepare them with --crop {boxes[0]}")


def labelled_data(
    model: Model, source: str | Path | Source, progress: Progress | None = None, *, kept: bool = True
) -> PreparedData:
    """Open data whose labels are attributes of the model; arguments as of `open_data`.

    Raises:
        AttrimorphError: as of `open_data`, or the data has other attributes.
    """
    return open_data(model, source, progress, kept=kept).with_schema(model.schema, "the model")


def unchanged(found: str, wished: str | None, source: str | Path | Source) -> None:
    """Refuse data that is no longer what a receipt names by its fingerprint; None = any will do.

    Raises:
        AttrimorphError: it has changed.
    """
    if wished is not None and found != wished:
        raise AttrimorphError(
            f"the images in {Source.of(source).path} must be those of the receipt ({wished}); they have changed "
            f"({found}); restore them"
        )


def gallery_of(data: PreparedData, split: str = "all") -> Gallery:
    """Return the images of a split of prepared data as a gallery."""
    rows = data.indices(split)
    if not len(rows):
        raise AttrimorphError(f"the data must have images in the split {split!r}; it has none; take another split")
    return Gallery(
        [data.files[row] for row in rows],
        lambda chosen: data.batch(rows[chosen])[0],
        data.schema,
        data.attributes[torch.from_numpy(rows)],
        data.identity[torch.from_numpy(rows)],
        data.fingerprint if split == "all" else f"{data.fingerprint}-{split}",
    )


def open_gallery(
    model: Model, source: str | Path | Source, progress: Progress | None = None, *, kept: bool = True
) -> Gallery:
    """Open prepared data, a labelled folder in any known layout, or just a folder of images; arguments as of
    `open_data`.

    Raises:
        AttrimorphError: it is missing, holds no images, or has another size.
    """
    source = Source.of(source)
    check_folder(source.path)
    if source.prepared or not source.recognised or detect(source.path) != "images":
        return gallery_of(open_data(model, source, progress, kept=kept))
    found = list_images(source.path, own=True)
    files = list(found.values())
    digest = hashlib.sha256()
    for name, file in found.items():
        status = file.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return Gallery(
        [str(file) for file in files],
        lambda rows: model.prepared([files[row] for row in rows]),
        None,
        None,
        torch.full((len(files),), -1),
        digest.hexdigest()[:16],
    )


def holding(schema: Schema, labels: Tensor, wanted: Mapping[str, float]) -> Tensor:
    """Tell which images have the wanted attributes.

    Args:
        schema: of the labels.
        labels: [N, W]; what is missing (NaN) fits nothing.
        wanted: attribute (or "name=value") -> 1 must hold, 0 or -1 must not.

    Returns:
        bool [N].

    Raises:
        AttrimorphError: there is no such attribute or value, or it is real.
    """
    allowed = torch.ones(len(labels), dtype=torch.bool)
    for key, value in wanted.items():
        attribute, _ = schema.find(key)
        if attribute.kind == "real" or value not in (-1, 0, 1):
            raise AttrimorphError(
                f"what is sought must be a binary or categorical attribute and 1 or -1; got {key} = {value:g}; "
                "write for example --set Eyeglasses=1"
            )
        column = labels[:, schema.column_names.index(key)]
        allowed &= column > 0.5 if value == 1 else column < 0.5
    return allowed


def encode_gallery(
    model: Model,
    gallery: Gallery,
    folder: Path | None = None,
    progress: Progress | None = None,
    *,
    verb: str = "retrieve",
) -> Codes:
    """Encode all images, or read the codes that were kept the last time.

    Args:
        model: one that encodes and guesses attributes.
        gallery: what to encode.
        folder: where codes are kept, by model and images; None = nowhere.
        progress: called with (done, N).
        verb: who needs the codes, for the sentence that refuses a model.
    """
    encodes = encoder(model, verb)
    name = f"codes-{model.hash[:12]}-{gallery.fingerprint}.safetensors"
    about = {"format": FORMAT, "model": model.hash, "data": gallery.fingerprint, "images": str(len(gallery))}
    if folder is not None and (kept := _kept_codes(folder / name, about)) is not None:
        return kept
    parts: list[Codes] = []
    for start in range(0, len(gallery), BATCH):
        images = gallery.read(np.arange(start, min(start + BATCH, len(gallery))))
        code = encodes.encode(images, attributes_of(model, images))
        parts.append(Codes(code.z.flatten(1).float().cpu(), code.attributes.float().cpu()))
        if progress is not None:
            progress(start + len(images), len(gallery))
    codes = Codes(torch.cat([part.z for part in parts]), torch.cat([part.attributes for part in parts]))
    if folder is not None:
        write_bytes(folder / name, safetensors.torch.save({"z": codes.z, "attributes": codes.attributes}, about))
    return codes


def _kept_codes(path: Path, about: dict[str, str]) -> Codes | None:
    """Read codes that were kept; None where there are none of this very model and these images, or they are broken."""
    try:
        with safe_open(str(path), framework="pt") as file:
            if file.metadata() != about:
                return None
            return Codes(file.get_tensor("z"), file.get_tensor("attributes"))
    except (OSError, SafetensorError):
        return None
