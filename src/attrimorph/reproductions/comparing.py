"""The page of a comparison: pictures side by side, figures with their spread over seeds, learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from attrimorph.charts import chart
from attrimorph.console import duration
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_json
from attrimorph.metrics.figures import base_of, overall
from attrimorph.metrics.tables import words, write_tables
from attrimorph.pictures import grid, sheet, write_png
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import listed, spread
from attrimorph.reproductions.comparison import SHOWN, Contest, Entry, check, check_folder, run_contest
from attrimorph.reproductions.comparison_figures import RULE, Figure, figures_of, table_of
from attrimorph.reproductions.comparison_pictures import Gallery, galleries
from attrimorph.reproductions.evaluation_page import ARROWS
from attrimorph.reproductions.frame import machine, seconds_of
from attrimorph.version import __version__

FORMAT = "attrimorph comparison"
NOT_CURVES = ("images_seen", "images_per_second", "waited_seconds", "guard")
UNEQUAL = 0.1  # a budget of seconds missed by more than this share is told
CELL = 64  # pixels of an image on the page, about
NONE = "–"
OF_ATTRIBUTES = ("edit.target_reached", "edit.leakage")  # the figures of single attributes that are shown


def compare(contest: Contest, csv: Path | None = None, latex: Path | None = None) -> Path:
    """Train, measure and write OUT/report.html, results.json and pictures; return the path of the page.

    Args:
        contest: what is compared, and how.
        csv, latex: files for the figures as a table.

    Raises:
        AttrimorphError: a recipe will be refused (before anything is trained), or not one training came to an end.
    """
    check(contest)
    check_folder(contest)
    entries = run_contest(contest)
    figures = figures_of(entries)
    write_results(contest, entries, figures)
    write_tables(*table_of(list(contest.entrants), figures), csv, latex)
    page = report.write_page(
        contest.out / "report.html",
        title=" · ".join(contest.entrants),
        eyebrow="attrimorph compare",
        lead=lead(contest),
        pieces=[
            report.heading("What was done"),
            budget_table(contest, entries),
            *map(report.note, notes(contest, entries)),
            report.heading(
                "Side by side",
                f"Of the models of the first seed, uncurated: the first {len(contest.shown.images)} held-out images.",
            ),
            *(piece for gallery in galleries(contest, entries) for piece in pictures(contest, gallery)),
            report.heading("Figures", f"Means over the seeds {listed(contest.seeds, 'd')}, and their range. {RULE}"),
            *figure_tables(contest, figures),
            report.heading("Learning curves", "Means over the seeds; the band reaches from the lowest to the highest."),
            *curves(contest, entries),
        ],
        footer=f"attrimorph {__version__}; {machine()}",
    )
    if not any(each.digest for each in entries):
        raise AttrimorphError(f"not one training came to an end; the first: {entries[0].failure}; {page} tells of all")
    return page


def lead(contest: Contest) -> str:
    """Return the page's first sentence."""
    length = f"{contest.images:,} images" if contest.images else f"{duration(contest.seconds or 0)} of training"
    seeds = "1 seed" if len(contest.seeds) == 1 else f"{len(contest.seeds)} seeds"
    return (
        f"{len(contest.entrants)} recipes, {seeds}, {length} each, on the same "
        f"{len(contest.training.indices('train')):,} images of {contest.training.image_size} px."
    )


def budget_table(contest: Contest, entries: Sequence[Entry]) -> str:
    """Return images seen and seconds of every recipe, by seed."""
    rows = []
    for name, entrant in contest.entrants.items():
        mine = [each for each in entries if each.name == name and each.lines]
        changes = " ".join(f"--{field} {value}" for field, value in entrant.changes.items())
        rows.append(
            [
                report.text(name) + (f"<br><small>{report.text(changes)}</small>" if changes else ""),
                report.text(entrant.recipe.method),
                listed([each.images for each in mine], ",d") if mine else NONE,
                ", ".join(duration(each.seconds) for each in mine) or NONE,
                f"{sum(each.images for each in mine) / sum(each.seconds for each in mine):,.0f}" if mine else NONE,
            ]
        )
    return report.table(["recipe", "method", "images seen", "time of training", "images/s"], rows, numbers=(2, 3, 4))


