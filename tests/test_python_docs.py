"""Every Python example of the documents runs as written, from public names alone."""

import ast
import re
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import attrimorph
from attrimorph.cli import run
from attrimorph.data.drawn import faces
from attrimorph.loading import load
from attrimorph.pictures import to_pil
from tests.small_models import small_model

ROOT = Path(__file__).parent.parent
EXAMPLES = {
    path.name: blocks
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if (blocks := re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.S))
}
SMALLER = {"count=50_000": "count=400", "steps=200": "steps=2", "drawn_images(100": "drawn_images(8"}
"""What would take minutes."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: photographs, and a model that somebody trained."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "docs").symlink_to(ROOT / "docs")
    assert run(["data", "synthetic", str(folder / "photos"), "--count", "40", "--size", "64"]) == 0
    small_model(folder / "runs" / "pix2pix-64", "pix2pix-64")
    to_pil(faces.render(faces.sample_factors(1, torch.Generator().manual_seed(3)), 64))[0].save(folder / "photo.jpg")
    return folder


@pytest.fixture
def studio(page: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A studio of the shipped model, at an address of its own, for a page that asks one."""
    if not any("127.0.0.1:8710" in block for block in EXAMPLES[page]):
        yield
        return
    uvicorn = pytest.importorskip("uvicorn")
    import socket

    from attrimorph.studio.server import create_app

    at = socket.socket()
    at.bind(("127.0.0.1", 0))
    app = create_app(["drawn-faces-64"])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([at],))
    thread.start()
    monkeypatch.setitem(SMALLER, "127.0.0.1:8710", f"127.0.0.1:{at.getsockname()[1]}")
    monkeypatch.setenv("ATTRIMORPH_TOKEN", app.token)
    yield
    server.should_exit = True
    thread.join()


def given(page: str) -> dict[str, Any]:
    """What the text around the examples of a page takes for granted."""
    drawn = next(faces.draw(4, 64, 5))
    images, labels = drawn.images.permute(0, 3, 1, 2) / 127.5 - 1, drawn.attributes
    names: dict[str, Any] = {"images": images, "labels": labels, "attributes": labels}
    if page == "attribute2image.md":
        names |= {"others": images.flip(0), "masks": drawn.masks[:, None] / 255}
    if page == "image-to-image.md":
        names |= {"photographs": images[:2], "references": images[2:]}
    if page == "measuring.md":
        names |= {"edited": load("drawn-faces-64").sample(4)}
    return names


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_run(page: str, place: Path, studio: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names = given(page)
    for block in EXAMPLES[page]:
        for long, short in SMALLER.items():
            block = block.replace(long, short)
        if "pix2pix" in block:
            names["images"] = names["images"][..., ::2, ::2]
        exec(compile(block, page, "exec"), names)
    if page == "python.md":
        assert [path.name for path in names["files"]] == [f"faces-{number}.png" for number in (1, 2, 3, 4)]
        assert Path("ada-smiles.png").is_file()
        assert next(names["model_file"].glob("checkpoints/*/model.safetensors")).is_file()
    if page == "tour.md":
        assert isinstance(names["half_way"], attrimorph.Pictures)
        assert names["half_way"].shape == (9, 3, 64, 64)


@pytest.mark.parametrize("page", EXAMPLES)
def test_they_import_public_names_alone(page: str) -> None:
    for block in EXAMPLES[page]:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    assert not alias.name.startswith("attrimorph."), alias.name
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("attrimorph"):
                assert node.module == "attrimorph", node.module
                assert {alias.name for alias in node.names} <= set(attrimorph.__all__)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "attrimorph":
                assert node.attr in attrimorph.__all__, node.attr


def test_every_public_name_stands_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    told = set(re.findall(r"^::: (\S+)$", page, flags=re.M))
    assert {path.rpartition(".")[2] for path in told} == set(attrimorph.__all__) - {"__version__"}
    for path in told:
        home, _, name = path.rpartition(".")
        assert hasattr(import_module(home), name) or import_module(path), path
