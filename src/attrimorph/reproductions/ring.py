"""Experiment a, Figure 4 of the CVAE-GAN paper: who covers a ring far away from where G starts?

What learns is the family itself (`methods.cvae_gan`): its losses, terms and updates, on small perceptrons and points.
Its step is traced once and compiled, and all seeds go side by side: steps by the hundred thousand take minutes.
"""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from attrimorph.charts import Axes, Paper, chart
from attrimorph.console import Interrupted, defer_signals
from attrimorph.data import Schema
from attrimorph.data.drawn.shapes import CENTRE, coverage, evenness, on_ring, ring
from attrimorph.errors import AttrimorphError
from attrimorph.files import beside, load_unfinished, read_json, save_unfinished, write_json
from attrimorph.methods.cvae_gan.recipe import REAL_OR_FAKE, D, LossOptions, NetworkOptions, Recipe, Term
from attrimorph.methods.cvae_gan.step import CVAEGAN, LOSSES, Backward, Forward, grouped
from attrimorph.pictures import GREY, INK
from attrimorph.reproductions import EXPERIMENTS, report
from attrimorph.reproductions.frame import Claim, Outcome, Request, claim, listed, outcome_of

SHARE = 0.95  # of the ring that counts as covered
WORDS = {"gan": "GAN", "wgan": "WGAN", "fm-gan": "FM-GAN"}
PAPER_ITERATIONS = 2_000_000
MEASUREMENTS = 200  # of a curve
LAST = 0.1  # of the measurements, over whose mean the end is told
LEARNED = 0.9  # of the samples on the ring, and of evenness, that the distribution counts as learned
VARIANT_SHARE = 0.3  # of the iterations, for each of the variants
MEASURED = 2_000  # samples, always of the same z
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "FM-GAN, batch of 16": ("fm-gan", {"batch_size": 16}),
    "FM-GAN, batch of 256": ("fm-gan", {"batch_size": 256}),
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
        even: how evenly those lie around it, [T]; see `data.drawn.shapes.evenness`.
        points: iteration -> samples [N][2], at the snapshots.
    """

    iterations: list[int]
    covered: list[float]
    on_ring: list[float]
    even: list[float]
    points: dict[int, list[list[float]]]

    def first(self, share: float) -> float:
        """Return the first measured iteration at which `share` of the ring is covered; infinity where never."""
        return next((float(i) for i, c in zip(self.iterations, self.covered, strict=True) if c >= share), math.inf)

    def covered_at(self, iteration: float) -> float:
        """Return the coverage at the last measurement up to an iteration; NaN before the first."""
        known = [c for i, c in zip(self.iterations, self.covered, strict=True) if i <= iteration]
        return known[-1] if known else math.nan

    def at_the_end(self, name: str) -> float:
        """Return the mean of a figure over the last tenth of the measurements: one alone swings with the game."""
        values: list[float] = getattr(self, name)
        last = values[-max(1, round(LAST * len(values))) :]
        return sum(last) / len(last)


Curves = Mapping[str, Sequence[RingCurve]]
Flat = dict[str, Tensor]
Step = Callable[[Tensor, Tensor, Flat, Flat], tuple[Flat, Flat]]

# --- training


class Perceptrons(nn.Module):
    """Perceptrons with rectifiers, one a seed, side by side; the family calls them as one generator or discriminator.

    A row holds a point (or a code) of each seed, and no number of one seed reaches another.

    Args:
        sizes: of the layers, the input's first.
        seeds: of the first weights; S of them.
        feature_layer: which hidden layer `forward` returns beside the outputs; None: it returns outputs alone.
    """

    def __init__(self, sizes: Sequence[int], seeds: Sequence[int], feature_layer: int | None = None) -> None:
        super().__init__()
        layers: list[list[nn.Linear]] = []
        for seed in seeds:
            torch.manual_seed(seed)
            layers.append([nn.Linear(before, after) for before, after in pairwise(sizes)])
        of_all = list(zip(*layers, strict=True))
        self.weights = nn.ParameterList(torch.stack([one.weight.detach().T for one in each]) for each in of_all)
        self.biases = nn.ParameterList(torch.stack([one.bias.detach()[None] for one in each]) for each in of_all)
        self.seeds, self.feature_layer = len(seeds), feature_layer

    def forward(self, h: Tensor, y: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return outputs [B, S * last] for [B, S * first]; of a discriminator logits and features."""
        h, hidden = h.view(len(h), self.seeds, -1).transpose(0, 1), []
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, h, weight)
            if place < len(self.weights) - 1:
                h = h.relu()
                hidden.append(h)
        outputs = h.transpose(0, 1).flatten(1)
        return (
            outputs if self.feature_layer is None else (outputs, hidden[self.feature_layer].transpose(0, 1).flatten(1))
        )


