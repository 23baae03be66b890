"""Receipts that strangers wrote: nothing runs, nothing hangs, nothing is written that nobody named."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph import cli
from attrimorph.applications import AxisOptions
from attrimorph.applications.axes import Axis, AxisPack, save_pack
from attrimorph.applications.axes.linear import unit
from attrimorph.errors import AttrimorphError
from attrimorph.files import file_sha256
from attrimorph.requests.edit import Edit
from attrimorph.requests.edit_folder import EditFolder
from attrimorph.requests.generating import Sample
from attrimorph.requests.on_data import LatentMap
from attrimorph.requests.receipt import read_receipt
from attrimorph.requests.replay import REQUESTS, replay
from benchmarks.hostile.receipts import FROZEN, embedded_texts, mutated, program, snapshot, write
from tests.tiny_models import tiny_model


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A model and two photographs below one folder."""
    tiny_model(tmp_path / "home" / "runs" / "it")
    (tmp_path / "home" / "photos").mkdir()
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "home" / "photos" / f"{name}.png")
    return tmp_path / "home"


def changed(receipt: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Return a changed copy of a receipt, in a folder of its own."""
    value = json.loads(receipt.read_text())
    change(value)
    copy = receipt.parent / "stranger" / receipt.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(json.dumps(value))
    return copy


def edited(place: Path) -> Path:
    return (
        Edit(model=place / "runs/it", images=[place / "photos/a.png"], aligned=True, changes={"Smiling": 1.0})
        .write(place / "results" / "it.png")
        .receipt
    )


def test_no_receipt_leads_to_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = tmp_path / "generator.pt2"
    trap.write_bytes(program())
    pack = tmp_path / "axes.safetensors"
    axis = Axis("Smiling", unit(torch.ones(1, 5))[0], 1.0, 0.0, -1.0, 1.0)
    save_pack(AxisPack(file_sha256(trap), "it", {"Smiling": axis}), pack)
    along = AxisOptions(pack, seed=0)
    value = {
        "format": "attrimorph receipt", "format_version": 1, "verb": "edit",
        "model": {"name": str(trap), "sha256": file_sha256(trap)},
        "arguments": Edit(model=trap, along=along, changes={"Smiling": 1.0}).arguments(),
        "inputs": [{"path": str(pack), "sha256": file_sha256(pack)}],
    }  # fmt: skip
    receipt = tmp_path / "it.json"
    receipt.write_text(json.dumps(value))
    with pytest.raises(AttrimorphError, match=r"asks for a \.pt2 file, a program.*add --program"):
        replay(receipt)
    assert cli.run(["replay", str(receipt)]) == 2
    for words in ({"program": True}, {"save_fields": "owned.safetensors"}, {"run_program": True}):
        receipt.write_text(json.dumps(value | {"arguments": value["arguments"] | words}))  # type: ignore[operator]
        with pytest.raises(AttrimorphError, match="which edit has not"):
            replay(receipt)
    assert not (tmp_path / "OWNED").exists()
    # Its hash comes first, also of a program that the user names.
    receipt.write_text(json.dumps(value | {"model": {"name": str(trap), "sha256": "0" * 64}}))
    with pytest.raises(AttrimorphError, match="has changed"):
        replay(receipt, program=trap)
    for verb in (["edit", "--axes", str(pack), "--seed", "0", "--set", "Smiling=1"], ["axes", "show"]):
        assert cli.run([*verb, *(["--model"] if verb[0] == "edit" else []), str(trap)]) == 2
    assert not (tmp_path / "OWNED").exists()
    # The trap is one: who says so runs it.
    with pytest.raises(AttrimorphError, match="must be a generator"):
        Edit(model=trap, along=along, changes={"Smiling": 1.0}, program=True).load()
    assert (tmp_path / "OWNED").exists()


@pytest.mark.parametrize("where", ["input", "model", "receipt"])
@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "folder"])
def test_what_is_no_plain_file_is_refused(where: str, what: str, place: Path) -> None:
    receipt, path = edited(place), Path(what) if what[0] == "/" else place / what
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    if where == "receipt":
        shutil.move(place / "results", place / "gone")
        assert cli.run(["replay", str(path)]) == 2
        (place / "it.json").symlink_to(path)
        assert cli.run(["replay", str(place / "it.json")]) == 2
        return

    def change(value: dict[str, Any]) -> None:
        if where == "input":
            value["inputs"][0]["path"] = str(path)
        else:
            value["model"]["name"] = str(path)

    with pytest.raises(AttrimorphError):
        replay(changed(receipt, change))


def test_a_receipt_leads_only_into_its_folder(place: Path) -> None:
    request = EditFolder(model=place / "runs/it", folder=place / "photos", aligned=True, changes={"Smiling": 1.0})
    receipt = request.write(place / "results").receipt
    (place / "secret.png").write_bytes((place / "photos/a.png").read_bytes())

    def change(value: dict[str, Any]) -> None:
        value["inputs"][0]["path"] = f"{place}/photos/../secret.png"

    with pytest.raises(AttrimorphError, match="must lie in its folder"):
        replay(changed(receipt, change), place / "again")
    assert not (place / "again").exists()


def test_nothing_is_written_beside_data_that_a_receipt_names(place: Path) -> None:
    request = LatentMap(model=place / "runs/it", data=place / "photos", format="images")
    receipt = request.write(place / "results" / "map.png").receipt
    shutil.rmtree(place / "photos" / ".attrimorph")
    before = snapshot(place / "photos")
    wrong = changed(receipt, lambda value: value["arguments"].update(fingerprint="0" * 16))
    with pytest.raises(AttrimorphError, match="they have changed"):
        replay(wrong, place / "again" / "map.png")
    assert not (place / "again").exists()
    assert replay(receipt, place / "again" / "map.png").identical
    assert snapshot(place / "photos") == before


def test_what_was_moved_together_is_found(place: Path, tmp_path: Path) -> None:
    edit = edited(place)
    folder = EditFolder(model=place / "runs/it", folder=place / "photos", aligned=True, changes={"Smiling": 1.0})
    table = folder.write(place / "edited").receipt
    chart = LatentMap(model=place / "runs/it", data=place / "photos", format="images").write(place / "results/map.png")
    elsewhere = tmp_path / "else" / "where"
    elsewhere.parent.mkdir()
    place.rename(elsewhere)
    for receipt in (edit, table, chart.receipt):
        moved = elsewhere / receipt.relative_to(place)
        assert replay(moved).identical, moved
    # Of another content under the same name there is no talk.
    Image.new("RGB", (32, 32)).save(elsewhere / "photos" / "a.png")
    with pytest.raises(AttrimorphError, match=r"a\.png"):
        replay(elsewhere / edit.relative_to(place))


def test_a_replay_takes_no_name_that_is_taken(place: Path) -> None:
    receipt = Sample(model=place / "runs/it", count=1).write(place / "it.png").receipt
    names = [replay(receipt).written.pictures[0].name for _ in range(3)]
    assert names == ["it.again.png", "it.again-2.png", "it.again-3.png"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1), ("seed", 2**63), ("seed", 10**400), ("count", float("nan")), ("model", "x"), ("self", 1),
        ("changes", {"\x00": 1}), ("changes", {"Smiling": float("inf")}), ("changes", [["Smiling", 1]]),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_told(field: str, value: Any, place: Path) -> None:
    receipt = Sample(model=place / "runs/it", count=1).write(place / "it.png").receipt
    with pytest.raises(AttrimorphError):
        replay(changed(receipt, lambda told: told["arguments"].update({field: value})), place / "again.png")
    assert not (place / "again.png").exists()


@pytest.mark.parametrize("path", ["\ud800.png", "a\0b.png", "a" * 100_000])
def test_a_path_that_no_file_can_have_is_told(path: str, place: Path) -> None:
    with pytest.raises(AttrimorphError, match="path"):
        replay(changed(edited(place), lambda told: told["inputs"][0].update(path=path)), place / "again.png")


@pytest.mark.parametrize(
    "frames",
    [[], [[]], [[(0.0,) * 6]], [[(1e9, 0.0, 0.0, 0.0, 1e9, 0.0)]], [[(1.0, 0.0, 1e300, 0.0, 1.0, 0.0)]],
     [[(float("nan"), 0.0, 0.0, 0.0, 1.0, 0.0)]], [[(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)]] * 2],
)  # fmt: skip
def test_frames_must_lie_in_the_photograph(frames: Any, place: Path) -> None:
    receipt = edited(place)
    with pytest.raises(AttrimorphError, match="frame"):
        replay(changed(receipt, lambda told: told["arguments"].update(frames=frames)), place / "again.png")


def test_changed_receipts_are_read_or_refused(tmp_path: Path) -> None:
    """As far as files need not be opened; `benchmarks/hostile/receipts.py` goes to the end."""
    receipts = [(path.name, json.loads(text)) for path, text in embedded_texts(FROZEN)]
    draw, read, longest, verbs = random.Random(11), 0, 0, set()
    path = tmp_path / "it.json"
    for _ in range(1000):
        _, receipt = draw.choice(receipts)
        write(path, mutated(receipt, receipts, draw, str(tmp_path)))
        try:
            found = read_receipt(path)
            if found.verb in REQUESTS:
                REQUESTS[found.verb].from_receipt(found)
                verbs.add(found.verb)
                read += 1
        except AttrimorphError as error:
            longest = max(longest, len(str(error)))
    assert read > 100
    assert longest < 1000
    assert len(verbs) > 12
    assert snapshot(tmp_path).keys() == {str(path)}
