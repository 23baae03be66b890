"""The verbs calibrate and audit."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

from tests import terminal
from tests.cli.conftest import Said

Say = Callable[..., Said]


def test_audit_writes_pairs_and_reads_predictions(say: Say, tiny_run: Path, face: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    said = say("audit", "--model", tiny_run, "--attribute", "Male", "--images", face.parent, "--out", out)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == str(out / "pairs.csv")
    with (out / "pairs.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["source"] for line in lines] == [face.name] * 2
    (tmp_path / "said.csv").write_text(f"file,p\n{lines[0]['file']},0.2\n{lines[1]['file']},0.7\n")
    said = say("audit", "--out", out, "--predictions", tmp_path / "said.csv")
    assert said.code == 0, said.err
    assert "+0.500 [+0.500, +0.500]" in said.out
    assert json.loads((out / "report.json").read_text())["attribute"] == "Male"


def test_audit_says_what_it_lacks(say: Say, tiny_run: Path, drawn: Path, tmp_path: Path) -> None:
    for words, sentence in (
        ((), "needs --attribute"),
        (("--attribute", "Mael", "--model", tiny_run), "did you mean 'Male'"),
        (("--attribute", "Male", "--images", drawn, "--data", drawn, "--model", tiny_run), "got both"),
        (("--attribute", "Male", "--images", tmp_path / "no", "--model", tiny_run), "must be a folder of pictures"),
        (("--predictions", tmp_path / "no.csv"), "cannot read"),
    ):
        said = say("audit", "--out", tmp_path / "out", *words)
        assert said.code == 2
        assert sentence in said.err
        assert not (tmp_path / "out").exists()


def test_audit_of_prepared_data(say: Say, tiny_run: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = say("audit", "--attribute", "Bald", "--model", tiny_run, "--data", drawn, "--count", 3, "--out", out)
    assert said.code == 0, said.err
    assert len((out / "pairs.csv").read_text().splitlines()) == 1 + 2 * int(said.out.split()[0])


def test_calibrate_needs_a_judge_and_spares_what_ships(say: Say, tiny_run: Path, tmp_path: Path) -> None:
    said = say("calibrate", "drawn-faces-64")
    assert said.code == 2
    assert "add --out drawn-faces-64.safetensors" in said.err
    said = say("calibrate", tiny_run)
    assert said.code == 2
    assert "train one with attrimorph judge" in said.err


def test_calibrate_writes_the_map_into_the_file(say: Say, tiny_run: Path, drawn: Path, tmp_path: Path) -> None:
    from attrimorph.evaluators.evaluator import channels_last
    from attrimorph.evaluators.judge import Judge, JudgeNetwork
    from attrimorph.loading import load

    run = tmp_path / "run"
    copytree(tiny_run, run)
    schema = load(run).schema
    network = channels_last(JudgeNetwork(16, schema.width).eval())
    Judge("judge of nothing", schema, 16, network, 1.0, {}, {}).save(tmp_path / "judge.safetensors")
    words = ("--judge", tmp_path / "judge.safetensors", "--data", drawn, "--images", 1)
    before = load(run)
    said = say("calibrate", run, *words, "--out", tmp_path / "copy.safetensors")
    assert said.code == 0, said.err
    assert load(run).hash == before.hash
    assert load(tmp_path / "copy.safetensors").strengths.about["measured by"].startswith("logits of judge of nothing")
    said = say("calibrate", run, *words)
    assert said.code == 0, said.err
    assert "strength" in load(run).header


def test_raw_strengths_and_uniform_morphs(say: Say, tiny_run: Path, face: Path, tmp_path: Path) -> None:
    said = say("edit", face, "--set", "Smiling=0.5", "--raw", "--model", tiny_run, "--out", tmp_path / "e.png")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "e.json").read_text())["arguments"]["calibrated"] is False
    said = say("morph", face, face, "--path", "uniform", "--model", tiny_run, "--out", tmp_path / "m.png")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "m.json").read_text())["arguments"]["path"] == "uniform"
    assert "every pixel is the same" in say("replay", tmp_path / "m.json").out


def test_evaluate_writes_its_figures_as_tables(say: Say, tiny_run: Path, tmp_path: Path) -> None:
    files = ("--csv", tmp_path / "t" / "a.csv", "--latex", tmp_path / "t" / "a.tex")
    words = ("evaluate", tiny_run, "--metrics", "reconstruction", "--count", 6, "--out")
    said = say(*words, tmp_path / "a", *files)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-3:] == [str(each) for each in (*files[1::2], tmp_path / "a" / "evaluation.html")]
    with (tmp_path / "t" / "a.csv").open() as file:
        values = {line["key"]: float(line["value"]) for line in csv.DictReader(file)}
    assert values == json.loads((tmp_path / "a" / "evaluation.json").read_text())["figures"]
    assert r"reconstruction.psnr $\uparrow$ &" in (tmp_path / "t" / "a.tex").read_text()
    said = say(*words, tmp_path / "b", "--against", tmp_path / "a", *files)
    assert said.code == 0, said.err
    assert (tmp_path / "t" / "a.csv").read_text().startswith("key,here,there,difference,")
    said = say("evaluate", tiny_run, "--csv", tmp_path)
    assert (said.code, "is a folder; name a file in it" in said.err) == (2, True)


def test_evaluate_prints_a_line_for_each_figure_on_a_narrow_terminal(tiny_run: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(tiny_run), "--metrics", "reconstruction", "--count", "6", "--out", str(tmp_path)]
    screen = terminal.run(words, columns=80)
    assert screen.code == 0, screen.text
    shown = [line for line in screen.lines if line.startswith("reconstruction.")]
    assert len(shown) == len({line.split()[0] for line in shown}) >= 1
    assert all(len(line) <= 80 for line in shown)
