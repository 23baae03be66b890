"""Comparing recipes: the same data, seeds, and wall clock or images seen, and one report of them all."""

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

import attrimorph
from attrimorph.applications.sample import sample
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.experiments.outcome import Progress, Say, machine, nothing
from attrimorph.files import read_json, write_json
from attrimorph.interruption import Interrupted
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.judge import Judge
from attrimorph.metrics.unseen import drawn_images, held_out_images
from attrimorph.models import Encodes, Model, load
from attrimorph.recipes import AnyRecipe, Recipe
from attrimorph.recipes.interpolation import InterpolationRecipe
from attrimorph.training.log import read_log
from attrimorph.training.trainer import train

FORMAT = "attrimorph comparison"
METRICS = ("distribution", "reconstruction", "edits")
UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
PROBED = 20  # steps whose speed stands for a whole run's
SHOWN = 10  # images in a row of the pictures


@dataclass(frozen=True)
class Contest:
    """What is compared, and how.

    Attributes:
        recipes: by name; of one image size.
        out: the folder of everything.
        data: prepared, or None for drawn faces to measure on as well.
        training: the data that all train on.
        seeds: every recipe is trained with each of them.
        images: length of every training, or None.
        seconds: wall clock of every training, or None.
        count: images to measure on.
        judge: who judges edits and whose features sets are compared in, or None.
        device: where to compute.
        say, progress: get lines of text, and (what, done, in all).
    """

    recipes: Mapping[str, AnyRecipe]
    out: Path
    data: PreparedData | None
    training: PreparedData
    seeds: tuple[int, ...]
    images: int | None = None
    seconds: float | None = None
    count: int = 500
    judge: Judge | None = None
    device: str = "cpu"
    say: Say = nothing
    progress: Progress = nothing


@dataclass(frozen=True)
class Entry:
    """One recipe trained with one seed.

    Attributes:
        name, seed: of the training.
        model: what came of it.
        images: seen in training.
        seconds: that the training took, pauses between two calls left out.
        lines: of its log.
        figures: by key.
        protocols: key -> how it was measured.
    """

    name: str
    seed: int
    model: Model
    images: int
    seconds: float
    lines: list[dict[str, Any]]
    figures: dict[str, float]
    protocols: dict[str, str]


def parse_budget(words: str) -> float:
    """Read 90s, 10min or 2h as seconds.

    Raises:
        AttrimorphError: it is no such time.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", words)
    if found is None or found[2] not in UNITS or float(found[1]) <= 0:
        raise AttrimorphError(f"a budget must be a time such as 90s, 10min or 2h; got {words!r}")
    return float(found[1]) * UNITS[found[2]]


def entrants(recipes: Sequence[AnyRecipe], size: int | None = None) -> dict[str, AnyRecipe]:
    """Return recipes by name, all with images of `size` pixels where it is given.

    Raises:
        AttrimorphError: fewer than two different ones, or of different image sizes.
    """
    if size is not None:
        recipes = [recipe.with_changes({"data.image_size": size}) for recipe in recipes]
    by_name = {recipe.name: recipe for recipe in recipes}
    if len(by_name) < 2 or len(by_name) < len(recipes):
        raise AttrimorphError(
            f"a comparison needs at least two recipes, all of different names; got {', '.join(r.name for r in recipes)}"
        )
    first = recipes[0]
    for recipe in recipes:
        if recipe.data.image_size != first.data.image_size:
            raise AttrimorphError(
                f"all recipes must have one image size; {first.name} has {first.data.image_size}, {recipe.name} has "
                f"{recipe.data.image_size}; set it for all with --size"
            )
    return by_name


def run_contest(contest: Contest) -> list[Entry]:
    """Train and measure every recipe with every seed; what is on disk already is taken from there."""
    return [entry(contest, name, seed) for name in contest.recipes for seed in contest.seeds]


def entry(contest: Contest, name: str, seed: int) -> Entry:
    """Train one recipe with one seed, and measure the model."""
    recipe = lasting(contest.recipes[name], planned_images(contest, name), seed)
    run = contest.out / "runs" / f"{name}-seed{seed}"
    contest.say(f"training {name}, seed {seed}: {recipe.training.images:,} images")
    train(
        recipe,
        contest.training,
        run,
        device=contest.device,
        progress=lambda now: contest.progress(f"training {name}, seed {seed}", now.images_seen, now.images),
    )
    model, lines = load(run, contest.device), [line for line in read_log(run) if "images_per_second" in line]
    return Entry(name, seed, model, model.images_seen, seconds_of(lines)[-1], lines, *measured(contest, run, model))


def planned_images(contest: Contest, name: str) -> int:
    """Return how long a recipe trains: the images asked for, or as many as its measured speed fits into the seconds.

    The plan is kept, so that a run that is gone on with keeps its length.
    """
    if contest.images is not None:
        return contest.images
    assert contest.seconds is not None
    path = contest.out / "plans" / f"{name}.json"
    if path.exists():
        known = read_json(path)
        if known.get("seconds") == contest.seconds:
            return int(known["images"])
    contest.say(f"measuring the speed of {name}")
    images = images_within(contest.recipes[name], contest.training, contest.seconds, contest.out, contest.device)
    write_json(path, {"seconds": contest.seconds, "images": images})
    return images


def images_within(recipe: AnyRecipe, data: PreparedData, seconds: float, scratch: Path, device: str) -> int:
    """Return how many images a recipe trains on in so many seconds, the warm-up's own speed minded.

    Args:
        recipe: any.
        data: what it trains on.
        seconds: of training.
        scratch: a folder for short runs, which are removed.
        device: where to compute.
    """
    warm = recipe.losses.warmup_images / recipe.training.images if isinstance(recipe, Recipe) else 0.0
    per_image = 0.0
    for share, changes in ((min(warm, 1.0), {"losses.warmup_images": 10**9}), (1 - min(warm, 1.0), None)):
        if share > 0:
            wished = changes or ({"losses.warmup_images": 0} if isinstance(recipe, Recipe) else {})
            per_image += share * seconds_per_image(recipe.with_changes(wished), data, scratch, device)
    batch = recipe.training.batch_size
    return max(1, round(seconds / per_image / batch)) * batch


def seconds_per_image(recipe: AnyRecipe, data: PreparedData, scratch: Path, device: str) -> float:
    """Train a few steps in a folder that is removed; return the median time of an image."""
    batch = recipe.training.batch_size
    changes = {"images": PROBED * batch, "log_images": 2 * batch, "sample_images": 10**9, "checkpoint_images": 10**9}
    short = recipe.with_changes({f"training.{name}": value for name, value in changes.items()})
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".probe-") as folder:
        try:
            train(short, data, Path(folder) / "run", device=device)
        except Interrupted as stopped:
            raise Interrupted(stopped.number, "nothing was trained yet") from None
        speeds = [line["images_per_second"] for line in read_log(Path(folder) / "run")]
    # The first steps allocate memory and are slower.
    return float(1 / median(speeds[1:] or speeds))


def lasting(recipe: AnyRecipe, images: int, seed: int) -> AnyRecipe:
    """Return the recipe with another length and seed; what it tells in images keeps its share of the run."""
    changes: dict[str, Any] = {"training.images": images, "training.seed": seed}
    share = images / recipe.training.images
    if isinstance(recipe, Recipe | InterpolationRecipe):
        changes["losses.warmup_images"] = round(recipe.losses.warmup_images * share)
    training = recipe.training
    every = {
        "checkpoint_images": training.checkpoint_images,
        "sample_images": training.sample_images,
        "log_images": training.log_images,
    }
    for name, value in every.items():
        changes[f"training.{name}"] = max(training.batch_size, math.ceil(value * min(1.0, share)))
    return recipe.with_changes(changes)


def seconds_of(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return how long a run had trained at each line of its log: pauses between two calls do not count."""
    total, before, found = 0.0, 0, []
    for line in lines:
        total += (line["images_seen"] - before) / max(line["images_per_second"], 1e-9)
        before = line["images_seen"]
        found.append(total)
    return found or [0.0]


