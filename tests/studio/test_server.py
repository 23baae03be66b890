"""The studio as a command: how it ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attrimorph.cli import run
from attrimorph.errors import AttrimorphError


def test_other_machines_start_no_trainings_unless_asked(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    def noted(_: object, **words: object) -> None:
        told.append(words["runs"] is not None)
        raise AttrimorphError("enough")

    monkeypatch.setattr("attrimorph.studio.server.create_app", noted)
    for words in ([], ["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--training"], ["--no-training"]):
        assert run(["studio", *words, models[0]]) == 2
    assert told == [True, False, True, False]


def test_ctrl_c_ends_it_with_one_line(models: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "attrimorph", "studio", "--port", "0", models[0]]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said = process.stdout.readline()
            assert (found := re.match(r"the studio is open: http://127.0.0.1:\d+/\?token=([0-9a-f]{32})  ", said))
            if (listed := Path(f"/proc/{process.pid}/cmdline")).exists():
                assert found[1] not in listed.read_text()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert (process.stdout.read(), process.stderr.read()) == ("the studio is closed\n", "")
        finally:
            process.kill()
