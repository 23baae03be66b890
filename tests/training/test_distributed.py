"""Two processes on halves of a batch give the gradients of one process on the whole of it."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from attrimorph import training
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import open_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.methods import METHODS
from attrimorph.training.folder import read_log
from attrimorph.training.trainer import train
from tests.training import two_processes
from tests.training.tiny_runs import lines_of

GAUGES = {"sample_spread"}  # over one process's images: the mean of two is not that of both
NEAR = {"pggan": 0.05}  # D is told the spread of neighbours in a batch, which are others


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes work."""
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ranks(out: Path) -> list[dict[str, Any]]:
    """What two processes came to, all methods one after another."""
    for size in (16, 32):
        write_faces(out / f"faces{size}", count=24, size=size)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", two_processes.__file__, str(out)]
    paths = [str(Path(training.__file__).parents[2]), str(Path(__file__).parents[2])]
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    done = subprocess.run(
        [sys.executable, *command],
        env=environment | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_gradients_of_one_on_the_joint_batch(ranks: list[dict[str, Any]], method: str) -> None:
    joint = two_processes.gradients_of(method)
    first, second = (rank["gradients"][method] for rank in ranks)
    assert joint.keys() == first.keys()
    for name, expected in joint.items():
        assert torch.equal(first[name], second[name])
        assert expected.any()
        error = (first[name].double() - expected.double()).norm() / expected.double().norm()
        # Float32's rounding, as the processor's kernels sum: 1.1e-5 where AttGAN's D has gradients of gradients.
        assert error < 3e-5, f"{name}: {error}"


@pytest.mark.parametrize("method", ["cvae-gan", "attribute2image-cvae", "pggan"])
def test_halves_alone_would_differ(method: str) -> None:
    """So the test above can fail: the gradients of the first half are far from those of the whole."""
    whole = two_processes.gradients_of(method)
    half = two_processes.gradients_of(method, torch.arange(4))
    assert any((whole[name] - half[name]).norm() > 0.1 * whole[name].norm() for name in whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_of_two_processes_that_stopped_ends_with_the_same_bits(ranks: list[dict[str, Any]], method: str) -> None:
    for rank in ranks:
        alike = rank["trained"][method]["alike"]
        assert alike == dict.fromkeys(alike, True)


@pytest.mark.parametrize("method", METHODS)
def test_every_process_draws_from_a_stream_of_its_own_or_all_from_one(ranks: list[dict[str, Any]], method: str) -> None:
    first, second = (rank["trained"][method]["seeds"] for rank in ranks)
    joint = METHODS[method].step().joint
    assert len(first) == len(second) == 4
    assert len({*first, *second}) == (4 if joint else 8)


JOINT = [name for name, method in METHODS.items() if method.step().joint]


@pytest.mark.parametrize("method", JOINT)
def test_how_many_processes_share_a_batch_changes_no_loss(
    ranks: list[dict[str, Any]], out: Path, tmp_path: Path, method: str
) -> None:
    recipe = two_processes.recipe_of(method)
    alone = train(recipe, open_prepared(out / f"faces{recipe.data.image_size}"), tmp_path, device="cpu")
    one, two = lines_of(alone), lines_of(out / "runs" / method / "whole")
    assert len(one) == len(two) == 2
    for line, other in zip(one, two, strict=True):
        assert line.keys() == other.keys()
        for name in line.keys() - GAUGES:
            assert other[name] == pytest.approx(line[name], rel=NEAR.get(method, 1e-3), abs=1e-4), name


def test_processes_begin_with_the_same_weights_and_stop_where_they_differ(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["made equal"]
        assert "the weights of 2 processes must be the same; at 16 images they are not" in rank["told apart"]


def test_another_number_of_processes_is_told(ranks: list[dict[str, Any]], out: Path, tmp_path: Path) -> None:
    run, told = tmp_path / "run", list[str]()
    shutil.copytree(out / "runs" / "vae" / "whole", run)
    recipe = two_processes.recipe_of("vae").with_changes({"training.images": 48})
    train(recipe, open_prepared(out / "faces16"), run, device="cpu", progress=lambda each: told.append(each.message))
    assert any("the run was on 2 processes before and goes on with 1, which share the batch of 8" in s for s in told)
    assert any("2 processes before" in str(line.get("processes")) for line in read_log(run))
    told.clear()
    longer = recipe.with_changes({"training.images": 64})
    train(longer, open_prepared(out / "faces16"), run, device="cpu", progress=lambda each: told.append(each.message))
    assert not any("processes" in sentence for sentence in told)


def test_values_are_shared(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        assert result["own"] == "from 0 of 2"
        assert result["mean"] == {"a": 0.5, "b": 5.0}


def test_a_lost_process_is_told_in_a_sentence_by_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    leaves = "import os; from attrimorph import training\nwith training.processes(): training.largest(1); os._exit(3)"
    own = {"RANK": "1", "PYTHONPATH": str(Path(training.__file__).parents[2])}
    other = subprocess.Popen([sys.executable, "-c", leaves], env=os.environ | names | own)
    for name, value in (names | {"RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    told = "all 2 processes of a training must stay until its end"
    with pytest.raises(AttrimorphError, match=told), training.processes():  # noqa: PT012
        assert training.largest(5) == 5
        training.wait_for_all()
    assert other.wait() == 3


def test_a_process_by_itself_changes_nothing() -> None:
    layer = nn.Linear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    before = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    with training.processes():
        training.wait_for_all()
        training.average_gradients(list(layer.parameters()))
        assert (training.rank(), training.world()) == (0, 1)
        assert training.from_first("mine") == "mine"
        assert training.mean_values({"a": 2.0}) == {"a": 2.0}
    assert all(torch.equal(p.grad, b) for p, b in zip(layer.parameters(), before, strict=True) if p.grad is not None)
