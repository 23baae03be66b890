"""Comparing: equal budgets, honest clocks, one page; tiny and real."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attrimorph.data.prepared import PreparedData
from attrimorph.data.synthetic import write_faces
from attrimorph.errors import AttrimorphError
from attrimorph.experiments import comparison
from attrimorph.experiments.comparing import budget_notes, compare, mean_curve
from attrimorph.experiments.comparison import Contest, Entry, lasting, parse_budget, seconds_of
from attrimorph.recipes import recipe_named
from tests.experiments.tiny import FIELDS

METHODS = ("cvae", "cgan")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return write_faces(tmp_path_factory.mktemp("faces") / "16", count=60, size=16)


@pytest.fixture
def contest(data: PreparedData, tmp_path: Path) -> Contest:
    recipes = {name: recipe_named(name).with_changes(FIELDS) for name in METHODS}
    return Contest(recipes, tmp_path, data, data, seeds=(0, 1), images=32, count=3)


def test_a_comparison_trains_alike_and_tells_all(contest: Contest) -> None:
    page = compare(contest)
    told = json.loads((contest.out / "results.json").read_text())
    assert [(each["recipe"], each["seed"], each["images"]) for each in told["entries"]] == [
        (name, seed, 32) for name in METHODS for seed in (0, 1)
    ]
    assert all(each["seconds"] > 0 for each in told["entries"])
    assert len({each["model sha256"] for each in told["entries"]}) == 4
    content = page.read_text()
    assert "reconstruction.psnr" in content
    assert "psnr" in content
    assert content.count("<figure>") == 2
    # Again: nothing is trained or measured twice.
    before = {path: path.stat().st_mtime_ns for path in contest.out.glob("runs/*/figures.json")}
    compare(replace(contest, say=lambda line: None))
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_wall_clock_budget_becomes_a_length_that_is_kept(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = replace(contest, images=None, seconds=0.5)
    images = comparison.planned_images(timed, "cvae")
    assert images % 16 == 0
    assert images >= 16
    assert not list(contest.out.glob(".probe-*"))
    monkeypatch.setattr(comparison, "seconds_per_image", lambda *_: pytest.fail("measured twice"))
    assert comparison.planned_images(timed, "cvae") == images


def test_the_warm_ups_own_speed_counts(data: PreparedData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = recipe_named("cvae-gan").with_changes({**FIELDS, "training.images": 1_000, "losses.warmup_images": 250})
    asked = []

    def speed(probed: Any, *_: object) -> float:
        asked.append(probed.losses.warmup_images)
        return 0.001 if probed.losses.warmup_images else 0.003

    monkeypatch.setattr(comparison, "seconds_per_image", speed)
    # A quarter at 1 ms and the rest at 3 ms is 2.5 ms an image.
    assert comparison.images_within(recipe, data, 10.0, tmp_path, "cpu") == 4_000
    assert sorted(asked) == [0, 10**9]


def test_another_length_keeps_the_shares() -> None:
    recipe = recipe_named("quickstart")
    half = lasting(recipe, recipe.training.images // 2, 7)
    assert half.training.seed == 7
    assert half.losses.warmup_images == recipe.losses.warmup_images // 2
    assert half.training.checkpoint_images == recipe.training.checkpoint_images // 2


def test_pauses_do_not_count() -> None:
    lines = [{"images_seen": 100, "images_per_second": 50.0}, {"images_seen": 200, "images_per_second": 25.0}]
    assert seconds_of(lines) == pytest.approx([2, 6])
    assert seconds_of([]) == [0.0]


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("10min", 600), ("1.5h", 5400), (" 2 min ", 120)])
def test_budgets_are_read(words: str, seconds: float) -> None:
    assert parse_budget(words) == seconds


@pytest.mark.parametrize("words", ["", "10", "ten min", "0s", "-3s", "5 days"])
def test_a_budget_that_is_none_is_told(words: str) -> None:
    with pytest.raises(AttrimorphError, match="must be a time such as 90s, 10min or 2h"):
        parse_budget(words)


def entry(name: str, seed: int, values: list[float], speed: float) -> Entry:
    lines = [
        {"images_seen": 10 * (place + 1), "images_per_second": speed, "psnr": value}
        for place, value in enumerate(values)
    ]
    return Entry(name, seed, None, 10 * len(values), seconds_of(lines)[-1], lines, {}, {})  # type: ignore[arg-type]


def test_curves_are_means_over_seeds(contest: Contest) -> None:
    entries = [entry("cvae", 0, [1, 2, 3], 10), entry("cvae", 1, [3, 4], 5), entry("cgan", 0, [9], 1)]
    assert mean_curve(contest, entries, "cvae", "psnr") == [(10, 2), (20, 3)]
    assert mean_curve(replace(contest, seconds=3.0), entries, "cvae", "psnr") == [(1.5, 2), (3, 3)]
    notes = budget_notes(replace(contest, images=None, seconds=3.0), entries)
    assert len(notes) == 3
    assert "cvae, seed 1, trained 133% of the budget" in notes[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare", "cvae", "--images", "9"], "at least two recipes, all of different names; got cvae"),
        (["compare", "cvae", "cgan"], "either --budget or --images"),
        (["compare", "cvae", "cgna", "--images", "9"], "no recipe 'cgna'"),
        (["compare", "cvae", "quickstart", "--images", "9"], "all recipes must have one image size"),
        (["compare", "cvae", "cgan", "--budget", "soon"], "a time such as 90s"),
        (["compare", "cvae", "cgan", "--images", "9", "--seeds", "0"], "seeds must be at least 1"),
        (["compare", "cvae", "cgan", "--images", "9", "--judge", "none.safetensors"], "none.safetensors"),
        (["experiment", "rign"], "no experiment 'rign'; did you mean 'ring'"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attrimorph.cli import run

    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_named_judge_must_know_the_data(data: PreparedData) -> None:
    from attrimorph.cli.experiment_verbs import _suitable
    from attrimorph.metrics.judge import load_judge

    judge = load_judge("drawn-faces-64")
    with pytest.raises(AttrimorphError, match="the judge must know the 25 attributes of the data at 16 px"):
        _suitable(judge, data)
    assert _suitable(None, data) is None


def test_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from attrimorph.cli import run

    assert run(["experiment"]) == 0
    assert "table-one" in capsys.readouterr().out
