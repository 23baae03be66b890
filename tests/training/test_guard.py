"""The guard: what it notices, and what a run does about it."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import Hours, lines_of, tiny_recipe

from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.training import trainer
from attrimorph.training.folder import (
    COLLAPSED,
    DEAD_LINES,
    RETURNS,
    Guard,
    checkpoint_folders,
    load_state,
    tensors_in,
)
from attrimorph.training.trainer import Progress, Run, train

HEALTHY = {"kl": 2.0, "sample_spread": 0.6, "d_real_right": 0.8, "d_sample_right": 0.7, "c_accuracy": 0.9}


def lines_until_trouble(guard: Guard, values: dict[str, float], most: int = 200) -> int | None:
    """Return after how many such lines the guard speaks."""
    return next((line for line in range(1, most + 1) if guard.sees(values, 100 * line)), None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["kl", "sample_spread", "psnr"])
def test_a_number_that_is_none_is_fatal_at_once_and_named(name: str, bad: float) -> None:
    said = Guard().sees(HEALTHY | {name: bad}, 12_345)
    assert said is not None
    assert "12,345 images" in said
    assert name in said
    assert "blown up" in said


def test_an_accuracy_without_labels_is_no_blow_up() -> None:
    guard = Guard()
    assert guard.sees(HEALTHY | {"c_accuracy": math.nan}, 100) is None
    assert guard.sees(HEALTHY | {"head_accuracy": math.nan}, 100) is None
    assert guard.sees(HEALTHY | {"c_accuracy": math.inf}, 100) is not None


def test_a_collapsed_sampler_is_noticed_when_it_lasts() -> None:
    collapsed = HEALTHY | {"sample_spread": COLLAPSED / 2}
    assert lines_until_trouble(Guard(), collapsed) == DEAD_LINES // 2
    guard = Guard()
    # One good line in between and the count begins anew.
    for _ in range(5):
        assert lines_until_trouble(guard, collapsed, DEAD_LINES // 2 - 1) is None
        assert guard.sees(HEALTHY, 100) is None
    assert lines_until_trouble(Guard(), HEALTHY | {"sample_spread": COLLAPSED * 1.01}) is None


@pytest.mark.parametrize(("real", "sample"), [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_a_dead_discriminator_is_noticed_when_it_lasts(real: float, sample: float) -> None:
    dead = HEALTHY | {"d_real_right": real, "d_sample_right": sample}
    assert lines_until_trouble(Guard(), dead) == DEAD_LINES
    guard = Guard()
    assert lines_until_trouble(guard, dead, DEAD_LINES - 1) is None
    assert guard.sees(HEALTHY, 100) is None
    assert lines_until_trouble(guard, dead, DEAD_LINES - 1) is None


@pytest.mark.parametrize(("real", "sample"), [(0.99, 0.99), (1.0, 0.95), (0.5, 0.5), (0.02, 0.9)])
def test_a_living_discriminator_is_left_alone(real: float, sample: float) -> None:
    assert lines_until_trouble(Guard(), HEALTHY | {"d_real_right": real, "d_sample_right": sample}) is None


def test_methods_without_samples_or_discriminator_have_nothing_to_fear() -> None:
    assert lines_until_trouble(Guard(), {"kl": 3.0, "image": 10.0, "psnr": 12.0}) is None


def test_going_back_halves_the_rates_and_ends() -> None:
    guard = Guard()
    assert [guard.go_back() for _ in range(RETURNS + 1)] == [True] * RETURNS + [False]
    assert guard.rate_scale == 0.5 ** (RETURNS + 1)
    assert Guard(**asdict(guard)) == guard


def test_a_state_with_nan_or_infinity_is_noticed_and_the_place_named() -> None:
    state = {"networks": {"generator": {"w": torch.ones(3)}}, "list": [{"step": torch.tensor(2.0)}], "steps": 3}
    assert [name for name, _ in tensors_in(state)] == ["networks.generator.w", "list.0.step"]
    assert Guard().inspects(state, 10) is None
    for bad in (math.nan, math.inf):
        state["networks"]["generator"]["w"][1] = bad  # type: ignore[index,call-overload]
        said = Guard().inspects(state, 10)
        assert said is not None
        assert "networks.generator.w" in said


class Watched:
    """Collects what a run says while it trains."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.clocks: list[int] = []
        self.values: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        # Between two lines of the log, progress comes with the values of the line before.
        if progress.message or (progress.values is not self.values and progress.values):
            self.clocks.append(progress.images_seen)
        self.values = progress.values
        if progress.message:
            self.messages.append(progress.message)


def test_blown_up_numbers_send_a_real_run_back_until_it_gives_up(data: PreparedData, tmp_path: Path) -> None:
    """An absurd weight at the highest learning rate: the first gradients are infinite, so the weights NaN."""
    recipe = tiny_recipe("vae", optimiser__learning_rate=1, losses__kl=1e38)
    watched = Watched()
    with pytest.raises(AttrimorphError) as error:
        train(recipe, data, tmp_path, progress=watched, device="cpu")
    said = str(error.value)
    assert said.startswith("training stopped: at ")
    assert "blown up" in said
    assert f"{RETURNS} times" in said
    assert "\n" not in said
    assert ". " not in said
    # Three returns were told, in the progress and in the log, each with half the rates of the one before.
    assert [message.rpartition("with ")[2] for message in watched.messages] == [
        f"{0.5**number:g} of the learning rates" for number in (1, 2, 3)
    ]
    assert [line["guard"] for line in lines_of(tmp_path) if "guard" in line] == watched.messages
    # What is left is good: finite weights, a model that loads, a state that can be read.
    folder = checkpoint_folders(tmp_path)[-1]
    assert str(folder) in said
    assert Guard().inspects(load_state(folder), 0) is None
    assert load(tmp_path).images_seen == int(folder.name)


