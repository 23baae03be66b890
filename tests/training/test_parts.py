"""Schedules, averages, the fast path, checkpoints and the log: each alone."""

import json
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_recipe
from torch import Tensor, nn

from attrimorph import training
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import load_judge
from attrimorph.evaluators.training import train_identity_encoder, train_judge
from attrimorph.loading import allow_tf32, load
from attrimorph.methods import METHODS
from attrimorph.methods.cvae_gan.step import CVAEGAN
from attrimorph.recipe import OptimiserOptions
from attrimorph.training import FastPath, choose_fast_path, trainer
from attrimorph.training.folder import Ema, Log, checkpoint_folders, load_state, read_log, save_checkpoint
from attrimorph.training.trainer import Progress, Run, train


def test_schedules_by_hand() -> None:
    flat = OptimiserOptions()
    assert [flat.rate_factor(seen, 100) for seen in (0, 50, 100)] == [1, 1, 1]
    linear = OptimiserOptions(schedule="linear", constant_share=0.5)
    assert [linear.rate_factor(seen, 100) for seen in (0, 50, 75, 100)] == [1, 1, 0.5, 0]
    cosine = OptimiserOptions(schedule="cosine")
    assert cosine.rate_factor(50, 100) == pytest.approx(0.5)
    assert cosine.rate_factor(25, 100) == pytest.approx(0.8535533905932737)
    warm = OptimiserOptions(warmup_images=10)
    assert warm.rate_factor(0, 100) == pytest.approx(0.1)
    assert warm.rate_factor(10, 100) == 1


def test_the_average_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    ema = Ema({"net": layer}, half_life=100)
    nn.init.ones_(layer.weight)
    # Half-life 100 after many images: 100 images move the average half of the way.
    ema.update(1_000_000, 100)
    assert ema.networks["net"].get_parameter("weight").item() == pytest.approx(0.5)
    # Early on the half-life is a tenth of the images seen: 20 images at 200 seen move it by half of the rest.
    ema.update(200, 20)
    assert ema.networks["net"].get_parameter("weight").item() == pytest.approx(0.75)
    assert not any(p.requires_grad for p in ema.networks["net"].parameters())


@pytest.mark.parametrize("half_life", [0, 20])
def test_the_average_of_a_run_follows_every_step_at_once(
    half_life: int, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """average <- w average + (1 - w) weights after each step, w = 2^(-8 / least of half-life and seen / 10)."""
    after: list[dict[str, Tensor]] = []

    class Watched(CVAEGAN):
        def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
            if not after:
                after.append({name: p.clone() for name, p in self.networks["generator"].state_dict().items()})
            values = super().step(batch, generator)
            after.append({name: p.clone() for name, p in self.networks["generator"].state_dict().items()})
            return values

    monkeypatch.setitem(METHODS, "vae", replace(METHODS["vae"], step=lambda: Watched))
    run = train(tiny_recipe("vae", training__images=32, training__ema_images=half_life), data, tmp_path, device="cpu")
    found = load_state(checkpoint_folders(run)[-1])["ema"]["generator"]
    assert len(after) == 5
    for name, average in after[0].items():
        for step, weights in enumerate(after[1:]):
            least = min(half_life, 8 * step / 10)
            kept = 2 ** (-8 / least) if least else 0.0
            average = kept * average + (1 - kept) * weights[name]
        torch.testing.assert_close(found[name], average)
    assert not torch.equal(after[-1]["first.weight"], after[-2]["first.weight"])


def test_the_average_takes_statistics_along() -> None:
    norm = nn.BatchNorm1d(2)
    ema = Ema({"net": norm}, half_life=10)
    assert norm.running_mean is not None
    assert norm.num_batches_tracked is not None
    norm.running_mean.fill_(1.0)
    norm.num_batches_tracked.fill_(7)
    ema.update(1_000, 10)
    assert ema.networks["net"].get_buffer("running_mean").tolist() == pytest.approx([0.5, 0.5])
    assert ema.networks["net"].get_buffer("num_batches_tracked").item() == 7


def test_the_user_overrides_the_measurement() -> None:
    path = choose_fast_path("float32", "contiguous")
    assert (path.precision, path.memory_format, path.milliseconds) == ("float32", "contiguous", {})
    assert path.autocast is None
    assert choose_fast_path("bfloat16", "channels_last").autocast is torch.bfloat16


def test_the_measured_choice_is_the_fastest_by_its_own_figures() -> None:
    path = choose_fast_path()
    times = path.milliseconds
    assert set(times) == {
        f"{precision} {layout}" for precision in ("float32", "bfloat16") for layout in ("contiguous", "channels_last")
    }
    mine = times[f"{path.precision} {path.memory_format}"]
    assert mine * 0.92 <= min(times.values())
    half = choose_fast_path("bfloat16")
    assert half.precision == "bfloat16"


def test_a_gpu_multiplies_float32_as_tf32_in_a_training_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, device = (torch.backends.cuda.matmul, torch.backends.cudnn), "cuda:0"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(training, "small_step", lambda path, _: lambda: seen.append([f.allow_tf32 for f in flags]))
    seen: list[list[bool]] = []
    for tf32 in (True, False):
        monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda tf32=tf32: tf32)
        allow_tf32(False)
        path = choose_fast_path(device=device, steps=training.small_step)
        assert {*map(tuple, seen)} == {(tf32, tf32)}, "what is measured is what will run"
        assert path.tf32 is choose_fast_path("float32", "contiguous", device).tf32 is tf32
        assert path.milliseconds
        seen.clear()
        with training.tensor_cores(path.tf32):
            assert [flag.allow_tf32 for flag in flags] == [tf32, tf32]
        assert [flag.allow_tf32 for flag in flags] == [False, False]
    assert not choose_fast_path("float32", "contiguous").tf32
    data = write_faces(tmp_path / "faces", count=40, size=16)
    for uses in (
        lambda: load("drawn-faces-64", device),
        lambda: load_judge("drawn-faces-64", device),
        lambda: train_judge(data, device=device),
        lambda: train_identity_encoder(data, device=device),
    ):
        allow_tf32(True)
        with suppress(AssertionError, AttrimorphError, RuntimeError):  # torch has no CUDA, or no GPU
            uses()
        assert [flag.allow_tf32 for flag in flags] == [False, False]


