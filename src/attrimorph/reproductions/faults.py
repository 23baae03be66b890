"""The four known faults of HomoInterpGAN, before and after their mending."""

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from attrimorph.data.drawn import faces, shapes
from attrimorph.data.drawn.synthetic import write_shapes
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.pictures import sheet
from attrimorph.reproductions import fault_figures as measure
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, at_most, more
from attrimorph.reproductions.editors import Place, edited, one_of_each, place_of, plain, trained
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "faults"
RECIPE = "homointerp-drawn-64"
MOST_BACKGROUND, MOST_LOST = 1.0, 3.0
SOURCE = "our bar"
PUBLISHED: dict[str, Any] = {
    "networks__sees_face": False,
    "networks__composition": "none",
    "networks__prototypes": "mean",
    "networks__critic_norm": "instance",
    "losses__reference_share": 1.0,
    "losses__head_interpolated": 1.0,
    "losses__head_real": 0.0,
    "losses__judged_image": 0.0,
    "losses__encoder_share": 1.0,
    "losses__penalty_of": "sum",
    "losses__generator_every": 5,
}
"""The fields that mend, at their published values; sizes, weights and lengths stay those of the small recipe."""
BEFORE, AFTER = "published", "mended"
COMPOSED = "mended, edits shown as decoded"

Figures = dict[str, dict[str, float]]


def run(request: Request) -> Outcome:
    """Measure each fault in a model that is as published, and in one that is mended."""
    if request.data is not None:
        raise AttrimorphError("the experiment faults draws its own faces and shapes; leave --data out")
    place = place_of(request, RECIPE)
    on_faces, on_shapes = models(place, "faces"), models(place, "shapes")
    if not on_faces and not on_shapes:
        raise AttrimorphError("one of the models must be a HomoInterpGAN of drawn faces or shapes; got none; add one")
    outcome = Outcome(
        name=NAME,
        title="Four faults, mended",
        lead="As published, HomoInterpGAN wants aligned faces and a reference, greys a white background, and is poor "
        "on domains with gaps.",
        protocol=place.protocol({f"{name}, faces": on_faces.get(name) for name in (BEFORE, AFTER)})
        | {f"{name}, shapes": f"{model.recipe.name}, sha256 {model.hash[:16]}" for name, model in on_shapes.items()}
        | {
            "edits": "the first attribute of every group, set and taken away",
            "shift": f"{measure.SHIFT:.0%} of the width, mean over four directions, the border repeated",
            "white": "the same faces before white; pixels outside the person, before and after the true edit",
            "shapes": "every shape becomes the next one, strength 1; distances are mean absolute differences in 1/255",
        },
    )
    position = {name: measure.position(place, model, one_of_each(model)) for name, model in on_faces.items()}
    white = {name: measure.background(place, model, one_of_each(model)) for name, model in with_plain(on_faces).items()}
    following = {name: measure.references(place, model, one_of_each(model)) for name, model in on_faces.items()}
    gaps: Figures = {}
    strips = {}
    for name, model in on_shapes.items():
        gaps[name], strips[name] = measure.gaps(model, 5 * request.form.per_class)
    outcome.claims = claims(position, white, following, gaps, 5 * request.form.per_class)
    for title, figures in (
        ("Position", position),
        ("A white background", white),
        ("Edits without a reference", following),
        ("A domain with gaps: drawn shapes", gaps),
    ):
        outcome.figures[title] = {name: plain(each) for name, each in figures.items()}
        outcome.pieces.append(report.heading(title))
        outcome.pieces.append(table(figures))
        if title == "A white background" and on_faces:
            outcome.show("white", white_faces(place, with_plain(on_faces)), "One edit before white, one model a row.")
    for name, ways in strips.items():
        outcome.show(f"shapes-{name}", measure.picture_of_ways(ways), f"From one shape to the next: {name}.")
    return outcome


