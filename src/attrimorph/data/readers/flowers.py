"""Oxford Flowers-102: classes, the official split, segmentations on blue."""

from pathlib import Path

import numpy as np

from attrimorph.data.readers.matfile import read_mat
from attrimorph.data.readers.raw import RawData, list_images, need_images
from attrimorph.data.schema import Attribute, Schema
from attrimorph.errors import AttrimorphError

MOST = 100_000  # images, and classes, must be fewer
SPLITS = {"train": "trnid", "valid": "valid", "test": "tstid"}
BLUE = (0, 0, 254)  # what the segmented images have for background


def sign(folder: Path) -> str:
    """Say why a folder is Flowers-102; "" where it is not."""
    found = (folder / "imagelabels.mat").is_file() and (folder / "jpg").is_dir()
    return "imagelabels.mat lies beside jpg/" if found else ""


def read(folder: Path) -> RawData:
    """Read `jpg/image_00001.jpg`, `imagelabels.mat`, and when there `setid.mat` and `segmim/`."""
    labels = _numbers(folder / "imagelabels.mat", "labels")
    images = list_images(folder / "jpg")
    numbers = {
        int(path.stem.removeprefix("image_")): path
        for path in images.values()
        if path.stem.removeprefix("image_").isdigit()
    }
    kept = [number for number in sorted(numbers) if 1 <= number <= len(labels)]
    need_images([numbers[number] for number in kept], folder / "jpg", folder / "imagelabels.mat")
    if labels.min() < 1:
        raise AttrimorphError(
            f"{folder / 'imagelabels.mat'} must hold classes from 1; got {labels.min()}; get it again"
        )
    classes = [f"class_{labels[number - 1]:03d}" for number in kept]
    split_of = {}
    for split, key in SPLITS.items():
        for number in _numbers(folder / "setid.mat", key).tolist():
            split_of[number] = split
    segmented = folder / "segmim"
    masks: list[Path | None] | None = None
    if segmented.is_dir():
        paths = [segmented / f"segmim_{number:05d}.jpg" for number in kept]
        masks = [path if path.is_file() else None for path in paths]
    values = tuple(f"class_{number:03d}" for number in range(1, int(labels.max()) + 1))
    return RawData(
        name="flowers",
        folder=folder,
        files=[numbers[number] for number in kept],
        table={"flower": classes},
        schema=Schema((Attribute("flower", "categorical", values),)),
        split=[split_of.get(number, "train") for number in kept],
        identity=[int(labels[number - 1]) for number in kept],
        masks=masks,
        mask_background=BLUE,
        rows_without_image=[f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1) if number not in numbers],
        images_without_row=[path.name for number, path in numbers.items() if number > len(labels)],
    )


def _numbers(path: Path, key: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    arrays = read_mat(path)
    if key not in arrays:
        raise AttrimorphError(f"{path} must hold {key}; it holds {', '.join(arrays) or 'nothing'}; get it again")
    values = arrays[key].ravel(order="F")
    if not len(values) or not np.isin(values, np.arange(MOST)).all():
        raise AttrimorphError(f"{key} in {path} must be whole numbers from 1 to {MOST - 1}; got others; get it again")
    return values.astype(np.int64)
