"""The frame of every experiment: what it is asked for, how it trains, and what it leaves.

An experiment is a function from a `Request` to an `Outcome`: page, pictures and results.json. Data, models and
evaluators lie in OUT beside the results, so that experiments share them and the same command goes on.
"""

import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.data.prepared import PreparedData
from attrimorph.data.readers import Source
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.homointerp.recipe import InterpolationRecipe
from attrimorph.methods.pggan.recipe import ProgressiveRecipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.models.model import Model
from attrimorph.pictures import sheet, write_png
from attrimorph.recipe import AnyRecipe, field_names
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import RULE, Claim, decide
from attrimorph.training.trainer import train
from attrimorph.version import __version__

FORMAT = "attrimorph experiment"
NOT_CURVES = ("images_seen", "images_per_second", "waited_seconds", "guard")
"""What a log tells that is no learning curve."""
LONGEST_PROBE = 10.0  # seconds that finding a recipe's speed may take
Say = Callable[[str], None]
Progress = Callable[..., None]
Figures = Mapping[str, Mapping[str, float]]
BySeed = Mapping[str, Sequence[Mapping[str, float]]]


def nothing(*_: object) -> None:
    """Take what is said and say it to nobody."""


@dataclass(frozen=True)
class Form:
    """How large experiments are.

    Attributes:
        name: stands in the names of folders.
        people, images: of drawn data: how many people, and images of each on average.
        images_seen: by an evaluator in its training.
        changes: fields that differ from a recipe's own, in every recipe that has them.
        per_class: samples of every class that are measured.
        iterations: of the ring; its variants take `VARIANT_SHARE` of them.
        few: real images of a class where few are to be had.
        more: images generated of each class then.
        strangers, of_a_stranger: new people that are generated then, and images of each.
        faces: drawn faces to train on where there are no classes.
        unseen: drawn faces to measure on then.
        codes: drawn codes that axes are fitted to.
        search: steps of inversions, the most of them last.
        close: edits of each attribute and direction that are held against the truth.
        many: labelled examples of each kind that are nearly endless.
    """

    name: str = "full"
    people: int = 60
    images: int = 250
    images_seen: int = 60_000
    changes: Mapping[str, Any] = field(default_factory=dict)
    per_class: int = 100
    iterations: int = 200_000
    few: int = 20
    more: int = 200
    strangers: int = 120
    of_a_stranger: int = 40
    faces: int = 40_000
    unseen: int = 500
    codes: int = 50_000
    search: tuple[int, ...] = (10, 25, 50, 100)
    close: int = 40
    many: int = 200


FULL = Form()
QUICK = Form("quick", 12, 120, 8_000, {"training.images": 8_000}, 40, 20_000, 10, 50, 24, 20, 4_000, 100, 2_000)