def measured(contest: Contest, run: Path, model: Model) -> tuple[dict[str, float], dict[str, str]]:
    """Return figures and protocols of a model, measured once."""
    path = run / "figures.json"
    key = {
        "model": model.hash,
        "count": contest.count,
        "data": None if contest.data is None else contest.data.fingerprint,
        "judge": None if contest.judge is None else contest.judge.name,
        "attrimorph": attrimorph.__version__,
    }
    if path.exists() and (known := read_json(path)).get("key") == key and "protocols" in known:
        return known["figures"], known["protocols"]
    evaluation = evaluate(
        model, contest.data, contest.judge, metrics=METRICS, count=contest.count, progress=contest.say
    )
    write_json(path, {"key": key, "figures": evaluation.figures, "protocols": evaluation.protocols})
    return evaluation.figures, evaluation.protocols


def seen(contest: Contest) -> tuple[torch.Tensor, torch.Tensor]:
    """Return held-out images to show reconstructions of, and their labels."""
    size = contest.training.image_size
    unseen = drawn_images(SHOWN, size) if contest.data is None else held_out_images(contest.data, SHOWN)
    return unseen.images, unseen.labels


def shown(contest: Contest, entries: Sequence[Entry]) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
    """Return samples, and reconstructions where there are any, of each recipe's first seed: name -> [N, 3, S, S]."""
    images, labels = seen(contest)
    found: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
    for each in (each for each in entries if each.seed == contest.seeds[0]):
        made = None
        if isinstance(each.model, Encodes):
            made = each.model.decode(each.model.encode(images, labels.nan_to_num(0.0))).cpu()
        found[each.name] = (sample(each.model, 2 * SHOWN, seed=1).images.cpu(), made)
    return found


def write_results(contest: Contest, entries: Sequence[Entry]) -> None:
    """Write results.json."""
    write_json(
        contest.out / "results.json",
        {
            "format": FORMAT,
            "format_version": 1,
            "attrimorph": attrimorph.__version__,
            "machine": machine(),
            "budget": {"images": contest.images, "seconds": contest.seconds},
            "data": contest.training.fingerprint,
            "protocols": entries[0].protocols if entries else {},
            "recipes": {name: recipe.model_dump() for name, recipe in contest.recipes.items()},
            "entries": [
                {
                    "recipe": each.name,
                    "seed": each.seed,
                    "images": each.images,
                    "seconds": round(each.seconds, 3),
                    "model sha256": each.model.hash,
                    "figures": each.figures,
                }
                for each in entries
            ],
        },
    )
