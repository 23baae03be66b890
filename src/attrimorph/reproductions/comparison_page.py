"""The page of a comparison: pictures side by side, figures with their spread over seeds, learning curves."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

from attrimorph.applications.generating import sample
from attrimorph.charts import chart
from attrimorph.console import duration
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import editable_names
from attrimorph.loading import load
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.figures import Cell, base_of, overall, words, write_tables
from attrimorph.models.model import Edits, Encodes, Model
from attrimorph.pictures import grid, sheet, write_png
from attrimorph.reproductions import report
from attrimorph.reproductions.comparison import (
    RULE,
    SHOWN,
    Benchmark,
    Entry,
    Ranking,
    check,
    check_folder,
    rankings,
    run_benchmark,
)
from attrimorph.reproductions.evaluation import ARROWS
from attrimorph.reproductions.frame import NOT_CURVES, listed, machine, seconds_of, spread
from attrimorph.version import __version__

FORMAT = "attrimorph comparison"
UNEQUAL = 0.1  # a budget of seconds missed by more than this share is told
CELL = 64  # pixels of an image on the page, about
NONE = "–"
OF_ATTRIBUTES = ("edit.target_reached", "edit.leakage")  # the figures of single attributes that are shown
ATTRIBUTES = 4  # whose edits are shown
SEED = 1  # of the samples


def compare(benchmark: Benchmark, csv: Path | None = None, latex: Path | None = None) -> Path:
    """Train, measure and write OUT/report.html, results.json and pictures; return the path of the page.

    Args:
        benchmark: what is compared, and how.
        csv, latex: files for the figures as a table.

    Raises:
        AttrimorphError: a recipe will be refused (before anything is trained), or not one training came to an end.
    """
    check(benchmark)
    check_folder(benchmark)
    entries = run_benchmark(benchmark)
    figures = rankings(entries)
    write_results(benchmark, entries, figures)
    write_tables(*table_of(list(benchmark.entrants), figures), csv, latex)
    seeds = f"Means over the seeds {listed(benchmark.seeds, 'd')}, and their range. {RULE}"
    shown = f"Of the models of the first seed, uncurated: the first {len(benchmark.shown.images)} held-out images."
    page = report.write_page(
        benchmark.out / "report.html",
        title=" · ".join(benchmark.entrants),
        eyebrow="attrimorph compare",
        lead=lead(benchmark),
        pieces=[
            report.heading("What was done"),
            budget_table(benchmark, entries),
            *map(report.note, notes(benchmark, entries)),
            report.heading("Side by side", shown),
            *side_by_side(benchmark, entries),
            report.heading("Figures", seeds),
            *figure_tables(benchmark, figures),
            report.heading("Learning curves", "Means over the seeds; the band reaches from the lowest to the highest."),
            *curves(benchmark, entries),
        ],
        footer=f"attrimorph {__version__}; {machine()}",
    )
    if not any(each.digest for each in entries):
        raise AttrimorphError(f"not one training came to an end; the first: {entries[0].failure}; {page} tells of all")
    return page


def lead(benchmark: Benchmark) -> str:
    """Return the page's first sentence."""
    length = f"{benchmark.images:,} images" if benchmark.images else f"{duration(benchmark.seconds or 0)} of training"
    seeds = "1 seed" if len(benchmark.seeds) == 1 else f"{len(benchmark.seeds)} seeds"
    return (
        f"{len(benchmark.entrants)} recipes, {seeds}, {length} each, on the same "
        f"{len(benchmark.training.indices('train')):,} images of {benchmark.training.image_size} px."
    )


def budget_table(benchmark: Benchmark, entries: Sequence[Entry]) -> str:
    """Return images seen and seconds of every recipe, by seed."""
    rows = []
    for name, entrant in benchmark.entrants.items():
        mine = [each for each in entries if each.name == name and each.lines]
        changes = " ".join(f"--{field} {value}" for field, value in entrant.changes.items())
        rows.append(
            [
                report.small(name, changes),
                entrant.recipe.method,
                listed([each.images for each in mine], ",d") if mine else NONE,
                ", ".join(duration(each.seconds) for each in mine) or NONE,
                f"{sum(each.images for each in mine) / sum(each.seconds for each in mine):,.0f}" if mine else NONE,
            ]
        )
    return report.table(["recipe", "method", "images seen", "time of training", "images/s"], rows, numbers=(2, 3, 4))


