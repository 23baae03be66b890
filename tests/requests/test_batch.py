"""A batch answers every picture of a data set once; its shards are whole, and the same whoever makes them."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attrimorph.cli import run as command
from attrimorph.data.readers import read
from attrimorph.errors import AttrimorphError
from attrimorph.requests import batch_job
from attrimorph.requests.batch import BatchEdit, BatchEmbed, BatchEvaluate, BatchLabel, OnShards, labels_after
from attrimorph.requests.batch_job import Shard, ShardWriter, key_of, run
from attrimorph.requests.edit_folder import EditFolder
from tests.tiny_models import tiny_model

SMILE = {"changes": {"Smiling": 1.0}}
Sample = dict[str, bytes]


def picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((20, 24), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path: Path, samples: dict[str, Sample]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, sample in samples.items():
            for ending, content in sample.items():
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def held(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as file:
        found = {each.name: file.extractfile(each) for each in file}
        return {name: part.read() for name, part in found.items() if part is not None}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_model(folder)
    return str(folder / "model.safetensors")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of three pictures with labels, one of them broken."""
    folder = tmp_path / "shards"
    for number, split in enumerate(("train", "test")):
        rows = {
            f"{each:03d}": {"Smiling": 0, "Male": each % 2, "name": "x"} for each in range(3 * number, 3 * number + 3)
        }
        samples = {
            key: {"png": picture(int(key)) if key != "001" else b"no picture", "json": json.dumps(row).encode()}
            for key, row in rows.items()
        }
        tar(folder / f"{split}-000.tar", samples)
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Work in this process in place of Ray's; the names of the shards that are made."""
    made: list[str] = []

    def work(
        request: OnShards, out: Path, device: str, shards: list[Shard], kept: int, progress: Callable[[int], None]
    ) -> None:
        worker = ShardWriter(request, out, "cpu", kept)
        for done, shard in enumerate(shards, 1):
            made.append(shard.name)
            worker.make(shard)
            progress(done)

    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(batch_job, "on_ray", work)
    return made


def test_shards_become_shards_of_the_same_names(shards: Path, model: str, tmp_path: Path, here: list[str]) -> None:
    steps = []
    done = run(
        BatchEdit(source=shards, model=model, **SMILE), tmp_path / "out", progress=lambda *step: steps.append(step)
    )
    assert (done.pictures, done.left_out, done.shards, done.before) == (5, 1, 2, 0)
    assert steps == [(1, 2), (2, 2)]
    found = held(tmp_path / "out" / "train-000.tar")
    assert list(found) == ["000.png", "000.json", "002.png", "002.json"]
    # The label that the edit sets is what it sets it to, the others stay.
    assert json.loads(found["002.json"]) == {"split": "train", "Smiling": 1, "Male": 0, "name": "x"}
    with (tmp_path / "out" / "notes.csv").open(newline="") as file:
        left_out = [row for row in csv.DictReader(file) if row["status"] == "left out"]
    assert [(row["shard"], row["picture"]) for row in left_out] == [("train-000", "001.png")]
    assert "no readable image" in left_out[0]["reason"]
    # They are data again.
    raw = read(tmp_path / "out")
    assert raw.split == ["test"] * 3 + ["train"] * 2
    assert raw.table["Smiling"] == [1] * 5


def test_a_picture_is_edited_as_in_a_folder(shards: Path, model: str, tmp_path: Path, here: list[str]) -> None:
    run(BatchEdit(source=shards, model=model, **SMILE), tmp_path / "out")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in (3, 4, 5):
        (photos / f"{number:03d}.png").write_bytes(picture(number))
    EditFolder(folder=photos, model=model, **SMILE).write(tmp_path / "edited")
    found = held(tmp_path / "out" / "test-000.tar")
    for number in (3, 4, 5):
        own = Image.open(tmp_path / "edited" / f"{number:03d}.png")
        assert np.array_equal(np.asarray(own), np.asarray(Image.open(io.BytesIO(found[f"{number:03d}.png"]))))


