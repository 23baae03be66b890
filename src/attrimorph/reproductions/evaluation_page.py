"""The page about an evaluation: tiles, tables, charts and pictures. `evaluation` writes it."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrimorph.charts import chart
from attrimorph.metrics.figures import Comparison, Evaluation, overall
from attrimorph.metrics.tables import words, written
from attrimorph.reproductions import report

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
FIGURES_BELOW = "Intervals are of the images alone. Figures of single attributes stand in evaluation.json."
EDITS_FOLDED = "Look at them: above set where absent, below taken away where present"


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
    pictures = evaluation.pictures
    pieces = []
    if "samples" in pictures:
        pieces += [
            report.heading("Samples", "New images, from codes drawn at random and attributes as in the training data."),
            report.picture(pictures["samples"]),
        ]
    if "reconstructions" in pictures:
        pieces += [
            report.heading("Reconstructions", "Held-out images above, what the model makes of them below."),
            report.picture(pictures["reconstructions"]),
        ]
    if "samples of one class" in pictures:
        pieces += [
            report.heading("Samples of one class", "Every row has its own attributes; what differs in it is the rest."),
            report.picture(pictures["samples of one class"]),
        ]
    if evaluation.leakage:
        pieces += [
            report.heading(
                "Edits, attribute by attribute",
                "Every attribute is set where it is absent and taken away where it is present.",
            ),
            attribute_table(evaluation),
            report.folded(EDITS_FOLDED, *edit_pictures(evaluation)),
            report.heading(
                "Leakage",
                "After an edit of the attribute on the left, how often the judge finds the attribute above other than "
                "it should be. Framed: the edited attribute itself, where the number counts the edits that missed.",
            ),
            report.heat(evaluation.leakage, "Percent of edits; empty where below one half. Hover for the words."),
        ]
    pieces += responses(evaluation.parts.get("responses", [])) + fairness(evaluation.parts.get("fairness", []))
    return [*pieces, report.heading("All figures", FIGURES_BELOW), figure_table(evaluation)]


def edit_pictures(evaluation: Evaluation) -> list[str]:
    """Return the pictures of all edits, each below the name of its attribute."""
    return [
        report.heading(name, level=3) + report.picture(evaluation.pictures[f"edit {name}"])
        for name in evaluation.leakage
        if f"edit {name}" in evaluation.pictures
    ]


def attribute_table(evaluation: Evaluation) -> str:
    """Return the table of all edited attributes, the hardest first."""
    columns = (
        "edit.target_reached", "edit.reached_when_set", "edit.reached_when_taken_away", "edit.leakage", "edit.psnr",
        "edit.count",
    )  # fmt: skip
    found = [evaluation.of_attributes(key) for key in columns]
    reached, was_set, taken_away, leakage, nearness, count = found
    body = [
        [
            report.text(name),
            report.bar(reached[name]),
            report.percent(was_set.get(name)),
            report.percent(taken_away.get(name)),
            report.percent(leakage[name]),
            f"{nearness[name]:.1f} dB" if name in nearness else "–",
            written(count[name]),
        ]
        for name in sorted(reached, key=lambda name: reached[name])
    ]
    head = ["attribute", "target reached", "when set", "when taken away", "leakage", "PSNR to truth", "edits"]
    return report.table(head, body, numbers=(2, 3, 4, 5, 6))


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
