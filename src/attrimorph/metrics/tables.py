"""Tables of figures as files: CSV for programs, LaTeX (booktabs) for papers."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from attrimorph.errors import AttrimorphError
from attrimorph.files import write_text
from attrimorph.metrics.figures import KEYS, Comparison, Evaluation, base_of, overall

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]
ESCAPED = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$", "": ""}
FIGURES = ("key", "value", "low", "high", "unit", "better", "what", "protocol")
PAIRS = ("key", "here", "there", "difference", "unit", "better", "what", "protocol")


def figure_rows(evaluation: Evaluation) -> list[list[Cell]]:
    """Return one row for each figure, by the columns of `FIGURES`."""
    rows: list[list[Cell]] = []
    for key, value in evaluation.figures.items():
        low, high = evaluation.intervals.get(key, (None, None))
        rows.append([key, value, low, high, *words(key), evaluation.protocols[key]])
    return rows


def pair_rows(comparison: Comparison) -> list[list[Cell]]:
    """Return one row for each figure that two evaluations share, by the columns of `PAIRS`."""
    return [
        [pair.key, pair.ours, pair.theirs, pair.ours - pair.theirs, *words(pair.key), pair.protocol]
        for pair in comparison.pairs
    ]


def words(key: str) -> list[str]:
    """Return unit, better and what it is, of a key."""
    entry = KEYS[base_of(key)]
    return [entry.unit, entry.better, entry.what]


def write_tables(head: Sequence[str], rows: Rows, csv_file: Path | None, latex_file: Path | None) -> list[Path]:
    """Write one table as CSV, as LaTeX, or both, as far as they are named; return what was written.

    In LaTeX a column "better" becomes an arrow behind the key, "protocol" and "what" become comments above the
    table, and figures of single attributes are left out.
    """
    done = []
    for file, form in ((csv_file, to_csv), (latex_file, to_latex)):
        if file is not None:
            write_text(file, form(head, rows))
            done.append(file)
    return done


def check_tables(*files: Path | None) -> None:
    """Refuse, before anything is measured, files that cannot be written.

    Raises:
        AttrimorphError: one is a folder, or two are the same.
    """
    named = [file for file in files if file is not None]
    for file in named:
        if file.is_dir():
            raise AttrimorphError(f"a table is written to a file; {file} is a folder; name a file in it")
    if len({file.resolve() for file in named}) < len(named):
        raise AttrimorphError(f"--csv and --latex need a file each; both are {named[0]}; name another")


def to_csv(head: Sequence[str], rows: Rows) -> str:
    """Return a table as CSV; numbers keep all their digits, what is missing is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([head, *rows])
    return file.getvalue()


def to_latex(head: Sequence[str], rows: Rows) -> str:
    r"""Return a table as a LaTeX tabular (\usepackage{booktabs}), as `write_tables` tells."""
    place = {name: column for column, name in enumerate(head)}
    comments = [place[name] for name in ("what", "protocol") if name in place]
    dropped = {*comments, *([place["better"]] if "better" in place else [])}
    shown = [column for column in range(len(head)) if column not in dropped]
    if "key" in place:
        kept = overall([str(row[place["key"]]) for row in rows])
        rows = [row for row in rows if row[place["key"]] in kept]
    lines = [
        f"% {row[0]}: " + "; ".join(" ".join(str(row[column]).split()) for column in comments if row[column])
        for row in rows if comments
    ]  # fmt: skip
    kinds = [all(row[column] is None or isinstance(row[column], int | float) for row in rows) for column in shown]
    lines += [
        r"\begin{tabular}{" + "".join("r" if number else "l" for number in kinds) + "}",
        r"\toprule",
        " & ".join(escaped(head[column]) for column in shown) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [latex_cell(row[column]) for column in shown]
        if "better" in place and (arrow := ARROWS[str(row[place["better"]])]):
            cells[0] += f" {arrow}"
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_cell(value: Cell) -> str:
    """Write one cell: numbers with four digits."""
    if value is None:
        return "--"
    if isinstance(value, float):
        number = f"{value:.4g}" if 1e-4 <= abs(value) < 1e4 or value == 0 else f"{value:.4f}"
        return f"${number}$" if value < 0 else number
    return escaped(str(value))


def written(value: float) -> str:
    """Write a figure for people: counts as they are, else four decimals."""
    return f"{value:,d}" if isinstance(value, int) else f"{value:.4f}"


def escaped(words: str) -> str:
    """Return words as LaTeX prints them."""
    return "".join(ESCAPED.get(sign, sign) for sign in words)
