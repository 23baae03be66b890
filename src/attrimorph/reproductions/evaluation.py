"""The evaluation of a model as files: numbers, a page, pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrimorph.charts import chart
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges
from attrimorph.evaluators.identity_encoder import IdentityEncoder, identity_encoder_for
from attrimorph.evaluators.judge import judge_for
from attrimorph.files import read_json
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.figures import Comparison, Evaluation, by_key, compare
from attrimorph.models.model import Model
from attrimorph.pictures import write_png
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
    report.write_values(out / "evaluation.json", FORMAT, 2, evaluation.to_json())
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
    writes: bool = True,
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
        writes: whether this is the one of several processes that writes.
        options: as of `metrics.evaluate.evaluation.evaluate`: data, metrics, extractor, count, progress.

    Raises:
        AttrimorphError: inputs that do not go together; also, after all is written, when nothing can be compared.
    """
    judge = judge or judge_for(model.schema, model.image_size, model.device)
    whose = identity_encoder or identity_encoder_for(model.schema, model.image_size, model.device)
    evaluation = evaluate(model, judge=judge, identity_encoder=whose, **options)
    if not writes:
        return evaluation, None
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
        "target reached": ("edit.target_reached", "bar"),
        "when set": ("edit.reached_when_set", "%"),
        "when taken away": ("edit.reached_when_taken_away", "%"),
        "leakage": ("edit.leakage", "%"),
        "PSNR to truth": ("edit.psnr", "{:.1f} dB"),
        "edits": ("edit.count", ",d"),
    }
    found = {column: evaluation.of_attributes(key) for column, (key, _) in columns.items()}
    reached = found["target reached"]
    rows = {name: {c: found[c].get(name) for c in columns} for name in sorted(reached, key=lambda name: reached[name])}
    pictures = [
        report.heading(name, level=3) + report.picture(evaluation.pictures[f"edit {name}"])
        for name in evaluation.leakage
        if f"edit {name}" in evaluation.pictures
    ]
    return [
        report.figures(rows, corner="attribute", forms={column: form for column, (_, form) in columns.items()}),
        report.folded("Look at them: above set where absent, below taken away where present", *pictures),
    ]


def figure_table(evaluation: Evaluation) -> str:
    """Return the table of all figures by key, those of single attributes left out."""
    rows = [
        [report.code(key), value, interval, unit, ARROWS[better], what, evaluation.protocols[key]]
        for key, value, interval, unit, better, what in evaluation.told()
    ]
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
        [*(row[key] for key in ("group", "figure", "with", "without", "gap")),
         f"{row['low']:+.4f} to {row['high']:+.4f}", row["edits"]]
        for row in (*sure, *(row for row in rows if row not in sure))
    ]  # fmt: skip
    head = ["group", "figure", "with", "without", "gap", "95 % of resamples", "edits"]
    return [
        report.heading(
            "Fairness sheet",
            "The same edits by group: those who have the attribute on the left beside those who have not, in edits "
            f"that both got. The interval leaves out zero in {len(sure)} of {len(rows)} rows, which stand first; one "
            "in twenty would by chance alone.",
        ),
        report.table(head, body, numbers=(2, 3, 4, 5, 6), form=".4f", forms={"gap": "+.4f", "edits": ",d"}),
    ]


def compared(comparison: Comparison) -> list[str]:
    """Return the section about two evaluations side by side."""
    rows = [[report.code(key), *values, ARROWS[better], what] for key, *values, better, what in comparison.told()]
    return [
        report.heading("Beside the other evaluation", "Only figures that were measured alike are compared."),
        report.table(["figure", "here", "there", "difference", "better", "what it is"], rows, numbers=(1, 2, 3)),
        *map(report.note, comparison.refused),
    ]
