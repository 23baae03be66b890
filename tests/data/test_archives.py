"""Pictures in archives are those that lie in folders: WebDataset's shards and StyleGAN's zip."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data.check import check
from attrimorph.data.prepared import open_prepared, prepare
from attrimorph.data.readers import read, recognise
from attrimorph.errors import AttrimorphError


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def shard(path: Path, numbers: range, **more: bytes) -> None:
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            row = {"Smiling": number % 2, "Age": 20 + number, "caption": ["left", "out"]}
            parts = {"jpg": picture(number), "json": json.dumps(row).encode(), "cls": str(number % 3).encode()}
            for ending, content in {**parts, **more}.items():
                info = tarfile.TarInfo(f"{number:04d}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def test_shards_are_read_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    shard(tmp_path / "shards" / "train-000000.tar", range(12))
    shard(tmp_path / "shards" / "train-000001.tar", range(12, 24))
    shard(tmp_path / "shards" / "val-000000.tar", range(24, 30))
    assert recognise(tmp_path / "shards") == ("shards", "pictures lie in train-000000.tar")
    raw = read(tmp_path / "shards")
    assert [(each.name, each.kind) for each in raw.schema.attributes] == [
        ("Smiling", "binary"), ("Age", "real"), ("class", "categorical")
    ]  # fmt: skip
    assert raw.schema.attribute("class").values == ("0", "1", "2")
    assert raw.split == ["train"] * 24 + ["valid"] * 6
    assert raw.files[13].read_bytes() == picture(13)
    prepare(raw, tmp_path / "out", 16)
    data = open_prepared(tmp_path / "out")
    assert data.files[13] == "train-000001.tar/0013.jpg"
    assert data.attributes[:, 0].tolist() == [number % 2 for number in range(30)]
    # The same pictures in a folder give the same pixels.
    (tmp_path / "plain").mkdir()
    for number in range(30):
        (tmp_path / "plain" / f"{number:04d}.png").write_bytes(picture(number))
    prepare(tmp_path / "plain", tmp_path / "other", 16)
    assert np.array_equal(data.images, open_prepared(tmp_path / "other").images)


def test_what_is_wrong_in_a_shard_is_told(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", range(4), jpg=b"no picture")
    assert "4 of 4 images cannot be read" in check(tmp_path).findings[0].text
    shard(tmp_path / "a.tar", range(4), json=b"[1]")
    with pytest.raises(AttrimorphError, match=r"a\.tar/0000\.json must be a JSON object; it is list"):
        read(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"x" * 2000)
    with pytest.raises(AttrimorphError, match=r"a\.tar is no tar file or is damaged"):
        read(tmp_path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("labels", ["classes", "numbers", "none"])
def test_the_zip_of_stylegan_is_read_where_it_lies(tmp_path: Path, packed: int, labels: str) -> None:
    given = {"classes": lambda n: n % 4, "numbers": lambda n: [n % 2, n / 7]}
    names = [f"00000/img{number:08d}.png" for number in range(8)]
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", packed) as file:
        for number, name in enumerate(names):
            file.writestr(name, picture(number))
        told = [[name, given[labels](number)] for number, name in enumerate(names)] if labels != "none" else None
        file.writestr("dataset.json", json.dumps({"labels": told}))
    assert recognise(tmp_path)[0] == "zip"
    raw = read(tmp_path)
    assert [file.read_bytes() for file in raw.files] == [picture(number) for number in range(8)]
    kinds = {"classes": {"class": "categorical"}, "numbers": {"label_0": "binary", "label_1": "real"}, "none": {}}
    assert {each.name: each.kind for each in raw.schema.attributes} == kinds[labels]
    assert check(tmp_path).images == 8
    assert prepare(raw, tmp_path / "out", 16).written == 8


def test_labels_of_a_zip_that_are_no_list_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        file.writestr("a.png", picture(0))
        file.writestr("dataset.json", '{"labels": {"a.png": 3}}')
    with pytest.raises(AttrimorphError, match=r"labels in dataset\.json .* must be a list of \[file, label\]"):
        read(tmp_path)
