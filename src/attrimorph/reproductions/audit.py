"""Bias audit: does a classifier change its mind when one attribute changes, and nothing else?

Pairs of pictures that differ in one attribute are given to a user's own classifier, and what it says of them is read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.readers.raw import read_csv
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges, binary_names
from attrimorph.files import read_json, write_text
from attrimorph.metrics.figures import to_csv, wilson
from attrimorph.models.model import Edits, Encodes, Model, decisions
from attrimorph.pictures import sheet, to_pil, write_png
from attrimorph.reproductions import report
from attrimorph.version import __version__

AT_ONCE = 64
RESAMPLES = 2000
SEED = 5
INTERVAL = 0.95
FILE = "file"
HEAD = ("pair", FILE, "source", "attribute", "value", "edited", "only_target_changed")


@dataclass(frozen=True)
class Pairs:
    """Counterfactual pairs.

    Attributes:
        name: the attribute.
        schema: of what the judge tells.
        without, having: the same images without and with it, [n, 3, S, S].
        had: whether the input had it, bool [n]: then the picture without it is the edited one.
        probabilities: what the judge tells of `without` and `having`, each [n, width], or None without a judge.
        clean: whether the judge finds the attribute turned and every other as it was, bool [n]; None without a judge.
    """

    name: str
    schema: Schema
    without: Tensor
    having: Tensor
    had: Tensor
    probabilities: tuple[Tensor, Tensor] | None = None
    clean: Tensor | None = None


def make_pairs(model: Model, images: Tensor, attributes: Tensor, name: str, judge: Judges | None = None) -> Pairs:
    """Turn one attribute of images; the other half of each pair is the image as the model makes it without an edit.

    Args:
        model: one that edits.
        images: [n, 3, S, S] in [-1, 1].
        attributes: [n, width]; rows whose attribute is missing must have been left out.
        name: a binary attribute.
        judge: who checks the pairs.

    Raises:
        AttrimorphError: the attribute is not binary, or the model does not edit.
    """
    if not isinstance(model, Edits):
        raise model.unable("audit", "edits", "use another")
    if model.schema.attribute(name).kind != "binary":
        raise AttrimorphError(f"audit turns a binary attribute; {name!r} is not; name one of the others")
    had = attributes[:, model.schema.columns(name).start] > 0.5
    before, after = images.clone(), torch.empty_like(images)
    if isinstance(model, Encodes):
        for part in torch.split(torch.arange(len(images)), AT_ONCE):
            before[part] = model.decode(model.encode(images[part], attributes[part])).cpu()
    for value, strength in ((True, -1.0), (False, 1.0)):
        for rows in torch.split((had == value).nonzero()[:, 0], AT_ONCE):
            if len(rows):
                after[rows] = model.edit(images[rows], {name: strength}, attributes[rows]).cpu()
    side = had[:, None, None, None]
    without, having = torch.where(side, after, before), torch.where(side, before, after)
    if judge is None:
        return Pairs(name, model.schema, without, having, had)
    seen = (judge(without), judge(having))
    return Pairs(name, judge.schema, without, having, had, seen, only_target_changed(seen, judge.schema, name))


def only_target_changed(probabilities: tuple[Tensor, Tensor], schema: Schema, name: str) -> Tensor:
    """Return whether a judge finds the attribute absent, then present, and every other binary one unchanged, bool [n].

    Args:
        probabilities: of the pictures without and with the attribute, each [n, width].
        schema: of the judge.
        name: the attribute.
    """
    without, having = (decisions(each, schema) for each in probabilities)
    own = schema.columns(name).start
    others = [schema.columns(other).start for other in binary_names(schema) if other != name]
    return (without[:, own] == 0) & (having[:, own] == 1) & (without[:, others] == having[:, others]).all(1)


def file_name(pair: int, name: str, value: int) -> str:
    """Return where a picture of a pair lies, relative to the table."""
    return f"images/{pair:06d}-{name}-{value}.png"


def table_of(pairs: Pairs, sources: Sequence[str]) -> str:
    """Return pairs.csv: two lines for each pair, with the judge's probabilities of all attributes."""
    rows: list[list[str | int]] = []
    for row, source in enumerate(sources):
        clean = "" if pairs.clean is None else int(pairs.clean[row])
        for value in (0, 1):
            file, edited = file_name(row + 1, pairs.name, value), int(pairs.had[row]) != value
            judged = [""] * pairs.schema.width
            if pairs.probabilities is not None:
                judged = [f"{number:.4f}" for number in pairs.probabilities[value][row].tolist()]
            rows.append([row + 1, file, source, pairs.name, value, int(edited), clean, *judged])
    return to_csv([*HEAD, *(f"judge:{column}" for column in pairs.schema.column_names)], rows)


class Listed(NamedTuple):
    """One pair of a pairs.csv: its files without and with the attribute, and whether only the target changed."""

    files: tuple[str, str]
    clean: bool | None


def read_pairs(path: Path) -> tuple[str, list[Listed]]:
    """Read pairs.csv: the attribute and its pairs.

    Raises:
        AttrimorphError: it is missing or damaged.
    """
    head, lines = read_csv(path)
    try:
        rows = [dict(zip(head, line, strict=True)) for line in lines]
        names, sides = {line["attribute"] for line in rows}, dict[str, dict[str, dict[str, str]]]()
        for line in rows:
            sides.setdefault(line["pair"], {})[line["value"]] = line
        clean = {"": None, "0": False, "1": True}
        pairs = [
            Listed((both["0"][FILE], both["1"][FILE]), clean[both["1"]["only_target_changed"]])
            for both in sides.values()
        ]
    except KeyError as error:
        raise AttrimorphError(f"{path} is damaged ({error} is missing or wrong); export the pairs again") from error
    if len(names) != 1:
        raise AttrimorphError(f"{path} must be of one attribute; got {len(names)}; export the pairs again")
    return names.pop(), pairs


