"""Folders whose names are the labels: ImageFolder (one folder for each class) and two unpaired folders."""

from pathlib import Path

from attrimorph.data.readers.raw import (
    MOST_VALUES,
    SPLIT_WORDS,
    RawData,
    assign_split,
    carve_valid,
    list_images,
    need_images,
    number_identities,
)
from attrimorph.data.schema import Attribute, Schema
from attrimorph.errors import AttrimorphError

DOMAINS = ("trainA", "trainB", "testA", "testB")


def is_unpaired(folder: Path) -> bool:
    """Whether the folder holds trainA and trainB."""
    return (folder / "trainA").is_dir() and (folder / "trainB").is_dir()


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


def is_classes(folder: Path) -> bool:
    """Whether at least two sub-folders (below train/, valid/, test/ where these are) hold images."""
    return len({label for label, _ in map(_labels, list_images(folder)) if label is not None}) >= 2


def read_classes(folder: Path) -> RawData:
    """Read `CLASS/image` or `train|valid|test/CLASS/image` as one categorical attribute, "class".

    Without split folders every class is divided 8 : 1 : 1; without valid a tenth of train becomes valid.
    """
    images = list_images(folder)
    need_images(list(images.values()), folder)
    labelled = {name: _labels(name) for name in images}
    loose = [name for name, (label, _) in labelled.items() if label is None]
    kept = {name: images[name] for name, (label, _) in labelled.items() if label is not None}
    labels = [str(labelled[name][0]) for name in kept]
    values = tuple(sorted(set(labels)))
    if not 2 <= len(values) <= MOST_VALUES:
        raise AttrimorphError(
            f"{folder} must hold between 2 and {MOST_VALUES} folders of images, one for each class; "
            f"it has {len(values)}; move the images into class folders or add an attributes.csv"
        )
    given = [labelled[name][1] for name in kept]
    if {*given} & {"valid", "test"}:
        split = carve_valid([name or "train" for name in given], labels)
    else:
        split = assign_split(len(kept), within=labels)
    return RawData(
        name="classes",
        folder=folder,
        files=list(kept.values()),
        table={"class": labels},
        schema=Schema((Attribute("class", "categorical", values),)),
        split=split,
        identity=number_identities(labels),
        images_without_row=loose,
        notes=[f"{len(loose)} images lie in no class folder and were left out"] if loose else [],
    )


def _labels(name: str) -> tuple[str | None, str | None]:
    """Return (class, split) of a relative name such as train/cat/1.jpg; None where it has none."""
    parts = name.split("/")[:-1]
    split = SPLIT_WORDS.get(parts[0].lower()) if parts else None
    if split:
        parts = parts[1:]
    return (parts[0] if parts else None), split
