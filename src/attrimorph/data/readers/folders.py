"""Folders of images: whose names are the labels (ImageFolder, one folder for each class; two unpaired folders); with a
table, attributes.csv or the hub's metadata.csv or metadata.jsonl; or without labels.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from attrimorph.data import Attribute, Schema
from attrimorph.data.readers.raw import (
    MOST_VALUES,
    SPLIT_WORDS,
    RawData,
    assign_split,
    carve_valid,
    exclusive_hair,
    infer_attribute,
    is_missing,
    list_images,
    need_images,
    number_identities,
    read_csv,
    read_text,
)
from attrimorph.errors import AttrimorphError
from attrimorph.files import reading

DOMAINS = ("trainA", "trainB", "testA", "testB")
TABLES = ("attributes.csv", "metadata.csv", "metadata.jsonl")
FILE_COLUMNS = ("file_name", "file", "filename", "image", "image_id", "image_path", "path")
Row = Mapping[str, Any]


def sign_of_unpaired(folder: Path) -> str:
    """Say why a folder is unpaired data; "" where it is not."""
    return "trainA lies beside trainB" if (folder / "trainA").is_dir() and (folder / "trainB").is_dir() else ""


def read_unpaired(folder: Path) -> RawData:
    """Read trainA, trainB and when there testA, testB as one binary attribute "B".

    A tenth of the training images becomes valid; without test folders another tenth becomes test. Where A and B hold
    the same names, images of one name are a pair: they share an identity and a split.
    """
    files, domains, split, names = [], [], [], []
    for name in DOMAINS:
        if name.startswith("test") and not (folder / name).is_dir():
            continue
        images = list_images(folder / name)
        found = list(images.values())
        if name.startswith("train"):
            need_images(found, folder / name)
        files += found
        names += [f"{name[:-1]}/{image.rsplit('.', 1)[0]}" for image in images]
        domains += [int(name[-1] == "B")] * len(found)
        split += [name[:-1]] * len(found)
    sides = [sorted(name for name, domain in zip(names, domains, strict=True) if domain == side) for side in (0, 1)]
    paired = sides[0] == sides[1] and len({*sides[0]}) == len(sides[0])
    if paired:
        within = [name.split("/")[0] for name in sides[0]]
        parts = dict(zip(sides[0], assign_split(len(sides[0]), within=within), strict=True))
        inner = [parts[name] for name in names]
    else:
        inner = assign_split(len(files), within=list(zip(domains, split, strict=True)))
    official = "test" in split
    for row, name in enumerate(inner):
        if split[row] == "train" and (name == "valid" or not official):
            split[row] = name
    return RawData(
        name="unpaired",
        folder=folder,
        files=files,
        table={"B": domains},
        schema=Schema((Attribute("B"),)),
        split=split,
        identity=number_identities(names) if paired else [-1] * len(files),
    )


def sign_of_classes(folder: Path) -> str:
    """Say why a folder holds class folders: at least two hold images; "" where it does not."""
    count = len({label for label, _ in _labels(list_images(folder)).values() if label is not None})
    return f"{count} folders hold images, one for each class" if count >= 2 else ""


def read_classes(folder: Path) -> RawData:
    """Read `CLASS/image`, `train|valid|test/CLASS/image` or `CLASS/train|valid|test/image` as one attribute, "class".

    A folder in which all others lie counts for nothing. Without split folders every class is divided 8 : 1 : 1;
    without valid a tenth of train becomes valid.
    """
    images = list_images(folder)
    need_images(list(images.values()), folder)
    labelled = _labels(images)
    kept = {name: path for name, path in images.items() if labelled[name][0] is not None}
    labels = [str(labelled[name][0]) for name in kept]
    values = tuple(sorted(set(labels)))
    if not 2 <= len(values) <= MOST_VALUES:
        raise AttrimorphError(
            f"{folder} must hold between 2 and {MOST_VALUES} folders of images, one for each class; it has "
            f"{len(values)}; label the images by class folders or --table, or read them without labels with "
            "--format images"
        )
    given = [labelled[name][1] for name in kept]
    return RawData(
        name="classes",
        folder=folder,
        files=list(kept.values()),
        table={"class": labels},
        schema=Schema((Attribute("class", "categorical", values),)),
        split=_split(given, labels),
        identity=number_identities(labels),
        images_without_row=[name for name in images if name not in kept],
    )


def read_images(folder: Path) -> RawData:
    """Read every image without a label; split folders count as such, otherwise images are divided 8 : 1 : 1."""
    images = list_images(folder)
    need_images(list(images.values()), folder)
    return RawData(
        name="images",
        folder=folder,
        files=list(images.values()),
        table={},
        schema=Schema(()),
        split=_split([split for _, split in _labels(images).values()], [""] * len(images)),
        identity=[-1] * len(images),
    )


def _split(given: list[str | None], labels: list[str]) -> list[str]:
    if {*given} & {"valid", "test"}:
        return carve_valid([name or "train" for name in given], labels)
    return assign_split(len(given), within=labels)


def _labels(names: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
    """Return (class, split) of relative names such as train/cat/1.jpg; None where they have none."""
    folders = {name: name.split("/")[:-1] for name in names}
    first, last = (pick(folders.values(), default=[]) for pick in (min, max))
    around = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    # One folder around all the others, as archives unpack, is no class; it may be a split.
    own = {
        name: [part for place, part in enumerate(parts) if place >= around or part.lower() in SPLIT_WORDS]
        for name, parts in folders.items()
    }
    only_splits = all(parts[0].lower() in SPLIT_WORDS for parts in own.values() if parts)
    labels: dict[str, tuple[str | None, str | None]] = {}
    for name, parts in own.items():
        split = None
        # Beside bus/ and car/ the images right below train/ show trains.
        if len(parts) > 1 or only_splits:
            split = next((place for place, part in enumerate(parts[:2]) if part.lower() in SPLIT_WORDS), None)
        classes = [part for place, part in enumerate(parts) if place != split]
        labels[name] = (classes[0] if classes else None, None if split is None else SPLIT_WORDS[parts[split].lower()])
    return labels


def find_tables(folder: Path) -> list[Path]:
    """Return the table of a folder, or those of its train, valid and test folders; [] without any."""
    with reading(folder, "check the path and permissions"):
        inside = sorted(child for child in folder.iterdir() if child.name.lower() in SPLIT_WORDS)
    here, *inner = ([place / name for name in TABLES if (place / name).is_file()][:1] for place in (folder, *inside))
    return here or [path for found in inner for path in found]


def sign_of_table(folder: Path) -> str:
    """Say why a folder has a table; "" where it has none."""
    found = find_tables(folder)
    return f"{found[0].relative_to(folder).as_posix()} lies there" if found else ""


def read_table(folder: Path, table: Path | None = None) -> RawData:
    """Read the table(s): a column with file names, optional columns split and identity, every other an attribute.

    Names are understood as `matched` says. Kinds are inferred (see `infer_attribute`). Where nothing names the split,
    images are divided 8 : 1 : 1, by identity where that is known.

    Args:
        folder: of the images.
        table: a file of any name, seen from here or from the folder; None = one of `TABLES`.
    """
    tables = find_tables(folder)
    if table is not None:
        tables = [folder / table if not table.is_file() and (folder / table).is_file() else table]
    if not tables:
        raise AttrimorphError(f"{folder} must hold one of {', '.join(TABLES)}; it has none; name a file with --table")
    images = list_images(folder)
    rows: dict[str, Row] = {}
    orphans: list[str] = []
    notes: list[str] = []
    for path in tables:
        lines = _json_lines(path) if path.suffix == ".jsonl" else _csv_lines(path)
        below = path.parent.relative_to(folder).as_posix() if path.parent.is_relative_to(folder) else "."
        column, words = _file_names(path, lines, images)
        names = matched(words, list(images), "" if below == "." else f"{below}/")
        if column.lower() not in FILE_COLUMNS:
            notes.append(f"the column {column!r} of {path.name} was taken for the names of the files")
        pairs = zip(names, words, strict=True)
        if loosely := sum(bool(name) and name not in (word, f"{below}/{word}") for name, word in pairs):
            notes.append(f"{loosely} rows of {path.name} were matched to images by the last part of their names")
        for name, word, line in zip(names, words, lines, strict=True):
            if name is None:
                orphans.append(word)
            elif name in rows:
                raise AttrimorphError(f"{path} must name every file once; {word!r} stands twice; remove one row")
            else:
                given = {"split": SPLIT_WORDS[below.lower()]} if below.lower() in SPLIT_WORDS else {}
                rows[name] = {key: value for key, value in {**line, **given}.items() if key != column}
    need_images([images[name] for name in rows], folder, tables[0])
    people = [row.get("identity") for row in rows.values()]
    identity = number_identities([None if is_missing(raw) else str(raw) for raw in people])
    split = _split_of(tables[0], list(rows.values()), identity)
    train = [name == "train" for name in split]
    attributes, columns = [], {}
    for name in dict.fromkeys(key for row in rows.values() for key in row if key not in ("split", "identity")):
        values = [None if is_missing(value) else value for value in (row.get(name) for row in rows.values())]
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
            last part, its ending left aside, where only one row and one image are called so.
        images: names relative to the folder.
        below: the table's place in the folder, such as "train/".
    """
    there = set(images)
    names = [next((name for name in (below + word, word) if name in there), None) for word in words]
    stems = [PurePosixPath(word).stem for word in words]
    rows, counts = Counter(stems), Counter(PurePosixPath(name).stem for name in images)
    alone = {stem: name for name in images if counts[stem := PurePosixPath(name).stem] == 1}
    return [name or (alone.get(stem) if rows[stem] == 1 else None) for name, stem in zip(names, stems, strict=True)]