def notes(contest: Contest, entries: Sequence[Entry]) -> list[str]:
    """Return what a reader must know: what failed, and who got more or less time than the budget says."""
    found = [f"{each.name}, seed {each.seed}: {each.failure}." for each in entries if each.failure]
    if contest.judge is None:
        found.append("No judge knows these attributes at this size: edits and the distribution of samples are not "
                     "measured. Train one with attrimorph judge and name it with --judge.")  # fmt: skip
    if contest.seconds is None:
        return [*found, "The budget is images seen: the time that each recipe took for them stands in the table."]
    found.append(
        "Each recipe's length was fixed before its training, from its speed over some steps, so that its rates fall to "
        "their end within the budget; the time is that of the training itself, pauses left out."
    )
    shares = [(each, each.seconds / contest.seconds) for each in entries if each.lines]
    if missed := [f"{each.name}, seed {each.seed}: {s:.0%}" for each, s in shares if abs(s - 1) > UNEQUAL]:
        found.append(
            f"Some trained longer or shorter than the budget ({'; '.join(missed)}): their speed was not what it had "
            "been before, or the budget is no longer than a few of their steps."
        )
    return found


def pictures(contest: Contest, gallery: Gallery) -> list[str]:
    """Write what all make as one picture, and return it for the page, a row for each recipe."""
    given = {} if gallery.given is None else {"held-out images": gallery.given}
    rows: dict[str, Tensor | str] = {**given, **gallery.rows}
    made = [(name, part) for name, row in rows.items() if isinstance(row, Tensor) for part in torch.split(row, SHOWN)]
    labels = [name if place == 0 or made[place - 1][0] != name else "" for place, (name, _) in enumerate(made)]
    picture = sheet([part for _, part in made], labels=labels, cell=CELL, clear=True)
    write_png(contest.out / "pictures" / f"{gallery.title}.png", picture, f"comparison by attrimorph; {gallery.title}")
    cells = [
        [report.text(name), f"{NONE} {report.text(row)}" if isinstance(row, str) else strip(row, name)]
        for name, row in rows.items()
    ]
    return [report.heading(gallery.title, gallery.below, level=3), report.table(["", ""], cells)]


def strip(images: Tensor, name: str) -> str:
    """Return images in rows as a picture for the page."""
    return report.picture(grid(images, columns=SHOWN, cell=CELL, clear=True), width=SHOWN * (CELL + 4), alt=name)


def figure_tables(contest: Contest, figures: Sequence[Figure]) -> list[str]:
    """Return all figures, a column for each recipe; those of single attributes where at least two recipes have them."""
    whole = overall([figure.key for figure in figures])
    single = [figure for figure in figures if figure.key not in whole and base_of(figure.key) in OF_ATTRIBUTES]
    shared = [figure for figure in single if len(figure.values) > 1]
    return [
        figure_table(contest, [figure for figure in figures if figure.key in whole]),
        *([report.folded("Edits, attribute by attribute", figure_table(contest, shared))] if shared else []),
        report.folded("What each figure is, and how it was measured", report.table(["figure", "of", "how"], [
            [report.text(figure.key), report.text(of), report.text(f"{words(figure.key)[2]}; {protocol}")]
            for figure in figures if figure.key in whole for of, protocol in protocols(figure)
        ])),
    ]  # fmt: skip


def figure_table(contest: Contest, figures: Sequence[Figure]) -> str:
    """Return figures, a row for each."""
    head = ["figure", "", *contest.entrants]
    rows = []
    for figure in figures:
        unit, better, what = words(figure.key)
        star = "" if figure.alike else " *"
        name = f'<code title="{report.text(what)}">{report.text(figure.key)}</code>{star}'
        rows.append([name, "\u00a0".join(filter(None, (unit, ARROWS[better]))), *cells(contest, figure)])
    unlike = [] if all(figure.alike for figure in figures) else [report.note("* not measured alike, so not compared.")]
    return "".join([report.table(head, rows, numbers=range(2, len(head))), *unlike])


