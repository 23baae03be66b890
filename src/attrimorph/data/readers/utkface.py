"""UTKFace: age, gender and race in the file names, [age]_[gender]_[race]_[date&time].jpg."""

import re
from pathlib import Path

from attrimorph.data.readers.raw import RawData, assign_split, list_images, need_images, real_attribute
from attrimorph.data.schema import Attribute, Schema

RACES = ("White", "Black", "Asian", "Indian", "Others")
# A few official names lack the race, or both gender and race: these labels then are missing.
NAME = re.compile(r"(\d{1,3})(?:_(\d+))?(?:_(\d+))?_(\d{8,})(?:\.jpg)?(?:\.chip)?")


def sign(folder: Path) -> str:
    """Say why a folder is UTKFace: most images have names of this kind; "" where it is not."""
    names = [path.stem for path in list_images(folder).values()]
    fitting = sum(_full(name) for name in names)
    return f"{fitting} of {len(names)} names are age_gender_race_date" if 2 * fitting > len(names) else ""


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
        age, gender, race = found.groups()[:3] if found else ("999", None, None)
        if int(age) > 120 or gender not in (None, "0", "1") or race not in (None, "0", "1", "2", "3", "4"):
            strange.append(name)
            continue
        files.append(path)
        ages.append(int(age))
        males.append(None if gender is None else 1 - int(gender))
        races.append(None if race is None else RACES[int(race)])
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
                Attribute("race", "categorical", RACES),
            )
        ),
        split=split,
        identity=[-1] * len(files),
        images_without_row=strange,
    )
