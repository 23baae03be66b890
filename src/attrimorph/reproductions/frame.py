"""The frame of every experiment: what it is asked for, how it trains, what it claims, and what it leaves.

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
from statistics import fmean
from typing import Any, Literal, NamedTuple

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
from attrimorph.metrics.figures import Interval, of_difference, of_mean, wilson
from attrimorph.models.model import Model
from attrimorph.pictures import sheet, write_png
from attrimorph.recipe import AnyRecipe, field_names
from attrimorph.reproductions import EXPERIMENTS, report
from attrimorph.training.trainer import train
from attrimorph.version import __version__

# --- claims, and whether numbers bear them out: one rule for all, and nobody types a verdict

Verdict = Literal["reproduced", "seen once", "not decided", "not reproduced"]
COLUMNS = ("verdict", "claim", "margin", "low", "high", "seeds", "measured", "who says so")
LEAST_SEEDS = 3
WRONG = 0.04  # chance that any claim of a page is called reproduced where nothing is to be found; the bar is 0.05
RULE = (
    "The margin of a claim is how far the measured figure lies beyond what the claim needs. Its interval is Student's "
    "t over the training seeds, for shares together with that of counting (Wilson's). Its level is shared out among "
    "the claims of the page by Holm's procedure: where nothing is to be found, one is called reproduced on "
    f"{WRONG:.0%} of pages at most. Reproduced: the whole interval lies beyond what is needed. Not reproduced: the "
    f"whole interval falls short of it. Not decided: neither. With fewer than {LEAST_SEEDS} seeds nothing is known of "
    "other trainings: the most that can be said is seen once."
)


class Counted(NamedTuple):
    """Two shares and how many cases each is a share of; None for a figure that no chance touches.

    Attributes:
        high, low: means over the seeds. All seeds are measured on the same images, which count once.
        of_high, of_low: cases.
        times, grace: as of `more`.
    """

    high: float
    of_high: int | None
    low: float
    of_low: int | None
    times: float = 1.0
    grace: float = 0.0

    def interval(self, tail: float) -> Interval:
        """Return the interval of the margin."""
        parts = [
            (share, share) if of is None else wilson(share, of, tail)
            for share, of in ((self.high, self.of_high), (self.low, self.of_low))
        ]
        low, high = of_difference(self.high, parts[0], self.low, parts[1], self.times)
        return low + self.grace, high + self.grace


@dataclass(frozen=True)
class Claim:
    """What somebody says, and by how much it holds.

    Attributes:
        words: the claim, in one sentence.
        source: who says it, e.g. "paper, Table 1".
        margins: one for each training seed: how far the measured figure lies beyond what the claim needs.
        evidence: the measured figures in words.
        counted: the shares behind the margins, where they are shares.
        bar: whether a margin of 0 is enough.
        form: how a margin is written.
    """

    words: str
    source: str
    margins: tuple[float, ...]
    evidence: str
    counted: Counted | None = None
    bar: bool = False
    form: str = ".3g"


@dataclass(frozen=True)
class Decision:
    """A claim and its verdict.

    Attributes:
        claim: what was said.
        verdict: by `RULE`.
        margin: mean over the seeds; NaN where nothing was measured.
        low, high: its interval; both the margin itself where nothing is known of chance.
        why: in words what decided.
    """

    claim: Claim
    verdict: Verdict
    margin: float
    low: float
    high: float
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not finite becomes None."""
        return {
            "claim": self.claim.words,
            "source": self.claim.source,
            "verdict": self.verdict,
            "seeds": len(self.claim.margins),
            "margins": [_plain(margin) for margin in self.claim.margins],
            "margin": _plain(self.margin),
            "interval": [_plain(self.low), _plain(self.high)],
            "why": self.why,
            "evidence": self.claim.evidence,
        }

    def row(self) -> list[str | int | float | None]:
        """Return the cells of a table, by `COLUMNS`."""
        margin = [_plain(value) for value in (self.margin, self.low, self.high)]
        claim = self.claim
        return [self.verdict, claim.words, *margin, len(claim.margins), claim.evidence, claim.source]


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def decide(claims: Sequence[Claim]) -> list[Decision]:
    """Return the verdicts of all claims of a page, by `RULE`.

    The level is shared out evenly, and shared out again among those that are left once some are reproduced (S. Holm
    1979): no page is wrong more often for that, and less is left undecided.
    """
    decisions: dict[int, Decision] = {}
    left = list(range(len(claims)))
    while left:
        decisions |= {place: decide_one(claims[place], WRONG / len(left)) for place in left}
        still = [place for place in left if decisions[place].verdict != "reproduced"]
        if len(still) == len(left):
            break
        left = still
    return [decisions[place] for place in range(len(claims))]


