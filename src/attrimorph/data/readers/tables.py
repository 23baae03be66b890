"""Folders of images with a table of labels: attributes.csv, the hub's metadata.csv or metadata.jsonl, StyleGAN's
dataset.json, or a file of any name.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from attrimorph.data import Schema
from attrimorph.data.readers.archives import label_columns
from attrimorph.data.readers.columns import cleaned, known, read_column
from attrimorph.data.readers.raw import (
    SPLIT_WORDS,
    TABLE_SUFFIXES,
    RawData,
    assign_split,
    composed,
    exclusive_hair,
    list_images,
    need_images,
    number_identities,
    read_csv,
    read_lines,
    read_text,
)
from attrimorph.errors import AttrimorphError
from attrimorph.files import reading

TABLES = ("attributes.csv", "metadata.csv", "metadata.jsonl", "dataset.json")
FILE_COLUMNS = ("file_name", "file", "filename", "image", "image_id", "image_path", "path")
SPLIT_COLUMNS = ("subset", "partition", "set", "phase", "usage")  # where every cell is a word for a split
Row = Mapping[str, Any]


def find_tables(folder: Path) -> list[Path]:
    """Return the table of a folder, or those of its train, valid and test folders; [] without any."""
    with reading(folder, "check the path and permissions"):
        inside = sorted(child for child in folder.iterdir() if child.name.lower() in SPLIT_WORDS)
    here, *inner = ([place / name for name in TABLES if (place / name).is_file()][:1] for place in (folder, *inside))
    return here or [path for found in inner for path in found]


def only_table(folder: Path) -> Path | None:
    """Return the one CSV, TSV or JSON-lines file right in a folder, of whatever name, that names most of its images."""
    with reading(folder, "check the path and permissions"):
        there = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLE_SUFFIXES]
    if len(there) != 1 or there[0].name.startswith("."):
        return None
    images = list_images(folder)
    try:
        _, words = _file_names(there[0], _lines(there[0], images), images)
    except AttrimorphError:
        return None
    named = {name for name in matched(words, list(images)) if name}
    return there[0] if 2 * len(named) > len(images) else None


def sign_of_table(folder: Path) -> str:
    """Say why a folder has a table; "" where it has none."""
    found = find_tables(folder)
    return f"{found[0].relative_to(folder).as_posix()} lies there" if found else ""


def sign_of_only_table(folder: Path) -> str:
    """Say why a folder without class folders has a table of another name; "" where it has none."""
    path = only_table(folder)
    return f"{path.name} names most of the images" if path else ""


def read_table(folder: Path, table: Path | None = None) -> RawData:
    """Read the table(s): a column with file names, optional columns split and identity, every other an attribute.

    Names are understood as `matched` says. Kinds are inferred (see `read_column`). Where nothing names the split,
    images are divided 8 : 1 : 1, by identity where that is known.

    Args:
        folder: of the images.
        table: a file of any name, seen from here or from the folder; None = one of `TABLES`, or `only_table`.
    """
    if table is not None:
        tables = [folder / table if not table.is_file() and (folder / table).is_file() else table]
    else:
        tables = find_tables(folder) or [path for path in (only_table(folder),) if path]
    if not tables:
        raise AttrimorphError(f"{folder} must hold one of {', '.join(TABLES)}; it has none; name a file with --table")
    images = list_images(folder)
    rows: dict[str, Row] = {}
    orphans: list[str] = []
    notes: list[str] = []
    for path in tables:
        lines = _lines(path, images)
        below = path.parent.relative_to(folder).as_posix() if path.parent.is_relative_to(folder) else "."
        column, words = _file_names(path, lines, images)
        names = matched(words, list(images), "" if below == "." else f"{below}/")
        if column.lower() not in FILE_COLUMNS:
            notes.append(f"the column {column!r} of {path.name} was taken for the names of the files")
        pairs = [(composed(name), word) for name, word in zip(names, words, strict=True) if name]
        if loosely := sum(name not in (composed(word), composed(f"{below}/{word}")) for name, word in pairs):
            notes.append(f"{loosely} rows of {path.name} were matched to images by the last part of their names")
        for name, word, line in zip(names, words, lines, strict=True):
            if name is None:
                orphans.append(word)
            elif name in rows:
                raise AttrimorphError(f"{path} must name every file once; {word!r} stands twice; remove one row")
            else:  # changed where it is: of millions, another dictionary for each row takes gigabytes
                line |= {"split": SPLIT_WORDS[below.lower()]} if below.lower() in SPLIT_WORDS else {}
                line.pop(column, None)
                rows[name] = line
    need_images([images[name] for name in rows], folder, tables[0])
    identity = number_identities([known(row.get("identity")) for row in rows.values()])
    keys = list(dict.fromkeys(key for row in rows.values() for key in row if key not in ("split", "identity")))
    split, used = _split_of(tables[0], list(rows.values()), identity, keys)
    train = [name == "train" for name in split]
    attributes, columns = [], {}
    for key in keys:
        values = [row.get(key) for row in rows.values()]
        if key == used:
            notes.append(f"the column {key!r} names the splits")
        elif any(isinstance(value, list | dict) for value in values):
            notes.append(f"the column {key!r} was left out: it holds lists or objects")
        else:
            column_read = read_column(key, values, train, classes=key == "class" and tables[0].suffix == ".json")
            notes += column_read.notes
            if column_read.attribute is not None:
                attributes.append(column_read.attribute)
                columns[key] = column_read.values
    if not attributes:
        notes.append(f"{tables[0].name} has no column of labels: the images are read without labels")
    return RawData(
        name="table",
        folder=folder,
        files=[images[name] for name in rows],
        table=dict(columns),
        schema=Schema(tuple(attributes), exclusive_hair(attributes)),
        split=split,
        identity=identity,
        rows_without_image=orphans,
        images_without_row=[name for name in images if name not in rows],
        notes=notes,
    )


def matched(words: Sequence[str], images: Sequence[str], below: str = "") -> list[str | None]:
    """Return which of the images each row of a table means, None where there is none.

    Args:
        words: as the rows name them: relative to the folder or to the table. Those that fit neither may fit by their
            last part, its ending left aside, where only one row and one image are called so. Composed and decomposed
            letters are the same.
        images: names relative to the folder.
        below: the table's place in the folder, such as "train/".
    """
    there = {**{composed(name): name for name in images}, **{name: name for name in images}}
    spelled = [(below + word, word, composed(below + word), composed(word)) for word in words]
    names = [next((there[name] for name in ways if name in there), None) for ways in spelled]
    stems = [_stem(word) for word in words]
    rows, counts = Counter(stems), Counter(map(_stem, images))
    alone = {stem: name for name in images if counts[stem := _stem(name)] == 1}
    return [name or (alone.get(stem) if rows[stem] == 1 else None) for name, stem in zip(names, stems, strict=True)]


def _end(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return composed(PurePosixPath(name).stem)


def _file_names(path: Path, lines: Sequence[Row], images: Collection[str]) -> tuple[str, list[str]]:
    """Return the column of file names, called as usual or else the one that names the most images, and its words."""
    if begun := next((name for name in lines[0] if name in images), None):
        raise AttrimorphError(
            f"{path} must begin with a header such as file_name,Smiling; its first line names {begun}; add one"
        )
    stems, ends = ({part(composed(name)) for name in images} for part in (_stem, _end))
    called = [name for usual in FILE_COLUMNS for name in lines[0] if name.lower() == usual]
    column = next((name for name in called if any(_stem(_file(line.get(name))) in stems for line in lines)), None)
    if column is None:
        hits = {name: sum(_end(composed(_file(line.get(name)))) in ends for line in lines) for name in lines[0]}
        best = max(hits, key=lambda name: hits[name])
        if not hits[best] and not called:
            raise AttrimorphError(
                f"{path} must have a column file_name (or {', '.join(FILE_COLUMNS[1:4])}) that names images; its "
                f"columns are {', '.join(list(lines[0])[:6])}; rename one"
            )
        column = best if hits[best] else called[0]
    words = [_file(line.get(column)) for line in lines]
    if "" in words:
        raise AttrimorphError(f"every row of {path} must name a file; row {words.index('') + 1} names none; mend it")
    return column, words


def _file(raw: Any) -> str:
    return raw.strip(" \t\"'").replace("\\", "/").removeprefix("./") if isinstance(raw, str) else ""


def _split_of(
    path: Path, rows: Sequence[Row], identity: list[int], keys: Iterable[str]
) -> tuple[list[str], str | None]:
    """Return the split of every row, and the column that named it where that is not called split."""
    for key in ("split", *(key for key in keys if key.lower() in SPLIT_COLUMNS)):
        words = [cleaned(row.get(key)).lower() for row in rows]
        if key == "split" and any(words):
            for word in words:
                if word not in SPLIT_WORDS:
                    raise AttrimorphError(
                        f"the split in {path} must be train, valid or test; got {word!r}; mend the row"
                    )
        if all(word in SPLIT_WORDS for word in words):
            return [SPLIT_WORDS[word] for word in words], key
    somebody = any(number >= 0 for number in identity)
    return assign_split(len(rows), identity=identity if somebody else None), None


def _lines(path: Path, images: Iterable[str]) -> list[dict[str, Any]]:
    """Read the rows of a table, the columns named as people mean them: Split is split."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonl"):
        rows = _json_rows(path, images) if suffix == ".json" else _json_lines(path)
        for row in rows:
            _refuse_twice(path, [_column(name) for name in row])
        return [{_column(name): value for name, value in row.items()} for row in rows]
    header, cells = read_csv(path)
    names = [_column(name) for name in header]
    _refuse_twice(path, names)
    for place, name in enumerate(names):
        # What is different in every row is an index, which spreadsheets leave without a name.
        if not name and len({row[place] for row in cells}) < max(2, len(cells)):
            raise AttrimorphError(f"every column of {path} must have a name; column {place + 1} has none; name it")
    return [dict(zip(names, line, strict=True)) for line in cells]


