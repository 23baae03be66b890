"""Small good folders in every layout that a reader knows, for cases to break."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(path: Path, shade: int = 90) -> None:
    """Write a small picture; other shades are other files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 24), (shade % 256, 60, shade * 7 % 256)).save(path)


def lines(path: Path, *rows: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8", errors="surrogateescape")


def celeba(folder: Path) -> None:
    names = [f"{number:06d}.jpg" for number in range(1, 7)]
    for shade, name in enumerate(names):
        picture(folder / "img_align_celeba" / name, shade)
    rows = [f"{name} -1  1 {1 if row % 2 else -1}" for row, name in enumerate(names)]
    lines(folder / "list_attr_celeba.txt", "6", "Black_Hair Blond_Hair Smiling", *rows)
    lines(folder / "identity_CelebA.txt", *(f"{name} {2880 + row // 2}" for row, name in enumerate(names)))
    lines(folder / "list_eval_partition.txt", *(f"{name} {row % 3}" for row, name in enumerate(names)))


def lfw(folder: Path, count: int = 3) -> None:
    rows = []
    for place, person in enumerate(("Ada_Lovelace", "Bo_Li")):
        for number in range(1, count + 1):
            picture(folder / "lfw" / person / f"{person}_{number:04d}.jpg", 50 * place + number)
            rows.append(f"{person.replace('_', ' ')}\t{number}\t{place - 0.5}\t{number / 2}")
    lines(folder / "lfw_attributes.txt", "# LFW attributes", "#\tperson\timagenum\tMale\tSmiling", *rows)


def run(folder: Path) -> None:
    picture(folder / "samples" / "000000016.png", 0)
    lines(folder / "recipe.json", "{}")


def cub(folder: Path) -> None:
    kinds = ["001.Albatross", "002.Auklet"]
    paths = [f"{kinds[number % 2]}/Bird_{number:04d}.jpg" for number in range(1, 5)]
    for shade, path in enumerate(paths):
        picture(folder / "images" / path, shade)
    lines(folder / "images.txt", *(f"{number} {path}" for number, path in enumerate(paths, 1)))
    lines(folder / "image_class_labels.txt", *(f"{number} {number % 2 + 1}" for number in range(1, 5)))
    lines(folder / "classes.txt", *(f"{number} {kind}" for number, kind in enumerate(kinds, 1)))
    lines(folder / "train_test_split.txt", "1 1", "2 1", "3 0", "4 0")
    lines(folder / "attributes.txt", "1 has_bill_shape::curved", "2 has_wing_color::blue")
    rows = (f"{image} {attribute} {image % 2} 4 1.5" for image in range(1, 5) for attribute in (1, 2))
    lines(folder / "attributes" / "image_attribute_labels.txt", *rows)


def mat(path: Path, arrays: dict[str, NDArray[np.float64]]) -> None:
    """Write numeric arrays as a MATLAB 5 file."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    content = b""
    for name, array in arrays.items():
        shape = element(5, np.array(array.shape, "<i4").tobytes())
        values = element(9, array.astype("<f8").tobytes(order="F"))
        flags = element(6, struct.pack("<II", 6, 0))
        packed = zlib.compress(element(14, flags + shape + element(1, name.encode()) + values))
        content += struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + content)


def flowers(folder: Path) -> None:
    for number in range(1, 7):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", number)
    mat(folder / "imagelabels.mat", {"labels": np.array([[1.0, 1, 2, 2, 3, 3]])})
    sets = {"trnid": [[1.0, 3]], "valid": [[2.0, 4]], "tstid": [[5.0, 6]]}
    mat(folder / "setid.mat", {name: np.array(rows) for name, rows in sets.items()})


def table(folder: Path, *rows: str, name: str = "attributes.csv") -> None:
    """Six pictures and a table of these rows."""
    for number in range(6):
        picture(folder / f"{number}.png", number)
    lines(folder / name, *rows)


def classes(folder: Path) -> None:
    for number in range(6):
        picture(folder / ("cat" if number % 2 else "dog") / f"{number}.png", number)


def unpaired(folder: Path) -> None:
    for number in range(3):
        picture(folder / "trainA" / f"{number}.png", number)
        picture(folder / "trainB" / f"{number}.png", 100 + number)
