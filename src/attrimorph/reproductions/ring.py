"""Experiment a, Figure 4 of the CVAE-GAN paper: who covers a ring far away from where G starts?

What learns is the family itself (`methods.cvae_gan`): its losses and its steps, on small perceptrons and points.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from attrimorph.charts import Axes, Paper, chart
from attrimorph.data import Schema
from attrimorph.data.drawn.shapes import CENTRE, coverage, on_ring, ring
from attrimorph.data.loader import Batch
from attrimorph.files import read_json, write_json
from attrimorph.methods.cvae_gan.recipe import LossOptions, NetworkOptions, Recipe
from attrimorph.methods.cvae_gan.step import CVAEGAN, grouped
from attrimorph.methods.cvae_gan.terms import REAL_OR_FAKE, Term
from attrimorph.pictures import GREY, INK
from attrimorph.reproductions import report
from attrimorph.reproductions.frame import Claim, Outcome, Request, listed, more

SHARE = 0.95  # of the ring that counts as covered
WORDS = {"gan": "GAN", "wgan": "WGAN", "fm-gan": "FM-GAN"}
PAPER_ITERATIONS = 2_000_000
MEASUREMENTS = 200  # of a curve
VARIANT_SHARE = 0.3  # of the iterations, for each of the variants
MEASURED = 2_000  # samples, always of the same z
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
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


@dataclass(frozen=True)
class RingOptions:
    """What one curve depends on. The paper tells the widths, the optimiser and its rate; the rest is ours.

    Attributes:
        iterations: steps of G.
        every: iterations between two measurements.
        widths: of the hidden layers of G and of D (paper).
        learning_rate: of RMSProp (paper).
        batch_size: points a step.
        latent: columns of z ~ N(0, I).
        momentum: of FM-GAN's moving means; 0 takes each batch's own.
        feature_layer: which hidden layer of D FM-GAN matches; -1 is the last.
        critic_steps: steps of WGAN's critic for one of G (Arjovsky et al. 2017).
        saturating: the GAN's G goes down log(1 - D) in place of -log D.
    """

    iterations: int = 60_000
    every: int = 500
    widths: tuple[int, ...] = (32, 64, 64)
    learning_rate: float = 5e-5
    batch_size: int = 64
    latent: int = 2
    momentum: float = 0.0
    feature_layer: int = -1
    critic_steps: int = 5
    saturating: bool = False


@dataclass(frozen=True)
class RingCurve:
    """What one method did with one seed.

    Attributes:
        iterations: at which it was measured, [T].
        covered: share of the ring's sectors that samples fall into, [T].
        on_ring: share of the samples that lie on the ring, [T].
        points: iteration -> samples [N][2], at the snapshots.
    """

    iterations: list[int]
    covered: list[float]
    on_ring: list[float]
    points: dict[int, list[list[float]]]

    def first(self, share: float) -> float:
        """Return the first measured iteration at which `share` of the ring is covered; infinity where never."""
        return next((float(i) for i, c in zip(self.iterations, self.covered, strict=True) if c >= share), math.inf)

    def covered_at(self, iteration: float) -> float:
        """Return the coverage at the last measurement up to an iteration; NaN before the first."""
        known = [c for i, c in zip(self.iterations, self.covered, strict=True) if i <= iteration]
        return known[-1] if known else math.nan


Curves = Mapping[str, Sequence[RingCurve]]

# --- training


class Perceptron(nn.Module):
    """A perceptron with rectifiers, as the family calls a generator of points, or a discriminator.

    Args:
        sizes: of the layers, the input's first.
        feature_layer: which hidden layer `forward` returns beside the outputs; None: it returns outputs alone.
    """

    def __init__(self, sizes: Sequence[int], feature_layer: int | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.feature_layer = feature_layer

    def forward(self, h: Tensor, y: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return outputs [B, last]; of a discriminator logits [B, 1] and features."""
        hidden = []
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
            hidden.append(h)
        outputs: Tensor = self.layers[-1](h)
        return outputs if self.feature_layer is None else (outputs, hidden[self.feature_layer])


