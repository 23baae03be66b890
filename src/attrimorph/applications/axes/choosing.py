"""From the words of a command to a generator, who judges its pictures, its axis pack, and example pictures."""

from collections.abc import Sequence
from pathlib import Path

from attrimorph.applications import Range
from attrimorph.applications.axes.outside import SUFFIXES, outside_generator
from attrimorph.applications.axes.pack import AxisPack, load_pack
from attrimorph.applications.axes.trajectory import JudgeGuide, logits_of
from attrimorph.data.readers.raw import IMAGE_SUFFIXES
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.evaluator import SHIPPED
from attrimorph.evaluators.judge import Judge, OwnClassifier, judge_for, load_judge
from attrimorph.loading import load
from attrimorph.models.model import Model

WITH, WITHOUT = ("with", "positive", "1"), ("without", "negative", "0")
"""What the two folders of examples may be called."""


def generator_named(source: str, device: str = "cpu", *, values: Range = "-1..1") -> Model:
    """Return a model of the project, or a generator from outside where the name is that of such a file."""
    if Path(source).suffix.lower() in SUFFIXES:
        return outside_generator(Path(source), values=values)
    return load(source, device)


def judge_named(source: str | None, model: Model) -> Judge | OwnClassifier:
    """Return who judges a generator's pictures.

    Args:
        source: a judge (shipped, or a file), or a model with a classifier; None: the shipped judge that knows the
            generator's attributes at its size, or else its own classifier.
        model: the generator.

    Raises:
        AttrimorphError: there is none.
    """
    if source is None:
        if (judge := judge_for(model.schema, model.image_size)) is not None:
            return judge
        if "classifier" in model.networks:
            return OwnClassifier(model)
        raise AttrimorphError(
            f"somebody must judge the pictures of {model.recipe.name!r}; it has no classifier; add --judge with a "
            "judge (`attrimorph judge` trains one) or a model that has a classifier"
        )
    try:
        return load_judge(source)
    except AttrimorphError as error:
        refused = error
    try:
        other = load(source)
    except AttrimorphError:
        raise refused from None
    if "classifier" not in other.networks:
        raise AttrimorphError(f"{source} must be a judge or a model with a classifier; it has none; name another")
    return OwnClassifier(other)


def guide_of(judge: Judge | OwnClassifier, model: Model) -> JudgeGuide:
    """Return a judge as one who is followed through a generator."""
    reads = judge.logits if isinstance(judge, OwnClassifier) else logits_of(judge)
    return JudgeGuide(model, reads, judge.schema)


def pack_path(source: str) -> Path:
    """Return where a generator's axes are kept unless somebody says otherwise: beside it, or in runs/axes.

    A run folder or a folder in the hub's layout holds axes.safetensors; MODEL.safetensors has MODEL.axes.safetensors
    beside it; those of a shipped model are in runs/axes/NAME.safetensors.
    """
    path = Path(source)
    if path.is_dir():
        return path / "axes.safetensors"
    if path.is_file():
        return path.with_name(f"{path.stem}.axes.safetensors")
    return Path("runs/axes") / f"{path.name}.safetensors"


def find_pack(source: str) -> Path:
    """Return the axes of a generator: those that somebody fitted, or those that came with it.

    Raises:
        AttrimorphError: there are none.
    """
    path, shipped = pack_path(source), SHIPPED / f"axes-{source}.safetensors"
    for candidate in (path, shipped):
        if candidate.is_file():
            return candidate
    raise AttrimorphError(f"there are no axes of {source!r} yet; make some with `attrimorph axes fit {source}`")


def pack_of(source: str) -> AxisPack | None:
    """Return the axes beside a generator, or None where there are none."""
    try:
        path = find_pack(source)
    except AttrimorphError:
        return None
    return load_pack(path)


def examples_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures in a folder's two folders, with the attribute and without it.

    Raises:
        AttrimorphError: it has no such folders.
    """
    found = []
    for names in (WITH, WITHOUT):
        here = next((folder / name for name in names if (folder / name).is_dir()), None)
        if here is None:
            raise AttrimorphError(
                f"{folder} must hold the folders {WITH[0]} and {WITHOUT[0]}; {names[0]} is missing; "
                "put the pictures with the attribute into one and those without it into the other"
            )
        found.append(pictures_of([here]))
    return found[0], found[1]


def pictures_of(paths: Sequence[Path]) -> list[Path]:
    """Return pictures, and for folders the pictures in them, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES)
        else:
            found.append(path)
    return found
