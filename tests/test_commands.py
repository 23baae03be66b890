"""Every command of the README and of the docs, in a terminal, as it stands there: only lengths are cut.

The names that the pages use (photos/, runs/mine, photo.jpg) stand for small real things, see `tests/desk.py`. Recipes
and experiments have tiny forms. Commands that train or measure for more than some seconds even so are slow tests.
"""

import csv
import functools
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import CycloptsError

from attrimorph.cli import app
from attrimorph.data.drawn import synthetic
from attrimorph.methods.recipes import RECIPES
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions import frame
from tests import desk, terminal
from tests.reproductions.tiny import SHORT
from tests.small_models import NARROW

PAGES = [desk.ROOT / "README.md", desk.ROOT / "CONTRIBUTING.md", *sorted((desk.ROOT / "docs").rglob("*.md"))]
TERMINALS = ({"columns": 80}, {"columns": 200}, {"columns": 80, "term": "dumb"}, {"columns": 80, "term": "xterm"})
STANDS_FOR = {
    "MODEL": "drawn-faces-64",
    "RUN": "runs/mine",
    "FILE": "made.safetensors",
    "PICTURE": "photo.png",
    "NAME": "cvae-gan",
    "RECIPE": "cvae-gan",
    "JUDGE": "judge.safetensors",
    "PUBLISHED": "homointerp-drawn-64",
}
PAGE_STANDS_FOR = {
    "tl-gan.md": {"MODEL": "pggan-drawn-64"},
    "image-to-image.md": {"runs/mended": "homointerp-drawn-64"},
}
LENGTHS = {
    "--images": "64",
    "--training.images": "32",
    "--count": "24",
    "--seeds": "1",
    "--budget": "3s",
    "--images-seen": "64",
    "--steps": "3",
    "--invert-steps": "3",
    "--each": "2",
    "--identities": "2",
    "--least": "4",
    "--threshold": "0.5",  # a judge that has learned nothing is sure of nothing
}
"""Options whose value is cut where it stands in a command."""
ADDED = {
    "judge": ["--images", "64"],
    "evaluate": ["--count", "24"],
    "calibrate": ["--images", "2"],
    "invert": ["--steps", "3"],
    "axes fit": ["--samples", "512"],
    "data synthetic": ["--count", "24"],
    "experiment": ["--seeds", "1", "--images", "32"],
}
"""Options that are added to a verb where a command has them not."""
SLOW = {"experiment", "compare", "evaluate", "audit", "calibrate", "judge", "axes"}
"""Verbs whose commands are slow tests."""
LONG_PAGES = {"attribute2image", "tl-gan"}
"""Pages whose other commands are many and look for codes."""
ALONE = {"attributes", "doctor", "evaluate", "experiment", "recipes", "sample", "studio"}
"""Verbs that are commands without another word."""
REFUSED = {
    "more-of-each": "at least half of the generated images",  # by a model that has learned nothing: rightly
    "attrimorph batch": "needs the extra `ray` (No module named 'ray')",
    "data mask": "needs the extra `masks` (No module named 'cv2')",
}
"""Commands that may end with exit code 2 and a sentence, where what they need is not here."""


def page_name(page: Path) -> str:
    return str(page.relative_to(desk.ROOT).with_suffix("")).removeprefix("docs/")


