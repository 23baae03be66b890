"""The bias audit as files: pairs of pictures and their table; then a report of what a classifier said of them."""

from pathlib import Path
from typing import Any

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.files import read_json, write_json, write_text
from attrimorph.metrics.audit import Pairs, effects, file_name, make_pairs, read_pairs, read_predictions, table_of
from attrimorph.models.model import Model
from attrimorph.pictures import sheet, to_pil, write_png
from attrimorph.reproductions import report
from attrimorph.version import __version__

FORMAT = "attrimorph audit"
SHOWN = 8


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
    rows = [images[known[:SHOWN]], pairs.without[:SHOWN], pairs.having[:SHOWN]]
    write_png(out / "pairs.png", sheet(rows, labels=["input", f"{name} = 0", f"{name} = 1"], cell=96), tag)
    write_json(
        out / "audit.json",
        {
            "format": FORMAT,
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
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise AttrimorphError(f"{folder / 'audit.json'} must be of an audit; it is not; export the pairs again")
    rows = effects(pairs, read_predictions(predictions), threshold=threshold)
    write_json(
        folder / "report.json",
        {
            "format": f"{FORMAT} report",
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
            told(row.get("mean change"), "{:+.3f}"),
            told(row.get("flip rate"), "{:.1%}"),
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


def told(figure: dict[str, float] | None, form: str) -> str:
    """Write a figure with its interval."""
    if figure is None:
        return "–"
    value, low, high = (form.format(figure[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
