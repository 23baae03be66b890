"""Pictures in parquet files and in `datasets` on disk are those that lie in folders."""

import json
from pathlib import Path
from typing import Any

import pytest

from attrimorph.data.check import check
from attrimorph.data.prepared import open_prepared, prepare
from attrimorph.data.readers import read, recognise
from attrimorph.errors import AttrimorphError
from tests.data.test_archives import picture

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def table(numbers: range, paths: bool = True) -> Any:
    images = [{"bytes": picture(n), "path": f"{n}.png" if paths else None} for n in numbers]
    label = {"_type": "ClassLabel", "names": ["7", "8"]}
    told = json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": label}}})
    columns = {
        "image": pyarrow.array(images, pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
        "label": pyarrow.array([n % 2 for n in numbers]),
        "Smiling": pyarrow.array([n % 3 == 0 for n in numbers]),
        "Age": pyarrow.array([20.0 + n for n in numbers]),
        "box": pyarrow.array([[1.0, 2.0] for _ in numbers]),
    }
    return pyarrow.table(columns).replace_schema_metadata({"huggingface": told})


@pytest.mark.parametrize("paths", [True, False])
def test_parquet_files_are_read_where_they_lie(tmp_path: Path, paths: bool) -> None:
    (tmp_path / "data").mkdir()
    parquet.write_table(table(range(20), paths), tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=7)
    parquet.write_table(table(range(20, 26), paths), tmp_path / "data" / "validation-00000-of-00001.parquet")
    assert recognise(tmp_path) == ("parquet", "pictures lie in train-00000-of-00001.parquet")
    raw = read(tmp_path)
    assert [(each.name, each.kind, each.values) for each in raw.schema.attributes] == [
        ("label", "categorical", ("7", "8")), ("Smiling", "binary", ()), ("Age", "real", ())
    ]  # fmt: skip
    assert raw.table["label"][:3] == ["7", "8", "7"]
    assert raw.split == ["train"] * 20 + ["valid"] * 6
    assert "columns that hold no plain values were left out: box" in raw.notes
    assert [file.read_bytes() for file in raw.files] == [picture(n) for n in range(26)]
    assert raw.relative()[13].endswith("parquet/13.png" if paths else "parquet/0000013")
    assert not check(tmp_path).errors
    prepare(raw, tmp_path / "out", 16)
    assert open_prepared(tmp_path / "out").attributes[:, 2].tolist() == [n % 3 == 0 for n in range(26)]


@pytest.mark.parametrize("write", [pyarrow.ipc.new_stream, pyarrow.ipc.new_file])
def test_what_save_to_disk_wrote_is_read(tmp_path: Path, write: Any) -> None:
    for split, numbers in (("train", range(12)), ("test", range(12, 18))):
        (tmp_path / split).mkdir()
        content = table(numbers)
        with write(str(tmp_path / split / "data-00000-of-00001.arrow"), content.schema) as file:
            file.write_table(content, max_chunksize=5)
        (tmp_path / split / "state.json").write_text("{}")
        (tmp_path / split / "cache-1.arrow").write_bytes(b"")
    raw = read(tmp_path)
    assert sorted(raw.split) == ["test"] * 6 + ["train"] * 11 + ["valid"]
    found = dict(zip(raw.relative(), raw.files, strict=True))
    assert found["train/data-00000-of-00001.arrow/7.png"].read_bytes() == picture(7)


def test_names_lead_nowhere(tmp_path: Path) -> None:
    content = table(range(3))
    images = [{"bytes": picture(n), "path": f"../../{n}.png"} for n in range(3)]
    content = content.set_column(0, "image", pyarrow.array(images, content.schema.field("image").type))
    parquet.write_table(content, tmp_path / "a.parquet")
    assert read(tmp_path).relative() == ["a.parquet/0.png", "a.parquet/1.png", "a.parquet/2.png"]


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"label": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(AttrimorphError, match=r"must have a column of pictures.*its columns are label"):
        read(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"x" * 100)
    with pytest.raises(AttrimorphError, match=r"a\.parquet is no parquet file or is damaged"):
        read(tmp_path)
    images = [{"bytes": None, "path": "/etc/hostname"}, {"bytes": b"no picture", "path": "b"}]
    parquet.write_table(pyarrow.table({"image": images}), tmp_path / "a.parquet")
    assert "2 of 2 images cannot be read" in check(tmp_path).findings[0].text
