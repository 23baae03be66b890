"""Pictures as people have them, brought to what a model takes; and what a model makes, which shows and saves itself."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attrimorph.data.images import Crop, CropLike, fit, open_image, upright_rgb
from attrimorph.errors import AttrimorphError, shown
from attrimorph.files import write_bytes
from attrimorph.pictures import WRITTEN, enlarge, grid, picture_bytes, png_bytes, to_pil

Source = str | Path | Image.Image | NDArray[Any] | Tensor | Sequence[Any]
"""A picture or several: paths, PIL pictures, pixels 0..255 or floats in -1..1 as arrays or tensors, lists of these."""

SHOWN = 64  # pictures that a notebook shows of many
SIDE = 192  # pixels of a picture shown alone, about
SLACK = 0.01  # by which a network's output may leave -1..1


class Pictures(Tensor):
    """Images that a model made or was given: a float32 tensor [B, 3, S, S] in [-1, 1] that a notebook shows.

    Whatever is computed with it is a plain tensor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def images(self) -> Tensor:
        """The same numbers as a plain tensor."""
        return self.as_subclass(Tensor)

    def to_pil(self) -> list[Image.Image]:
        """Return B pictures."""
        return to_pil(self.images)

    def save(self, path: str | Path) -> list[Path]:
        """Write the picture to a file; several to NAME-1.png, NAME-2.png, ...

        Args:
            path: ends as a key of `WRITTEN`, .png or .jpg; without an ending it becomes a PNG.

        Returns:
            The files that were written.

        Raises:
            AttrimorphError: another ending, or the file cannot be written.
        """
        return save_pictures(self.to_pil(), path)

    def _repr_png_(self) -> bytes:
        pictures = self.images[:SHOWN]
        alone = len(pictures) == 1
        return png_bytes(enlarge(to_pil(pictures)[0], SIDE) if alone else grid(pictures))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pictures":
        return copy.deepcopy(self.images, memo).as_subclass(Pictures)

    def __repr__(self) -> str:  # type: ignore[override]
        count, _, height, width = self.shape
        return (
            f"<{count} picture{'s' * (count != 1)} of {width}x{height}: a tensor {list(self.shape)} in -1..1 with "
            ".save(path), .to_pil(), .images>"
        )


def save_pictures(pictures: Sequence[Image.Image], path: str | Path) -> list[Path]:
    """Write pictures as `Pictures.save` does."""
    path = Path(path) if Path(path).suffix else Path(path).with_suffix(".png")
    if path.suffix.lower() not in WRITTEN:
        raise AttrimorphError(f"a picture is saved as {', '.join(WRITTEN)}; got {path.name}; name it NAME.png")
    places = [path]
    if len(pictures) != 1:
        places = [path.with_stem(f"{path.stem}-{number}") for number in range(1, len(pictures) + 1)]
    for place, picture in zip(places, pictures, strict=True):
        write_bytes(place, picture_bytes(picture, place.suffix, "made by attrimorph"))
    return places


def prepared(source: Source, size: int, preprocessing: Mapping[str, Any]) -> Tensor:
    """Bring pictures to what a model's training images were, [B, 3, S, S] in [-1, 1].

    Floats that have the model's size are taken as they are; everything else goes the way of a file: cropped or aligned
    as the training images were, and scaled.

    Args:
        source: see `Source`.
        size: S.
        preprocessing: of the training images, from the model's header.

    Raises:
        AttrimorphError: a picture that cannot be read, of another form or range, or none at all; or the model's images
            were aligned, and there is no face in one of these.
    """
    if isinstance(source, Tensor) and source.is_floating_point() and source.shape[1:] == (3, size, size):
        if not isinstance(source, Pictures):
            _check_range(source)
        return source
    if isinstance(source, list | tuple):
        if not source:
            raise AttrimorphError("at least one picture must be given; got none; name a file")
        parts = [prepared(each, size, preprocessing).cpu() for each in source]
    else:
        parts = [_squared(picture, size, preprocessing) for picture in opened(source)]
    return torch.cat(parts).as_subclass(Pictures)


