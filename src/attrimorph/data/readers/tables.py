"""A folder of images with a table: attributes.csv, or the hub's metadata.csv / metadata.jsonl."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrimorph.data.readers.raw import (
    SPLIT_WORDS,
    RawData,
    assign_split,
    infer_attribute,
    is_missing,
    list_images,
    need_images,
    number_identities,
    read_csv,
    read_text,
)
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError

TABLES = ("attributes.csv", "metadata.csv", "metadata.jsonl")
FILE_COLUMNS = ("file_name", "file", "filename", "image", "image_id", "image_path", "path")
Row = Mapping[str, Any]


def find(folder: Path) -> list[Path]:
    """Return the table of a folder, or those of its train, valid and test folders; [] without any."""
    if here := _here(folder):
        return here
    inner = [child for child in _children(folder) if child.is_dir() and child.name.lower() in SPLIT_WORDS]
    return [path for child in inner for path in _here(child)]


def _here(folder: Path) -> list[Path]:
    """Return the table that lies in this very folder."""
    return [folder / place for place in TABLES if (folder / place).is_file()][:1]


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise AttrimorphError(f"cannot read {folder}: {error.strerror}; check the path and permissions") from error


def read(folder: Path) -> RawData:
    """Read the table(s): a column with file names, optional columns split and identity, every other an attribute.

    Kinds are inferred (see `infer_attribute`). Where nothing names the split, images are divided 8 : 1 : 1, by
    identity where that is known.
    """
    tables = find(folder)
    if not tables:
        raise AttrimorphError(f"{folder} must hold one of {', '.join(TABLES)}; it has none; write one")
    images = list_images(folder)
    rows: dict[str, Row] = {}
    orphans: list[str] = []
    for path in tables:
        below = path.parent.relative_to(folder).as_posix()
        prefix = "" if below == "." else below + "/"
        for name, row in _read_table(path).items():
            if prefix + name in images:
                rows[prefix + name] = {**row, "split": SPLIT_WORDS[below.lower()]} if prefix else row
            else:
                orphans.append(prefix + name)
    need_images([images[name] for name in rows], folder, tables[0])
    identity_column = [row.get("identity") for row in rows.values()]
    identity = number_identities([None if is_missing(raw) else str(raw) for raw in identity_column])
    split = _split(tables[0], list(rows.values()), identity)
    train = [name == "train" for name in split]
    attributes, columns, notes = [], {}, []
    for name in dict.fromkeys(key for row in rows.values() for key in row if key not in ("split", "identity")):
        values = [_plain(row.get(name)) for row in rows.values()]
        if any(isinstance(value, list | dict) for value in values):
            notes.append(f"the column {name!r} was left out: it holds lists or objects")
            continue
        attribute = infer_attribute(name, values, train)
        if isinstance(attribute, str):
            notes.append(attribute)
        else:
            attributes.append(attribute)
            columns[name] = [str(value).strip() for value in values] if attribute.kind == "categorical" else values
    if not attributes:
        why = f"; {notes[0]}" if notes else ""
        raise AttrimorphError(f"{tables[0]} must have at least one column of labels; it has none{why}")
    return RawData(
        name="table",
        folder=folder,
        files=[images[name] for name in rows],
        table=dict(columns),
        schema=Schema(tuple(attributes)),
        split=split,
        identity=identity,
        rows_without_image=orphans,
        images_without_row=[name for name in images if name not in rows],
        notes=notes,
    )


def _plain(value: Any) -> Any:
    return None if value is None or (isinstance(value, str) and is_missing(value)) else value


def _split(path: Path, rows: Sequence[Row], identity: list[int]) -> list[str]:
    words = [str(row.get("split") or "").strip().lower() for row in rows]
    if not any(words):
        known = any(number >= 0 for number in identity)
        return assign_split(len(rows), identity=identity if known else None)
    for word in words:
        if word not in SPLIT_WORDS:
            raise AttrimorphError(f"the split in {path} must be train, valid or test; got {word!r}; mend the row")
    return [SPLIT_WORDS[word] for word in words]


def _read_table(path: Path) -> dict[str, Row]:
    """Return file name -> the other columns."""
    lines = _json_lines(path) if path.suffix == ".jsonl" else _csv_lines(path)
    column = next((name for name in FILE_COLUMNS if name in lines[0]), None)
    if column is None:
        raise AttrimorphError(
            f"{path} must have a column file_name (or {', '.join(FILE_COLUMNS[1:4])}); its columns are "
            f"{', '.join(list(lines[0])[:6])}; rename one"
        )
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, 1):
        raw = line.get(column)
        if not isinstance(raw, str) or not raw.strip():
            raise AttrimorphError(f"every row of {path} must name a file; row {number} names none; mend it")
        name = raw.strip().replace("\\", "/").removeprefix("./")
        if name in rows:
            raise AttrimorphError(f"{path} must name every file once; {name!r} stands twice; remove one row")
        rows[name] = {key: value for key, value in line.items() if key != column}
    return rows


def _csv_lines(path: Path) -> list[dict[str, Any]]:
    header, lines = read_csv(path)
    if twice := [name for name in header if header.count(name) > 1]:
        raise AttrimorphError(f"the columns of {path} must differ; {twice[0]!r} stands twice; rename one")
    if not all(header):
        raise AttrimorphError(
            f"every column of {path} must have a name; column {header.index('') + 1} has none; name it"
        )
    return [dict(zip(header, line, strict=True)) for line in lines]


def _json_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise AttrimorphError(f"line {number} of {path} must be JSON: {reason}; mend it") from error
        if not isinstance(value, dict):
            raise AttrimorphError(
                f"line {number} of {path} must be a JSON object; it is {type(value).__name__}; mend it"
            )
        lines.append(value)
    if not lines:
        raise AttrimorphError(f"{path} must have at least one line; it is empty; fill it")
    return lines