def protocols(figure: Figure) -> list[tuple[str, str]]:
    """Return how a figure was measured, and of which recipes where not of all."""
    different = dict.fromkeys(figure.protocols.values())
    return [
        ("" if figure.alike else ", ".join(n for n, mine in figure.protocols.items() if mine == each), each)
        for each in different
    ]


def cells(contest: Contest, figure: Figure) -> list[str]:
    """Return what each recipe reached: the best in bold, those behind it marked."""
    best, behind = figure.best, figure.behind
    found = []
    for name in contest.entrants:
        mean, _, extent = spread(figure.values.get(name, ()), ".4g").partition(" (")
        mean = f"<b>{mean}</b>" if name == best else f"▼ {mean}" if name in behind else mean
        found.append(mean + (f"<br><small>{extent.removesuffix(')')}</small>" if extent else ""))
    return found


def curves(contest: Contest, entries: Sequence[Entry]) -> list[str]:
    """Return a chart of every quantity of the logs; those of one recipe alone are folded away."""
    names = dict.fromkeys(name for each in entries for line in each.lines for name in line if name not in NOT_CURVES)
    label = "images seen" if contest.seconds is None else "seconds of training"
    shared: list[str] = []
    alone: dict[str, list[str]] = {}
    for quantity in names:
        found = {recipe: curve(contest, entries, recipe, quantity) for recipe in contest.entrants}
        series = {recipe: [(x, middle) for x, middle, _, _ in points] for recipe, points in found.items()}
        bands = {recipe: [(x, low, high) for x, _, low, high in points] for recipe, points in found.items()}
        drawn_chart = chart(quantity.replace("_", " "), series, x_label=label, bands=bands, key=True)
        drawn = [recipe for recipe, points in found.items() if points]
        if len(drawn) > 1:
            shared.append(drawn_chart)
        elif drawn:
            alone.setdefault(drawn[0], []).append(drawn_chart)
    folded = [report.folded(f"What {recipe} alone logs", report.curves(charts)) for recipe, charts in alone.items()]
    return [report.curves(shared), *folded]


def curve(
    contest: Contest, entries: Sequence[Entry], recipe: str, quantity: str
) -> list[tuple[float, float, float, float]]:
    """Return (images seen or seconds, mean, lowest, highest) over the seeds at the lines that all of them have."""
    mine = [each for each in entries if each.name == recipe and each.lines]
    points = []
    for lines in zip(*(zip(each.lines, seconds_of(each.lines), strict=True) for each in mine), strict=False):
        known = [float(line[quantity]) for line, _ in lines if isinstance(line.get(quantity), int | float)]
        if len(known) == len(lines):
            clock = [seconds if contest.seconds is not None else line["images_seen"] for line, seconds in lines]
            points.append((fmean(clock), fmean(known), min(known), max(known)))
    return points


def write_results(contest: Contest, entries: Sequence[Entry], figures: Sequence[Figure]) -> None:
    """Write results.json."""
    write_json(
        contest.out / "results.json",
        {
            "format": FORMAT,
            "format_version": 2,
            "attrimorph": __version__,
            "machine": machine(),
            "budget": {"images": contest.images, "seconds": contest.seconds},
            "data": contest.training.fingerprint,
            "recipes": {name: entrant.recipe.model_dump() for name, entrant in contest.entrants.items()},
            "overrides": {name: dict(entrant.changes) for name, entrant in contest.entrants.items()},
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
            "best": {figure.key: verdict(figure) for figure in figures if figure.best is not None},
        },
    )


def verdict(figure: Figure) -> Mapping[str, object]:
    """Return who is best, and who is behind by more than chance."""
    return {"recipe": figure.best, "behind by more than chance": figure.behind}