def opened(source: Any) -> list[Image.Image]:
    """Return upright RGB pictures of any size; source and errors as of `prepared`."""
    if isinstance(source, list | tuple):
        return [picture for each in source for picture in opened(each)]
    if isinstance(source, str | Path):
        return [open_image(Path(source))]
    if isinstance(source, Image.Image):
        return [upright_rgb(source)]
    if not isinstance(source, Tensor | np.ndarray):
        raise _unknown(f"{type(source).__name__} {shown(source)}")
    form = f"{str(source.dtype).removeprefix('torch.')} {list(source.shape)}"
    if isinstance(source, np.ndarray) and source.dtype.kind not in "fu":
        raise _unknown(form)
    values = source if isinstance(source, Tensor) else torch.from_numpy(source.copy())
    if values.is_floating_point():
        values = values[None] if values.ndim == 3 else values
        if values.ndim != 4 or values.shape[1] != 3 or not values.numel():
            raise _unknown(form)
        _check_range(values, strictly=isinstance(source, np.ndarray))
        return to_pil(values)
    if values.dtype != torch.uint8 or not 2 <= values.ndim <= 4 or not values.numel():
        raise _unknown(form)
    if values.ndim >= 3 and values.shape[-1] not in (1, 3, 4) and values.shape[-3] in (1, 3, 4):
        values = values.movedim(-3, -1)  # [3, H, W], as torch's readers give it
    if values.ndim >= 3 and values.shape[-1] not in (1, 3, 4):
        raise _unknown(form)
    every = values.cpu().numpy()
    pictures = every if every.ndim == 4 else every[None]
    return [upright_rgb(Image.fromarray(each[..., 0] if each.shape[-1:] == (1,) else each)) for each in pictures]


def _unknown(got: str) -> AttrimorphError:
    return AttrimorphError(
        "a picture must be a path, a PIL picture, uint8 pixels [H, W, 3] or [B, H, W, 3], or floats [3, H, W] or "
        f"[B, 3, H, W] in -1..1; got {got}; give one of these, or a list of them"
    )


def _check_range(values: Tensor, *, strictly: bool = False) -> None:
    """Refuse floats outside -1..1; those of 0..1, the other habit, too where `strictly`, else warn of them."""
    # A program that is being exported has no values yet.
    if torch.compiler.is_compiling() or not values.numel():
        return
    low, high = (float(end) for end in values.aminmax())
    if not (low >= -1 - SLACK and high <= 1 + SLACK):
        raise AttrimorphError(
            f"pictures of floats must lie in -1..1; these lie in {low:.4g}..{high:.4g}; bring them there "
            "(of 0..255: / 127.5 - 1), or give uint8 pixels"
        )
    if low >= 0 < high:
        sentence = (
            f"pictures of floats must lie in -1..1; these lie in {low:.4g}..{high:.4g}, as pictures of 0..1 do; "
            "if they are, give images * 2 - 1"
        )
        if strictly:
            raise AttrimorphError(sentence)
        warnings.warn(sentence, stacklevel=4)


def _squared(image: Image.Image, size: int, preprocessing: Mapping[str, Any]) -> Tensor:
    if preprocessing.get("align"):
        from attrimorph.data.align import align

        image = align(image, size)
    else:
        image = fit(image, size, crop_for(image.size, preprocessing.get("crop")))
    return pixels_of(image)


def pixels_of(image: Image.Image) -> Tensor:
    """Turn an RGB picture of any size into [1, 3, H, W] in [-1, 1]."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    return pixels.permute(2, 0, 1)[None].float().div(127.5).sub(1).contiguous()


def crop_for(size: tuple[int, int], crop: Any) -> CropLike:
    """Return the crop for a picture of `size`, given the crop of the training images as the model's header holds it.

    A rectangle measured on images of a certain shape suits pictures of that shape; a crop in absolute pixels suits
    pictures of about that size. Other pictures get the largest centred square, None.
    """
    if isinstance(crop, Mapping):
        of = crop.get("of")
        rectangle = Crop(crop["left"], crop["top"], crop["right"], crop["bottom"], tuple(of) if of else None)
        if of:
            return rectangle if abs(size[0] * of[1] / (size[1] * of[0]) - 1) < 0.02 else None
        return rectangle if rectangle.right <= min(size[0], 1e9) < 2 * rectangle.right else None
    if isinstance(crop, int):
        return crop if min(size) < 2 * crop else None
    return None
