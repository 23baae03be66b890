"""`check` finds what it promises to find, and nothing in sound data."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data.check import Report, check
from attrimorph.data.prepared import prepare
from attrimorph.errors import AttrimorphError


def sound(folder: Path, count: int = 300) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,split,flag,colour"]
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png", compress_level=1)
        split = ("valid", "test")[number % 2] if number >= count - 20 else "train"
        rows.append(f"{number:04d}.png,{split},{number // 2 % 2},{('red', 'blue')[number % 2]}")
    (folder / "attributes.csv").write_text("\n".join(rows) + "\n")
    return folder


def kinds(report: Report) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in report.findings}


def change_rows(folder: Path, change: dict[int, str]) -> None:
    lines = (folder / "attributes.csv").read_text().splitlines()
    for number, line in change.items():
        lines[number + 1] = line
    (folder / "attributes.csv").write_text("\n".join(line for line in lines if line) + "\n")


def test_sound_data_has_no_findings(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = check(sound(tmp_path), progress=lambda done, total: calls.append((done, total)))
    assert report.findings == []
    assert calls[-1] == (300, 300)
    assert report.splits == {"train": 280, "valid": 10, "test": 10}
    assert report.attributes["flag"] == {"kind": "binary", "known": 300, "share": 0.5}
    assert report.attributes["colour"]["counts"] == {"blue": 150, "red": 150}
    assert report.lines()[-1] == "nothing found"
    assert json.loads(json.dumps(report.to_json()))["images"] == 300


def test_unreadable_and_cut_files_are_named(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "0003.png").write_text("no image")
    (tmp_path / "0005.png").write_bytes((tmp_path / "0005.png").read_bytes()[:-400])
    report = check(tmp_path)
    finding = next(finding for finding in report.errors if finding.kind == "unreadable")
    assert finding.files == ["0003.png", "0005.png"]
    assert "0003.png" in finding.text


def test_duplicates_are_found_within_and_across_splits(tmp_path: Path) -> None:
    sound(tmp_path)
    shutil.copy(tmp_path / "0000.png", tmp_path / "0004.png")
    shutil.copy(tmp_path / "0010.png", tmp_path / "0299.png")
    shutil.copy(tmp_path / "0020.png", tmp_path / "0021.png")
    report = check(tmp_path)
    assert kinds(report) == {"duplicates-across-splits": "error", "duplicates": "warning", "contradictions": "warning"}
    files = {finding.kind: finding.files for finding in report.findings}
    assert files["duplicates-across-splits"] == ["0010.png", "0299.png"]
    assert files["duplicates"] == ["0000.png", "0004.png", "0020.png", "0021.png"]
    assert files["contradictions"] == ["0010.png", "0299.png", "0020.png", "0021.png"]
    # Errors come first.
    assert report.findings[0].severity == "error"


def test_rows_and_images_without_the_other_are_named(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "0008.png").unlink()
    change_rows(tmp_path, {9: ""})
    report = check(tmp_path)
    files = {finding.kind: finding.files for finding in report.findings}
    assert files == {"rows-without-image": ["0008.png"], "images-without-row": ["0009.png"]}


def test_labels_that_teach_nothing_are_named(tmp_path: Path) -> None:
    sound(tmp_path)
    lines = ["file,split,flag,colour,constant,rare,gaps,nothing"]
    for number in range(300):
        split = ("valid", "test")[number % 2] if number >= 280 else "train"
        colour = "green" if number < 3 else ("red", "blue")[number % 2]
        known = number >= 280
        lines.append(
            f"{number:04d}.png,{split},{number % 2},{colour},{int(known)},{int(number == 0)},"
            f"{'' if number % 4 else number % 8 // 4},{number % 2 if known else ''}"
        )
    (tmp_path / "attributes.csv").write_text("\n".join(lines) + "\n")
    report = check(tmp_path)
    assert kinds(report) == {
        "unlabelled": "error",
        "constant": "warning",
        "rare": "warning",
        "few": "warning",
        "missing": "note",
    }
    files = {finding.kind: finding.files for finding in report.findings}
    assert files == {
        "unlabelled": ["nothing"],
        "constant": ["constant"],
        "rare": ["rare (0.4%)"],
        "few": ["colour=green (3)"],
        "missing": ["gaps (75%)"],
    }


def test_odd_sizes_are_named(tmp_path: Path) -> None:
    sound(tmp_path)
    Image.effect_noise((20, 20), 50).save(tmp_path / "0001.png")
    Image.effect_noise((200, 40), 50).save(tmp_path / "0002.png")
    report = check(tmp_path)
    files = {finding.kind: finding.files for finding in report.findings}
    assert files == {"tiny": ["0001.png"], "aspect": ["0002.png"], "sizes": []}


def test_empty_splits_and_few_images_are_told(tmp_path: Path) -> None:
    sound(tmp_path, 30)
    text = (tmp_path / "attributes.csv").read_text().replace(",valid,", ",train,").replace(",test,", ",train,")
    (tmp_path / "attributes.csv").write_text(text)
    assert kinds(check(tmp_path)) == {"few": "warning", "empty-split": "note"}
    (tmp_path / "attributes.csv").write_text(text.replace(",train,", ",test,"))
    assert kinds(check(tmp_path))["no-train"] == "error"


def test_prepared_data_is_checked_too(tmp_path: Path) -> None:
    source = sound(tmp_path / "source")
    shutil.copy(source / "0010.png", source / "0299.png")
    (source / "0003.png").write_text("no image")
    prepare(source, tmp_path / "out", 32)
    told: list[tuple[int, int]] = []
    report = check(tmp_path / "out", progress=lambda *done: told.append(done))
    assert report.format == "prepared"
    assert told[-1] == (report.images, report.images)
    assert kinds(report) == {"duplicates-across-splits": "error", "contradictions": "warning", "skipped": "note"}
    images = tmp_path / "out" / "images.npy"
    images.write_bytes(images.read_bytes()[:-1] + b"\0")
    with pytest.raises(AttrimorphError, match=r"out has changed since it was prepared: .*\.png is not what it was"):
        check(tmp_path / "out")


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="must hold images; none was found"):
        check(tmp_path)


def test_every_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    opened: list[str] = []
    real = io.open

    def counted(path: object, *words: object, **options: object) -> object:
        if str(path).endswith(".png"):
            opened.append(str(path))
        return real(path, *words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("attrimorph.data.check.AT_ONCE", 4)
    monkeypatch.setattr(io, "open", counted)
    monkeypatch.setattr("builtins.open", counted)
    report = check(tmp_path)
    assert report.images == 6
    assert sorted(opened) == sorted(str(tmp_path / f"{number}.png") for number in range(6))