def test_the_last_good_checkpoint_is_the_one_before_the_doubts() -> None:
    guard = Guard()
    guard.sees(HEALTHY, 100)
    guard.saves(100)
    for line in range(2, 5):
        guard.sees(HEALTHY | {"sample_spread": 0.01}, 100 * line)
        guard.saves(100 * line)
    assert guard.good == 100
    guard.sees(HEALTHY, 500)
    guard.saves(500)
    assert guard.good == 500


@pytest.mark.parametrize("slow", [False, True])
def test_a_real_run_recovers_with_lower_rates(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Weights turn into NaN once, half-way: the run goes back, and ends well with half the rates.

    A slow machine, which has a checkpoint at 40 images too, goes back as far as any.
    """
    if slow:
        monkeypatch.setattr(trainer, "time", Hours())
    recipe, real, poisoned = tiny_recipe("cvae-gan"), Run._set_rates, []

    def poisons_once(self: Run) -> None:
        real(self)
        if self.images_seen == 40 and not poisoned:
            poisoned.append(True)
            with torch.no_grad():
                next(self.algorithm.networks["generator"].parameters()).fill_(math.nan)

    monkeypatch.setattr(Run, "_set_rates", poisons_once)
    watched = Watched()
    train(recipe, data, tmp_path, progress=watched, device="cpu")
    assert len(watched.messages) == 1
    assert "went back to the checkpoint at 32 images and goes on with 0.5 of the learning rates" in watched.messages[0]
    assert slow or watched.clocks == [24, 48, 32, 48, 72, 96]
    lines = lines_of(tmp_path)
    assert [(line["images_seen"], "guard" in line) for line in lines] == [
        (24, False),
        (32, True),
        (48, False),
        (72, False),
        (96, False),
    ]
    state = load_state(checkpoint_folders(tmp_path)[-1])
    assert (state["guard"]["returns"], state["guard"]["rate_scale"]) == (1, 0.5)
    rates = [optimiser["param_groups"][0]["lr"] for optimiser in state["algorithm"]["optimisers"].values()]
    assert rates == [recipe.optimiser.learning_rate / 2] * 4
    assert Guard().inspects(state, 0) is None


def test_blown_up_weights_never_become_a_checkpoint(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN comes after the last line of the log and before the checkpoint: the values that were logged are all good."""
    recipe, real = tiny_recipe("cvae-gan", training__log_images=96, training__sample_images=96), Run.save

    def checks_first(self: Run) -> None:
        assert Guard().inspects(self.algorithm.state(), 0) is None
        real(self)

    monkeypatch.setattr(Run, "save", checks_first)
    real_rates = Run._set_rates

    def poisons(self: Run) -> None:
        real_rates(self)
        if self.images_seen == 40:
            with torch.no_grad():
                next(self.algorithm.networks["encoder"].parameters())[0, 0, 0, 0] = math.nan

    monkeypatch.setattr(Run, "_set_rates", poisons)
    watched = Watched()
    with pytest.raises(AttrimorphError, match=r"networks.* held NaN or infinity"):
        train(recipe, data, tmp_path, progress=watched, device="cpu")
    assert [int(folder.name) for folder in checkpoint_folders(tmp_path)] == [0, 32]


def test_a_real_sampler_that_has_collapsed_is_noticed(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator whose last layer is zero and that hardly learns makes one grey picture."""
    recipe = tiny_recipe("gan", optimiser__learning_rate=1e-9, training__images=2000, training__log_images=8)
    real = Run.loop

    def starts_grey(self: Run, *arguments: Any) -> None:
        torch.nn.init.zeros_(self.algorithm.networks["generator"].get_parameter("last.weight"))
        real(self, *arguments)

    monkeypatch.setattr(Run, "loop", starts_grey)
    watched = Watched()
    with pytest.raises(AttrimorphError, match="the sampler has collapsed"):
        train(recipe, data, tmp_path, progress=watched, device="cpu")
    assert len(watched.messages) == RETURNS
    assert f"nearly the same picture for {DEAD_LINES // 2} lines" in watched.messages[0]
    # The newer checkpoints were grey as well: the one before all that is the good one, kept as long as it is needed.
    assert all("went back to the checkpoint at 0 images" in message for message in watched.messages)


def test_a_real_discriminator_that_is_dead_is_noticed(data: PreparedData, tmp_path: Path) -> None:
    """A generator that hardly learns is told from real images without fail by a discriminator that learns fast."""
    recipe = tiny_recipe(
        "gan",
        optimiser__learning_rate=1e-9,
        optimiser__discriminator_rate=5e-3,
        training__images=4000,
        training__log_images=8,
        training__checkpoint_images=2000,
    )
    watched = Watched()
    with pytest.raises(AttrimorphError, match="teaches the generator nothing"):
        train(recipe, data, tmp_path, progress=watched, device="cpu")
    assert len(watched.messages) == RETURNS
    assert "100% of the real images and 100% of the samples" in watched.messages[0]
