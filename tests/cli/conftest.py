"""A real, tiny run, trained by the command itself."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from attrimorph.cli import run

FIELDS = {
    "data.image-size": 16,
    "networks.latent": 4,
    "networks.encoder-width": 4,
    "networks.generator-width": 4,
    "networks.discriminator-width": 4,
    "networks.classifier-width": 4,
    "training.images": 32,
    "training.batch-size": 16,
    "training.log-images": 16,
    "training.precision": "float32",
    "training.memory-format": "contiguous",
}
TINY = [f"--{name}={value}" for name, value in FIELDS.items()]


class Said(NamedTuple):
    """What one command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run one command in this process."""

    def call(*words: object) -> Said:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    assert run(["data", "synthetic", str(folder), "--count", "40", "--size", "16"]) == 0
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert run(["train", "cvae-gan-edit", *TINY, "--data", str(drawn), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    """One drawn face as a picture."""
    import numpy as np
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "face.png"
    Image.fromarray(np.load(drawn / "images.npy")[0]).save(path)
    return path
