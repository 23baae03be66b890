"""People: CelebA, Labeled Faces in the Wild, UTKFace.

CelebA: 40 binary attributes, identities, the official partition; the official text files or their csv variants. LFW:
people as classes, or the real-valued attribute table; and its verification pairs. UTKFace: age, gender and race in the
file names, [age]_[gender]_[race]_[date&time].jpg; other names are left out.
"""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attrimorph.data import Attribute, Schema, parse_real, whole_number
from attrimorph.data.images import Crop, opened_image
from attrimorph.data.readers.columns import real_attribute
from attrimorph.data.readers.raw import (
    FacePair,
    RawData,
    assign_split,
    exclusive_hair,
    list_images,
    need_images,
    number_identities,
    preview,
    read_csv,
    read_lines,
    read_rows,
)
from attrimorph.errors import AttrimorphError

CELEBA_CROP = Crop(15, 35, 163, 183, of=(178, 218))  # the centred square of 148 pixels
CELEBA_FOLDERS = ("img_align_celeba", "img_align_celeba_png", "img_celeba")
CELEBA_PLACES = ("", "Anno", "Eval", "Img")  # the official archive has them; most copies put everything side by side
LFW_FOLDERS = ("lfw-deepfunneled", "lfw-deepfunneled/lfw-deepfunneled", "lfw_funneled", "lfw")
LFW_TABLES = ("lfw_attributes.txt", "lfw_attr_test.csv", "lfw_attributes.csv", "lfw_attr.csv")
LFW_FILE = re.compile(r"([^/]+)/\1_\d{4}\.\w+")
FIRST_LAST = re.compile(r"[^\W\d_a-z][^_]*(_[^_]+)+")
LFW_CROP = Crop(62, 62, 188, 188, of=(250, 250))  # the face, without the black corners that the warping left
CUT_OUT = "of every picture the middle is cut out, as is usual for LFW; --format classes takes pictures whole"
# Of UTKFace.
UTKFACE_RACES = ("White", "Black", "Asian", "Indian", "Others")
# Some published names lack a number, and nothing tells which; some have a blank or no point before an ending.
UTKFACE_NAME = re.compile(r"(\d{1,3})_(\d+)_(\d+)_(\d{8,})\s*(?:\.?jpg)?(?:\.chip)?")


def sign_of_celeba(folder: Path) -> str:
    """Say why a folder is CelebA; "" where it is not."""
    path = _label_file(folder, "list_attr_celeba")
    return f"{path.name} lies there" if path else ""


def read_celeba(folder: Path) -> RawData:
    """Read `img_align_celeba/`, `list_attr_celeba`, and when there `identity_CelebA`, `list_eval_partition`.

    The hair colours become an exclusive group. Without a partition the images are divided by identity.
    """
    path = _label_file(folder, "list_attr_celeba")
    if path is None:
        raise AttrimorphError(f"{folder} must hold list_attr_celeba.txt or .csv; it has neither; get the annotations")
    names, files, values = _read_attributes(path)
    places = (folder / place / name for place in CELEBA_PLACES for name in CELEBA_FOLDERS)
    base = next((place for place in places if place.is_dir()), None)
    if base is None:
        raise AttrimorphError(
            f"{folder} must hold the images in img_align_celeba; there is no such folder; unpack them"
        )
    # Copies differ in file type (the PNG edition) and in one more folder level (the csv edition).
    by_stem = {_stem(name.rpartition("/")[2]): image for name, image in list_images(base).items()}
    stems = [_stem(file) for file in files]
    rows = [row for row, stem in enumerate(stems) if stem in by_stem]
    need_images([by_stem[stems[row]] for row in rows], folder, path)
    identity = _numbered_stems(folder, "identity_CelebA")
    people = [identity.get(stems[row], -1) for row in rows]
    partition = _numbered_stems(folder, "list_eval_partition")
    notes = []
    if partition:
        if strange := {number for number in partition.values()} - {0, 1, 2}:
            raise AttrimorphError(
                f"list_eval_partition of {folder} must hold 0, 1 or 2; got {min(strange)}; get the file again"
            )
        if unknown := [files[row] for row in rows if stems[row] not in partition]:
            notes.append(f"{len(unknown)} images are not in the partition and count as train: {preview(unknown)}")
        split = [("train", "valid", "test")[partition.get(stems[row], 0)] for row in rows]
    else:
        split = assign_split(len(rows), identity=people)
        notes.append("there is no list_eval_partition; the images were divided 8 : 1 : 1 by identity")
    known = set(stems)
    attributes = [Attribute(name) for name in names]
    return RawData(
        name="celeba",
        folder=folder,
        files=[by_stem[stems[row]] for row in rows],
        table={name: values[rows, column].tolist() for column, name in enumerate(names)},
        schema=Schema(tuple(attributes), exclusive_hair(attributes)),
        split=split,
        identity=people,
        crop=CELEBA_CROP,
        rows_without_image=[file for file, stem in zip(files, stems, strict=True) if stem not in by_stem],
        images_without_row=[image.name for stem, image in by_stem.items() if stem not in known],
        notes=notes,
    )


