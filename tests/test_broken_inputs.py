"""Broken inputs get one clear sentence, exit code 2 and no half-written file: part of `benchmarks/broken_inputs.py`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from attrimorph.cli.app import TRACEBACK
from benchmarks.broken import CASES, Case, Kit, Outcome, judge, make_kit, run_case

HERE = [case for case in CASES if not (case.real or case.prefix or case.needs or "full disk" in case.name)]
CHOSEN = [*HERE[::9]]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv(TRACEBACK, raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name.replace("/", " "))
def test_one_clear_sentence(case: Case, kit: Kit, tmp_path: Path) -> None:
    outcome = run_case(case, kit, tmp_path)
    assert judge(case, outcome) == [], outcome.err
    assert not list(tmp_path.rglob("OWNED"))


def test_the_cases_are_many_and_different() -> None:
    assert len(CHOSEN) >= 40
    assert len({case.name for case in CASES}) == len(CASES) >= 200
    assert {case.make(Kit(*[Path("k")] * 5, {}), Path("f"))[0] for case in CASES if case.name.startswith("words")} >= {
        *("edit", "sample", "morph", "transfer", "train", "evaluate", "data")
    }


def test_a_good_command_is_no_broken_input(kit: Kit, tmp_path: Path) -> None:
    """So the judge can tell."""
    words = ["sample", "--count", "2", "--model", str(kit.model), "--out", "out", "--device", "cpu"]
    good = Case("good", lambda kit, folder: words, "count")
    outcome = run_case(good, kit, tmp_path)
    assert outcome.code == 0
    assert judge(good, outcome)


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Outcome(1, "attrimorph: a is wrong\n", (), ()), "exit code 1"),
        (Outcome(2, "Traceback\nattrimorph: a is wrong\n", (), ()), "not one sentence"),
        (Outcome(2, "attrimorph: a is wrong. Do that\n", (), ()), "more than one sentence"),
        (Outcome(2, "attrimorph: internal error (a is)\n", (), ()), "not clear"),
        (Outcome(2, "attrimorph: b is wrong\n", (), ()), "does not say 'a is'"),
        (Outcome(2, "attrimorph: a is wrong\n", (Path("HALF/x.json"),), ()), "half-written: x.json"),
        (Outcome(2, "attrimorph: a is wrong\n", (Path("HALF/images.npy.part"),), ()), "half-written: images.npy.part"),
        (Outcome(2, "attrimorph: a is wrong\n", (), (Path("x.json"),)), "damaged what was there: x.json"),
    ],
)
def test_every_fault_is_seen(outcome: Outcome, fault: str, tmp_path: Path) -> None:
    fresh = tuple(tmp_path / path.name for path in outcome.fresh)
    for path in fresh:
        path.write_text('{"half": ')
    case = Case("any", lambda kit, folder: [], "a is")
    assert judge(case, Outcome(outcome.code, outcome.err, fresh, outcome.damaged)) == [fault]
    assert judge(case, Outcome(2, "preparing: 4/20 images, 3 images/s\nattrimorph: a is wrong\n", (), ())) == []


def test_odd_names_of_good_files_work(kit: Kit, tmp_path: Path) -> None:
    def attrimorph(*words: str) -> None:
        done = subprocess.run([sys.executable, "-m", "attrimorph", *words], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, ascii((words, done.stderr))

    for name in ("two\nlines", "人脸 \U0001f642", os.fsdecode(b"caf\xe9"), "-", "a b'\"$"):
        path = tmp_path / f"{name}.png"
        path.write_bytes(kit.face.read_bytes())
        (tmp_path / name).mkdir()
        words = ["edit", str(path), "--set", "Smiling=1", "--model", str(kit.model), "--out", str(tmp_path / name)]
        attrimorph(*words, "--device", "cpu")
        (receipt,) = (tmp_path / name).glob("*.json")
        if not name.isascii():
            attrimorph("replay", str(receipt))
