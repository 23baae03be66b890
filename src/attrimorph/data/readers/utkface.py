"""UTKFace: age, gender and race in the file names, [age]_[gender]_[race]_[date&time].jpg."""

import re
from pathlib import Path

from attrimorph.data.readers.raw import RawData, assign_split, list_images, need_images, preview, real_attribute
from attrimorph.data.schema import Attribute, Schema
from attrimorph.errors import AttrimorphError

RACES = ("White", "Black", "Asian", "Indian", "Others")
# A few official names lack the race, or both gender and race: these labels then are missing.
NAME = re.compile(r"(\d{1,3})(?:_(\d+))?(?:_(\d+))?_(\d{8,})(?:\.jpg)?(?:\.chip)?")


def matches(folder: Path) -> bool:
    """Whether most of the first images below `folder` have names of this kind."""
    names = [path.stem for path in list(list_images(folder).values())[:200]]
    return bool(names) and 2 * sum(_full(name) for name in names) > len(names)


def _full(stem: str) -> bool:
    found = NAME.fullmatch(stem)
    return bool(found and found[2] and found[3])


def read(folder: Path) -> RawData:
    """Read attributes age (real), Male (gender 0) and race (categorical); the images are divided 8 : 1 : 1."""
    files, strange = [], []
    ages: list[int] = []
    males: list[int | None] = []
    races: list[str | None] = []
    for name, path in list_images(folder).items():
        found = NAME.fullmatch(path.stem)
        if found is None:
            strange.append(name)
            continue
        age, gender, race, _ = found.groups()
        if int(age) > 120 or (gender or "0") not in "01" or (race or "0") not in "01234":
            raise AttrimorphError(
                f"{path.name} must say age 0..120, gender 0..1 and race 0..4; got {age}, {gender}, {race}; "
                "rename or remove the file"
            )
        files.append(path)
        ages.append(int(age))
        males.append(None if gender is None else 1 - int(gender))
        races.append(None if race is None else RACES[int(race)])
    need_images(files, folder)
    split = assign_split(len(files))
    notes = [f"{len(strange)} images have no age_gender_race_date name: {preview(strange)}"] if strange else []
    return RawData(
        name="utkface",
        folder=folder,
        files=files,
        table={"age": ages, "Male": males, "race": races},
        schema=Schema(
            (
                real_attribute("age", ages, [name == "train" for name in split]),
                Attribute("Male"),
                Attribute("race", "categorical", RACES),
            )
        ),
        split=split,
        identity=[-1] * len(files),
        images_without_row=strange,
        notes=notes,
    )
