"""The four known faults of HomoInterpGAN in figures: position, background, gaps in the domain, references."""

import copy
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from attrimorph.data.drawn import faces, shapes
from attrimorph.evaluators.attributes import decisions
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.metrics.counterfactuals import background_drift
from attrimorph.metrics.edits import directions
from attrimorph.models.codes import Edits
from attrimorph.pictures import sheet
from attrimorph.reproductions.editors import Place, edited
from attrimorph.reproductions.uniformity import Towards

SHIFT = 0.05  # of the width
WHITE = 0.99  # a background pixel of the white faces
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
HALVES = (0.0, 0.25, 0.5, 0.75, 1.0)
SHAPES_SEED = 990_004
SHIFTED, UNSHIFTED, LOST = "target reached, face shifted", "target reached, face in place", "points lost"
BACKGROUND = "shift of a white background in 1/255"
KIND, NEAREST, BETWEEN = "shape reached", "distance from a true shape at the end", "distance from a true shape half-way"
WITH, WITHOUT = "target reached with a reference", "target reached without one"


def composed(model: InterpolationModel, composition: str) -> InterpolationModel:
    """Return the same model with another composition of its edits."""
    other = copy.copy(model)
    other.composition = "difference" if composition == "difference" else "none"
    return other


def reached(place: Place, editor: Edits, images: Tensor, names: Sequence[str]) -> float:
    """Return the share of edits, every attribute either way, that a judge finds to have reached their target.

    Args:
        place: of the judge and the labels.
        editor: who edits.
        images: the unseen ones, perhaps moved, [N, 3, S, S].
        names: binary attributes.
    """
    labels, schema = place.unseen.labels, place.judge.schema
    shares = []
    for name in names:
        column = schema.columns(name).start
        for goal, rows in directions(labels, schema, name, drawn=place.unseen.factors is not None):
            if len(rows):
                made = edited(editor, images[rows], {name: 1.0 if goal else -1.0}, labels[rows].nan_to_num(0.0))
                judged = decisions(place.judge(made), schema)[:, column]
                shares.append(float((judged == float(goal)).double().mean()))
    return sum(shares) / max(1, len(shares))


def moved(images: Tensor, across: int, down: int) -> Tensor:
    """Move pictures by whole pixels; what comes in repeats the border."""
    reach = max(abs(across), abs(down))
    wide = pad(images, (reach, reach, reach, reach), mode="replicate")
    size = images.shape[-1]
    return wide[..., reach - down : reach - down + size, reach - across : reach - across + size].contiguous()


def position(place: Place, model: InterpolationModel, names: Sequence[str]) -> dict[str, float]:
    """Return how much rarer edits reach their target when the face lies 5 % of the width elsewhere, mean of 4 ways."""
    images, step = place.unseen.images, max(1, round(SHIFT * place.size))
    still = reached(place, model, images, names)
    away = [reached(place, model, moved(images, x * step, y * step), names) for x, y in MOVES]
    mean = sum(away) / len(away)
    return {UNSHIFTED: still, SHIFTED: mean, LOST: 100 * (still - mean)}


def on_white(place: Place) -> tuple[Tensor, Tensor, Tensor]:
    """Return the unseen drawn faces before white, where the person is, [N, 1, S, S], and their labels."""
    assert place.unseen.factors is not None
    layers = faces.render_layers(place.unseen.factors, place.size)
    images = layers.mask * layers.foreground + (1 - layers.mask)
    return images, layers.mask, place.unseen.labels


def background(place: Place, model: InterpolationModel, names: Sequence[str]) -> dict[str, float]:
    """Return the mean change of white background pixels, outside the person before and after the true edit."""
    images, masks, labels = on_white(place)
    assert place.unseen.factors is not None
    drifts = []
    for name in names:
        for goal, rows in directions(labels, place.judge.schema, name, drawn=True):
            if not len(rows):
                continue
            made = edited(model, images[rows], {name: 1.0 if goal else -1.0}, labels[rows])
            truth = faces.set_attribute(place.unseen.factors[rows], name, goal)
            person = torch.maximum(masks[rows], faces.render_layers(truth, place.size).mask)
            drifts.append(background_drift(images[rows], made, person))
    values = torch.cat(drifts)
    return {BACKGROUND: float(values[values.isfinite()].mean())}


def references(place: Place, model: InterpolationModel, names: Sequence[str]) -> dict[str, float]:
    """Return how often edits reach their target by sliders, and by going to a reference."""
    names = [name for name in names if all(len(place.with_label(name, holds)) for holds in (False, True))]
    images = place.unseen.images
    return {
        WITHOUT: reached(place, model, images, names),
        WITH: reached(place, Towards(model, place, straight=False), images, names),
    }


def gaps(model: InterpolationModel, count: int) -> tuple[dict[str, float], Tensor]:
    """Turn drawn shapes into others: a domain in which no path leads through other real pictures.

    Whether a picture shows a shape is told without a judge: by its distance from the four true pictures, which the
    renderer draws.

    Args:
        model: one that learned drawn shapes.
        count: pictures.

    Returns:
        Figures, and a few ways [n, strengths, 3, S, S].
    """
    size = model.image_size
    factors = shapes.sample_factors(count, torch.Generator().manual_seed(SHAPES_SEED))
    images, y = shapes.render(factors, size), shapes.attributes(factors)
    truths = torch.stack([shapes.render(shapes.set_attribute(factors, "Shape", kind), size) for kind in shapes.SHAPES])
    goals = (factors[:, 0].long() + 1) % len(shapes.SHAPES)
    ways = torch.empty(count, len(HALVES), *images.shape[1:])
    for number, kind in enumerate(shapes.SHAPES):
        rows = (goals == number).nonzero()[:, 0]
        for place, strength in enumerate(HALVES):
            if len(rows):
                ways[rows, place] = edited(model, images[rows], {f"Shape={kind}": strength}, y[rows])
    # [kinds, N, strengths]: how far each stop is from each true shape, in 1/255.
    far = torch.stack([(ways - truth[:, None]).abs().mean((2, 3, 4)) * 127.5 for truth in truths])
    nearest = far.amin(0).mean(0)
    figures = {
        KIND: float((far[:, :, -1].argmin(0) == goals).double().mean()),
        NEAREST: float(nearest[-1]),
        BETWEEN: float(nearest[len(HALVES) // 2]),
    }
    return figures, ways[:6]


def picture_of_ways(ways: Tensor) -> Image.Image:
    """Return ways [n, strengths, 3, S, S] as a sheet, one a row."""
    return sheet(list(ways), columns=[f"{strength:g}" for strength in HALVES], cell=80, clear=True)
