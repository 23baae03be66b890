"""The studio as a command: how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path


def test_ctrl_c_ends_it_with_one_line(models: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "attrimorph", "studio", "--port", "0", models[0]]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline().startswith("the studio is open: ")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert (process.stdout.read(), process.stderr.read()) == ("the studio is closed\n", "")
        finally:
            process.kill()
