"""Bad input: one sentence, exit code 2, nothing written, no traceback."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from attrimorph.cli import main
from attrimorph.cli.app import BAD_INPUT, CLOSED_PIPE, INTERNAL, INTERRUPTED, TRACEBACK
from tests.cli.conftest import Said

Say = Callable[..., Said]


def test_no_words_show_the_help(say: Say) -> None:
    said = say()
    assert said.code == 0
    for verb in ("data", "train", "recipes", "evaluate", "sample", "edit", "morph", "transfer", "quickstart", "doctor"):
        assert f" {verb} " in said.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["edot"], "did you mean"),
        (["edit"], "edit needs an IMAGE"),
        (["edit", "--set", "Smiling=1"], "edit needs an IMAGE"),
        (["edit", "FACE", "--set", "Smiling=1", "--follow", "curved"], "--follow belongs to an edit along axes"),
        (["edit", "FACE", "--set", "Smiling=1", "--count", "2"], "--count belongs to an edit along axes"),
        (["edit", "FACE", "--set", "Smiling=1", "--axes", "missing", "--count", "2"], "add --seed 0"),
        (["edit", "FACE", "--set", "Smiling=1", "--axes", "missing"], "cannot read missing"),
        (["edit", "FACE", "--set", "Smiling=1", "--axes", "missing", "--raw"], "--like and --raw do nothing"),
        (["morph", "FACE", "--set", "Smiling=1", "--axes", "missing", "--path", "slerp"], "--path and --groups lead"),
        (["morph", "FACE", "FACE", "--known", "Male=1"], "--known belongs to a morph along axes"),
        (["edit", "missing.png", "--set", "Smiling"], "write --set Smiling=1"),
        (["edit", "missing.png", "--set", "Smiling=much"], "must be a number"),
        (["edit", "missing.png", "--set", "Smiling=1", "--set", "Smiling=0"], "stands twice"),
        (["edit", "missing.png", "--sett", "Smiling=1"], "did you mean --set?"),
        (["edit", "missing.png", "--set", "Smiling=1", "--model", "TINY"], "missing.png"),
        (["edit", "FACE", "--set", "Smilling=1", "--model", "TINY"], "did you mean 'Smiling'?"),
        (["edit", "FACE", "--model", "TINY"], "--set"),
        (["edit", "TINY", "--set", "Smiling=1", "--model", "TINY"], "add --out tiny-edited"),
        (["sample", "--count", "many"], "--count"),
        (["sample", "--count", "0", "--model", "TINY"], "count"),
        (["sample", "--device", "abacus"], "--device"),
        (["sample", "--model", "no-such-model"], "no-such-model"),
        (["sample", "--model", "FACE"], "no readable model file"),
        (["sample", "--model", "TINY", "--out", "x.jpg"], ".png"),
        (["sample", "--model", "TINY", "--out", "/proc/no/x.png"], "cannot write"),
        (["morph", "FACE", "FACE", "--steps", "1", "--model", "TINY"], "steps"),
        (["morph", "FACE"], "takes two pictures; got 1 picture"),
        (["morph", "FACE", "FACE", "--path", "bilinear", "--model", "TINY"], "takes four pictures; got 2"),
        (["morph", "FACE", "FACE", "--path", "homomorphic", "--model", "TINY"], "follows references"),
        (["morph", "FACE", "--path", "cyclegan-chain", "--set", "Young=1", "--model", "TINY"], "needs CycleGANs"),
        (["morph", "FACE", "FACE", "--path", "slrep", "--model", "TINY"], "--path"),
        (["morph", "FACE", "FACE", "--groups", "one-by-one", "--model", "TINY"], "--path homomorphic"),
        (["edit", "FACE", "--set", "Young=1", "--like", "FACE", "--model", "TINY"], "follows references"),
        (["edit", "FACE", "--set", "Young=1", "--model", "drawn-faces-64,drawn-faces-64"], "must be made of CycleGANs"),
        (["edit", "FACE", "--set", "Young=1", "--model", "drawn-faces-64,nowhere"], "'nowhere'"),
        (["transfer", "FACE", "--model", "TINY"], "--from"),
        (["transfer", "FACE", "--from", "FACE", "--attributes", "Nose", "--model", "TINY"], "Nose"),
        (["replay", "missing.json"], "missing.json"),
        (["train", "no-such-recipe"], "there is no recipe"),
        (["train", "cvae-gn"], "did you mean"),
        (["train", "missing.yaml"], "cannot read missing.yaml"),
        (["train", "FACE"], "YAML or JSON"),
        (["train", "vae", "--training.start", "missing"], "training.start must name what is there; missing is not"),
        (
            ["train", "retouch-64", "--losses.teacher", "drawn-faces-64, missing"],
            "losses.teacher must name what is there; missing",
        ),
        (["train", "quickstart", "--batch-size", "3"], "did you mean 'training.batch_size'?"),
        (["train", "quickstart", "--training.batch-sise", "3"], "did you mean 'training.batch_size'?"),
        (["train", "quickstart", "--training.batch-size", "many"], "training.batch_size"),
        (["train", "quickstart", "--training.batch-size", "0"], "training.batch_size"),
        (["train", "quickstart", "--training", "3"], "group of fields"),
        (["train", "quickstart", "--dry-rum"], "did you mean --dry-run?"),
        (["train", "quickstart", "loud"], "--field.name value"),
        (["train", "quickstart", "--data", "missing"], "missing"),
        (["data", "prepaer"], "did you mean"),
        (["data", "prepare", "missing", "--out", "out"], "missing"),
        (["data", "prepare", "FACE", "--out", "out"], "folder"),
        (["data", "prepare", "."], "--out"),
        (["data", "prepare", ".", "--out", "out", "--crop", "much"], "crop"),
        (["data", "check", "missing"], "missing"),
        (["data", "synthetic", "out", "--kind", "cats"], "--kind"),
        (["data", "synthetic", "out", "--count", "-1"], "count"),
        (["data", "synthetic", "out", "--correlation", "2"], "correlation"),
        (["data", "synthetic", "out", "--kind", "tied-faces", "--correlation", "0.5"], "belong to --kind faces"),
        (["data", "synthetic", "/proc/no", "--count", "10", "--size", "16"], "cannot write"),
        (["evaluate", "no-such-model"], "no-such-model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence(
    say: Say,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"TINY": "tiny_run", "FACE": "face"}
    said = say(*[request.getfixturevalue(places[word]) if word in places else word for word in words])
    assert said.code == BAD_INPUT, said
    assert any(part in said.err for part in sentence.split("|")), said.err
    assert said.err.startswith("attrimorph: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_an_endless_path_is_shortened(say: Say) -> None:
    said = say("data", "check", f"a{'x' * 5000}/b")
    assert said.code == BAD_INPUT
    assert len(said.err) < 700
    assert "/b" in said.err


def test_a_fault_of_ours_says_so_without_a_traceback(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("seven")

    monkeypatch.delenv(TRACEBACK, raising=False)
    monkeypatch.setattr("attrimorph.doctor.examine", broken)
    said = say("doctor")
    assert said.code == INTERNAL
    assert said.err.startswith("attrimorph: internal error (ZeroDivisionError: seven)")
    assert "Traceback" not in said.err
    monkeypatch.setenv(TRACEBACK, "1")
    assert "Traceback" in say("doctor").err


def test_interruption_is_one_line(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("attrimorph.doctor.examine", interrupted)
    said = say("doctor")
    assert said.code == INTERRUPTED
    assert said.err.count("\n") == 1


def test_a_signal_to_the_real_process_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "attrimorph", "data", "synthetic", str(tmp_path / "faces"), "--count", "20000"]
    # A test run that was itself started in the background of a shell hands down ignored interrupts.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        # Wait until it draws, so that the signal meets the work and not the imports.
        while not (tmp_path / "faces" / "images.npy.part").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert err.splitlines()[-1].startswith("attrimorph: interrupted")
    assert "Traceback" not in err
    assert not (tmp_path / "faces" / "schema.json").exists()


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "attrimorph", "recipes"], stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == CLOSED_PIPE
    assert done.stderr == ""


def test_the_home_of_a_user_is_meant_by_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of oneself and of others, before a slash; no other word is changed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    someone = pwd.getpwuid(0)
    words = ["--out=~/a.png", "~/b", f"--out=~{someone.pw_name}/c", "~no.such.user/d", "x~/e", "--set=a=~", "~"]
    given: list[str] = []
    monkeypatch.setattr(sys, "argv", ["attrimorph", *words])
    monkeypatch.setattr(sys.modules[main.__module__], "run", lambda words: given.extend(words))
    with pytest.raises(SystemExit):
        main()
    own = [f"--out={tmp_path}/a.png", f"{tmp_path}/b", f"--out={someone.pw_dir}/c"]
    assert given == [*own, "~no.such.user/d", "x~/e", "--set=a=~", "~"]
