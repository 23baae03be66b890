"""Pictures in archives, read where they lie: WebDataset's tar shards, the zip of StyleGAN's dataset_tool, parquet files
and `datasets` of Hugging Face.
"""

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PosixPath, PurePosixPath
from typing import Any, BinaryIO

from attrimorph.data import Attribute, Schema
from attrimorph.data.readers.columns import read_column
from attrimorph.data.readers.raw import (
    IMAGE_SUFFIXES,
    SPLIT_WORDS,
    RawData,
    assign_split,
    carve_valid,
    list_images,
    need_images,
)
from attrimorph.errors import AttrimorphError, extra
from attrimorph.files import reading

LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip: up to the lengths of the name and of what follows it
LABELS = "dataset.json"
TABLES = (".parquet", ".arrow")
READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
Found = tuple["Member", dict[str, Any]]


class Member(PosixPath):
    """A file in an archive, called ARCHIVE/NAME; to open it reads its bytes alone.

    Attributes:
        archive: where it lies.
        offset: of its content; in a zip, of the header before it.
        size: of its content there, in bytes.
        packed: how a zip holds it; None in a tar.
    """

    archive: Path
    offset: int
    size: int
    packed: int | None = None

    @staticmethod
    def of(archive: Path, name: str, offset: int, size: int, packed: int | None = None) -> "Member":
        """Return a member by its place."""
        member = Member(archive, name)
        member.archive, member.offset, member.size, member.packed = archive, offset, size, packed
        return member

    def read_bytes(self) -> bytes:
        """Return its content."""
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            if self.packed is not None:
                file.seek(sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))), os.SEEK_CUR)
            content = file.read(self.size)
        return zlib.decompress(content, -zlib.MAX_WBITS) if self.packed == zipfile.ZIP_DEFLATED else content

    def __reduce__(self) -> tuple[Any, ...]:
        return Member.of, (self.archive, str(self.relative_to(self.archive)), self.offset, self.size, self.packed)

    def open(self, *mode: Any, **options: Any) -> BinaryIO:  # type: ignore[override]
        """Return its content as an open file."""
        return io.BytesIO(self.read_bytes())

    def stat(self, **options: Any) -> os.stat_result:
        """Return what the system says of the archive."""
        return os.stat(self.archive)

    def exists(self, **options: Any) -> bool:
        """Say yes: it was found in the archive."""
        return True

    def is_dir(self, **options: Any) -> bool:
        """Say no."""
        return False

    def is_file(self, **options: Any) -> bool:
        """Say yes."""
        return True


class Cell(Member):
    """A picture in a column of a parquet or arrow file; `offset` is its row among those that are read at once.

    Attributes:
        chunk: of rows that are read at once.
        column: that holds the pictures.
    """

    chunk: int
    column: str

    def read_bytes(self) -> bytes:
        """Return its content."""
        import pyarrow

        try:
            value = _column(self.archive, self.chunk, self.column)[self.offset].as_py()
        except pyarrow.ArrowException as error:
            raise AttrimorphError(
                f"{self} cannot be read ({error}); {self.archive} is damaged, get it again"
            ) from error
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise AttrimorphError(f"{self} has no bytes of a picture in the column {self.column!r}; put them there")
        return content


def archives(folder: Path, *suffixes: str) -> list[Path]:
    """Return the archives of a folder with some endings, by name."""
    return list(list_images(folder, suffixes).values())


def samples(archive: Path) -> Iterator[Found]:
    """Yield the pictures of a tar shard, a parquet or an arrow file with their labels.

    Raises:
        AttrimorphError: it is damaged, or needs an extra.
    """
    return _samples(archive) if archive.suffix == ".tar" else iter(_rows(archive)[0])


def sign_of_shards(folder: Path) -> str:
    """Say why a folder holds tar shards of pictures; "" where it does not."""
    shards = archives(folder, ".tar")
    return f"pictures lie in {shards[0].name}" if shards and not list_images(folder) else ""


def read_shards(folder: Path) -> RawData:
    """Read WebDataset's shards: files of one name up to the first dot belong together.

    One of them is a picture; labels are in NAME.json (an object; each of its plain values) and NAME.cls (the class).
    Shards whose names begin with train, val or test are of that split; else pictures are divided 8 : 1 : 1.
    """
    shards = archives(folder, ".tar")
    need_images(shards, folder)
    return described("shards", folder, [found for shard in shards for found in _samples(shard)])


