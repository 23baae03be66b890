"""TL-GAN's five steps (Guan 2018): draw codes, generate, judge, fit a linear model, keep its slopes as axes."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.applications.axes import Axis, AxisPack
from attrimorph.applications.axes.curved import fit_curved
from attrimorph.applications.axes.linear import Link, Method, fit, linked, unit
from attrimorph.applications.axes.space import CHUNK, Space, drawn_codes
from attrimorph.console import DeferredSignal, Interrupted, defer_signals
from attrimorph.data import parse_binary
from attrimorph.data.readers.raw import read_csv
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.evaluators import Judges
from attrimorph.files import load_unfinished, save_unfinished
from attrimorph.models.batches import shared
from attrimorph.models.model import Code, Model

SAMPLES = 50_000
BATCH = 64  # pictures at a time: their maps stay in the cache; 256 take half as long again
GOAL = 0.9
"""Setting an attribute goes at least to the score at which so many are seen to have it; taking it away to 1 - that."""
FARTHEST = 4.0
"""No goal lies farther out: of drawn codes one in thirty thousand has a score beyond."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Judged:
    """Drawn codes and what was said of their pictures.

    Attributes:
        coordinates: [N, D] float32.
        probabilities: [N, A], NaN = unknown.
        names: A columns.
        by: who said it.
        seconds: "generate" and "judge".
    """

    coordinates: Tensor
    probabilities: Tensor
    names: tuple[str, ...]
    by: str
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FitOptions:
    """How axes are fitted.

    Attributes:
        method: least squares, ridge regression, or logistic regression.
        link: what least squares and ridge aim at: arctanh of the judge's outputs, as in the original, or these outputs.
    """

    method: Method = "linear"
    link: Link = "arctanh"


def judge_drawn(
    model: Model,
    reads: Callable[[Tensor], Tensor],
    names: Sequence[str],
    *,
    by: str,
    count: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
    result: Path | None = None,
) -> Judged:
    """Draw codes, generate their pictures, and have them judged.

    Args:
        model: any generator.
        reads: images [B, 3, S, S] in [-1, 1] -> what is said of them, [B, A].
        names: of the A columns.
        by: who reads, for the file.
        count: codes.
        seed: of the codes.
        progress: called with (codes done, codes in all).
        result: the pack that will come of it: a signal keeps beside it what was drawn, and this goes on from there.

    Raises:
        Interrupted: a signal ended it, and `result` was given.
    """
    if count < 2:
        raise AttrimorphError(f"samples must be at least 2; got {count}; try {SAMPLES}")
    space = Space.of(model)
    coordinates, probabilities = torch.empty(count, space.size), torch.empty(count, len(names))
    seconds = {"generate": 0.0, "judge": 0.0}
    done = known = 0
    key = {"model": model.hash, "judge": by, "names": list(names), "samples": count, "seed": seed}
    if result is not None and (found := load_unfinished(result, key)) is not None:
        known, seconds = int(found["done"]), dict(found["seconds"])
        coordinates[:known], probabilities[:known] = found["coordinates"], found["said"]

    @torch.inference_mode()
    def one(chunk: Code, part: Tensor) -> Tensor:
        begin = time.perf_counter()
        images = model.decode(Code(chunk.z[part], chunk.attributes[part]))
        made = time.perf_counter()
        read = reads(images).cpu()
        seconds["generate"] += made - begin
        seconds["judge"] += time.perf_counter() - made
        return read

    with defer_signals() if result is not None else nullcontext(DeferredSignal()) as signals:
        for chunk in drawn_codes(model, count, seed):
            if done < known:
                done += len(chunk.z)
                continue
            coordinates[done : done + len(chunk.z)] = space.coordinates(chunk, model.schema.fill_value)
            read = shared(partial(one, chunk), torch.split(torch.arange(len(chunk.z)), BATCH))
            probabilities[done : done + len(chunk.z)] = torch.cat(read)
            done += len(chunk.z)
            if progress is not None:
                progress(done, count)
            if signals.number and result is not None:
                state = {
                    "done": done,
                    "seconds": seconds,
                    "coordinates": coordinates[:done],
                    "said": probabilities[:done],
                }
                path = save_unfinished(result, key, {**state})
                raise Interrupted(signals.number, f"{done:,} of {count:,} judged pictures are kept in {path}")
    return Judged(coordinates, probabilities, tuple(names), by, seconds)


def judged_by(
    model: Model,
    judge: Judges,
    *,
    count: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
    result: Path | None = None,
) -> Judged:
    """Draw, generate and judge with a judge of attributes; see `judge_drawn`."""
    return judge_drawn(
        model, judge, judge.schema.column_names, by=judge.name, count=count, seed=seed, progress=progress, result=result
    )


def labelled(model: Model, table: Path, *, seed: int = 0) -> Judged:
    """Take labels that people gave to a model's drawn pictures.

    Args:
        model: any generator.
        table: CSV with a column `index`, the place of the picture among those that the seed draws, and one column of
            0/1 (or -1/1, true/false; empty = unknown) for each attribute.
        seed: with which the pictures were drawn.

    Raises:
        AttrimorphError: the table is not like that.
    """
    head, lines = read_csv(table)
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    names = [name for name in head if name != "index"]
    if "index" not in head or not names or not rows:
        raise AttrimorphError(
            f"{table} must have a column index, one column for each attribute, and at least two rows; got "
            f"{', '.join(head) or 'nothing'}; see docs/tl-gan.md"
        )
    places, probabilities = [], torch.full((len(rows), len(names)), torch.nan)
    for number, row in enumerate(rows):
        text = row["index"].strip()
        if not text.isdecimal():
            raise AttrimorphError(f"index in {table} must be a whole number from 0 on; got {text!r}; mend row {number}")
        places.append(int(text))
        for column, name in enumerate(names):
            if row[name].strip():
                probabilities[number, column] = parse_binary(name, row[name])
    if len(set(places)) != len(places) or max(places) >= 10**7:
        raise AttrimorphError(f"every index in {table} must stand once and lie below 10,000,000; mend the table")
    space, at = Space.of(model), torch.tensor(places)
    coordinates = torch.empty(len(rows), space.size)
    for number, code in enumerate(drawn_codes(model, max(places) + 1, seed)):
        here = at // CHUNK == number
        if bool(here.any()):
            coordinates[here] = space.coordinates(code, model.schema.fill_value)[at[here] % CHUNK].float()
    return Judged(coordinates, probabilities, tuple(names), f"labels in {table.name}")