def family(method: str, options: RingOptions, seeds: Sequence[int]) -> CVAEGAN:
    """Return a member of the family that learns points: G and D with fresh weights, and their RMSProp.

    The family's losses are means over seeds (that of eq. 2, a sum over features, is made one), so that a gradient is a
    share of a seed's own: RMSProp does not see it, once its epsilon is that share too.
    """
    count = len(seeds)
    recipe = Recipe(
        name="ring",
        method=method,
        networks=NetworkOptions(latent=count * options.latent),
        losses=LossOptions(adversarial=1.0, mean_d=1.0 / count, centre_momentum=0.0),
    )
    with torch.random.fork_rng(devices=[]):
        networks: dict[str, nn.Module] = {
            "generator": Perceptrons((options.latent, *options.widths, 2), seeds),
            "discriminator": Perceptrons((2, *options.widths, 1), seeds, options.feature_layer),
        }
    optimisers = {
        name: torch.optim.RMSprop(network.parameters(), lr=options.learning_rate, eps=1e-8 / count)
        for name, network in networks.items()
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
        self._phases = [grouped((REAL_OR_FAKE, Term("real_or_fake", ("generator",), "saturating")))]


class Given(nn.Module):
    """A network with given weights in place of its own.

    Args:
        network: whose form.
        weights: name -> tensor.
    """

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network, self.given = network, dict(weights)

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the network makes of the inputs."""
        return functional_call(self.network, self.given, inputs)


class OnPoints(Forward):
    """The family's evaluation, z given, no labels: of the plain tensors alone, as tracing needs it.

    Args:
        algorithm: the family.
        networks: name -> what computes it.
        points: [B, S * 2].
        z: [B, S * latent].
    """

    def __init__(self, algorithm: CVAEGAN, networks: Mapping[str, nn.Module], points: Tensor, z: Tensor) -> None:
        # Moving means without memory are the batch's own; the family's keep what they saw, which a trace cannot.
        means = SimpleNamespace(update=lambda real, _, made, __: (real.mean(0), made.mean(0)))
        parts = {"networks": networks, "centres_d": means, "edited_share": 0.0}
        told = {name: getattr(algorithm, name) for name in ("method", "condition", "fill_value")}
        self.algorithm = cast(Any, SimpleNamespace(**told, **parts))
        self.x_r, self.z_prior, self.labels = points, z, points[:, :0]

    y_p = property(lambda self: self.labels)


def stepping(learner: CVAEGAN, groups: Sequence[Backward], points: Tensor, z: Tensor) -> Step:
    """Trace the family's step: a function of points, z, and each network's flat weights and RMSProp's mean squares.

    Args:
        learner: its losses, terms, networks and optimisers.
        groups: the backward passes of the step: all, or D's alone.
        points, z: as large as those that will come.

    Returns:
        The function, which returns the weights and squares after the step.
    """
    names = [name for name in learner.method.networks if any(name in group.networks for group in groups)]
    shapes = {name: {key: p.shape for key, p in part.named_parameters()} for name, part in learner.networks.items()}

    def step(points: Tensor, z: Tensor, weights: Flat, squares: Flat) -> tuple[Flat, Flat]:
        networks = {}
        for name, sizes in shapes.items():
            parts = torch.split(weights[name], [size.numel() for size in sizes.values()])
            own = {key: part.view(size) for (key, size), part in zip(sizes.items(), parts, strict=True)}
            networks[name] = Given(learner.networks[name], own)
        evaluation = OnPoints(learner, networks, points, z)
        gradients: Flat = {}
        values = {term.loss: LOSSES[term.loss][0](evaluation) for group in groups for term in group.terms}
        for group in groups:
            total = torch.stack([learner._weight(term) * values[term.loss] for term in group.terms]).sum()
            own_names = [name for name in names if name in group.networks]
            found = torch.autograd.grad(total, [weights[name] for name in own_names], retain_graph=True)
            gradients |= dict(zip(own_names, found, strict=True))
        weights, squares = ({name: value.detach() for name, value in each.items()} for each in (weights, squares))
        for name, gradient in gradients.items():
            rule = learner.optimisers[name].param_groups[0]
            squares[name] = rule["alpha"] * squares[name] + (1 - rule["alpha"]) * gradient.square()
            weights[name] = weights[name] - rule["lr"] * gradient / (squares[name].sqrt() + rule["eps"])
        if learner.method.clip:
            weights[D] = weights[D].clamp(-learner.method.clip, learner.method.clip)
        return weights, squares

    weights = {name: value.requires_grad_() for name, value in flat(learner).items()}
    squares = {name: torch.zeros_like(value) for name, value in weights.items()}
    return cast(Step, make_fx(step)(points, z, weights, squares))


def flat(learner: CVAEGAN) -> Flat:
    """Return each network's weights in one row."""
    return {name: nn.utils.parameters_to_vector(part.parameters()).detach() for name, part in learner.networks.items()}


def compiled(step: Step) -> Step:
    """Return a traced step as a compiled one where there is a compiler: four to eight times as fast."""
    if shutil.which("g++") is None:
        return step
    return cast(Step, torch.compile(step, options={"cpp_wrapper": True}))


@torch.no_grad()
def train_ring(
    method: str,
    options: RingOptions,
    seeds: Sequence[int],
    snapshots: Sequence[int],
    progress: Callable[[int, int], None],
    fast: Callable[[Step], Step] = compiled,
    result: Path | None = None,
) -> list[RingCurve]:
    """Train one method with several seeds at once.

    Args:
        method: of `WORDS`.
        options: lengths, sizes, rates.
        seeds: of weights; the first one also of all draws.
        snapshots: iterations at which the samples themselves are kept, multiples of `options.every`.
        progress: called with (iterations done, iterations).
        fast: what makes a traced step quick.
        result: the file that will come of it: a signal keeps beside it how far the training has come, and this goes on.

    Returns:
        A curve for each seed.

    Raises:
        Interrupted: a signal ended it.
    """
    learner, draws = family(method, options, seeds), torch.Generator().manual_seed(seeds[0])
    curves = [RingCurve([], [], [], [], {}) for _ in seeds]
    width = len(seeds) * options.latent
    z = torch.randn(MEASURED, width, generator=draws)

    turns, batch = learner.method.critic_steps, options.batch_size

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        points = ring(count * batch * len(seeds), draws).view(count, batch, -1)
        return points, torch.randn(count, batch, width, generator=draws)

    with torch.enable_grad():
        example = [part[0] for part in drawn(1)]
        steps = [fast(stepping(learner, each, *example)) for each in (learner._critic_groups, learner._phases[0])]
    weights = flat(learner)
    squares = {name: torch.zeros_like(value) for name, value in weights.items()}
    key = {"method": method, "options": str(options), "seeds": list(seeds), "snapshots": list(snapshots)}
    if result is not None and (found := load_unfinished(result, key)) is not None:
        weights, squares = found["weights"], found["squares"]
        curves = [RingCurve(**each) for each in found["curves"]]
        draws.set_state(found["draws"])
    done = len(curves[0].iterations) * options.every
    with defer_signals() as signals:
        for iteration in range(done + options.every, options.iterations + 1, options.every):
            for turn, (points, code) in enumerate(zip(*drawn(options.every * turns), strict=True), 1):
                weights, squares = steps[turn % turns == 0](points, code, weights, squares)
            nn.utils.vector_to_parameters(weights["generator"], learner.networks["generator"].parameters())
            made = learner.networks["generator"](z, z[:, :0]).view(MEASURED, len(seeds), 2)
            for curve, points in zip(curves, made.unbind(1), strict=True):
                curve.iterations.append(iteration)
                curve.covered.append(coverage(points))
                curve.on_ring.append(float(on_ring(points).float().mean()))
                curve.even.append(evenness(points))
                if iteration in snapshots:
                    curve.points[iteration] = [[round(x, 3), round(y, 3)] for x, y in points.tolist()]
            progress(iteration, options.iterations)
            if signals.number and result is not None:
                told = {"curves": [asdict(curve) for curve in curves], "draws": draws.get_state()}
                path = save_unfinished(result, key, {"weights": weights, "squares": squares, **told})
                raise Interrupted(signals.number, f"{iteration:,} iterations are kept in {path}")
    return curves


def curves_of(request: Request, words: str, method: str, options: RingOptions, snapshots: list[int]) -> list[RingCurve]:
    """Return the curves of one method, a seed each: those on disk as they are, or trained."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in words.lower())
    wished = {
        "method": method,
        "options": {**asdict(options), "widths": list(options.widths)},
        "seeds": list(request.seeds),
        "snapshots": snapshots,
    }
    path = request.out / "ring" / "curves" / f"{stem}.json"
    known = read_json(path) if path.exists() else {}
    if {name: known.get(name) for name in wished} != wished:
        request.say(f"{words}: {options.iterations:,} iterations, seeds {listed(request.seeds, 'd')}")
        progress = request.counting(words, "iterations")
        found = train_ring(method, options, request.seeds, snapshots, progress, result=path)
        write_json(path, {**wished, "curves": [asdict(curve) for curve in found]})
        beside(path).unlink(missing_ok=True)
        return found
    return [
        RingCurve(**{**curve, "points": {int(place): points for place, points in curve["points"].items()}})
        for curve in known["curves"]
    ]


# --- the experiment


def run(request: Request) -> Outcome:
    """Train the three methods on the ring, then their variants; curves that are on disk are taken from there."""
    length = request.images or request.form.iterations
    if length < COLUMNS:
        raise AttrimorphError(f"--images must be at least {COLUMNS}, the ring's iterations; got {length}; try 20000")
    options = RingOptions(iterations=length, every=max(1, length // MEASUREMENTS))
    snapshots = [options.every * round(length * (k + 1) / COLUMNS / options.every) for k in range(COLUMNS)]
    curves = {method: curves_of(request, method, method, options, snapshots) for method in WORDS}
    short = options.every * round(VARIANT_SHARE * length / options.every)
    variants = {
        words: curves_of(request, words, method, replace(options, iterations=short, **changes), [])
        for words, (method, changes) in VARIANTS.items()
        if request.form.name == "full"
    }
    outcome = outcome_of(
        "ring",
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
        {name.replace("_", " "): value for name, value in asdict(options).items()},
        centre=CENTRE, seeds=listed(request.seeds, "d"), measured=MEASURED,
        even=evenness(ring(MEASURED, torch.Generator().manual_seed(0))), last=LAST, published=PAPER_ITERATIONS,
    )  # fmt: skip
    below = "Grey: the ring. Points at a border lie beyond."
    outcome.pieces.append(report.heading("Samples over the iterations", below))
    outcome.show("figure-4", figure(curves, snapshots), f"One row a method, seed {request.seeds[0]}.")
    charts = []
    for number, seed in enumerate(request.seeds):
        for title, values in (("ring covered", "covered"), ("samples on the ring", "on_ring"), ("evenness", "even")):
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
            **{
                f"{name} at the end": listed([curve.at_the_end(key) for curve in found], ".2f")
                for name, key in (("covered", "covered"), ("on the ring", "on_ring"), ("evenness", "even"))
            },
        }
        for words, found in {**{WORDS[method]: found for method, found in curves.items()}, **variants}.items()
    }
    below = "The paper tells neither batch size nor z nor layer: each is changed alone."
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
    told = {
        method: {
            key: f"{WORDS[method]} {listed([curve.at_the_end(key) for curve in found], '.2f')}"
            for key in ("on_ring", "even")
        }
        for method, found in curves.items()
    }
    source, known = EXPERIMENTS["ring"].source, first["fm-gan"]
    measured = "; ".join(f"{WORDS[method]} {listed(values, ',.0f')}" for method, values in first.items())
    return [
        Claim(
            "FM-GAN covers 95 % of the ring first",
            source,
            tuple(earlier),
            f"iterations to 95 %: {measured}; never counts as the end, {ends[0]:,.0f}",
            form=",.0f",
        ),
        Claim(
            "GAN collapses: it never covers 95 % of the ring",
            source,
            tuple(SHARE - share for share in best),
            f"the most that GAN covered {listed(best, '.2f')}",
            form=".2f",
        ),
        claim(
            "ring",
            "less",
            [curve.covered_at(iteration) for curve, iteration in zip(fm, known, strict=True)],
            [curve.covered_at(iteration) for curve, iteration in zip(wgan, known, strict=True)],
        ),
        *(
            claim("ring", key, [curve.at_the_end(key) for curve in fm], LEARNED, gan=told["gan"][key],
                  wgan=told["wgan"][key])
            for key in ("on_ring", "even")
        ),
    ]  # fmt: skip


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