def notes(benchmark: Benchmark, entries: Sequence[Entry]) -> list[str]:
    """Return what a reader must know: what failed, and who got more or less time than the budget says."""
    found = [f"{each.name}, seed {each.seed}: {each.failure}." for each in entries if each.failure]
    if benchmark.judge is None:
        found.append("No judge knows these attributes at this size: edits and the distribution of samples are not "
                     "measured. Train one with attrimorph judge and name it with --judge.")  # fmt: skip
    if benchmark.seconds is None:
        return [*found, "The budget is images seen: the time that each recipe took for them stands in the table."]
    found.append(
        "Each recipe's length was fixed before its training, from its speed over some steps, so that its rates fall to "
        "their end within the budget; the time is that of the training itself, pauses left out."
    )
    shares = [(each, each.seconds / benchmark.seconds) for each in entries if each.lines]
    if missed := [f"{each.name}, seed {each.seed}: {s:.0%}" for each, s in shares if abs(s - 1) > UNEQUAL]:
        found.append(
            f"Some trained longer or shorter than the budget ({'; '.join(missed)}): their speed was not what it had "
            "been before, or the budget is no longer than a few of their steps."
        )
    return found


# --- what the models make of the same held-out images; a few words where one cannot


def side_by_side(benchmark: Benchmark, entries: Sequence[Entry]) -> list[str]:
    """Show edits, reconstructions, samples and translations of each recipe's first model; write each as a picture."""
    models: dict[str, Model | None] = {}
    for name in benchmark.entrants:
        run = next((each.run for each in entries if each.name == name and each.digest), None)
        models[name] = None if run is None else load(run, benchmark.device)
    shown, below = benchmark.shown, "Set where it is absent, taken away where it is present."
    given = {"held-out images": shown.images}
    # Title, words below it, what a model makes of it, and the images that all are given.
    galleries: list[tuple[str, str, Callable[[Model], Tensor | str], Mapping[str, Tensor]]] = [
        *((name, below, partial(edited, shown, name), given) for name in shown_attributes(models)),
        ("Reconstructions", "The same images without any change.", partial(reconstructed, shown), given),
        ("Samples", f"New images; z and attributes are drawn with the seed {SEED}.", sampled, {}),
        ("Translations", "What the generator is given, and what it makes of it.", partial(translated, shown), {}),
    ]
    pieces = []
    for title, below, make, first in galleries:
        made = {name: made_by(make, model) for name, model in models.items()}
        if not any(isinstance(row, Tensor) for row in made.values()):
            continue
        rows = {**first, **made}
        parts = {name: torch.split(row, SHOWN) for name, row in rows.items() if isinstance(row, Tensor)}
        labels = [name if part == 0 else "" for name, each in parts.items() for part in range(len(each))]
        picture = sheet([part for each in parts.values() for part in each], labels=labels, cell=CELL, clear=True)
        write_png(benchmark.out / "pictures" / f"{title}.png", picture, f"comparison by attrimorph; {title}")
        cells = [[name, f"{NONE} {row}" if isinstance(row, str) else strip(row, name)] for name, row in rows.items()]
        pieces += [report.heading(title, below, level=3), report.table(["", ""], cells)]
    return pieces


def strip(images: Tensor, name: str) -> str:
    """Return images in rows as a picture for the page."""
    return report.picture(grid(images, columns=SHOWN, cell=CELL, clear=True), width=SHOWN * (CELL + 4), alt=name)


def made_by(make: Callable[[Model], Tensor | str], model: Model | None) -> Tensor | str:
    """Return what a model makes, or why there is nothing."""
    if model is None:
        return "no model"
    try:
        made = make(model)
    # Told in its place on the page; whatever else there is to see is shown.
    except Exception as error:
        return f"failed: {' '.join(str(error).split())[:200]}"
    return made if isinstance(made, str) else made.detach().cpu()


