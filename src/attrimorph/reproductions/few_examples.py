"""An axis from twenty labelled pictures, against the axis from as many judged samples as one likes."""

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.examples import DRAWN, Pool, axis_from_examples, draw_pool
from attrimorph.applications.axes.pack import Axis, AxisPack
from attrimorph.evaluators.default_evaluators import identity_encoder_for
from attrimorph.models.codes import Code
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.axes_fitting import examples, reached_by
from attrimorph.reproductions.axes_place import SOURCE, Place, place_of, plain
from attrimorph.reproductions.claims import Claim, at_least, at_most, more
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "few-examples"
TAUGHT = ("Smiling", "Male", "Young", "Eyeglasses", "No_Beard", "Wavy_Hair", "Pale_Skin", "Wearing_Hat")
EXAMPLES = (5, 10, 50)  # of each kind
MANY = 200  # of each kind: nearly endless
FEW = 10
COSINE, REACHED, TOLD = "cosine to the judged axis", "target reached", "told when left out"
ENDLESS, EXPECTED = "cosine to the axis of many examples", "that cosine as expected"
LEAST_REACHED, NEAR, RIGHT = 0.8, 0.1, 0.1
MANY_SEED = 999  # of those: other faces than any of the few
SHOWN = 6
Figures = Mapping[str, Mapping[str, float]]
Features = Callable[[Tensor], Tensor]


def run(request: Request) -> Outcome:
    """Teach attributes from a few unseen faces again and again, and compare with the axes from judged samples."""
    place = place_of(request)
    pack = place.pack()
    taught = [name for name in TAUGHT if name in pack.names]
    code = place.codes(request.form.unseen)
    before = place.decided(code)
    many = {name: reached_by(place, AxisEditor(place.model, pack), code, before, name) for name in taught}
    eyes = looks(place)
    pools = {by: pool_of(place, features, by) for by, features in eyes.items()}
    found: dict[str, dict[str, dict[str, float]]] = {}
    axes: dict[str, Axis] = {}
    for by, features in eyes.items():
        request.say(f"{2 * MANY} examples, features of {by}")
        endless = {name: taught_axis(place, features, by, pools[by], name, MANY, MANY_SEED) for name in taught}
        for each in EXAMPLES if by == place.judge.name else (FEW,):
            words = f"{2 * each} examples, features of {by}"
            found[words] = {}
            for name in taught:
                request.say(f"{words}: {name}")
                made = [taught_axis(place, features, by, pools[by], name, each, seed) for seed in request.seeds]
                found[words][name] = figures_of(place, pack, made, endless[name], code, before)
                if by == place.judge.name and each == FEW:
                    axes[name] = made[0]
    usual = found[f"{2 * FEW} examples, features of {place.judge.name}"]
    outcome = Outcome(
        name=NAME,
        title="Few examples",
        lead="A new attribute from twenty labelled pictures, the generator as it is.",
        protocol={
            **place.protocol(),
            "axes to compare with": f"{pack.about['samples']:,} judged samples",
            "examples": "unseen drawn faces with their true labels, others for every seed, as many with the attribute "
            f"as without; seeds {', '.join(map(str, request.seeds))}",
            "way": f"a linear probe on features judges {DRAWN:,} drawn pictures at most",
            ENDLESS: f"{2 * MANY} other examples, taught the same way",
            "features": "the judge was taught these attributes, the recogniser was not",
            REACHED: f"of needed edits of {len(before)} other drawn codes, nothing locked, as the judge sees it",
        },
        claims=claims(usual, many, len(before)),
        figures={
            "examples": {words: {name: plain(row) for name, row in rows.items()} for words, rows in found.items()},
            "target reached with judged samples": plain(many),
        },
    )
    for words, rows in found.items():
        outcome.pieces += [report.heading(words, level=3), table(rows, many)]
    outcome.show(
        "taught",
        pictures(place, pack, axes, code),
        "Set along the axis from judged samples, and along that from twenty examples.",
    )
    return outcome


def looks(place: Place) -> dict[str, Features]:
    """Return whose features tell examples apart: the judge's, and those of one who never learned attributes."""
    recogniser = identity_encoder_for(place.model.schema, place.model.image_size)
    mine: dict[str, Features] = {place.judge.name: place.judge.features}
    return mine if recogniser is None else mine | {recogniser.name: recogniser.features}


