"""The models that ship, as the studio opens them: each can be steered, locked, saved and made again."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from attrimorph.models import PHOTOGRAPHS, shipped
from attrimorph.requests.replay import replay
from attrimorph.studio.server import create_app
from tests.studio.conftest import face_png, let_in

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with let_in(create_app(sorted(shipped()))) as asked:
        yield asked


@pytest.fixture(scope="module")
def told(client: TestClient) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get("/api/models").json()}


def test_each_has_sliders_and_locks(told: dict[str, dict[str, Any]]) -> None:
    assert sorted(told) == sorted(shipped())
    for name, model in told.items():
        assert (len(model["sliders"]), len(model["locks"])) == ((21, 0) if name == PHOTOGRAPHS else (25, 25)), name
        assert model["can"]["photograph"], name


def test_sliders_have_the_names_of_the_models_own_groups(told: dict[str, dict[str, Any]]) -> None:
    groups = {each["name"]: each["group"] for each in told["homointerp-drawn-64"]["sliders"]}
    assert (groups["Blond_Hair"], groups["Young"]) == ("hair colour", "age")
    assert {each["group"] for each in told["drawn-faces-64"]["sliders"]} == {None}


@pytest.mark.parametrize("name", sorted({*shipped()} - {PHOTOGRAPHS}))
def test_an_edit_with_a_lock_is_saved_and_made_again(
    client: TestClient, told: dict[str, dict[str, Any]], name: str, tmp_path: Path
) -> None:
    sources: list[dict[str, Any]] = [{"image": base64.b64encode(face_png(3, 64)).decode()}]
    sources += [{"seed": 3, "held": {"Male": 1}}] if told[name]["can"]["sample"] else []
    for source in sources:
        words = {"model": name, "source": source, "changes": {"Heavy_Makeup": 1.0, "Young": -1.0}}
        free = client.post("/api/edit", json=words).json()
        besides = [each for each in free["besides"] if each in told[name]["locks"]] or ["Male"]
        saved = client.post("/api/edit", json=words | {"locks": besides})
        assert saved.status_code == 200, saved.text
        path = tmp_path / "saved.png"
        path.write_bytes(base64.b64decode(saved.json()["picture"]))
        assert replay(path).identical
        assert replay(tmp_path / "saved.again.json").identical
        if free["besides"]:
            assert saved.json()["picture"] != free["picture"]
            moved = [abs(saved.json()["besides"].get(each, 0.0)) for each in besides]
            assert sum(moved) < sum(abs(free["besides"][each]) for each in besides)


def test_samples_have_what_is_held_along_axes(client: TestClient) -> None:
    words = {"model": "pggan-drawn-64", "count": 8, "seed": 20}
    plain = client.post("/api/sample", json=words).json()["pictures"]
    held = client.post("/api/sample", json=words | {"changes": {"Eyeglasses": 1}}).json()["pictures"]
    assert sum(one != other for one, other in zip(plain, held, strict=True)) >= 6


def test_an_attribute_without_an_axis_is_told(client: TestClient) -> None:
    words = {"model": "pggan-drawn-64", "source": {"seed": 1}, "changes": {"Smilng": 1}}
    answer = client.post("/api/edit", json=words)
    assert answer.status_code == 400
    assert "did you mean 'Smiling'" in answer.json()["error"]
