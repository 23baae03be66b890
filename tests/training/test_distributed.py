"""Two processes on halves of a batch give the gradients of one process on the whole of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import two_processes
from torch import nn

from attrimorph.data.loader import Batch
from attrimorph.methods.cvae_gan.terms import METHODS
from attrimorph.training import distributed


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("ranks")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", two_processes.__file__, str(out)]
    source = str(Path(distributed.__file__).parents[2])
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    done = subprocess.run(
        [sys.executable, *command],
        env=environment | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_gradients_of_one_on_the_joint_batch(ranks: list[dict[str, Any]], method: str) -> None:
    joint = two_processes.gradients_of(method)
    first, second = ranks[0][method], ranks[1][method]
    assert joint.keys() == first.keys()
    for name, expected in joint.items():
        assert torch.equal(first[name], second[name])
        assert expected.any()
        error = (first[name].double() - expected.double()).norm() / expected.double().norm()
        assert error < 1e-5, f"{name}: {error}"


def test_codes_are_hidden_from_the_means_of_the_joint_batch(ranks: list[dict[str, Any]]) -> None:
    torch.testing.assert_close(torch.cat([rank["hidden"] for rank in ranks]), two_processes.hidden())


def test_halves_alone_would_differ() -> None:
    """So the test above can fail: the gradient of the first half is far from that of the whole."""
    images, y = two_processes.joint_batch(0)
    found = []
    for part in (slice(0, 8), slice(0, 4)):
        algorithm = two_processes.algorithm_of("cvae-gan")
        algorithm.step(Batch(images[part], y[part]), torch.Generator().manual_seed(0))
        found.append(torch.cat([p.grad.flatten() for p in algorithm.networks["classifier"].parameters()]))
    assert (found[0] - found[1]).norm() > 0.1 * found[0].norm()


def test_values_are_shared(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        assert result["own"] == "from 0 of 2"
        assert result["mean"] == {"a": 0.5, "b": 5.0}


def test_a_process_by_itself_changes_nothing() -> None:
    layer = nn.Linear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    before = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    with distributed.processes():
        distributed.wait_for_all()
        distributed.average_gradients(list(layer.parameters()))
        assert (distributed.rank(), distributed.world()) == (0, 1)
        assert distributed.from_first("mine") == "mine"
        assert distributed.mean_values({"a": 2.0}) == {"a": 2.0}
    assert all(torch.equal(p.grad, b) for p, b in zip(layer.parameters(), before, strict=True) if p.grad is not None)