def _column(name: str) -> str:
    name = cleaned(name)
    return name.lower() if name.lower() in ("split", "identity") else name


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise AttrimorphError(f"the columns of {path} must differ; {twice[0]!r} stands twice; rename one")


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            value = _json(line, f"line {number} of {path}")
            if not isinstance(value, dict):
                raise AttrimorphError(
                    f"line {number} of {path} must be a JSON object; it is {type(value).__name__}; mend it"
                )
            rows.append(value)
    if not rows:
        raise AttrimorphError(f"{path} must have at least one line; it is empty; fill it")
    return rows


def _json_rows(path: Path, images: Iterable[str]) -> list[dict[str, Any]]:
    """Read StyleGAN's {"labels": [[name, class], ...]}, whose labels may be null, or a list of objects."""
    value = _json(read_text(path), str(path))
    rows: list[Any] = value if isinstance(value, list) else []
    if isinstance(value, dict) and "labels" in value:
        labels = [(name, None) for name in images] if value["labels"] is None else value["labels"]
        if isinstance(labels, list) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in labels):
            rows = [{"file_name": name, **label_columns(label)} for name, label in labels]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise AttrimorphError(
            f'{path} must be a list of objects, or StyleGAN\'s {{"labels": [[name, class], ...]}}; it is neither; '
            "write the labels into attributes.csv"
        )
    return rows


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise AttrimorphError(f"{what} must be JSON: {reason}; mend it") from error