def models(place: Place, domain: str) -> dict[str, InterpolationModel]:
    """Return the published and the mended model of faces or shapes: those that were named, or both trained.

    A model whose branches see the face is a mended one.
    """
    schema = faces.SCHEMA if domain == "faces" else shapes.SCHEMA
    found: dict[str, InterpolationModel] = {}
    for model in place.given:
        if isinstance(model, InterpolationModel) and model.schema == schema:
            found.setdefault(AFTER if model.recipe.networks.sees_face else BEFORE, model)
    if place.given:
        return {name: found[name] for name in (BEFORE, AFTER) if name in found}
    data = None
    if domain == "shapes":
        count = place.request.form.people * place.request.form.images
        data = write_shapes(place.request.out / "data" / f"shapes-{place.size}-{count}", count=count, size=place.size)
    for name, changes in ((BEFORE, PUBLISHED), (AFTER, {"data__shift": 0.05} if domain == "faces" else {})):
        run = trained(place, RECIPE, data, name=f"{domain}-{name}", **changes)
        model = load(run, place.request.device)
        assert isinstance(model, InterpolationModel)
        found[name] = model
    return found


def with_plain(found: Mapping[str, InterpolationModel]) -> dict[str, InterpolationModel]:
    """Return the models, and the mended one with its edits shown as they are decoded: the same weights, unmended."""
    shown = dict(found)
    if AFTER in found and found[AFTER].composition != "none":
        shown = {BEFORE: found[BEFORE]} if BEFORE in found else {}
        shown |= {COMPOSED: measure.composed(found[AFTER], "none"), AFTER: found[AFTER]}
    return shown


def claims(position: Figures, white: Figures, following: Figures, gaps: Figures, counted: int) -> list[Claim]:
    """Return the bars, and what mending is for, held against the figures; what was not measured decides nothing.

    Args:
        position, white, following, gaps: by model.
        counted: images of which the shares are.
    """
    mended = [AFTER] if AFTER in position else []
    both = [AFTER] if {BEFORE, AFTER} <= gaps.keys() else []
    return [
        at_most("A face that is shifted by 5 % of the width costs at most 3 points of target rate",
                [position[name][measure.LOST] for name in mended], MOST_LOST, source=SOURCE, name=measure.LOST),
        at_most("White background pixels shift by at most 1/255", [white[name][measure.BACKGROUND] for name in mended],
                MOST_BACKGROUND, source=SOURCE, name=measure.BACKGROUND),
        more("Edits without a reference reach their target more often than those with one",
             [following[name][measure.WITHOUT] for name in mended], [following[name][measure.WITH] for name in mended],
             source="ours", names=("without", "with"), form=".1%", counted=counted),
        more("On a domain with gaps the mended model reaches the shape more often than the published one",
             [gaps[name][measure.KIND] for name in both], [gaps[BEFORE][measure.KIND] for _ in both],
             source="ours", names=(AFTER, BEFORE), form=".1%", counted=counted),
    ]  # fmt: skip


def table(figures: Figures) -> str:
    """Return figures, one model a row."""
    if not figures:
        return report.note("No such model was given: not measured.")
    head = ["", *next(iter(figures.values()))]
    rows = [[report.text(name), *(f"{value:.3f}" for value in each.values())] for name, each in figures.items()]
    return report.table(head, rows, numbers=range(1, len(head)))


def white_faces(place: Place, shown: Mapping[str, InterpolationModel]) -> Image.Image:
    """Return a few faces before white, each with one attribute turned, one model a row."""
    images, _, labels = measure.on_white(place)
    names = next(iter(one_of_each(model) for model in shown.values()), ())
    rows = [images[: len(names)]]
    for model in shown.values():
        made = []
        for row, name in enumerate(names):
            holds = bool(labels[row, place.judge.schema.columns(name).start])
            made.append(edited(model, images[row : row + 1], {name: -1.0 if holds else 1.0}, labels[row : row + 1]))
        rows.append(torch.cat(made))
    return sheet(rows, columns=[name[:12] for name in names], labels=["input", *shown], cell=80, clear=True)
