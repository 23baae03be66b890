"""Tables as people, spreadsheets and programs write them: what is meant is read, what is not read is told."""

import csv
import io
import json
import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from attrimorph.data import FIXED_COLUMNS, Schema, attributes_csv
from attrimorph.data.readers import read
from attrimorph.errors import AttrimorphError

# Shrinking what failed may take longer than a test may.
MANY = settings(deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
NAMES = [f"{number}.png" for number in range(12)]
TRUE_FALSE = [
    ("1", "0"),
    ("1", "-1"),
    ("+1", "-1"),
    ("1.00", "0.00"),
    ("yes", "No"),
    ("T", "F"),
    ("y", "n"),
    ("TRUE", "0"),
]
GONE = ["", "NA", "n/a", "<NA>", "-", "nan", "None", " ", "?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables")
    for name in NAMES:
        (path / name).touch()
    return path


def described(folder: Path, content: str | bytes, name: str = "attributes.csv") -> dict[str, Any]:
    """Return name -> kind or values of what a table holds."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return {each.name: each.values or each.kind for each in read(folder).schema.attributes}


def column(*cells: str) -> str:
    return "file_name;x\n" + "".join(f"{name};{cell}\n" for name, cell in zip(NAMES, cells, strict=False))


@pytest.mark.parametrize(
    ("cells", "kind", "told"),
    [
        (["1", "2", "3", "4", "N/A"], "real", "that count as missing: 1 (N/A)"),
        (["1", "0", "1", "0", "oops"], "binary", "neither yes nor no and count as missing: 1 (oops)"),
        (["31", "2", "3", "4", "3O"], "real", "no numbers and count as missing: 1 (3O)"),
        (["1,5", "2,5", "10"], "real", "1,5 = 1.5"),
        (["1,234,567", "2,000"], "real", "1,234,567 = 1.23457e+06"),
        (["1.234,5", "2.345"], "real", "1.234,5 = 1234.5"),
        (["1,234", "2,345"], None, "may be decimal or of thousands"),
        (["1.00", "0.00", "+1"], "binary", ""),
        (["-1", "0", "1", "0"], "real", "0s if they mean unknown"),
        (["10 %", "20%", "35%"], "real", ""),
        (["\N{MINUS SIGN}5", "3", "8"], "real", ""),
        (["brown", " brown ", "'brown'", "dark  red", "dark red"], ("brown", "dark red"), ""),
        (["Brown", "brown", "red"], ("Brown", "brown", "red"), "differ by capitals alone: Brown, brown"),
        (["1", "2", "3", "a", "b", "c"], ("1", "2", "3", "a", "b", "c"), "mixes numbers and words"),
        (["none", "round", "round", "square"], ("round", "square"), "missing: 1 (none)"),
        (["1", "2", "3", "4", "5"], None, "it numbers the rows"),
        ([f"a picture of thing {n}" for n in range(6)], None, "as names and captions have"),
        (["f", "f", "m", "f"], ("f", "m"), ""),
        # Hashes: one is all digits, one looks like a number out of range.
        (["ab12", "12e4567", "77", "ab12", "12e4567"], ("12e4567", "77", "ab12"), "mixes numbers and words"),
        (["می\u200cخواهم", "نه", "نه"], ("می\u200cخواهم", "نه"), ""),
    ],
)
def test_what_a_column_holds(tmp_path: Path, cells: list[str], kind: Any, told: str) -> None:
    for name in NAMES[: len(cells)]:
        (tmp_path / name).touch()
    assert described(tmp_path, column(*cells)) == ({} if kind is None else {"x": kind})
    assert told in " ".join(read(tmp_path).notes)


@pytest.mark.parametrize("cell", ["1e300", "-1e31", "9" * 400])
def test_numbers_out_of_range_are_refused(folder: Path, cell: str) -> None:
    with pytest.raises(AttrimorphError, match="'x' must lie within 1e"):
        described(folder, column("1", "2", cell))


def test_what_spreadsheets_and_pandas_add_is_no_label(folder: Path) -> None:
    rows = "".join(f"{n};{n}.png;{'TRAIN' if n else 'Test'};{n % 2};\r\n" for n in range(6))
    content = f"\ufeffsep=;\r\n;file_name;Split;flag;\r\n{rows};;;;\r\n\r\n"
    assert described(folder, content) == {"flag": "binary"}
    raw = read(folder)
    assert raw.split == ["test", *["train"] * 5]
    assert raw.notes == ["the column '' was left out: it numbers the rows"]
    assert described(
        folder, f"ID,file,Subset,x\n{''.join(f'{n},{n}.png,val,{n % 2}' + chr(10) for n in range(6))}"
    ) == {"x": "binary"}
    assert set(read(folder).split) == {"valid"}


def test_headers_and_quotes_that_are_missing_are_told(folder: Path) -> None:
    with pytest.raises(AttrimorphError, match=r"must begin with a header such as .* names 0.png"):
        described(folder, "0.png,1\n1.png,0\n")
    with pytest.raises(AttrimorphError, match="a quote of row 2 is never closed"):
        described(folder, 'file,x\n0.png,"1\n1.png,0\n2.png,1\n')


def test_composed_and_decomposed_letters_are_the_same(tmp_path: Path) -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    (tmp_path / f"{decomposed}.png").touch()
    (tmp_path / "a.png").touch()
    table = f"file_name,hair\n{composed}.png,bl{composed}\na.png,bl{decomposed}\n"
    assert described(tmp_path, table + "b.png,black\n") == {}
    assert read(tmp_path).relative() == [f"{decomposed}.png", "a.png"]
    for number, label in enumerate((composed, decomposed, "x")):
        (tmp_path / "classes" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / label / f"{number}.png").touch()
    assert read(tmp_path / "classes").schema.attributes[0].values == ("x", composed)


def test_only_line_feeds_and_carriage_returns_end_lines(folder: Path) -> None:
    lines = [{"file_name": "0.png", "x": "a\u2028b"}, {"file_name": "1.png", "x": "c\u0085"}, {"file_name": "2.png"}]
    (folder / "attributes.csv").unlink(missing_ok=True)
    content = "\r".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert described(folder, content, "metadata.jsonl") == {"x": ("a b", "c")}
    (folder / "metadata.jsonl").unlink()
    row = [["a\rb.png"], ["train"], [-1]]
    back = list(csv.reader(io.StringIO(attributes_csv(Schema(()), row).decode(), newline="")))
    assert back == [list(FIXED_COLUMNS), ["a\rb.png", "train", "-1"]]


def test_labels_of_stylegan_and_a_table_of_any_name(tmp_path: Path) -> None:
    for name in ("00000/a.png", "00000/b.png", "00001/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    labels = [["00000/a.png", 6], ["00000/b.png", 0], ["00001/c.png", 6]]
    assert described(tmp_path, json.dumps({"labels": labels}), "dataset.json") == {"class": ("0", "6")}
    labels = [["00000/a.png", [0, 1]], ["00000/b.png", [1, 0]], ["00001/c.png", [0, 1]]]
    assert described(tmp_path, json.dumps({"labels": labels}), "dataset.json") == {
        "label_0": "binary",
        "label_1": "binary",
    }
    assert described(tmp_path, json.dumps({"labels": None}), "dataset.json") == {}
    assert len(read(tmp_path)) == 3
    with pytest.raises(AttrimorphError, match="it is neither"):
        described(tmp_path, json.dumps({"images": []}), "dataset.json")
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in NAMES:
        (flat / name).touch()
    assert described(flat, column("1", "0", "1", *["1"] * 5), "my labels.CSV") == {"x": "binary"}
    assert read(flat).why == "my labels.CSV names most of the images"


@st.composite
def honest_tables(draw: st.DrawFn) -> tuple[bytes, dict[str, tuple[str, list[Any]]]]:
    """Draw a table in any dialect, and what it means: name -> kind and values, None = missing."""
    count = draw(st.integers(5, len(NAMES)))
    delimiter, end = draw(st.sampled_from(",;\t")), draw(st.sampled_from(("\n", "\r\n", "\r")))
    meant: dict[str, tuple[str, list[Any]]] = {}
    header, rows = [draw(st.sampled_from(("file_name", "File", "image")))], [[name] for name in NAMES[:count]]
    for place in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("binary", "real", "categorical")))
        odd = draw(st.integers(0, count - 1)) if kind != "categorical" and draw(st.booleans()) else None
        style, comma = draw(st.sampled_from(TRUE_FALSE)), draw(st.booleans())
        values: list[Any] = []
        for row in range(count):
            if kind == "binary":
                value: Any = row if row < 2 else draw(st.integers(0, 1))
                cell = style[1 - value]
            elif kind == "real":
                value = draw(st.integers(15, 990)) / 10
                cell = f"{value:.1f}".replace(".", "," if comma else ".")
            else:
                value = cell = (
                    ("brown", "dark red")[row] if row < 2 else draw(st.sampled_from(("brown", "dark red", "é")))
                )
            if row == odd and row > 2:
                value, cell = None, "what?"
            elif row > 2 and draw(st.integers(0, 4)) == 0:
                value, cell = None, draw(st.sampled_from(GONE))
            else:
                cell = draw(st.sampled_from((cell, f" {cell}", f"{cell} ", f"'{cell}'", f"\xa0{cell}")))
                cell = unicodedata.normalize(draw(st.sampled_from(("NFC", "NFD"))), cell)
            values.append(value)
            rows[row].append(cell)
        header.append(draw(st.sampled_from((f"a {place}", f" é{place} ", f'"{place}'))))
        meant[unicodedata.normalize("NFC", header[-1]).strip(' "')] = kind, values
    if draw(st.booleans()):
        header, rows = ["", *header], [[str(number), *row] for number, row in enumerate(rows)]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
    tail = draw(st.sampled_from(("", end, delimiter * len(rows[0]) + end)))
    head = draw(st.sampled_from(("", "\ufeff", f"sep={delimiter}{end}")))
    return (head + text.getvalue() + tail).encode(), meant


def check_honest(folder: Path, table: bytes, meant: dict[str, tuple[str, list[Any]]]) -> None:
    (folder / "attributes.csv").write_bytes(table)
    raw = read(folder)
    assert {each.name: each.kind for each in raw.schema.attributes} == {name: kind for name, (kind, _) in meant.items()}
    y = raw.encode()
    for name, (kind, values) in meant.items():
        attribute, part = raw.schema.attribute(name), y[:, raw.schema.columns(name)]
        for value, row in zip(values, part, strict=True):
            if value is None:
                assert np.isnan(row).all()
            elif kind == "categorical":
                assert attribute.values[int(row.argmax())] == value
            else:
                assert math.isclose(float(row[0]) * attribute.scale + attribute.mean, value, abs_tol=1e-3)


CELLS = st.one_of(
    st.sampled_from(
        (*GONE, "1", "0", "-1", "yes", "t", "1,5", "1,234", "1.234,5", "1e40", "inf", "a", "b", "train", '"')
    ),
    st.text("abé\u2028\x00\"',;\t\r\n 10.-", max_size=4),
)
HEADERS = st.sampled_from(
    ("file_name", "split", "Split", "identity", "x", "", "id", "caption", "a=b", "\x00", "é", "set")
)


def check_any(folder: Path, rows: list[list[str]], style: int, delimiter: str) -> None:
    """Whatever a table holds, it is read or refused in a sentence, and what was read can be written and read."""
    text = io.StringIO()
    quoting = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)[style % 2]
    if style < 2:
        csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(rows)
    else:
        text.write("\n".join(delimiter.join(row) for row in rows))
    (folder / "attributes.csv").write_bytes(text.getvalue().encode())
    try:
        raw = read(folder)
        y = raw.encode()
    except AttrimorphError:
        return
    assert np.isfinite(y[~np.isnan(y)]).all()
    columns = (raw.relative(), raw.split, raw.identity, *(raw.table[name] for name in raw.schema.names))
    content = attributes_csv(raw.schema, columns).decode("utf-8", "surrogateescape")
    head, *lines = csv.reader(io.StringIO(content, newline=""))
    again = raw.schema.encode({name: [line[head.index(name, 3)] for line in lines] for name in head[3:]}, len(lines))
    np.testing.assert_allclose(again, y, rtol=1e-5, atol=1e-5)


WILD = st.tuples(
    st.lists(HEADERS, min_size=1, max_size=5).flatmap(
        lambda header: st.lists(
            st.tuples(st.sampled_from(NAMES), *[CELLS] * len(header)).map(list), min_size=1, max_size=12
        ).map(lambda rows: [["file", *header], *rows])
    ),
    st.integers(0, 3),
    st.sampled_from(",;\t"),
)


@settings(MANY, max_examples=75)
@given(honest_tables())
def test_any_dialect(folder: Path, drawn: tuple[bytes, dict[str, tuple[str, list[Any]]]]) -> None:
    check_honest(folder, *drawn)


@settings(MANY, max_examples=75)
@given(WILD)
def test_any_table(folder: Path, drawn: tuple[list[list[str]], int, str]) -> None:
    check_any(folder, *drawn)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(MANY, max_examples=3000)
@given(honest_tables())
def test_3000_dialects(folder: Path, drawn: tuple[bytes, dict[str, tuple[str, list[Any]]]]) -> None:
    check_honest(folder, *drawn)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(MANY, max_examples=3000)
@given(WILD)
def test_3000_tables(folder: Path, drawn: tuple[list[list[str]], int, str]) -> None:
    check_any(folder, *drawn)