def _samples(shard: Path) -> Iterator[Found]:
    """Yield the pictures of a shard with their labels."""
    word = _split(shard)
    samples: dict[str, tuple[list[Member], dict[str, Any]]] = {}
    try:
        with reading(shard), tarfile.open(shard, "r:") as tar:
            for each in tar:
                place, _, name = each.name.rpartition("/")
                key, _, ending = name.partition(".")
                if not each.isfile() or not key:
                    continue
                members, row = samples.setdefault(f"{place}/{key}", ([], {"split": word} if word else {}))
                member = Member.of(shard, each.name, each.offset_data, each.size)
                if f".{ending.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES:
                    members.append(member)
                elif ending == "cls":
                    row["class"] = member.read_bytes().decode("utf-8", "replace").strip()
                elif ending == "json":
                    row |= _object(member)
    except tarfile.TarError as error:
        raise AttrimorphError(f"{shard} is no tar file or is damaged ({error}); get it again") from error
    yield from ((member, row) for members, row in samples.values() for member in members)


def _split(shard: Path) -> str | None:
    """Return the split that the name of a shard begins with."""
    return SPLIT_WORDS.get("".join(letter for letter in shard.stem.split("-")[0].lower() if letter.isalpha()))


def sign_of_parquet(folder: Path) -> str:
    """Say why a folder holds parquet or arrow files of pictures; "" where it does not."""
    found = archives(folder, *TABLES)
    return f"pictures lie in {found[0].name}" if found and not list_images(folder) else ""


def read_parquet(folder: Path) -> RawData:
    """Read parquet files as Hugging Face lays them out, or what its `save_to_disk` wrote (arrow).

    One column holds the pictures, as bytes or as {bytes, path}; columns of plain values are labels, class labels by
    their names. Files are splits by their names, as shards are.
    """
    files = [file for file in archives(folder, *TABLES) if not file.name.startswith("cache-")]  # of `datasets` itself
    need_images(files, folder)
    found, classes, others = list[Found](), set[str](), dict[str, None]()
    for file in files:
        rows, named, left_out = _rows(file)
        if file.parent != folder and (word := SPLIT_WORDS.get(file.parent.name.lower())):
            for _, row in rows:
                row.setdefault("split", word)
        found, classes, others = found + rows, classes | named, others | dict.fromkeys(left_out)
    notes = [f"columns that hold no plain values were left out: {', '.join(others)}"] if others else []
    return described("parquet", folder, found, classes | {"class"}, notes)


def _rows(file: Path) -> tuple[list[Found], set[str], list[str]]:
    """Return the pictures of a parquet or arrow file with their labels, the columns that are class labels, and those
    that are none.
    """
    with extra("parquet", f"the file {file.name}"):
        import pyarrow
        import pyarrow.parquet as parquet
    types = pyarrow.types
    try:
        with reading(file):
            opened = _table(file) if file.suffix == ".arrow" else parquet.ParquetFile(file)
            schema = opened.schema if file.suffix == ".arrow" else opened.schema_arrow
            kinds = {each.name: each.type for each in schema}
            holding = [name for name, kind in kinds.items()
                       if types.is_struct(kind) and kind.get_field_index("bytes") >= 0]  # fmt: skip
            holding += [name for name, kind in kinds.items() if types.is_binary(kind) or types.is_large_binary(kind)]
            if not holding:
                raise AttrimorphError(
                    f"{file} must have a column of pictures, bytes or {{bytes, path}}; its columns are "
                    f"{', '.join(kinds) or 'none'}; store the pictures in it"
                )
            column, tests = holding[0], (types.is_integer, types.is_floating, types.is_boolean, types.is_string,
                                         types.is_large_string, types.is_dictionary)  # fmt: skip
            plain = [name for name, kind in kinds.items() if any(test(kind) for test in tests)]
            named = types.is_struct(kinds[column]) and kinds[column].get_field_index("path") >= 0
            if file.suffix == ".arrow":
                counts, table = [opened.num_rows], opened
                paths = opened.column(column).combine_chunks().field("path") if named and len(opened) else []
            else:
                counts = [opened.metadata.row_group(each).num_rows for each in range(opened.num_row_groups)]
                table = opened.read(columns=plain)
                paths = opened.read(columns=[f"{column}.path"])[column].combine_chunks().field("path") if named else []
            rows, names = table.select(plain).to_pylist(), [each.as_py() for each in paths]
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())[:120]
        raise AttrimorphError(f"{file} is no {file.suffix[1:]} file or is damaged ({reason}); get it again") from error
    if not all(names) or len(set(names)) < len(rows):
        names = [f"{row:07d}" for row in range(len(rows))]
    classes = dict[str, dict[int, str]]()
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):  # what others write there
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        classes = {name: dict(enumerate(map(str, told[name]["names"]))) for name in plain
                   if told.get(name, {}).get("_type") == "ClassLabel"}  # fmt: skip
    word, found = _split(file), list[Found]()
    for group, count in enumerate(counts):
        for row in range(count):
            labels = rows[len(found)]
            labels |= {name: values.get(labels[name]) for name, values in classes.items()}
            cell = Cell(file, *(part for part in PurePosixPath(names[len(found)]).parts if part not in ("/", "..")))
            cell.archive, cell.chunk, cell.offset, cell.size, cell.column = file, group, row, 0, column
            found.append((cell, ({"split": word} if word else {}) | labels))
    return found, set(classes), [name for name in kinds if name not in (column, *plain)]


