"""Killed with SIGKILL and started again, a run ends with the bits of one that nobody killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import attrimorph

ROOT = Path(__file__).parents[2]


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
