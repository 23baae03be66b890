"""Prepared folders: what is written is read again, and what is damaged is told."""

import io
import json
import mmap
import tracemalloc
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.data import Attribute, Schema, writer
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.loader import Loader
from attrimorph.data.prepared import Names, _fetch, open_prepared, prepare
from attrimorph.data.writer import PreparedWriter, write_prepared
from attrimorph.errors import AttrimorphError

SCHEMA = Schema(
    (Attribute("Smiling"), Attribute("who", "categorical", ("a, b", 'c"d')), Attribute("age", "real", (), 40.0, 12.5))
)
Y = torch.tensor([[1, 1, 0, 0.3], [0, 0, 1, -1.7], [torch.nan, torch.nan, torch.nan, torch.nan], [1, 0, 1, 2]])
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def written(path: Path) -> Path:
    write_prepared(
        path,
        [(IMAGES, IMAGES[..., 0].copy())],
        SCHEMA,
        Y,
        files=["a.png", "b, c.png", "ü.png", "d.png"],
        split=["train", "valid", "test", "train"],
        identity=[3, -1, 7, 7],
        factors=(("light", "pose"), np.arange(8, dtype=np.float32).reshape(4, 2)),
        preprocessing={"drawn": True},
    )
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    data = open_prepared(written(tmp_path / "data"))
    np.testing.assert_array_equal(data.images, IMAGES)
    np.testing.assert_array_equal(data.masks, IMAGES[..., 0])
    np.testing.assert_array_equal(data.factors, np.arange(8).reshape(4, 2))
    torch.testing.assert_close(data.attributes, Y, equal_nan=True)
    assert isinstance(data.images, np.memmap)
    assert (data.files[1:3], data.identity.tolist()) == (["b, c.png", "ü.png"], [3, -1, 7, 7])
    assert data.indices("train").tolist() == [0, 3]
    assert data.indices("all").tolist() == [0, 1, 2, 3]
    assert (data.schema, data.image_size, data.factor_names) == (SCHEMA, 8, ("light", "pose"))
    assert data.preprocessing == {"drawn": True}
    assert not list((tmp_path / "data").glob("*.part"))
    with pytest.raises(AttrimorphError, match="train, valid, test or all; got 'dev'"):
        data.indices("dev")


def test_names_are_what_was_put_in() -> None:
    names, words = Names(), ["a.png", "", "ü/b c.png", "\udcff.png", "d"]
    names.extend(words[:2])
    names.extend(words[2:])
    assert (len(names), [*names], names[-1], names[1:3]) == (5, words, "d", words[1:3])
    assert names.index("d") == 4
    with pytest.raises(IndexError):
        names[5]


def test_chunks_give_the_same_as_one_array(tmp_path: Path) -> None:
    write_prepared(tmp_path / "one", IMAGES, SCHEMA, Y)
    write_prepared(tmp_path / "chunks", (IMAGES[start : start + 3] for start in (0, 3)), SCHEMA, Y)
    assert (tmp_path / "one" / "images.npy").read_bytes() == (tmp_path / "chunks" / "images.npy").read_bytes()
    assert open_prepared(tmp_path / "one").fingerprint == open_prepared(tmp_path / "chunks").fingerprint
    np.testing.assert_array_equal(np.load(tmp_path / "one" / "images.npy"), IMAGES)


def test_fingerprint_follows_images_and_labels(tmp_path: Path) -> None:
    write_prepared(tmp_path / "a", IMAGES, SCHEMA, Y)
    write_prepared(tmp_path / "b", IMAGES ^ (np.arange(4) == 3).astype(np.uint8)[:, None, None, None], SCHEMA, Y)
    other = Y.clone()
    other[0, 0] = 0
    write_prepared(tmp_path / "c", IMAGES, SCHEMA, other)
    assert len({open_prepared(tmp_path / name).fingerprint for name in "abc"}) == 3


def test_rows_never_written_are_left_out(tmp_path: Path) -> None:
    table = {"Smiling": [1, 0, None, 1], "who": ["a, b", 'c"d', None, 'c"d'], "age": [40, 41, None, 43]}
    with PreparedWriter(tmp_path / "data", 4, 8) as writer:
        for row in (3, 1):
            writer.write(row, IMAGES[row])
        writer.finish(SCHEMA, table, files=list("abcd"), split=["train"] * 4, identity=[0, 1, 2, 3])
    data = open_prepared(tmp_path / "data")
    np.testing.assert_array_equal(data.images, IMAGES[[3, 1]])  # the last rows come where some were left out
    assert ([*data.files], data.identity.tolist()) == (["d", "b"], [3, 1])
    assert data.attributes[:, 0].tolist() == [1, 0]
    data.check()


