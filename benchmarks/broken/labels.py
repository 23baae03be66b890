"""Labels that are wrong, in every layout."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import layouts
from .case import Case, Kit
from .layouts import lines

Layout = Callable[[Path], None]


def replaced(name: str, old: str, new: str) -> Layout:
    """Change a text in a label file."""

    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, (path, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8", errors="surrogateescape")

    return change


def written(name: str, *rows: str) -> Layout:
    """Put other lines into a label file."""
    return lambda folder: lines(folder / name, *rows)


def removed(*names: str) -> Layout:
    def change(folder: Path) -> None:
        for name in names:
            path = folder / name
            if path.is_dir():
                for child in path.iterdir():
                    child.unlink()
                path.rmdir()
            else:
                path.unlink()

    return change


def repeated(*names: str) -> Layout:
    """Put the images of every folder into folders of these names."""

    def change(folder: Path) -> None:
        for inner in [path for path in folder.iterdir() if path.is_dir()]:
            for place, image in enumerate(sorted(inner.iterdir())):
                (inner / names[place % len(names)]).mkdir(exist_ok=True)
                image.rename(inner / names[place % len(names)] / image.name)

    return change


def cut(name: str, share: float) -> Layout:
    def change(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(len(whole) * share)])

    return change


def numbers(name: str, key: str, values: list[list[float]]) -> Layout:
    """Put other numbers into a MATLAB file."""
    return lambda folder: layouts.mat(folder / name, {key: np.array(values)})


def rows_of(*rows: str, name: str = "attributes.csv") -> tuple[Layout, Layout]:
    """A folder with this table and no other change."""
    return (lambda folder: layouts.table(folder, *rows, name=name)), (lambda folder: None)


def json_rows(*values: object) -> tuple[Layout, Layout]:
    return rows_of(*(json.dumps(value) for value in values), name="metadata.jsonl")


DEEP = "[" * 100_000
ROWS = [f"{number}.png,{number % 2}" for number in range(6)]

# what is wrong -> (a good folder, the change, what must be said, --format)
WRONG: dict[str, tuple[Layout, Layout, str, str]] = {
    "CelebA: a value of 2": (layouts.celeba, replaced("list_attr_celeba.txt", "-1  1", "-1  2"), "-1, 0 or 1", ""),
    "CelebA: a row too short": (layouts.celeba, replaced("list_attr_celeba.txt", "-1  1", "1"), "row 3 has 2", ""),
    "CelebA: two lines only": (layouts.celeba, written("list_attr_celeba.txt", "6", "Smiling"), "it has 2 lines", ""),
    "CelebA: an attribute twice": (
        layouts.celeba,
        replaced("list_attr_celeba.txt", "Blond_Hair", "Smiling"),
        "'Smiling' stands twice",
        "",
    ),
    "CelebA: no such pictures": (layouts.celeba, removed("img_align_celeba"), "img_align_celeba", ""),
    "CelebA: a partition of 3": (layouts.celeba, replaced("list_eval_partition.txt", " 2", " 3"), "0, 1 or 2", ""),
    "CelebA: an identity in words": (layouts.celeba, replaced("identity_CelebA.txt", "2880", "Ada"), "'Ada'", ""),
    "CelebA: an identity too large": (
        layouts.celeba,
        replaced("identity_CelebA.txt", "2880", "9" * 30),
        "identity_CelebA|identity|whole number",
        "",
    ),
    "CelebA: a partition with three fields": (
        layouts.celeba,
        replaced("list_eval_partition.txt", " 2", " 2 2"),
        "must have 2 fields",
        "",
    ),
    "CelebA: attributes that are no text": (
        layouts.celeba,
        replaced("list_attr_celeba.txt", "Black", "\udcff"),
        "UTF-8",
        "",
    ),
    "LFW: a score in words": (layouts.lfw, replaced("lfw_attributes.txt", "-0.5", "much"), "finite number.*much", ""),
    "LFW: an infinite score": (layouts.lfw, replaced("lfw_attributes.txt", "-0.5", "inf"), "finite number.*inf", ""),
    "LFW: a row too short": (layouts.lfw, replaced("lfw_attributes.txt", "\t-0.5", ""), "must have 4 columns", ""),
    "LFW: an image twice": (
        layouts.lfw,
        replaced("lfw_attributes.txt", "Lovelace\t2", "Lovelace\t1"),
        "stands twice",
        "",
    ),
    "LFW: no header": (layouts.lfw, replaced("lfw_attributes.txt", "person", "who"), "column person", ""),
    "LFW: a number in words": (
        layouts.lfw,
        replaced("lfw_attributes.txt", "Lovelace\t2", "Lovelace\ttwo"),
        "'two'",
        "",
    ),
    "LFW: a field of 200,000 letters": (
        layouts.lfw,
        replaced("lfw_attributes.txt", "-0.5", '"' + "x" * 200_000 + '"'),
        "lfw_attributes.txt",
        "",
    ),
    "LFW: too few images of anybody": (layouts.lfw, removed("lfw_attributes.txt"), "at least two people", ""),
    "LFW: no attributes": (layouts.lfw, removed("lfw_attributes.txt"), "must hold a table", "lfw-attributes"),
    "UTKFace: other names": (layouts.classes, lambda folder: None, "must hold images", "utkface"),
    "CUB: a class that is none": (layouts.cub, replaced("image_class_labels.txt", "1 2", "1 9"), "class 9", ""),
    "CUB: an image without class": (
        layouts.cub,
        replaced("image_class_labels.txt", "1 2\n", ""),
        "image 1 has no line",
        "",
    ),
    "CUB: an image without split": (
        layouts.cub,
        replaced("train_test_split.txt", "1 1\n", ""),
        "image 1 has no line",
        "",
    ),
    "CUB: no list of classes": (layouts.cub, removed("classes.txt"), "classes.txt", ""),
    "CUB: an image number in words": (layouts.cub, replaced("images.txt", "1 002", "one 002"), "'one'", ""),
    "CUB: an image number of minus five": (layouts.cub, replaced("images.txt", "1 002", "-5 002"), "-5", ""),
    "CUB: an image number of a million million": (
        layouts.cub,
        replaced("attributes/image_attribute_labels.txt", "1 1 1", f"{10**12} 1 1"),
        "image_attribute_labels.txt",
        "",
    ),
    "CUB: an attribute of 7": (
        layouts.cub,
        replaced("attributes/image_attribute_labels.txt", "1 1 1", "1 1 7"),
        "0 or 1",
        "",
    ),
    "CUB: an unknown attribute": (
        layouts.cub,
        replaced("attributes/image_attribute_labels.txt", "1 1 1", "1 9 1"),
        "attribute 9",
        "",
    ),
    "CUB: attributes in words": (
        layouts.cub,
        replaced("attributes/image_attribute_labels.txt", "1 1 1", "a b c"),
        "image_attribute_labels.txt",
        "",
    ),
    "CUB: empty": (layouts.cub, written("images.txt", ""), "images.txt must have at least one line", ""),
    "Flowers: half a file": (layouts.flowers, cut("imagelabels.mat", 0.8), "imagelabels.mat is damaged", ""),
    "Flowers: another kind of file": (layouts.flowers, written("imagelabels.mat", "PK"), "must be a MATLAB 5 file", ""),
    "Flowers: a class of 0": (
        layouts.flowers,
        numbers("imagelabels.mat", "labels", [[0, 1, 2, 2, 3, 3]]),
        "from 1; got 0",
        "",
    ),
    "Flowers: a class of NaN": (
        layouts.flowers,
        numbers("imagelabels.mat", "labels", [[float("nan"), 1, 2, 2, 3, 3]]),
        "imagelabels.mat",
        "",
    ),
    "Flowers: a class of a million million": (
        layouts.flowers,
        numbers("imagelabels.mat", "labels", [[1e12, 1, 2, 2, 3, 3]]),
        "imagelabels.mat",
        "",
    ),
    "Flowers: other labels": (layouts.flowers, numbers("imagelabels.mat", "names", [[1, 2]]), "must hold labels", ""),
    "Flowers: no split": (layouts.flowers, removed("setid.mat"), "setid.mat", ""),
    "Flowers: no labels for these images": (
        layouts.flowers,
        numbers("imagelabels.mat", "labels", [[]]),
        "imagelabels.mat",
        "",
    ),
    "table: no header": (*rows_of(*ROWS), "must begin with a header", ""),
    "table: an open quote": (*rows_of("file_name,Smiling", *ROWS[:5], '5.png,"1'), "never closed", ""),
    "table: a number out of range": (
        *rows_of("file_name,age", *(f"{number}.png,{number}1" for number in range(5)), "5.png,1e300"),
        "'age' must lie within",
        "",
    ),
    "json: labels of another form": (*rows_of('{"images": []}', name="dataset.json"), "it is neither", ""),
    "table: no rows": (*rows_of("file_name,Smiling"), "must have rows", ""),
    "table: empty": (*rows_of(""), "attributes.csv", ""),
    "table: a row too long": (*rows_of("file_name,Smiling", *ROWS, "5.png,1,1"), "row 8 has 3", ""),
    "table: a file twice": (*rows_of("file_name,Smiling", *ROWS, "5.png,1"), "stands twice", ""),
    "table: a column twice": (*rows_of("file_name,Smiling,Smiling", *(f"{row},1" for row in ROWS)), "stands twice", ""),
    "table: a column without name": (*rows_of("file_name,", *ROWS), "must have a name", ""),
    "table: a split of its own": (
        *rows_of("file_name,Smiling,split", *(f"{row},later" for row in ROWS)),
        "'later'",
        "",
    ),
    "table: names of other images": (*rows_of("file_name,Smiling", "a.png,1", "b.png,0"), "none was found", ""),
    "table: an unnamed row": (*rows_of("file_name,Smiling", *ROWS, ",1"), "row 7 names none", ""),
    "table: a field of 200,000 letters": (
        *rows_of("file_name,Smiling", f"0.png,{'x' * 200_000}"),
        "must be a csv file",
        "",
    ),
    "table: UTF-16": (*rows_of("file_name,Smiling\udcff\udcfe", *ROWS), "UTF-8", ""),
    "jsonl: no JSON": (*rows_of("{file_name: 0.png}", name="metadata.jsonl"), "line 1 .*must be JSON", ""),
    "jsonl: a list": (*json_rows([1, 2]), "must be a JSON object", ""),
    "jsonl: a number as a name": (*json_rows({"file_name": 3, "Smiling": 1}), "must name a file", ""),
    "jsonl: nested too deeply": (
        *rows_of(f'{{"file_name": {DEEP}', name="metadata.jsonl"),
        "line 1 .*must be JSON",
        "",
    ),
    "jsonl: empty": (*rows_of("", name="metadata.jsonl"), "at least one line", ""),
    "classes: folders whose names repeat": (layouts.classes, repeated("car", "bus"), "folders of the same names", ""),
    "a run as data": (layouts.run, lambda folder: None, "it is a run", ""),
    "unpaired: an empty side": (
        layouts.unpaired,
        removed("trainB/0.png", "trainB/1.png", "trainB/2.png"),
        "trainB",
        "",
    ),
    "an empty folder": (lambda folder: None, lambda folder: None, "must hold images", ""),
    "an unknown format": (layouts.classes, lambda folder: None, "did you mean 'celeba'", "celebA"),
    "the wrong format": (layouts.classes, lambda folder: None, "list_attr_celeba", "celeba"),
    "images of another format": (layouts.classes, lambda folder: None, "imagelabels.mat", "flowers"),
}


def use(place: int, good: Layout, change: Layout, format: str) -> Callable[[Kit, Path], list[str]]:
    """Return the words of check, prepare and train, in turn, on the broken folder."""

    def make(kit: Kit, folder: Path) -> list[str]:
        raw = folder / "raw"
        raw.mkdir()
        good(raw)
        change(raw)
        out = folder / "out"
        options = ["--format", format] if format else []
        if place % 3 == 0:
            return ["data", "check", str(raw), "--out", str(out / "report.json"), *options]
        if place % 3 == 1 or format:
            return ["data", "prepare", str(raw), "--out", str(out), "--image-size", "16", *options]
        words = kit.train(out)
        words[words.index("--data") + 1] = str(raw)
        return words

    return make


LABELS: tuple[Case, ...] = tuple(
    Case(
        f"{('check', 'prepare', 'train')[1 if format and place % 3 == 2 else place % 3]}: {name}",
        use(place, good, change, format),
        says,
    )
    for place, (name, (good, change, says, format)) in enumerate(WRONG.items())
)
