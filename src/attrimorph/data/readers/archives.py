"""Pictures in archives, read where they lie: WebDataset's tar shards, and the zip of StyleGAN's dataset_tool."""

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PosixPath
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
from attrimorph.errors import AttrimorphError
from attrimorph.files import reading

LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip: up to the lengths of the name and of what follows it
LABELS = "dataset.json"
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


def archives(folder: Path, suffix: str) -> list[Path]:
    """Return the archives of a folder with one ending, by name."""
    return list(list_images(folder, (suffix,)).values())


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
    word = SPLIT_WORDS.get("".join(letter for letter in shard.stem.split("-")[0].lower() if letter.isalpha()))
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


def described(name: str, folder: Path, found: list[Found]) -> RawData:
    """Return pictures and their labels as all readers do; a column "split" divides them, the others' kinds are
    inferred.
    """
    need_images([member for member, _ in found], folder)
    words = [str(row.get("split", "")).lower() for _, row in found]
    given = all(word in SPLIT_WORDS for word in words)
    classes = [str(row.get("class", "")) for _, row in found]
    split = [SPLIT_WORDS[word] for word in words] if given else assign_split(len(found), within=classes)
    if given and "train" in split:
        split = carve_valid(split, classes)
    train = [word == "train" for word in split]
    attributes, columns, notes = list[Attribute](), dict[str, Sequence[Any]](), list[str]()
    for key in dict.fromkeys(key for _, row in found for key in row if key != "split"):
        column = read_column(key, [row.get(key) for _, row in found], train, classes=key == "class")
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