def _label_file(folder: Path, stem: str) -> Path | None:
    candidates = (folder / place / (stem + suffix) for place in CELEBA_PLACES for suffix in (".txt", ".csv"))
    return next((path for path in candidates if path.is_file()), None)


def _read_attributes(path: Path) -> tuple[list[str], list[str], NDArray[np.int8]]:
    """Return attribute names, file names, and the values {-1, 1} (or {0, 1}) as int8 [N, A]."""
    lines: Iterable[list[str]]
    if path.suffix == ".csv":
        header, lines = read_csv(path)
        names, first = header[1:], 2
    else:
        text = read_lines(path)
        if len(text) < 3:
            raise AttrimorphError(f"{path} must have a count, names and rows; it has {len(text)} lines; get it again")
        names, first = text[1].split(), 3
        lines = (line.split() for line in text[2:] if line.strip())
    codes = {"-1": 255, "1": 1, "0": 0}
    files, values = [], bytearray()
    for number, line in enumerate(lines, first):
        if len(line) != len(names) + 1:
            raise AttrimorphError(
                f"every row of {path} must have {len(names)} values; row {number} has {len(line) - 1}; get it again"
            )
        files.append(line[0])
        try:
            values.extend(map(codes.__getitem__, line[1:]))
        except KeyError as error:
            raise AttrimorphError(
                f"every value in {path} must be -1, 0 or 1; row {number} has {error}; get it again"
            ) from None
    return names, files, np.frombuffer(bytes(values), dtype=np.int8).reshape(len(files), len(names))


def _numbered_stems(folder: Path, stem: str) -> dict[str, int]:
    """Read `name number` lines: file stem -> number; {} when there is no such file."""
    path = _label_file(folder, stem)
    if path is None:
        return {}
    return {_stem(name): whole_number(number, "a label", path) for name, number in read_rows(path, 2)}


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def find_lfw(folder: Path) -> Path | None:
    """Return the folder of people inside an LFW folder, or None."""
    for candidate in (*(folder / name for name in LFW_FOLDERS), folder):
        if candidate.is_dir() and any(candidate.glob("*/*_0001.*")):
            return candidate
    return None


def sign_of_lfw(folder: Path) -> str:
    """Say why a folder is LFW; "" where it is not.

    Every file must be NAME/NAME_0001.jpg, of two people or more; beyond the published folders most names must be
    First_Last and the pictures of 250x250 pixels too, as classes are named Maine_Coon/Maine_Coon_0001.jpg just so.
    """
    base = find_lfw(folder)
    names = list(list_images(base)) if base else []
    people = {name.partition("/")[0] for name in names}
    if len(people) < 2 or not all(LFW_FILE.fullmatch(name) for name in names):
        return ""
    if base == folder:
        if 2 * sum(bool(FIRST_LAST.fullmatch(name)) for name in people) <= len(people):
            return ""
        with suppress(AttrimorphError), opened_image(folder / names[0]) as image:
            if image.size != LFW_CROP.of:
                return ""
    return f"each of the {len(names)} files is NAME/NAME_0001.jpg, of {len(people)} people"


