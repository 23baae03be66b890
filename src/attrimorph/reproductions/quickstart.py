"""The quickstart: draw faces, train on them from scratch, measure, edit, and tell it all in one page."""

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from attrimorph.applications.inputs import attributes_of
from attrimorph.charts import chart
from attrimorph.console import Meter, duration
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.methods.logged import in_words
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.evaluate import Evaluation
from attrimorph.metrics.figures import card_figures
from attrimorph.models.finding import shipped
from attrimorph.models.model import Model
from attrimorph.pictures import grid, sheet, to_pil, write_png
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions import report
from attrimorph.reproductions.evaluation import evaluate_model
from attrimorph.reproductions.evaluation_page import (
    EDITS_FOLDED,
    attribute_table,
    edit_pictures,
    figure_table,
    headline,
)
from attrimorph.reproductions.showcase import SHOWN, edit_matrix, faces_to_show, moving, part_of_the_way
from attrimorph.requests.edit import Edit
from attrimorph.requests.morph import Morph
from attrimorph.training.log import read_log
from attrimorph.training.trainer import Progress, train
from attrimorph.version import __version__

SHIPPED = "drawn-faces-64"


@dataclass
class Stages:
    """How long each part took, kept over repetitions: a part that is reused keeps its first time."""

    path: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.seconds = {str(name): float(value) for name, value in read_json(self.path).items()}

    @contextmanager
    def stage(self, name: str, *, reused: bool = False) -> Iterator[None]:
        """Measure a part; with `reused` only if it was never measured."""
        begin = time.perf_counter()
        yield
        if not reused or name not in self.seconds:
            self.seconds[name] = round(time.perf_counter() - begin, 1)
            write_json(self.path, self.seconds)


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
    size, run, stages = recipe.data.image_size, out / "run", Stages(out / "stages.json")

    say(f"1 of 4: drawing {count:,} faces of {size} px")
    folder = out / f"faces-{size}"
    with stages.stage("drawing", reused=(folder / "schema.json").exists()), Meter("drawing") as meter:
        data = write_faces(folder, count=count, size=size, progress=meter.update)

    say(f"2 of 4: training the recipe {recipe.name!r} from scratch, {recipe.training.images:,} images")
    trained_before = seen_in(run)
    with (
        stages.stage("training", reused=trained_before >= recipe.training.images),
        Meter("training") as meter,
    ):

        def show(now: Progress) -> None:
            meter.update(now.images_seen, now.images, in_words(now.values), now.images_per_second)

        train(recipe, data, run, progress=show)
    model = load(run)

    say(f"3 of 4: measuring it on {evaluated:,} faces that it has never seen")
    with stages.stage("measuring"), Meter("measuring", "edits") as meter:
        title = f"{recipe.name} on synthetic faces"
        evaluation, _ = evaluate_model(model, out / "evaluation", count=evaluated, title=title, progress=meter.say)

    say("4 of 4: editing test faces and writing the report")
    with stages.stage("editing"):
        paths = write_test_faces(out / "photographs")
        results = write_results(out, paths, run)
    pieces = [
        *about_data(),
        *about_model(model, evaluation),
        *(about_shipped(load(SHIPPED)) if SHIPPED in shipped() else no_shipped()),
        *about_training(read_log(run)),
        *about_speed(evaluation, stages, recipe),
        *how_to_go_on(out, paths, results),
    ]
    page = report.write_page(
        out / "report.html",
        title="A generator you can steer",
        eyebrow="attrimorph quickstart",
        lead=(
            f"This computer drew {count:,} faces, trained a CVAE-GAN on them from scratch in "
            f"{duration(stages.seconds['training'])}, and measured what each of its "
            f"{len(model.schema.names)} sliders really does."
        ),
        pieces=[report.tiles(headline(evaluation)), *map(report.note, evaluation.notes), *pieces],
        footer=f"attrimorph {__version__}; recipe {recipe.name}, {model.images_seen:,} images seen; "
        f"this call took {duration(time.perf_counter() - begin)}",
    )
    say(f"the report is {page}")
    return page


def seen_in(run: Path) -> int:
    """Return the images seen at the end of a run's log, 0 without one."""
    lines = read_log(run)
    return int(lines[-1]["images_seen"]) if lines else 0


def write_test_faces(folder: Path, count: int = 8) -> list[Path]:
    """Write faces as pictures of 256 px, as photographs would come."""
    images, _ = faces_to_show(count, 256)
    paths = [folder / f"face-{number}.png" for number in range(1, count + 1)]
    for path, image in zip(paths, to_pil(images), strict=True):
        write_png(path, image, "drawn by attrimorph")
    return paths


