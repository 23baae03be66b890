"""The command starts at once: no torch before a verb needs it."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import attrimorph
from attrimorph.cli import app

# Every command is a fork of a process that has imported the command line and run nothing.
PROBE = """
import json, os, sys
from attrimorph.cli import run
for line in sys.stdin:
    words, folder, out, err, told = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, place in ((1, out), (2, err)):
            os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(folder)
        sys.argv = ["attrimorph", *words]
        code = run(words)
        sys.stdout.flush()
        sys.stderr.flush()
        heavy = [name for name in ("torch", "numpy", "PIL", "safetensors", "tensorboard") if name in sys.modules]
        with open(told, "w") as file:
            json.dump([code, heavy], file)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Probed(NamedTuple):
    """What a command did: its code, the heavy modules that it imported, and what it printed."""

    code: int
    heavy: list[str]
    out: str
    err: str


Probe = Callable[[list[str], Path], Probed]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    home = tmp_path_factory.mktemp("probe")
    files = [home / name for name in ("out", "err", "told")]
    words = [sys.executable, "-c", PROBE]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(words: list[str], folder: Path) -> Probed:
            print(json.dumps([words, str(folder), *map(str, files)]), file=process.stdin, flush=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "0\n"
            out, err, told = (path.read_text() for path in files)
            return Probed(*json.loads(told), out, err)

        yield ask
        process.stdin.close()


@pytest.mark.parametrize(
    "words", [["--help"], ["edit", "--help"], ["train", "--help"], ["--version"], ["recipes"], ["experiment"]]
)
def test_no_heavy_import_for(words: list[str], probe: Probe, tmp_path: Path) -> None:
    found = probe(words, tmp_path)
    assert (found.code, found.heavy, bool(found.out)) == (0, [], True)


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
def test_what_is_amiss_is_told_before_torch_is_imported(
    words: list[str], probe: Probe, face: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    places = {"TEXT": str(tmp_path / "text.png"), "FACE": str(face), "FACE/x.png": str(face / "x.png")}
    found = probe([places.get(word, word) for word in words], tmp_path)
    assert (found.code, len(found.err.splitlines())) == (2, 1), found.err
    assert "torch" not in found.heavy


def test_help_answers_soon() -> None:
    # Against the libraries that it stands on, in turns, in processor time and the best of several: how fast the machine
    # is, and what runs beside this test, says nothing of the command.
    libraries = ["-c", "import cyclopts.help, pydantic.fields, rich.console, rich.table, rich.panel"]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(3):
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
def test_a_wrong_option_is_told_before_torch_is_imported(words: list[str], probe: Probe, tmp_path: Path) -> None:
    found = probe([*words, "--nosuch", "1"], tmp_path)
    assert found.code == 2
    assert "torch" not in found.heavy
