"""The README's tour works as written, with the model that ships."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from attrimorph.applications.edit import Edit
from attrimorph.cli import run

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("docs", "src"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    commands = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, flags=re.S) for line in block.splitlines()]
    assert len(commands) >= 10
    for command in commands:
        name, *words = shlex.split(command)
        assert name == "attrimorph"
        assert run(words) == 0, f"{command}: {capsys.readouterr().err}"
        if "--out" in words:
            assert Path(words[words.index("--out") + 1]).exists(), command
    with Image.open("tour/woman.edited.jpg") as after, Image.open("src/attrimorph/reproductions/woman.jpg") as before:
        assert after.size == before.size


def test_the_python_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    (block,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)
    names: dict[str, object] = {"torch": torch}
    exec(compile(block, "README.md", "exec"), names)
    smiling = names["smiling"]
    assert isinstance(smiling, Edit)
    with Image.open(ROOT / "docs/images/ada.png") as given:
        assert smiling.photographs[0].size == given.size


def test_two_commands_start_everything() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make ([a-z-]+)", TEXT, flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
