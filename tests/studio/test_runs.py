"""Trainings seen, started, stopped and gone on with over HTTP: real ones, tiny."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from attrimorph.cli import run
from attrimorph.errors import AttrimorphError
from attrimorph.files import is_locked, lock_folder, locked_by
from attrimorph.methods.recipes import RECIPES
from attrimorph.studio.runs import Runs, Started, StartRequest
from attrimorph.studio.server import create_app
from attrimorph.training.folder import check_recipe, read_log
from tests.cli.conftest import FIELDS, TINY
from tests.studio.conftest import let_in

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
    with let_in(create_app(models[:1], runs=home / "runs", data=[home])) as client:
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
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "/no/such"}, 400, "a folder that was named"),
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "{home}/../"}, 400, "a folder that was named"),
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "{home}/leads-away"}, 400, "a folder that was named"),
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "{home}/none"}, 400, "must be a folder"),
        ({"recipe": "retouch-64", "name": "a", "fields": {"losses.teacher": "/x"}}, 400, "must name no file"),
        # From the folder that the tests run in.
        ({"recipe": "retouch-64", "name": "a", "fields": {"losses.teacher": "x, src"}}, 400, "must name no file"),
        ({"recipe": "retouch-64", "name": "a", "fields": {"training.start": "src"}}, 400, "must name no file"),
        ({"recipe": "cvae-gan-edit", "name": "a", "data": "a\u0000b"}, 422, "data"),
    ],
)
def test_a_wrong_wish_starts_nothing(
    asked: TestClient, home: Path, wish: dict[str, Any], status: int, words: str
) -> None:
    if not (home / "leads-away").exists():
        (home / "leads-away").symlink_to("/")
    wish = wish | ({"data": wish["data"].format(home=home)} if "data" in wish else {})
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


def test_so_many_trainings_run_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waits(Started):
        def __init__(self, words: list[str]) -> None:
            self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            self.lines = deque()

    monkeypatch.setattr("attrimorph.studio.runs.Started", Waits)
    runs, refused = Runs(home / "runs", [home], at_once=2), []

    def begin(number: int) -> None:
        try:
            runs.start(StartRequest(recipe="quickstart", name=f"many{number}"))
        except AttrimorphError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert all(sentence.startswith("at most 2 trainings") for sentence in refused)
    for one in list(runs._started.values()):
        one.process.communicate(b"\n")
    begin(9)
    assert len(refused) == 3
    runs._started["many9"].process.communicate(b"\n")


def a_run(folder: Path, log: str = "") -> Path:
    """Write the folder of a run that was begun."""
    folder.mkdir(parents=True)
    recipe = RECIPES["quickstart"]().model_dump(mode="json")
    (folder / "recipe.json").write_text(json.dumps({"recipe": recipe, "data": ""}))
    (folder / "log.jsonl").write_text(log)
    return folder


ODD = [
    '{"images_seen": 100, "loss": 1, "images_per_second": 5.0}', '{"images_seen": 1', "[]", "null", "\x85\u2028",
    '{"images_seen": 1e999}', '{"images_seen": true}', '{"images_seen": -3}', f'{{"images_seen": 1{"0" * 400}}}',
    f'{{"images_seen": 200, "loss": 1{"0" * 400}, "images_per_second": 1{"0" * 400}}}',
    '{"images_seen": 300, "loss": Infinity, "images_per_second": Infinity}', f'{{"images_seen": {"9" * 5000}}}',
    '{"images_seen": 400, "loss": NaN, "images_per_second": NaN, "other": true}', "[" * 100_000,
    '{"images_seen": 500, "loss": 2, "images_per_second": 5e-324}',
]  # fmt: skip


def test_odd_numbers_in_a_log_lose_only_themselves(models: list[str], tmp_path: Path) -> None:
    run_folder = a_run(tmp_path / "odd", "\n".join(ODD))
    with let_in(create_app(models[:1], runs=tmp_path)) as client, lock_folder(run_folder):
        (found,) = client.get("/api/runs").json()
        assert (found["images_seen"], found["seconds_left"], found["state"]) == (500, None, "runs")
        assert client.get("/api/runs/odd").json()["curves"] == {"loss": [[100, 1.0], [500, 2.0]]}
        assert len(read_log(run_folder)) == 5


def test_runs_survive_folders_that_vanish(tmp_path: Path) -> None:
    runs, end = Runs(tmp_path), threading.Event()

    def come_and_go() -> None:
        while not end.is_set():
            shutil.rmtree(a_run(tmp_path / "fleeting"))

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(200):
            assert len(runs.all()) <= 1
    finally:
        end.set()
        thread.join()


def test_no_file_is_read_through_a_link(models: list[str], tmp_path: Path) -> None:
    secret, home = tmp_path / "secret.png", tmp_path / "runs"
    secret.write_bytes(b"\x89PNG secret")
    first, other = a_run(home / "first"), a_run(tmp_path / "elsewhere" / "other", '{"images_seen": 7}\n')
    (first / "samples").mkdir()
    (first / "samples" / "0.png").symlink_to(secret)
    os.mkfifo(first / "samples" / "1.png")
    (first / "samples" / "2.png").write_bytes(b"no picture")
    (first / "samples" / "3.png").mkdir()
    (first / "samples" / "4.png").write_bytes(b"\x89PNG own")
    (home / "linked").symlink_to(other)
    second, third, fourth = a_run(home / "second"), a_run(home / "third"), a_run(home / "fourth")
    (second / "samples").symlink_to(tmp_path)
    (tmp_path / "0.png").write_bytes(b"\x89PNG secret")
    for folder in (second, third):
        (folder / "log.jsonl").unlink()
    (second / "log.jsonl").symlink_to(other / "log.jsonl")
    os.mkfifo(third / "log.jsonl")
    os.mkfifo(third / ".lock")
    (fourth / "recipe.json").unlink()
    (fourth / "recipe.json").symlink_to(other / "recipe.json")
    os.mkfifo(a_run(home / "fifth") / "recipe.json.new")
    (home / "fifth" / "recipe.json.new").replace(home / "fifth" / "recipe.json")
    with let_in(create_app(models[:1], runs=home)) as client:
        assert {(each["name"], each["images_seen"]) for each in client.get("/api/runs").json()} == {
            ("first", 0), ("second", 0), ("third", 0)
        }  # fmt: skip
        for name, sheet in (("first", 0), ("first", 1), ("first", 2), ("first", 3), ("second", 0), ("linked", 0)):
            told = client.get(f"/api/runs/{name}/sheets/{sheet}.png")
            assert (told.status_code, b"secret" in told.content) == (404, False), (name, sheet)
        assert client.get("/api/runs/first/sheets/4.png").content == b"\x89PNG own"
        for name in ("linked", "fourth"):
            assert client.get(f"/api/runs/{name}").status_code == 404
        assert client.get("/api/runs/second").json() == {"curves": {}, "sheets": []}
        assert client.post("/api/runs/third/stop").status_code == 400


def test_a_lock_is_no_way_to_another_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    for number, make in enumerate((Path.symlink_to, Path.hardlink_to)):
        mine.write_text("precious")
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / ".lock", mine)
        with pytest.raises(AttrimorphError, match="must be a plain file"):
            lock_folder(folder)
        assert mine.read_text() == "precious"
    pipe = tmp_path / "pipe"
    pipe.mkdir()
    os.mkfifo(pipe / ".lock")
    with pytest.raises(AttrimorphError, match="must be a plain file"):
        lock_folder(pipe)


def test_a_training_writes_through_no_link(tmp_path: Path) -> None:
    folder, away = a_run(tmp_path / "run"), tmp_path / "away"
    away.mkdir()
    for name in ("samples", "checkpoints", "tensorboard"):
        (folder / name).symlink_to(away)
        with pytest.raises(AttrimorphError, match=f"{name} must lie in the run's folder"):
            check_recipe(folder, RECIPES["quickstart"]())
        (folder / name).unlink()
    assert check_recipe(folder, RECIPES["quickstart"]()) == ""


def test_stop_signals_only_who_holds_the_run(models: list[str], tmp_path: Path) -> None:
    """The lock is held in another pid namespace, where the number means another process than here."""
    folder = a_run(tmp_path / "contained")
    with subprocess.Popen(["sleep", "60"]) as bystander:
        with let_in(create_app(models[:1], runs=tmp_path)) as client, lock_folder(folder) as lock:
            lock.truncate(0)
            lock.write(f"{bystander.pid} {socket.gethostname()}")
            lock.flush()
            assert locked_by(folder) is None
            assert not told(client, "contained")["stoppable"]
            answer = client.post("/api/runs/contained/stop")
            assert (answer.status_code, "not seen to run here" in answer.json()["error"]) == (400, True)
            assert bystander.poll() is None
        bystander.kill()


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
