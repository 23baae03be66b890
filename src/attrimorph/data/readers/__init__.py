"""Readers: from a folder as its publisher lays it out, a `Source`, to one plain description, `RawData`."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from attrimorph.data import Attribute, Schema
from attrimorph.data.images import Crop
from attrimorph.data.readers import archives, people, species, tables
from attrimorph.data.readers.columns import MOST_VALUES
from attrimorph.data.readers.raw import (
    SPLIT_WORDS,
    RawData,
    assign_split,
    carve_valid,
    check_folder,
    composed,
    list_images,
    need_images,
    number_identities,
    preview,
    unread,
)
from attrimorph.errors import AttrimorphError, suggestion

__all__ = ["FORMATS", "Crop", "RawData", "Source", "detect", "read", "recognise"]

# --- folders whose names are the labels (two unpaired folders; ImageFolder, one for each class), or without labels

DOMAINS = ("trainA", "trainB", "testA", "testB")


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
    """Say why a folder holds class folders: at least two hold images; "" where it does not.

    Raises:
        AttrimorphError: several of them hold folders of the same names: one or the other may be the classes.
    """
    images = list_images(folder)
    labels = _labels(images)
    classes = {label for label, _ in labels.values() if label is not None}
    deeper = {(label, part) for name in images if (label := labels[name][0]) for part in _below(name, label)}
    repeated = sorted(part for part, count in Counter(part for _, part in deeper).items() if count > 1)
    if repeated:
        raise AttrimorphError(
            f"{folder} must have one folder for each class; {preview(sorted(classes))} hold folders of the same names, "
            f"{preview(repeated)}; call splits train, valid and test, or take the former with --format classes"
        )
    count = len(classes)
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
    # A folder inside one of its own name, as archives unpack, counts once.
    folders = {name: [part for part, _ in groupby(composed(name).split("/")[:-1])] for name in names}
    first, last = (pick(folders.values(), default=[]) for pick in (min, max))
    around = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    # One folder around all the others, as archives unpack, is no class; it may be a split.
    own = {
        name: [part for place, part in enumerate(parts) if place >= around or part.lower() in SPLIT_WORDS]
        for name, parts in folders.items()
    }
    loose = _loose_splits({parts[0] for parts in own.values() if len(parts) > 1})
    only_splits = all(parts[0].lower() in SPLIT_WORDS for parts in own.values() if parts)
    labels: dict[str, tuple[str | None, str | None]] = {}
    for name, parts in own.items():
        if loose:
            labels[name] = (parts[1], loose[parts[0]]) if len(parts) > 1 else (None, None)
            continue
        split = None
        # Beside bus/ and car/ the images right below train/ show trains.
        if len(parts) > 1 or only_splits:
            split = next((place for place, part in enumerate(parts[:2]) if part.lower() in SPLIT_WORDS), None)
        classes = [part for place, part in enumerate(parts) if place != split]
        labels[name] = (classes[0] if classes else None, None if split is None else SPLIT_WORDS[parts[split].lower()])
    return labels


def _loose_splits(tops: Iterable[str]) -> dict[str, str]:
    """Return the split of folders like seg_train and seg_test: where all of those that hold folders are called so."""
    words = {
        top: [SPLIT_WORDS[word] for word in re.split("[^a-z]+", top.lower()) if word in SPLIT_WORDS] for top in tops
    }
    splits = {top: found[0] for top, found in words.items() if len(found) == 1}
    plain = all(top.lower() in SPLIT_WORDS for top in words)
    return splits if len(splits) == len(words) and len({*splits.values()}) > 1 and not plain else {}


def _below(name: str, label: str) -> list[str]:
    """Return the folders below that of a class, without splits."""
    parts = [part for part, _ in groupby(composed(name).split("/")[:-1])]
    return [part for part in parts[parts.index(label) + 1 :] if part.lower() not in SPLIT_WORDS]


# --- all formats

FORMATS: dict[str, Callable[[Path], RawData]] = {
    "celeba": people.read_celeba,
    "lfw": people.read_lfw,
    "lfw-people": people.read_people,
    "lfw-attributes": people.read_attributes,
    "utkface": people.read_utkface,
    "cub": species.read_cub,
    "flowers": species.read_flowers,
    "table": tables.read_table,
    "shards": archives.read_shards,
    "parquet": archives.read_parquet,
    "zip": archives.read_zip,
    "unpaired": read_unpaired,
    "classes": read_classes,
    "images": read_images,
}

# From the most to the least particular: the first that says why it holds is taken.
_SIGNS: dict[str, Callable[[Path], str]] = {
    "celeba": people.sign_of_celeba,
    "cub": species.sign_of_cub,
    "flowers": species.sign_of_flowers,
    "table": tables.sign_of_table,
    "shards": archives.sign_of_shards,
    "parquet": archives.sign_of_parquet,
    "zip": archives.sign_of_zip,
    "unpaired": sign_of_unpaired,
    "lfw": people.sign_of_lfw,
    "utkface": people.sign_of_utkface,
    "classes": sign_of_classes,
}


def recognise(folder: str | Path) -> tuple[str, str]:
    """Return the name of the format that a folder is in, and why.

    Images that fit no layout with labels are "images", without labels.

    Raises:
        AttrimorphError: the folder is missing, is a file, or holds no images.
    """
    folder = Path(folder)
    check_folder(folder)
    for name, sign in _SIGNS.items():
        if why := sign(folder):
            return name, why
    need_images(list(list_images(folder).values()), folder)
    if why := tables.sign_of_only_table(folder):
        return "table", why
    return "images", "there is no table of labels, no known names and no two class folders: they have no labels"


def detect(folder: str | Path) -> str:
    """Return the name of the format that a folder is in; errors as of `recognise`."""
    return recognise(folder)[0]


def read(folder: str | Path, format: str = "auto", table: str | Path | None = None) -> RawData:
    """Read a folder of images.

    Args:
        format: one of `FORMATS`, or "auto" to recognise it.
        table: a CSV, JSON or JSON-lines file of any name and place that labels the images.

    Raises:
        AttrimorphError: the format is unknown, or the folder does not hold what the format needs.
    """
    folder = Path(folder)
    check_folder(folder)
    if table is not None:
        if format not in ("auto", "table"):
            raise AttrimorphError(f"a table of labels goes with the format table; got {format}; leave one of them out")
        raw, why = tables.read_table(folder, Path(table)), f"the labels are in {table}"
    elif format == "auto":
        format, why = recognise(folder)
        raw = FORMATS[format](folder)
    elif format in FORMATS:
        raw, why = FORMATS[format](folder), "as was asked for"
    else:
        raise AttrimorphError(f"there is no data format {format!r}; {suggestion(format, FORMATS)}")
    return replace(raw, why=why, notes=[*raw.notes, *unread(folder, raw)])


@dataclass(frozen=True)
class Source:
    """A prepared folder, or a folder of images and how it is read.

    Attributes:
        path: the folder.
        format: one of `readers.FORMATS`, or "auto" to recognise it.
        table: a CSV or JSON-lines file of any name that labels the images.
    """

    path: Path
    format: str = "auto"
    table: Path | None = None

    @staticmethod
    def of(value: "str | Path | Source") -> "Source":
        """Return what a path alone stands for, or the source itself."""
        return value if isinstance(value, Source) else Source(Path(value))

    @property
    def recognised(self) -> bool:
        """Whether nobody said how it is read."""
        return self.format == "auto" and self.table is None

    @property
    def prepared(self) -> bool:
        """Whether it is a prepared folder, or is becoming one.

        Raises:
            AttrimorphError: it is, and something is said about how images are read.
        """
        if not any((self.path / name).is_file() for name in ("schema.json", "images.npy.part")):
            return False
        if not self.recognised:
            raise AttrimorphError(
                f"{self.path} is prepared already; --format and --table tell how images are read; leave them out"
            )
        return True

    def read(self) -> RawData:
        """Read the folder of images; errors as of `readers.read`."""
        return read(self.path, self.format, self.table)

    def to_json(self) -> dict[str, str]:
        """Return plain values for JSON, the paths absolute."""
        words = {"data": str(self.path.resolve())}
        if self.format != "auto":
            words["format"] = self.format
        if self.table is not None:
            words["table"] = str(self.table.resolve())
        return words

    @staticmethod
    def from_json(words: Mapping[str, Any]) -> "Source":
        """Read what `to_json` wrote."""
        table = Path(words["table"]) if "table" in words else None
        return Source(Path(words["data"]), words.get("format", "auto"), table)
