"""Receipts of every verb as attrimorph 0.1.0 wrote them: each still makes the pictures of then.

`fixtures/receipts` holds them, what they were made of, and under `seen` what came of it, made four times
smaller; of charts, which may be drawn otherwise, the table of what they show. FOLDER and SHIPPED stand for where
pictures and shipped models lie. Words may be drawn otherwise by another font, so pictures are compared on average.
"""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.loading import load
from attrimorph.models import shipped
from attrimorph.requests.receipt import Written
from attrimorph.requests.replay import replay

FROZEN = Path(__file__).parents[1] / "fixtures" / "receipts"
NAMES = sorted(path.stem for path in FROZEN.glob("*.json"))
SAVED = sorted(path.stem for path in FROZEN.glob("studio-*.png"))
NEAR = 0.5  # levels of 255, on average
CLOSE = 2.5  # levels of 255, anywhere in a picture without words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures, models and data that the receipts name."""
    folder = tmp_path_factory.mktemp("frozen")
    shutil.copytree(FROZEN, folder, dirs_exist_ok=True)
    write_faces(folder / "data", count=240, size=64)
    places = {"FOLDER": str(folder), "SHIPPED": str(next(iter(shipped().values())).parent)}
    for path in folder.glob("*.json"):
        text = path.read_text()
        for word, place in places.items():
            text = text.replace(word, place)
        path.write_text(text)
    return folder


def same(found: Path, seen: Path) -> bool:
    """Whether two pictures are alike; names such as it.edited.png are of results alone, without words."""
    with Image.open(found) as image, Image.open(seen) as other:
        factor = -(-image.width // other.width)
        small = image.convert("RGB").reduce(factor)
        assert small.size == other.size
        apart = np.abs(np.asarray(small, float) - np.asarray(other, float))
        return bool(apart.mean() <= NEAR and (apart.max() <= CLOSE or "." not in found.stem))


def cells(table: Path) -> list[object]:
    """Return a table's words as they are, its numbers as nearly equal ones."""
    with table.open(newline="") as file:
        words = [word for row in csv.reader(file) for word in row]
    return [pytest.approx(float(word), rel=1e-3, abs=1e-3) if "." in word[-8:-4] else word for word in words]


def seen_of(name: str, receipt: dict[str, Any]) -> list[str]:
    """Return the names of the pictures that were seen, in the order of the receipt."""
    files = [item["file"] for item in receipt["outputs"] if item["file"].endswith(".png")]
    return [file if (FROZEN / "seen" / file).exists() else f"{name}-{Path(file).name}" for file in files]


def pictures_of(written: Written) -> list[Path]:
    """Return the stills; of a folder its receipt tells them."""
    if written.pictures[0].is_dir():
        told = json.loads(written.receipt.read_text())["outputs"]
        return [written.pictures[0] / item["file"] for item in told]
    return [picture for picture in written.pictures if picture.suffix == ".png"]


@pytest.mark.parametrize("name", NAMES)
def test_an_old_receipt_makes_the_same_pictures(name: str, folder: Path, tmp_path: Path) -> None:
    receipt = folder / f"{name}.json"
    again = replay(receipt, tmp_path / ("again" if name.startswith("edit-folder") else "again.png"))
    if (table := FROZEN / "seen" / f"{name}.csv").exists():
        assert cells(again.written.tables[0]) == cells(table)
        return
    seen = seen_of(name, json.loads(receipt.read_text()))
    pictures = pictures_of(again.written)
    assert len(pictures) == len(seen)
    for picture, frozen in zip(pictures, seen, strict=True):
        assert same(picture, FROZEN / "seen" / frozen), frozen


@pytest.mark.parametrize("name", SAVED)
def test_an_old_saved_picture_is_made_again(name: str, folder: Path, tmp_path: Path) -> None:
    model = load(folder / "Smiling.safetensors") if name == "studio-cyclegan" else None
    again = replay(folder / f"{name}.png", tmp_path / "alone.again.png", model=model)
    assert same(again.written.pictures[0], folder / f"{name}.png")


@pytest.mark.parametrize("name", ["edit", "edit-chain"])
def test_a_receipt_from_before_calibration_was_told_means_calibrated(name: str, folder: Path, tmp_path: Path) -> None:
    told = json.loads((folder / f"{name}.json").read_text())
    assert told["arguments"].pop("calibrated")
    (tmp_path / "old.json").write_text(json.dumps(told))
    assert replay(tmp_path / "old.json").identical == replay(folder / f"{name}.json", tmp_path / "again.png").identical
