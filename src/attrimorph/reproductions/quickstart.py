"""The quickstart: draw faces, train on them from scratch, measure, edit, and tell it all in one page."""

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.edit import edit
from attrimorph.applications.inputs import attributes_of
from attrimorph.applications.morph import morph
from attrimorph.charts import chart
from attrimorph.console import Meter, duration
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.images import open_image
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.methods.logged import in_words
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.metrics.figures import Evaluation, card_figures
from attrimorph.models import PHOTOGRAPHS, shipped
from attrimorph.models.model import Model
from attrimorph.pictures import frames, gif_bytes, grid, sheet, to_pil, write_png
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import SHIPPED, turning
from attrimorph.reproductions.evaluation import edited_attributes, evaluate_model, figure_table, headline
from attrimorph.reproductions.frame import NOT_CURVES, machine
from attrimorph.requests.edit import Edit
from attrimorph.requests.morph import Morph
from attrimorph.training.folder import read_log
from attrimorph.training.trainer import Progress, train
from attrimorph.version import __version__

SEED = 20_260  # of the faces that are shown; nothing trains or is measured on them
SHOWN = (
    "Smiling", "Eyeglasses", "Blond_Hair", "Black_Hair", "Bangs", "No_Beard", "Wearing_Hat", "Young", "Male",
    "Heavy_Makeup", "Pale_Skin",
)  # fmt: skip
RISING = ("Smiling", "Young", "Blond_Hair", "Pale_Skin")


def quickstart(
    out: Path = Path("runs/quickstart"),
    *,
    recipe: AnyRecipe | None = None,
    count: int = 12_000,
    evaluated: int = 500,
    say: Callable[[str], None] = print,
) -> Path:
    """Run the whole and write `report.html`; again, it goes on or reuses what is there.

    Args:
        out: the folder of everything.
        recipe: what to train; the recipe `quickstart` when None.
        count: drawn faces, a tenth of them held out.
        evaluated: unseen faces for the measurement.
        say: gets a line of text at each stage.

    Returns:
        The path of the report.
    """
    out, begin = Path(out), time.perf_counter()
    recipe = recipe or recipe_named("quickstart")
    size, run, kept = recipe.data.image_size, out / "run", out / "stages.json"
    seconds: dict[str, float] = read_json(kept) if kept.exists() else {}

    @contextmanager
    def stage(name: str, title: str = "", *, reused: bool = False) -> Iterator[Meter]:
        """Measure how long a part takes; one that is reused keeps its first time."""
        start = time.perf_counter()
        with Meter(name, title) if title else Meter(name) as meter:
            yield meter
        if not reused or name not in seconds:
            seconds[name] = round(time.perf_counter() - start, 1)
            write_json(kept, seconds)

    say(f"1 of 4: drawing {count:,} faces of {size} px")
    folder = out / f"faces-{size}"
    with stage("drawing", reused=(folder / "schema.json").exists()) as meter:
        data = write_faces(folder, count=count, size=size, progress=meter.update)

    say(f"2 of 4: training the recipe {recipe.name!r} from scratch, {recipe.training.images:,} images")
    before = read_log(run)
    done = bool(before) and int(before[-1]["images_seen"]) >= recipe.training.images
    with stage("training", reused=done) as meter:

        def show(now: Progress) -> None:
            meter.update(now.images_seen, now.images, in_words(now.values), now.images_per_second)

        train(recipe, data, run, progress=show)
    model = load(run)

    say(f"3 of 4: measuring it on {evaluated:,} faces that it has never seen")
    with stage("measuring", "edits") as meter:
        title = f"{recipe.name} on synthetic faces"
        evaluation, _ = evaluate_model(model, out / "evaluation", count=evaluated, title=title, progress=meter.say)

    say("4 of 4: editing test faces and writing the report")
    with stage("editing"):
        paths = [out / "photographs" / f"face-{number}.png" for number in range(1, 9)]
        for path, image in zip(paths, to_pil(faces_to_show(8, 256)[0]), strict=True):
            write_png(path, image, "drawn by attrimorph")
        results = write_results(out, paths, run)
    pieces = [
        *about_data(),
        *about_model(model, evaluation),
        *about_shipped(),
        *about_training(read_log(run)),
        *about_speed(evaluation, seconds, recipe),
        *how_to_go_on(out, paths, results),
    ]
    page = report.write_page(
        out / "report.html",
        title="A generator you can steer",
        eyebrow="attrimorph quickstart",
        lead=f"This computer drew {count:,} faces, trained a CVAE-GAN on them from scratch in "
        f"{duration(seconds['training'])}, and measured what each of its {len(model.schema.names)} sliders really "
        "does.",
        pieces=[
            *about_photograph(out / "results", model),
            report.heading("The model just trained, in figures"),
            report.tiles(headline(evaluation)),
            *map(report.note, evaluation.notes),
            *pieces,
        ],
        footer=f"attrimorph {__version__}; recipe {recipe.name}, {model.images_seen:,} images seen; "
        f"this call took {duration(time.perf_counter() - begin)}",
    )
    say(f"the report is {page}")
    return page


