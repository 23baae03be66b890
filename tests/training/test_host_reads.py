"""A step reads no value off the device: on a GPU each read waits for all that was asked of it before."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.methods import METHODS
from attrimorph.methods.recipes import recipe_named
from attrimorph.training import FastPath
from attrimorph.training.folder import Ema
from attrimorph.training.trainer import build
from tests.fake_gpu import FakeGPU
from tests.methods.test_golden import RUNS, batch

NAMES = {recipe_named(name).method: name for name in RUNS}
WARM = 6  # steps: CycleGAN looks whether both domains were seen until they were


@pytest.mark.parametrize("method", METHODS)
def test_a_step_reads_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fused kernel is for real devices alone.
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *given, **options: adam(*given, **{**options, "fused": False}))
    recipe = recipe_named(NAMES[method]).with_changes(RUNS[NAMES[method]])
    algorithm = build(recipe, faces.SCHEMA, FastPath("float32", "channels_last", {}), "meta")
    ema = Ema({name: algorithm.networks[name] for name in algorithm.kept}, 100)
    sums: dict[str, Tensor] = {}
    with FakeGPU() as gpu:
        for step in range(WARM + 2):
            if step == WARM:
                gpu.reads.clear()
            given = batch(step, recipe.data.image_size)
            moved = {name: part.to("meta") for name, part in vars(given).items() if isinstance(part, Tensor)}
            for name, value in algorithm.step(replace(given, **moved), torch.Generator().manual_seed(step)).items():
                sums[name] = sums[name] + value if name in sums else value
            ema.update(8 * step, 8)
    assert gpu.reads == []
    assert sums


def test_reads_are_seen_and_devices_do_not_mix() -> None:
    here, there = torch.ones(3), torch.ones(3, device="meta")
    with FakeGPU() as gpu:
        for read in (float, bool, int, Tensor.item):
            read(there.sum())
        there.cpu(), there.to("cpu", torch.float64), here.copy_(there), there[there > 0], there.tolist()
        assert len(gpu.reads) == 9
        there[torch.tensor([0, 1])]
        there * 2 + torch.tensor(3.0)
        assert len(gpu.reads) == 9
        with pytest.raises(RuntimeError, match="same device"):
            here + there
