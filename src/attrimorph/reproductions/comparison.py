"""Comparing recipes: the same data, seeds, and wall clock or images seen; what fails is told, and the others go on."""

import gc
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from attrimorph.console import duration
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import editable_names
from attrimorph.evaluators.judge import Judge
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images, held_out_images
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions.entrants import Entrant, named
from attrimorph.reproductions.frame import Progress, Say, lasting, nothing, seconds_of
from attrimorph.training.folder import known_path
from attrimorph.training.log import read_log
from attrimorph.training.rehearsal import check_data, check_networks, seconds_per_image
from attrimorph.training.trainer import train
from attrimorph.version import __version__

METRICS = ("distribution", "reconstruction", "edits")
EDITED = 100  # images, whatever a model can edit: so all are measured alike
PROBED, LONGEST_PROBE = 0.1, 10.0  # of a budget, and in seconds: what finding a recipe's speed may take
LINES, CHECKPOINTS = 16, 2  # in a short training: more lines would be too few images each for the guard to judge by
SHOWN = 10  # images in a row of the pictures


@dataclass(frozen=True)
class Contest:
    """What is compared, and how.

    Attributes:
        entrants: by name; of one image size.
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

    entrants: Mapping[str, Entrant]
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

    @cached_property
    def shown(self) -> EvaluationSet:
        """Held-out images for the pictures."""
        size = self.training.image_size
        return drawn_images(SHOWN, size) if self.data is None else held_out_images(self.data, SHOWN)

    def run(self, name: str, seed: int) -> Path:
        """Return the folder of a training."""
        return self.out / "runs" / f"{name}-seed{seed}"

    def recipe(self, name: str, images: int, seed: int) -> AnyRecipe:
        """Return what is trained: a recipe of that length, with as many lines and checkpoints as suit it."""
        entrant = self.entrants[name]
        recipe = lasting(entrant.recipe, images, seed)
        least, own = recipe.training.batch_size, entrant.recipe.training
        share = min(1.0, images / own.images)
        changes = {
            # Rates that rise have risen by the same share of a shorter run.
            "optimiser.warmup_images": math.ceil(entrant.recipe.optimiser.warmup_images * share),
            "training.log_images": min(own.log_images, max(least, images // LINES)),
            "training.sample_images": max(least, images),
            "training.checkpoint_images": min(own.checkpoint_images, max(least, images // CHECKPOINTS)),
        }
        return recipe.with_changes({**changes, **entrant.changes})


@dataclass(frozen=True)
class Entry:
    """One recipe trained with one seed.

    Attributes:
        name, seed: of the training.
        run: its folder.
        images: seen in training.
        seconds: that the training took, pauses between two calls left out.
        lines: of its log.
        digest: of the model.
        figures: by key of `metrics.figures`.
        protocols: key -> how it was measured.
        failure: why there is no model, or no figure.
    """

    name: str
    seed: int
    run: Path
    images: int = 0
    seconds: float = 0.0
    lines: list[dict[str, Any]] = field(default_factory=list)
    digest: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    protocols: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""


def check(contest: Contest) -> None:
    """Refuse, before anything is trained, what would be refused later.

    Raises:
        AttrimorphError: data that a recipe cannot learn from, or the report not show.
    """
    _ = contest.shown
    for name, entrant in contest.entrants.items():
        images = contest.images or entrant.recipe.training.images
        with named(name):
            check_data(contest.recipe(name, images, 0), contest.training)
    check_schema(contest.entrants, contest.training.schema)


def check_schema(taking: Mapping[str, Entrant], schema: Schema) -> None:
    """Refuse recipes that data of such labels cannot train.

    Raises:
        AttrimorphError: there is one.
    """
    for name, entrant in taking.items():
        with named(name):
            check_networks(entrant.recipe, schema)


def check_folder(contest: Contest) -> None:
    """Refuse a folder that holds trainings of another comparison under the same names.

    Raises:
        AttrimorphError: it does.
    """
    for name in contest.entrants:
        for seed in contest.seeds:
            if (contest.run(name, seed) / "recipe.json").exists():
                images = known_plan(contest, name)
                if images is None:
                    raise AttrimorphError(
                        f"{contest.out} holds a comparison of {name} with another length or other fields; give the "
                        "same command to go on with it, or choose another folder with --out"
                    )
                known_path(contest.run(name, seed), contest.recipe(name, images, seed), contest.training.fingerprint)


def run_contest(contest: Contest) -> list[Entry]:
    """Train and measure every recipe with every seed; what is on disk already is taken from there."""
    pairs = [(name, seed) for name in contest.entrants for seed in contest.seeds]
    return [entry(contest, name, seed, f"{n} of {len(pairs)}") for n, (name, seed) in enumerate(pairs, 1)]


def entry(contest: Contest, name: str, seed: int, place: str) -> Entry:
    """Train one recipe with one seed, and measure the model; a failure of either is told, and kept.

    Args:
        contest: all.
        name, seed: which.
        place: which of all trainings it is.
    """
    found, run = Entry(name, seed, contest.run(name, seed)), contest.run(name, seed)
    stage = "training"
    try:
        images = planned_images(contest, name, place)
        train(
            contest.recipe(name, images, seed),
            contest.training,
            run,
            device=contest.device,
            progress=lambda now: contest.progress(f"{place}: {name}, seed {seed}", now.images_seen, now.images),
        )
        stage = "measuring"
        lines = [line for line in read_log(run) if "images_per_second" in line]
        found = Entry(name, seed, run, lines[-1]["images_seen"], seconds_of(lines)[-1], lines)
        found = measured(contest, found, place)
    # Whatever ends one training need not end another: the guard, memory, a fault of ours. It is told, and stays told.
    except Exception as error:
        kind = "" if isinstance(error, AttrimorphError) else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())[:300]
        found = Entry(name, seed, run, found.images, found.seconds, found.lines, failure=f"{stage} failed: {reason}")
    done = found.failure or f"{found.images:,} images in {duration(found.seconds)} of training, measured"
    contest.say(f"{place}: {name}, seed {seed}: {done}")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return found


def plan_of(contest: Contest, name: str) -> Path:
    """Return the file that keeps a recipe's length."""
    return contest.out / "plans" / f"{name}.json"