PATHS = ("float32 contiguous", "float32 channels_last", "bfloat16 contiguous", "bfloat16 channels_last")


def let_win(monkeypatch: pytest.MonkeyPatch, fastest: str) -> None:
    """Let the clock say that a path is the fastest."""
    monkeypatch.setattr(training, "measure", lambda steps: {name: 10.0 if name == fastest else 20.0 for name in steps})


@pytest.mark.parametrize("first", PATHS)
def test_a_machine_measures_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for fastest in (first, *PATHS):
        let_win(monkeypatch, fastest)
        assert choose_fast_path().name == first
    # Other steps, threads or wishes are measured by themselves.
    let_win(monkeypatch, "float32 channels_last")
    assert choose_fast_path(of="others").name == "float32 channels_last"
    assert choose_fast_path(memory_format="contiguous").memory_format == "contiguous"
    (home,) = tmp_path.glob("attrimorph/machine")
    assert len([*home.glob("*.json")]) == 3
    for file in home.glob("*.json"):
        file.write_text("{}")
    with pytest.raises(AttrimorphError, match=r"is damaged .* remove it to measure this machine anew"):
        choose_fast_path()


def test_where_nothing_can_be_kept_the_machine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "attrimorph").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    let_win(monkeypatch, "bfloat16 contiguous")
    assert choose_fast_path().name == "bfloat16 contiguous"


