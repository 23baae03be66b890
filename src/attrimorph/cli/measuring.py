"""compare, experiment, evaluate, calibrate, audit."""

import sys
from dataclasses import replace
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import (
    FIND,
    LAYOUT,
    MAKE,
    Device,
    Layout,
    Whole,
    app,
    chosen,
    seed_numbers,
    speaks,
    tell_stand_in,
)
from attrimorph.errors import AttrimorphError
from attrimorph.requests import DEFAULT_MODEL

if TYPE_CHECKING:
    from attrimorph.data.prepared import PreparedData
    from attrimorph.evaluators.judge import Judge
    from attrimorph.metrics.figures import Comparison, Evaluation
    from attrimorph.models.model import Model

OPTIONS = (
    "budget", "images", "seeds", "data", "format", "table", "judge", "count", "size", "out", "csv", "latex", "device"
)  # fmt: skip


@app.command(group=MAKE)
def compare(
    recipe: str,
    /,
    *recipes: Annotated[str, Parameter(allow_leading_hyphen=True)],
    budget: str | None = None,
    images: Whole | None = None,
    seeds: Whole = 3,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    judge: str | None = None,
    count: Whole = 500,
    size: Whole | None = None,
    out: Path = Path("runs/comparison"),
    csv: Path | None = None,
    latex: Path | None = None,
    device: Device = "auto",
) -> None:
    """Train several recipes on the same data and seeds, each as long, and write one report.

    The same command goes on with an interrupted comparison.

    Parameters
    ----------
    recipe
        A recipe's name, a YAML or JSON file, or a run folder.
    recipes
        More of them, then changes of one: --cyclegan.domains.attribute Smiling, or of all: --training.batch-size 8.
    budget
        Wall clock of each training: 90s, 10min, 2h.
    images
        Images seen in each training, in place of a budget.
    seeds
        How many seeds each training is repeated with.
    data
        A prepared folder or a folder of images in any known layout; by default faces are drawn.
    judge
        Who judges samples and edits: a file of `attrimorph judge`, or a shipped one; by default the shipped one that
        suits.
    count
        Images to measure on.
    size
        Image size of all recipes in place of their own.
    out
        The folder of everything.
    csv
        A file for all figures as a CSV table: mean and standard deviation over the seeds of each recipe.
    latex
        A file for the same as a LaTeX tabular (booktabs), without those of single attributes.
    """
    from attrimorph.reproductions.entrants import entrants, parse_budget

    layout.needs(data)
    if (budget is None) == (images is None):
        raise AttrimorphError(
            "a comparison needs either --budget or --images; give one of them, such as --budget 10min"
        )
    for name, number in (("images", images), ("count", count)):
        if number is not None and number < 1:
            raise AttrimorphError(f"{name} must be at least 1; got {number}")
    seconds = None if budget is None else parse_budget(budget)
    by_name, numbers = entrants([recipe, *recipes], size, OPTIONS), seed_numbers(seeds)

    from attrimorph.console import Meter
    from attrimorph.data.drawn.synthetic import drawn_faces, undrawn_faces
    from attrimorph.evaluators.judge import load_judge
    from attrimorph.metrics.figures import check_tables
    from attrimorph.reproductions.comparison import Benchmark, check, check_schema
    from attrimorph.reproductions.comparison_page import compare as run

    check_tables(csv, latex)
    named = None if judge is None else load_judge(judge, chosen(device))
    pixels = next(iter(by_name.values())).recipe.data.image_size
    prepared = None
    if data is not None:
        prepared = layout.open(data, pixels, lambda schema: check_schema(by_name, schema))
    tell_stand_in(data)
    training = prepared or undrawn_faces(pixels)
    with Meter("comparing") as meter:
        benchmark = Benchmark(
            entrants=by_name,
            out=out,
            data=prepared,
            training=training,
            seeds=numbers,
            images=images,
            seconds=seconds,
            count=count,
            judge=_suitable(named, training, chosen(device)),
            device=chosen(device),
            say=meter.say,
            progress=meter.stage,
        )
        if prepared is None:
            check(benchmark)  # before minutes of drawing; `run` checks all
            meter.title = "drawing faces"
            benchmark = replace(benchmark, training=drawn_faces(pixels, progress=meter.update))
        page = run(benchmark, csv, latex)
    print("\n".join(str(path) for path in (out / "results.json", csv, latex, page) if path is not None))


