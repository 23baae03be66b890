"""Experiment a, Figure 4 of the CVAE-GAN paper: who covers a ring far away from where G starts?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from attrimorph.data.drawn.ring import CENTRE, ring
from attrimorph.files import read_json, write_json
from attrimorph.pictures import INK, PAPER
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, listed, more
from attrimorph.reproductions.frame import Outcome, Request
from attrimorph.reproductions.ring_training import METHODS, Method, RingCurve, RingOptions, train_ring

NAME = "ring"
SHARE = 0.95  # of the ring that counts as covered
WORDS = {"gan": "GAN", "wgan": "WGAN", "fm-gan": "FM-GAN"}
PAPER_ITERATIONS = 2_000_000
MEASUREMENTS = 200  # of a curve
VARIANT_SHARE = 0.3  # of the iterations, for each of the variants
COLUMNS = 6  # snapshots of the picture
WINDOW = 5.0  # half the width of what a cell shows, around the ring's centre
CELL, FINE = 150, 3  # pixels of a cell, and how much finer it is drawn
HUES = {"gan": (196, 78, 82), "wgan": (221, 132, 82), "fm-gan": (76, 114, 176)}

VARIANTS: dict[str, tuple[Method, dict[str, object]]] = {
    "FM-GAN, batch of 16": ("fm-gan", {"batch_size": 16}),
    "FM-GAN, batch of 256": ("fm-gan", {"batch_size": 256}),
    "FM-GAN, moving means 0.9": ("fm-gan", {"momentum": 0.9}),
    "FM-GAN, first hidden layer of D": ("fm-gan", {"feature_layer": 0}),
    "FM-GAN, second hidden layer of D": ("fm-gan", {"feature_layer": 1}),
    "FM-GAN, z of 16 columns": ("fm-gan", {"latent": 16}),
    "GAN, saturating loss": ("gan", {"saturating": True}),
    "GAN, batch of 256": ("gan", {"batch_size": 256}),
    "GAN, z of 16 columns": ("gan", {"latent": 16}),
    "WGAN, one step of D for one of G": ("wgan", {"critic_steps": 1}),
    "WGAN, batch of 256": ("wgan", {"batch_size": 256}),
}
"""What nobody published, changed one at a time."""

Curves = Mapping[str, Sequence[RingCurve]]


def run(request: Request) -> Outcome:
    """Train the three methods on the ring, then their variants; curves that are on disk are taken from there."""
    length = request.form.iterations
    options = RingOptions(iterations=length, every=max(10, length // MEASUREMENTS))
    snapshots = [options.every * round(length * (k + 1) / COLUMNS / options.every) for k in range(COLUMNS)]
    curves: dict[str, list[RingCurve]] = {
        method: curves_of(request, method, method, options, snapshots) for method in METHODS
    }
    variants: dict[str, list[RingCurve]] = {}
    short = options.every * round(VARIANT_SHARE * length / options.every)
    if request.form.name == "full":
        for words, (method, changes) in VARIANTS.items():
            changed = replace(options, iterations=short, **changes)  # type: ignore[arg-type]
            variants[words] = curves_of(request, words, method, changed, [])
    outcome = Outcome(
        name=NAME,
        title="The ring",
        lead="A generator starts at the origin and must find, and cover, a thin ring around (100, 100).",
        protocol={
            "data": f"a ring around {CENTRE}, drawn anew at every step",
            **{name.replace("_", " "): value for name, value in asdict(options).items()},
            "seeds": listed(request.seeds, "d"),
            "covered": "share of 36 sectors that any of 2,000 samples within 4 standard deviations of the ring hits",
            "length": f"the paper trained {PAPER_ITERATIONS:,} iterations; one iteration = one step of G",
        },
        claims=claims(curves),
        figures={
            "iterations to 95 % coverage": {
                words: [first if math.isfinite(first := curve.first(SHARE)) else None for curve in found]
                for words, found in {**curves, **variants}.items()
            },
            "curves": {
                method: [{**curve.to_json(), "points": None} for curve in found] for method, found in curves.items()
            },
        },
    )
    outcome.pieces.append(
        report.heading("Samples over the iterations", "Grey: the ring. Points at a border lie beyond.")
    )
    outcome.show("figure-4", figure(curves, snapshots), f"One row a method, seed {request.seeds[0]}.")
    outcome.pieces += [report.heading("Coverage"), charts(curves, request.seeds), table(curves, variants, short)]
    return outcome


def curves_of(
    request: Request, words: str, method: Method, options: RingOptions, snapshots: list[int]
) -> list[RingCurve]:
    """Return the curves of one method, a seed each: those on disk as they are, the others trained."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in words.lower())
    wished = {"method": method, "options": {**asdict(options), "widths": list(options.widths)}, "snapshots": snapshots}
    paths = {seed: request.out / NAME / "curves" / f"{stem}-seed{seed}.json" for seed in request.seeds}
    known = {seed: curve for seed, path in paths.items() if (curve := read_curve(path, wished)) is not None}
    missing = [seed for seed in request.seeds if seed not in known]
    if missing:
        request.say(f"{words}: {options.iterations:,} iterations, seeds {listed(missing, 'd')}")
        trained = train_ring(
            method, options, missing, snapshots, lambda done, total: request.progress(words, done, total)
        )
        for seed, curve in zip(missing, trained, strict=True):
            write_json(paths[seed], {**wished, "seed": seed, "curve": curve.to_json()})
            known[seed] = curve
    return [known[seed] for seed in request.seeds]