@pytest.mark.parametrize("gap", [True, False])
def test_stopped_at_the_last_moment_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: bool) -> None:
    table = {"Smiling": [1, 0, 1, 1], "who": ["a, b"] * 4, "age": [40, 41, 42, 43]}
    rows = [0, 3, 2] if gap else [0, 1, 2, 3]
    labels = {"files": list("abcd"), "split": ["train"] * 4, "identity": [0, 1, 2, 3]}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for last in (False, True):
        with PreparedWriter(tmp_path, 4, 8, masks=True, request="x") as writer_:
            for row in rows:
                if not writer_.done[row]:
                    writer_.write(row, IMAGES[row], IMAGES[row, ..., 1])
            if last:
                writer_.finish(SCHEMA, table, **labels)  # type: ignore[arg-type]
            else:
                with monkeypatch.context() as patch:
                    patch.setattr(writer, "write_json", stop)
                    with pytest.raises(KeyboardInterrupt):
                        writer_.finish(SCHEMA, table, **labels)  # type: ignore[arg-type]
                assert not (tmp_path / "schema.json").exists()
    data = open_prepared(tmp_path)
    np.testing.assert_array_equal(data.images, IMAGES[rows])
    np.testing.assert_array_equal(data.masks, IMAGES[rows][..., 1])
    assert data.identity.tolist() == rows
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("step", ["writer.place", "folder.clear_leftovers"])
def test_arrays_stopped_while_they_are_placed_are_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"attrimorph.data.{step}", stop)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path)
    if step == "writer.place":
        assert not [*tmp_path.iterdir()]
        written(tmp_path)
    open_prepared(tmp_path).check()


def test_a_writer_goes_on_with_the_same_request_only(tmp_path: Path) -> None:
    with PreparedWriter(tmp_path, 4, 8, request="x") as writer:
        writer.write(2, IMAGES[2])
    with PreparedWriter(tmp_path, 4, 8, request="x") as writer:
        assert writer.done.tolist() == [False, False, True, False]
    with pytest.raises(AttrimorphError, match="has none; run `attrimorph data prepare`"):
        open_prepared(tmp_path)
    with PreparedWriter(tmp_path, 4, 8, request="y") as writer:
        assert not writer.done.any()


def test_prepared_data_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="already holds prepared data"):
        PreparedWriter(written(tmp_path), 4, 8)


@pytest.mark.parametrize(
    ("attributes", "images", "message"),
    [
        (Y[:3], IMAGES, "equally many"),
        (torch.cat([Y, Y]), IMAGES, "equally many; got 4 and 8"),
        (Y[:, :2], IMAGES, r"must be \[N, 4\]"),
        (Y[:0], IMAGES, "at least one image"),
        (Y, IMAGES.astype(np.float32), "must be uint8"),
        (Y, IMAGES[:, :, :6], "must be uint8"),
    ],
)
def test_arrays_that_do_not_fit_are_told(
    tmp_path: Path, attributes: torch.Tensor, images: np.ndarray, message: str
) -> None:
    with pytest.raises(AttrimorphError, match=message):
        write_prepared(tmp_path, images, SCHEMA, attributes)
    assert not (tmp_path / "schema.json").exists()


def damage(path: Path, name: str) -> None:
    head = json.loads((path / "schema.json").read_text())
    if name == "foreign":
        head = {"hello": 1}
    elif name == "list":
        head = [1]
    elif name == "newer":
        head["version"] = 99
    elif name == "no schema":
        del head["schema"]
    elif name == "wrong kind":
        head["schema"] = 5
    elif name == "wrong count":
        head["count"] = 5
    elif name == "wrong size":
        head["image_size"] = "big"
    elif name == "other names":
        head["schema"]["attributes"][0]["name"] = "Frowning"
    (path / "schema.json").write_text(json.dumps(head))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("foreign", "was not written by attrimorph"),
        ("list", "was not written by attrimorph"),
        ("newer", "format version 99"),
        ("no schema", "is damaged"),
        ("wrong kind", "no attribute schema"),
        ("wrong count", r"must hold uint8 \[5, 8, 8, 3\]; it holds uint8 \[4, 8, 8, 3\]"),
        ("wrong size", "is damaged"),
        ("other names", "must begin with the columns file, split, identity, Frowning"),
    ],
)
def test_a_damaged_head_is_told(tmp_path: Path, name: str, message: str) -> None:
    damage(written(tmp_path), name)
    with pytest.raises(AttrimorphError, match=message):
        open_prepared(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("schema.json", b"{", "must be a JSON file"),
        ("images.npy", b"", "images.npy is damaged"),
        ("images.npy", b"PK\x03\x04zip", "images.npy"),
        ("images.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': }", "images.npy"),
        ("masks.npy", b"\x80\x04N.", "masks.npy is damaged"),
        ("attributes.csv", b"", "begins with nothing"),
        ("attributes.csv", b"file,split,identity,Smiling,who,age\n", "must have 4 rows"),
    ],
)
def test_damaged_files_are_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (written(tmp_path) / name).write_bytes(content)
    with pytest.raises(AttrimorphError, match=message):
        open_prepared(tmp_path)