def shown_attributes(models: Mapping[str, Model | None]) -> list[str]:
    """Return attributes to show edits of: those that most of the models edit come first."""
    able = [editable_names(model) for model in models.values() if model and isinstance(model, Edits)]
    count = {name: sum(name in names for names in able) for names in able for name in names}
    common = [name for name in count if count[name] == max(count.values())]
    chosen = all_over(common, ATTRIBUTES)
    return chosen + all_over([name for name in count if name not in common], ATTRIBUTES - len(chosen))


def all_over(names: Sequence[str], count: int) -> list[str]:
    """Return at most so many names, from all over."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def edited(shown: EvaluationSet, name: str, model: Model) -> Tensor | str:
    """Return images with one attribute set where it is absent and taken away where it is present."""
    if not isinstance(model, Edits):
        return "does not edit"
    if name not in editable_names(model):
        return f"does not edit {name}"
    there = shown.labels[:, model.schema.columns(name).start] == 1
    made = {goal: model.edit(shown.images, {name: goal}, shown.labels).cpu() for goal in (1.0, -1.0)}
    return torch.where(there[:, None, None, None], made[-1.0], made[1.0])


def reconstructed(shown: EvaluationSet, model: Model) -> Tensor | str:
    """Return images as a model makes them without any change."""
    if not isinstance(model, Encodes):
        return "does not reconstruct"
    return model.decode(model.encode(shown.images, shown.labels))


def sampled(model: Model) -> Tensor | str:
    """Return new images, two rows of them."""
    try:
        return sample(model, 2 * SHOWN, seed=SEED).images
    except AttrimorphError:
        return "does not sample"


def translated(shown: EvaluationSet, model: Model) -> Tensor | str:
    """Return sources and what becomes of them, for methods that do nothing else."""
    rows = [] if isinstance(model, Edits | Encodes) else model.sheet_rows(shown.images, shown.labels, shown.masks)
    return torch.cat(rows[1:]) if rows else "does not translate"


# --- figures


def figure_tables(benchmark: Benchmark, figures: Sequence[Ranking]) -> list[str]:
    """Return all figures, a column for each recipe; those of single attributes where at least two recipes have them."""
    whole = overall([figure.key for figure in figures])
    kept = [figure for figure in figures if figure.key in whole]
    shared = [f for f in figures if f not in kept and base_of(f.key) in OF_ATTRIBUTES and len(f.values) > 1]
    single = [report.folded("Edits, attribute by attribute", figure_table(benchmark, shared))] if shared else []
    measured = [
        [figure.key, of, f"{words(figure.key)[2]}; {protocol}"] for figure in kept for of, protocol in protocols(figure)
    ]
    how = report.folded("What each figure is, and how it was measured", report.table(["figure", "of", "how"], measured))
    return [figure_table(benchmark, kept), *single, how]


def figure_table(benchmark: Benchmark, figures: Sequence[Ranking]) -> str:
    """Return figures, a row for each: the best in bold, those behind it marked."""
    head, rows = ["figure", "", *benchmark.entrants], []
    for figure in figures:
        unit, better, what = words(figure.key)
        mark = "" if figure.alike else " *"
        name = report.Html(f'<code title="{report.text(what)}">{report.text(figure.key)}</code>{mark}')
        cells = []
        for recipe in benchmark.entrants:
            mean, _, extent = spread(figure.values.get(recipe, ()), ".4g").partition(" (")
            mean = report.bold(mean) if recipe == figure.best else f"▼ {mean}" if recipe in figure.behind else mean
            cells.append(report.small(mean, extent.removesuffix(")")))
        rows.append([name, "\u00a0".join(filter(None, (unit, ARROWS[better]))), *cells])
    unlike = "" if all(figure.alike for figure in figures) else report.note("* not measured alike, so not compared.")
    return report.table(head, rows, numbers=range(2, len(head))) + unlike


def protocols(figure: Ranking) -> list[tuple[str, str]]:
    """Return how a figure was measured, and of which recipes where not of all."""
    return [
        ("" if figure.alike else ", ".join(n for n, mine in figure.protocols.items() if mine == each), each)
        for each in dict.fromkeys(figure.protocols.values())
    ]


def table_of(recipes: Sequence[str], figures: Sequence[Ranking]) -> tuple[list[str], list[list[Cell]]]:
    """Return head and rows of a table of all figures: each recipe's mean and its standard deviation over the seeds."""
    head = ["key", *(cell for name in recipes for cell in (name, f"{name} sd")), "unit", "better", "best"]
    rows: list[list[Cell]] = []
    for figure in figures:
        cells: list[Cell] = [figure.key]
        for name in recipes:
            values = figure.values.get(name, [])
            cells += [fmean(values) if values else None, stdev(values) if len(values) > 1 else None]
        unit, better, what = words(figure.key)
        protocol = " | ".join(dict.fromkeys(figure.protocols.values()))
        rows.append([*cells, unit, better, figure.best, what, protocol])
    return [*head, "what", "protocol"], rows