def read_curve(path: Path, wished: Mapping[str, object]) -> RingCurve | None:
    """Return the curve in a file, or None where there is none that was trained as wished."""
    if not path.exists():
        return None
    value = read_json(path)
    if {name: value.get(name) for name in wished} != wished:
        return None
    return RingCurve.from_json(value["curve"])


def claims(curves: Curves) -> list[Claim]:
    """Return what section 4.1 of the paper says of its Figure 4, held against the curves."""
    fm, gan, wgan = (curves[method] for method in ("fm-gan", "gan", "wgan"))
    first = {method: [curve.first(SHARE) for curve in found] for method, found in curves.items()}
    rivals = [min(a, b) for a, b in zip(first["gan"], first["wgan"], strict=True)]
    ends = [float(curve.iterations[-1]) for curve in fm]
    earlier = [_earlier(*each) for each in zip(first["fm-gan"], rivals, ends, strict=True)]
    best = [max(curve.covered) for curve in gan]
    at = [arrival if math.isfinite(arrival) else math.inf for arrival in first["fm-gan"]]
    source = "paper, toy example (Figure 4)"
    return [
        Claim(
            "FM-GAN covers 95 % of the ring first",
            source,
            tuple(earlier),
            "iterations to 95 %: "
            + "; ".join(f"{WORDS[method]} {listed(values, ',.0f')}" for method, values in first.items())
            + f"; never counts as the end, {ends[0]:,.0f}",
            form=",.0f",
        ),
        Claim(
            "GAN collapses: it never covers 95 % of the ring",
            source,
            tuple(SHARE - share for share in best),
            f"the most that GAN covered {listed(best, '.2f')}",
            form=".2f",
        ),
        more(
            "WGAN has not learned the ring when FM-GAN has: it covers less",
            [curve.covered_at(iteration) for curve, iteration in zip(fm, at, strict=True)],
            [curve.covered_at(iteration) for curve, iteration in zip(wgan, at, strict=True)],
            source=source,
            names=("at FM-GAN's arrival (or the end) FM-GAN covers", "WGAN"),
            form=".2f",
        ),
    ]


def _earlier(mine: float, other: float, end: float) -> float:
    """Return by how many iterations the first arrives before the other, at least; NaN where neither does."""
    return math.nan if math.isinf(mine) and math.isinf(other) else min(other, end) - min(mine, end)