def read_predictions(path: Path) -> dict[str, dict[str, str]]:
    """Read the predictions of a classifier: column -> file -> word; the column "file" names the pictures.

    Raises:
        AttrimorphError: there is no column "file", nothing beside it, or a file stands twice.
    """
    head, lines = read_csv(path)
    if FILE not in head or len(head) < 2:
        raise AttrimorphError(
            f"{path} must have a column 'file' and at least one of predictions; it has {', '.join(head)}; mend it"
        )
    place = head.index(FILE)
    # A classifier may have been shown absolute paths: the last part of the name is enough.
    names = [Path(line[place].replace("\\", "/")).name for line in lines]
    if twice := sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
        raise AttrimorphError(f"every file must stand once in {path}; {twice[0]} stands twice; keep one of them")
    return {
        column: {name: line[number] for name, line in zip(names, lines, strict=True)}
        for number, column in enumerate(head)
        if number != place
    }


def effects(
    pairs: Sequence[Listed], predictions: Mapping[str, Mapping[str, str]], *, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Return what a classifier does when the attribute appears: one row for each column and choice of pairs.

    Numbers: mean change (with minus without the attribute), mean absolute change, and flip rate, the share of pairs on
    different sides of the threshold. Words: flip rate alone. Intervals of means are bootstraps over pairs, of flip
    rates are Wilson's.

    Args:
        pairs: from `read_pairs`.
        predictions: from `read_predictions`.
        threshold: of numbers.

    Raises:
        AttrimorphError: no pair has predictions for both pictures.
    """
    rows = []
    for column, words in predictions.items():
        found = [(pair, [words.get(Path(file).name, "") for file in pair.files]) for pair in pairs]
        known = [(pair, a, b) for pair, (a, b) in found if a and b]
        if not known:
            raise AttrimorphError(
                f"the predictions {column!r} must cover both pictures of some pair; they cover none; name the files as "
                "pairs.csv does"
            )
        for which in ("all pairs", "only the target changed"):
            chosen = [(a, b) for pair, a, b in known if which == "all pairs" or pair.clean]
            if chosen:
                rows.append({"column": column, "pairs": which, "count": len(chosen), **effect(chosen, threshold)})
    return rows


def effect(answers: Sequence[tuple[str, str]], threshold: float) -> dict[str, Any]:
    """Return the figures about predictions (without, with the attribute) of pairs, with their intervals."""
    numbers = torch.tensor([[_number(a), _number(b)] for a, b in answers], dtype=torch.float64)
    if not bool(numbers.isfinite().all()):
        return {"flip rate": rate(sum(a.strip() != b.strip() for a, b in answers), len(answers))}
    change = numbers[:, 1] - numbers[:, 0]
    above = numbers > threshold
    return {
        "mean without": float(numbers[:, 0].mean()),
        "mean with": float(numbers[:, 1].mean()),
        "mean change": _mean(change),
        "mean absolute change": _mean(change.abs()),
        "flip rate": rate(int((above[:, 0] != above[:, 1]).sum()), len(answers)),
        "rate without": float(above[:, 0].double().mean()),
        "rate with": float(above[:, 1].double().mean()),
    }


def rate(count: int, of: int) -> dict[str, float]:
    """Return a share and its interval (Wilson 1927): no flip in 24 pairs does not mean that none will come."""
    low, high = wilson(count / of, of)
    return {"value": count / of, "low": low, "high": high}


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _mean(values: Tensor) -> dict[str, float]:
    """Return a mean and its bootstrap interval."""
    drawn = torch.randint(len(values), (RESAMPLES, len(values)), generator=torch.Generator().manual_seed(SEED))
    edges = torch.tensor([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], dtype=torch.float64)
    low, high = values[drawn].mean(1).quantile(edges).tolist()
    return {"value": float(values.mean()), "low": low, "high": high}


# --- as files: the pairs and their table; then what a classifier said of them

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
    report.write_values(
        out / "audit.json",
        AUDIT,
        1,
        {
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
        The rows of `effects`.
    """
    name, pairs = read_pairs(folder / "pairs.csv")
    about = read_json(folder / "audit.json")
    if not isinstance(about, dict) or about.get("format") != AUDIT:
        raise AttrimorphError(f"{folder / 'audit.json'} must be of an audit; it is not; export the pairs again")
    rows = effects(pairs, read_predictions(predictions), threshold=threshold)
    report.write_values(
        folder / "report.json",
        f"{AUDIT} report",
        1,
        {
            "attribute": name,
            "threshold": threshold,
            "pairs": {key: about.get(key) for key in ("pairs", "only the target changed", "judge", "model sha256")},
            "rows": rows,
        },
    )
    head = ["prediction", "pairs", "n", "mean without", "mean with", "mean change", "flip rate"]
    body = [
        [row["column"], row["pairs"], row["count"], row.get("mean without"), row.get("mean with"),
         with_interval(row.get("mean change"), "{:+.3f}"), with_interval(row.get("flip rate"), "{:.1%}")]
        for row in rows
    ]  # fmt: skip
    report.write_page(
        folder / "report.html",
        title=f"What {name} does to a classifier",
        eyebrow="attrimorph audit",
        lead=f"{len(pairs):,} pairs of pictures that differ in {name}. Who ignores it says the same of both.",
        pieces=[
            report.table(head, body, numbers=(2, 3, 4, 5, 6), form=".3f", forms={"n": ",d"}),
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
