"""Labeled Faces in the Wild: people as classes, or the real-valued attribute table; and its verification pairs."""

import re
from collections import Counter
from pathlib import Path

from attrimorph.data import Attribute, Schema, parse_real
from attrimorph.data.images import Crop
from attrimorph.data.readers.raw import (
    FacePair,
    RawData,
    assign_split,
    list_images,
    need_images,
    number_identities,
    read_csv,
    read_text,
    real_attribute,
    whole_number,
)
from attrimorph.errors import AttrimorphError

IMAGE_FOLDERS = ("lfw-deepfunneled", "lfw-deepfunneled/lfw-deepfunneled", "lfw_funneled", "lfw")
TABLES = ("lfw_attributes.txt", "lfw_attr_test.csv", "lfw_attributes.csv", "lfw_attr.csv")
FILE = re.compile(r"([^/]+)/\1_\d{4}\.\w+")
FIRST_LAST = re.compile(r"[^\W\d_a-z][^_]*(_[^_]+)+")
CROP = Crop(62, 62, 188, 188, of=(250, 250))  # the face, without the black corners that the warping left
CUT_OUT = "of every picture the middle is cut out, as is usual for LFW; --format classes takes pictures whole"


def find(folder: Path) -> Path | None:
    """Return the folder of people inside an LFW folder, or None."""
    for candidate in (*(folder / name for name in IMAGE_FOLDERS), folder):
        if candidate.is_dir() and any(candidate.glob("*/*_0001.*")):
            return candidate
    return None


def sign(folder: Path) -> str:
    """Say why a folder is LFW; "" where it is not.

    Every file must be NAME/NAME_0001.jpg, of two people or more; beyond the published folders most names must be
    First_Last too, as classes are named cat/cat_0001.jpg just so.
    """
    base = find(folder)
    names = list(list_images(base)) if base else []
    people = {name.partition("/")[0] for name in names}
    if len(people) < 2 or not all(FILE.fullmatch(name) for name in names):
        return ""
    if base == folder and 2 * sum(bool(FIRST_LAST.fullmatch(name)) for name in people) <= len(people):
        return ""
    return f"each of the {len(names)} files is NAME/NAME_0001.jpg, of {len(people)} people"


def read(folder: Path, min_images: int = 20) -> RawData:
    """Read the attribute table where there is one, and people as classes otherwise."""
    has_table = any((folder / name).is_file() for name in TABLES)
    return read_attributes(folder) if has_table else read_people(folder, min_images)


def read_people(folder: Path, min_images: int = 20) -> RawData:
    """Read people with at least `min_images` images as the values of one categorical attribute, "person".

    Every person's images are divided 8 : 1 : 1.
    """
    images, stray = _images(folder)
    counts = Counter(person for person, _ in images)
    people = sorted(person for person, count in counts.items() if count >= min_images)
    if len(people) < 2:
        raise AttrimorphError(
            f"{folder} must hold at least two people with {min_images} images each; it has {len(people)}; "
            "read all of them with --format classes, or without labels with --format images"
        )
    chosen = set(people)
    kept = {key: path for key, path in images.items() if key[0] in chosen}
    names = [person for person, _ in kept]
    return RawData(
        name="lfw-people",
        folder=folder,
        files=list(kept.values()),
        table={"person": names},
        schema=Schema((Attribute("person", "categorical", tuple(people)),)),
        split=assign_split(len(kept), within=names),
        identity=number_identities(names),
        crop=CROP,
        images_without_row=stray,
        notes=[
            f"{len(people)} of {len(counts)} people have at least {min_images} images; "
            f"{len(images) - len(kept)} images of the others were left out",
            CUT_OUT,
        ],
    )


def read_attributes(folder: Path) -> RawData:
    """Read the table of real-valued attribute scores; the images are divided 8 : 1 : 1 by person."""
    path = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if path is None:
        raise AttrimorphError(f"{folder} must hold a table like {TABLES[0]} or {TABLES[1]}; it has none; get it")
    header, rows = read_csv(path, "person")
    if [name.lower() for name in header[:2]] != ["person", "imagenum"]:
        raise AttrimorphError(
            f"{path} must begin with the columns person, imagenum; it begins with {', '.join(header[:2])}; mend it"
        )
    images, stray = _images(folder)
    kept, orphans, named = [], [], set()
    for row in rows:
        key = (row[0].strip().replace(" ", "_"), whole_number(row[1], "imagenum", path))
        if key in named:
            raise AttrimorphError(f"{path} must name every image once; {row[0]} {row[1]} stands twice; remove one")
        named.add(key)
        if key in images:
            kept.append((key, row))
        else:
            orphans.append(f"{key[0]}_{key[1]:04d}.jpg")
    need_images([images[key] for key, _ in kept], folder, path)
    identity = number_identities([key[0] for key, _ in kept])
    split = assign_split(len(kept), identity=identity)
    train = [name == "train" for name in split]
    table = {name: [parse_real(name, row[column]) for _, row in kept] for column, name in enumerate(header[2:], 2)}
    return RawData(
        name="lfw-attributes",
        folder=folder,
        files=[images[key] for key, _ in kept],
        table=dict(table),
        schema=Schema(tuple(real_attribute(name, values, train) for name, values in table.items())),
        split=split,
        identity=identity,
        crop=CROP,
        rows_without_image=orphans,
        images_without_row=[*(path.name for key, path in images.items() if key not in named), *stray],
        notes=[CUT_OUT],
    )


def read_pairs(folder: Path) -> list[FacePair]:
    """Read `pairs.txt`: lines "name i j" (one person) and "name i name j" (two people); missing images are an error."""
    path = folder / "pairs.txt"
    images, _ = _images(folder)
    pairs = []
    # The first line holds counts: "folds pairs", or "pairs" alone.
    for number, line in enumerate(read_text(path).splitlines()[1:], 2):
        fields = line.split()
        if len(fields) not in (3, 4):
            raise AttrimorphError(
                f"every pair in {path} must have 3 or 4 fields; line {number} has {len(fields)}; mend it"
            )
        people = (fields[0], fields[-2] if len(fields) == 4 else fields[0])
        keys = [
            (person, whole_number(place, "an image number", path))
            for person, place in zip(people, (fields[1], fields[-1]), strict=True)
        ]
        for key in keys:
            if key not in images:
                raise AttrimorphError(
                    f"{path} line {number} names {key[0]}_{key[1]:04d}.jpg; there is no such image; get the images"
                )
        pairs.append(FacePair(images[keys[0]], images[keys[1]], len(fields) == 3))
    if not pairs:
        raise AttrimorphError(f"{path} must have pairs below its first line; it has none; get it again")
    return pairs


def _images(folder: Path) -> tuple[dict[tuple[str, int], Path], list[str]]:
    """Return (person, number) -> path of NAME/NAME_0001.jpg, and the names of all other images."""
    base = find(folder)
    need_images([base] if base else [], folder)
    assert base is not None
    images, stray = {}, []
    for name, path in list_images(base).items():
        person, _, number = path.stem.rpartition("_")
        if name.count("/") == 1 and person == path.parent.name and number.isdigit():
            images[person, int(number)] = path
        else:
            stray.append(name)
    return images, stray
