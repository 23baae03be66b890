"""A stranger's folder of images: to the first results in three commands, and without labels through every verb."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from attrimorph.cli import run as command
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.recipe import METHODS
from attrimorph.methods.recipes import RECIPES
from attrimorph.training import FastPath
from attrimorph.training.trainer import build
from tests import terminal
from tests.cli.conftest import TINY, Said

ROOT = Path(__file__).parents[2]
PGGAN = [
    *(word for word in TINY if word.startswith(("--training", "--data"))),
    *("--networks.latent=8", "--networks.width=4", "--networks.most=8", "--growth.start=8"),
    *("--growth.fixed-images=[8]", "--growth.fading-images=[8]", "--growth.batch-sizes=[16]"),
]


def photograph(path: Path, random: np.random.Generator, *, smiles: bool) -> None:
    """A face of two dots and a line, on a plain ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (80, 60), tuple(random.integers(60, 200, 3).tolist()))
    x, y = random.integers(20, 60), random.integers(16, 44)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill=(240, 220, 60))
    draw.arc((x - 8, y - 8, x + 8, y + 8), 20, 160, fill="black", width=2) if smiles else draw.line(
        (x - 6, y + 5, x + 6, y + 5), fill="black", width=2
    )
    picture.save(path, "JPEG")


def test_three_commands_to_the_first_results(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(150):
        for name in ("smiling", "neutral"):
            photograph(tmp_path / "photos" / name / f"IMG_{number:04d}.JPG", random, smiles=name == "smiling")
    told = (ROOT / "README.md").read_text().partition("Your own images:")[2]
    lines = re.findall(r"^    attrimorph (.*)$", told, flags=re.M)[:3]
    words = dict(zip(("check", "train", "edit"), map(shlex.split, lines), strict=True))
    words["train"] += TINY
    screens = {name: terminal.run(line, folder=tmp_path) for name, line in words.items()}
    assert [screen.code for screen in screens.values()] == [0, 0, 0], [screen.text for screen in screens.values()]
    assert screens["check"].lines[1:4] == [
        "photos: 300 images (240 train, 30 valid, 30 test), checked in "
        + screens["check"].lines[1].rpartition("checked in ")[2],
        "layout: classes, as 2 folders hold images, one for each class",
        "class: categorical, neutral 150, smiling 150",
    ]
    assert "photos: 300 images, read as classes" in screens["train"].text
    (sheet,) = (tmp_path / "runs" / "results").glob("edit-IMG_0001.png")
    with Image.open(sheet) as picture:
        assert picture.width > 100


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("flat") / "photos", np.random.default_rng(1)
    for number in range(240):
        photograph(folder / f"IMG_{number:04d}.JPG", random, smiles=bool(number % 2))
    return folder


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory, flat: Path) -> dict[str, Path]:
    """One tiny run of each kind that needs no labels."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe, words in (("gan", TINY), ("vae", TINY), ("pggan-drawn-64", PGGAN)):
        assert command(["train", recipe, *words, "--data", str(flat), "--out", str(folder / recipe)]) == 0
    return {name: folder / name for name in ("gan", "vae", "pggan-drawn-64")}


@pytest.mark.parametrize("name", ["gan", "vae", "pggan-drawn-64"])
def test_models_of_images_without_labels(
    name: str, unlabelled: dict[str, Path], flat: Path, tmp_path: Path, say: Callable[..., Said]
) -> None:
    run = unlabelled[name]
    assert load(run).schema.names == ()
    assert any((run / "samples").glob("*.png"))
    assert say("sample", "--model", run, "--count", 4, "--out", tmp_path / "samples.png").code == 0
    assert say("evaluate", run, "--data", flat, "--count", 12, "--out", tmp_path / "evaluation").code == 0
    figures = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["figures"]
    assert figures
    said = say("neighbours", run, "--data", flat, "--count", 20, "--out", tmp_path / "neighbours.png")
    assert (said.code, "verdict" in said.out) == (0, True)
    assert "do not depend on attributes" in say("sample", "--model", run, "--set", "Smiling=1").err


def test_verbs_that_encode_images_without_labels(
    unlabelled: dict[str, Path], flat: Path, tmp_path: Path, say: Callable[..., Said]
) -> None:
    run, picture = unlabelled["vae"], flat / "IMG_0000.JPG"
    for words in (
        ("reconstruct", picture),
        ("morph", picture, flat / "IMG_0001.JPG"),
        ("retrieve", picture, "--among", flat),
        ("retrieve", picture, "--among", flat, "--format", "images"),
    ):
        assert say(*words, "--model", run, "--out", tmp_path / "picture.png").code == 0, words
    assert "every pixel is the same" in say("replay", tmp_path / "picture.json").out
    assert say("latent-map", run, "--data", flat, "--out", tmp_path / "map.png").code == 0
    assert "every pixel is the same" in say("replay", tmp_path / "map.json").out
    assert "at least one attribute" in say("transfer", picture, "--from", picture, "--model", run).err


def test_prepared_data_without_labels(flat: Path, tmp_path: Path, say: Callable[..., Said]) -> None:
    (tmp_path / "names.csv").write_text("file\n" + "".join(f"IMG_{number:04d}\n" for number in range(200)))
    said = say(
        "data", "prepare", flat, "--table", tmp_path / "names.csv", "--out", tmp_path / "out", "--image-size", 16
    )
    assert "200 images (160 train, 20 valid, 20 test)" in said.out
    assert "40 images have no label and were left out" in said.out
    said = say("data", "check", tmp_path / "out")
    assert (said.code, "no labels: for methods that need none" in said.out) == (0, True)
    assert "prepared already; --format and --table" in say("data", "check", tmp_path / "out", "--format", "classes").err
    assert say("train", "vae", *TINY, "--data", tmp_path / "out", "--out", tmp_path / "run").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("train", "cvae-gan"), ("evaluate",), ("calibrate", "nowhere"), ("audit", "--out", "a", "--attribute", "Male"),
        ("compare", "gan", "--images", 9), ("experiment", "copies"),
    ],
)  # fmt: skip
def test_how_data_are_read_needs_data(words: tuple[str, ...], say: Callable[..., Said]) -> None:
    assert "--format tells how --data is read; got it without" in say(*words, "--format", "classes").err
    assert "--table tells how --data is read; got it without" in say(*words, "--table", "labels.csv").err


@pytest.mark.parametrize("recipe", ["cvae-gan", "ac-gan", "cyclegan", "homointerp", "attribute2image-cvae", "pix2pix"])
def test_methods_that_learn_from_labels_say_so(
    recipe: str, flat: Path, tmp_path: Path, say: Callable[..., Said]
) -> None:
    said = say("train", recipe, "--data", flat, "--out", tmp_path / "run")
    assert (said.code, said.out) == (2, "")
    assert f"{recipe} learns from labels, and these images have none; put them into one folder for each" in said.err
    # It is told before anything is decoded.
    assert not (flat / ".attrimorph" / "64").exists()
    assert "a judge learns to tell attributes" in say("judge", flat, "--out", tmp_path / "j", "--size", 16).err


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.conditional])
def test_every_unconditional_method_steps_without_labels(name: str) -> None:
    recipe = RECIPES[name]()
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"image_size": 16})})
    algorithm = build(recipe, Schema(()), FastPath("float32", "contiguous", {}))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    values = algorithm.step(Batch(images, torch.zeros(4, 0)), torch.Generator().manual_seed(0))
    assert all(torch.isfinite(value).all() for value in values.values())
