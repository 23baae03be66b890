"""The evaluation of a model, and the audit of a classifier, as files: numbers, a page, pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrimorph.charts import chart
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.evaluators.identity_encoder import IdentityEncoder, identity_encoder_for
from attrimorph.evaluators.judge import judge_for
from attrimorph.files import read_json, write_json, write_text
from attrimorph.metrics.audit import Pairs, effects, file_name, make_pairs, read_pairs, read_predictions, table_of
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.figures import Comparison, Evaluation, by_key, compare, overall
from attrimorph.metrics.tables import words, written
from attrimorph.models.model import Model
from attrimorph.pictures import sheet, to_pil, write_png
from attrimorph.reproductions import report
from attrimorph.version import __version__

FORMAT = "attrimorph evaluation"
ARROWS = {"higher": "↑", "lower": "↓", "": ""}


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read an evaluation.json, or that of a folder; one of format version 1 gets the keys of today.

    Raises:
        AttrimorphError: it is missing or no evaluation.
    """
    path = path / "evaluation.json" if path.is_dir() else path
    value = read_json(path)
    known = dict(value) if isinstance(value, dict) and value.get("format") == FORMAT else {}
    if known.get("format_version") == 1 and isinstance(known.get("figures"), dict):
        known["figures"], known["protocols"] = by_key(known["figures"])
    figures, protocols, about = (known.get(part) for part in ("figures", "protocols", "about"))
    if (
        not isinstance(figures, dict)
        or not isinstance(protocols, dict)
        or not all(isinstance(number, int | float) for number in figures.values())
        or not isinstance(about, dict)
        or not isinstance(about.get("weights", {}), dict)
    ):
        raise AttrimorphError(f"{path} must be an evaluation.json of `attrimorph evaluate`; it is none; name another")
    return known


def write_evaluation(
    evaluation: Evaluation, out: Path, *, title: str = "Evaluation", comparison: Comparison | None = None
) -> Path:
    """Write evaluation.json, evaluation.html and pictures/*.png into a folder.

    Args:
        evaluation: what was measured.
        out: the folder.
        title: of the page.
        comparison: with another evaluation, to stand on the page.

    Returns:
        The path of evaluation.html.
    """
    out = Path(out)
    write_json(
        out / "evaluation.json",
        {"format": FORMAT, "format_version": 2, "attrimorph": __version__, **evaluation.to_json()},
    )
    for name, picture in evaluation.pictures.items():
        write_png(out / "pictures" / f"{name.replace(' ', '-')}.png", picture, f"evaluation by attrimorph; {name}")
    return report.write_page(
        out / "evaluation.html",
        title=title,
        eyebrow="attrimorph evaluate",
        lead=f"Measured on {evaluation.about['images']}.",
        pieces=[
            report.tiles(headline(evaluation)),
            *map(report.note, evaluation.notes),
            *([] if comparison is None else compared(comparison)),
            *sections(evaluation),
        ],
        footer=f"attrimorph {__version__}; model {evaluation.about['model sha256'][:16]}",
    )


def evaluate_model(
    model: Model,
    out: Path,
    *,
    judge: Judges | None = None,
    identity_encoder: IdentityEncoder | None = None,
    against: Mapping[str, Any] | None = None,
    title: str = "Evaluation",
    **options: Any,
) -> tuple[Evaluation, Comparison | None]:
    """Evaluate a model and write everything into a folder.

    Args:
        model: any.
        out: the folder.
        judge: who tells attributes; None = the shipped one that suits the model.
        identity_encoder: who tells people; None = the shipped one that suits the model.
        against: another evaluation to compare with, as `read_evaluation` returns it.
        title: of the page.
        options: as of `metrics.evaluate.evaluation.evaluate`: data, metrics, extractor, count, progress.

    Raises:
        AttrimorphError: inputs that do not go together; also, after all is written, when nothing can be compared.
    """
    judge = judge or judge_for(model.schema, model.image_size)
    whose = identity_encoder or identity_encoder_for(model.schema, model.image_size)
    evaluation = evaluate(model, judge=judge, identity_encoder=whose, **options)
    # Written first: a refused comparison must not cost the measurement.
    write_evaluation(evaluation, out, title=title)
    if against is None:
        return evaluation, None
    comparison = compare(evaluation.to_json(), against)
    write_evaluation(evaluation, out, title=title, comparison=comparison)
    return evaluation, comparison


