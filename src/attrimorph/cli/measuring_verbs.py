"""evaluate, calibrate, audit."""

import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from attrimorph.cli.app import FIND, LAYOUT, MAKE, Device, Layout, Whole, app, chosen, tell_stand_in
from attrimorph.errors import AttrimorphError
from attrimorph.requests import DEFAULT_MODEL

if TYPE_CHECKING:
    from attrimorph.evaluators.judge import Judge
    from attrimorph.metrics.figures import Comparison, Evaluation
    from attrimorph.models.model import Model


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
    from attrimorph.metrics.tables import FIGURES, PAIRS, check_tables, figure_rows, pair_rows, write_tables
    from attrimorph.reproductions.evaluation import evaluate_model, read_evaluation
    from attrimorph.requests import parse_names

    layout.needs(data)
    check_tables(csv, latex)
    groups = None if metrics is None else chosen_groups(parse_names(metrics))
    other = None if against is None else read_evaluation(against)
    model = load(run, chosen(device))
    tell_stand_in(data)
    images = None if data is None else layout.open_for(model, data)
    folder = out or Path("runs/evaluations") / Path(run).name
    with Meter("measuring") as meter:
        evaluation, comparison = evaluate_model(
            model,
            folder,
            data=images,
            judge=None if judge is None else load_judge(judge),
            identity_encoder=None if identity_encoder is None else load_identity_encoder(identity_encoder),
            extractor=None if extractor is None else load_extractor(extractor),
            metrics=groups,
            count=count,
            against=other,
            progress=meter.say,
        )
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
    from attrimorph.metrics.figures import overall
    from attrimorph.metrics.tables import words, written

    rows: list[tuple[str, ...]] = []
    for key in overall(list(evaluation.figures)):
        unit, better, what = words(key)
        low, high = evaluation.intervals.get(key, (None, None))
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        rows.append((key, written(evaluation.figures[key]), interval, unit, better, what))
    print(f"measured on {evaluation.about['images']}; attribute classifier: {evaluation.about['judge'] or 'none'}")
    lines = table(rows, ("figure", "value", "95 % interval", "unit", "better", "what it is")).splitlines()
    width = get_terminal_size().columns if sys.stdout.isatty() else max(map(len, lines))
    print("\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines))
    for note in evaluation.notes:
        print(note)


def _print_comparison(comparison: "Comparison", against: object) -> None:
    """Print the figures of two evaluations side by side, and why others are not compared."""
    from attrimorph.console import table
    from attrimorph.metrics.figures import overall
    from attrimorph.metrics.tables import words, written

    shown = overall([pair.key for pair in comparison.pairs])
    rows: list[tuple[str, ...]] = [
        (pair.key, written(pair.ours), written(pair.theirs), f"{pair.ours - pair.theirs:+.4f}", words(pair.key)[1])
        for pair in comparison.pairs
        if pair.key in shown
    ]
    print(table(rows, (f"figure, against {against}", "here", "there", "difference", "better")))
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
    from attrimorph.console import Meter
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
    _print_strengths(loaded, strengths.positions)
    print(write_calibrated(model, strengths, out).path)


def _print_strengths(model: "Model", positions: object) -> None:
    from attrimorph.console import table
    from attrimorph.models import Strengths

    assert isinstance(positions, dict)
    found = Strengths(positions)
    rows: list[tuple[str, ...]] = [
        (f"{found.position(name, 0.5):.2f}", f"{-found.position(name, -0.5):.2f}", name) for name in positions
    ]
    if rows:
        print(table(rows, ("half-way when set", "when taken away", "attribute")))
    else:
        print(f"no edit of {model.recipe.name} moves its attribute: nothing was calibrated")


def _judge_for(model: "Model", named: str | None) -> "Judge | None":
    from attrimorph.evaluators.judge import judge_for, load_judge

    return judge_for(model.schema, model.image_size) if named is None else load_judge(named)


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
    from attrimorph.applications.audited import drawn, from_data, from_folder
    from attrimorph.loading import load
    from attrimorph.reproductions.evaluation import write_pairs

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
    from attrimorph.reproductions.evaluation import with_interval, write_audit_report

    rows = write_audit_report(out, predictions, threshold=threshold)
    print(
        table(
            [
                (
                    row["column"],
                    row["pairs"],
                    str(row["count"]),
                    with_interval(row.get("mean change"), "{:+.3f}"),
                    with_interval(row.get("flip rate"), "{:.1%}"),
                )
                for row in rows
            ],
            ("prediction", "pairs", "n", "mean change", "flip rate"),
        )
    )
    print(out / "report.html")