def write_results(out: Path, paths: list[Path], run: Path) -> list[Path]:
    """Use both models as the command line does; returns the receipts."""
    receipts = []
    for name in [str(run), *([SHIPPED] if SHIPPED in shipped() else [])]:
        model, results, stem = load(name), out / "results", Path(name).name
        changes = {"Smiling": 1.0, "Eyeglasses": 1.0}
        receipts.append(
            Edit(model=name, images=paths[:4], changes=changes).write(results / f"edit-{stem}.png", model).receipt
        )
        receipts.append(Morph(model=name, images=paths[:2]).write(results / f"morph-{stem}.png", model).receipt)
    return receipts


# --- a model of drawn faces, shown on faces that nothing trained on


def faces_to_show(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Draw faces for the eye: (images [N, 3, size, size], factors)."""
    unseen = drawn_images(count, size, SEED)
    assert unseen.factors is not None
    return unseen.images, unseen.factors


def edit_matrix(model: Model, count: int = 6) -> str:
    """Return faces and what becomes of them, one attribute a column: each is set where absent, else taken away."""
    images, factors = faces_to_show(count, model.image_size)
    labels = faces.attributes(factors)
    reconstructions = edit(model, images, {SHOWN[0]: 0.0}, labels).reconstructions
    assert reconstructions is not None  # it encodes
    columns = {"input": images, "reconstruction": reconstructions.cpu()}
    for name in SHOWN:
        edited = torch.empty_like(images)
        for holds in (False, True):
            rows = (labels[:, model.schema.names.index(name)] > 0.5) == holds
            if bool(rows.any()):
                edited[rows] = edit(model, images[rows], {name: turning(holds)}, labels[rows]).edited.cpu()
        columns[name] = edited
    lines = [torch.stack(line) for line in zip(*columns.values(), strict=True)]
    return report.picture(
        sheet(lines, columns=list(columns), cell=96, clear=True),
        "Each column turns one attribute the other way round: set where it was absent, taken away where it was "
        "present; all else should stay.",
    )


def part_of_the_way(model: Model) -> str:
    """Return edits of rising strength."""
    images, factors = faces_to_show(12, model.image_size)
    labels = faces.attributes(factors)
    rows: list[Tensor] = []
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    for name in RISING:
        absent = (labels[:, model.schema.names.index(name)] < 0.5).nonzero()[:, 0]
        pick = absent[len(rows) % len(absent)].view(1)
        rows.append(torch.cat([edit(model, images[pick], {name: s}, labels[pick]).edited.cpu() for s in strengths]))
    columns, words = [f"{s:g}" for s in strengths], [f"{name} +" for name in RISING]
    picture = sheet(rows, columns=columns, labels=words, cell=96, clear=True)
    return report.picture(picture, "Strength: 0 = unchanged, 1 = set, between = part of the way.")


def morphed(model: Model) -> str:
    """Return a morph as a strip and an animation."""
    images, _ = faces_to_show(6, model.image_size)
    first, second = images[4:5], images[5:6]
    strip = morph(model, first, second, 9).images.cpu()
    smooth = morph(model, first, second, 24).images.cpu()
    words = ["from", *[f"{100 * step / 8:.0f} %" for step in range(9)], "to"]
    picture = sheet([torch.cat([first, strip, second])], columns=words, cell=96, clear=True)
    return report.picture(picture, "A morph: z and y go from one face to the other.") + report.animation(
        gif_bytes(frames(smooth, width=192)), "The same, there and back."
    )


# --- the sections of the page

PHOTOGRAPH = Path(__file__).with_name("woman.jpg")  # its source stands in woman.txt
SMILE, SMILE_BY = {"Smiling": 0.7, "Mouth_Slightly_Open": 0.7}, PHOTOGRAPHS


def about_photograph(results: Path, trained: Model) -> list[str]:
    """The first section: a photograph, edited at its own size by a model that ships, then by the one just trained."""
    models = {name: load(name) for name in (SMILE_BY,) if name in shipped()} | {"the model just trained": trained}
    pieces, before = [], open_image(PHOTOGRAPH)
    for words, model in models.items():
        with warnings.catch_warnings():  # the page says it
            warnings.simplefilter("ignore")
            found = edit(model, PHOTOGRAPH, SMILE)
        (place,) = found.save(results / f"photograph-{words.split()[-1]}.jpg")
        x, y = found.faces[0][0].corners.mean(0).round().astype(int)
        page = Image.new("RGB", (1024, 832))
        for column, image in enumerate((before, found.photographs[0])):
            page.paste(image.resize((512, 512)), (512 * column, 0))
            page.paste(image.crop((x - 256, y - 70, x + 256, y + 250)), (512 * column, 512))
        caption = f"A smile by {words}: before, after; below, parts of both at full size. The whole: {place.name}"
        pieces.append(report.picture(page, caption))
    return [
        report.heading(
            "A photograph, edited",
            f"It comes back at its own size, {before.width}x{before.height}; only the face's frame changes, and what "
            "is not painted anew stays sharp. The model that ships learned from portraits; the one just "
            "trained has seen nothing but drawn faces, and paints coarsely.",
        ),
        *pieces,
    ]


def about_data() -> list[str]:
    """The section on drawn faces and their counterfactuals."""
    images, factors = faces_to_show(30, 128)
    one = factors[3:4]
    changed = [
        faces.set_attribute(one, name, not bool(value))
        for name, value in zip(faces.SCHEMA.names, faces.attributes(one)[0], strict=True)
        if name in SHOWN[:9]
    ]
    names = [name for name in faces.SCHEMA.names if name in SHOWN[:9]]
    truth = sheet([faces.render(torch.cat([one, *changed]), 128)], columns=["a face", *names], cell=100, clear=True)
    return [
        report.heading(
            "The data: synthetic faces",
            f"{len(faces.SCHEMA.names)} attributes, named as CelebA names them, with correlations as in life, over "
            "continuous factors. Nothing was downloaded.",
        ),
        report.picture(grid(images, columns=10, cell=96, clear=True)),
        report.picture(
            truth,
            "The true counterfactuals: the same face with one attribute the other way round. The renderer knows the "
            "right answer to every edit, so an editor can be held against it, pixel by pixel.",
        ),
    ]


def about_model(model: Model, evaluation: Evaluation) -> list[str]:
    """The sections on the model that was just trained."""
    pictures = evaluation.pictures
    pieces = [
        report.heading("The model just trained: samples", "New faces, decoded from codes drawn at random."),
        report.picture(pictures["samples"]),
        report.heading("Reconstructions", "Unseen faces above, what the model makes of their codes below."),
        report.picture(pictures["reconstructions"]),
        report.heading("Edits"),
        *edits_shown(model),
    ]
    if evaluation.leakage:
        caption = "Percent of edits of the attribute on the left after which the one above is not as it should be."
        pieces += [
            report.heading(
                "Every slider, measured",
                f"{evaluation.about['judge']}, a network that trained on other faces and never with this model, "
                "looks at every edited image. The hardest attribute comes first.",
            ),
            *edited_attributes(evaluation),
            report.folded("What leaks into what", report.heat(evaluation.leakage, caption)),
        ]
    pieces.append(report.folded("All figures with their protocols", figure_table(evaluation)))
    return pieces


def edits_shown(model: Model) -> list[str]:
    """Return edits, edits of rising strength and a morph."""
    return [edit_matrix(model), part_of_the_way(model), morphed(model)]


def about_shipped() -> list[str]:
    """The sections on the model that comes with the package, or that the package was built without it."""
    if SHIPPED not in shipped():
        return [report.note(f"The model {SHIPPED} is not in this installation, so its edits are not shown.")]
    model = load(SHIPPED)
    figures, protocols = card_figures(model.card)
    rows = [[report.code(key), f"{value:.4g}", protocols.get(key, "")] for key, value in figures.items()]
    images, factors = faces_to_show(6, model.image_size)
    right = (attributes_of(model, images) == faces.attributes(factors)).float().mean()
    card = report.table(["figure", "value", "how it was measured"], rows, numbers=(1,))
    return [
        report.heading(
            f"The model that ships: {SHIPPED}",
            f"{model.image_size} px, {model.images_seen:,} images seen, ready to use. The same faces, the same edits. "
            f"(Shown these six faces without labels, it guesses {100 * float(right):.0f} % of their attributes right.)",
        ),
        *edits_shown(model),
        *([report.folded("Its card", card)] if rows else []),
    ]


def about_training(lines: list[dict[str, Any]]) -> list[str]:
    """Return the learning curves of a run's log."""
    titles = {name: name.replace("_", " ") for line in lines for name in line if name not in NOT_CURVES}
    charts = []
    for name, title in {**titles, "images_per_second": "images per second"}.items():
        points = [(line["images_seen"], line[name]) for line in lines if isinstance(line.get(name), int | float)]
        charts.append(chart(title, {name: points}))
    return [
        report.heading("Learning curves", "Averages over the lines of log.jsonl; the clock is images seen."),
        report.curves([each for each in charts if each]),
    ]


def about_speed(evaluation: Evaluation, seconds: dict[str, float], recipe: AnyRecipe) -> list[str]:
    """Return how long everything took, and on what."""
    rate, about = recipe.training.images / max(seconds["training"], 1e-9), evaluation.about
    words = {
        "drawing": "",
        "training": f"{rate:,.0f} images/s, all losses, checkpoints included",
        "measuring": f"{about.get('reconstructions per second', 0):,.0f} reconstructions/s, "
        f"{about.get('edits judged per second', 0):,.0f} edits judged/s",
        "editing": "with pictures, animations and metadata",
    }
    rows = [[name, duration(seconds[name]), how] for name, how in words.items()]
    return [report.heading("Speed", f"On this computer: {machine()}."), report.table(["stage", "time", ""], rows)]


def how_to_go_on(out: Path, paths: list[Path], receipts: list[Path]) -> list[str]:
    """Return commands to copy."""
    face, other, run, us = paths[0], paths[1], out / "run", program()
    recipe = json.dumps(read_json(run / "recipe.json")["recipe"], indent=2)
    return [
        report.heading("How to go on"),
        report.commands(
            [
                ("edit a picture with the model that ships", f"{us} edit {face} --set Smiling=1 --set Bangs=0.5"),
                ("or with the one just trained", f"{us} edit {face} --set Young=-1 --model {run}"),
                ("new faces, all of them with glasses", f"{us} sample --count 32 --set Eyeglasses=1"),
                ("from one face to another", f"{us} morph {face} {other}"),
                ("one face with the attributes of another", f"{us} transfer {face} --from {other}"),
                ("make a result again, to the last pixel", f"{us} replay {receipts[0]}"),
                ("measure any model", f"{us} evaluate {run}"),
                ("look at your own folder of images", f"{us} data check PATH"),
                ("train on it", f"{us} train celeba-64 --data PATH"),
                ("what else can be trained", f"{us} recipes"),
            ]
        ),
        report.folded("The recipe of this run", f"<pre>{report.text(recipe)}</pre>"),
    ]


def program() -> str:
    """Return how this program is called from here: by its name, or by its path where the name is not found."""
    called = Path(sys.argv[0])
    if called.name != "attrimorph" or shutil.which("attrimorph"):
        return "attrimorph"
    return os.path.relpath(called)