def test_runs_of_one_seed_compute_alike_whatever_the_clock_says(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = tiny_recipe(training__images=16, training__precision="float32", training__memory_format="auto")
    timed = []
    monkeypatch.setattr(trainer, "choose_fast_path", choose_fast_path)
    real = training.measure
    monkeypatch.setattr(training, "measure", lambda steps: timed.append(steps) or real(steps))
    train(recipe, data, tmp_path / "a", device="cpu")
    # Small layers, and then the run's own steps.
    assert set(timed[0]) == {"float32 contiguous", "float32 channels_last"}
    assert len(timed) == 2
    chosen = FastPath.read(tmp_path / "a" / "machine.json")
    assert set(chosen.milliseconds) == set(timed[1])
    let_win(monkeypatch, next(name for name in PATHS if name.startswith("float32") and name != chosen.name))
    train(recipe, data, tmp_path / "b", device="cpu")
    assert FastPath.read(tmp_path / "b" / "machine.json") == chosen
    first, second = (checkpoint_folders(tmp_path / run)[-1] / "model.safetensors" for run in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_checkpoints_are_kept_whole_and_few(tmp_path: Path) -> None:
    for seen in (0, 100, 200, 300):
        save_checkpoint(tmp_path, seen, b"model", {"algorithm": {"w": torch.ones(2)}, "images_seen": seen}, keep=2)
    assert [folder.name for folder in checkpoint_folders(tmp_path)] == ["000000200", "000000300"]
    (tmp_path / "checkpoints" / ".part-x").mkdir()
    assert len(checkpoint_folders(tmp_path)) == 2
    assert load_state(checkpoint_folders(tmp_path)[-1])["images_seen"] == 300


class Evil:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch EVIL",)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_or_evil_state_is_told_and_runs_nothing(content: bytes | None, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, 1, b"model", {"algorithm": {}}, keep=1)
    if content is None:
        torch.save({"algorithm": Evil()}, folder / "state.pt")
    else:
        (folder / "state.pt").write_bytes(content)
    with pytest.raises(AttrimorphError, match="no checkpoint of this program"):
        load_state(folder)
    assert not Path("EVIL").exists()


def test_the_log_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    lines = [{"images_seen": seen, "loss": float(seen)} for seen in (10, 20, 30)]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"images_seen": 40, "lo'
    (tmp_path / "log.jsonl").write_text(text)
    assert [line["images_seen"] for line in read_log(tmp_path)] == [10, 20, 30]
    log = Log(tmp_path, 20)
    log.write({"images_seen": 30, "loss": 3.0})
    log.close()
    assert read_log(tmp_path) == [*lines[:2], {"images_seen": 30, "loss": 3.0}]


HEAP = """
import ctypes
import sys
from attrimorph.training import keep_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
assert sys.argv[1] == "plain" or keep_memory()
start = libc.sbrk(0)
tensors = [ctypes.c_void_p(libc.malloc(20 << 20)) for _ in range(20)]
for tensor in tensors:
    libc.free(tensor)
print((libc.sbrk(0) - start) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_training_keeps_the_memory_of_its_steps() -> None:
    kept = {}
    for how in ("kept", "plain"):
        ran = subprocess.run([sys.executable, "-c", HEAP, how], capture_output=True, text=True, check=True)
        kept[how] = int(ran.stdout)  # MiB of the heap after all of it was freed
    assert kept["plain"] < 100
    assert kept["kept"] > 300


def test_what_never_varies_is_told_once_and_reaches_the_method(data: PreparedData, tmp_path: Path) -> None:
    labels, train_rows = data.attributes.clone(), torch.from_numpy(data.indices("train"))
    labels[train_rows, 0] = 0
    labels[train_rows[1:], 0] = torch.nan
    labels[torch.from_numpy(data.indices("valid")), 0] = 1
    labels[:, 1] = torch.nan
    labels[train_rows[0], 2], labels[train_rows[1:], 2] = 1, 0
    odd, told = replace(data, attributes=labels), list[Progress]()
    assert odd.varies[:3].tolist() == [False, False, True]
    assert not replace(data, split=data.split[:0]).varies.any()
    recipe = tiny_recipe(training__images=24)
    assert Run(recipe, odd, tmp_path / "built", "cpu").algorithm.varies[:3].tolist() == [False, False, True]
    for _ in range(2):
        train(recipe, odd, tmp_path / "run", progress=told.append, device="cpu")
    names = ", ".join(data.schema.names[:2])
    messages = [each.message for each in told if "never varies" in each.message]
    assert len(messages) == 1
    assert messages[0].startswith(f"nothing can be learned of what never varies in the train split: {names}")


def test_data_larger_than_memory_are_told_of_blocks_once(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.os, "sysconf", lambda name: 1)
    for order, count in (("shuffled", 1), ("blocks", 0)):
        told = list[Progress]()
        recipe = tiny_recipe(training__images=24, data__order=order)
        for _ in range(2):
            train(recipe, data, tmp_path / order, progress=told.append, device="cpu")
        assert sum("--data.order blocks" in each.message for each in told) == count