@dataclass(frozen=True)
class Request:
    """What the user asks of an experiment.

    Attributes:
        out: the folder of all experiments.
        data: a folder of images in any known layout, or None for drawn ones.
        classes: the attribute that tells the classes; None = the first categorical one, or else the identities.
        model: a trained model to use in place of training one, where the experiment looks at one.
        other_model: a second one, where it looks at two.
        seeds: of the trainings.
        form: how large everything is: `FULL`, or `QUICK` for minutes on two cores.
        images: length of each training in place of the form's.
        device: where to train.
        say: gets a line of text at each stage.
        progress: called with (what, done, in all), and with the unit where images are not what is counted.
    """

    out: Path = Path("runs/experiments")
    data: Path | Source | None = None
    classes: str | None = None
    model: str | None = None
    other_model: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    form: Form = FULL
    images: int | None = None
    device: str = "cpu"
    say: Say = nothing
    progress: Progress = nothing

    def counting(self, what: str, unit: str = "images") -> Callable[..., None]:
        """Return what to call with (done, in all, ...) while something goes on."""
        return lambda done, total, *_: self.progress(what, done, total, unit)

    def recipe(
        self, name: str, seed: int, changes: Mapping[str, Any] | None = None, *, paced: bool = False
    ) -> AnyRecipe:
        """Return a recipe in the form, and as long as the request wants it.

        Args:
            name: of the recipe.
            seed: of the training.
            changes: of the recipe, before those of the form.
            paced: also write its log, checkpoints and samples as often in the run as the recipe's own run does.
        """
        own = recipe_named(name)
        known = {*field_names(own.model_dump())}
        fields = {**(changes or {}), **{key: value for key, value in self.form.changes.items() if key in known}}
        images = self.images or int(fields.get("training.images", own.training.images))
        whole = own.with_changes({**fields, "training.images": own.training.images})
        return lasting(whole, images, seed, paced=paced)

    def train(self, recipe: AnyRecipe, data: PreparedData, run: str, words: str) -> Path:
        """Return the run of a recipe, trained now as far as it is not yet.

        Args:
            recipe: as `recipe` returns it.
            data: to train on.
            run: the name of its folder: equal names on equal data must mean equal recipes.
            words: what it is called while it trains.
        """
        self.say(f"training {words}: {recipe.training.images:,} images")
        return train(
            recipe,
            data,
            self.out / "models" / f"{self.form.name}-{data.fingerprint}" / run,
            device=self.device,
            progress=lambda now: self.progress(f"training {words}", now.images_seen, now.images),
        )

    def each_seed(
        self,
        names: Iterable[str],
        trained: Callable[[str, int], Path],
        measure: Callable[[Model], dict[str, float]],
        kept: str,
        key: Mapping[str, Any],
    ) -> tuple[dict[str, list[dict[str, float]]], dict[str, Model]]:
        """Train and measure everything with every seed; a run that was measured under the same key is not again.

        Args:
            names: of what is compared.
            trained: (name, seed) -> its run.
            measure: what is measured of each model.
            kept: the name of the file in each run that keeps its figures.
            key: what the figures depend on besides the model.

        Returns:
            The figures by name, a row for each seed, and each name's model of the first seed.
        """
        figures: dict[str, list[dict[str, float]]] = {}
        models: dict[str, Model] = {}
        for name in names:
            for seed in self.seeds:
                run = trained(name, seed)
                model = load(run, self.device)
                models.setdefault(name, model)
                found = remembered(run, kept, {"model": model.hash, **key}, partial(measure, model))
                figures.setdefault(name, []).append(found)
        return figures, models


def lasting(recipe: AnyRecipe, images: int, seed: int, *, paced: bool = True) -> AnyRecipe:
    """Return the recipe with another length and seed; what it tells in images keeps its share of the run.

    Args:
        recipe: any.
        images: its new length.
        seed: its new seed.
        paced: whether log, checkpoints and samples come as much sooner in a shorter run.
    """
    training, share = recipe.training, images / recipe.training.images
    changes: dict[str, Any] = {"training.images": images, "training.seed": seed}
    if isinstance(recipe, Recipe | InterpolationRecipe):
        changes["losses.warmup_images"] = round(recipe.losses.warmup_images * share)
    if isinstance(recipe, ProgressiveRecipe):
        for name, stages in (("fixed", recipe.growth.fixed_images), ("fading", recipe.growth.fading_images)):
            changes[f"growth.{name}_images"] = [max(1, round(stage * share)) for stage in stages]
    for name in ("checkpoint_images", "sample_images", "log_images") if paced else ():
        every = math.ceil(getattr(training, name) * min(1.0, share))
        changes[f"training.{name}"] = max(training.batch_size, every)
    return recipe.with_changes(changes)