def charts(curves: Curves, seeds: Sequence[int]) -> str:
    """Return the curves of all seeds: coverage, and share of samples on the ring."""
    pieces = []
    for place, seed in enumerate(seeds):
        for title, values in (("ring covered", "covered"), ("samples on the ring", "on_ring")):
            series = {
                WORDS[method]: list(zip(found[place].iterations, found[place].to_json()[values], strict=True))
                for method, found in curves.items()
            }
            pieces.append(report.chart(f"{title}, seed {seed}", series, x_label="iterations"))
    return report.curves(pieces)


def table(curves: Curves, variants: Curves, short: int) -> str:
    """Return iterations to 95 % coverage and what is covered, for the methods and their variants.

    Args:
        curves: of the methods.
        variants: which end after `short` iterations.
    """
    rows = []
    for words, found in {**{WORDS[method]: found for method, found in curves.items()}, **variants}.items():
        rows.append(
            [
                report.text(words),
                listed([curve.iterations[-1] for curve in found][:1], ",d"),
                listed([curve.first(SHARE) for curve in found], ",.0f"),
                listed([curve.covered_at(short) for curve in found], ".2f"),
                listed([curve.covered[-1] for curve in found], ".2f"),
                listed([curve.on_ring[-1] for curve in found], ".2f"),
            ]
        )
    head = [
        "method",
        "iterations",
        "until 95 % is covered, by seed",
        f"covered at {short:,}",
        "covered at the end",
        "on the ring at the end",
    ]
    return report.heading(
        "What it depends on", "The paper tells neither batch size nor z nor layer nor averages: each is changed alone."
    ) + report.table(head, rows, numbers=range(1, 6))


def figure(curves: Curves, snapshots: Sequence[int]) -> Image.Image:
    """Draw samples of the first seed: one row a method, one column a snapshot."""
    font = ImageFont.load_default(15)
    left, top, gap = 78, 28, 6
    size = (left + (len(snapshots) + 1) * (CELL + gap), top + len(curves) * (CELL + gap))
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    real = ring(800, torch.Generator().manual_seed(0)).tolist()
    for column, words in enumerate(["real", *(f"{iteration:,}" for iteration in snapshots)]):
        draw.text((left + column * (CELL + gap) + CELL / 2, top / 2), words, INK, font, anchor="mm")
    for row, (method, found) in enumerate(curves.items()):
        across = top + row * (CELL + gap)
        draw.text((left - 8, across + CELL / 2), WORDS[method], INK, font, anchor="rm")
        page.paste(scatter(real, [], HUES[method]), (left, across))
        for column, iteration in enumerate(snapshots, 1):
            page.paste(scatter(real, found[0].points[iteration], HUES[method]), (left + column * (CELL + gap), across))
    return page


def scatter(
    real: Sequence[Sequence[float]], samples: Sequence[Sequence[float]], hue: tuple[int, int, int]
) -> Image.Image:
    """Draw one cell: the ring in grey, samples over it; what lies beyond the window is put on its border."""
    side = CELL * FINE
    cell = Image.new("RGB", (side, side), (250, 250, 252))
    draw = ImageDraw.Draw(cell)
    for points, colour, reach in ((real, (205, 207, 213), 1.5), (samples, hue, 2.5)):
        for x, y in points:
            across, down = (
                side / 2 + max(-WINDOW, min(WINDOW, offset)) / WINDOW * (side / 2 - 4)
                for offset in (x - CENTRE[0], CENTRE[1] - y)
            )
            draw.ellipse((across - reach, down - reach, across + reach, down + reach), fill=colour)
    draw.rectangle((0, 0, side - 1, side - 1), outline=(190, 192, 200), width=FINE)
    return cell.resize((CELL, CELL), Image.Resampling.LANCZOS)