def fit_axes(
    model: Model, judged: Judged, names: Sequence[str] | None = None, options: FitOptions = FitOptions()
) -> AxisPack:
    """Fit one axis for each attribute.

    Args:
        model: the generator that the codes were drawn from.
        judged: its codes and what was said of their pictures.
        names: which attributes; by default all that are seen now present, now absent.
        options: the fit.

    Raises:
        AttrimorphError: an attribute is unknown, or is always or never seen.
    """
    chosen = list(judged.names) if names is None else list(names)
    for name in chosen:
        if name not in judged.names:
            raise AttrimorphError(f"{judged.by} knows no {name!r}; {suggestion(name, judged.names)}")
    probabilities = judged.probabilities[:, [judged.names.index(name) for name in chosen]]
    shares = torch.nanmean((probabilities > 0.5).float().masked_fill(probabilities.isnan(), torch.nan), 0)
    varied = (shares > 0) & (shares < 1)
    if names is not None and not bool(varied.all()):
        name = chosen[int((~varied).nonzero()[0])]
        raise AttrimorphError(
            f"{name} must be seen in some pictures and not in others; {judged.by} sees it in all or none of "
            f"{len(probabilities):,}; leave it out"
        )
    chosen = [name for name, one in zip(chosen, varied.tolist(), strict=True) if one]
    probabilities, shares = probabilities[:, varied], shares[varied]
    if not chosen:
        raise AttrimorphError("an axis needs an attribute that varies; none does; draw more samples")
    aim = probabilities if options.method == "logistic" else linked(probabilities, options.link)
    begin = time.perf_counter()
    fitted = fit(judged.coordinates, aim, options.method)
    directions = unit(fitted.slopes)
    scores = judged.coordinates.double() @ directions.T
    axes = {
        name: calibrated(
            name, directions[column], scores[:, column], probabilities[:, column], {"present": float(shares[column])}
        )
        for column, name in enumerate(chosen)
    }
    about: dict[str, Any] = {
        "by": judged.by,
        "samples": len(probabilities),
        "method": options.method,
        "link": "logit" if options.method == "logistic" else options.link,
        "seconds": {**judged.seconds, "fit": time.perf_counter() - begin},
    }
    return AxisPack(model.hash, model.recipe.name, axes, about)


def with_curved(pack: AxisPack, judged: Judged, *, progress: Progress | None = None) -> AxisPack:
    """Return a pack with curved axes of its attributes besides.

    Args:
        pack: as `fit_axes` returns it.
        judged: what it was fitted to.
        progress: see `curved.fit_curved`, which says what is refused.
    """
    begin = time.perf_counter()
    probabilities = judged.probabilities[:, [judged.names.index(name) for name in pack.names]]
    curved = fit_curved(judged.coordinates, probabilities, pack.names, progress=progress)
    seconds = {**pack.about["seconds"], "fit curved": time.perf_counter() - begin}
    return replace(pack, curved=curved, about={**pack.about, "seconds": seconds})


def calibrated(name: str, direction: Tensor, scores: Tensor, probabilities: Tensor, facts: Mapping[str, Any]) -> Axis:
    """Return an axis that knows how far to go.

    Drawn codes are white in the coordinates: what is seen at a score u among them is what a move along the axis to u
    makes seen. So P(seen | u) is fitted to the codes themselves, and the goals are where it reaches 0.9 and 0.1, but no
    nearer than where those that have the attribute, or have not, lie on average.

    Args:
        name: of the attribute.
        direction: unit, [D].
        scores: of drawn codes along it, [N].
        probabilities: of the attribute, [N], NaN = unknown.
        facts: to keep with it.
    """
    known = ~probabilities.isnan()
    scores, probabilities = scores[known], probabilities[known].double()
    # A curve of two numbers needs no fifty thousand points.
    curve = fit(scores[:5000, None], probabilities[:5000, None], "logistic", penalty=1e-3)
    slope, intercept = float(curve.slopes), float(curve.intercepts)
    ends = []
    for sign, weight in ((-1.0, 1 - probabilities), (1.0, probabilities)):
        reached = sign * (sign * math.log(GOAL / (1 - GOAL)) - intercept) / slope if slope > 1e-6 else FARTHEST
        typical = sign * float((weight * scores).sum() / weight.sum())
        ends.append(sign * min(max(reached, typical, -FARTHEST), FARTHEST))
    low, high = ends
    right = (scores * slope + intercept > 0) == (probabilities > 0.5)
    seen_low, seen_high = (1 / (1 + math.exp(-(slope * end + intercept))) for end in ends)
    found = {
        "told by the score": float(right.double().mean()),
        "expected when set": seen_high,
        "expected when taken away": 1 - seen_low,
    }
    return Axis(name, direction, slope, intercept, low, high, {**facts, **found})
