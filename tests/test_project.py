"""Rules for the project itself."""

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
# Next to the CPU build of torch these fail at import, and torchvision breaks others by being there.
UNWANTED = ("torchvision", "torch_fidelity", "cleanfid", "lpips", "timm")


@pytest.mark.parametrize("name", UNWANTED)
def test_is_not_installed(name: str) -> None:
    assert importlib.util.find_spec(name) is None, f"{name} must not be installed here; see CONTRIBUTING.md"


def test_no_requirement_brings_torchvision() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [
        *project["dependencies"],
        *(word for extra in project["optional-dependencies"].values() for word in extra),
    ]
    names = {re.split(r"[<>=\[; ]", requirement)[0].replace("-", "_") for requirement in requirements}
    assert not names & set(UNWANTED)


def test_every_import_is_a_requirement() -> None:
    """A fresh install holds what the package imports; what an extra brings is imported inside functions.

    The studio is a room that nobody enters without its extra.
    """
    required = {"torch", "numpy", "PIL", "pydantic", "cyclopts", "yaml", "rich", "safetensors", "attrimorph"}
    import sys

    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                if "studio" in path.parts[-2:] and top in ("fastapi", "starlette", "uvicorn"):
                    continue
                assert top in required or top in sys.stdlib_module_names, f"{path} imports {name} at its top"


def test_no_room_for_leftovers_nor_code_from_files() -> None:
    for path in SOURCES:
        assert path.name not in ("utils.py", "helpers.py", "common.py"), path
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        for call in calls:
            if isinstance(call.func, ast.Name):
                assert call.func.id not in ("exec", "eval"), f"{path}:{call.lineno}"


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_citation_names_this_version() -> None:
    import attrimorph

    assert f"version: {attrimorph.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"version = {{{attrimorph.__version__}}}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_what_benchmarks_import_of_the_package_is_there(path: Path) -> None:
    """Nobody runs them for months, and names move."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "attrimorph":
            module = importlib.import_module(str(node.module))
            for each in node.names:
                assert hasattr(module, each.name) or importlib.util.find_spec(f"{node.module}.{each.name}"), each.name
