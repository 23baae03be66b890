"""The wheel, in an empty environment, as a stranger installs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import terminal

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_installs_in_an_empty_environment_and_edits(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "empty")], check=True)
    (wheel,), bare = tmp_path.glob("attrimorph-*.whl"), tmp_path / "empty" / "bin"
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([str(bare / "python"), "-m", "pip", "-q", "install", *constraints, str(wheel)], check=True)
    words = ["edit", str(ROOT / "docs/images/ada.png"), "--set", "Smiling=1", "--out", "made.png"]
    screen = terminal.run([], program=[str(bare / "attrimorph"), *words], folder=tmp_path)
    assert screen.code == 0, screen.text
    assert (tmp_path / "made.png").is_file()
    assert (tmp_path / "made.json").is_file()
