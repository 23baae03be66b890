"""Two processes on halves of a batch give the gradients of one process on the whole of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from attrimorph import training
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.methods import METHODS
from tests.training import two_processes


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes came to, all methods one after another."""
    out = tmp_path_factory.mktemp("ranks")
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
        assert error < 1e-5, f"{name}: {error}"


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
def test_every_process_draws_noise_of_its_own(ranks: list[dict[str, Any]], method: str) -> None:
    first, second = (rank["trained"][method]["seeds"] for rank in ranks)
    assert len(first) == len(second) == 4
    assert len({*first, *second}) == 8


def test_values_are_shared(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        assert result["own"] == "from 0 of 2"
        assert result["mean"] == {"a": 0.5, "b": 5.0}


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
