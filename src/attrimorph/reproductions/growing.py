"""A progressively grown GAN beside a plain GAN and WGAN-GP: samples after equally many images, and after equal time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from attrimorph.applications.axes.space import drawn_codes
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import judge_for
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.methods.pggan.model import ProgressiveModel
from attrimorph.methods.pggan.recipe import ProgressiveRecipe
from attrimorph.methods.pggan.step import growth_of
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.models.model import Model
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions import report
from attrimorph.reproductions.axes import PGGAN
from attrimorph.reproductions.contexts import training_faces
from attrimorph.reproductions.frame import (
    LONGEST_PROBE,
    Claim,
    Figures,
    Outcome,
    Request,
    claim,
    describe,
    lasting,
    machine,
    outcome_of,
    seconds_of,
)
from attrimorph.training.folder import checkpoint_folders, read_log
from attrimorph.training.rehearsal import seconds_per_image

OTHERS = ("gan", "wgan-gp")
KEPT = 64  # checkpoints of each training
MEASURED = 4  # times the form's unseen faces
SAMPLES, SHOWN = 1_234, 10  # seed, pictures in a row
IMAGES, TIME = "equal images", "equal time"


@dataclass(frozen=True)
class Moment:
    """A training at one of its checkpoints.

    Attributes:
        path: of the model's file.
        images: seen by then; seconds: trained by then.
    """

    path: Path
    images: int
    seconds: float


def run(request: Request) -> Outcome:
    """Train what is missing, and compare the samples of all at two equal budgets."""
    runs = trainings(request)
    moments = {name: moments_of(folder) for name, folder in runs.items()}
    chosen = {name: dict(zip((IMAGES, TIME), pair, strict=True)) for name, pair in budgets(moments).items()}
    size = load(moments[PGGAN][-1].path).image_size
    unseen = drawn_images(MEASURED * request.form.unseen, size, tied=request.data is None)
    judge = judge_for(faces.SCHEMA, size, request.device)
    if judge is None:
        raise AttrimorphError(f"drawn faces are compared at 32 or 64 pixels; the models have {size}; train others")
    look = JudgeFeatures(judge)
    truth = look(unseen.images)
    distances: dict[str, dict[str, float]] = {name: {} for name in chosen}
    rows: dict[str, dict[str, float | str]] = {name: {} for name in chosen}
    for name, each in chosen.items():
        for budget, moment in each.items():
            request.say(f"measuring {name} after {moment.images:,} images, {moment.seconds:.0f} s")
            features = torch.cat([look(images) for images in samples(load(moment.path, request.device), len(truth))])
            distances[name][budget] = frechet_distance(features, truth)
            rows[name] |= {
                f"distance, {budget}": distances[name][budget],
                f"images, {budget}": f"{moment.images:,}",
                f"s, {budget}": f"{moment.seconds:,.0f}",
            }
    outcome = outcome_of(
        "growing",
        claims(distances),
        {
            "distance": distances,
            "moments": {
                name: {budget: {"images": m.images, "seconds": m.seconds} for budget, m in each.items()}
                for name, each in chosen.items()
            },
        },
        models="; ".join(describe(load(each[-1].path), seen=True) for each in moments.values()),
        count=len(truth), unseen=unseen, look=look,
    )  # fmt: skip
    for name, each in chosen.items():
        for budget, moment in each.items():
            amounts = f"after {moment.images:,} images and {moment.seconds:,.0f} s"
            outcome.protocol[f"{name}, {budget}"] = amounts
    outcome.protocol |= {
        "time": "of training alone, as each run's log tells it; checkpoints nearest to the shortest run's end",
        "machine": machine(),
    }
    outcome.pieces.append(report.figures(rows, ".4g", "recipe"))
    drawn = [samples(load(each[TIME].path, request.device), SHOWN)[0] for each in chosen.values()]
    outcome.sheet("samples", drawn, "Samples at equal time.", labels=list(chosen))
    show_growth(outcome, runs[PGGAN], moments[PGGAN])
    return outcome


def trainings(request: Request) -> dict[str, Path]:
    """Return the run of each recipe: those that were named, or trained now.

    `--model` names the grown one's run, `--other-model` those of the others, with commas, in the order gan, wgan-gp.

    Raises:
        AttrimorphError: a name that is no run folder.
    """
    found: dict[str, Path] = {}
    given = (PGGAN, request.model), *zip(OTHERS, (request.other_model or "").split(","), strict=False)
    for name, folder in given:
        if folder:
            if not checkpoint_folders(Path(folder)):
                raise AttrimorphError(f"the experiment growing needs run folders with their logs; {folder} is none")
            found[name] = Path(folder)
    missing = [name for name in (PGGAN, *OTHERS) if name not in found]
    if not missing:
        return found
    first = load(moments_of(found[PGGAN])[-1].path).recipe if PGGAN in found else recipe_named(PGGAN)
    data = training_faces(request, first.data.image_size, tied=True)
    if PGGAN in missing:
        length = request.images or request.form.changes.get("training.images") or first.training.images
        found[PGGAN] = trained(request, lasting(first, int(length), request.seeds[0], paced=False), data)
    end = moments_of(found[PGGAN])[-1]
    for name in (name for name in OTHERS if name in missing):
        recipe = recipe_named(name).with_changes({"data.image_size": first.data.image_size})
        images = planned(request, recipe, data, end)
        found[name] = trained(request, lasting(recipe, images, request.seeds[0]), data)
    return {name: found[name] for name in (PGGAN, *OTHERS)}


def planned(request: Request, recipe: AnyRecipe, data: PreparedData, end: Moment) -> int:
    """Return how long a recipe trains: long enough for both budgets; a plan is kept, so that it can be gone on with."""
    folder = request.out / "models" / f"{request.form.name}-{data.fingerprint}" / "growing"
    path = folder / f"plan-{recipe.name}-seed{request.seeds[0]}-{end.images}.json"
    if path.exists():
        return int(read_json(path)["images"])
    speed, batch = seconds_per_image(recipe, data, request.device, LONGEST_PROBE), recipe.training.batch_size
    images = max(end.images, round(end.seconds / speed / batch) * batch)
    write_json(path, {"images": images, "seconds": end.seconds})
    return images


def trained(request: Request, recipe: AnyRecipe, data: PreparedData) -> Path:
    """Train one recipe with many checkpoints kept."""
    images = recipe.training.images
    every = max(recipe.training.batch_size, images // (KEPT // 2))
    changes = {
        "training.keep": KEPT, "training.checkpoint_images": every, "training.checkpoint_minutes": 0,
        "training.seed": request.seeds[0],
    }  # fmt: skip
    run = f"growing/{recipe.name}-seed{request.seeds[0]}-{images}"
    return request.train(recipe.with_changes(changes), data, run, f"{recipe.name}, {images:,} images")


def moments_of(run: Path) -> list[Moment]:
    """Return the checkpoints of a run with their clocks."""
    lines = [line for line in read_log(run) if "images_per_second" in line]
    clock = list(zip([0, *(int(line["images_seen"]) for line in lines)], [0.0, *seconds_of(lines)], strict=False))
    found = []
    for folder in checkpoint_folders(run):
        images = int(folder.name)
        before = max((each for each in clock if each[0] <= images), default=clock[0])
        after = min((each for each in clock if each[0] >= images), default=clock[-1])
        share = (images - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
        seconds = before[1] + max(0.0, min(1.0, share)) * (after[1] - before[1])
        found.append(Moment(folder / "model.safetensors", images, seconds))
    return found


def budgets(moments: Mapping[str, Sequence[Moment]]) -> dict[str, tuple[Moment, Moment]]:
    """Return for each run the checkpoint after as many images, and after as long, as the shortest run has to offer."""
    images = min(each[-1].images for each in moments.values())
    seconds = min(each[-1].seconds for each in moments.values())
    return {
        name: (
            min(each, key=lambda moment: abs(moment.images - images)),
            min(each, key=lambda moment: abs(moment.seconds - seconds)),
        )
        for name, each in moments.items()
    }


def samples(model: Model, count: int) -> list[torch.Tensor]:
    """Return samples of a model, in batches."""
    with torch.inference_mode():
        return [model.decode(code).cpu() for code in drawn_codes(model, count, SAMPLES)]


def claims(distances: Figures) -> list[Claim]:
    """Return what growing is held to: a smaller distance than the others, for the same images and the same time."""
    return [
        claim("growing", "nearer", distances[name][budget], distances[PGGAN][budget], name=name, budget=budget,
              grown=PGGAN)
        for name in OTHERS
        for budget in (IMAGES, TIME)
    ]  # fmt: skip


def show_growth(outcome: Outcome, run: Path, moments: Sequence[Moment]) -> None:
    """Show the same codes at the checkpoints of the growth, and the run's own sheets of every transition."""
    rows, labels = [], []
    step = max(1, len(moments) // 16)
    for moment in [*moments[::step], *([moments[-1]] if (len(moments) - 1) % step else [])]:
        model = load(moment.path)
        if isinstance(model, ProgressiveModel):
            rows.append(samples(model, SHOWN)[0])
            labels.append(f"{moment.images // 1000}k, level {model.level:.3g}")
    if rows:
        outcome.sheet("growth", rows, "The same codes as the networks grow.", labels=labels, cell=48)
    for number, path in enumerate(transitions(run, load(moments[-1].path).recipe)):
        with Image.open(path) as picture:
            name = f"transition-{number:02d}-{path.stem}"
            outcome.show(name, picture.convert("RGB"), f"After {int(path.stem):,} images.")


def transitions(run: Path, recipe: AnyRecipe) -> list[Path]:
    """Return the run's sample sheets around its fades: the last before, all inside, the first after each."""
    sheets = sorted((run / "samples").glob("*.png"))
    if not isinstance(recipe, ProgressiveRecipe):
        return []
    growth = growth_of(recipe)
    whole = [growth.level(int(path.stem)) % 1 == 0 for path in sheets]
    return [path for place, path in enumerate(sheets) if not all(whole[max(0, place - 1) : place + 2])]