def decide_one(claim: Claim, tail: float) -> Decision:
    """Decide one claim.

    Args:
        claim: any.
        tail: chance that a margin which is 0 in truth is taken for more, and as much that it is taken for less.
    """
    margins, seeds = claim.margins, len(claim.margins)
    if not margins or not all(map(math.isfinite, margins)):
        return Decision(claim, "not decided", math.nan, math.nan, math.nan, "not measured")
    mean = fmean(margins)
    low, high = of_mean(margins, tail) if seeds >= LEAST_SEEDS else (min(margins), max(margins))
    basis = f"{seeds} seeds" if seeds > 1 else "one seed"
    if claim.counted is not None:
        # The seeds differ by their trainings, all of them share the chance of the images.
        below, above = claim.counted.interval(tail)
        low, high = mean - math.hypot(mean - low, mean - below), mean + math.hypot(high - mean, above - mean)
        counts = [f"{of:,}" for of in (claim.counted.of_high, claim.counted.of_low) if of is not None]
        basis += f", shares of {' and '.join(dict.fromkeys(counts))}"
    elif seeds < LEAST_SEEDS:
        basis += ": chance unknown"
    verdict: Verdict = "not decided"
    if low > 0 or (claim.bar and low == 0):
        verdict = "reproduced" if seeds >= LEAST_SEEDS else "seen once"
    elif high < 0:
        verdict = "not reproduced"
    margin, a, b = (format(value, f"+{claim.form}") for value in (mean, low, high))
    around = f", {a} to {b}" if low < high else ""
    return Decision(claim, verdict, mean, low, high, f"margin {margin}{around} ({basis})")


Values = float | Sequence[float]


def seeds_of(values: Values) -> tuple[float, ...]:
    """Return one value for each seed; a single one is that of the only model."""
    return (float(values),) if isinstance(values, int | float) else tuple(values)


def more(
    words: str,
    high: Values,
    low: Values,
    names: tuple[str, str],
    source: str,
    form: str = ".3g",
    *,
    counted: int | tuple[int | None, int | None] | None = None,
    times: float = 1.0,
    grace: float = 0.0,
) -> Claim:
    """Claim that the first of two figures is the larger one: more than `times` the second, less `grace`.

    Args:
        words: the claim.
        high, low: the figures, a value for each seed; none where they were not measured.
        names: of the two figures.
        source: who says so.
        form: how a figure is written.
        counted: of how many cases the figures, or each of them, are shares; None where they are no shares.
        times: how often the second one goes into the first.
        grace: how much less is still as good.
    """
    high, low = seeds_of(high), seeds_of(low)
    margins = tuple(a - times * b + grace for a, b in zip(high, low, strict=True))
    evidence = f"{names[0]} {listed(high, form)}, {names[1]} {listed(low, form)}"
    if times != 1:
        evidence += f"; {times:.3g} times the second needed"
    if grace:
        evidence += f"; {grace:{form}} less is as good"
    shares = None
    if counted is not None and high:
        counts = counted if isinstance(counted, tuple) else (counted, counted)
        shares = Counted(fmean(high), counts[0], fmean(low), counts[1], times, grace)
    return Claim(words, source, margins, evidence, shares, form=form)


def at_least(
    words: str, values: Values, bound: float, name: str, source: str, form: str = ".3g", counted: int | None = None
) -> Claim:
    """Claim that a figure, a share where it is `counted`, is at least `bound`."""
    values = seeds_of(values)
    shares = Counted(fmean(values), counted, bound, None) if counted is not None and values else None
    evidence = f"{name} {listed(values, form)}, at least {bound:{form}} needed"
    return Claim(words, source, tuple(value - bound for value in values), evidence, shares, bar=True, form=form)


