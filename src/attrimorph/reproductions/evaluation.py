"""The evaluation of a model as files: evaluation.json, evaluation.html and its pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.evaluators.default_evaluators import identity_encoder_for, judge_for
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.files import read_json, write_json
from attrimorph.metrics.evaluate import Evaluation, evaluate
from attrimorph.metrics.evaluate.context import Progress
from attrimorph.metrics.extractors import Extractor
from attrimorph.metrics.figures import Comparison, by_key, compare
from attrimorph.models.model import Model
from attrimorph.pictures import write_png
from attrimorph.reproductions import report
from attrimorph.reproductions.evaluation_page import compared, headline, sections
from attrimorph.version import __version__

FORMAT = "attrimorph evaluation"


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
    data: PreparedData | None = None,
    judge: Judges | None = None,
    identity_encoder: IdentityEncoder | None = None,
    extractor: Extractor | None = None,
    metrics: Sequence[str] | None = None,
    count: int = 1000,
    against: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    title: str = "Evaluation",
) -> tuple[Evaluation, Comparison | None]:
    """Evaluate a model and write everything into a folder.

    Args:
        model: any.
        out: the folder.
        data: prepared data; None = fresh drawn faces.
        judge: who tells attributes; None = the shipped one that suits the model.
        recogniser: who tells people; None = the shipped one that suits the model.
        extractor: whose features sets are compared in; None = the judge's.
        metrics: groups of figures; None = all.
        count: images.
        against: another evaluation to compare with, as `read_evaluation` returns it.
        progress: gets a line of text now and then.
        title: of the page.

    Raises:
        AttrimorphError: inputs that do not go together; also, after all is written, when nothing can be compared.
    """
    evaluation = evaluate(
        model,
        data,
        judge_for(model.schema, model.image_size) if judge is None else judge,
        metrics=metrics,
        identity_encoder=identity_encoder_for(model.schema, model.image_size)
        if identity_encoder is None
        else identity_encoder,
        extractor=extractor,
        count=count,
        progress=progress,
    )
    # Written first: a refused comparison must not cost the measurement.
    write_evaluation(evaluation, out, title=title)
    if against is None:
        return evaluation, None
    comparison = compare(evaluation.to_json(), against)
    write_evaluation(evaluation, out, title=title, comparison=comparison)
    return evaluation, comparison