def family(method: str, options: RingOptions, seed: int) -> CVAEGAN:
    """Return a member of the family that learns points: G and D with fresh weights, and their RMSProp."""
    recipe = Recipe(
        name="ring",
        method=method,
        networks=NetworkOptions(latent=options.latent),
        losses=LossOptions(adversarial=1.0, mean_d=1.0, centre_momentum=options.momentum),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks: dict[str, nn.Module] = {
            "generator": Perceptron((options.latent, *options.widths, 2)),
            "discriminator": Perceptron((2, *options.widths, 1), options.feature_layer),
        }
    rate = options.learning_rate
    optimisers = {
        name: torch.optim.RMSprop(network.parameters(), lr=rate, foreach=True) for name, network in networks.items()
    }
    found = (Saturating if options.saturating else CVAEGAN)(recipe, Schema(()), networks, optimisers)
    if found.method.critic_steps > 1:
        found.method = replace(found.method, critic_steps=options.critic_steps)
    return found


class Saturating(CVAEGAN):
    """The GAN whose G goes down log(1 - D(x_p)): what D goes down, the other way."""

    def __init__(self, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(*parts, **arithmetic)
        self.weights["saturating"] = -1.0
        self._all_groups = grouped((REAL_OR_FAKE, Term("real_or_fake", ("generator",), "saturating")))


def train_ring(
    method: str, options: RingOptions, seed: int, snapshots: Sequence[int], progress: Callable[[int, int], None]
) -> RingCurve:
    """Train one method with one seed.

    Args:
        method: of `WORDS`.
        options: lengths, sizes, rates.
        seed: of weights and draws.
        snapshots: iterations at which the samples themselves are kept, multiples of `options.every`.
        progress: called with (iterations done, iterations).
    """
    learner, draws, curve = (
        family(method, options, seed),
        torch.Generator().manual_seed(seed),
        RingCurve([], [], [], {}),
    )
    z, nothing = torch.randn(MEASURED, options.latent, generator=draws), torch.zeros(MEASURED, 0)
    for iteration in range(1, options.iterations + 1):
        for _ in range(learner.method.critic_steps):
            learner.step(Batch(ring(options.batch_size, draws), nothing[: options.batch_size]), draws)
        if iteration % options.every == 0:
            with torch.no_grad():
                points = learner.networks["generator"](z, nothing)
            curve.iterations.append(iteration)
            curve.covered.append(coverage(points))
            curve.on_ring.append(float(on_ring(points).float().mean()))
            if iteration in snapshots:
                curve.points[iteration] = [[round(x, 3), round(y, 3)] for x, y in points.tolist()]
            progress(iteration, options.iterations)
    return curve


def curves_of(request: Request, words: str, method: str, options: RingOptions, snapshots: list[int]) -> list[RingCurve]:
    """Return the curves of one method, a seed each: those on disk as they are, the others trained."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in words.lower())
    wished = {
        "method": method,
        "by": "methods.cvae_gan",
        "options": {**asdict(options), "widths": list(options.widths)},
        "snapshots": snapshots,
    }
    paths = {seed: request.out / "ring" / "curves" / f"{stem}-seed{seed}.json" for seed in request.seeds}
    known = {seed: curve for seed, path in paths.items() if (curve := read_curve(path, wished)) is not None}
    missing = [seed for seed in request.seeds if seed not in known]
    if missing:
        request.say(f"{words}: {options.iterations:,} iterations, seeds {listed(missing, 'd')}")
    for seed in missing:
        progress = request.counting(f"{words}, seed {seed}", "iterations")
        known[seed] = train_ring(method, options, seed, snapshots, progress)
        write_json(paths[seed], {**wished, "seed": seed, "curve": asdict(known[seed])})
    return [known[seed] for seed in request.seeds]


def read_curve(path: Path, wished: Mapping[str, object]) -> RingCurve | None:
    """Return the curve in a file, or None where there is none that was trained as wished."""
    value = read_json(path) if path.exists() else {}
    if {name: value.get(name) for name in wished} != wished:
        return None
    points = {int(iteration): points for iteration, points in value["curve"]["points"].items()}
    return RingCurve(**{**value["curve"], "points": points})


# --- the experiment


def run(request: Request) -> Outcome:
    """Train the three methods on the ring, then their variants; curves that are on disk are taken from there."""
    length = request.form.iterations
    options = RingOptions(iterations=length, every=max(10, length // MEASUREMENTS))
    snapshots = [options.every * round(length * (k + 1) / COLUMNS / options.every) for k in range(COLUMNS)]
    curves = {method: curves_of(request, method, method, options, snapshots) for method in WORDS}
    short = options.every * round(VARIANT_SHARE * length / options.every)
    variants = {
        words: curves_of(request, words, method, replace(options, iterations=short, **changes), [])
        for words, (method, changes) in VARIANTS.items()
        if request.form.name == "full"
    }
    outcome = Outcome(
        "ring",
        "The ring",
        "A generator starts at the origin and must find, and cover, a thin ring around (100, 100).",
        {
            "data": f"a ring around {CENTRE}, drawn anew at every step",
            **{name.replace("_", " "): value for name, value in asdict(options).items()},
            "seeds": listed(request.seeds, "d"),
            "covered": "share of 36 sectors that any of 2,000 samples within 4 standard deviations of the ring hits",
            "length": f"the paper trained {PAPER_ITERATIONS:,} iterations; one iteration = one step of G",
            "learning": "by the family's own step: losses, terms and updates of methods/cvae_gan",
        },
        claims(curves),
        {
            "iterations to 95 % coverage": {
                words: [first if math.isfinite(first := curve.first(SHARE)) else None for curve in found]
                for words, found in {**curves, **variants}.items()
            },
            "curves": {
                method: [{**asdict(curve), "points": None} for curve in found] for method, found in curves.items()
            },
        },
    )
    below = "Grey: the ring. Points at a border lie beyond."
    outcome.pieces.append(report.heading("Samples over the iterations", below))
    outcome.show("figure-4", figure(curves, snapshots), f"One row a method, seed {request.seeds[0]}.")
    charts = []
    for number, seed in enumerate(request.seeds):
        for title, values in (("ring covered", "covered"), ("samples on the ring", "on_ring")):
            series = {
                WORDS[method]: list(zip(found[number].iterations, getattr(found[number], values), strict=True))
                for method, found in curves.items()
            }
            charts.append(chart(f"{title}, seed {seed}", series, x_label="iterations"))
    rows = {
        words: {
            "iterations": listed([curve.iterations[-1] for curve in found][:1], ",d"),
            "until 95 % is covered, by seed": listed([curve.first(SHARE) for curve in found], ",.0f"),
            f"covered at {short:,}": listed([curve.covered_at(short) for curve in found], ".2f"),
            "covered at the end": listed([curve.covered[-1] for curve in found], ".2f"),
            "on the ring at the end": listed([curve.on_ring[-1] for curve in found], ".2f"),
        }
        for words, found in {**{WORDS[method]: found for method, found in curves.items()}, **variants}.items()
    }
    below = "The paper tells neither batch size nor z nor layer nor averages: each is changed alone."
    outcome.pieces += [report.heading("Coverage"), report.curves(charts)]
    outcome.pieces += [report.heading("What it depends on", below), report.figures(rows, corner="method")]
    return outcome


def claims(curves: Curves) -> list[Claim]:
    """Return what section 4.1 of the paper says of its Figure 4, held against the curves."""
    fm, gan, wgan = (curves[method] for method in ("fm-gan", "gan", "wgan"))
    first = {method: [curve.first(SHARE) for curve in found] for method, found in curves.items()}
    others = [min(pair) for pair in zip(first["gan"], first["wgan"], strict=True)]
    ends = [float(curve.iterations[-1]) for curve in fm]
    # By how many iterations FM-GAN arrives before the others, at least; NaN where nobody does.
    earlier = [
        math.nan if math.isinf(min(mine, other)) else min(other, end) - min(mine, end)
        for mine, other, end in zip(first["fm-gan"], others, ends, strict=True)
    ]
    best = [max(curve.covered) for curve in gan]
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
            [curve.covered_at(iteration) for curve, iteration in zip(fm, first["fm-gan"], strict=True)],
            [curve.covered_at(iteration) for curve, iteration in zip(wgan, first["fm-gan"], strict=True)],
            ("at FM-GAN's arrival (or the end) FM-GAN covers", "WGAN"),
            source,
            ".2f",
        ),
    ]


# --- the picture

COLUMNS = 6  # snapshots
WINDOW = 5.0  # half the width of what a cell shows, around the ring's centre
CELL, FINE = 150, 3  # pixels of a cell, and how much finer it is drawn
HUES = {"gan": (196, 78, 82), "wgan": (221, 132, 82), "fm-gan": (76, 114, 176)}


def figure(curves: Curves, snapshots: Sequence[int]) -> Image.Image:
    """Draw samples of the first seed: one row a method, one column a snapshot."""
    left, top, pitch = 78, 28, CELL + 6
    paper = Paper(left + (len(snapshots) + 1) * pitch, top + len(curves) * pitch)
    real = ring(800, torch.Generator().manual_seed(0)).tolist()
    for column, words in enumerate(["real", *(f"{iteration:,}" for iteration in snapshots)]):
        paper.draw.text((left + column * pitch + CELL / 2, top / 2), words, INK, paper.font, anchor="mm")
    for row, (method, found) in enumerate(curves.items()):
        down = top + row * pitch
        paper.draw.text((left - 8, down + CELL / 2), WORDS[method], INK, paper.font, anchor="rm")
        for column, points in enumerate([[], *(found[0].points[iteration] for iteration in snapshots)]):
            paper.page.paste(cell(real, points, HUES[method]), (left + column * pitch, down))
    return paper.page


def cell(real: Sequence[Sequence[float]], samples: Sequence[Sequence[float]], hue: tuple[int, int, int]) -> Image.Image:
    """Draw the ring in grey, samples over it; what lies beyond the window is put on its border."""
    side = CELL * FINE
    paper = Paper(side, side)
    x, y = ((middle - WINDOW, middle + WINDOW) for middle in CENTRE)
    axes = Axes(4, 4, side - 4, side - 4, x, y)
    for points, colour, radius in ((real, (205, 207, 213), 1.5), (samples, hue, 2.5)):
        kept = [(min(max(a, x[0]), x[1]), min(max(b, y[0]), y[1])) for a, b in points]
        paper.dots(axes, kept, [colour] * len(kept), radius)
    paper.draw.rectangle((0, 0, side - 1, side - 1), outline=GREY, width=FINE)
    return paper.page.resize((CELL, CELL), Image.Resampling.LANCZOS)