@lru_cache(maxsize=2)  # pictures are read in the order of their rows
def _column(file: Path, group: int, column: str) -> Any:
    """Return a group of rows of a column."""
    import pyarrow.parquet as parquet

    with reading(file):
        if file.suffix == ".arrow":
            return _table(file).column(column)
        return parquet.ParquetFile(file).read_row_group(group, columns=[column]).column(column)


def _table(file: Path) -> Any:
    """Return an arrow file as a table in mapped memory; `datasets` writes streams, others files."""
    import pyarrow

    content = pyarrow.memory_map(str(file))
    whole = content.read(6) == b"ARROW1"
    content.seek(0)
    return (pyarrow.ipc.open_file if whole else pyarrow.ipc.open_stream)(content).read_all()


def sign_of_zip(folder: Path) -> str:
    """Say why a folder holds StyleGAN's zip; "" where it does not."""
    found = archives(folder, ".zip")
    if len(found) != 1 or list_images(folder):
        return ""
    return f"pictures lie in {found[0].name}" if zipfile.is_zipfile(found[0]) else ""


def read_zip(folder: Path) -> RawData:
    """Read the zip of StyleGAN's dataset_tool in a folder; dataset.json in it, where there is one, has the labels.

    A whole number is a class; a list of numbers becomes the attributes label_0, label_1, ...
    """
    found = archives(folder, ".zip")
    if len(found) != 1:
        raise AttrimorphError(f"{folder} must hold one zip of pictures; it holds {len(found)}; leave one there")
    try:
        with reading(found[0]), zipfile.ZipFile(found[0]) as file:
            entries = [each for each in file.infolist() if Path(each.filename).suffix.lower() in IMAGE_SUFFIXES]
            held = json.loads(file.read(LABELS)) if LABELS in file.namelist() else {}
    except (zipfile.BadZipFile, ValueError, RecursionError) as error:
        raise AttrimorphError(f"{found[0]} is damaged ({error}); get it again") from error
    given = held.get("labels") if isinstance(held, Mapping) else None
    if given is not None and not (isinstance(given, list) and all(isinstance(p, list) and len(p) == 2 for p in given)):
        raise AttrimorphError(f"labels in {LABELS} of {found[0]} must be a list of [file, label]; mend it")
    if odd := [each.filename for each in entries if each.compress_type not in READ]:
        raise AttrimorphError(f"{odd[0]} in {found[0]} is packed in an unusual way; unpack it and name the folder")
    labels = {str(name): label_columns(label) for name, label in given or ()}
    rows = [
        (Member.of(found[0], each.filename, each.header_offset, each.compress_size, each.compress_type),
         labels.get(each.filename, {}))
        for each in sorted(entries, key=lambda each: each.filename)
    ]  # fmt: skip
    return described("zip", folder, rows)


def label_columns(label: Any) -> dict[str, Any]:
    """Return the columns of a label in dataset.json: a class, or numbers."""
    if isinstance(label, list):
        return {f"label_{place}": value for place, value in enumerate(label)}
    return {} if label is None else {"class": label}


def _object(member: Member) -> dict[str, Any]:
    """Return the plain values of a JSON object."""
    try:
        value = json.loads(member.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AttrimorphError(f"{member} must be JSON; reading it failed: {error}; mend it") from error
    if not isinstance(value, dict):
        raise AttrimorphError(f"{member} must be a JSON object; it is {type(value).__name__}; mend it")
    return {str(key): each for key, each in value.items() if each is None or isinstance(each, str | int | float)}


def described(
    name: str, folder: Path, found: list[Found], named: Container[str] = ("class",), notes: Sequence[str] = ()
) -> RawData:
    """Return pictures and their labels as all readers do; a column "split" divides them, the others' kinds are
    inferred, but for those of `named` classes.
    """
    need_images([member for member, _ in found], folder)
    words = [str(row.get("split", "")).lower() for _, row in found]
    given = all(word in SPLIT_WORDS for word in words)
    classes = [str(row.get("class", "")) for _, row in found]
    split = [SPLIT_WORDS[word] for word in words] if given else assign_split(len(found), within=classes)
    if given and "train" in split:
        split = carve_valid(split, classes)
    train = [word == "train" for word in split]
    attributes, columns, notes = list[Attribute](), dict[str, Sequence[Any]](), list(notes)
    for key in dict.fromkeys(key for _, row in found for key in row if key != "split"):
        column = read_column(key, [row.get(key) for _, row in found], train, classes=key in named)
        notes += column.notes
        if column.attribute is not None:
            attributes.append(column.attribute)
            columns[key] = column.values
    return RawData(
        name=name,
        folder=folder,
        files=[member for member, _ in found],
        table=columns,
        schema=Schema(tuple(attributes)),
        split=split,
        identity=[-1] * len(found),
        notes=notes,
    )