def spoken(page: Path) -> Iterator[str]:
    """Yield every command of a page: in bash blocks, in indented blocks, and in backticks within a sentence."""
    text = page.read_text()
    lines = [line for block in re.findall(r"```(?:bash|sh)\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
    lines += [line[4:] for line in text.splitlines() if line.startswith("    ")]
    lines += [" ".join(words.split()) for words in re.findall(r"(?<!`)`(attrimorph [^`]+)`", text)]
    yield from dict.fromkeys(line.partition("  #")[0].rstrip() for line in lines if line.startswith("attrimorph "))


def whole(line: str) -> bool:
    """Return whether a line is a command, and not the mention of a verb or of its form."""
    words = shlex.split(line, comments=True)[1:]
    try:
        app.parse_args([word for word in words if word != ">"], exit_on_error=False, print_error=False)
    except CycloptsError:
        return False  # those in blocks are held to parse by tests/test_docs.py
    if len(words) == 1 and words[0] not in ALONE:
        return False
    return bool(words) and not any(word in ("VERB", "...") or "|" in word for word in words)


def slow(words: list[str]) -> bool:
    return (words[0] in SLOW and words != ["experiment"]) or "--training.compile" in words


def shortened(words: list[str], page: Path) -> list[str]:
    """Return the command with stand-ins for names in capitals, and with its lengths cut."""
    names = STANDS_FOR | PAGE_STANDS_FOR.get(page.name, {})
    words = [re.sub(r"\b[A-Z]{3,}\b", lambda found: names.get(found[0], found[0]), word) for word in words]
    for option, value in LENGTHS.items():
        if option in words:
            words[words.index(option) + 1] = value
    for verb, added in ADDED.items():
        if words[: len(verb.split())] == verb.split() and (verb != "experiment" or len(words) > 1):
            for option, value in zip(added[::2], added[1::2], strict=True):
                if option not in words:
                    words += [option, value]
    return words


def tiny(name: str, recipe: AnyRecipe) -> AnyRecipe:
    """Return the recipe with narrow networks, and a few images to see."""
    fields = recipe.model_dump()
    changes: dict[str, Any] = {
        f"networks.{key}": 4 for key in fields["networks"] if key.endswith("width") or key.endswith("latent")
    }
    if name.startswith("pggan"):
        changes |= NARROW["pggan-drawn-64"] | {"data.image_size": 64, "growth.start": 64, "growth.fixed_images": [64]}
    if recipe.method == "homointerp":
        changes |= {"networks.channels": 8, "networks.code": 6, "losses.warmup_images": 0}
    if "blocks" in fields["networks"]:
        changes["networks.blocks"] = 1
    if fields["data"]["image_size"] > 256:
        changes["data.image_size"] = 64
    changes |= {"training.images": 32, "training.batch_size": 8, "training.log_images": 16}
    changes |= {"training.precision": "float32", "training.memory_format": "contiguous"}
    return recipe.with_changes(changes)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    desk.lay(folder)
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    shutil.copytree(template, folder, symlinks=True)
    return folder


def cut_short() -> None:
    """Make recipes, experiments and drawn data small; called in the process of a command."""
    makers = {
        name: functools.partial(lambda name, make: tiny(name, make()), name, make) for name, make in RECIPES.items()
    }
    type(RECIPES).__getitem__ = lambda self, name: makers[name]
    frame.FULL = frame.QUICK = SHORT
    synthetic.drawn_faces = functools.partial(synthetic.drawn_faces, count=48)


def commands(page: Path, *, long: bool) -> list[tuple[str, list[str]]]:
    every = [(line, shlex.split(line, comments=True)[1:]) for line in spoken(page) if whole(line)]
    return [(line, words) for line, words in every if slow(words) == long]


def run_all(page: Path, place: Path, *, long: bool) -> list[str]:
    """Run the long or the other commands of a page in turn; return what went wrong."""
    wrong = []
    if page.name in desk.IN_CLASSES:
        shutil.rmtree(place / "photos")
        (place / "own").rename(place / "photos")
    for number, (line, words) in enumerate(commands(page, long=long)):
        form = TERMINALS[number % len(TERMINALS)]
        words, _, target = (words[: words.index(">")], ">", words[-1]) if ">" in words else (words, "", "")
        make_room(words, place)
        during = stop_when_serving if words[0] == "studio" else None
        screen = terminal.run(
            shortened(words, page), folder=place, during=during, before=f"{__name__}:cut_short", **form
        )
        if target:
            (place / target).write_text(screen.text.replace("\r", ""))
        wide = [frame for frame in screen.frames if "━" in frame and len(frame) > form["columns"]]
        if any(mark in line and said in screen.text for mark, said in REFUSED.items()):
            continue
        if screen.code not in ((0, 130) if during else (0,)) or wide:
            wrong.append(f"{line}\n    exit {screen.code}: {' | '.join(screen.lines[-4:])} {wide[:1]}")
    return wrong


def make_room(words: list[str], place: Path) -> None:
    """Take away what stands where the command writes: data, or a run of the same recipe with other fields.

    Lay there what the page says that the reader makes: runs with logs, a judge, another evaluation, answers.
    """
    if words[:2] in (["data", "synthetic"], ["data", "prepare"]):
        made = words[2] if words[1] == "synthetic" else words[words.index("--out") + 1]
        shutil.rmtree(place / made, ignore_errors=True)
    elif words[0] == "train" and "--out" not in words:
        shutil.rmtree(place / "runs" / Path(words[1]).stem, ignore_errors=True)
    elif words[0] == "compare":
        shutil.rmtree(place / "runs" / "comparison", ignore_errors=True)
    elif words[:2] == ["experiment", "growing"] and "--model" in words:
        for run in ",".join(words[words.index(option) + 1] for option in ("--model", "--other-model")).split(","):
            shutil.rmtree(place / run, ignore_errors=True)
            train = ["train", Path(run).name, "--out", run, "--training.images", "32"]
            assert terminal.run(train, folder=place, before=f"{__name__}:cut_short").code == 0
    elif "JUDGE" in words:
        data = words[words.index("--data") + 1] if "--data" in words else words[2]
        judge = ["judge", data, "--out", STANDS_FOR["JUDGE"], "--images", "64"]
        assert terminal.run(judge, folder=place, before=f"{__name__}:cut_short").code == 0
    elif "--against" in words and not (other := place / words[words.index("--against") + 1]).exists():
        other.parent.mkdir(parents=True)
        shutil.copy(next(place.glob("runs/evaluations/*/evaluation.json")), other)
    elif "--predictions" in words:
        with (place / words[words.index("--out") + 1] / "pairs.csv").open(newline="") as pairs:
            files = [row["file"] for row in csv.DictReader(pairs)]
        answers = "".join(f"{file},{number % 3 / 2}\n" for number, file in enumerate(files))
        (place / words[words.index("--predictions") + 1]).write_text(f"file,hired\n{answers}")


def stop_when_serving(child: int, text: str) -> bool:
    """Press Ctrl+C once the studio tells its address."""
    if "http" not in text:
        return False
    os.kill(child, signal.SIGINT)
    return True


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page_name(page) in LONG_PAGES else [], id=page_name(page))
        for page in PAGES
        if commands(page, long=False)
    ],
)
def test_every_command_of_a_page_works_in_a_terminal(page: Path, place: Path) -> None:
    assert not (wrong := run_all(page, place, long=False)), "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, long=True)], ids=page_name)
def test_every_long_command_of_a_page_works_in_a_terminal(page: Path, place: Path) -> None:
    assert not (wrong := run_all(page, place, long=True)), "\n".join(wrong)
