"""The page of a comparison: figures with their spread over seeds, learning curves, pictures side by side."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import attrimorph
from attrimorph.console import duration
from attrimorph.experiments import report
from attrimorph.experiments.claims import listed, spread
from attrimorph.experiments.comparison import (
    Contest,
    Entry,
    run_contest,
    seconds_of,
    seen,
    shown,
    write_results,
)
from attrimorph.experiments.outcome import machine
from attrimorph.metrics.keys import overall
from attrimorph.metrics.tables import words
from attrimorph.pictures import sheet, write_png

NOT_CURVES = ("images_seen", "images_per_second", "waited_seconds", "guard")
UNEQUAL = 0.1  # a budget of seconds missed by more than this share is told


def compare(contest: Contest) -> Path:
    """Train, measure and write OUT/report.html, results.json and pictures; return the path of the page."""
    entries = run_contest(contest)
    write_results(contest, entries)
    pictures = shown(contest, entries)
    images, _ = seen(contest)
    made = {name: pair[1] for name, pair in pictures.items() if pair[1] is not None}
    rows = [row for samples, _ in pictures.values() for row in samples.chunk(2)]
    labels = [word for name in pictures for word in (name, "")]
    pieces = [
        report.heading("What was done"),
        budget_table(contest, entries),
        *map(report.note, budget_notes(contest, entries)),
        report.heading("Figures", f"Means over the seeds {listed(contest.seeds, 'd')}, and their range."),
        figure_table(list(contest.recipes), entries),
        report.heading("Samples", f"Of the models of seed {contest.seeds[0]}; z and attributes are drawn alike."),
        kept(contest, "samples", sheet(rows, labels=labels, cell=64, clear=True)),
    ]
    if made:
        rows, labels = [images, *(each for each in made.values() if each is not None)], ["held-out images", *made]
        pieces += [
            report.heading("Reconstructions"),
            kept(contest, "reconstructions", sheet(rows, labels=labels, cell=64, clear=True)),
        ]
    pieces += [report.heading("Learning curves", "Means over the seeds."), curves(contest, entries)]
    return report.write_page(
        contest.out / "report.html",
        title=" · ".join(contest.recipes),
        eyebrow="attrimorph compare",
        lead=lead(contest),
        pieces=pieces,
        footer=f"attrimorph {attrimorph.__version__}; {machine()}",
    )


def lead(contest: Contest) -> str:
    """Return the page's first sentence."""
    length = f"{contest.images:,} images" if contest.images else f"{duration(contest.seconds or 0)} of training"
    return (
        f"{len(contest.recipes)} recipes, {len(contest.seeds)} seeds, {length} each, on the same "
        f"{len(contest.training.indices('train')):,} images."
    )


def kept(contest: Contest, name: str, picture: Image.Image) -> str:
    """Write a picture and return it for the page."""
    write_png(contest.out / "pictures" / f"{name}.png", picture, f"comparison by attrimorph; {name}")
    return report.picture(picture)


def budget_table(contest: Contest, entries: Sequence[Entry]) -> str:
    """Return images seen and seconds of every recipe, by seed."""
    rows = []
    for name in contest.recipes:
        mine = [each for each in entries if each.name == name]
        rows.append(
            [
                report.text(name),
                report.text(contest.recipes[name].method),
                listed([each.images for each in mine], ",d"),
                ", ".join(duration(each.seconds) for each in mine),
                f"{sum(each.images for each in mine) / max(sum(each.seconds for each in mine), 1e-9):,.0f}",
            ]
        )
    return report.table(["recipe", "method", "images seen", "time of training", "images/s"], rows, numbers=(2, 3, 4))


def budget_notes(contest: Contest, entries: Sequence[Entry]) -> list[str]:
    """Return what a reader must know of the budget: who got more or less time than it says."""
    if contest.seconds is None:
        return ["The budget is images seen: the time that each recipe took for them stands in the table."]
    notes = [
        "Each recipe's length was fixed before its training, from its speed over some steps, so that its rates fall to "
        "their end within the budget; the time is that of the training itself, pauses left out."
    ]
    for each in entries:
        share = each.seconds / contest.seconds
        if abs(share - 1) > UNEQUAL:
            notes.append(
                f"{each.name}, seed {each.seed}, trained {share:.0%} of the budget: the machine's speed changed."
            )
    return notes


def figure_table(names: Sequence[str], entries: Sequence[Entry]) -> str:
    """Return all figures, a column for each recipe."""
    keys = overall(list(dict.fromkeys(key for each in entries for key in each.figures)))
    protocols = {key: protocol for each in entries for key, protocol in each.protocols.items()}
    rows = []
    for key in keys:
        cells = [
            spread([each.figures[key] for each in entries if each.name == recipe and key in each.figures], ".4g")
            for recipe in names
        ]
        unit, better, what = words(key)
        told = [report.text(cell) for cell in (unit, better, f"{what}; {protocols[key]}")]
        rows.append([f"<code>{report.text(key)}</code>", *cells, *told])
    return report.table(
        ["figure", *names, "unit", "better", "what it is, and how it was measured"],
        rows,
        numbers=range(1, len(names) + 1),
    )


def curves(contest: Contest, entries: Sequence[Entry]) -> str:
    """Return a chart of every quantity of the logs, a line for each recipe, over the budget's own unit."""
    names = dict.fromkeys(name for each in entries for line in each.lines for name in line if name not in NOT_CURVES)
    label = "images seen" if contest.seconds is None else "seconds of training"
    charts = []
    for quantity in names:
        series = {recipe: mean_curve(contest, entries, recipe, quantity) for recipe in contest.recipes}
        charts.append(report.chart(quantity.replace("_", " "), series, x_label=label))
    return report.curves([chart for chart in charts if chart])


def mean_curve(contest: Contest, entries: Sequence[Entry], recipe: str, quantity: str) -> list[tuple[float, float]]:
    """Return (images seen or seconds, value), means over the seeds at the lines that all of them have."""
    mine = [each for each in entries if each.name == recipe]
    timed = [list(zip(each.lines, seconds_of(each.lines), strict=True)) if each.lines else [] for each in mine]
    points = []
    for lines in zip(*timed, strict=False):
        values = [line.get(quantity) for line, _ in lines]
        known = [float(value) for value in values if isinstance(value, int | float)]
        if len(known) == len(lines):
            clock = [seconds if contest.seconds is not None else line["images_seen"] for line, seconds in lines]
            points.append((sum(clock) / len(clock), sum(known) / len(known)))
    return points