def seconds_of(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return how long a run had trained at each line of its log: pauses between two calls do not count."""
    total, before, found = 0.0, 0, []
    for line in lines:
        total += (line["images_seen"] - before) / max(line["images_per_second"], 1e-9)
        before = line["images_seen"]
        found.append(total)
    return found or [0.0]


def remembered(
    run: Path, name: str, key: Mapping[str, Any], measure: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Return what was measured of a run before under the same key, or measure it now and remember it."""
    path = run / f"{name}.json"
    known = read_json(path) if path.exists() else {}
    if known.get("key") == key:
        return {str(figure): float(value) for figure, value in known["figures"].items()}
    figures = measure()
    write_json(path, {"key": dict(key), "figures": figures})
    return figures


def by_seed(figures: BySeed, name: str) -> dict[str, list[float]]:
    """Return one figure of every method, a value for each seed."""
    return {method: [one[name] for one in each] for method, each in figures.items()}


def plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for JSON, which knows no NaN."""
    return {name: None if value != value else value for name, value in figures.items()}


def describe(model: Model, *, seen: bool = False) -> str:
    """Return in words which model it is, and with `seen` how much it was trained."""
    return f"{model.recipe.name}, {f'{model.images_seen:,} images seen, ' if seen else ''}sha256 {model.hash[:16]}"


@dataclass
class Outcome:
    """What an experiment found.

    Attributes:
        name: its folder.
        title, lead: of its page.
        protocol: everything that the figures depend on: data, sizes, seeds, extractors.
        claims: with their verdicts.
        figures: plain values for results.json.
        pictures: file name -> picture.
        pieces: HTML of the page, below the claims.
    """

    name: str
    title: str
    lead: str
    protocol: dict[str, Any]
    claims: list[Claim] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)

    def show(self, name: str, picture: Image.Image, caption: str = "") -> None:
        """Keep a picture and put it on the page."""
        self.pictures[name] = picture
        self.pieces.append(report.picture(picture, caption))

    def sheet(
        self,
        name: str,
        rows: Sequence[Tensor],
        caption: str = "",
        *,
        columns: Sequence[str] = (),
        labels: Sequence[str] = (),
        cell: int = 64,
    ) -> None:
        """Keep and show rows of images, each [B, 3, S, S] in [-1, 1]; see `pictures.sheet`."""
        self.show(name, sheet(rows, columns=columns, labels=labels, cell=cell, clear=True), caption)


def write_outcome(outcome: Outcome, out: Path) -> Path:
    """Write OUT/NAME/results.json, report.html and pictures/*.png; return the path of the page."""
    folder, decisions = Path(out) / outcome.name, decide(outcome.claims)
    for name, picture in outcome.pictures.items():
        write_png(folder / "pictures" / f"{name}.png", picture, f"experiment {outcome.name} by attrimorph; {name}")
    write_json(
        folder / "results.json",
        {
            "format": FORMAT,
            "format_version": 2,
            "attrimorph": __version__,
            "experiment": outcome.name,
            "machine": machine(),
            "protocol": outcome.protocol,
            "rule": RULE,
            "claims": [decision.to_json() for decision in decisions],
            "figures": outcome.figures,
        },
    )
    verdicts = [
        [f"<b>{report.text(each.verdict)}</b>",
         *map(report.text, (each.claim.words, each.claim.evidence, each.why, each.claim.source))]
        for each in decisions
    ]  # fmt: skip
    protocol = [[report.text(str(key)), report.text(str(value))] for key, value in outcome.protocol.items()]
    return report.write_page(
        folder / "report.html",
        title=outcome.title,
        eyebrow=f"attrimorph experiment {outcome.name}",
        lead=outcome.lead,
        pieces=[
            report.heading("Verdicts", RULE),
            report.table(["verdict", "claim", "measured", "what decided", "who says so"], verdicts),
            *outcome.pieces,
            report.heading("How it was measured"),
            report.table(["what", "as here"], protocol),
        ],
        footer=f"attrimorph {__version__}; {machine()}",
    )


def machine() -> str:
    """Return in words what computed."""
    return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"
