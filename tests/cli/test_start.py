"""The command starts at once: no torch before a verb needs it."""

import json
import resource
import subprocess
import sys

import pytest

import attrimorph

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


def test_help_answers_within_half_a_second() -> None:
    seconds = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "attrimorph", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Processor time and the best of several: other tests run beside this one, which says nothing of the command.
    assert min(seconds) < 0.5, seconds


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from attrimorph.cli import run

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"attrimorph {attrimorph.__version__}"