def write_results(out: Path, paths: list[Path], run: Path) -> list[Path]:
    """Use both models as the command line does; returns the receipts."""
    receipts = []
    for named in [str(run), *([SHIPPED] if SHIPPED in shipped() else [])]:
        model, stem = load(named), Path(named).name
        changes = {"Smiling": 1.0, "Eyeglasses": 1.0}
        target = out / "results" / f"edit-{stem}.png"
        receipts.append(Edit(model=named, images=paths[:4], changes=changes).write(target, model).receipt)
        target = out / "results" / f"morph-{stem}.png"
        receipts.append(Morph(model=named, images=paths[:2]).write(target, model).receipt)
    return receipts


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
        report.heading("Reconstructions", "EvaluationSet faces above, what the model makes of their codes below."),
        report.picture(pictures["reconstructions"]),
        report.heading("Edits"),
        edit_matrix(model),
        part_of_the_way(model),
        moving(model),
    ]
    if evaluation.leakage:
        pieces += [
            report.heading(
                "Every slider, measured",
                f"{evaluation.about['judge']}, a network that trained on other faces and never with this model, "
                "looks at every edited image. The hardest attribute comes first.",
            ),
            attribute_table(evaluation),
            report.folded(EDITS_FOLDED, *edit_pictures(evaluation)),
            report.folded(
                "What leaks into what",
                report.heat(
                    evaluation.leakage,
                    "Percent of edits of the attribute on the left after which the one above is not as it should be.",
                ),
            ),
        ]
    pieces.append(report.folded("All figures with their protocols", figure_table(evaluation)))
    return pieces


def about_shipped(model: Model) -> list[str]:
    """The sections on the model that comes with the package."""
    figures, protocols = card_figures(model.card)
    rows = [
        [f"<code>{report.text(key)}</code>", f"{value:.4g}", report.text(protocols.get(key, ""))]
        for key, value in figures.items()
    ]
    images, factors = faces_to_show(6, model.image_size)
    right = (attributes_of(model, images) == faces.attributes(factors)).float().mean()
    return [
        report.heading(
            f"The model that ships: {SHIPPED}",
            f"{model.image_size} px, {model.images_seen:,} images seen, ready to use. The same faces, the same edits. "
            f"(Shown these six faces without labels, it guesses {100 * float(right):.0f} % of their attributes right.)",
        ),
        edit_matrix(model),
        part_of_the_way(model),
        moving(model),
        *(
            [report.folded("Its card", report.table(["figure", "value", "how it was measured"], rows, numbers=(1,)))]
            if rows
            else []
        ),
    ]


def no_shipped() -> list[str]:
    """What stands there when the package was built without its model."""
    return [report.note(f"The model {SHIPPED} is not in this installation, so its edits are not shown.")]


def about_training(lines: list[dict[str, Any]]) -> list[str]:
    """Return the learning curves of a run's log."""
    names = [
        name
        for name in dict.fromkeys(name for line in lines for name in line)
        if name not in ("images_seen", "images_per_second", "waited_seconds", "guard")
    ]
    charts = [chart(name.replace("_", " "), {name: points(lines, name)}) for name in names]
    charts.append(chart("images per second", {"speed": points(lines, "images_per_second")}))
    return [
        report.heading("Learning curves", "Averages over the lines of log.jsonl; the clock is images seen."),
        report.curves([chart for chart in charts if chart]),
    ]


def points(lines: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """Return (images seen, value) of one quantity of a log."""
    return [(line["images_seen"], line[name]) for line in lines if isinstance(line.get(name), int | float)]


def about_speed(evaluation: Evaluation, stages: Stages, recipe: AnyRecipe) -> list[str]:
    """Return how long everything took, and on what."""
    seconds, cores = stages.seconds, os.cpu_count() or 1
    rate = recipe.training.images / max(seconds["training"], 1e-9)
    rows = [
        ["drawing", duration(seconds["drawing"]), ""],
        ["training", duration(seconds["training"]), f"{rate:,.0f} images/s, all losses, checkpoints included"],
        [
            "measuring",
            duration(seconds["measuring"]),
            f"{evaluation.about.get('reconstructions per second', 0):,.0f} reconstructions/s, "
            f"{evaluation.about.get('edits judged per second', 0):,.0f} edits judged/s",
        ],
        ["editing", duration(seconds["editing"]), "with pictures, animations and metadata"],
    ]
    machine = f"{platform.machine()}, cores: {cores}, threads: {torch.get_num_threads()}, torch {torch.__version__}"
    return [
        report.heading("Speed", f"On this computer: {machine}."),
        report.table(["stage", "time", ""], [[report.text(cell) for cell in row] for row in rows]),
    ]


def how_to_go_on(out: Path, paths: list[Path], receipts: list[Path]) -> list[str]:
    """Return commands to copy."""
    face, other, run, us = paths[0], paths[1], out / "run", program()
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
        report.folded("The recipe of this run", f"<pre>{report.text(recipe_text(run))}</pre>"),
    ]


def program() -> str:
    """Return how this program is called from here: by its name, or by its path where the name is not found."""
    called = Path(sys.argv[0])
    if called.name != "attrimorph" or shutil.which("attrimorph"):
        return "attrimorph"
    return os.path.relpath(called)


def recipe_text(run: Path) -> str:
    """Return the run's recipe as indented JSON."""
    return json.dumps(read_json(run / "recipe.json")["recipe"], indent=2)