def _suitable(judge: "Judge | None", data: "PreparedData", device: str) -> "Judge | None":
    """Return the judge that was named, or the shipped one that knows the data's attributes at its size, or None."""
    from attrimorph.evaluators.judge import in_schema, judge_for

    if judge is None:
        return judge_for(data.schema, data.image_size, device)
    if judge.image_size != data.image_size:
        raise AttrimorphError(
            f"the judge must take images of {data.image_size} px like the data; {judge.name} takes {judge.image_size}; "
            "train one on the data with attrimorph judge"
        )
    return in_schema(judge, data.schema, "the data")


@app.command(group=MAKE)
def experiment(
    name: str | None = None,
    /,
    *,
    quick: bool = False,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    classes: str | None = None,
    model: str | None = None,
    other_model: str | None = None,
    seeds: Whole | None = None,
    images: Whole | None = None,
    out: Path = Path("runs/experiments"),
    csv: Path | None = None,
    latex: Path | None = None,
    device: Device = "auto",
) -> None:
    """Repeat a figure or table of a paper: its picture, its numbers beside the published ones or our bars, verdicts.

    The same command goes on with an interrupted experiment.

    Parameters
    ----------
    name
        Which, by name or letter; without it they are listed. A paper's name, or all: one after another.
    quick
        The small form: minutes on two cores.
    data
        A prepared folder or a folder of images in any known layout; by default people are drawn. Attribute2Image's
        train on synthetic faces, these or others.
    classes
        The attribute that tells the classes, or identity; by default the first categorical one, or the identities.
    model
        A model of such data to look at, where one is needed, in place of training it; several with commas, where
        methods are compared.
    other_model
        A second one, where two are compared: the CVAE (drift), the GAN (inversion), the CVAE-GAN (completion), the
        GAN and the WGAN-GP with a comma (growing); who judges photographs of other data (photographs).
    seeds
        How many; by default 3, quick 1.
    images
        Length of every training in place of the recipe's; the ring's iterations.
    out
        The folder; results go to OUT/NAME, data and models that experiments share beside it.
    csv
        A file for all verdicts with their margins as a CSV table.
    latex
        A file for the same as a LaTeX tabular (booktabs).
    """
    from attrimorph.console import Meter, table
    from attrimorph.reproductions import EXPERIMENTS, names_of

    if name is None:
        print(table([(each.paper, each.letter, key, each.about) for key, each in EXPERIMENTS.items()]))
        return
    layout.needs(data)
    names = names_of(name)
    from attrimorph.metrics.figures import Cell, check_tables, write_tables
    from attrimorph.reproductions.frame import COLUMNS, FULL, QUICK, Request, decide, write_outcome

    check_tables(csv, latex)
    if names != ["ring"]:  # points, no images
        tell_stand_in(data)
    rows: list[list[Cell]] = []
    for each in names:
        with Meter(each) as meter:
            request = Request(
                out=out,
                data=None if data is None else layout.of(data),
                classes=classes,
                model=model,
                other_model=other_model,
                seeds=seed_numbers(seeds or (1 if quick else 3)),
                form=QUICK if quick else FULL,
                images=images,
                device=chosen(device),
                say=meter.say,
                progress=meter.stage,
            )
            outcome = EXPERIMENTS[each].run(request)
            page = write_outcome(outcome, out)
        decisions = decide(outcome.claims)
        print(table([(one.verdict, one.claim.words, f"{one.claim.evidence}; {one.why}") for one in decisions]))
        rows += [[each, *decision.row()] for decision in decisions]
        print("\n".join(map(str, [*write_tables(("experiment", *COLUMNS), rows, csv, latex), page])))