def test_it_goes_on_and_the_bytes_are_the_same(shards: Path, model: str, tmp_path: Path, here: list[str]) -> None:
    asked, out = BatchEdit(source=shards, model=model, **SMILE), tmp_path / "out"
    run(asked, out)
    names = ("train-000.tar", "test-000.tar", "notes.csv", "figures.json")
    before = {name: (out / name).read_bytes() for name in names}
    (out / "train-000.tar").unlink()
    (out / ".train-000.tar.x.part").write_bytes(b"of a worker that was killed")
    (out / "records" / "test-000.json").unlink()  # without it, nobody knows whether the shard is whole
    here.clear()
    assert run(asked, out).before == 0
    assert here == ["test-000", "train-000"]
    assert {name: (out / name).read_bytes() for name in names} == before
    assert not list(out.glob(".*.part"))
    here.clear()
    assert run(asked, out).before == 2
    assert not here
    other = asked.model_copy(update={"changes": {"Smiling": -1.0}})
    with pytest.raises(AttrimorphError, match="holds another batch"):
        run(other, out)
    tar(shards / "val-000.tar", {"9": {"png": picture(9)}})
    with pytest.raises(AttrimorphError, match="tells of other pictures"):
        run(asked, out)


def test_a_shard_is_whole_or_not_there(
    shards: Path, model: str, tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = batch_job.key_of
    monkeypatch.setattr(batch_job, "key_of", lambda name, taken: own(name, taken) if name != "002.png" else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(BatchEdit(source=shards, model=model, **SMILE), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["test-000.tar"]


def test_a_damaged_shard_ends_nothing(shards: Path, model: str, tmp_path: Path, here: list[str]) -> None:
    (shards / "test-000.tar").write_bytes(b"x" * 2000)
    done = run(BatchEdit(source=shards, model=model, **SMILE), tmp_path / "out")
    assert (done.pictures, done.left_out) == (2, 2)
    assert held(tmp_path / "out" / "test-000.tar") == {}


def test_folders_keep_their_labels(model: str, tmp_path: Path, here: list[str]) -> None:
    for number in range(10):
        path = tmp_path / "animals" / ("cat", "dog")[number % 2] / f"a.{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    run(BatchEdit(source=tmp_path / "animals", model=model, shard_size=4, **SMILE), tmp_path / "out")
    assert here == ["000000", "000001", "000002"]
    found = {name: part for each in here for name, part in held(tmp_path / "out" / f"{each}.tar").items()}
    assert len([name for name in found if name.endswith(".png")]) == 10
    assert json.loads(found["dog/a_3.json"]) == {"split": "train", "class": "dog", "Smiling": 1}


def test_labels_codes_and_figures(shards: Path, model: str, tmp_path: Path, here: list[str]) -> None:
    run(BatchLabel(source=shards, judge="drawn-faces-64", threshold=0.5), tmp_path / "labels")
    found = held(tmp_path / "labels" / "test-000.tar")
    assert found["003.png"] == picture(3)
    assert json.loads(found["003.json"])["Smiling"] in (0, 1)
    run(BatchEmbed(source=shards, model=model), tmp_path / "codes")
    assert len(json.loads(held(tmp_path / "codes" / "test-000.tar")["003.json"])["embedding"]) == 8
    done = run(BatchEvaluate(source=shards, model=model, **SMILE), tmp_path / "figures")
    assert set(done.figures) == {"Smiling before", "Smiling after", "others kept", "reconstruction psnr"}
    told = json.loads((tmp_path / "figures" / "figures.json").read_text())
    each = [
        json.loads(part)["Smiling after"]
        for name in ("train-000", "test-000")
        for part in held(tmp_path / "figures" / f"{name}.tar").values()
    ]
    assert told["mean"]["Smiling after"] == pytest.approx(np.mean(each))
    assert done.distance is not None
    assert done.distance > 0


def test_parquet_comes_and_goes(shards: Path, model: str, tmp_path: Path, here: list[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    asked: dict[str, Any] = {"model": model, "to": "parquet", **SMILE}
    run(BatchEdit(source=shards, **asked), tmp_path / "out")
    rows = parquet.read_table(tmp_path / "out" / "train-000.parquet").to_pylist()
    assert [row["image"]["path"] for row in rows] == ["000.png", "002.png"]
    assert [(row["Smiling"], row["name"]) for row in rows] == [(1.0, "x")] * 2
    run(BatchEdit(source=tmp_path / "out", **asked), tmp_path / "again")
    assert read(tmp_path / "again").table["Smiling"] == [1] * 5
    run(BatchEmbed(source=tmp_path / "out", model=model, to="parquet"), tmp_path / "codes")
    assert parquet.read_table(tmp_path / "codes" / "test-000.parquet").column_names[:2] == ["file", "split"]


def test_labels_after_an_edit(model: str) -> None:
    loaded = BatchEdit(source=Path(), model=model, **SMILE).load()
    assert labels_after(loaded, {"Smiling": 1}) == {"Smiling": 1}
    assert labels_after(loaded, {"Smiling": -1, "Male": 0.5}) == {"Smiling": 0, "Male": None}
    assert labels_after(loaded, {"Blond_Hair": 1}) == {
        "Blond_Hair": 1,
        "Black_Hair": 0,
        "Brown_Hair": 0,
        "Gray_Hair": 0,
    }


def test_keys_of_samples() -> None:
    taken: set[str] = set()
    names = ["a/b.jpg", "a/b.png", "a.b/c.d.jpg", "000012", "a/b-2.jpg"]
    assert [key_of(name, taken) for name in names] == ["a/b", "a/b-2", "a.b/c_d", "000012", "a/b-2-2"]


def test_what_cannot_be_is_refused(
    shards: Path, model: str, tmp_path: Path, here: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    asked = BatchEdit(source=shards, model=model, **SMILE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for out, sentence in ((tmp_path / "full", "it holds mine.txt"), (shards / "out", "one lies in the other")):
        with pytest.raises(AttrimorphError, match=sentence):
            run(asked, out)
    words = ["batch", "edit", str(shards), "--out", str(tmp_path / "out"), "--model", model]
    assert command([*words, "--set", "Smilng=1"]) == 2
    assert "did you mean 'Smiling'?" in capfd.readouterr().err
    assert command([*words, "--set", "Smiling=1", "--shard-size", "0"]) == 2
    assert "shard_size" in capfd.readouterr().err


def test_a_missing_extra_is_told(
    shards: Path, model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["batch", "edit", str(shards), "--set", "Smiling=1", "--out", str(tmp_path / "out"), "--model", model]
    assert command(words) == 2
    assert "a batch needs the extra `ray`" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_on_ray_a_killed_job_goes_on(model: str, tmp_path: Path) -> None:
    """Killed at a random moment, the same command makes the bytes of a job that nobody killed."""
    pytest.importorskip("ray")
    for number in range(12):
        samples = {f"{each:04d}": {"png": picture(1000 * number + each)} for each in range(100)}
        tar(tmp_path / "shards" / f"{number:03d}.tar", samples)

    def begin(out: str) -> "subprocess.Popen[bytes]":
        words = ["batch", "edit", str(tmp_path / "shards"), "--set", "Smiling=1", "--out", str(tmp_path / out)]
        return subprocess.Popen([sys.executable, "-m", "attrimorph", *words, "--model", model, "--workers", "1"])

    assert begin("whole").wait() == 0
    job = begin("killed")
    while not list((tmp_path / "killed").glob("*.tar")):
        assert job.poll() is None
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert len(list((tmp_path / "killed").glob("*.tar"))) < 12
    assert begin("killed").wait() == 0
    for path in (tmp_path / "whole").glob("*.*"):
        if path.suffix in (".tar", ".csv"):
            assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes(), path.name