# --- learning curves


def curves(benchmark: Benchmark, entries: Sequence[Entry]) -> list[str]:
    """Return a chart of every quantity of the logs; those of one recipe alone are folded away."""
    names = dict.fromkeys(name for each in entries for line in each.lines for name in line if name not in NOT_CURVES)
    label = "images seen" if benchmark.seconds is None else "seconds of training"
    shared: list[str] = []
    alone: dict[str, list[str]] = {}
    for quantity in names:
        found = {recipe: curve(benchmark, entries, recipe, quantity) for recipe in benchmark.entrants}
        series = {recipe: [(x, middle) for x, middle, _, _ in points] for recipe, points in found.items()}
        bands = {recipe: [(x, low, high) for x, _, low, high in points] for recipe, points in found.items()}
        drawn = [recipe for recipe, points in found.items() if points]
        if drawn:
            where = shared if len(drawn) > 1 else alone.setdefault(drawn[0], [])
            where.append(chart(quantity.replace("_", " "), series, x_label=label, bands=bands, key=True))
    folded = [report.folded(f"What {recipe} alone logs", report.curves(charts)) for recipe, charts in alone.items()]
    return [report.curves(shared), *folded]


def curve(
    benchmark: Benchmark, entries: Sequence[Entry], recipe: str, quantity: str
) -> list[tuple[float, float, float, float]]:
    """Return (images seen or seconds, mean, lowest, highest) over the seeds at the lines that all of them have."""
    mine = [each for each in entries if each.name == recipe and each.lines]
    points = []
    for lines in zip(*(zip(each.lines, seconds_of(each.lines), strict=True) for each in mine), strict=False):
        known = [float(line[quantity]) for line, _ in lines if isinstance(line.get(quantity), int | float)]
        if len(known) == len(lines):
            clock = [seconds if benchmark.seconds is not None else line["images_seen"] for line, seconds in lines]
            points.append((fmean(clock), fmean(known), min(known), max(known)))
    return points


def write_results(benchmark: Benchmark, entries: Sequence[Entry], figures: Sequence[Ranking]) -> None:
    """Write results.json."""
    report.write_values(
        benchmark.out / "results.json",
        FORMAT,
        2,
        {
            "machine": machine(),
            "budget": benchmark.budget,
            "data": benchmark.training.fingerprint,
            "recipes": {name: entrant.recipe.model_dump() for name, entrant in benchmark.entrants.items()},
            "overrides": {name: dict(entrant.changes) for name, entrant in benchmark.entrants.items()},
            "entries": [
                {
                    "recipe": each.name,
                    "seed": each.seed,
                    "images": each.images,
                    "seconds": round(each.seconds, 3),
                    "model sha256": each.digest,
                    "failure": each.failure,
                    "figures": each.figures,
                    "protocols": each.protocols,
                }
                for each in entries
            ],
            "rule": RULE,
            "best": {
                figure.key: {"recipe": figure.best, "behind by more than chance": figure.behind}
                for figure in figures
                if figure.best is not None
            },
        },
    )
