"""Preparing: right pixels and labels, skips that are named, kills that cost nothing, caches that notice changes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data import decoding, writer
from attrimorph.data.drawn.synthetic import drawn_faces, write_ring
from attrimorph.data.images import read_pixels
from attrimorph.data.prepared import open_or_prepare, open_prepared, prepare
from attrimorph.data.readers import Source, read
from attrimorph.errors import AttrimorphError


def photographs(folder: Path, count: int = 20, size: tuple[int, int] = (40, 30)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows = ["file_name,Smiling,age"]
    for number in range(count):
        pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png", compress_level=1)
        rows.append(f"{number:04d}.png,{number % 2},{number if number % 5 else ''}")
    (folder / "attributes.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_prepared_images_are_the_read_ones(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source")
    calls: list[tuple[int, int]] = []
    summary = prepare(source, tmp_path / "out", 16, workers=3, progress=lambda done, total: calls.append((done, total)))
    data = open_prepared(tmp_path / "out")
    raw = read(source)
    assert (summary.written, summary.skipped, summary.format) == (20, [], "table")
    assert summary.splits == {"train": 16, "valid": 2, "test": 2}
    assert calls[-1] == (20, 20)
    for row, file in enumerate(data.files):
        np.testing.assert_array_equal(data.images[row], read_pixels(source / file, 16))
    np.testing.assert_array_equal(data.attributes.numpy(), raw.schema.encode(raw.table))
    assert data.split.tolist() == raw.split
    assert data.attributes[0, 1].isnan()


def test_bad_images_are_skipped_and_named(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 8)
    (source / "0002.png").write_bytes((source / "0002.png").read_bytes()[:500])
    (source / "0005.png").write_text("no image")
    summary = prepare(source, tmp_path / "out", 16)
    assert [entry["file"] for entry in summary.skipped] == ["0002.png", "0005.png"]
    data = open_prepared(tmp_path / "out")
    assert [*data.files] == [f"{number:04d}.png" for number in (0, 1, 6, 3, 4, 7)]
    np.testing.assert_array_equal(data.images[2], read_pixels(source / "0006.png", 16))
    assert data.attributes[:, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert data.skipped == summary.skipped
    assert any("0002.png" in line for line in summary.lines())


def test_nothing_readable_is_told(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 2)
    for path in source.glob("*.png"):
        path.write_text("no image")
    with pytest.raises(AttrimorphError, match=r"no image could be read .* 0000\.png"):
        prepare(source, tmp_path / "out", 16)
    assert not (tmp_path / "out" / "schema.json").exists()


def test_the_same_call_again_finds_it_done_and_another_is_refused(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 6)
    prepare(source, tmp_path / "out", 16)
    assert prepare(source, tmp_path / "out", 16).resumed == 6
    with pytest.raises(AttrimorphError, match="another source or other settings"):
        prepare(source, tmp_path / "out", 24)
    with pytest.raises(AttrimorphError, match="another source or other settings"):
        prepare(source, tmp_path / "out", 16, crop=20)


def test_attributes_can_be_chosen(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 6)
    prepare(source, tmp_path / "out", 16, attributes=["Smiling"])
    assert open_prepared(tmp_path / "out").schema.names == ("Smiling",)
    with pytest.raises(AttrimorphError, match="no attribute 'Smilng'; did you mean 'Smiling'"):
        prepare(source, tmp_path / "other", 16, attributes=["Smilng"])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork and SIGKILL")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_killed_and_run_again_it_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SYNC_EVERY", 8)
    source = photographs(tmp_path / "source", 200, (160, 160))
    (source / "0007.png").write_text("no image")
    prepare(source, tmp_path / "whole", 32)
    out = tmp_path / "killed"
    kills = 0
    for seconds in np.random.default_rng(0).uniform(0.02, 0.15, 8):
        process = multiprocessing.get_context("fork").Process(target=prepare, args=(source, out, 32), daemon=True)
        process.start()
        time.sleep(seconds)
        kills += process.is_alive()
        process.kill()
        process.join()
        if not (out / "schema.json").exists():
            with pytest.raises(AttrimorphError, match=r"prepare|no folder"):
                open_prepared(out)
    assert kills
    assert prepare(source, out, 32).written == 199
    for name in ("images.npy", "attributes.csv", "schema.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in out.iterdir()} == {
        ".lock",
        "attributes.csv",
        "attributes.npy",
        "checksums.npy",
        "images.npy",
        "schema.json",
    }


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes")
def test_processes_prepare_the_same_bytes_and_none_of_them_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SYNC_EVERY", 8)
    source, count = photographs(tmp_path / "source", 200), 200
    (source / "0007.png").write_text("no image")
    prepare(source, tmp_path / "one", 32, workers=1)
    monkeypatch.setattr(decoding, "WORTH", 100)
    monkeypatch.setattr(decoding, "AT_ONCE", 1)  # so that not all is done when one is killed
    there = children(os.getpid())

    def kill_one(done: int, total: int) -> None:
        if done >= 32:
            os.kill(max(set(children(os.getpid())) - set(there)), signal.SIGKILL)

    with pytest.raises(AttrimorphError, match=r"ended by SIGKILL at .*\d{4}\.png; run the same again, .* --workers 1"):
        prepare(source, tmp_path / "out", 32, workers=2, progress=kill_one)
    assert set(children(os.getpid())) <= set(there)
    code = (
        "import sys; from attrimorph.data import decoding, writer; from attrimorph.data.prepared import prepare\n"
        "decoding.WORTH, decoding.AT_ONCE, writer.SYNC_EVERY = 1, 1, 8\n"
        "prepare(sys.argv[1], sys.argv[2], 32, workers=2, progress=lambda done, total: print(done, flush=True))"
    )
    words = [sys.executable, "-c", code, str(source), str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = int(process.stdout.readline())
        workers = children(process.pid)
        process.kill()
    assert (begun > 32, len(workers)) == (True, 2)
    until = time.monotonic() + 20
    while any(map(running, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(running, workers))
    summary = prepare(source, tmp_path / "out", 32, workers=2)
    assert (summary.written, summary.resumed >= 32) == (count - 1, True)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "one")


def test_an_interrupted_call_goes_on_where_it_was(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 64)

    def interrupt(done: int, total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out", 16, progress=interrupt)
    calls: list[tuple[int, int]] = []
    summary = prepare(source, tmp_path / "out", 16, progress=lambda done, total: calls.append((done, total)))
    assert (summary.resumed, summary.written) == (32, 64)
    assert calls[0] == (48, 64)


def test_masks_follow_the_crop(tmp_path: Path) -> None:
    for label in ("001.A", "002.B"):
        for number in (1, 2):
            pixels = np.zeros((40, 60, 3), np.uint8)
            pixels[10:30, 20:40] = 255
            (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "segmentations" / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
            Image.fromarray(pixels[..., 0]).save(tmp_path / "segmentations" / label / f"{number}.png")
    rows = [f"{number} {label}/{image}.png" for number, (label, image) in enumerate(
        ((label, image) for label in ("001.A", "002.B") for image in (1, 2)), 1)]  # fmt: skip
    (tmp_path / "images.txt").write_text("\n".join(rows))
    (tmp_path / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n4 2\n")
    (tmp_path / "classes.txt").write_text("1 001.A\n2 002.B\n")
    (tmp_path / "train_test_split.txt").write_text("1 1\n2 1\n3 1\n4 0\n")
    summary = prepare(tmp_path, tmp_path / "out", 20)
    data = open_prepared(summary.out)
    assert data.masks is not None
    # The square cut out is 40 x 40 from column 10: the object covers its quarter in the middle.
    assert (data.masks[0, 6:14, 6:14] == 255).all()
    assert data.masks[0, :4].max() == 0
    assert np.abs(data.images[0, 6:14, 6:14].astype(int) - 255).max() < 30
    without = open_prepared(prepare(tmp_path, tmp_path / "without", 20, masks=False).out)
    assert without.masks is None
    # A cache is made anew when a mask alone has changed.
    cached = open_or_prepare(tmp_path, 20)
    assert cached.masks is not None
    Image.new("L", (60, 40), 255).save(tmp_path / "segmentations" / "001.A" / "1.png", compress_level=0)
    again = open_or_prepare(tmp_path, 20)
    assert again.path == cached.path
    assert again.masks is not None
    assert int(again.masks[0].min()) == 255


def test_open_or_prepare_caches_beside_and_notices_changes(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 6)
    data = open_or_prepare(source, 16)
    assert data.path == source / ".attrimorph" / "16"
    stamp = (data.path / "images.npy").stat().st_mtime_ns
    again = open_or_prepare(source, 16)
    assert (again.fingerprint, (data.path / "images.npy").stat().st_mtime_ns) == (data.fingerprint, stamp)
    assert open_or_prepare(source, 16, crop=20).path == source / ".attrimorph" / "16-crop20"
    time.sleep(0.01)
    Image.new("RGB", (40, 30), "red").save(source / "0003.png")
    changed = open_or_prepare(source, 16)
    assert (changed.images[3] == (255, 0, 0)).all()
    assert changed.fingerprint != data.fingerprint
    (source / "attributes.csv").write_text((source / "attributes.csv").read_text().replace("0001.png,1", "0001.png,0"))
    assert open_or_prepare(source, 16).attributes[1, 0] == 0


@pytest.mark.parametrize("name", ["schema.json", "images.npy", "attributes.csv", "attributes.npy", "checksums.npy"])
@pytest.mark.parametrize("broken", [b"", b"{}", None])
def test_a_broken_cache_is_made_anew(tmp_path: Path, name: str, broken: bytes | None) -> None:
    source = photographs(tmp_path / "source", 6)
    data = open_or_prepare(source, 16)
    assert data.path is not None
    if broken is None:
        (data.path / name).unlink()
    else:
        (data.path / name).write_bytes(broken)
    again = open_or_prepare(source, 16)
    again.check()
    assert (again.fingerprint, len(again)) == (data.fingerprint, 6)


def test_files_in_the_folder_of_the_result_stay(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 6)
    table = (source / "attributes.csv").read_bytes()
    with pytest.raises(AttrimorphError, match=r"source/attributes.csv would be written over; choose an empty folder"):
        prepare(source, source, 16)
    assert (source / "attributes.csv").read_bytes() == table
    (tmp_path / "ring").mkdir()
    (tmp_path / "ring" / "points.csv").write_text("mine")
    with pytest.raises(AttrimorphError, match=r"points.csv holds other points, or none"):
        write_ring(tmp_path / "ring", count=10)
    assert write_ring(tmp_path / "other", count=10) == write_ring(tmp_path / "other", count=10)


def test_drawn_faces_that_are_broken_are_drawn_anew(tmp_path: Path) -> None:
    first = drawn_faces(16, 12, folder=tmp_path)
    assert first.path is not None
    (first.path / "images.npy").write_bytes(b"broken")
    assert drawn_faces(16, 12, folder=tmp_path).fingerprint == first.fingerprint


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 6)
    (source / ".attrimorph").write_text("a file")
    with pytest.raises(AttrimorphError, match=r"cannot write .*prepared images of .*set XDG_CACHE_HOME to a folder"):
        open_or_prepare(source, 16)


def test_links_are_followed_and_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        photographs(tmp_path / "elsewhere" / label, 6)
        (tmp_path / "elsewhere" / label / "attributes.csv").unlink()
    source = tmp_path / "source"
    source.mkdir()
    (source / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (source / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (source / "cat" / "round").symlink_to(source)
    (source / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert read(source).schema.attributes[0].values == ("cat", "dog")
    summary = prepare(source, tmp_path / "out", 16)
    assert (summary.written, [entry["file"] for entry in summary.skipped]) == (12, ["cat/gone.png"])


def test_open_or_prepare_of_a_prepared_folder(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 6)
    prepare(source, tmp_path / "out", 16)
    assert open_or_prepare(tmp_path / "out", 16).image_size == 16
    with pytest.raises(AttrimorphError, match="was prepared at 16 pixels; 32 are wanted"):
        open_or_prepare(tmp_path / "out", 32)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everything")
def test_open_or_prepare_of_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = photographs(tmp_path / "source", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source.chmod(0o500)
    try:
        data = open_or_prepare(source, 16)
        assert data.path is not None
        assert data.path.is_relative_to(tmp_path / "cache")
        with pytest.raises(AttrimorphError, match="Permission denied"):
            prepare(source, source / "out", 16)
    finally:
        source.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 4)
    out = tmp_path / "out"
    out.mkdir()
    (out / "images.npy.part").symlink_to("/dev/full")
    (out / "journal.part").mkdir()
    with pytest.raises(AttrimorphError, match=r"cannot write .*; free some space or choose another folder"):
        prepare(source, out, 16)
    assert not (out / "schema.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 4}, "image_size must be between 8 and 1024; got 4"),
        ({"image_size": 5000}, "image_size must be between 8 and 1024; got 5000"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"masks": True}, "the format table has no masks"),
        ({"attributes": []}, "at least one attribute must be kept"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, options: dict[str, object], message: str) -> None:
    source = photographs(tmp_path / "source", 2)
    with pytest.raises(AttrimorphError, match=message):
        prepare(source, tmp_path / "out", **{"image_size": 16, **options})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_layout_that_the_folder_has_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="must hold list_attr_celeba"):
        prepare(Source(photographs(tmp_path / "source", 2), "celeba"), tmp_path / "out", 16)
    assert not (tmp_path / "out").exists()


def test_wrong_places_are_told(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 2)
    with pytest.raises(AttrimorphError, match="there is no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "out", 16)
    with pytest.raises(AttrimorphError, match="it is a file"):
        prepare(source, source / "attributes.csv", 16)
    with pytest.raises(AttrimorphError, match="cannot write"):
        prepare(source, source / "attributes.csv" / "out", 16)


def test_what_a_process_killed_at_the_very_end_left_is_cleared_away(tmp_path: Path) -> None:
    source = photographs(tmp_path / "source", 4)
    prepare(source, tmp_path / "out", 16)
    leftovers = [tmp_path / "out" / name for name in ("journal.part", ".schema.json.ab12.part")]
    for leftover in leftovers:
        leftover.write_bytes(b"x")
    prepare(source, tmp_path / "out", 16)
    assert not any(leftover.exists() for leftover in leftovers)