def question(contest: Contest, name: str) -> dict[str, Any]:
    """Return what a recipe's length depends on."""
    recipe = contest.entrants[name].recipe.model_dump(mode="json")
    return {"budget": {"images": contest.images, "seconds": contest.seconds}, "recipe": recipe}


def known_plan(contest: Contest, name: str) -> int | None:
    """Return how long a recipe trains if that is known for this very question."""
    path = plan_of(contest, name)
    known = read_json(path) if path.exists() else None
    same = isinstance(known, dict) and known.get("question") == question(contest, name)
    return int(known["images"]) if same and known else None


def planned_images(contest: Contest, name: str, place: str = "") -> int:
    """Return how long a recipe trains: the images asked for, or as many as its measured speed fits into the seconds.

    The plan is kept, so that a run that is gone on with keeps its length.
    """
    images = known_plan(contest, name)
    if images is None:
        images = contest.images or images_within(contest, name, place)
        write_json(plan_of(contest, name), {"question": question(contest, name), "images": images})
    return images


def images_within(contest: Contest, name: str, place: str) -> int:
    """Return how many images a recipe trains on in the contest's seconds."""
    assert contest.seconds is not None
    recipe = contest.entrants[name].recipe
    contest.progress(f"{place}: speed of {name}", 0, 1)
    limit = min(LONGEST_PROBE, PROBED * contest.seconds)
    per_image = seconds_per_image(
        contest.recipe(name, recipe.training.images, 0), contest.training, contest.device, limit
    )
    batch = recipe.training.batch_size
    return max(1, round(contest.seconds / per_image / batch)) * batch


def measured(contest: Contest, trained: Entry, place: str) -> Entry:
    """Return an entry with the figures of its model, measured once."""
    model = load(trained.run, contest.device)
    path = trained.run / "figures.json"
    key = {
        "model": model.hash,
        "count": contest.count,
        "data": None if contest.data is None else contest.data.fingerprint,
        "judge": None if contest.judge is None else contest.judge.name,
        "attrimorph": __version__,
    }
    known = read_json(path) if path.exists() else {}
    if known.get("key") != key or "protocols" not in known:
        done = 0

        def show(line: str) -> None:
            nonlocal done
            if line.startswith("measuring "):
                contest.progress(f"{place}: {line.partition(':')[0]} of {trained.name}", done, len(METRICS))
                done += 1

        evaluation = evaluate(
            model,
            contest.data,
            contest.judge,
            metrics=METRICS,
            count=contest.count,
            edits=EDITED * len(editable_names(model)),
            progress=show,
        )
        known = {"key": key, "figures": evaluation.figures, "protocols": evaluation.protocols}
        write_json(path, known)
    return Entry(
        trained.name,
        trained.seed,
        trained.run,
        trained.images,
        trained.seconds,
        trained.lines,
        model.hash,
        known["figures"],
        known["protocols"],
    )