@app.command(group=MAKE)
def evaluate(
    run: str = DEFAULT_MODEL,
    /,
    *,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    metrics: str | None = None,
    judge: str | None = None,
    identity_encoder: Annotated[str | None, Parameter(name=("--identity-encoder", "--recogniser"))] = None,
    extractor: str | None = None,
    against: Path | None = None,
    out: Path | None = None,
    csv: Path | None = None,
    latex: Path | None = None,
    count: Whole = 1000,
    device: Device = "auto",
) -> None:
    """Measure a model: reconstruction, samples, edits, codes; writes JSON and a page with pictures.

    Parameters
    ----------
    run
        A run folder, a model file or a shipped model.
    data
        Images to measure on, whose test split is taken; by default unseen synthetic (drawn) faces.
    metrics
        Groups of figures with commas between them: reconstruction, edits, responses, fairness, distribution, diversity,
        disentanglement, identity; by default all.
    judge
        The attribute classifier (judge): a file or a shipped one; by default the shipped one that suits the model.
    identity_encoder
        The identity encoder (recogniser): a file or a shipped one; by default the shipped one that suits the model.
    extractor
        Whose features sets of images are compared in: inception or vgg19 from torch's cache, or a file of either; by
        default the attribute classifier's.
    against
        Another evaluation.json to compare with; figures that were measured otherwise are refused.
    out
        The folder for evaluation.json and evaluation.html; by default runs/evaluations/NAME.
    csv
        A file for all figures as a CSV table; with --against, the figures of both.
    latex
        A file for the same as a LaTeX tabular (booktabs), without those of single attributes.
    count
        How many images.
    """
    from attrimorph.console import Meter
    from attrimorph.evaluators.identity_encoder import load_identity_encoder
    from attrimorph.evaluators.judge import load_judge
    from attrimorph.loading import load
    from attrimorph.metrics.evaluate import chosen_groups
    from attrimorph.metrics.extractors import load_extractor
    from attrimorph.metrics.figures import FIGURES, PAIRS, check_tables, figure_rows, pair_rows, write_tables
    from attrimorph.models.batches import sharing
    from attrimorph.reproductions.evaluation import evaluate_model, read_evaluation
    from attrimorph.requests import parse_names
    from attrimorph.training import processes

    layout.needs(data)
    check_tables(csv, latex)
    groups = None if metrics is None else chosen_groups(parse_names(metrics))
    other = None if against is None else read_evaluation(against)
    folder = out or Path("runs/evaluations") / Path(run).name
    with processes(), sharing(), Meter("measuring") as meter:
        where = chosen(device)
        model = load(run, where)
        tell_stand_in(data)
        images = None if data is None else layout.open_for(model, data)
        evaluation, comparison = evaluate_model(
            model,
            folder,
            data=images,
            judge=None if judge is None else load_judge(judge, where),
            identity_encoder=None if identity_encoder is None else load_identity_encoder(identity_encoder, where),
            extractor=None if extractor is None else load_extractor(extractor, where),
            metrics=groups,
            count=count,
            against=other,
            progress=meter.say if speaks() else None,
            writes=speaks(),
        )
    if not speaks():
        return
    _print_evaluation(evaluation)
    if comparison is None:
        tables = write_tables(FIGURES, figure_rows(evaluation), csv, latex)
    else:
        _print_comparison(comparison, against)
        tables = write_tables(PAIRS, pair_rows(comparison), csv, latex)
    print("\n".join(map(str, [*tables, folder / "evaluation.html"])))


