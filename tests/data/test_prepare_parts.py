"""Parts: several processes prepare one data set, and it is what one alone would have made."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attrimorph.cli import run
from attrimorph.data import folder, writer
from attrimorph.data.decoding import ImageDecoder
from attrimorph.data.folder import parse_part
from attrimorph.data.prepared import open_or_prepare, open_prepared, prepare
from attrimorph.data.readers import Source
from attrimorph.errors import AttrimorphError


def noise(path: Path, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(path, compress_level=1)


def labelled(folder: Path, count: int = 23) -> Path:
    """Write pictures with labels of every kind, identities and gaps; the first, the last and two neighbours are bad."""
    random, rows = np.random.default_rng(0), ["file_name,Smiling,hair,age,identity"]
    for number in range(count):
        noise(folder / f"{number:04d}.png", random)
        age = number**2 if number % 5 else ""
        rows.append(f"{number:04d}.png,{number % 2},{('brown', 'black')[number % 3 > 0]},{age},{number // 3}")
    for number in (0, 9, 10, count - 1):
        (folder / f"{number:04d}.png").write_text("no image")
    (folder / "attributes.csv").write_text("\n".join(rows) + "\n")
    return folder


def birds(folder: Path) -> Path:
    """Write pictures with masks, as CUB-200 has them."""
    random, names = np.random.default_rng(0), [f"{label}/{n}.png" for label in ("001.A", "002.B") for n in range(5)]
    for name in names:
        noise(folder / "images" / name, random)
        noise(folder / "segmentations" / name, random)
    rows = {
        "images.txt": names,
        "image_class_labels.txt": [1 + row // 5 for row in range(10)],
        "train_test_split.txt": [int(row % 4 > 0) for row in range(10)],
    }
    for name, values in rows.items():
        (folder / name).write_text("".join(f"{row} {value}\n" for row, value in enumerate(values, 1)))
    (folder / "classes.txt").write_text("1 001.A\n2 002.B\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("make", [labelled, birds])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_in_any_order_are_what_one_preparation_makes(tmp_path: Path, make, order) -> None:  # type: ignore[no-untyped-def]
    source = make(tmp_path / "source")
    whole = prepare(source, tmp_path / "one", 16)
    told = [prepare(source, tmp_path / "out", 16, part=(number, 3)) for number in order]
    assert [len(each.missing) for each in told] == [2, 1, 0]
    assert (told[2].written, told[2].splits, told[2].skipped) == (whole.written, whole.splits, whole.skipped)
    assert contents(tmp_path / "out") == contents(tmp_path / "one")
    data = open_prepared(tmp_path / "out")
    data.check()
    assert (data.masks is not None) == (make is birds)
    again = prepare(source, tmp_path / "out", 16, part=(2, 3))
    assert (again.written, again.missing) == (len(data), [])
    assert prepare(source, tmp_path / "out", 16).written == len(data)


def test_each_part_decodes_its_share_and_what_is_missing_is_told(tmp_path: Path) -> None:
    source, out, calls = labelled(tmp_path / "source"), tmp_path / "out", list[tuple[int, int]]()
    summary = prepare(source, out, 16, part=(2, 3), progress=lambda *done: calls.append(done))
    assert calls[-1] == (8, 8)
    assert (summary.written, summary.missing) == (6, ["1/3", "3/3"])
    assert [each["file"] for each in summary.skipped] == ["0009.png", "0010.png"]
    assert "missing yet: part 1/3, 3/3; whichever is ready last joins all" in summary.lines()
    prepare(source, out, 16, part=(1, 3))
    told = r"out is prepared in parts; missing or unfinished: 3/3; run the same .* with --part 3/3"
    for use in (open_prepared, lambda path: open_or_prepare(Source(path), 16)):
        with pytest.raises(AttrimorphError, match=told):
            use(out)
    again = prepare(source, out, 16, part=(1, 3))
    assert (again.resumed, again.written, again.missing) == (7, 6, ["3/3"])


@pytest.mark.parametrize("word", ["0/3", "4/3", "x", "3", "1/0", "-1/3", "1/3/5", ""])
def test_what_is_no_part_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    words = ["data", "prepare", str(labelled(tmp_path / "source")), "--out", str(tmp_path / "out"), f"--part={word}"]
    assert run(words) == 2
    error = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())
    assert f"a part must be one of some, from 1/8 to 8/8 of eight; got {word!r}" in error
    assert not (tmp_path / "out").exists()


def test_a_part_is_read() -> None:
    assert [parse_part(word) for word in ("1/1", " 2/8 ", "12/12")] == [(1, 1), (2, 8), (12, 12)]


def test_more_parts_than_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="at least one image for each of 24 parts; got 23"):
        prepare(labelled(tmp_path / "source"), tmp_path / "out", 16, part=(1, 24))


def test_parts_of_something_else_are_refused_and_harm_nothing(tmp_path: Path) -> None:
    source, out = labelled(tmp_path / "source"), tmp_path / "out"
    prepare(source, out, 16, part=(1, 2))
    before = contents(out)
    other = labelled(tmp_path / "other", 24)
    for path, size, options in (
        (other, 16, {"part": (2, 2)}),
        (source, 24, {"part": (2, 2)}),
        (source, 16, {"part": (2, 2), "crop": 20}),
        (source, 16, {"part": (2, 2), "attributes": ["Smiling"]}),
        (source, 16, {"part": (2, 3)}),
        (source, 16, {}),
        (other, 16, {"part": (1, 2)}),
    ):
        with pytest.raises(AttrimorphError, match="out is being prepared from another source, with other settings, or"):
            prepare(path, out, size, **options)  # type: ignore[arg-type]
        assert contents(out) == before
    prepare(source, out, 16, part=(2, 2))
    prepare(source, tmp_path / "one", 16)
    assert contents(out) == contents(tmp_path / "one")


def test_an_interrupted_part_goes_on_where_it_was(tmp_path: Path) -> None:
    source, out = labelled(tmp_path / "source", 64), tmp_path / "out"

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, 16, part=(2, 2), progress=interrupt)
    prepare(source, out, 16, part=(1, 2))
    with pytest.raises(AttrimorphError, match="missing or unfinished: 2/2"):
        open_prepared(out)
    assert prepare(source, out, 16, part=(2, 2)).resumed == 16
    prepare(source, out, 16, part=(1, 2))
    prepare(source, tmp_path / "one", 16)
    assert contents(out) == contents(tmp_path / "one")


@pytest.mark.parametrize("step", ["write_json", "place", "write_header", "clear_leftovers"])
@pytest.mark.parametrize("parts", [1, 2])
def test_stopped_while_parts_are_joined_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, parts: int
) -> None:
    source, out = birds(tmp_path / "source"), tmp_path / "out"
    (source / "images" / "001.A" / "2.png").write_text("no image")
    prepare(source, tmp_path / "one", 16)
    module = folder if step in ("write_header", "clear_leftovers") else writer
    real = getattr(module, step)

    def stop(*words: Any) -> None:
        if (
            step in ("place", "clear_leftovers")
            or str(words[0]).endswith("schema.json.part")
            or ((out / "images.npy").exists() and len(words[1]) == 3)  # between images and masks
        ):
            raise KeyboardInterrupt
        real(*words)

    for number in range(1, parts):
        prepare(source, out, 16, part=(number, parts))
    with monkeypatch.context() as patch:
        patch.setattr(module, step, stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, 16, part=(parts, parts))
    monkeypatch.setattr(ImageDecoder, "__call__", lambda *_: AttrimorphError("is decoded again"))
    if (out / "schema.json").exists():
        assert step == "clear_leftovers"
    elif parts > 1:
        with pytest.raises(AttrimorphError, match=r"all are there, and not joined yet; .* with one of its parts again"):
            open_prepared(out)
    assert prepare(source, out, 16, part=(1, parts)).written == 9
    if step != "write_json" or parts > 1:  # else the bad one was tried again, and its reason is another
        assert contents(out) == contents(tmp_path / "one")


def started(source: Path, out: Path, part: tuple[int, int], wait: bool) -> subprocess.Popen[str]:
    """Start a process that prepares a part; with `wait` it stops at its first 16 images until a line comes."""
    stop = "lambda *_: (print('begun', flush=True), input())" if wait else None
    code = (
        "from attrimorph.data.prepared import prepare\n"
        f"print(prepare({str(source)!r}, {str(out)!r}, 16, part={part}, workers=1, progress={stop}).written)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def test_parts_are_prepared_at_once_but_none_twice_at_once(tmp_path: Path) -> None:
    source, out = labelled(tmp_path / "source", 64), tmp_path / "out"
    first = started(source, out, (1, 3), wait=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "begun\n"
    others = [started(source, out, (number, 3), wait=False) for number in (2, 3)]
    assert [each.wait(60) for each in others] == [0, 0]
    with pytest.raises(AttrimorphError, match=r"another process is at work on this part of .*out; wait for it, or"):
        prepare(source, out, 16, part=(1, 3))
    with pytest.raises(AttrimorphError, match="being prepared"):
        prepare(source, out, 16)
    assert prepare(source, out, 16, part=(2, 3)).missing == ["1/3"]
    assert first.communicate("\n" * 9, timeout=60)[0].endswith("60\n")
    prepare(source, tmp_path / "one", 16)
    assert contents(out) == contents(tmp_path / "one")


def test_a_killed_part_is_free_again(tmp_path: Path) -> None:
    source, out = labelled(tmp_path / "source", 64), tmp_path / "out"
    process = started(source, out, (1, 2), wait=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    prepare(source, out, 16, part=(1, 2))
    prepare(source, out, 16, part=(2, 2))
    prepare(source, tmp_path / "one", 16)
    assert contents(out) == contents(tmp_path / "one")


def test_a_part_whose_images_are_gone_is_told(tmp_path: Path) -> None:
    source, out = labelled(tmp_path / "source"), tmp_path / "out"
    prepare(source, out, 16, part=(1, 2))
    (out / "images.npy.part").unlink()
    with pytest.raises(AttrimorphError, match="holds parts, but not their images; delete it"):
        prepare(source, out, 16, part=(2, 2))


def test_a_part_that_has_lost_its_journal_is_decoded_again(tmp_path: Path) -> None:
    source, out = labelled(tmp_path / "source"), tmp_path / "out"
    prepare(source, out, 16, part=(1, 2))
    (out / "journal-1-of-2.part").write_bytes(b"short")
    assert prepare(source, out, 16, part=(1, 2)).resumed == 0
    prepare(source, out, 16, part=(2, 2))
    prepare(source, tmp_path / "one", 16)
    assert contents(out) == contents(tmp_path / "one")
