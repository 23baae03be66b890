"""Tables of figures as CSV and as LaTeX."""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.figures import (
    FIGURES,
    KEYS,
    PAIRS,
    Comparison,
    Evaluation,
    Pair,
    check_tables,
    figure_rows,
    pair_rows,
    to_csv,
    to_latex,
    write_tables,
)


@pytest.fixture
def evaluation() -> Evaluation:
    found = Evaluation()
    found.put("edit.target_reached", "judge x; 50 % of 10 edits", 0.98765, (0.9, 0.999))
    found.put("edit.target_reached.Big_Lips", "judge x", 1.0)
    found.put("samples.kernel_distance", "features of x", -0.02)
    found.put("edit.count", "judge x", 1200)
    return found


def test_csv_holds_every_digit_and_every_attribute(evaluation: Evaluation) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(FIGURES, figure_rows(evaluation)))))
    assert [row["key"] for row in rows] == list(evaluation.figures)
    assert rows[0] == {
        "key": "edit.target_reached", "value": "0.98765", "low": "0.9", "high": "0.999", "unit": "share",
        "better": "higher", "what": "edits after which the attribute classifier finds the target turned",
        "protocol": "judge x; 50 % of 10 edits",
    }  # fmt: skip
    assert rows[1]["low"] == ""


def test_latex_is_a_booktabs_tabular_of_the_figures_over_all_attributes(evaluation: Evaluation, tmp_path: Path) -> None:
    text = to_latex(FIGURES, figure_rows(evaluation))
    lines = text.splitlines()
    assert r"edit.target\_reached $\uparrow$ & 0.9877 & 0.9 & 0.999 & share \\" in lines
    assert r"samples.kernel\_distance $\downarrow$ & $-0.02$ & -- & -- &  \\" in lines
    assert r"edit.count & 1200 & -- & -- & edits \\" in lines
    assert "Big" not in text
    assert lines[0].startswith(f"% edit.target_reached: {KEYS['edit.target_reached'].what}; judge x;")
    assert [line for line in lines if line.startswith(("\\b", "\\e", "\\t", "\\m"))] == [
        r"\begin{tabular}{lrrrl}", r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    if shutil.which("pdflatex"):
        page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + text + "\\end{document}\n"
        (tmp_path / "t.tex").write_text(page)
        subprocess.run(["pdflatex", "-interaction=batchmode", "t.tex"], cwd=tmp_path, check=True)


def test_every_special_sign_is_escaped() -> None:
    text = to_latex(("a_b", "n"), [("50 % & #1 {x} ~ ^ \\ $", None), ("b", 2)])
    assert r"50 \% \& \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ & -- \\" in text
    assert r"a\_b & n \\" in text


def test_two_evaluations_side_by_side(tmp_path: Path) -> None:
    rows = pair_rows(Comparison([Pair("edit.leakage", "p", 0.02, 0.03)], []))
    done = write_tables(PAIRS, rows, tmp_path / "a.csv", tmp_path / "a.tex")
    assert done == [tmp_path / "a.csv", tmp_path / "a.tex"]
    assert r"edit.leakage $\downarrow$ & 0.02 & 0.03 & $-0.01$ & share \\" in done[1].read_text()
    assert (
        done[0].read_text().startswith("key,here,there,difference,unit,better,what,protocol\nedit.leakage,0.02,0.03,")
    )
    assert write_tables(PAIRS, rows, None, None) == []


def test_files_that_cannot_be_written_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="is a folder; name a file in it"):
        check_tables(None, tmp_path)
    with pytest.raises(AttrimorphError, match="need a file each"):
        check_tables(tmp_path / "a", tmp_path / "a")
    check_tables(None, None)