def pool_of(place: Place, features: Features, by: str) -> Pool:
    """Draw pictures and look at them."""
    request, count = place.request, min(DRAWN, place.request.form.codes)
    return draw_pool(
        place.model, features, by=by, count=count, progress=lambda done, total: request.progress(by, done, total)
    )


def taught_axis(place: Place, features: Features, by: str, pool: Pool, name: str, each: int, seed: int) -> Axis:
    """Teach one attribute from `each` faces with it and as many without."""
    some, others = examples(place.model.image_size, name, each, seed)
    return axis_from_examples(place.model, name, features, some, others, by=by, pool=pool)


def figures_of(
    place: Place, pack: AxisPack, made: Sequence[Axis], endless: Axis, code: Code, before: Tensor
) -> dict[str, float]:
    """Return means over the seeds."""
    name = endless.name
    true = pack.axis(name).direction
    rows = []
    for axis in made:
        editor = AxisEditor(place.model, AxisPack(pack.model_sha256, pack.model, {name: axis}))
        rows.append(
            {
                COSINE: float(axis.direction @ true),
                ENDLESS: float(axis.direction @ endless.direction),
                REACHED: reached_by(place, editor, code, before, name),
                EXPECTED: float(axis.facts["expected cosine to the axis of endless examples"]),
                TOLD: float(axis.facts[TOLD]),
            }
        )
    return {key: float(torch.tensor([row[key] for row in rows]).nanmean()) for key in rows[0]}


def claims(usual: Figures, many: Mapping[str, float], counted: int) -> list[Claim]:
    """Return the bars, means over the taught attributes, each of which is edited on at most `counted` codes."""
    near, reached = (mean([row[key] for row in usual.values()]) for key in (COSINE, REACHED))
    whole = mean(list(many.values()))
    off = abs(mean([row[EXPECTED] - row[ENDLESS] for row in usual.values()]))
    return [
        at_least(
            f"{2 * FEW} examples make an axis along which at least {LEAST_REACHED:.0%} of the edits reach their target",
            [reached],
            LEAST_REACHED,
            source=SOURCE,
            name=f"mean cosine to the judged axis {near:.2f}, {REACHED}",
            form=".1%",
            counted=counted,
        ),
        more(
            f"At most {NEAR:.0%} fewer than along the axis from judged samples",
            [reached],
            [whole],
            source=SOURCE,
            names=(f"{REACHED} with examples", "with judged samples"),
            form=".1%",
            counted=counted,
            grace=NEAR,
        ),
        at_most(
            f"It says how sure it is, and is right by {RIGHT:g} of a cosine on average",
            [off],
            RIGHT,
            source=SOURCE,
            name="off by",
            form=".3f",
        ),
    ]


def mean(values: Sequence[float]) -> float:
    """Return the mean of the known values."""
    return float(torch.tensor(values, dtype=torch.float64).nanmean())


def table(rows: Figures, many: Mapping[str, float]) -> str:
    """Return the figures of each attribute, and their means."""
    keys = (COSINE, ENDLESS, EXPECTED, TOLD, REACHED)
    shown = {**rows, "mean": {key: mean([row[key] for row in rows.values()]) for key in keys}}
    reached = {**many, "mean": mean(list(many.values()))}
    lines = [
        [report.text(name), *(f"{row[key]:.3f}" for key in keys), f"{reached[name]:.3f}"] for name, row in shown.items()
    ]
    return report.table(["attribute", *keys, "reached with judged samples"], lines, numbers=range(1, 7))


def pictures(place: Place, pack: AxisPack, axes: Mapping[str, Axis], code: Code) -> Image.Image:
    """Return drawn pictures with attributes set along both axes."""
    few = Code(code.z[:SHOWN], code.attributes[:SHOWN])
    rows, labels = [place.model.decode(few).cpu()], ["drawn"]
    for name, axis in list(axes.items())[:4]:
        for words, each in (("judged", pack.axis(name)), ("examples", axis)):
            editor = AxisEditor(place.model, AxisPack(pack.model_sha256, pack.model, {name: each}))
            rows.append(editor.decode(editor.move(few, {name: 1.0})).cpu())
            labels.append(f"{name}, {words}")
    return sheet(rows, labels=labels, cell=64, clear=True)
