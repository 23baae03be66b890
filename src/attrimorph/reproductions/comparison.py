"""Comparing recipes: the same data, seeds, and wall clock or images seen; what fails is told, and the others go on."""

import gc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import torch

from attrimorph.console import duration
from attrimorph.data import Schema
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import editable_names
from attrimorph.evaluators.judge import Judge
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images, held_out_images
from attrimorph.metrics.figures import KEYS, TAIL, base_of, student
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions.entrants import Entrant, naming
from attrimorph.reproductions.frame import LONGEST_PROBE, Progress, Say, lasting, nothing, seconds_of
from attrimorph.training.folder import known_path, read_log
from attrimorph.training.rehearsal import check_data, check_networks, seconds_per_image
from attrimorph.training.trainer import train
from attrimorph.version import __version__

# --- the trainings and what is measured of them

METRICS = ("distribution", "reconstruction", "edits")
EDITED = 100  # images, whatever a model can edit: so all are measured alike
PROBED = 0.1  # of a budget: what finding a recipe's speed may take at most
LINES, CHECKPOINTS = 16, 2  # in a short training: more lines would be too few images each for the guard to judge by
SHOWN = 10  # images in a row of the pictures


@dataclass(frozen=True)
class Benchmark:
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

    @property
    def budget(self) -> dict[str, float | None]:
        """Images or seconds of every training."""
        return {"images": self.images, "seconds": self.seconds}

    def run(self, name: str, seed: int) -> Path:
        """Return the folder of a training."""
        return self.out / "runs" / f"{name}-seed{seed}"

    def recipe(self, name: str, images: int, seed: int) -> AnyRecipe:
        """Return what is trained: a recipe of that length, with as many lines and checkpoints as suit it."""
        entrant = self.entrants[name]
        recipe, own = lasting(entrant.recipe, images, seed), entrant.recipe.training
        least, share = recipe.training.batch_size, min(1.0, images / own.images)
        changes = {
            # Rates that rise have risen by the same share of a shorter run.
            "optimiser.warmup_images": math.ceil(entrant.recipe.optimiser.warmup_images * share),
            "training.log_images": min(own.log_images, max(least, images // LINES)),
            "training.sample_images": max(least, images),
            "training.checkpoint_images": min(own.checkpoint_images, max(least, images // CHECKPOINTS)),
        }
        return recipe.with_changes({**changes, **entrant.changes})

    def plan(self, name: str) -> tuple[Path, dict[str, Any], int | None]:
        """Return the file that keeps a recipe's length, what this depends on, and the length if it is known."""
        path = self.out / "plans" / f"{name}.json"
        question = {"budget": self.budget, "recipe": self.entrants[name].recipe.model_dump(mode="json")}
        known = read_json(path) if path.exists() else {}
        return path, question, int(known["images"]) if known.get("question") == question else None


@dataclass
class Entry:
    """One recipe trained with one seed.

    Attributes:
        name, seed: of the training.
        run: its folder.
        images: seen in training.
        seconds: that the training took, pauses between two calls left out.
        lines: of its log.
        digest: of the model; "" where there is none, or no figure.
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


def check(benchmark: Benchmark) -> None:
    """Refuse, before anything is trained, what would be refused later.

    Raises:
        AttrimorphError: data that a recipe cannot learn from, or the report not show.
    """
    _ = benchmark.shown
    for name, entrant in benchmark.entrants.items():
        with naming(name):
            images = benchmark.images or entrant.recipe.training.images
            check_data(benchmark.recipe(name, images, 0), benchmark.training)
    check_schema(benchmark.entrants, benchmark.training.schema)


def check_schema(entrants: Mapping[str, Entrant], schema: Schema) -> None:
    """Refuse recipes that data of such labels cannot train.

    Raises:
        AttrimorphError: there is one.
    """
    for name, entrant in entrants.items():
        with naming(name):
            check_networks(entrant.recipe, schema)


def check_folder(benchmark: Benchmark) -> None:
    """Refuse a folder that holds trainings of another comparison under the same names.

    Raises:
        AttrimorphError: it does.
    """
    for name, seed in [(name, seed) for name in benchmark.entrants for seed in benchmark.seeds]:
        run, (_, _, images) = benchmark.run(name, seed), benchmark.plan(name)
        if not (run / "recipe.json").exists():
            continue
        if images is None:
            raise AttrimorphError(
                f"{benchmark.out} holds a comparison of {name} with another length or other fields; give the "
                "same command to go on with it, or choose another folder with --out"
            )
        known_path(run, benchmark.recipe(name, images, seed), benchmark.training.fingerprint)


def run_benchmark(benchmark: Benchmark) -> list[Entry]:
    """Train and measure every recipe with every seed; what is on disk already is taken from there.

    A failure of either is told, and kept.
    """
    found = [Entry(name, seed, benchmark.run(name, seed)) for name in benchmark.entrants for seed in benchmark.seeds]
    for number, entry in enumerate(found, 1):
        place, stage = f"{number} of {len(found)}", "training"
        title = f"{place}: {entry.name}, seed {entry.seed}"
        try:
            train_entry(benchmark, entry, place, title)
            stage = "measuring"
            measure_entry(benchmark, entry, place)
        # Whatever ends one training need not end another: the guard, memory, a fault of ours. It is told, and kept.
        except Exception as error:
            kind = "" if isinstance(error, AttrimorphError) else f"{type(error).__name__}: "
            entry.failure = f"{stage} failed: {kind}{' '.join(str(error).split())[:300]}"
        done = f"{entry.images:,} images in {duration(entry.seconds)} of training, measured"
        benchmark.say(f"{title}: {entry.failure or done}")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return found


def train_entry(benchmark: Benchmark, entry: Entry, place: str, title: str) -> None:
    """Train one recipe with one seed; `place` and `title` say which of all trainings it is."""
    train(
        benchmark.recipe(entry.name, planned_images(benchmark, entry.name, place), entry.seed),
        benchmark.training,
        entry.run,
        device=benchmark.device,
        progress=lambda now: benchmark.progress(title, now.images_seen, now.images),
    )
    entry.lines = [line for line in read_log(entry.run) if "images_per_second" in line]
    entry.images, entry.seconds = entry.lines[-1]["images_seen"], seconds_of(entry.lines)[-1]


def planned_images(benchmark: Benchmark, name: str, place: str = "") -> int:
    """Return how long a recipe trains: the images asked for, or as many as its measured speed fits into the seconds.

    The plan is kept, so that a run that is gone on with keeps its length.
    """
    path, question, images = benchmark.plan(name)
    if images is None:
        images = benchmark.images
        if images is None:
            assert benchmark.seconds is not None
            own = benchmark.entrants[name].recipe.training
            benchmark.progress(f"{place}: speed of {name}", 0, 1)
            recipe, limit = benchmark.recipe(name, own.images, 0), min(LONGEST_PROBE, PROBED * benchmark.seconds)
            speed = seconds_per_image(recipe, benchmark.training, benchmark.device, limit)
            images = max(1, round(benchmark.seconds / speed / own.batch_size)) * own.batch_size
        write_json(path, {"question": question, "images": images})
    return images


def measure_entry(benchmark: Benchmark, entry: Entry, place: str) -> None:
    """Measure the model of a training, once."""
    model, path = load(entry.run, benchmark.device), entry.run / "figures.json"
    key = {
        "model": model.hash,
        "count": benchmark.count,
        "data": None if benchmark.data is None else benchmark.data.fingerprint,
        "judge": None if benchmark.judge is None else benchmark.judge.name,
        "attrimorph": __version__,
    }
    known = read_json(path) if path.exists() else {}
    if known.get("key") != key or "protocols" not in known:
        done = iter(range(len(METRICS) + 1))

        def show(line: str) -> None:
            if line.startswith("measuring "):
                benchmark.progress(f"{place}: {line.partition(':')[0]} of {entry.name}", next(done), len(METRICS))

        evaluation = evaluate(
            model,
            benchmark.data,
            benchmark.judge,
            metrics=METRICS,
            count=benchmark.count,
            edits=EDITED * len(editable_names(model)),
            progress=show,
        )
        known = {"key": key, "figures": evaluation.figures, "protocols": evaluation.protocols}
        write_json(path, known)
    entry.digest, entry.figures, entry.protocols = model.hash, known["figures"], known["protocols"]


# --- which recipe is best, and which are behind it by more than chance

RULE = (
    "A recipe is marked ▼ where it is behind the best one by more than chance: where the t-interval of the difference "
    "of their means over the seeds (Welch's, which does not take their spreads for equal) leaves out 0. Its level of "
    "95 % is shared out among all pairs of recipes: of twenty figures in which nothing differs, one bears a mark at "
    "most. Nothing is marked with one seed, nor where recipes were not measured alike."
)


@dataclass(frozen=True)
class Ranking:
    """One figure of all recipes.

    Attributes:
        key: of `metrics.figures`.
        protocols: recipe -> how it was measured.
        values: recipe -> one value for each seed.
    """

    key: str
    protocols: dict[str, str]
    values: dict[str, list[float]]

    @property
    def alike(self) -> bool:
        """Whether all were measured in the same way."""
        return len(set(self.protocols.values())) < 2

    @property
    def best(self) -> str | None:
        """The recipe with the best mean; None where that is nobody's merit, or measured unlike, or of one seed."""
        known = {recipe: fmean(values) for recipe, values in self.values.items() if len(values) > 1}
        better = KEYS[base_of(self.key)].better
        if len(known) < 2 or not better or not self.alike:
            return None
        return (min if better == "lower" else max)(known, key=lambda recipe: known[recipe])

    @property
    def behind(self) -> list[str]:
        """The recipes that are behind the best by more than chance; see `RULE`."""
        best = self.best
        if best is None:
            return []
        # Who is best is seen in the same figures: it might have been any pair.
        pairs = math.comb(len(self.values), 2)
        return [name for name, values in self.values.items() if differ(self.values[best], values, pairs)]


def differ(first: Sequence[float], second: Sequence[float], pairs: int = 1) -> bool:
    """Tell whether the t-interval of the difference of two means leaves out 0; never with fewer than two values.

    Args:
        first, second: one value for each seed.
        pairs: that the level of 95 % is shared out among.
    """
    if min(len(first), len(second)) < 2:
        return False
    errors = [variance(values) / len(values) for values in (first, second)]
    difference = abs(fmean(first) - fmean(second))
    if sum(errors) == 0:
        return difference > 0
    # Welch and Satterthwaite's degrees of freedom.
    freedom = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (first, second), strict=True))
    return difference > student(1 - TAIL / pairs, int(freedom + 1e-6)) * math.sqrt(sum(errors))


def rankings(entries: Sequence[Entry]) -> list[Ranking]:
    """Return the figures of all entries, those of one key together."""
    found: dict[str, Ranking] = {}
    for entry in entries:
        for key, value in entry.figures.items():
            ranking = found.setdefault(key, Ranking(key, {}, {}))
            ranking.values.setdefault(entry.name, []).append(value)
            ranking.protocols[entry.name] = entry.protocols[key]
    return list(found.values())
