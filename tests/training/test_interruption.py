"""A signal ends a training after its step, with a checkpoint; going on ends with the bits of a run never stopped."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import assert_same_runs, tiny_recipe

import attrimorph.cli
from attrimorph.console import NAMES, Interrupted, defer_signals
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.training import trainer
from attrimorph.training.folder import checkpoint_folders, load_state, read_log
from attrimorph.training.trainer import train
from tests import terminal
from tests.cli.conftest import FIELDS

LONG = FIELDS | {
    "training.images": 960, "training.batch-size": 8, "training.log-images": 24, "training.sample-images": 480,
    "training.checkpoint-images": 960,
}  # fmt: skip


def words_of(data: PreparedData, run: Path, **changes: object) -> list[str]:
    fields = LONG | {key.replace("__", ".").replace("_", "-"): value for key, value in changes.items()}
    options = [f"--{name}={value}" for name, value in fields.items()]
    return ["train", "cvae-gan-edit", *options, "--data", str(data.path), "--out", str(run), "--device", "cpu"]


def once_it_logs(run: Path, send: Callable[[int], None]) -> Callable[[int, str], bool]:
    """Return what sends a signal to the child when the run's log has a few lines."""

    def watch(child: int, text: str) -> bool:
        if len(read_log(run)) < 3:
            return False
        send(child)
        return True

    return watch


@pytest.fixture(scope="module")
def whole(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("never") / "stopped"
    assert attrimorph.cli.run(words_of(data, run)) == 0
    return run


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_writes_a_checkpoint_and_the_same_command_goes_on(
    data: PreparedData, whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    words = words_of(data, run)
    said = terminal.run(words, during=once_it_logs(run, lambda child: os.kill(child, number)))
    assert said.code == code, said.text
    (last,) = [line for line in said.lines if line.startswith("attrimorph: ")]
    newest = checkpoint_folders(run)[-1]
    assert 0 < int(newest.name) < 960
    assert f"{NAMES[number]}: the checkpoint at {int(newest.name):,} of 960 images is {newest}" in said.text
    assert f"go on with: attrimorph {' '.join(words)}" in said.text, last
    again = terminal.run(words)
    assert again.code == 0, again.text
    assert f"{int(newest.name):,}/960" in again.text, "the bar begins where the run goes on"
    assert_same_runs(whole, run)


def test_a_signal_waits_for_the_checkpoint_that_is_being_written(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real = tiny_recipe("vae", training__log_images=8), trainer.save_checkpoint

    def slow(run: Path, images_seen: int, *arguments: Any, **options: Any) -> Path:
        if images_seen == 32:
            os.kill(os.getpid(), signal.SIGTERM)
            until(lambda: read_log(run)[-1]["images_seen"] > 32)
            time.sleep(0.5)
        return real(run, images_seen, *arguments, **options)

    monkeypatch.setattr(trainer, "save_checkpoint", slow)
    with pytest.raises(Interrupted, match="the checkpoint at"):
        train(recipe, data, tmp_path / "run", device="cpu")
    monkeypatch.undo()
    before, newest = checkpoint_folders(tmp_path / "run")
    assert int(before.name) == 32 < int(newest.name) < 96
    for folder in (before, newest):
        assert load_state(folder)["images_seen"] == int(folder.name)
    train(recipe, data, tmp_path / "run", device="cpu")
    train(recipe, data, tmp_path / "whole", device="cpu")
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


def test_a_signal_waits_for_the_checkpoint_too_when_the_run_has_failed(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, rates, failed = trainer.save_checkpoint, trainer.Run._set_rates, threading.Event()

    def slow(run: Path, images_seen: int, *arguments: Any, **options: Any) -> Path:
        if images_seen == 32:
            failed.wait(60)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return real(run, images_seen, *arguments, **options)

    def fails(self: trainer.Run) -> None:
        if self.images_seen == 40:
            failed.set()
            raise AttrimorphError("it failed")
        rates(self)

    monkeypatch.setattr(trainer, "save_checkpoint", slow)
    monkeypatch.setattr(trainer.Run, "_set_rates", fails)
    with pytest.raises(AttrimorphError, match="it failed"):
        train(tiny_recipe("vae"), data, tmp_path, device="cpu")
    assert [int(folder.name) for folder in checkpoint_folders(tmp_path)] == [0, 32]


def test_a_terminal_that_is_closed_is_no_obstacle(data: PreparedData, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    child, master = pty.fork()
    if child == 0:
        try:
            os._exit(attrimorph.cli.run(words_of(data, run)))
        except BaseException:
            os._exit(99)
    until(lambda: len(read_log(run)) >= 3)
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 129
    assert 0 < int(checkpoint_folders(run)[-1].name) < 960
    assert attrimorph.cli.run(words_of(data, run)) == 0
    assert_same_runs(whole, run)


def test_a_signal_to_one_of_two_processes_stops_both(data: PreparedData, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    source = str(Path(attrimorph.cli.__file__).parents[2])
    process = subprocess.Popen(
        [*command, "attrimorph", *words_of(data, run, training__images=10**6)],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: len(read_log(run)) >= 3 or process.poll() is not None, 120)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        speaker = (run / ".lock").read_text().split()[0]
        (other,) = [number for number in workers if number != speaker]
        os.kill(int(other), signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert "stopped by SIGTERM: the checkpoint at" in said
    assert said.count("go on with: the same torchrun command") == 1
    clocks = [line["images_seen"] for line in read_log(run)]
    assert int(checkpoint_folders(run)[-1].name) >= clocks[-1] > 0


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Python's own, whatever the tests run under; seen to be there at the end."""
    mine = {**dict.fromkeys(NAMES, signal.SIG_DFL), signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in mine.items()}
    yield
    assert {number: signal.getsignal(number) for number in NAMES} == mine
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NAMES)
def test_a_signal_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    reached = []

    def work() -> None:
        with defer_signals() as signals:
            os.kill(os.getpid(), number)
            until(lambda: signals.number == number)
            reached.append("the end")

    with pytest.raises(Interrupted, match=re.escape(NAMES[number])) as error:
        work()
    assert (reached, error.value.number) == (["the end"], number)
    assert isinstance(error.value, KeyboardInterrupt), "a notebook's cell ends as by any Ctrl+C"


def test_a_second_interrupt_ends_at_once() -> None:
    def work() -> None:
        with defer_signals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: signals.number == signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)  # what a terminal or a launcher sends besides changes nothing
            time.sleep(0.05)
            assert signals.number == signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: False)

    with pytest.raises(KeyboardInterrupt) as error:
        work()
    assert not isinstance(error.value, Interrupted)


def test_what_a_program_ignores_or_handles_itself_is_left_to_it() -> None:
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with defer_signals() as signals:
            for number in (signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), number)
            until(lambda: bool(came))
            assert (came, signals.number) == ([signal.SIGTERM], 0)
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)


def test_another_thread_holds_nothing() -> None:
    found = []

    def work() -> None:
        with defer_signals() as signals:
            found.append((signals.number, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(0, signal.SIG_DFL)]
