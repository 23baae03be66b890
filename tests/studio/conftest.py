"""A studio with two tiny models, asked in this process."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from attrimorph.data.drawn import faces
from attrimorph.pictures import to_pil
from attrimorph.studio.access import AccessControl
from attrimorph.studio.model_store import Limits
from attrimorph.studio.server import create_app
from tests.small_models import small_model
from tests.studio.browsing import Page, browser, need_browser
from tests.tiny_models import tiny_layers, tiny_model

HOME, LIVE = "http://127.0.0.1", "ws://127.0.0.1/live"
SMALL = Limits(body=2**20, pixels=1_000_000, photographs=4, in_flight=2, sessions=2, streams=4, seconds=1.0)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return model folders: of the family, with layers, without codes."""
    home = tmp_path_factory.mktemp("models")
    tiny_model(home / "tiny")
    tiny_layers(home / "layered")
    small_model(home / "cycle", "cyclegan-64")
    return [str(home / name) for name in ("tiny", "layered", "cycle")]


@pytest.fixture(scope="session")
def client(models: list[str]) -> Iterator[TestClient]:
    with let_in(create_app(models)) as asked:
        yield asked


def let_in(app: AccessControl, home: str = HOME) -> TestClient:
    """Return a client that knows the studio's token."""
    return TestClient(app, base_url=home, headers={"authorization": f"Bearer {app.token}"})


@pytest.fixture(scope="session")
def photograph() -> bytes:
    return face_png(1)


def face_png(seed: int, size: int = 48) -> bytes:
    """Return a drawn face as a PNG."""
    picture = to_pil(faces.render(faces.sample_factors(1, torch.Generator().manual_seed(seed)), size))[0]
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def opened(client: TestClient, content: bytes) -> str:
    """Open a photograph; return its name."""
    answer = client.post("/api/open", content=content, headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["photo"])


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    for seed in range(6):
        (tmp_path / f"{seed}.png").write_bytes(face_png(seed))
    return tmp_path


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser(need_browser()) as found:
        yield found


@pytest.fixture
def page(chrome: Any, address: str) -> Iterator[Page]:
    """The page of the studio at the test module's own `address`; nothing may have gone wrong in it."""
    found = Page(chrome, address)
    yield found
    faults = found.faults
    found.context.close()
    assert faults == []
