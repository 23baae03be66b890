"""Trainings seen, started, stopped and gone on with over HTTP: real ones, tiny."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from attrimorph.cli import run
from attrimorph.files import is_locked, lock_folder, locked_by
from attrimorph.studio.runs import Runs
from attrimorph.studio.server import create_app
from tests.cli.conftest import FIELDS, TINY
from tests.studio.conftest import HOME

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with drawn data and one finished run."""
    folder = tmp_path_factory.mktemp("home")
    assert run(["data", "synthetic", str(folder / "data"), "--count", "40", "--size", "16"]) == 0
    words = [*TINY, "--data", str(folder / "data"), "--out", str(folder / "runs" / "done")]
    assert run(["train", "cvae-gan-edit", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def asked(home: Path, models: list[str]) -> Iterator[TestClient]:
    # What the studio starts uses this very code.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent.parent / "src")
    with TestClient(create_app(models[:1], runs=home / "runs"), base_url=HOME) as client:
        yield client
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def told(client: TestClient, name: str) -> dict[str, Any]:
    return next(({**each} for each in client.get("/api/runs").json() if each["name"] == name), {"state": "nowhere"})


def until(what: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_finished_run_is_told(asked: TestClient, home: Path) -> None:
    found = told(asked, "done")
    assert (found["state"], found["images_seen"], found["images"], found["stoppable"]) == ("done", 32, 32, False)
    details = asked.get("/api/runs/done").json()
    lines = [json.loads(line) for line in (home / "runs/done/log.jsonl").read_text().splitlines()]
    name = next(key for key in lines[-1] if key not in ("images_seen", "images_per_second", "waited_seconds"))
    assert details["curves"][name] == [[line["images_seen"], line[name]] for line in lines]
    sheet = asked.get(f"/api/runs/done/sheets/{details['sheets'][-1]}")
    assert sheet.content == (home / "runs/done/samples" / details["sheets"][-1]).read_bytes()


def test_start_stop_and_go_on(asked: TestClient, home: Path) -> None:
    fields = {key: str(value) for key, value in FIELDS.items()} | {
        "training.images": "1000000",
        "training.checkpoint-images": "64",
    }
    wish = {"recipe": "cvae-gan-edit", "name": "new", "fields": fields, "data": str(home / "data")}
    assert asked.post("/api/runs", json=wish).status_code == 200
    assert asked.post("/api/runs", json=wish).status_code == 400
    until(lambda: told(asked, "new").get("images_seen", 0) > 100)
    found = told(asked, "new")
    assert (found["state"], found["stoppable"]) == ("runs", True)
    assert found["seconds_left"] > 0
    assert asked.post("/api/runs/new/resume", json={}).status_code == 400
    assert asked.post("/api/runs/new/stop").status_code == 200
    until(lambda: told(asked, "new")["state"] == "stopped")
    seen = told(asked, "new")["images_seen"]
    assert asked.post("/api/runs/new/stop").status_code == 400
    assert asked.post("/api/runs/new/resume", json={"data": str(home / "data")}).status_code == 200
    until(lambda: told(asked, "new")["images_seen"] > seen)
    asked.post("/api/runs/new/stop")
    until(lambda: told(asked, "new")["state"] == "stopped")


def test_what_a_training_complains_of_is_told(asked: TestClient, home: Path) -> None:
    (home / "empty").mkdir()
    wish = {"recipe": "cvae-gan-edit", "name": "wrong", "data": str(home / "empty")}
    assert asked.post("/api/runs", json=wish).status_code == 200
    until(lambda: told(asked, "wrong")["state"] == "stopped")
    until(lambda: told(asked, "wrong")["said"].startswith("attrimorph: "))


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({"recipe": "no", "name": "a"}, 400, "no recipe 'no'"),
        ({"recipe": "../../etc", "name": "a"}, 400, "no recipe"),
        ({"recipe": "cvae-gan-edit", "name": "../a"}, 400, "must be letters, digits"),
        ({"recipe": "cvae-gan-edit", "name": "done"}, 400, "there is a run 'done' already"),
        ({"recipe": "cvae-gan-edit", "name": "a", "fields": {"training.imagse": "1"}}, 400, "training.images"),
        ({"recipe": "cvae-gan-edit", "name": "a", "fields": {"out": "/tmp/x"}}, 400, "no field"),
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "/no/such"}, 400, "must be a folder"),
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "a\u0000b"}, 422, "data"),
    ],
)
def test_a_wrong_wish_starts_nothing(
    asked: TestClient, home: Path, wish: dict[str, Any], status: int, words: str
) -> None:
    answer = asked.post("/api/runs", json=wish)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert not (home / "runs/a").exists()


@pytest.mark.parametrize(
    "path", ["runs/no", "runs/..", "runs/%2e%2e", "runs/done/sheets/no.png", "runs/done/sheets/..%2frecipe.json"]
)
def test_nothing_else_can_be_read(asked: TestClient, path: str) -> None:
    assert asked.get(f"/api/{path}").status_code in (400, 404)


def test_damaged_runs_are_left_out(tmp_path: Path) -> None:
    for name, content in {"a": "{", "b": "[]", "c": '{"recipe": {}}', "d": "[" * 100_000}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(content)
    assert Runs(tmp_path).all() == []
    assert Runs(tmp_path / "nowhere").all() == []


def test_a_held_folder_runs(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with lock_folder(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_without_trainings_there_are_no_routes(client: TestClient) -> None:
    assert client.get("/api/studio").json()["trains"] is False
    assert client.get("/api/runs").status_code == 404


def test_a_run_that_somebody_else_started_can_be_stopped(asked: TestClient, home: Path) -> None:
    """As from a terminal, or by a studio that has ended since."""
    fields = FIELDS | {"training.images": 1_000_000, "training.checkpoint-images": 64}
    words = [*(f"--{key}={value}" for key, value in fields.items()), "--data", str(home / "data")]
    command = [sys.executable, "-m", "attrimorph", "train", "cvae-gan-edit", *words, "--out", str(home / "runs/theirs")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: told(asked, "theirs").get("images_seen", 0) > 0 or process.poll() is not None)
        assert told(asked, "theirs")["stoppable"]
        assert asked.post("/api/runs/theirs/stop").status_code == 200
        assert process.wait(60) != 0
    finally:
        process.kill()
    found = told(asked, "theirs")
    assert (found["state"], found["stoppable"]) == ("stopped", False)
    assert asked.post("/api/runs/theirs/stop").status_code == 400


def test_a_held_folder_tells_by_whom(tmp_path: Path) -> None:
    assert locked_by(tmp_path) is None
    with lock_folder(tmp_path) as lock:
        assert locked_by(tmp_path) == os.getpid()
        lock.truncate(0)
        lock.write("12 another-machine")
        lock.flush()
        assert locked_by(tmp_path) is None
        assert is_locked(tmp_path)
    assert locked_by(tmp_path) is None
    with lock_folder(tmp_path):
        assert locked_by(tmp_path) == os.getpid()