def at_most(
    words: str, values: Values, bound: float, name: str, source: str, form: str = ".3g", counted: int | None = None
) -> Claim:
    """Claim that a figure, a share where it is `counted`, is at most `bound`."""
    values = seeds_of(values)
    shares = Counted(bound, None, fmean(values), counted) if counted is not None and values else None
    evidence = f"{name} {listed(values, form)}, at most {bound:{form}} allowed"
    return Claim(words, source, tuple(bound - value for value in values), evidence, shares, bar=True, form=form)


def claim(
    experiment: str,
    key: str,
    first: Values,
    second: Values,
    *,
    counted: int | tuple[int | None, int | None] | None = None,
    times: float = 1.0,
    grace: float = 0.0,
    **values: object,
) -> Claim:
    """Hold a claim of `experiments.toml` against figures.

    Args:
        experiment, key: where it stands.
        first, second: the two figures of `more`; the figure and the bound of `least` and `most`.
        counted, times, grace: as of `more`.
        values: what stands in braces.
    """
    page = EXPERIMENTS[experiment]
    said = page.claims[key]
    source, form = said.get("source", page.source), said.get("form", ".3g")
    kind = next(iter(said))
    words, *names = (each.format(**values) for each in (said[kind], *said["names"]))
    if kind == "more":
        pair = names[0], names[1]
        return more(words, first, second, pair, source, form, counted=counted, times=times, grace=grace)
    assert isinstance(second, float | int)
    assert not isinstance(counted, tuple)
    return {"least": at_least, "most": at_most}[kind](words, first, second, names[0], source, form, counted)


def listed(values: Sequence[float], form: str = ".3g") -> str:
    """Write a figure of several seeds: 0.91, 0.92, 0.9."""
    return ", ".join(format(value, form) if math.isfinite(value) else "never" for value in values) or "not measured"


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """Write the mean of several seeds and how far they lie apart: 0.91 (0.90 to 0.92)."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "–"
    mean = sum(known) / len(known)
    if len(known) == 1:
        return format(mean, form)
    return f"{mean:{form}} ({min(known):{form}} to {max(known):{form}})"


# --- what is asked, how it trains, what it leaves

FORMAT = "attrimorph experiment"
NOT_CURVES = ("images_seen", "images_per_second", "waited_seconds", "guard", "processes")
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
    iterations: int = 100_000
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
        images: length of each training in place of the form's; iterations of the ring.
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

    def trained(self, name: str, recipe: AnyRecipe, data: PreparedData) -> Path:
        """Return the run of a recipe, as `train`, in a folder that tells `name`, seed and length."""
        seed, images = recipe.training.seed, recipe.training.images
        return self.train(recipe, data, f"{name.replace(' ', '-')}-seed{seed}-{images}", f"{name}, seed {seed}")

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
    if isinstance(recipe, Recipe):
        changes["losses.kl_images"] = round(recipe.losses.kl_images * share)
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


def outcome_of(
    name: str,
    claims: Sequence[Claim],
    figures: Mapping[str, Any],
    protocol: Mapping[str, str] | None = None,
    **values: object,
) -> Outcome:
    """Return what an experiment found, with the words of `experiments.toml`.

    Args:
        name: of the experiment.
        claims, figures: as of `Outcome`.
        protocol: what comes before its own.
        values: what stands in braces.
    """
    page = EXPERIMENTS[name]
    own = {what: words.format(**values) for what, words in page.protocol.items()}
    lead = page.lead.format(**values)
    return Outcome(name, page.title, lead, {**(protocol or {}), **own}, list(claims), dict(figures))


def write_outcome(outcome: Outcome, out: Path) -> Path:
    """Write OUT/NAME/results.json, report.html and pictures/*.png; return the path of the page."""
    folder, decisions = Path(out) / outcome.name, decide(outcome.claims)
    for name, picture in outcome.pictures.items():
        write_png(folder / "pictures" / f"{name}.png", picture, f"experiment {outcome.name} by attrimorph; {name}")
    report.write_values(
        folder / "results.json",
        FORMAT,
        2,
        {
            "experiment": outcome.name,
            "machine": machine(),
            "protocol": outcome.protocol,
            "rule": RULE,
            "claims": [decision.to_json() for decision in decisions],
            "figures": outcome.figures,
        },
    )
    verdicts = [
        [report.bold(each.verdict), each.claim.words, each.claim.evidence, each.why, each.claim.source]
        for each in decisions
    ]
    protocol = [[str(key), str(value)] for key, value in outcome.protocol.items()]
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