def read_lfw(folder: Path, min_images: int = 20) -> RawData:
    """Read the attribute table where there is one, and people as classes otherwise."""
    has_table = any((folder / name).is_file() for name in LFW_TABLES)
    return read_attributes(folder) if has_table else read_people(folder, min_images)


def read_people(folder: Path, min_images: int = 20) -> RawData:
    """Read people with at least `min_images` images as the values of one categorical attribute, "person".

    Every person's images are divided 8 : 1 : 1.
    """
    images, stray = _lfw_images(folder)
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
        crop=LFW_CROP,
        images_without_row=stray,
        notes=[
            f"{len(people)} of {len(counts)} people have at least {min_images} images; "
            f"{len(images) - len(kept)} images of the others were left out",
            CUT_OUT,
        ],
    )


def read_attributes(folder: Path) -> RawData:
    """Read the table of real-valued attribute scores; the images are divided 8 : 1 : 1 by person."""
    path = next((folder / name for name in LFW_TABLES if (folder / name).is_file()), None)
    if path is None:
        raise AttrimorphError(
            f"{folder} must hold a table like {LFW_TABLES[0]} or {LFW_TABLES[1]}; it has none; get it"
        )
    header, rows = read_csv(path, "person")
    if [name.lower() for name in header[:2]] != ["person", "imagenum"]:
        raise AttrimorphError(
            f"{path} must begin with the columns person, imagenum; it begins with {', '.join(header[:2])}; mend it"
        )
    images, stray = _lfw_images(folder)
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
        crop=LFW_CROP,
        rows_without_image=orphans,
        images_without_row=[*(path.name for key, path in images.items() if key not in named), *stray],
        notes=[CUT_OUT],
    )


def read_pairs(folder: Path) -> list[FacePair]:
    """Read `pairs.txt`: lines "name i j" (one person) and "name i name j" (two people); missing images are an error."""
    path = folder / "pairs.txt"
    images, _ = _lfw_images(folder)
    pairs = []
    # The first line holds counts: "folds pairs", or "pairs" alone.
    for number, line in enumerate(read_lines(path)[1:], 2):
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


def _lfw_images(folder: Path) -> tuple[dict[tuple[str, int], Path], list[str]]:
    """Return (person, number) -> path of NAME/NAME_0001.jpg, and the names of all other images."""
    base = find_lfw(folder)
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


def sign_of_utkface(folder: Path) -> str:
    """Say why a folder is UTKFace: most images have names of this kind; "" where it is not."""
    names = [path.stem for path in list_images(folder).values()]
    fitting = sum(bool(UTKFACE_NAME.fullmatch(name)) for name in names)
    return f"{fitting} of {len(names)} names are age_gender_race_date" if 2 * fitting > len(names) else ""


def read_utkface(folder: Path) -> RawData:
    """Read attributes age (real), Male (gender 0) and race (categorical); the images are divided 8 : 1 : 1."""
    files, strange = [], []
    ages: list[int] = []
    males: list[int] = []
    races: list[str] = []
    for name, path in list_images(folder).items():
        found = UTKFACE_NAME.fullmatch(path.stem)
        age, gender, race = map(int, found.groups()[:3]) if found else (999, 0, 0)
        if age > 120 or gender > 1 or race >= len(UTKFACE_RACES):
            strange.append(name)
            continue
        files.append(path)
        ages.append(age)
        males.append(1 - gender)
        races.append(UTKFACE_RACES[race])
    need_images(files, folder)
    split = assign_split(len(files))
    return RawData(
        name="utkface",
        folder=folder,
        files=files,
        table={"age": ages, "Male": males, "race": races},
        schema=Schema(
            (
                real_attribute("age", ages, [name == "train" for name in split]),
                Attribute("Male"),
                Attribute("race", "categorical", UTKFACE_RACES),
            )
        ),
        split=split,
        identity=[-1] * len(files),
        images_without_row=strange,
    )
