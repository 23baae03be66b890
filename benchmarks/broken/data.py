"""Prepared folders that somebody or something changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case, Kit
from .labels import DEEP

Change = Callable[[Path], object]


def head(**values: Any) -> Change:
    """Put other values into schema.json; `...` removes one."""

    def change(folder: Path) -> None:
        path = folder / "schema.json"
        kept = {name: value for name, value in (json.loads(path.read_text()) | values).items() if value is not ...}
        path.write_text(json.dumps(kept))

    return change


def schema(edit: Callable[[dict[str, Any]], object]) -> Change:
    """Change the attribute schema inside schema.json."""

    def change(folder: Path) -> None:
        path = folder / "schema.json"
        value = json.loads(path.read_text())
        edit(value["schema"])
        path.write_text(json.dumps(value))

    return change


def text(name: str, content: str) -> Change:
    return lambda folder: (folder / name).write_text(content)


def cell(old: str, new: str) -> Change:
    """Change the first such text in attributes.csv."""

    def change(folder: Path) -> None:
        path = folder / "attributes.csv"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def half(name: str) -> Change:
    def change(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])

    return change


def array(name: str, values: Any, pickled: bool = False) -> Change:
    def change(folder: Path) -> None:
        np.save(folder / name, values, allow_pickle=pickled)

    return change


def gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def swapped(name: str) -> Change:
    """A folder in the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def no_train(folder: Path) -> None:
    path = folder / "attributes.csv"
    path.write_text(path.read_text().replace(",train,", ",test,"))


def left(folder: Path) -> None:
    """An attribute that tells left from right."""
    for name in ("attributes.csv", "schema.json"):
        path = folder / name
        path.write_text(path.read_text().replace("Smiling", "Looks_Left"))


WRONG: dict[str, tuple[Change, str]] = {
    "a list as schema.json": (text("schema.json", "[]"), "was not written by attrimorph"),
    "no JSON in schema.json": (text("schema.json", "{"), "schema.json must be a JSON file"),
    "schema.json nested too deeply": (text("schema.json", DEEP), "schema.json must be a JSON file"),
    "another format": (head(format="webdataset"), "was not written by attrimorph"),
    "a newer version": (head(version=99), "format version 99"),
    "no image size": (head(image_size=...), "image_size.*missing or wrong"),
    "an infinite image size": (head(image_size=float("inf")), "schema.json is damaged"),
    "a count of another folder": (head(count=41), "images.npy must hold uint8 .41, 16, 16, 3"),
    "no attributes": (schema(lambda value: value.pop("attributes")), "no attribute schema"),
    "an empty list of attributes": (schema(lambda value: value.update(attributes=[])), "attribute"),
    "an attribute of an unknown kind": (schema(lambda value: value["attributes"][0].update(kind="odd")), "odd"),
    "a scale of zero": (schema(lambda value: value["attributes"][0].update(kind="real", scale=0)), "scale"),
    "an attribute twice": (schema(lambda value: value["attributes"].append(value["attributes"][0])), "stands twice"),
    "an unknown attribute in a group": (schema(lambda value: value.update(exclusive=[["Odd"]])), "no attribute 'Odd'"),
    "skipped as a number": (head(skipped=3), "schema.json is damaged"),
    "no images": (gone("images.npy"), "cannot read .*images.npy"),
    "half the images": (half("images.npy"), "images.npy is damaged or cut short"),
    "images as text": (text("images.npy", "pictures"), "images.npy is damaged"),
    "pickled images": (array("images.npy", np.array([print]), True), "images.npy"),
    "images of another size": (array("images.npy", np.zeros((40, 8, 8, 3), np.uint8)), "it holds uint8 .40, 8, 8, 3"),
    "images as numbers": (array("images.npy", np.zeros((40, 16, 16, 3))), "it holds float64"),
    "no masks": (gone("masks.npy"), "cannot read .*masks.npy"),
    "half the factors": (half("factors.npy"), "factors.npy is damaged or cut short"),
    "no table": (gone("attributes.csv"), "cannot read .*attributes.csv"),
    "a folder as table": (swapped("attributes.csv"), "cannot read .*attributes.csv"),
    "half a table": (half("attributes.csv"), "attributes.csv must have 40 rows"),
    "another header": (cell("identity", "person"), "must begin with the columns"),
    "a label of 7": (cell(",0,", ",7,"), "must be 0 or 1.*'7'"),
    "a split of its own": (cell(",train,", ",later,"), "'later'"),
    "an identity in words": (cell("train,", "train,Ada"), "whole number"),
    "nothing to train on": (no_train, "no images to load|train"),
}


def use(place: int, change: Change) -> Callable[[Kit, Path], list[str]]:
    """Return the words of train, check and evaluate, in turn, on a changed copy."""

    def make(kit: Kit, folder: Path) -> list[str]:
        data, out = folder / "data", folder / "out"
        shutil.copytree(kit.data, data)
        change(data)
        if place % 3 == 1:
            return ["data", "check", str(data), "--out", str(out / "report.json")]
        if place % 3 == 2:
            return ["evaluate", str(kit.model), "--data", str(data), "--out", str(out), "--count", "4"]
        words = kit.train(out)
        words[words.index("--data") + 1] = str(data)
        return words

    return make


def refused(kit: Kit, folder: Path) -> list[str]:
    """A flip where an attribute tells left from right."""
    shutil.copytree(kit.data, folder / "data")
    left(folder / "data")
    words = kit.train(folder / "out", "--data.flip=0.5")
    words[words.index("--data") + 1] = str(folder / "data")
    return words


def other_size(kit: Kit, folder: Path) -> list[str]:
    """A recipe for 32 pixels, data of 16."""
    return [word.replace("image-size=16", "image-size=32") for word in kit.train(folder / "out")]


def drawn_over(kit: Kit, folder: Path) -> list[str]:
    """Other drawn data where some are already."""
    return ["data", "synthetic", str(kit.data), "--count", "50", "--size", "16"]


def prepared_over(kit: Kit, folder: Path) -> list[str]:
    """Other prepared data where some are already."""
    (folder / "attributes.csv").write_text("file_name,Smiling\nface.png,1\n")
    (folder / "face.png").write_bytes(kit.face.read_bytes())
    return ["data", "prepare", str(folder), "--out", str(kit.data), "--image-size", "16"]


DATA: tuple[Case, ...] = (
    *(
        Case(f"{('train', 'check', 'evaluate')[place % 3]} on prepared data: {name}", use(place, change), says)
        for place, (name, (change, says)) in enumerate(
            (name, entry) for name, entry in WRONG.items() if name != "nothing to train on"
        )
    ),
    Case("train on prepared data: nothing to train on", use(0, no_train), "no images"),
    Case("train: flips where an attribute tells left from right", refused, "Looks_Left"),
    Case("data synthetic: other data in a prepared folder", drawn_over, "already holds other prepared data"),
    Case("data prepare: other data in a prepared folder", prepared_over, "already holds prepared data"),
    Case("train: data of another size", other_size, "prepared at 16 pixels; 32"),
)