# --- the page


def headline(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return the tiles of an evaluation: those figures that were measured."""
    judge = evaluation.about["judge"]
    entries = [
        ("reconstruction.psnr", "{:.1f} dB", "reconstruction", "PSNR, mean over images"),
        ("edit.target_reached", "{:.1%}", "edits that reach their target", f"decided by {judge}"),
        ("edit.leakage", "{:.1%}", "of the other attributes flipped", f"decided by {judge}"),
        ("edit.psnr", "{:.1f} dB", "against the true edit", "PSNR, edited against truth"),
        ("samples.frechet_distance", "{:.2f}", "from samples to images",
         f"Frechet distance, {evaluation.about['extractor']}"),
        ("samples.fid", "{:.2f}", "from samples to images", "FID"),
        ("samples.attribute_accuracy", "{:.1%}", "of the attributes asked for", f"in samples, says {judge}"),
        ("classifier.accuracy", "{:.1%}", "attributes guessed right", "the model's own classifier"),
    ]  # fmt: skip
    found = evaluation.figures
    return [(form.format(found[key]), what, how) for key, form, what, how in entries if key in found]


def sections(evaluation: Evaluation) -> list[str]:
    """Return the sections of a page about an evaluation, tiles and notes left out."""
    pieces = []
    for name, heading, below in (
        ("samples", "Samples", "New images, from codes drawn at random and attributes as in the training data."),
        ("reconstructions", "Reconstructions", "Held-out images above, what the model makes of them below."),
        (
            "samples of one class",
            "Samples of one class",
            "Every row has its own attributes; what differs in it is the rest.",
        ),
    ):
        if name in evaluation.pictures:
            pieces += [report.heading(heading, below), report.picture(evaluation.pictures[name])]
    if evaluation.leakage:
        pieces += [
            report.heading(
                "Edits, attribute by attribute",
                "Every attribute is set where it is absent and taken away where it is present.",
            ),
            *edited_attributes(evaluation),
            report.heading(
                "Leakage",
                "After an edit of the attribute on the left, how often the judge finds the attribute above other than "
                "it should be. Framed: the edited attribute itself, where the number counts the edits that missed.",
            ),
            report.heat(evaluation.leakage, "Percent of edits; empty where below one half. Hover for the words."),
        ]
    pieces += responses(evaluation.parts.get("responses", [])) + fairness(evaluation.parts.get("fairness", []))
    below = "Intervals are of the images alone. Figures of single attributes stand in evaluation.json."
    return [*pieces, report.heading("All figures", below), figure_table(evaluation)]


def edited_attributes(evaluation: Evaluation) -> list[str]:
    """Return the table of all edited attributes, the hardest first, and their pictures."""
    columns = {
        "target reached": "edit.target_reached",
        "when set": "edit.reached_when_set",
        "when taken away": "edit.reached_when_taken_away",
        "leakage": "edit.leakage",
        "PSNR to truth": "edit.psnr",
        "edits": "edit.count",
    }
    found = {name: evaluation.of_attributes(key) for name, key in columns.items()}
    reached = found["target reached"]
    body = []
    for name in sorted(reached, key=lambda name: reached[name]):
        nearness = found["PSNR to truth"].get(name)
        body.append(
            [
                report.text(name),
                report.bar(reached[name]),
                *(report.percent(found[key].get(name)) for key in ("when set", "when taken away", "leakage")),
                "–" if nearness is None else f"{nearness:.1f} dB",
                written(found["edits"][name]),
            ]
        )
    pictures = [
        report.heading(name, level=3) + report.picture(evaluation.pictures[f"edit {name}"])
        for name in evaluation.leakage
        if f"edit {name}" in evaluation.pictures
    ]
    return [
        report.table(["attribute", *columns], body, numbers=range(2, 7)),
        report.folded("Look at them: above set where absent, below taken away where present", *pictures),
    ]


def figure_table(evaluation: Evaluation) -> str:
    """Return the table of all figures by key, those of single attributes left out."""
    rows = []
    for key in overall(list(evaluation.figures)):
        unit, better, what = words(key)
        low, high = evaluation.intervals.get(key, (None, None))
        rows.append(
            [
                f"<code>{report.text(key)}</code>",
                written(evaluation.figures[key]),
                "" if low is None else f"{low:.4f} to {high:.4f}",
                report.text(unit),
                ARROWS[better],
                report.text(what),
                report.text(evaluation.protocols[key]),
            ]
        )
    head = ["figure", "value", "95 % interval", "unit", "better", "what it is", "how it was measured"]
    return report.table(head, rows, numbers=(1, 2))


def responses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section about how edits grow with their strength: a chart of each attribute and direction."""
    charts = []
    for row in rows:
        if row["curve"] is None:
            continue
        series = {"edit": list(zip(row["strengths"], row["curve"], strict=True))}
        if row.get("true curve") is not None:
            series["truth"] = list(zip(row["strengths"], row["true curve"], strict=True))
        series["straight line"] = [(0.0, 0.0), (1.0, 1.0)]
        charts.append(chart(f"{row['attribute']}, {row['direction']}", series, x_label="strength"))
    if not charts:
        return []
    return [
        report.heading(
            "How edits grow with strength",
            "How much of the way from unchanged to changed an attribute has gone at each strength, as the judge sees "
            "it. A straight line is even; a curve that stays low and then leaps makes a poor slider.",
        ),
        report.folded(f"{len(charts)} attributes and directions", report.curves(charts)),
    ]


def fairness(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section with the fairness sheet: gaps between groups, those that chance does not explain first."""
    if not rows:
        return []
    sure = [row for row in rows if row["low"] > 0 or row["high"] < 0]
    body = [
        [
            report.text(row["group"]),
            report.text(row["figure"]),
            f"{row['with']:.4f}",
            f"{row['without']:.4f}",
            f"{row['gap']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}",
            f"{row['edits']:,}",
        ]
        for row in (*sure, *(row for row in rows if row not in sure))
    ]
    head = ["group", "figure", "with", "without", "gap", "95 % of resamples", "edits"]
    return [
        report.heading(
            "Fairness sheet",
            "The same edits by group: those who have the attribute on the left beside those who have not, in edits "
            f"that both got. The interval leaves out zero in {len(sure)} of {len(rows)} rows, which stand first; one "
            "in twenty would by chance alone.",
        ),
        report.table(head, body, numbers=(2, 3, 4, 5, 6)),
    ]


def compared(comparison: Comparison) -> list[str]:
    """Return the section about two evaluations side by side."""
    rows = [
        [
            f"<code>{report.text(pair.key)}</code>",
            written(pair.ours),
            written(pair.theirs),
            f"{pair.ours - pair.theirs:+.4f}",
            ARROWS[words(pair.key)[1]],
            report.text(words(pair.key)[2]),
        ]
        for pair in comparison.pairs
        if pair.key in overall([each.key for each in comparison.pairs])
    ]
    return [
        report.heading("Beside the other evaluation", "Only figures that were measured alike are compared."),
        report.table(["figure", "here", "there", "difference", "better", "what it is"], rows, numbers=(1, 2, 3)),
        *map(report.note, comparison.refused),
    ]


# --- the bias audit: pairs of pictures and their table; then what a classifier said of them

AUDIT = "attrimorph audit"
PAIRS_SHOWN = 8


def write_pairs(
    model: Model, images: Any, attributes: Any, sources: list[str], name: str, out: Path, judge: Judges | None = None
) -> Pairs:
    """Make counterfactual pairs and write OUT/images/*.png, pairs.png to look at, audit.json, and pairs.csv last.

    Args:
        model: one that edits.
        images: [n, 3, S, S] in [-1, 1].
        attributes: [n, width]; where the attribute is missing the image is left out.
        sources: where each image comes from, for the table.
        name: the attribute.
        out: the folder.
        judge: who checks the pairs.
    """
    known = (~attributes[:, model.schema.columns(name).start].isnan()).nonzero()[:, 0]
    if not len(known):
        raise AttrimorphError(f"at least one image must have the attribute {name} known; none has; give other images")
    pairs = make_pairs(model, images[known], attributes[known].nan_to_num(0.0), name, judge)
    tag = f"edited by attrimorph {__version__}; audit of {name}; model {model.hash[:12]}"
    for value, batch in enumerate((pairs.without, pairs.having)):
        for number, picture in enumerate(to_pil(batch), start=1):
            write_png(out / file_name(number, name, value), picture, tag)
    rows = [images[known[:PAIRS_SHOWN]], pairs.without[:PAIRS_SHOWN], pairs.having[:PAIRS_SHOWN]]
    write_png(out / "pairs.png", sheet(rows, labels=["input", f"{name} = 0", f"{name} = 1"], cell=96), tag)
    write_json(
        out / "audit.json",
        {
            "format": AUDIT,
            "format_version": 1,
            "attrimorph": __version__,
            "attribute": name,
            "model sha256": model.hash,
            "judge": None if judge is None else judge.name,
            "pairs": len(known),
            "only the target changed": None if pairs.clean is None else int(pairs.clean.sum()),
        },
    )
    write_text(out / "pairs.csv", table_of(pairs, [sources[row] for row in known.tolist()]))
    return pairs


def write_audit_report(folder: Path, predictions: Path, *, threshold: float = 0.5) -> list[dict[str, Any]]:
    """Read a classifier's predictions for the pairs of a folder; write report.json and report.html beside them.

    Args:
        folder: that `write_pairs` wrote.
        predictions: a CSV file: the column "file", and one column for each thing that the classifier tells.
        threshold: above which a number is a yes.

    Returns:
        The rows of `metrics.audit.effects`.
    """
    name, pairs = read_pairs(folder / "pairs.csv")
    about = read_json(folder / "audit.json")
    if not isinstance(about, dict) or about.get("format") != AUDIT:
        raise AttrimorphError(f"{folder / 'audit.json'} must be of an audit; it is not; export the pairs again")
    rows = effects(pairs, read_predictions(predictions), threshold=threshold)
    write_json(
        folder / "report.json",
        {
            "format": f"{AUDIT} report",
            "format_version": 1,
            "attrimorph": __version__,
            "attribute": name,
            "threshold": threshold,
            "pairs": {key: about.get(key) for key in ("pairs", "only the target changed", "judge", "model sha256")},
            "rows": rows,
        },
    )
    head = ["prediction", "pairs", "n", "mean without", "mean with", "mean change", "flip rate"]
    body = [
        [
            report.text(row["column"]),
            report.text(row["pairs"]),
            f"{row['count']:,}",
            *(f"{row[key]:.3f}" if key in row else "–" for key in ("mean without", "mean with")),
            with_interval(row.get("mean change"), "{:+.3f}"),
            with_interval(row.get("flip rate"), "{:.1%}"),
        ]
        for row in rows
    ]
    report.write_page(
        folder / "report.html",
        title=f"What {name} does to a classifier",
        eyebrow="attrimorph audit",
        lead=f"{len(pairs):,} pairs of pictures that differ in {name}. Who ignores it says the same of both.",
        pieces=[
            report.table(head, body, numbers=(2, 3, 4, 5, 6)),
            report.note(
                f"Changes are with {name} minus without. In brackets 95 % intervals. Pairs of "
                "which a judge says that only the target changed are counted apart: in the others the classifier may "
                f"have answered to something else. Flips: numbers on different sides of {threshold:g}, or other words."
            ),
        ],
        footer=f"attrimorph {__version__}; pairs checked by {about.get('judge') or 'nobody'}",
    )
    return rows


def with_interval(figure: dict[str, float] | None, form: str) -> str:
    """Write a figure with its interval."""
    if figure is None:
        return "–"
    value, low, high = (form.format(figure[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
