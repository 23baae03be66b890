"""The way that follows the judge: straight where the world is linear; goals reached and locks held where it is not."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from attrimorph.applications.axes.linear import untangle
from attrimorph.applications.axes.space import Space, drawn_codes
from attrimorph.applications.axes.trajectory import GOAL, LONGEST, JudgeGuide, follow, logits_of, with_gradient
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge, JudgeNetwork
from tests.applications.axes.linear_world import LinearGenerator, LinearJudge, WithGradient
from tests.tiny_models import tiny_model


def tiny_judge() -> Judge:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = JudgeNetwork(16, faces.SCHEMA.width).eval()
        # A fresh judge hardly sees what a fresh generator changes.
        torch.nn.init.normal_(network.last.weight, std=20.0)
    return Judge("judge tiny", faces.SCHEMA, 16, network, 1.0, {}, {})


def test_in_a_linear_world_it_is_the_straight_untangled_axis() -> None:
    model = WithGradient()
    judge = LinearJudge(model)
    code = next(drawn_codes(model, 8, 0))
    guide = JudgeGuide(model, judge.logits, judge.schema)
    way = follow(model, guide, code, {"Bright": 1.0}, locks=["Warm", "Wide"], steps=6)
    before, after = judge.logits(model.decode(code)), judge.logits(model.decode(way[-1]))
    torch.testing.assert_close(after[:, 0], before[:, 0].clamp(min=GOAL), rtol=0, atol=0.02)
    torch.testing.assert_close(after[:, 1:3], before[:, 1:3], rtol=0, atol=0.02)
    moves = (way[-1].z - code.z).double()
    moves = moves[moves.norm(dim=1) > 0.1]
    assert len(moves) >= 3
    straight = untangle(judge.axes[:1], judge.axes[1:3])[0]
    torch.testing.assert_close(
        (moves @ straight) / moves.norm(dim=1), torch.ones(len(moves)).double(), rtol=0, atol=1e-3
    )


def test_strength_is_the_share_of_the_way_and_its_sign_the_direction() -> None:
    model = WithGradient()
    judge = LinearJudge(model)
    code = next(drawn_codes(model, 8, 0))
    before = judge.logits(model.decode(code))[:, 3]
    guide = JudgeGuide(model, judge.logits, judge.schema)
    half = judge.logits(model.decode(follow(model, guide, code, {"Tall": -0.5})[-1]))[:, 3]
    torch.testing.assert_close(half, before + 0.5 * (-GOAL - before).clamp(max=0), rtol=0, atol=0.02)


def test_it_reaches_goals_and_holds_locks_through_networks(tmp_path: Path) -> None:
    model, judge = tiny_model(tmp_path), tiny_judge()
    guide, names = JudgeGuide(model, logits_of(judge), faces.SCHEMA), faces.SCHEMA.names
    code = model.sample_codes(6, torch.Generator().manual_seed(0))
    free = follow(model, guide, code, {names[0]: 1.0})
    held = follow(model, guide, code, {names[0]: 1.0}, locks=names[1:3])
    assert len(held) == 13
    assert held[0] is code
    before, loose, tight = (judge.logits(model.decode(each))[:, :3] for each in (code, free[-1], held[-1]))
    wished = (GOAL - before[:, 0]).clamp(min=0)
    assert (tight[:, 0] - before[:, 0]).mean() > 0.6 * wished.mean()
    assert (tight - before)[:, 1:].abs().mean() < 0.5 * (loose - before)[:, 1:].abs().mean()


def test_no_step_is_longer_than_one_deviation(tmp_path: Path) -> None:
    model, judge = tiny_model(tmp_path, method="gan"), tiny_judge()
    space = Space.of(model)
    code = model.sample_codes(4, torch.Generator().manual_seed(0))
    guide = JudgeGuide(model, logits_of(judge), faces.SCHEMA)
    way = follow(model, guide, code, {faces.SCHEMA.names[0]: -3.0}, steps=3)
    for a, b in pairwise(way):
        assert (space.coordinates(b) - space.coordinates(a)).norm(dim=1).max() < LONGEST + 1e-4


def test_a_generator_without_gradients_is_told() -> None:
    with pytest.raises(AttrimorphError, match=r"'linear' \(linear\) gives none; follow the curved axes"):
        with_gradient(LinearGenerator())