def _print_evaluation(evaluation: "Evaluation") -> None:
    """Print the figures without those of single attributes, and the notes; on a terminal one line each."""
    from attrimorph.console import table

    print(f"measured on {evaluation.about['images']}; attribute classifier: {evaluation.about['judge'] or 'none'}")
    head = ("figure", "value", "95 % interval", "unit", "better", "what it is")
    lines = table(evaluation.told(), head).splitlines()
    width = get_terminal_size().columns if sys.stdout.isatty() else max(map(len, lines))
    print("\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines))
    for note in evaluation.notes:
        print(note)


def _print_comparison(comparison: "Comparison", against: object) -> None:
    """Print the figures of two evaluations side by side, and why others are not compared."""
    from attrimorph.console import table

    head = (f"figure, against {against}", "here", "there", "difference", "better")
    print(table([row[:-1] for row in comparison.told()], head))
    for sentence in comparison.refused:
        print(sentence)


@app.command(group=MAKE)
def calibrate(
    model: str,
    /,
    *,
    judge: str | None = None,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    out: Path | None = None,
    images: Whole = 24,
    device: Device = "auto",
) -> None:
    """Measure how edits grow with their strength and put a map into the model's file: 0.5 then is half-way.

    Parameters
    ----------
    model
        A run folder (its newest model) or a model file; a shipped model with --out only.
    judge
        Who measures: a file of `attrimorph judge`, or a shipped one; by default the shipped one that suits.
    data
        Images to measure on, whose validation split is taken; by default synthetic faces.
    out
        The model file to write; by default the model's own.
    images
        Of each attribute and direction, at most.
    """
    from attrimorph.applications.calibrate import calibrate as measure
    from attrimorph.applications.calibrate import images_for, refuse_shipped, write_calibrated
    from attrimorph.console import Meter, table
    from attrimorph.loading import load

    layout.needs(data)
    refuse_shipped(model, out)
    loaded = load(model, chosen(device))
    judges = _judge_for(loaded, judge)
    if judges is None:
        raise AttrimorphError(
            "calibrate needs a judge of the model's attributes at its size; none ships; train one with "
            "attrimorph judge, and name it with --judge"
        )
    tell_stand_in(data)
    unseen = images_for(loaded, None if data is None else layout.open_for(loaded, data))
    with Meter("measuring") as meter:
        strengths = measure(loaded, judges, unseen, most=images, progress=meter.say)
    halves = [(strengths.position(name, 0.5), -strengths.position(name, -0.5), name) for name in strengths.positions]
    if halves:
        rows = [(f"{up:.2f}", f"{down:.2f}", name) for up, down, name in halves]
        print(table(rows, ("half-way when set", "when taken away", "attribute")))
    else:
        print(f"no edit of {loaded.recipe.name} moves its attribute: nothing was calibrated")
    print(write_calibrated(model, strengths, out).path)


def _judge_for(model: "Model", named: str | None) -> "Judge | None":
    from attrimorph.evaluators.judge import judge_for, load_judge

    if named is None:
        return judge_for(model.schema, model.image_size, model.device)
    return load_judge(named, model.device)


@app.command(group=FIND)
def audit(
    *,
    out: Path,
    attribute: str | None = None,
    model: str = DEFAULT_MODEL,
    images: Path | None = None,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    judge: str | None = None,
    count: Whole = 100,
    predictions: Path | None = None,
    threshold: float = 0.5,
    device: Device = "auto",
) -> None:
    """Test your own classifier for bias: write pairs of pictures that differ in one attribute, then read its answers.

    Parameters
    ----------
    out
        The folder of the audit.
    attribute
        What the pairs differ in: Male.
    model
        A run folder, a model file or a shipped model.
    images
        A folder of pictures; their attributes are guessed.
    data
        Prepared data or a folder in any known layout, whose test split is taken; without both faces are drawn.
    judge
        Who checks the pairs; by default the shipped one that suits.
    count
        How many pairs at most.
    predictions
        A CSV file of your classifier's answers for the pictures of an earlier audit in OUT: a column "file", and one
        column for each answer.
    threshold
        Above which a number is a yes.
    """
    if predictions is not None:
        _read_audit(out, predictions, threshold)
        return
    layout.needs(data)
    if attribute is None:
        raise AttrimorphError("audit needs --attribute to make pairs, or --predictions to read; got neither; add one")
    if images is not None and data is not None:
        raise AttrimorphError("audit takes --images or --data; got both; leave one out")
    from attrimorph.applications.calibrate import drawn, from_data, from_folder
    from attrimorph.loading import load
    from attrimorph.reproductions.audit import write_pairs

    loaded = load(model, chosen(device))
    loaded.schema.attribute(attribute)
    if images is not None:
        pictures, labels, sources = from_folder(loaded, images, count)
    elif data is not None:
        pictures, labels, sources = from_data(loaded, layout.open_for(loaded, data), count)
    else:
        tell_stand_in(data)
        pictures, labels, sources = drawn(loaded, count)
    found = write_pairs(loaded, pictures, labels, sources, attribute, out, _judge_for(loaded, judge))
    checked = "" if found.clean is None else f"; in {int(found.clean.sum())} a judge finds only {attribute} changed"
    print(f"{len(found.had)} pairs{checked}")
    print(out / "pairs.csv")


def _read_audit(out: Path, predictions: Path, threshold: float) -> None:
    from attrimorph.console import table
    from attrimorph.reproductions.audit import with_interval, write_audit_report

    forms = {"mean change": "{:+.3f}", "flip rate": "{:.1%}"}
    rows: list[tuple[str, ...]] = []
    for row in write_audit_report(out, predictions, threshold=threshold):
        figures = (with_interval(row.get(name), form) for name, form in forms.items())
        rows.append((row["column"], row["pairs"], str(row["count"]), *figures))
    print(table(rows, ("prediction", "pairs", "n", *forms)))
    print(out / "report.html")
