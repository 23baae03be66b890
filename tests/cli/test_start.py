"""The command starts at once: no torch before a verb needs it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import attrimorph
from attrimorph.cli import app

PROBE = """
import json, sys
sys.argv = ["attrimorph", *json.loads(sys.argv[1])]
from attrimorph.cli import run
code = run(sys.argv[1:])
heavy = [name for name in ("torch", "numpy", "PIL", "safetensors", "tensorboard") if name in sys.modules]
print(json.dumps([code, heavy]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["edit", "--help"], ["train", "--help"], ["--version"], ["recipes"], ["experiment"]]
)
def test_no_heavy_import_for(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, json.dumps(words)], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]
    assert done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["edit", "nosuch.png", "--set", "Smiling=1"],
        ["edit", "TEXT", "--set", "Smiling=1"],
        ["edit", "FACE", "--set", "Smilng=1"],
        ["edit", "FACE", "--set", "Smiling=much"],
        ["edit", "FACE", "--set", "Smiling=200"],
        ["edit", "FACE", "--set", "Smiling=1", "--known", "Male=2"],
        ["edit", "FACE", "--set", "Smiling=1", "--out", "FACE/x.png"],
        ["edit", "FACE", "--set", "Smiling=1", "--out", "x.jpg"],
        ["edit", "FACE", "--set", "Smiling=1", "--model", "TEXT"],
        ["edit", "FACE", "--set", "hair=1", "--like", "FACE", "--model", "homointerp-drawn-64"],
        ["sample", "--set", "smiling=1"],
        ["sample", "--model", "nosuch"],
        ["reconstruct", "nosuch.png"],
        ["reconstruct", "."],
        ["morph", "FACE", "nosuch.png"],
        ["transfer", "FACE", "--from", "nosuch.png"],
        ["transfer", "FACE", "--from", "FACE", "--attributes", "Nose"],
        ["inpaint", "FACE", "--mask", "nosuch.png"],
        ["superresolve", "nosuch.png"],
        ["retrieve", "nosuch.png", "--among", "."],
        ["layers", "FACE", "--set", "Nose=1", "--model", "discvae-drawn-64"],
        ["invert", "FACE", "--known", "Nose=1"],
        ["compare", "quickstart", "nosuch", "--images", "100"],
        ["compare", "cvae", "cgan"],
        ["compare", "cvae", "cgan", "--budget", "soon"],
        ["compare", "cvae", "cgan", "--images", "100", "--losses.kl", "much"],
        ["compare", "cvae", "cgan", "--images", "100", "--nosuch.field", "1"],
        ["compare", "cvae", "cgan", "--images", "100", "--seeds", "0"],
        ["experiment", "nosuch"],
        ["train", "nosuch"],
        ["train", "quickstart", "--losses.kl", "much"],
    ],
    ids=" ".join,
)
def test_what_is_amiss_is_told_before_torch_is_imported(words: list[str], face: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    places = {"TEXT": str(tmp_path / "text.png"), "FACE": str(face), "FACE/x.png": str(face / "x.png")}
    given = json.dumps([places.get(word, word) for word in words])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, given], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    *said, probe = done.stderr.splitlines()
    code, heavy = json.loads(probe)
    assert (code, len(said)) == (2, 1), said
    assert "torch" not in heavy


def test_help_answers_soon() -> None:
    # Against the libraries that it stands on, in turns, in processor time and the best of several: how fast the machine
    # is, and what runs beside this test, says nothing of the command.
    libraries = ["-c", "import cyclopts.help, pydantic.fields, rich.console, rich.table, rich.panel"]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(4):
        for ours in seconds:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            words = ["-m", "attrimorph", "--help"] if ours else libraries
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[ours].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds[True]) < 2.5 * min(seconds[False]), seconds


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from attrimorph.cli import run

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"attrimorph {attrimorph.__version__}"


@pytest.mark.parametrize("words", [[name] for name in app if not name.startswith("-")], ids=" ".join)
def test_a_wrong_option_is_told_before_torch_is_imported(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([*words, "--nosuch", "1"])], capture_output=True, text=True, check=True
    )
    code, heavy = json.loads(done.stderr.splitlines()[-1])
    assert code == 2
    assert "torch" not in heavy
