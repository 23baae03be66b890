"""Killed with SIGKILL and started again, a run ends with the bits of one that nobody killed; fresh ones end alike."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import attrimorph
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.training.folder import checkpoint_folders
from tests.training import tiny_runs

ROOT = Path(__file__).parents[2]
AUTOMATIC = ("precision", "memory_format")


def kills(*words: str) -> tuple[int, dict[str, object]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(attrimorph.__file__).parents[1])}
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout)


def test_two_kills_change_no_bit() -> None:
    code, result = kills("--fork", "--kills", "2", "--images", "480", "--seed", "5")
    assert code == 0, result
    assert result["survived"] == 2
    assert result["final model sha256"] == result["unkilled model sha256"]
    assert result["final state equal"] is result["log equal"] is result["sample sheets equal"] is True


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_eight_kills_of_real_processes_change_no_bit() -> None:
    code, result = kills("--kills", "8", "--images", "2400", "--seed", "1")
    assert code == 0, result
    assert result["survived"] == 8


@pytest.mark.slow
def test_twelve_fresh_processes_end_with_the_same_bits(tmp_path: Path) -> None:
    """The first measures which number format and layout are quickest; the others keep to it."""
    write_faces(tmp_path / "faces", count=24, size=16)
    fields = {key: value for key, value in tiny_runs.FIELDS.items() if key.rpartition(".")[2] not in AUTOMATIC}
    words = [f"--{key}={value}" for key, value in fields.items()]
    root = str(Path(attrimorph.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    found = set()
    for number in range(12):
        out = tmp_path / str(number)
        command = [sys.executable, "-m", "attrimorph", "train", "cvae-gan-edit", *words]
        subprocess.run([*command, "--data", tmp_path / "faces", "--out", out], env=environment, check=True, timeout=300)
        found.add((checkpoint_folders(out)[-1] / "model.safetensors").read_bytes())
    assert len(found) == 1
