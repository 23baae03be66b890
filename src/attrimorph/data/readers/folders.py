"""Folders of images: whose names are the labels (ImageFolder, one folder for each class; two unpaired folders), or
without labels.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import groupby, takewhile
from pathlib import Path

from attrimorph.data import Attribute, Schema
from attrimorph.data.readers.columns import MOST_VALUES
from attrimorph.data.readers.raw import (
    SPLIT_WORDS,
    RawData,
    assign_split,
    carve_valid,
    list_images,
    need_images,
    number_identities,
    preview,
)
from attrimorph.errors import AttrimorphError

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
    folders = {name: [part for part, _ in groupby(_composed(name).split("/")[:-1])] for name in names}
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
    parts = [part for part, _ in groupby(_composed(name).split("/")[:-1])]
    return [part for part in parts[parts.index(label) + 1 :] if part.lower() not in SPLIT_WORDS]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