def test_damaged_heads_of_arrays_are_told(tmp_path: Path) -> None:
    path = written(tmp_path) / "images.npy"
    content, random = path.read_bytes(), np.random.default_rng(0)
    told = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[random.integers(0, 80)] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(open_prepared(tmp_path).images, IMAGES)
        except AttrimorphError:
            told += 1
    assert told > 100


def test_cut_and_missing_files_are_told(tmp_path: Path) -> None:
    path = written(tmp_path) / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AttrimorphError, match="cut short"):
        open_prepared(tmp_path)
    path.unlink()
    with pytest.raises(AttrimorphError, match=r"cannot read .*images\.npy: No such file"):
        open_prepared(tmp_path)
    with pytest.raises(AttrimorphError, match="there is no folder"):
        open_prepared(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train,3", "dev,3", "must be one of train, valid, test; got 'dev'"),
        ("train,3", "train,three", "must be a whole number"),
        ("a.png,train,3,1", "a.png,train,3,maybe", "must be 0 or 1"),
        ("a.png,train,3,1", "a.png,train,3", "another number of columns"),
    ],
)
def test_damaged_rows_are_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path) / "attributes.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(AttrimorphError, match=message):
        open_prepared(tmp_path)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    written(tmp_path)
    np.save(tmp_path / "images.npy", np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(AttrimorphError, match=r"images\.npy"):
        open_prepared(tmp_path)


def test_the_journal_grows_with_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attrimorph.data.writer.SYNC_EVERY", 2)
    with PreparedWriter(tmp_path, 5_000, 8, request="x") as writer:
        written: list[int] = []
        real = writer._journal.write
        monkeypatch.setattr(writer._journal, "write", lambda content: written.append(len(content)) or real(content))
        for row in range(1_000, 1_100):
            writer.write(row, IMAGES[0])
    assert sum(written) == 100
    with PreparedWriter(tmp_path, 5_000, 8, request="x") as writer:
        assert np.flatnonzero(writer.done).tolist() == list(range(1_000, 1_100))


def test_labels_of_many_images_are_read_as_numbers_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, schema = 8_000, Schema(tuple(Attribute(f"a{number}") for number in range(20)))
    y = (torch.rand(count, 20, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    write_prepared(tmp_path / "many", np.zeros((count, 8, 8, 3), np.uint8), schema, y)
    monkeypatch.setattr("attrimorph.data.prepared.ROWS_AT_ONCE", 500)
    for labels_held in (0, y.nbytes):  # the second time attributes.npy is missing
        tracemalloc.start()
        data = open_prepared(tmp_path / "many")
        held, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert torch.equal(data.attributes, y)
        assert data.files[-1] == "007999.png"
        assert most < 2 * (held + 64 * 500 * 20)
        assert held < labels_held + 50 * count  # names as strings alone would take more
        (tmp_path / "many" / "attributes.npy").unlink(missing_ok=True)
    labels = tmp_path / "many" / "attributes.csv"
    lines = labels.read_text().splitlines(keepends=True)
    for wrong, told in (
        (lines[:-1], "must have 8000 rows of 23 columns; it has 7999;"),
        ([*lines, lines[-1], lines[-1]], "it has 8002;"),
        ([*lines[:5_000], "x,train\n", *lines[5_001:]], "line 5001 has another number of columns"),
    ):
        labels.write_text("".join(wrong))
        with pytest.raises(AttrimorphError, match=told):
            open_prepared(tmp_path / "many")


def test_labels_as_numbers_are_those_of_the_table_which_counts(tmp_path: Path) -> None:
    path = written(tmp_path / "data")
    mapped, numbers, labels = open_prepared(path), path / "attributes.npy", path / "attributes.csv"
    assert len(mapped.maps) == 3
    np.testing.assert_array_equal(np.load(numbers), mapped.attributes.numpy())
    mapped.attributes[0] = 5  # stays in memory
    content = numbers.read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b"", None):
        if damaged is None:
            numbers.unlink()
        else:
            numbers.write_bytes(damaged)
        read = open_prepared(path)
        assert (len(read.maps), read.fingerprint) == (2, mapped.fingerprint)
        np.testing.assert_array_equal(read.attributes.numpy(), np.load(io.BytesIO(content)))
    numbers.write_bytes(content)
    labels.write_text(labels.read_text().replace("train,3,1", "train,3,0"))
    edited = open_prepared(path)
    assert (edited.attributes[0, 0], edited.fingerprint == mapped.fingerprint) == (0, False)


def test_what_changes_after_preparing_is_told(tmp_path: Path) -> None:
    write_faces(tmp_path / "data", count=8, size=16)
    data = open_prepared(tmp_path / "data")
    assert data.checksums is not None
    data.check()
    rows = np.arange(8)
    images, masks = data.read(rows)
    assert np.array_equal(images, data.images)
    assert masks is not None
    path = tmp_path / "data" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1  # one bit of the last image
    path.write_bytes(content)
    changed = open_prepared(tmp_path / "data")
    changed.read(rows)
    for look in (changed.check, lambda: changed.read(rows[-1:]), lambda: changed.batch(rows[-1:])):
        with pytest.raises(AttrimorphError, match=r"has changed since it was prepared: .*7\.png is not what it was"):
            look()


def test_a_map_that_is_cut_off_while_it_is_read_is_a_sentence(tmp_path: Path) -> None:
    """Reading beyond the end would be SIGBUS, and end the process."""
    write_faces(tmp_path / "data", count=64, size=32)
    data = open_prepared(tmp_path / "data")
    loader = Loader(data, data.indices("all"), 8, seed=0)
    loader.batch(0)
    for name in ("images.npy", "masks.npy", "attributes.npy"):
        with open(tmp_path / "data" / name, "r+b") as file:
            size = file.seek(0, 2)
            for left in (size // 2, size - 1):
                file.truncate(left)
                with pytest.raises(AttrimorphError, match="was cut short while it was read"):
                    loader.batch(0)
            file.truncate(size)


def test_rows_of_a_map_are_asked_for_whole_and_nothing_else() -> None:
    class Asked:
        ranges: ClassVar[list[tuple[int, int]]] = []

        def madvise(self, advice: int, start: int, length: int) -> None:
            self.ranges.append((start, start + length))

    offset, size, rows = 128, 12_288, [0, 7, 2]
    _fetch(Asked(), offset, size, np.array(rows))  # type: ignore[arg-type]
    for row, (start, end) in zip(rows, Asked.ranges, strict=True):
        first = offset + row * size
        assert (start % mmap.PAGESIZE, end) == (0, first + size)
        assert start <= first < start + mmap.PAGESIZE
    Asked.ranges.clear()
    _fetch(Asked(), offset, size, np.arange(3, 33))  # type: ignore[arg-type]
    assert (Asked.ranges[0][0], Asked.ranges[-1][1]) == (mmap.PAGESIZE * 9, offset + 33 * size)
    assert [end - start for start, end in Asked.ranges[:-1]] == [1 << 17, 1 << 17], "neighbours as one, in parts"
    assert Asked.ranges[1][0] == Asked.ranges[0][1]
    Asked.ranges.clear()
    _fetch(Asked(), offset, size, np.array([], np.int64))  # type: ignore[arg-type]
    assert not Asked.ranges


def test_rows_begin_at_a_page(tmp_path: Path) -> None:
    """From byte 128 on a row of 64x64 pixels lay in four pages, a third more than it has."""
    images = np.arange(3 * 12_288, dtype=np.uint8).reshape(3, 64, 64, 3)
    write_prepared(tmp_path / "data", images, Schema((Attribute("a"),)), torch.zeros(3, 1))
    assert np.array_equal(np.load(tmp_path / "data/images.npy"), images), "a .npy file as any"
    assert (tmp_path / "data/images.npy").stat().st_size == 4096 + images.size
    found = open_prepared(tmp_path / "data").images
    assert found.offset % 4096 == 0  # type: ignore[attr-defined]


def test_real_values_that_training_cannot_bear_are_refused(tmp_path: Path) -> None:
    schema = Schema((Attribute("age", "real", mean=40, scale=10),))
    y = torch.zeros(4, 1)
    images = np.zeros((4, 16, 16, 3), np.uint8)
    y[2] = 2e5
    write_prepared(tmp_path / "data", images, schema, y)
    with pytest.raises(AttrimorphError, match=r"'age' must lie within 10,000 .*; 000002.png has 2.*e\+06"):
        open_prepared(tmp_path / "data")
    for number in range(8):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{number}.png")
    lines = [
        f"{number}.png,{'test' if number == 7 else 'train'},{1e20 if number == 7 else number * 3}"
        for number in range(8)
    ]
    (tmp_path / "attributes.csv").write_text("\n".join(["file_name,split,age", *lines]))
    with pytest.raises(AttrimorphError, match=r"'age' must lie within .*; 7.png has 1e\+20; mend it or empty its cell"):
        prepare(tmp_path, tmp_path / "out", 16)
    assert not (tmp_path / "out" / "schema.json").exists()
