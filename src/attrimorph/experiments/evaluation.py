"""The evaluation of a model as files: evaluation.json, evaluation.html and its pictures."""

from pathlib import Path
from typing import Any

import attrimorph
from attrimorph.errors import AttrimorphError
from attrimorph.experiments import report
from attrimorph.files import write_json
from attrimorph.metrics.evaluate import Evaluation, evaluate
from attrimorph.metrics.judge import Judge, load_judge
from attrimorph.models import Model
from attrimorph.pictures import write_png

FORMAT = "attrimorph evaluation"
EDITS_FOLDED = "Look at them: above set where absent, below taken away where present"


def judge_for(model: Model) -> Judge | None:
    """Return the shipped judge that knows the model's attributes at its size, or None where there is none."""
    try:
        judge = load_judge(f"drawn-faces-{model.image_size}")
    except AttrimorphError:
        return None
    return judge if judge.schema.names == model.schema.names else None


def write_evaluation(evaluation: Evaluation, out: Path, *, title: str = "Evaluation") -> Path:
    """Write evaluation.json, evaluation.html and pictures/*.png into a folder.

    Returns:
        The path of evaluation.html.
    """
    out = Path(out)
    write_json(
        out / "evaluation.json",
        {"format": FORMAT, "format_version": 1, "attrimorph": attrimorph.__version__, **evaluation.to_json()},
    )
    for name, picture in evaluation.pictures.items():
        write_png(out / "pictures" / f"{name.replace(' ', '-')}.png", picture, f"evaluation by attrimorph; {name}")
    return report.write_page(
        out / "evaluation.html",
        title=title,
        eyebrow="attrimorph evaluate",
        lead=f"Measured on {evaluation.about['images']}.",
        pieces=[report.tiles(headline(evaluation)), *map(report.note, evaluation.notes), *sections(evaluation)],
        footer=f"attrimorph {attrimorph.__version__}; model {evaluation.about['model sha256'][:16]}",
    )


def headline(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return the tiles of an evaluation: those figures that were measured."""
    judge = evaluation.about["judge"]
    entries = [
        ("reconstruction PSNR in dB", "{:.1f} dB", "reconstruction", "PSNR, mean over images"),
        ("edit target reached", "{:.1%}", "edits that reach their target", f"decided by {judge}"),
        ("edit leakage", "{:.1%}", "of the other attributes flipped", f"decided by {judge}"),
        (
            "edit PSNR against the true counterfactual in dB",
            "{:.1f} dB",
            "against the true edit",
            "PSNR, edited against truth",
        ),
        ("classifier accuracy", "{:.1%}", "attributes guessed right", "the model's own classifier"),
    ]
    found = [(evaluation.value(name), form, what, how) for name, form, what, how in entries]
    return [(form.format(value), what, how) for value, form, what, how in found if value is not None]


def sections(evaluation: Evaluation) -> list[str]:
    """Return the sections of a page about an evaluation, tiles and notes left out."""
    pictures = evaluation.pictures
    pieces = [
        report.heading("Samples", "New images, from codes drawn at random and attributes as in the training data."),
        report.picture(pictures["samples"]),
    ]
    if "reconstructions" in pictures:
        pieces += [
            report.heading("Reconstructions", "Held-out images above, what the model makes of them below."),
            report.picture(pictures["reconstructions"]),
        ]
    if evaluation.attributes:
        pieces += [
            report.heading(
                "Edits, attribute by attribute",
                "Every attribute is set where it is absent and taken away where it is present.",
            ),
            attribute_table(evaluation.attributes),
            report.folded(EDITS_FOLDED, *edit_pictures(evaluation)),
            report.heading(
                "Leakage",
                "After an edit of the attribute on the left, how often the judge finds the attribute above other than "
                "it should be. Framed: the edited attribute itself, where the number counts the edits that missed.",
            ),
            report.heat(evaluation.leakage, "Percent of edits; empty where below one half. Hover for the words."),
        ]
    return [*pieces, report.heading("All figures"), figure_table(evaluation.figures)]


def edit_pictures(evaluation: Evaluation) -> list[str]:
    """Return the pictures of all edits, each below the name of its attribute."""
    return [
        report.heading(row["attribute"], level=3) + report.picture(evaluation.pictures[f"edit {row['attribute']}"])
        for row in evaluation.attributes
        if f"edit {row['attribute']}" in evaluation.pictures
    ]


def attribute_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of all attributes, the hardest first."""
    body = [
        [
            report.text(row["attribute"]),
            report.bar(row["target reached"]),
            report.percent(row["reached when set"]),
            report.percent(row["reached when taken away"]),
            report.percent(row["leakage"]),
            "–" if row["PSNR against the truth"] is None else f"{row['PSNR against the truth']:.1f} dB",
            f"{row['edits']:,}",
        ]
        for row in sorted(rows, key=lambda row: float(row["target reached"]))
    ]
    head = ["attribute", "target reached", "when set", "when taken away", "leakage", "PSNR to truth", "edits"]
    return report.table(head, body, numbers=(2, 3, 4, 5, 6))


def figure_table(figures: dict[str, float]) -> str:
    """Return the table of all figures with their protocols."""
    rows = []
    for key, value in figures.items():
        name, _, protocol = key.partition(" (")
        rows.append([report.text(name), f"{value:.4f}", report.text(protocol.removesuffix(")"))])
    return report.table(["figure", "value", "protocol"], rows, numbers=(1,))


def evaluate_model(
    model: Model, out: Path, *, data: Any = None, count: int = 1000, progress: Any = None, title: str = "Evaluation"
) -> Evaluation:
    """Evaluate a model with the judge that suits it and write everything into a folder.

    Args:
        model: any.
        out: the folder.
        data: prepared data; None = fresh drawn faces.
        count: images.
        progress: gets a line of text now and then.
        title: of the page.
    """
    evaluation = evaluate(model, data, judge_for(model), count=count, progress=progress)
    write_evaluation(evaluation, out, title=title)
    return evaluation