def _file_names(path: Path, lines: Sequence[Row], images: Iterable[str]) -> tuple[str, list[str]]:
    """Return the column of file names, called as usual or else the one that names the most images, and its words."""
    called = {name.lower(): name for name in lines[0]}
    column = next((called[name] for name in FILE_COLUMNS if name in called), None)
    if column is None:
        ends = {name.rpartition("/")[2] for name in images}
        hits = {name: sum(_file(line.get(name)).rpartition("/")[2] in ends for line in lines) for name in lines[0]}
        column = max(hits, key=lambda name: hits[name])
        if not hits[column]:
            raise AttrimorphError(
                f"{path} must have a column file_name (or {', '.join(FILE_COLUMNS[1:4])}) that names images; its "
                f"columns are {', '.join(list(lines[0])[:6])}; rename one"
            )
    words = [_file(line.get(column)) for line in lines]
    if "" in words:
        raise AttrimorphError(f"every row of {path} must name a file; row {words.index('') + 1} names none; mend it")
    return column, words


def _file(raw: Any) -> str:
    return raw.strip().replace("\\", "/").removeprefix("./") if isinstance(raw, str) else ""


def _split_of(path: Path, rows: Sequence[Row], identity: list[int]) -> list[str]:
    words = [str(row.get("split") or "").strip().lower() for row in rows]
    if not any(words):
        known = any(number >= 0 for number in identity)
        return assign_split(len(rows), identity=identity if known else None)
    for word in words:
        if word not in SPLIT_WORDS:
            raise AttrimorphError(f"the split in {path} must be train, valid or test; got {word!r}; mend the row")
    return [SPLIT_WORDS[word] for word in words]


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
